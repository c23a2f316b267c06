"""What may be chosen: networks that can run here with what is known of their accuracy, and the settings made of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipose.runtime.catalogue import list_modes
from vipose.runtime.errors import ModelError, UsageError
from vipose.runtime.library import files_of
from vipose.runtime.modes import MODES, graph_paths
from vipose.runtime.onnxfile import read_metadata
from vipose.runtime.options import RunOptions, table
from vipose.runtime.pipeline import PipelineConfig
from vipose.runtime.shipped import AUTO, graph_precision, read_card
from vipose.runtime.workers import available_cores

__all__ = [
    "ACCURACY",
    "INT8_LOSS",
    "LOSS_A_FRAME",
    "LOST",
    "Network",
    "Setting",
    "ap_lost",
    "find_networks",
    "intervals",
    "make_settings",
    "networks_of",
    "thread_counts",
]

ACCURACY = "AP coco"
"""The figure of a spatial graph's card by which networks are ranked; in 8 bits and looking twice the name says so, in this order."""
LOST = "AP lost on sequences"
"""The figure of the first temporal graph's card: period as text -> AP that is lost by it."""
LOSS_A_FRAME = 0.01
"""Assumed AP lost by each further propagated frame where no card says it."""
INT8_LOSS = 0.01
"""Assumed AP lost by computing in 8 bits where no card says it ("AP coco, int8")."""
_INTERVALS = (5, 10, 15, 30)


@dataclass(frozen=True)
class Network:
    """A mode that can run here, in one precision, looking once or twice on key frames.

    Attributes:
        mode, precision, twice: as options take them.
        spatial: file of its key-frame graph.
        longest: its longest period, frames.
        ap: of its key-frame graph, None where no card says it.
        lost: AP lost with the periods 1, 2, ..., ``longest``.
        assumed: for each of these whether a part of its accuracy is assumed, since no card says it.
    """

    mode: str
    precision: str
    spatial: Path
    longest: int
    ap: float | None
    lost: tuple[float, ...]
    assumed: tuple[bool, ...]
    twice: bool = False

    def accuracy(self, period: int) -> float | None:
        """AP with a period, None where nothing is known."""
        return None if self.ap is None else self.ap - self.lost[period - 1]

    def shown_accuracy(self, period: int) -> str:
        """The same for people; ``~`` marks what is partly assumed."""
        ap = self.accuracy(period)
        return "?" if ap is None else f"{'~' * self.assumed[period - 1]}{ap:.3f}"

    @property
    def periods(self) -> list[int]:
        """Those that can be asked for: the longest needs no number."""
        return [p for p in range(1, self.longest + 1) if p <= table()["period"].high or p == self.longest]


@dataclass(frozen=True)
class Setting:
    """One way to run.

    Attributes:
        mode, precision: see :class:`Network`.
        period: a key frame every so many frames.
        threads: cores that share the people of a frame, 0 for all.
        detect_every: the detector runs at least every so many frames.
        twice: the key-frame network looks twice.
    """

    mode: str
    period: int
    threads: int
    detect_every: int
    precision: str = AUTO
    twice: bool = False

    def options(self, longest: int) -> dict[str, Any]:
        """As fields of :class:`RunOptions`; ``longest``: period of the mode that needs no number."""
        return {
            "mode": self.mode,
            "period": None if self.period == longest else self.period,
            "threads": self.threads,
            "detect_every": self.detect_every,
            "precision": self.precision,
            "twice": self.twice,
        }

    @property
    def name(self) -> str:
        """Of the mode and its variant, for people: the last part of a path."""
        return ", ".join([Path(self.mode).name, *[self.precision] * (self.precision != AUTO), *["twice"] * self.twice])

    def __str__(self) -> str:
        parts = [self.name, f"key frame every {self.period}", f"detector every {self.detect_every}"]
        parts += ["all cores" if self.threads == 0 else f"{self.threads} core{'s' * (self.threads > 1)}"]
        return ", ".join(parts)


