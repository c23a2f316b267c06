"""Progress of a batch on stderr: a bar with ETA and live FPS on a terminal, a line a source elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Rate", "Reporter", "open_reporter"]

_REFRESH_S = 0.2
_RATE_WINDOW_S = 2.0
_NAME = 24  # letters of a source's name beside its bar


class Reporter(Protocol):
    """Told about a batch as it goes on."""

    def begin(self, name: str, position: int, total: int, frames: int | None) -> None:
        """A source begins: ``position`` of ``total``, with ``frames`` expected where that is known."""

    def advance(self, done: int, note: str) -> None:
        """So many frames are done; ``note`` says more in a few words."""

    def end(self, line: str) -> None:
        """The source is over; ``line`` says how."""

    def say(self, line: str) -> None:
        """Something the user must know."""


@contextmanager
def open_reporter(*, quiet: bool, stream: TextIO | None = None) -> Iterator[Reporter]:
    """The reporter that suits the stream (stderr)."""
    stream = stream or sys.stderr
    if quiet or not stream.isatty():
        yield _Plain(stream, quiet)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=16), TextColumn("{task.fields[done]}"),
        TextColumn("{task.fields[rate]:.1f} fps"), TextColumn("left"), TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(file=stream), transient=True, refresh_per_second=5) as progress:
        yield _Bar(progress)


class Rate:
    """Frames a second over the last two seconds."""

    def __init__(self) -> None:
        self._since, self._done, self.fps = time.monotonic(), 0, 0.0

    def update(self, done: int) -> bool:
        """Count; True when it is time to show something again."""
        now = time.monotonic()
        passed = now - self._since
        if passed < _REFRESH_S:
            return False
        rate = (done - self._done) / passed
        weight = min(1.0, passed / _RATE_WINDOW_S)
        self.fps = rate if self.fps == 0 else (1 - weight) * self.fps + weight * rate
        self._since, self._done = now, done
        return True


class _Plain:
    def __init__(self, stream: TextIO, quiet: bool) -> None:
        self._stream, self._quiet = stream, quiet

    def begin(self, name: str, position: int, total: int, frames: int | None) -> None:
        if not self._quiet:
            known = "" if frames is None else f" (about {frames} frames)"
            print(f"[{position}/{total}] {name}{known}", file=self._stream, flush=True)

    def advance(self, done: int, note: str) -> None:
        """Nothing: a log is no place for a moving number."""

    def end(self, line: str) -> None:
        if not self._quiet:
            print(f"  {line}", file=self._stream, flush=True)

    def say(self, line: str) -> None:
        print(f"vipose: {line}", file=self._stream, flush=True)


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._rate = Rate()
        self._name = ""
        self._frames: int | None = None

    def begin(self, name: str, position: int, total: int, frames: int | None) -> None:
        self._name, self._frames, self._rate = name, frames, Rate()
        short = name if len(name) <= _NAME else "…" + name[1 - _NAME :]
        title = f"[{position}/{total}] {short}".replace("[", r"\[")
        self._task = self._progress.add_task(title, total=frames, done="", rate=0.0, note="")

    def advance(self, done: int, note: str) -> None:
        if self._task is not None and self._rate.update(done):
            of = "" if self._frames is None else f"/{self._frames}"
            self._progress.update(self._task, completed=done, done=f"{done}{of}", rate=self._rate.fps, note=note)

    def end(self, line: str) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
            line = f"{self._name}: {line}"
        self.say(line)

    def say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
