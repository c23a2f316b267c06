"""Exports in a thread of their own: started, watched, cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from vipose.app.core.export_jobs import export
from vipose.app.core.export_plan import ExportPlan, check_plan
from vipose.runtime.drivers.queues import naming
from vipose.runtime.errors import ViposeError
from vipose.runtime.media.seek import Interrupted

__all__ = ["ExportPhase", "ExportStatus", "Exporter", "export_may_follow"]

_TELL_S = 0.1
_JOIN_S = 2.0


class ExportPhase(StrEnum):
    """Where an export stands."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"  # asked to stop; what was begun is taken back
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def active(self) -> bool:
        """Whether its thread is busy."""
        return self in (ExportPhase.RUNNING, ExportPhase.CANCELLING)


_OVER = frozenset({ExportPhase.DONE, ExportPhase.CANCELLED, ExportPhase.FAILED})
_FOLLOWS: dict[ExportPhase, frozenset[ExportPhase]] = {
    ExportPhase.IDLE: frozenset({ExportPhase.RUNNING}),
    ExportPhase.RUNNING: _OVER | {ExportPhase.CANCELLING},
    ExportPhase.CANCELLING: _OVER,  # done all the same, where the wish came too late
    **dict.fromkeys(_OVER, frozenset({ExportPhase.RUNNING})),
}


def export_may_follow(now: ExportPhase, then: ExportPhase) -> bool:
    """Whether ``then`` may come right after ``now``."""
    return then in _FOLLOWS[now]


@dataclass(frozen=True)
class ExportStatus:
    """What a view shows of an export.

    Attributes:
        phase: where it stands.
        done, total: frames.
        left_s: seconds that are left, None where that cannot be said yet.
        outputs: what was written, once it is done.
        notes: what the user should know, a line each.
        error: why it failed.
    """

    phase: ExportPhase = ExportPhase.IDLE
    done: int = 0
    total: int = 0
    left_s: float | None = None
    outputs: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    error: ViposeError | None = None


class Exporter:
    """One export at a time.

    Args:
        on_change: called from the export's thread whenever :attr:`status` changed, at most ten times a second for progress.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._status = ExportStatus()
        self._told_s = self._begun_s = 0.0

    @property
    def status(self) -> ExportStatus:
        """A snapshot; any thread may ask."""
        with self._lock:
            return self._status

    def start(self, plan: ExportPlan) -> None:
        """Begin; whether existing files may be replaced has been asked before.

        Raises:
            UsageError: an output would replace its own input.
            RuntimeError: an export is running.
        """
        check_plan(plan)
        with self._lock:
            if self._status.phase.active:
                raise RuntimeError("an export is running")
            self._enter(ExportPhase.RUNNING, done=0, total=len(plan.stored), left_s=None, outputs=(), notes=(), error=None)
            self._stop.clear()
            self._begun_s = self._told_s = time.monotonic()
            self._thread = threading.Thread(target=self._run, args=(plan,), name="vipose-export", daemon=True)
            self._thread.start()
        self._on_change()

    def cancel(self) -> None:
        """Stop soon and leave nothing behind; the end arrives in ``status``."""
        with self._lock:
            if self._status.phase is not ExportPhase.RUNNING:
                return
            self._enter(ExportPhase.CANCELLING)
            self._stop.set()
        self._on_change()

    def close(self) -> None:
        """Cancel and wait for the thread, two seconds at most; safe to call twice."""
        self.cancel()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def _enter(self, phase: ExportPhase, **changes: object) -> None:
        """Under the lock: the next phase."""
        now = self._status.phase
        if not export_may_follow(now, phase):
            raise AssertionError(f"{phase} cannot follow {now}")
        self._status = replace(self._status, phase=phase, **changes)  # type: ignore[arg-type]

    def _run(self, plan: ExportPlan) -> None:
        try:
            with naming("export"):
                self._work(plan)
        except ViposeError as error:
            with self._lock:
                self._enter(ExportPhase.FAILED, error=error, left_s=None)
        self._on_change()

    def _work(self, plan: ExportPlan) -> None:
        try:
            outputs, notes = export(plan, self._advance, self._stop.is_set)
        except Interrupted:
            with self._lock:
                self._enter(ExportPhase.CANCELLED, left_s=None)
            return
        with self._lock:
            self._enter(ExportPhase.DONE, done=self._status.total, left_s=None, outputs=outputs, notes=notes)

    def _advance(self, done: int) -> None:
        if self._stop.is_set():
            raise Interrupted
        now_s = time.monotonic()
        if now_s - self._told_s < _TELL_S:
            return
        self._told_s = now_s
        with self._lock:
            left_s = (now_s - self._begun_s) / done * (self._status.total - done) if done else None
            self._status = replace(self._status, done=done, left_s=left_s)
        self._on_change()