def find_networks(names: Sequence[str] = ()) -> tuple[list[Network], list[str]]:
    """The networks to measure.

    Args:
        names: modes or paths, as ``--mode`` takes them; () = all that are here and find the joints of the usual mode.

    Returns:
        Networks, each once, and a line for each mode that is here but cannot be read.

    Raises:
        UsageError, ModelError: one of ``names`` cannot be run; or there is none.
    """
    if names:
        return [network for name in dict.fromkeys(names) for network in networks_of(name)], []
    joints = read_metadata(graph_paths(RunOptions().mode)[0]).skeleton
    found: list[Network] = []
    notes: list[str] = []
    for row in list_modes():
        if not row["where"]:
            continue
        try:
            made = networks_of(row["name"])
            # Other joints would change what results hold, and nobody asked for that.
            found += [network for network in made if read_metadata(network.spatial).skeleton == joints]
        except (ModelError, UsageError) as error:
            notes.append(f"left out: {error}")
    if not found:
        raise ModelError("there is no pose network to measure; install vipose again")
    return found, notes


def networks_of(name: str) -> list[Network]:
    """A mode as it is usually run, and in 8 bits where all its graphs are there so; single-frame ones also looking twice where a
    card says what it brings: T-ViPNets lose it again. Raises UsageError or ModelError.
    """
    made = [_network(name, AUTO)]
    graphs = (MODES[name].spatial, *MODES[name].temporal) if name in MODES else (name,)
    if all("int8" in files_of(graph) for graph in graphs) and graph_precision(made[0].spatial) != "int8":
        made.append(_network(name, "int8"))
    twice = [_network(name, network.precision, twice=True) for network in made if network.longest == 1]
    return made + [network for network in twice if network.ap is not None]


def _network(name: str, precision: str, *, twice: bool = False) -> Network:
    spatial, temporal = graph_paths(name, precision)
    card = read_card(spatial)
    eight = graph_precision(spatial) == "int8"
    ap = _figure(card, ", ".join([ACCURACY, *["int8"] * eight, *["twice"] * twice]))
    guessed = eight and ap is None and not twice
    if guessed:
        known = _figure(card, ACCURACY)
        ap = None if known is None else known - INT8_LOSS
    lost, assumed = ap_lost(read_card(temporal[0]) if temporal else {}, len(temporal) + 1)
    if Path(name).exists() and name not in MODES and not files_of(name):
        name = str(Path(name).resolve())  # it is kept, and asked for again from other folders
    return Network(
        mode=name,
        precision=precision,
        spatial=spatial,
        longest=len(temporal) + 1,
        ap=ap,
        lost=lost,
        assumed=tuple(guessed or one for one in assumed),
        twice=twice,
    )


def ap_lost(card: Mapping[str, Any], longest: int) -> tuple[tuple[float, ...], tuple[bool, ...]]:
    """AP lost with the periods 1 to ``longest`` as a card says it, and whether each is assumed instead."""
    metrics = card.get("metrics")
    said = metrics.get(LOST) if isinstance(metrics, dict) else None
    known = [_number(said.get(str(period))) if isinstance(said, dict) else None for period in range(2, longest + 1)]
    lost = [LOSS_A_FRAME * frames if value is None else value for frames, value in enumerate(known, 1)]
    return (0.0, *lost), (False, *(value is None for value in known))


def _figure(card: Mapping[str, Any], name: str) -> float | None:
    metrics = card.get("metrics")
    return _number(metrics.get(name)) if isinstance(metrics, dict) else None


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def intervals(fps: float) -> tuple[int, ...]:
    """How seldom the detector may run, in frames, shortest first: longer than half a second the pipeline never waits."""
    longest = max(1, int(fps * PipelineConfig.detect_every_s))
    return tuple(sorted({min(interval, longest) for interval in _INTERVALS}))


def thread_counts() -> tuple[int, ...]:
    """All cores, and one where there are more."""
    return (0, 1) if available_cores() > 1 else (0,)


def make_settings(
    networks: Iterable[Network], detect_every: Sequence[int], threads: Sequence[int]
) -> dict[Setting, Network]:
    """All settings of some networks; a key frame on every frame is left out where another mode is just that."""
    networks = list(networks)
    alone = {network.spatial for network in networks if network.longest == 1}
    return {
        Setting(network.mode, period, count, interval, network.precision, network.twice): network
        for network in networks
        for period in network.periods
        if not (period == 1 < network.longest and network.spatial in alone)
        for count in threads
        for interval in detect_every
    }
