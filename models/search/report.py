"""What a search tells people: progress while it runs, and a table of the best at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vipose.models.search.result import Candidate, SearchResult, Unit, show_cost

__all__ = ["report", "watched"]

Tick = Callable[[SearchResult], None]
LINES = 20
"""Lines of progress where there is no terminal."""


@contextmanager
def watched(asked: SearchResult, quiet: bool = False) -> Iterator[Tick]:
    """Progress on stderr: a bar on a terminal, some lines elsewhere, nothing when quiet.

    Args:
        asked: the search as it begins.
        quiet: say nothing.

    Yields:
        A function to be told the result after every evaluation, also after those that were there already.
    """
    if quiet:
        yield lambda result: None
        return
    if not sys.stderr.isatty():
        yield _lines(asked)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
        TextColumn("left"), TimeRemainingColumn(compact=True), TextColumn("{task.fields[best]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(file=sys.stderr), transient=True, refresh_per_second=4) as progress:
        task = progress.add_task(asked.space, total=asked.samples, completed=len(asked.candidates), best=_best(asked))

        def tick(result: SearchResult) -> None:
            progress.update(task, completed=len(result.candidates), best=_best(result))

        yield tick


def report(result: SearchResult, count: int = 5) -> str:
    """The best candidates as a table, with the reference below them; lines without an end."""
    unit = result.budget.unit
    best = result.best(count)
    title = (
        f"{len(result.candidates)} networks of {result.space} within {result.budget} "
        f"({result.method}, seed {result.seed}); AP on {result.validation.get('people', '?')} people, "
        f"{result.size[0]}x{result.size[1]}"
    )
    sources = sorted(best[0].by_source) if best else []
    heads = ["", "AP", "OKS", *sources, "ms", "M MACs", "M params", "hash"]
    rows = [_row(str(place), c, sources) for place, c in enumerate(best, 1)]
    if result.reference is not None:
        name, reference = result.reference
        rows.append(_row(name, reference, sources))
        if best:
            rows[-1][-1] += f"  costs {_ratio(reference, best[0], unit)} of the first"
    widths = [max(len(row[n]) for row in [heads, *rows]) for n in range(len(heads) - 1)]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=False)) + f"  {row[-1]}" for row in [heads, *rows]]
    return "\n".join([title, *lines])


def _row(name: str, candidate: Candidate, sources: list[str]) -> list[str]:
    ms = "-" if candidate.ms is None else f"{candidate.ms:.2f}"
    by_source = [f"{candidate.by_source[s]:.3f}" if s in candidate.by_source else "-" for s in sources]
    costs = [ms, f"{candidate.macs / 1e6:.0f}", f"{candidate.parameters / 1e6:.2f}"]
    return [name, f"{candidate.ap:.3f}", f"{candidate.oks:.3f}", *by_source, *costs, candidate.hash]


def _ratio(one: Candidate, other: Candidate, unit: Unit) -> str:
    return f"{one.cost(unit) / other.cost(unit):.2f}"


def _best(result: SearchResult) -> str:
    chosen = result.chosen
    if chosen is None:
        return ""
    return f"best AP {chosen.ap:.3f}, {show_cost(chosen.cost(result.budget.unit), result.budget.unit)}"


def _lines(asked: SearchResult) -> Tick:
    every, said = max(1, asked.samples // LINES), len(asked.candidates)
    if said:
        print(f"{said}/{asked.samples} were there already: {_best(asked)}", file=sys.stderr, flush=True)

    def tick(result: SearchResult) -> None:
        nonlocal said
        done = len(result.candidates)
        if done > said and (done % every == 0 or done == asked.samples):
            print(f"{done}/{asked.samples} {_best(result)}", file=sys.stderr, flush=True)
            said = done

    return tick
