"""Progress of a differentiable search: a bar on a terminal, some lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Watch", "watched"]

Watch = Callable[[str, float, Callable[[], str]], None]
"""Told what is being done, its progress 0..1, and how to make a few words about it, which are asked for now and then."""
LINES, WORDS_EVERY = 20, 25


@contextmanager
def watched(quiet: bool = False) -> Iterator[Watch]:
    """Yields a function to be told the progress; it writes to stderr."""
    if quiet:
        yield lambda name, progress, words: None
    elif sys.stderr.isatty():
        with _bar() as watch:
            yield watch
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Watch]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("left"), TimeRemainingColumn(compact=True), TextColumn("{task.fields[words]}"),
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}
    calls = 0
    with Progress(*columns, console=Console(file=sys.stderr), transient=True, refresh_per_second=2) as bars:

        def watch(name: str, progress: float, words: Callable[[], str]) -> None:
            nonlocal calls
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=1.0, words="")
            bars.update(tasks[name], completed=progress)
            if calls % WORDS_EVERY == 0:
                bars.update(tasks[name], words=words())
            calls += 1

        yield watch


def _lines() -> Watch:
    said: dict[str, int] = {}

    def watch(name: str, progress: float, words: Callable[[], str]) -> None:
        now = int(progress * LINES)
        if now > said.setdefault(name, now if progress else -1):
            said[name] = now
            print(f"{name}: {progress:.0%} {words()}".rstrip(), file=sys.stderr, flush=True)

    return watch
