"""Ablations of T-ViPNets (ViPNAS, section 4.5), all on the same validation sequences with the same super-network.

    vipose search ablations all --supernet RUN/best.pt --clips VALIDATION --budget 5ms --table TABLE.json -o ablations.json

  fusion   the networks that were found, with the heatmaps of the last frame and without them
  warp     heatmaps carried along with the crop, and as they are
  sharing  one network for all frames against one for each, at equal cost of all T
  T        2, 3 and 4 propagated frames at equal mean cost of a frame, the key frame's included
  cost     searched under milliseconds against searched under MACs, at equal MACs

All but 'cost' start from one search for T = 3 under the budget. Every search lies beside the output and is gone on with after an
interruption.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vipose.models.arguments import Parser
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.search.checkpoints import load_supernet
from vipose.models.search.prices import Prices
from vipose.models.search.propagated import Carry, PropagationEvaluator
from vipose.models.search.result import Budget, Unit, show_cost
from vipose.models.search.temporal import JointSearch, add_inputs, evaluator, prices, search, wanted_of
from vipose.models.search.temporal_checkpoints import TemporalSupernet, read_temporal_supernet
from vipose.models.search.temporal_result import TemporalResult, chosen_architectures
from vipose.runtime.errors import EXIT_OK, InputError, OutputError, UsageError

__all__ = ["ABLATIONS", "Bench", "Row", "main", "table"]

KIND, SCHEMA = "vipose-ablations", 1


@dataclass(frozen=True)
class Row:
    """One variant of one ablation.

    Attributes:
        ablation, variant: what it is.
        frames: AP of frames 1..T, 0..1.
        key: AP of the S-ViPNet on frame 0.
        macs, ms: the sum over the T networks; ``ms`` is None without a table.
        mean_macs, mean_ms: of a frame, the key frame's network included.
        architectures: of frames 1..T.
        note: what one has to know to read it.
    """

    ablation: str
    variant: str
    frames: tuple[float, ...]
    key: float
    macs: int
    ms: float | None
    mean_macs: float
    mean_ms: float | None
    architectures: tuple[dict[str, Any], ...]
    note: str = ""

    @property
    def ap(self) -> float:
        """Mean over the T propagated frames."""
        return sum(self.frames) / len(self.frames)


@dataclass
class Bench:
    """What all ablations share.

    Attributes:
        trained: the temporal super-network.
        measure: its evaluator.
        costs: what networks cost.
        wanted: the search that the networks of most ablations come from.
        out: JSON of the rows; searches lie beside it.
        supernet: path of the super-network, kept in results.
        spatial: a spatial super-network of the same space, for networks without fusion; None for zero heatmaps instead.
    """

    trained: TemporalSupernet
    measure: PropagationEvaluator
    costs: Prices
    wanted: JointSearch
    out: Path
    supernet: str = ""
    spatial: SuperNetwork | None = None
    _found: dict[str, TemporalResult] = field(default_factory=dict)

    def search(self, name: str, **changes: Any) -> tuple[Architecture, ...]:
        """The networks that a search finds under the bench's settings with some changes; each name is searched once."""
        if name not in self._found:
            path = self.out.with_name(f"{self.out.stem}.{name}.json")
            print(f"search '{name}': {path}", flush=True)
            wanted = replace(self.wanted, **changes)
            self._found[name] = search(wanted, self.trained, self.measure, self.costs, path, self.supernet)
        return chosen_architectures(self._found[name])

    def base(self) -> tuple[Architecture, ...]:
        """The networks of the search as it was asked for."""
        return self.search(f"T{self.wanted.T}")

    def row(
        self, ablation: str, variant: str, archs: Sequence[Architecture], carry: Carry = "warped", note: str = "",
        measure: PropagationEvaluator | None = None,
    ) -> Row:  # fmt: skip
        """Evaluate T networks."""
        found = (measure or self.measure)(archs, carry)
        price, all_frames = self.costs(archs), self.costs([self.trained.spatial.arch, *archs])
        count = len(archs) + 1
        return Row(
            ablation, variant, tuple(frame.ap for frame in found.frames), self.measure.key_accuracy.ap, price.macs, price.ms,
            all_frames.macs / count, None if all_frames.ms is None else all_frames.ms / count,
            tuple(arch.to_json() for arch in archs), note,
        )  # fmt: skip


def fusion(bench: Bench) -> list[Row]:
    """Temporal fusion on and off."""
    archs = bench.base()
    on = bench.row("fusion", "on", archs)
    if bench.spatial is None:
        note = "off: the same networks with all heatmaps zero, statistics estimated again"
        return [on, bench.row("fusion", "off", archs, "nothing", note)]
    bare = [replace(arch, fusion=None) for arch in archs]
    alone = replace(bench.measure, extract=bench.spatial.extract)
    note = "off: the same CNNs without a fusion module, from the spatial super-network"
    return [on, bench.row("fusion", "off", bare, note=note, measure=alone)]


def warp(bench: Bench) -> list[Row]:
    """Heatmaps carried by the crops' affines, and as they are."""
    archs = bench.base()
    note = "networks were trained and searched with warped heatmaps"
    return [bench.row("warp", "warped", archs), bench.row("warp", "unwarped", archs, "unwarped", note)]


