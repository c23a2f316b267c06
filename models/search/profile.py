"""Measure this machine once: ``vipose search profile --space NAME -o TABLE.json``.

Times in ONNX Runtime every part that networks of the space use, corrects their sums on half of some random whole networks and
reports the error on the other half. Goes on where it was interrupted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vipose.models.arguments import Parser
from vipose.models.networks.architecture import Architecture, Fusion
from vipose.models.networks.elastic import skeleton
from vipose.models.search.latency import LatencyTable, TableError, Tick
from vipose.models.search.measure import Measurer, PartTimer
from vipose.models.search.measure_device import BATCH, cuda_measurer
from vipose.models.search.space import Choice, Space
from vipose.models.search.spaces import SPACES, space
from vipose.runtime.errors import EXIT_OK, InputError, UsageError

__all__ = ["ProfileConfig", "Profiler", "main"]

_FUSIONS = tuple(Fusion(stage, operator) for stage in (1, 2, 3, 4) for operator in ("add", "mul", "cat"))  # type: ignore[arg-type]
_DRAWS = 50
"""Random choices that are tried for one value of one dimension, and that in a row must bring no new part before it is enough."""


@dataclass(frozen=True)
class ProfileConfig:
    """What is measured.

    Attributes:
        networks: random whole networks; half of them, the smallest and the biggest are fitted, the others judge.
        parts: beside all choices of all dimensions, random networks bring parts until so many are known or no new ones come up.
        temporal: also networks that fuse heatmaps, at every stage with every operator.
        size: width, height of the crops, pixels; multiples of 32.
        seed: of the random networks.
    """

    networks: int = 24
    parts: int = 1500
    temporal: bool = False
    size: tuple[int, int] = (192, 256)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.networks < 4:
            raise UsageError(f"--networks: {self.networks} is not allowed; half are fitted and half judge, so give 4 or more")
        if self.parts < 0:
            raise UsageError(f"--parts: {self.parts} is not allowed (0 or more)")
        if any(side < 32 or side % 32 for side in self.size):
            raise UsageError(f"size {self.size[0]}x{self.size[1]} is not allowed; give multiples of 32, for example 192x256")


class Profiler:
    """Fills a table for a space.

    Args:
        searched: the space.
        config: what is measured.
        table: made for this space and size; what it holds is not measured again.

    Attributes:
        fit, check: whole networks that the calibration is fitted on, and others that judge it.
    """

    def __init__(self, searched: Space, config: ProfileConfig, table: LatencyTable) -> None:
        if config.temporal and not searched.build(searched.biggest).takes_fusion:
            raise UsageError(f"--temporal: networks of the space '{searched.name}' take single frames; leave it out")
        self.space, self.config, self.table = searched, config, table
        self._rng = np.random.default_rng(config.seed)
        drawn = [self._draw(self._rng) for _ in range(config.networks)]
        ends = [self._arch(choice, None) for choice in (searched.smallest, searched.biggest) if searched.valid(choice)]
        self.fit = list(dict.fromkeys([*ends, *drawn[::2]]))
        self.check = [arch for arch in dict.fromkeys(drawn[1::2]) if arch not in self.fit]
        if len(self.fit) < 3 or not self.check:
            raise InputError(f"the space '{searched.name}' has too few networks to tell a prediction's error; measure them one by one")

    def parts(self, tick: Tick) -> None:
        """Time the parts of the whole networks, of every choice of every dimension, and of random networks."""
        choices = list(self._choices())
        if self.config.temporal:
            choices += self._fusions(choices)
        archs = [*self.fit, *self.check, *choices]
        self.table.measure([*archs, *self._more(archs)], tick)

    def whole(self, tick: Tick) -> TableError:
        """Time the whole networks and calibrate on them."""
        self.table.time([*self.fit, *self.check], tick)
        return self.table.calibrate(self.fit, self.check)

    def coverage(self, count: int = 100) -> float:
        """Share of other random networks that can be predicted without measuring anything more."""
        rng = np.random.default_rng([self.config.seed, 1])
        return sum(not self.table.missing(self._draw(rng)) for _ in range(count)) / count

    def _arch(self, choice: Choice, fusion: Fusion | None) -> Architecture:
        return replace(self.space.architecture(choice), fusion=fusion)

    def _draw(self, rng: np.random.Generator) -> Architecture:
        """A random network; of temporal profiles one in four is spatial, for the key frames."""
        choice = self.space.sample(rng)
        temporal = self.config.temporal and rng.random() < 0.75
        return self._arch(choice, _FUSIONS[int(rng.integers(len(_FUSIONS)))] if temporal else None)

    def _choices(self) -> Iterator[Architecture]:
        """The smallest and the biggest network with one dimension changed, where that is valid, or else a random one with it."""
        for dimension in self.space:
            for value in dimension.choices:
                around = [{**end, dimension.name: value} for end in (self.space.smallest, self.space.biggest)]
                valid = [choice for choice in around if self.space.valid(choice)]
                for choice in valid or self._having(dimension.name, value):
                    yield self._arch(choice, None)

    def _fusions(self, archs: Sequence[Architecture]) -> Iterator[Architecture]:
        """Networks that together fuse heatmaps into features of every width that these have, with every operator."""
        seen = set()
        for arch in archs:
            network = skeleton(arch)
            for stage in (1, 2, 3, 4):
                site = (stage, *network.fusion_site(stage))
                if site not in seen:
                    seen.add(site)
                    yield from (replace(arch, fusion=fusion) for fusion in _FUSIONS if fusion.stage == stage)

    def _having(self, name: str, value: object) -> list[Choice]:
        drawn = (self.space.sample(self._rng) for _ in range(_DRAWS))
        return [choice for choice in drawn if choice[name] == value][:1]

    def _more(self, archs: Sequence[Architecture]) -> Iterator[Architecture]:
        """Random networks beside these, until enough parts are known or they bring nothing new."""
        seen, idle = set(self.table.parts).union(*map(self.table.missing, archs)), 0
        while len(seen) < self.config.parts and idle < _DRAWS:
            arch = self._draw(self._rng)
            new = set(self.table.missing(arch)) - seen
            idle = 0 if new else idle + 1
            if new:
                seen |= new
                yield arch


def open_table(path: Path, searched: Space, config: ProfileConfig, measurer: PartTimer) -> LatencyTable:
    """The table that was begun there, or a new one.

    Raises:
        InputError: the file holds something else, or a table of another machine, space or size.
    """
    if not path.exists():
        return LatencyTable(searched.name, config.size, measurer)
    table = LatencyTable.load(path, measurer)
    found, wanted = (
        f"'{t_space}' at {size[0]}x{size[1]} on {machine}"
        for t_space, size, machine in (
            (table.space, table.size, table.machine),
            (searched.name, config.size, measurer.machine()),
        )
    )
    if found != wanted:
        raise InputError(f"{path} is a table of {found}, not of {wanted}; choose another file with -o, or delete it")
    return table


def report(profiler: Profiler) -> dict[str, Any]:
    """What was measured and how good the predictions are, as plain values."""
    table = profiler.table
    assert table.error is not None
    checked = [
        {"predicted_ms": table.predict(arch), "ms": ms, "architecture": arch.to_json()}
        for arch, ms in zip(profiler.check, table.time(profiler.check), strict=True)
    ]
    return {
        "space": table.space, "size": list(table.size), "machine": asdict(table.machine), "parts": len(table.parts),
        "calibration": asdict(table.calibration), "error": asdict(table.error), "coverage": profiler.coverage(),
        "checked": checked,
    }  # fmt: skip


def _text(facts: dict[str, Any], error: TableError, path: Path) -> str:
    terms = facts["calibration"]
    spread = sorted(row["ms"] for row in facts["checked"])
    return "\n".join([
        f"{facts['parts']} parts; {facts['coverage']:.0%} of other random networks need no further measuring",
        f"ms = {terms['fixed_ms']:.3f} + {terms['scale']:.3f} x parts + {terms['ms_per_mb']:.4f} x MB put out",
        f"error {error}",
        f"those networks take {spread[0]:.2f} to {spread[-1]:.2f} ms",
        f"written: {path}",
    ])  # fmt: skip


@contextmanager
def _bars(quiet: bool) -> Iterator[Progress]:
    """Bars on stderr where that is a terminal; redrawn twice a second only, since drawing takes time as well."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    disable = quiet or not sys.stderr.isatty()
    with Progress(*columns, console=console, transient=True, refresh_per_second=2, disable=disable) as progress:
        yield progress


