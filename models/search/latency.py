"""A table of milliseconds: what every part of a network takes on this machine, and their sum for a whole one.

Parts are timed in ONNX Runtime on the CPU, one crop a run, or in PyTorch on a GPU, a batch a run.

Parts with equal signatures are measured once, whichever network, space or family they come from. The sum of the parts is corrected by a linear calibration, fitted on whole networks and judged on others:

    ms = fixed + scale * sum of parts + per_mb * megabytes that the parts put out

The first term is what every run costs, the last what happens between parts (sums, resizes, softmax).
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from vipose.models.networks.architecture import Architecture, architecture_hash
from vipose.models.search.measure import (
    Measurer,
    PartTimer,
    TableMachine,
    Timed,
    measure_module,
    time_network,
    time_networks,
)
from vipose.models.search.measure_device import DeviceMeasurer
from vipose.models.search.parts import Part, Shape, trace
from vipose.runtime.errors import InputError, OutputError

__all__ = [
    "Calibration",
    "LatencyTable",
    "TableError",
    "TableMachine",
    "measure_module",
    "time_network",
    "time_networks",
]

KIND, SCHEMA = "vipose-latency", 1
GROUP_PARTS, GROUP_NETWORKS = 16, 4
"""How many run in turn. A table is saved after each group, which takes seconds."""
Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Calibration:
    """Terms of the correction; see the module's text. As it stands it changes nothing."""

    fixed_ms: float = 0.0
    scale: float = 1.0
    ms_per_mb: float = 0.0

    def __call__(self, parts_ms: float, megabytes: float) -> float:
        return self.fixed_ms + self.scale * parts_ms + self.ms_per_mb * megabytes

    @classmethod
    def fit(cls, parts_ms: Sequence[float], megabytes: Sequence[float], whole_ms: Sequence[float]) -> Self:
        """Least squares of the relative error; no term is negative, so that more work never seems to cost less."""
        from scipy.optimize import nnls

        whole = np.asarray(whole_ms)
        terms = np.column_stack([np.ones(len(whole)), parts_ms, megabytes]) / whole[:, None]
        fixed, scale, per_mb = nnls(terms, np.ones(len(whole)))[0]
        return cls(float(fixed), float(scale), float(per_mb))


@dataclass(frozen=True)
class TableError:
    """How predictions differ from timings of whole networks that the calibration has not seen.

    Attributes:
        networks: that were compared.
        mean, q90, largest: absolute error relative to the timing: mean, 90 % quantile, largest.
        spearman: rank correlation of predictions and timings.
    """

    networks: int
    mean: float
    q90: float
    largest: float
    spearman: float

    @classmethod
    def between(cls, predicted: Sequence[float], timed: Sequence[float]) -> Self:
        from scipy.stats import spearmanr

        relative = np.abs(np.asarray(predicted) / np.asarray(timed) - 1)
        # A constant has no order, and so no correlation.
        ordered = len(set(predicted)) > 1 and len(set(timed)) > 1
        rank = float(spearmanr(predicted, timed).statistic) if ordered else 0.0
        return cls(len(timed), float(relative.mean()), float(np.quantile(relative, 0.9)), float(relative.max()), rank)

    def __str__(self) -> str:
        return (
            f"on {self.networks} networks that were not fitted: mean {self.mean:.1%}, 90 % quantile {self.q90:.1%}, "
            f"largest {self.largest:.1%}, rank correlation {self.spearman:.3f}"
        )


@dataclass(frozen=True)
class _Known:
    """What a prediction needs of a network."""

    signatures: tuple[str, ...]
    megabytes: float