def sharing(bench: Bench) -> list[Row]:
    """Frame-specific against shared networks at equal total cost."""
    shared = bench.search("shared", shared=True)
    return [bench.row("sharing", "frame-specific", bench.base()), bench.row("sharing", "shared", shared)]


def lengths(bench: Bench) -> list[Row]:
    """T = 2, 3, 4 at equal mean cost of all frames, the key frame's included, as in the paper's table 4."""
    unit, given = bench.wanted.budget.unit, bench.wanted
    key = bench.costs([bench.trained.spatial.arch]).of(unit)
    mean = (key + given.budget.limit) / (given.T + 1)
    rows = []
    for T in (2, 3, 4):
        limit = given.budget.limit if given.T == T else mean * (T + 1) - key
        if limit <= 0:
            raise UsageError(f"T = {T} at a mean of {show_cost(mean, unit)} leaves nothing beside the key frame; give a larger budget")
        archs = bench.search(f"T{T}", T=T, budget=Budget(limit, unit))
        rows.append(bench.row("T", str(T), archs, note=f"mean cost of a frame at most {show_cost(mean, unit)}"))
    return rows


def cost(bench: Bench) -> list[Row]:
    """Searched under milliseconds against searched under MACs: the same MACs, other milliseconds."""
    unit = bench.wanted.budget.unit
    bench.costs.check("ms")
    first = bench.base()
    other: Unit = "MACs" if unit == "ms" else "ms"
    same = bench.costs(first).of(other)
    second = bench.search(other, budget=Budget(same, other))
    note = f"budget: {show_cost(same, other)}, what the networks searched under {unit} take"
    return [bench.row("cost", unit, first), bench.row("cost", other, second, note=note)]


ABLATIONS: dict[str, Callable[[Bench], list[Row]]] = {
    "fusion": fusion,
    "warp": warp,
    "sharing": sharing,
    "T": lengths,
    "cost": cost,
}


def table(rows: Sequence[Row]) -> str:
    """Rows as text: AP of every frame and the mean, cost beside it."""
    longest = max(len(row.frames) for row in rows)
    head = ["ablation", "variant", "AP", "key", *(f"frame {t}" for t in range(1, longest + 1)), "M MACs", "ms", "ms a frame"]
    lines = [head]
    for row in rows:
        aps = [f"{100 * ap:.1f}" for ap in row.frames] + ["-"] * (longest - len(row.frames))
        ms = ["-" if value is None else f"{value:.2f}" for value in (row.ms, row.mean_ms)]
        lines.append([row.ablation, row.variant, f"{100 * row.ap:.1f}", f"{100 * row.key:.1f}", *aps, f"{row.macs / 1e6:.0f}", *ms])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    pads = [str.ljust, str.ljust] + [str.rjust] * (len(head) - 2)
    text = ["  ".join(pad(cell, w) for pad, cell, w in zip(pads, line, widths, strict=True)) for line in lines]
    notes = list(dict.fromkeys(f"{row.ablation} {row.variant}: {row.note}" for row in rows if row.note))
    return "\n".join(line.rstrip() for line in [*text, *notes])


def write(path: Path, rows: Sequence[Row], facts: dict[str, Any]) -> None:
    """Write the rows; raises OutputError where that is not possible."""
    part = path.with_name(path.name + ".part")
    content = {"kind": KIND, "schema": SCHEMA, **facts, "rows": [{**asdict(row), "ap": row.ap} for row in rows]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}); choose another place with -o") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns an exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=[*ABLATIONS, "all"], help="which; 'all' leaves 'cost' out without --table")
    add_inputs(parser)
    parser.add_argument("--spatial-supernet", type=Path, help="best.pt of 'vipose train supernet' on the same space, for 'fusion'")
    parser.add_argument("-o", "--out", type=Path, required=True, help="rows as JSON; searches are written beside it")
    args = parser.parse_args(argv)
    bench = _bench(args)
    names = [n for n in ABLATIONS if n in args.names or ("all" in args.names and (n != "cost" or args.table is not None))]
    if "cost" in names:
        bench.costs.check("ms")
    rows: list[Row] = []
    facts = {
        "supernet": str(args.supernet), "supernet_sha256": bench.trained.sha256, "budget": str(bench.wanted.budget),
        "samples": args.samples, "method": args.method, "seed": args.seed, "size": bench.measure.size,
        "validation": bench.measure.describe(),
    }  # fmt: skip
    for name in names:
        rows += ABLATIONS[name](bench)
        write(args.out, rows, facts)
    print(table(rows))
    if "all" in args.names and "cost" not in names:
        print("'cost' was left out: it needs --table")
    return EXIT_OK


def _bench(args: argparse.Namespace) -> Bench:
    trained = read_temporal_supernet(args.supernet)
    spatial = None
    if args.spatial_supernet is not None:
        spatial, searched = load_supernet(args.spatial_supernet)
        if searched.name != trained.space.name:
            raise InputError(
                f"{args.spatial_supernet} is of the space '{searched.name}', {args.supernet} of '{trained.space.name}'; "
                "give a spatial super-network of the same space"
            )
    wanted = wanted_of(args)
    costs = prices(args, trained)
    costs.check(wanted.budget.unit)
    return Bench(trained, evaluator(args, trained), costs, wanted, args.out, str(args.supernet), spatial)