def _saving(progress: Progress, name: str, table: LatencyTable, path: Path) -> Tick:
    task = progress.add_task(name, total=None)

    def tick(done: int, total: int) -> None:
        table.save(path)
        progress.update(task, completed=done, total=total)

    return tick


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise UsageError(f"size '{text}' is not understood; write WIDTHxHEIGHT, for example 192x256") from None
    return width, height


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns an exit code."""
    parser = Parser(prog="vipose search profile", description=__doc__)
    parser.add_argument("--space", required=True, metavar="NAME", help=f"one of {', '.join(SPACES)}")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="TABLE.json", help="an unfinished one is resumed")
    parser.add_argument("--networks", type=int, default=ProfileConfig.networks, help="whole networks to time (%(default)s)")
    parser.add_argument("--parts", type=int, default=ProfileConfig.parts, help="most parts to look for (%(default)s)")
    parser.add_argument("--size", default="192x256", metavar="WxH", help="of the crops (%(default)s)")
    parser.add_argument("--temporal", action="store_true", help="also networks that fuse the heatmaps of the last frame")
    parser.add_argument("--rounds", type=int, default=40, help="runs of everything that is timed (%(default)s)")
    parser.add_argument(
        "--gpu", action="store_true", help=f"time {BATCH} crops a run in PyTorch on the first CUDA device instead of ONNX Runtime"
    )
    parser.add_argument("--seed", type=int, default=ProfileConfig.seed)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress")
    args = parser.parse_args(argv)
    if args.rounds < 1:
        raise UsageError(f"--rounds: {args.rounds} is not allowed (1 or more)")
    searched = space(args.space)
    config = ProfileConfig(args.networks, args.parts, args.temporal, _size(args.size), args.seed)
    table = open_table(args.output, searched, config, cuda_measurer() if args.gpu else Measurer(args.rounds))
    table.save(args.output)  # a place that cannot be written to shows now, not after the first minute
    profiler = Profiler(searched, config, table)
    with _bars(args.quiet) as progress:
        profiler.parts(_saving(progress, "parts", table, args.output))
        error = profiler.whole(_saving(progress, "whole networks", table, args.output))
    table.save(args.output)
    facts = report(profiler)
    print(json.dumps(facts, indent=1, allow_nan=False) if args.json else _text(facts, error, args.output))
    return EXIT_OK


if __name__ == "__main__":
    raise SystemExit(main())
