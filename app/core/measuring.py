"""Measuring this computer from the application: what ``vipose tune`` does, in a thread of its own, with a way to end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from vipose.app.core.background import Background
from vipose.runtime.tune.store import Kept, Tuned, tuned_path, write_tuned

__all__ = ["RATES", "SECONDS", "Measured", "Measuring", "can_be_kept", "tuned_line"]

RATES = (24, 25, 30, 50, 60, 120)
"""Frame rates that are offered: those of usual cameras."""
SECONDS = 30.0
_TELL_S = 0.1
_JOIN_S = 2.0


@dataclass(frozen=True)
class Measured:
    """What came of it: ``tuned`` is kept already; ``notes`` are for the user, one line each."""

    tuned: Tuned
    notes: tuple[str, ...]


class _Cancelled(Exception):
    """Thrown out of a measurement that nobody wants any more."""


class Measuring:
    """One measurement; it begins at once.

    Args:
        fps: frame rate to hold.
        on_change: called from the thread, at most ten times a second for progress, and once at the end.
    """

    def __init__(self, fps: float, on_change: Callable[[], None]) -> None:
        self._fps, self._on_change = fps, on_change
        self._stop = threading.Event()
        self._doing = ("loading networks", 0.0)
        self._told_s = 0.0
        self._thread: Background[Measured | None] = Background(
            self._work, lambda _late: None, on_change, "vipose-measuring"
        )

    @property
    def doing(self) -> tuple[str, float]:
        """What is done now, and which share of that is over, 0..1."""
        return self._doing

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return self._thread.finished

    def result(self) -> Measured | None:
        """What came of it, None where it was cancelled; waits for it.

        Raises:
            ViposeError: it failed; what was kept before is still kept.
        """
        return self._thread.result()

    def cancel(self) -> None:
        """End it soon and keep nothing; does not wait."""
        self._stop.set()

    def close(self) -> None:
        """Cancel and wait for the thread, two seconds at most; safe to call twice."""
        self.cancel()
        self._thread.join(_JOIN_S)

    def _work(self) -> Measured | None:
        # Here, because the first picture of the application must not wait for them.
        from vipose.runtime.tune.measure import demo_clip
        from vipose.runtime.tune.record import tuned_by
        from vipose.runtime.tune.tuning import tune

        try:
            tuning = tune(demo_clip(), self._fps, seconds=SECONDS, tick=self._tick)
            self._tick("keeping it", 1.0)
        except _Cancelled:
            return None
        tuned = tuned_by(tuning)
        write_tuned(tuned)
        return Measured(tuned, tuning.notes)

    def _tick(self, what: str, share: float) -> None:
        if self._stop.is_set():
            raise _Cancelled
        now_s = time.monotonic()
        if now_s - self._told_s >= _TELL_S:
            self._told_s, self._doing = now_s, (what, share)
            self._on_change()


def can_be_kept() -> bool:
    """Whether this user wants measurements to be kept at all."""
    return tuned_path() is not None


def tuned_line(kept: Kept) -> str:
    """What is said of the kept setting; "" where nothing was kept."""
    return kept.problem if kept.tuned is None else f"tuned for this computer: {kept.tuned}"
