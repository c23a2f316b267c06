"""Finds the files behind what was dropped on the queue and looks at each, in a thread that lives while it has work."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vipose.runtime.batch import beside_videos, find_sources
from vipose.runtime.drivers.queues import naming
from vipose.runtime.errors import ViposeError
from vipose.runtime.job import expected_frames, open_chosen
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.options import RunOptions
from vipose.runtime.report import SourceReport

__all__ = ["Found", "Intake", "Probed"]


@dataclass(frozen=True)
class Found:
    """What one text came to.

    Attributes:
        text: that was looked at.
        specs: sources.
        failed: what names none.
        left_out: results of earlier runs that lie in a folder that was added.
        beside: folders whose pictures are no sources since they lie beside videos, as "3 pictures in FOLDER".
    """

    text: str
    specs: tuple[SourceSpec, ...] = ()
    failed: tuple[SourceReport, ...] = ()
    left_out: int = 0
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probed:
    """What is known of a source after a look at it.

    Attributes:
        frames: about how many will be processed, None where nobody knows.
        message: why it cannot be read, "" where it can.
    """

    frames: int | None = None
    message: str = ""


@dataclass(frozen=True)
class _Text:
    text: str
    options: RunOptions
    results: Path


class Intake:
    """Looks up texts, then looks at what was found; texts come first, so that rows appear soon.

    Args:
        found: called from the thread for each text; returns the ids of sources that are to be looked at.
        probed: called from the thread with the id and what is known of a source.
        idle: called from the thread when there is nothing more to do.
    """

    def __init__(
        self,
        found: Callable[[Found], Sequence[tuple[int, SourceSpec]]],
        probed: Callable[[int, Probed], None],
        idle: Callable[[], None],
    ) -> None:
        self._found, self._probed, self._idle = found, probed, idle
        self._texts: deque[_Text] = deque()
        self._looks: deque[tuple[int, SourceSpec, RunOptions]] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._busy = self._finding = False
        self._stop = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether there is something to look up or to look at."""
        return self._busy

    @property
    def finding(self) -> bool:
        """Whether more sources may turn up."""
        with self._lock:
            return self._finding or bool(self._texts)

    def add(self, texts: Sequence[str], options: RunOptions, results: Path) -> None:
        """Look these up; never waits.

        Args:
            texts: files and folders.
            options: of the run: what part of a source is wanted.
            results: folder of results; what lies in it is left out where a folder above it is added.
        """
        with self._lock:
            if self._stop.is_set():
                return
            self._texts += [_Text(text, options, results) for text in texts]
            if not self._busy and self._texts:
                self._busy = True
                self._thread = threading.Thread(target=self._run, name="vipose-batch-intake", daemon=True)
                self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """End the thread; False where it is still inside a read after that time."""
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def _run(self) -> None:
        while (work := self._take()) is not None:
            if isinstance(work, _Text):
                looks = self._found(_look_up(work))
                with self._lock:
                    self._looks += [(item_id, spec, work.options) for item_id, spec in looks]
                    self._finding = False
            else:
                item_id, spec, options = work
                self._probed(item_id, _look_at(spec, options))
        self._idle()

    def _take(self) -> _Text | tuple[int, SourceSpec, RunOptions] | None:
        """The next thing to do; None, and no thread any more, where there is nothing."""
        with self._lock:
            if not self._stop.is_set():
                if self._texts:
                    self._finding = True
                    return self._texts.popleft()
                if self._looks:
                    return self._looks.popleft()
            self._busy = False
            return None


def _look_up(work: _Text) -> Found:
    try:
        with naming(f"looking for {work.text}"):
            items = find_sources([work.text], recursive=True)
    except ViposeError as error:
        return Found(work.text, failed=(SourceReport(work.text, "failed", str(error)),))
    results = work.results.expanduser().resolve()
    own = not Path(work.text).resolve().is_relative_to(results)
    specs = [item for item in items if isinstance(item, SourceSpec)]
    kept = [s for s in specs if not (own and s.path is not None and s.path.resolve().is_relative_to(results))]
    reports = [item for item in items if isinstance(item, SourceReport)]
    failed = tuple(report for report in reports if report.status == "failed")
    beside = tuple(report.source for report in beside_videos([work.text], kept))
    return Found(work.text, tuple(kept), failed, len(specs) - len(kept) + len(reports) - len(failed), beside)


def _look_at(spec: SourceSpec, options: RunOptions) -> Probed:
    """Open a source as a run would; its first picture is decoded."""
    try:
        with naming(f"looking at {spec.text}"), open_chosen(spec, options) as source:
            return Probed(expected_frames(source.info, options))
    except ViposeError as error:
        return Probed(message=str(error))
