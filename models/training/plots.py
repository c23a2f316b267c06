"""``vipose train plot RUN``: loss, learning rate, speed and validation figures of runs over time, from their logs.

Several runs are drawn over each other. Time is the training's own: pauses between an interruption and its resume do not
count, and what was logged after the last checkpoint before it, and so was trained again, is left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vipose.models.arguments import Parser
from vipose.runtime.errors import InputError, OutputError, ViposeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Curves", "draw", "main", "read_run"]

Entry = dict[str, Any]

CLOCKS = ("minutes", "progress")
"""What places an entry in time, best first; each begins anew with every stage. Older logs have no minutes."""
NOT_DRAWN = {"stage", "step", "epoch", "progress", "minutes", "spent_s"}
TITLES = {
    "rate": "learning rate",
    "per_s": "samples/s",
    "sequences_per_s": "sequences/s",
    "held_ap50": "AP50, held-out pictures",
}
FIRST = ("loss", "rate", "per_s", "sequences_per_s")


@dataclass(frozen=True)
class Curves:
    """One run.

    Attributes:
        name: of its folder.
        unit: of time: "minutes", or "progress" (of a stage) for logs without minutes.
        figures: (time, value) pairs by the name of the figure.
        stages: times at which a further stage began.
    """

    name: str
    unit: str
    figures: dict[str, list[tuple[float, float]]]
    stages: list[float]


def read_run(run: Path) -> Curves:
    """Read the log of a run.

    Args:
        run: its folder, or its log.

    Raises:
        InputError: there is no log, or nothing in it can be drawn.
    """
    path = run / "log.jsonl" if run.is_dir() else run
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"'{run}' has no log ({error.strerror}); give the folder of a training run") from error
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is no log of a training; give the folder of a run") from error
    entries = [entry for line in lines if (entry := _parsed(line)) is not None]
    if len(entries) < sum(bool(line.strip()) for line in lines):
        print(f"vipose: '{path}': lines that are no entries are left out", file=sys.stderr)
    unit = next((clock for clock in CLOCKS if _has(entries, clock)), "progress")
    placed = _placed([entry for entry in entries if unit in entry], unit)
    figures: dict[str, list[tuple[float, float]]] = {}
    for time, entry in placed:
        for key, value in entry.items():
            if key not in NOT_DRAWN and isinstance(value, int | float) and not isinstance(value, bool):
                figures.setdefault(key, []).append((time, float(value)))
    if not figures:
        raise InputError(f"'{path}' has no entries of a training yet; wait for its first")
    stages = [b[0] for a, b in pairwise(placed) if a[1].get("stage") != b[1].get("stage")]
    return Curves(run.resolve().name if run.is_dir() else run.resolve().parent.name, unit, figures, stages)


def _has(entries: Sequence[Entry], clock: str) -> bool:
    """Whether a clock places all entries; those without progress tell how a run began."""
    return all(clock in entry for entry in entries if "progress" in entry)


def _parsed(line: str) -> Entry | None:
    """An entry; None for a line that a kill has torn."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _placed(entries: Sequence[Entry], unit: str) -> list[tuple[float, Entry]]:
    """(time, entry) with the stages one after another, without what was trained again after an interruption."""
    kept: list[Entry] = []
    for entry in entries:
        while kept and _place(kept[-1], unit) > _place(entry, unit):
            kept.pop()
        kept.append(entry)
    placed: list[tuple[float, Entry]] = []
    start = 0.0
    for number, entry in enumerate(kept):
        if number and entry.get("stage", 0) != kept[number - 1].get("stage", 0):
            # Progress counts stages; the minutes of the last entry are the length of its stage, but for a few steps.
            start = start + 1 if unit == "progress" else placed[-1][0]
        placed.append((start + float(entry[unit]), entry))
    return placed


def _place(entry: Entry, unit: str) -> tuple[float, float]:
    return float(entry.get("stage", 0)), float(entry[unit])


def draw(runs: Sequence[Curves]) -> Figure:
    """One panel a figure, one colour a run.

    Raises:
        ViposeError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ViposeError("plots need matplotlib, which is not installed; pip install 'vipose[train]'") from error
    names = {name for run in runs for name in run.figures}
    panels = [name for name in FIRST if name in names] + sorted(names - set(FIRST))
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(6 * columns, 2.8 * rows), layout="constrained")
    for place, name in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, place)
        for number, run in enumerate(runs):
            points = run.figures.get(name, [])
            axes.plot(
                [time for time, _ in points], [value for _, value in points], color=f"C{number}", label=run.name,
                marker="." if len(points) < 40 else None, linewidth=1.2,
            )  # fmt: skip
            if len(runs) == 1:
                for stage in run.stages:
                    axes.axvline(stage, color="0.7", linewidth=0.8, linestyle="--")
        axes.set_title(TITLES.get(name, name), fontsize=10)
        axes.set_xlabel(" / ".join(sorted({_label(run.unit) for run in runs})), fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        if place == 1 and len(runs) > 1:
            axes.legend(fontsize=8)
    return figure


def _label(unit: str) -> str:
    return "minutes of training" if unit == "minutes" else "progress (stages)"


def main(argv: list[str] | None = None) -> int:
    """Command line; returns an exit code."""
    parser = Parser(prog="vipose train plot", description=__doc__.split("\n\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a training, or its log.jsonl")
    parser.add_argument("-o", "--output", type=Path, default=Path("curves.png"), help="PNG, SVG or PDF (%(default)s)")
    args = parser.parse_args(argv)
    figure = draw([read_run(run) for run in args.runs])
    if args.output.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise OutputError(f"'{args.output}' is no name of a picture; end it in .png, .svg or .pdf")
    try:
        figure.savefig(args.output, dpi=120)
    except OSError as error:
        raise OutputError(f"'{args.output}' cannot be written: {error.strerror}") from error
    print(args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
