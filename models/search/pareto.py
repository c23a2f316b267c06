"""Accuracy against cost of everything that searches looked at: ``vipose search pareto RESULT.json ... -o front.png``.

Draws every candidate, the front of each search (what no cheaper or equally dear candidate beats) and the network that it chose,
and prints the fronts as tables.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vipose.models.arguments import Parser
from vipose.runtime.errors import EXIT_OK, InputError, ModelError, OutputError, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CostKind", "Point", "Searched", "draw", "front", "main", "read_searched"]

CostKind = Literal["ms", "macs", "parameters"]
_LABELS: dict[str, tuple[str, float]] = {
    "ms": ("ms, ONNX Runtime, one thread", 1.0),
    "macs": ("million MACs", 1e6),
    "parameters": ("million parameters", 1e6),
}
"""Title and unit of each kind of cost."""
_SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Point:
    """One network: its name (a candidate's hash), costs and AP (0..1); ``ms`` is None where there was no latency table."""

    name: str
    ap: float
    ms: float | None = None
    macs: float | None = None
    parameters: float | None = None

    def cost(self, kind: CostKind) -> float:
        """In milliseconds, millions of MACs or of parameters; raises InputError where it is not known."""
        value = {"ms": self.ms, "macs": self.macs, "parameters": self.parameters}[kind]
        if value is None:
            raise InputError(f"the {kind} of network {self.name} are not known; choose another with --cost")
        return value / _LABELS[kind][1]


@dataclass(frozen=True)
class Searched:
    """What one result holds.

    Attributes:
        name: for the legend.
        points: every candidate.
        chosen: name of the one that was chosen; None where none was.
        reference: a network from outside that was evaluated alike.
    """

    name: str
    points: tuple[Point, ...]
    chosen: str | None = None
    reference: Point | None = None


def front(points: Sequence[Point], kind: CostKind) -> list[Point]:
    """Points that have a higher AP than all that cost no more, cheapest first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost(kind), -p.ap)):
        if not kept or point.ap > kept[-1].ap:
            kept.append(point)
    return kept


def read_searched(path: Path) -> Searched:
    """A result of ``vipose search spatial`` or ``temporal``.

    Raises:
        InputError: the file is not there, something else, damaged or without candidates.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        points = tuple(_point(c["hash"], c) for c in data["candidates"])
        chosen = data.get("chosen")
        reference = data.get("reference")
        found = Searched(
            # A candidate of a temporal search is T networks, and its cost their sum.
            name=f"{path.stem}, sum of {data['T']} frames" if "T" in data else path.stem,
            points=points,
            chosen=chosen["hash"] if isinstance(chosen, dict) else chosen,
            reference=None if reference is None else _point(*reference),
        )
    except OSError as error:
        raise InputError(f"search result {path} cannot be read ({error.strerror}); check the path") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no search result, or a damaged one ({error!r}); give one of 'vipose search'") from error
    if not points:
        raise InputError(f"the search in {path} has no candidate yet; let it go on first")
    return found


def _point(name: Any, data: Mapping[str, Any]) -> Point:
    """From a candidate's JSON; raises KeyError, TypeError or ValueError for a malformed one."""
    costs = [None if data.get(kind) is None else float(data[kind]) for kind in _LABELS]
    ap = float(data["ap"])
    if not all(math.isfinite(value) and value >= 0 for value in (ap, *costs) if value is not None):
        raise ValueError(f"AP {ap} and costs {costs} of {name}")
    return Point(str(name), ap, *costs)


def draw(path: Path, searches: Sequence[Searched], kind: CostKind, named: Sequence[Point] = ()) -> None:
    """Write the picture (PNG, SVG or PDF, by its suffix).

    Args:
        named: more networks, drawn with their names.

    Raises:
        ModelError: matplotlib is not installed.
        OutputError: the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ModelError("pictures need matplotlib, which is not installed; pip install 'vipose[train]'") from error
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    for number, searched in enumerate(searches):
        _draw_search(axes, searched, kind, f"C{number}")
    references = dict.fromkeys(p for p in (*(s.reference for s in searches), *named) if p is not None)
    for point in references:
        axes.plot(point.cost(kind), point.ap, "D", color="black", markersize=6)
        axes.annotate(point.name, (point.cost(kind), point.ap), xytext=(7, -12), textcoords="offset points", fontsize=9)
    axes.set_xlabel(_LABELS[kind][0])
    axes.set_ylabel("AP on the validation people")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}); choose another place with -o") from error


def _draw_search(axes: Axes, searched: Searched, kind: CostKind, colour: str) -> None:
    points, best = searched.points, front(searched.points, kind)
    axes.scatter([p.cost(kind) for p in points], [p.ap for p in points], s=14, color=colour, alpha=0.35, linewidths=0)
    # Between two points of the front nothing better was seen than the cheaper one: a staircase, up to the dearest candidate.
    line = [(p.cost(kind), p.ap) for p in best] + [(max(p.cost(kind) for p in points), best[-1].ap)]
    xs, ys = zip(*line, strict=True)
    axes.plot(xs, ys, color=colour, drawstyle="steps-post", linewidth=1.5, label=f"{searched.name} ({len(points)})")
    axes.plot(xs[:-1], ys[:-1], "o", color=colour, markersize=5)
    for point in points:
        if point.name == searched.chosen:
            x, y = point.cost(kind), point.ap
            axes.plot(x, y, "*", color=colour, markersize=17, markeredgecolor="black", zorder=3)
            # To the left: the network that was chosen often is the dearest, at the right edge.
            axes.annotate(f"{x:.3g}, AP {y:.3f}", (x, y), xytext=(-9, 7), textcoords="offset points", ha="right", fontsize=9)


def _text(searched: Searched, kind: CostKind) -> str:
    """The front of a search as a table."""
    rows = [f"{searched.name}: {len(searched.points)} candidates, front by {kind}", "     ms   M MACs  M params      AP  network"]
    for point in front(searched.points, kind):
        ms = "-" if point.ms is None else f"{point.ms:.2f}"
        macs, params = (
            "-" if value is None else f"{value / 1e6:{width}}"
            for value, width in ((point.macs, ".0f"), (point.parameters, ".2f"))
        )
        mark = "  chosen" if point.name == searched.chosen else ""
        rows.append(f"{ms:>7}  {macs:>7}  {params:>8}  {point.ap:.4f}  {point.name}{mark}")
    return "\n".join(rows)


def _json(searches: Sequence[Searched], kind: CostKind) -> list[dict[str, Any]]:
    return [
        {
            "name": searched.name,
            "candidates": len(searched.points),
            "chosen": searched.chosen,
            "front": [asdict(point) for point in front(searched.points, kind)],
        }
        for searched in searches
    ]


def _cost_kind(asked: CostKind | None, searches: Sequence[Searched]) -> CostKind:
    """What was asked for, or milliseconds where every candidate has them, and MACs otherwise."""
    return asked or ("ms" if all(p.ms is not None for s in searches for p in s.points) else "macs")


def _named(text: str, kind: CostKind) -> Point:
    """``NAME=COST,AP`` in the units of the picture; raises UsageError."""
    name, _, values = text.rpartition("=")
    try:
        cost, ap = (float(value) for value in values.split(","))
    except ValueError:
        cost, ap = math.nan, math.nan
    if not name or not math.isfinite(cost) or not 0 <= ap <= 1:
        raise UsageError(f"point '{text}' is not understood; write NAME=COST,AP, for example published=25.1,0.63")
    return Point(name, ap, **{kind: cost * _LABELS[kind][1]})


def _unlike(searches: Sequence[Searched], paths: Sequence[Path]) -> list[Searched]:
    """The same with the folder before the name, where files of two folders are called alike."""
    names = [searched.name for searched in searches]
    return [
        searched if names.count(searched.name) == 1 else replace(searched, name=f"{path.parent}/{searched.name}")
        for searched, path in zip(searches, paths, strict=True)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns an exit code."""
    parser = Parser(prog="vipose search pareto", description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULT.json", help="of 'vipose search spatial' or 'temporal'")
    parser.add_argument("-o", "--output", type=Path, metavar="FRONT.png", help="picture: .png, .svg or .pdf")
    parser.add_argument("--cost", choices=_LABELS, help="what AP is drawn against (ms where it is known, else macs)")
    parser.add_argument(
        "--point", action="append", default=[], metavar="NAME=COST,AP",
        help="mark another network: cost in ms, millions of MACs or of parameters; may be given several times",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the fronts as JSON")
    args = parser.parse_args(argv)
    if args.output is not None and args.output.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"picture {args.output}: end its name in {', '.join(_SUFFIXES)}")
    searches = _unlike([read_searched(path) for path in args.results], args.results)
    kind = _cost_kind(args.cost, searches)
    named = [_named(text, kind) for text in args.point]
    texts = [_text(searched, kind) for searched in searches]
    if args.output is not None:
        draw(args.output, searches, kind, named)
    print(json.dumps(_json(searches, kind), indent=1, allow_nan=False) if args.json else "\n\n".join(texts))
    return EXIT_OK


if __name__ == "__main__":
    raise SystemExit(main())
