"""The batch queue: files run one after the other in a thread, while others are added, moved, cancelled or tried again.

The thread runs the very :class:`vipose.runtime.batch.Batch` of the command line. Options are fixed when a run starts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vipose.app.core.batch_intake import Found, Intake, Probed
from vipose.app.core.batch_items import BatchItem, BatchPhase, BatchStatus, ItemState, phase_may_follow
from vipose.app.core.batch_list import ItemList
from vipose.app.core.batch_words import STOPPED_EARLY, intake_notice, result_message
from vipose.app.core.networks import fitting_by_name
from vipose.runtime.batch import Batch, expected_outputs, shown_name, source_key, wanted_names
from vipose.runtime.drivers.queues import naming
from vipose.runtime.errors import ViposeError
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.options import RunOptions
from vipose.runtime.outputs import OutputNames
from vipose.runtime.progress import Rate
from vipose.runtime.report import SourceReport

__all__ = ["BatchQueue"]

_STATES = {
    "done": ItemState.DONE, "partial": ItemState.PARTIAL, "failed": ItemState.FAILED, "skipped": ItemState.SKIPPED,
    "interrupted": ItemState.CANCELLED,
}  # fmt: skip
_QUIET_S = 0.1  # progress is told at most this often
_QUEUE_FRAMES = 8  # between two stages: few, so that a run that is stopped has little left to write


class BatchQueue:
    """A queue of files and the two threads that work on it. Every method returns at once and may be called from any thread.

    Args:
        on_change: called from any thread when :attr:`status` is another one, while files run about five times a second.
        open_batch: loads the networks.
    """

    def __init__(self, on_change: Callable[[], None], *, open_batch: Callable[[RunOptions], Batch] = Batch) -> None:
        self._on_change, self._open_batch = on_change, open_batch
        self._lock = threading.RLock()
        self._more = threading.Condition(self._lock)
        self._items = ItemList()
        self._names = OutputNames()
        self._intake = Intake(self._on_found, self._on_probed, self._on_idle)
        self._phase = BatchPhase.IDLE
        self._thread: threading.Thread | None = None
        self._current: tuple[int, threading.Event] | None = None
        self._error: ViposeError | None = None
        self._twice: list[str] = []
        self._refused: list[str] = []
        self._beside: list[str] = []
        self._provider = ""
        self._run = self._left_out = self._frames = 0
        self._began_s = self._seconds = self._told_s = 0.0
        self._wanted: tuple[RunOptions, Path] = (RunOptions(), Path())
        self._closed = False

    @property
    def status(self) -> BatchStatus:
        """The queue at this moment."""
        with self._lock:
            current = self._items.get(self._current[0]) if self._current else None
            timed = self._phase is not BatchPhase.IDLE and self._began_s
            seconds = time.monotonic() - self._began_s if timed else self._seconds
            frames = self._frames + (current.done if current else 0)
            return BatchStatus(
                self._phase,
                self._items.all(),
                self._intake.busy,
                intake_notice(self._twice, self._refused, self._left_out, self._beside),
                self._error,
                self._provider,
                self._run,
                seconds,
                frames / seconds if seconds > 0 else 0.0,
            )

    def add(self, texts: Sequence[str], options: RunOptions, folder: Path) -> None:
        """Add files, and folders with all that lies in them; they turn up in :attr:`status` once they are found.

        Args:
            texts: paths.
            options: of the next run, to tell how many frames there will be.
            folder: of results: what lies in it is left out where a folder above it is added.
        """
        with self._lock:
            self._twice, self._refused, self._left_out, self._beside = [], [], 0, []
            self._wanted = (options, folder)
        self._intake.add(texts, options, folder)
        self._changed()

    def start(self, options: RunOptions, folder: Path) -> None:
        """Run what waits, and what is added meanwhile, to the end; does nothing while a run goes on.

        Args:
            options: of this run; later changes take effect at the next start.
            folder: where outputs go.
        """
        with self._lock:
            if self._closed or self._phase is not BatchPhase.IDLE or not self._has_more():
                return
            self._to(BatchPhase.LOADING)
            self._error, self._run = None, self._run + 1
            self._frames, self._began_s, self._seconds = 0, 0.0, 0.0
            options = replace(options, output=None, show=False, queue_frames=min(options.queue_frames, _QUEUE_FRAMES))
            self._wanted = (options, folder)
            self._thread = threading.Thread(target=self._work, args=(options, folder), name="vipose-batch", daemon=True)
            self._thread.start()
        self._changed()

    def stop(self) -> None:
        """End the run: the file that runs is cancelled, others go on waiting."""
        with self._lock:
            if self._phase in (BatchPhase.LOADING, BatchPhase.RUNNING):
                self._to(BatchPhase.STOPPING)
            if self._current is not None:
                self._cancel_current()
            self._more.notify_all()
        self._changed()

    def cancel(self, ids: Collection[int]) -> None:
        """Cancel items that wait or run; the run goes on with the next one."""
        with self._lock:
            self._items.cancel_waiting(ids, STOPPED_EARLY)
            if self._current is not None and self._current[0] in ids:
                self._cancel_current()
        self._changed()

    def retry(self, ids: Collection[int]) -> None:
        """Let items that ended wait again."""
        with self._lock:
            lost = self._items.retry(ids)
            options, folder = self._wanted
            self._more.notify_all()
        self._intake.add([item.text for item in lost], options, folder)
        self._changed()

    def remove(self, ids: Collection[int]) -> None:
        """Take items out of the queue; the one that runs stays. No file is deleted."""
        with self._lock:
            self._items.remove(ids)
        self._changed()

    def clear_finished(self) -> None:
        """Take out items that ended well."""
        with self._lock:
            self._items.clear_finished()
        self._changed()

    def shift(self, ids: Collection[int], step: int) -> None:
        """Move items one row up (-1) or down (1)."""
        with self._lock:
            self._items.shift(ids, step)
        self._changed()

    def move(self, ids: Collection[int], before: int) -> None:
        """Bring items together in front of row ``before``."""
        with self._lock:
            self._items.move(ids, before)
        self._changed()

    def close(self, timeout_s: float = 2.0) -> bool:
        """Stop and end both threads; files of what ran are valid. Safe to call twice.

        Returns:
            Whether they ended in time: one inside a slow read, or one that completes a very large file, goes on for itself.
        """
        until = time.monotonic() + timeout_s
        with self._lock:
            self._closed = True
        self.stop()
        ended = self._intake.close(max(0.0, until - time.monotonic()))
        if self._thread is not None:
            self._thread.join(max(0.0, until - time.monotonic()))
            ended = ended and not self._thread.is_alive()
        return ended

    def _cancel_current(self) -> None:
        if self._current is not None:
            item_id, stop = self._current
            stop.set()
            self._items.update(item_id, note="stopping")

    def _to(self, phase: BatchPhase) -> None:
        if not phase_may_follow(self._phase, phase):
            raise ValueError(f"{phase} cannot follow {self._phase}")
        self._phase = phase

    def _changed(self, *, soon: bool = True) -> None:
        """Tell whoever watches; with ``soon`` False only if nothing was told lately, since more of its kind will come."""
        now = time.monotonic()
        if self._closed or (not soon and now - self._told_s < _QUIET_S):
            return
        self._told_s = now
        self._on_change()

    # In the thread of a run.

    def _work(self, options: RunOptions, folder: Path) -> None:
        error: ViposeError | None = None
        try:
            with naming("the batch"), self._open_batch(fitting_by_name(options)) as batch:
                self._begin(str(batch.provider))
                while (item := self._next()) is not None:
                    self._one(batch, item, folder)
        except ViposeError as failed:
            error = failed
        with self._lock:
            self._error = error
            self._seconds = time.monotonic() - self._began_s if self._began_s else 0.0
            self._to(BatchPhase.IDLE)
        self._changed()

    def _begin(self, provider: str) -> None:
        with self._lock:
            self._provider, self._began_s = provider, time.monotonic()
            if self._phase is BatchPhase.LOADING:
                self._to(BatchPhase.RUNNING)
        self._changed()

    def _has_more(self) -> bool:
        return self._items.next_waiting() is not None or self._intake.finding

    def _next(self) -> BatchItem | None:
        """The next item, which runs from here on; waits while files are still being looked for. None at the end."""
        with self._more:
            while self._phase is BatchPhase.RUNNING and self._has_more():
                item = self._items.next_waiting()
                if item is not None:
                    self._current = (item.id, threading.Event())
                    return self._items.update(item.id, state=ItemState.RUNNING, run=self._run, note="reading")
                self._more.wait(0.2)
            return None

    def _one(self, batch: Batch, item: BatchItem, folder: Path) -> None:
        spec = item.spec
        assert spec is not None and self._current is not None  # what waits has a source
        self._changed()
        outputs: tuple[Path, ...] = ()
        try:
            with naming(f"running {item.name}"):
                with self._lock:
                    targets = self._names.plan(item.key, wanted_names(spec), folder, video=batch.options.video)
                report = batch.one(spec, targets, reporter=_Progress(self._on_progress), stop=self._current[1])
                outputs = tuple(Path(path) for path in report.outputs)
                if report.status == "skipped":
                    outputs = tuple(path for path in expected_outputs(targets, batch.options) if path.exists())
        except ViposeError as error:
            report = SourceReport(shown_name(spec.text), "failed", str(error))
        self._end(item.id, report, outputs)

    def _end(self, item_id: int, report: SourceReport, outputs: tuple[Path, ...]) -> None:
        with self._lock:
            self._current = None
            self._frames += report.processed
            ended = self._items.update(
                item_id,
                state=_STATES[report.status],
                report=report,
                outputs=outputs,
                note="",
                done=report.processed,
                fps=report.fps,
            )
            if ended is not None:
                self._items.update(item_id, message=result_message(ended))
        self._changed()

    def _on_progress(self, *, soon: bool = False, **changes: Any) -> None:
        with self._lock:
            if self._current is None:
                return
            if self._current[1].is_set():
                changes.pop("note", None)  # it says that the item is being stopped
            self._items.update(self._current[0], **changes)
        self._changed(soon=soon)

    # In the thread of the intake.

    def _on_found(self, found: Found) -> list[tuple[int, SourceSpec]]:
        looks: list[tuple[int, SourceSpec]] = []
        for spec in found.specs:
            with self._lock:
                if spec.path is None:
                    self._refused.append(shown_name(spec.text))
                elif (item := self._items.add(source_key(spec), spec.text, spec)) is None:
                    self._twice.append(Path(spec.text).name)
                else:
                    self._names.protect(wanted_names(spec))
                    looks.append((item.id, spec))
                    self._more.notify_all()
            self._changed(soon=False)
        with self._lock:
            self._left_out += found.left_out
            self._beside += found.beside
            for report in found.failed:
                if self._items.add(report.source, report.source, None, message=report.message) is None:
                    self._twice.append(Path(report.source).name)
        self._changed()
        return looks

    def _on_probed(self, item_id: int, probed: Probed) -> None:
        with self._lock:
            item = self._items.get(item_id)
            if item is not None and item.state is ItemState.WAITING:  # else it is known better by now
                if probed.message:
                    self._items.update(item_id, state=ItemState.FAILED, message=probed.message)
                else:
                    self._items.update(item_id, frames=probed.frames)
        self._changed(soon=False)

    def _on_idle(self) -> None:
        with self._lock:
            self._more.notify_all()
        self._changed()


class _Progress:
    """Hears from a run and tells the queue, five times a second."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell, self._rate = tell, Rate()

    def begin(self, name: str, position: int, total: int, frames: int | None) -> None:
        """The source is open; see :class:`~vipose.runtime.progress.Reporter`."""
        self._rate = Rate()
        self._tell(soon=True, frames=frames, note="")

    def advance(self, done: int, note: str) -> None:
        """So many frames are done."""
        if self._rate.update(done):
            self._tell(done=done, fps=self._rate.fps, note=note)

    def end(self, line: str) -> None:
        """Nothing: the report says it."""

    def say(self, line: str) -> None:
        """A word for the row."""
        self._tell(note=line)
