"""Time stamps made strictly increasing, with as little change as possible."""

from __future__ import annotations

__all__ = ["StampRepair"]

_STEP_S = 1e-3  # what a repeated stamp is moved by: distinct in every container we write (Matroska counts milliseconds)
_JUMP_S = 1.0  # a stamp that falls back by more starts a new timeline: times go on at the nominal rate


class StampRepair:
    """Repairs presentation times one after another.

    A time after the last one is never touched, so variable rates stay as they are. A missing time becomes the last one
    plus a nominal interval. A time that repeats or falls back a little is moved to 1 ms behind the last one. One that
    falls back by more than a second (a restarted clock) goes on at the nominal interval, and so do all that follow it.

    Args:
        interval_s: nominal time between frames, used only where there is nothing better.

    Example:
        >>> repair = StampRepair(0.04)
        >>> [round(repair(t), 3) for t in (0.5, 0.54, 0.54, 0.52, None)]
        [0.5, 0.54, 0.541, 0.542, 0.582]
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last: float | None = None
        self._offset_s = 0.0
        self.missing = 0
        self.repeated = 0
        self.backward = 0

    def __call__(self, stamp_s: float | None) -> float:
        """Return the time of the next frame in seconds; ``stamp_s`` is what the container says, None where it is silent."""
        if stamp_s is None:
            self.missing += 1
            time_s = 0.0 if self._last is None else self._last + self._interval_s
        else:
            time_s = self._ordered(stamp_s + self._offset_s)
        self._last = time_s
        return time_s

    def _ordered(self, time_s: float) -> float:
        if self._last is None or time_s > self._last:
            return time_s
        if time_s == self._last:
            self.repeated += 1
        else:
            self.backward += 1
        if time_s < self._last - _JUMP_S:
            shifted = self._last + self._interval_s
            self._offset_s += shifted - time_s
            return shifted
        return self._last + _STEP_S

    @property
    def warnings(self) -> list[str]:
        """What was repaired, one line a kind."""
        kinds = (
            (self.missing, "time stamps were missing {} times; the nominal rate was assumed"),
            (self.repeated, "time stamps repeated {} times; moved by 1 ms"),
            (self.backward, "time stamps went backwards {} times; repaired"),
        )
        return [text.format(count) for count, text in kinds if count]