class LatencyTable:
    """Measured milliseconds of parts, and predictions for networks made of them.

    Args:
        space: name of the search space it was made for; parts of others are served as well.
        size: width, height of the crops.
        measurer: what takes the times.

    Attributes:
        parts: signature to milliseconds.
        calibration: the correction; :meth:`calibrate` fits it.
        error: of the predictions, on networks that were not fitted; None before :meth:`calibrate`.
        timed: milliseconds of whole networks by hash.
    """

    def __init__(self, space: str, size: tuple[int, int], measurer: PartTimer | None = None) -> None:
        self.space, self.size = space, size
        self.measurer: PartTimer = measurer or Measurer()
        self.machine, self.date = self.measurer.machine(), datetime.now(UTC).isoformat(timespec="seconds")
        self.parts: dict[str, float] = {}
        self.names: dict[str, str] = {}
        self.timed: dict[str, float] = {}
        self.calibration = Calibration()
        self.error: TableError | None = None
        self.reference_ms: float | None = None
        self._outputs: dict[str, Shape] = {}
        self._known: dict[Architecture, _Known] = {}

    @property
    def unit(self) -> str:
        """``ms`` of one crop in ONNX Runtime, or ``GPU ms`` of a batch in PyTorch."""
        return "GPU ms" if self.machine.pytorch else "ms"

    @property
    def here(self) -> bool:
        """Whether it was measured where this process runs, so that what it lacks can be measured now."""
        return self.machine == self.measurer.machine()

    def predict(self, arch: Architecture, *, measure_missing: bool = False) -> float:
        """Milliseconds of one crop through a network.

        Args:
            measure_missing: time parts that are not in the table now, a fraction of a second each, where the table is of
                this machine. In a big space no table holds every part that a search may come upon.

        Raises:
            InputError: parts of it have not been measured; see :meth:`missing` and :meth:`measure`.
        """
        if measure_missing and self.missing(arch) and self.here:
            self.measure([arch])
        missing = self.missing(arch)
        if missing:
            raise InputError(
                f"the latency table of '{self.space}' lacks {len(missing)} parts of network {architecture_hash(arch)}; "
                "measure them with 'vipose search profile'"
            )
        return self.calibration(*self._sum(arch))

    def missing(self, arch: Architecture) -> list[str]:
        """Signatures of a network's parts that have not been measured."""
        return [s for s in dict.fromkeys(self._know(arch).signatures) if s not in self.parts]

    def measure(self, archs: Iterable[Architecture], tick: Tick | None = None) -> int:
        """Time all parts of these networks that have not been timed; returns how many.

        Args:
            tick: told after every group how many parts are done, and of how many; the table can be saved then.
        """
        todo: dict[str, Part] = {}
        for arch in archs:
            if any(s not in todo for s in self.missing(arch)):
                todo |= {p.signature: p for p in trace(arch, self.size, self._outputs) if p.signature not in self.parts}
        return self.measure_parts(todo.values(), tick)

    def measure_parts(self, wanted: Iterable[Part], tick: Tick | None = None) -> int:
        """As :meth:`measure`, for parts."""
        todo = {p.signature: p for p in wanted if p.signature not in self.parts}
        # Neighbours share shapes, and so the convolutions around them.
        parts = sorted(todo.values(), key=lambda p: (p.shapes[0][2:], p.shapes, p.output, p.signature))
        for start in range(0, len(parts), GROUP_PARTS):
            group = parts[start : start + GROUP_PARTS]
            ms = self._compared(self.measurer.parts([(p.module, p.shapes) for p in group]))
            self.parts |= {p.signature: value for p, value in zip(group, ms, strict=True)}
            self.names |= {p.signature: p.name for p in group}
            if tick is not None:
                tick(start + len(group), len(parts))
        return len(parts)

    def part_ms(self, part: Part) -> float:
        """What a part adds to a prediction; raises KeyError for one that has not been measured."""
        terms = self.calibration
        return terms.scale * self.parts[part.signature] + terms.ms_per_mb * _megabytes(part)

    def time(self, archs: Iterable[Architecture], tick: Tick | None = None) -> list[float]:
        """Milliseconds of whole networks; those that were timed before are remembered. ``tick``: see :meth:`measure`."""
        asked = list(archs)
        todo = list({architecture_hash(a): a for a in asked if architecture_hash(a) not in self.timed}.items())
        for start in range(0, len(todo), GROUP_NETWORKS):
            group = todo[start : start + GROUP_NETWORKS]
            ms = self._compared(self.measurer.networks([arch for _, arch in group], self.size))
            self.timed |= {digest: value for (digest, _), value in zip(group, ms, strict=True)}
            if tick is not None:
                tick(start + len(group), len(todo))
        return [self.timed[architecture_hash(arch)] for arch in asked]

    def calibrate(self, fit: Sequence[Architecture], check: Sequence[Architecture]) -> TableError:
        """Fit the correction on some whole networks and judge it on others; what was not yet timed is timed now.

        Raises:
            ValueError: fewer than three networks to fit, none to check, or one of them in both.
        """
        if len(fit) < 3 or not check or set(fit) & set(check):
            raise ValueError(f"calibration on {len(fit)} and check on {len(check)} networks: want at least 3 and 1, none in both")
        self.measure([*fit, *check])
        whole = self.time(fit)
        sums = [self._sum(arch) for arch in fit]
        self.calibration = Calibration.fit([s for s, _ in sums], [mb for _, mb in sums], whole)
        self.error = TableError.between([self.predict(arch) for arch in check], self.time(check))
        return self.error

    def to_json(self) -> dict[str, Any]:
        """Everything but the measurer, as plain values."""
        return {
            "kind": KIND, "schema": SCHEMA, "space": self.space, "size": list(self.size), "date": self.date,
            "machine": asdict(self.machine), "reference_ms": self.reference_ms,
            "calibration": asdict(self.calibration), "error": None if self.error is None else asdict(self.error),
            "timed": self.timed,
            "parts": {s: {"part": self.names[s], "ms": ms} for s, ms in self.parts.items()},
        }  # fmt: skip

    def save(self, path: Path) -> None:
        """Write beside and rename, so that an interruption never leaves half a table.

        Raises:
            OutputError: it cannot be written.
        """
        part = path.with_name(path.name + ".part")
        try:
            part.write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            raise OutputError(f"cannot write {path} ({error.strerror}); choose another place with -o") from error

    @classmethod
    def load(cls, path: Path, measurer: PartTimer | None = None) -> Self:
        """Read a table; one line on stderr says so where it was measured on another machine or ONNX Runtime.

        Raises:
            InputError: the file is not there, or no such table.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(data, dict) or data.get("kind") != KIND or data.get("schema") != SCHEMA:
                raise InputError(f"{path} is no latency table; make one with 'vipose search profile'")
            table = cls._from_json(data, measurer)
        except OSError as error:
            raise InputError(f"latency table {path} cannot be read ({error.strerror}); see 'vipose search profile'") from error
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"latency table {path} is damaged ({error!r}); delete it and profile again") from error
        if not table.here:
            here = table.measurer.machine()
            text = f"vipose: latency table {path.name} was measured on {table.machine}; this is {here}, so its figures may be off"
            print(text, file=sys.stderr)
        return table

    @classmethod
    def _from_json(cls, data: dict[str, Any], measurer: PartTimer | None) -> Self:
        width, height = data["size"]
        machine = TableMachine(**data["machine"])
        table = cls(str(data["space"]), (int(width), int(height)), measurer or _measurer_like(machine))
        table.machine, table.date = machine, str(data["date"])
        table.calibration = Calibration(**data["calibration"])
        table.error = None if data["error"] is None else TableError(**data["error"])
        table.reference_ms = None if data["reference_ms"] is None else float(data["reference_ms"])
        table.timed = {str(k): float(v) for k, v in data["timed"].items()}
        table.parts = {str(k): float(v["ms"]) for k, v in data["parts"].items()}
        table.names = {str(k): str(v["part"]) for k, v in data["parts"].items()}
        return table

    def _compared(self, timed: Timed) -> list[float]:
        """Milliseconds as if the reference had taken what it took in the first group of this table."""
        if self.reference_ms is None:
            self.reference_ms = timed.reference_ms
        return [ms * self.reference_ms / timed.reference_ms for ms in timed.ms]

    def _know(self, arch: Architecture) -> _Known:
        if arch not in self._known:
            parts = trace(arch, self.size, self._outputs)
            megabytes = sum(map(_megabytes, parts))
            self._known[arch] = _Known(tuple(p.signature for p in parts), megabytes)
        return self._known[arch]

    def _sum(self, arch: Architecture) -> tuple[float, float]:
        """Milliseconds of all parts, and megabytes that they put out."""
        known = self._know(arch)
        return sum(self.parts[s] for s in known.signatures), known.megabytes


def _megabytes(part: Part) -> float:
    """What a part puts out."""
    return 4 * math.prod(part.output) / 1e6


def _measurer_like(machine: TableMachine) -> PartTimer:
    """What can add to a table: it measures in the same engine."""
    if not machine.pytorch:
        return Measurer()
    return DeviceMeasurer(torch.device("cuda" if torch.cuda.is_available() else "cpu"), machine.batch)
