"""Rolling figures of a live session, taken from the very FrameResults that are recorded.

Frames go into a ring of fixed size; :meth:`Statistics.summary` says what the last seconds were like and
:meth:`Statistics.columns` gives one column a frame for plots and tables. What is not known is None or NaN, never 0.

All times are those of ``time.monotonic()``. Not thread-safe: one thread feeds and asks, that of the screen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from vipose.app.core.latency import ALL_STAGES, OTHER, REASONS, STAGES, Columns, Spread, StageFigure, Summary, quantile
from vipose.app.core.shown import Shown
from vipose.runtime.types import FrameResult

__all__ = ["Statistics"]

Floats = npt.NDArray[np.float64]

_FIELDS = (
    "seen_s", "captured_s", "segment", "index", "time_s", "age_ms", "total", *ALL_STAGES,
    "people", "key", "propagated", *REASONS, "processed", "dropped",
)  # fmt: skip
_PLAIN = ("segment", "index", "time_s", "age_ms", "people", "key", "propagated", "processed", "dropped")
_AT = {name: position for position, name in enumerate(_FIELDS)}
_FIRST_STAGE, _FIRST_REASON = _AT[STAGES[0]], _AT[REASONS[0]]

_GAP_S = 1.0  # a step this long, and much longer than those before it, is a pause and no slow frame
_GAP_FACTOR = 5.0
_LEAST_SPAN_S = 0.25  # rates over less than this say nothing
_CLOCKS_DIFFER_MS = -100.0  # a frame painted this long before it was captured: the age is unknown
_PAINT_REACH = 8  # a picture is painted at most so many frames after it was added


class Statistics:
    """Feed it each shown frame; ask it as often as is useful.

    Args:
        window_s: how far plots and 95th percentiles reach back.
        recent_s: how far medians and the frame rate reach back.
        capacity: frames that are kept; the oldest go first, so that memory never grows.
    """

    def __init__(self, window_s: float = 10.0, recent_s: float = 2.0, capacity: int = 4096) -> None:
        self.window_s, self.recent_s = window_s, recent_s
        self._rows = np.full((capacity, len(_FIELDS)), np.nan)
        self.clear()

    def clear(self) -> None:
        """Forget everything: another source."""
        self._added = 0
        self._segment = 0
        self._paused, self._broken = False, True
        self._step_s: float | None = None
        self._last: FrameResult | None = None
        self._mode = ""

    def pause(self) -> None:
        """Nothing runs now: rates are not known until :meth:`resume`. A last frame may still come."""
        self._paused = True

    def resume(self) -> None:
        """It goes on; the next frame does not follow the last one."""
        self._paused, self._broken = False, True

    def add(self, shown: Shown, now_s: float) -> bool:
        """Take one frame in.

        Args:
            shown: the frame; one that was added last already (shown again with another look) is passed over.
            now_s: when it came.

        Returns:
            Whether it was a new frame.
        """
        result = shown.result
        last = self._last
        if last is not None and _same(result, last):
            return False
        newest = self._row(-1) if self._added else None
        if newest is not None:
            now_s = max(now_s, float(newest[_AT["seen_s"]]))
        self._follow(shown, now_s, newest)
        row = self._rows[self._added % len(self._rows)]
        self._fill(row, shown, now_s, 0 if newest is None else int(newest[_AT["processed"]]))
        self._added += 1
        self._last, self._mode, self._broken = result, shown.mode, False
        return True

    def painted(self, shown: Shown, painted_s: float) -> bool:
        """A picture was painted: the first time says how old it was on the screen; later ones are passed over.

        Returns:
            Whether an age was learnt.
        """
        for back in range(1, min(self._added, len(self._rows), _PAINT_REACH) + 1):
            row = self._row(-back)
            if row[_AT["captured_s"]] != shown.captured_s or row[_AT["index"]] != shown.result.index:
                continue
            age_ms = (painted_s - shown.captured_s) * 1e3
            if not math.isnan(row[_AT["age_ms"]]) or shown.captured_s <= 0 or age_ms < _CLOCKS_DIFFER_MS:
                return False
            row[_AT["age_ms"]] = max(age_ms, 0.0)
            return True
        return False

    def columns(self, *, everything: bool = False) -> Columns:
        """The frames of the window; with ``everything`` all that are kept."""
        rows = self._newest_rows() if everything else self._window()
        seen, segment = rows[:, _AT["seen_s"]], rows[:, _AT["segment"]]
        parts = {name: rows[:, _AT[name]] for name in _PLAIN}
        parts |= {
            "seen_s": seen,
            "begins_s": _begins(seen, segment),
            "total_ms": rows[:, _AT["total"]],
            "stages_ms": rows[:, _FIRST_STAGE: _FIRST_STAGE + len(ALL_STAGES)],
            "reasons": rows[:, _FIRST_REASON: _FIRST_REASON + len(REASONS)],
        }  # fmt: skip
        for part in parts.values():
            part.flags.writeable = False
        return Columns(self.window_s, self.recent_s, **parts)

    def summary(self, now_s: float) -> Summary:
        """What the last seconds before the newest frame were like; ``now_s`` tells whether that was long ago."""
        rows = self._window()
        last = self._last
        if last is None or not len(rows):
            return Summary(self.recent_s, self.window_s)
        run = rows[rows[:, _AT["segment"]] == self._segment]
        ends = rows[-1, _AT["seen_s"]]
        recent = run[run[:, _AT["seen_s"]] > ends - self.recent_s]
        stands = self._paused or self._broken or now_s - ends > max(self.recent_s, 3 * (self._step_s or 0.0))
        key, propagated = rows[:, _AT["key"]].sum(), rows[:, _AT["propagated"]].sum()
        counts = rows[:, _FIRST_REASON : _FIRST_REASON + len(REASONS)].sum(axis=0)
        return Summary(
            self.recent_s,
            self.window_s,
            frames=len(rows),
            unseen=_unseen(rows),
            fps=None if stands else _rate(run, "processed", max(len(recent), 2)),
            age_ms=_spread(recent[:, _AT["age_ms"]], run[:, _AT["age_ms"]]),
            total_ms=_spread(recent[:, _AT["total"]], run[:, _AT["total"]]),
            stages=tuple(_stage(stage, recent[:, _AT[stage]], run[:, _AT[stage]]) for stage in ALL_STAGES),
            dropped=last.counters.dropped,
            drop_rate=None if stands else _rate(run, "dropped", len(run)),
            people=len(last.people),
            people_key=int(rows[-1, _AT["key"]]),
            people_propagated=int(rows[-1, _AT["propagated"]]),
            key=int(key),
            propagated=int(propagated),
            reasons=MappingProxyType({reason: int(count) for reason, count in zip(REASONS, counts, strict=True)}),
            totals=last.counters,
            provider=last.provider,
            mode=self._mode,
        )

    def _follow(self, shown: Shown, now_s: float, newest: Floats | None) -> None:
        """Begin a new segment where this frame does not follow the last one."""
        last, step_s = self._last, math.inf if newest is None else now_s - float(newest[_AT["seen_s"]])
        result = shown.result
        longest = self.window_s if self._step_s is None else max(_GAP_S, _GAP_FACTOR * self._step_s)
        if (
            last is None
            or self._broken
            or step_s > longest
            or shown.mode != self._mode
            or result.index < last.index
            or result.counters.decoded < last.counters.decoded
            or result.counters.dropped < last.counters.dropped
        ):
            self._segment += 1
            self._step_s = None
        else:
            self._step_s = step_s if self._step_s is None else 0.9 * self._step_s + 0.1 * step_s

    def _fill(self, row: Floats, shown: Shown, now_s: float, processed: int) -> None:
        result = shown.result
        values: dict[str, float] = dict.fromkeys(REASONS, 0.0)
        for person in result.people:
            if person.kind == "key" and person.why in values:
                values[person.why] += 1
        values |= {
            "seen_s": now_s,
            "captured_s": shown.captured_s,
            "segment": self._segment,
            "index": result.index,
            "time_s": result.time_s,
            "people": len(result.people),
            "key": sum(person.kind == "key" for person in result.people),
            "propagated": sum(person.kind == "propagated" for person in result.people),
            "processed": result.counters.decoded or processed + 1,
            "dropped": result.counters.dropped,
        }
        row[:] = np.nan
        for name, value in (values | _stage_times(result.timings)).items():
            row[_AT[name]] = value

    def _row(self, back: int) -> Floats:
        """The row that was added as the last one (-1), the one before it (-2), ..."""
        row: Floats = self._rows[(self._added + back) % len(self._rows)]
        return row

    def _newest_rows(self, most: int | None = None) -> Floats:
        """A copy of the last rows, oldest first."""
        length = min(self._added, len(self._rows), self._added if most is None else most)
        return self._rows[np.arange(self._added - length, self._added) % len(self._rows)]

    def _window(self) -> Floats:
        rows = self._newest_rows()
        if not len(rows):
            return rows
        seen = rows[:, _AT["seen_s"]]
        return rows[np.searchsorted(seen, seen[-1] - self.window_s, "right") :]


def _same(result: FrameResult, last: FrameResult) -> bool:
    """Whether it is the frame that was added last, shown again."""
    counted = 0 < result.counters.decoded == last.counters.decoded
    return result is last or (counted and (result.index, result.time_s) == (last.index, last.time_s))


def _stage_times(timings: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds by field; empty where the result says nothing about time."""
    if not timings:
        return {}
    named = {stage: float(timings[stage]) for stage in STAGES if stage in timings}
    total = float(timings.get("total", sum(timings.values())))
    return named | {"total": total, OTHER: max(total - sum(named.values()), 0.0)}


def _begins(seen: Floats, segment: Floats) -> Floats:
    """Where each column begins: at the end of the last one, or, at the start of a run, a typical step earlier."""
    if not len(seen):
        return seen.copy()
    steps, same = np.diff(seen), np.diff(segment) == 0
    typical = float(np.median(steps[same])) if same.any() else 0.04
    begins = seen - typical
    begins[1:] = np.where(same, seen[:-1], np.maximum(begins[1:], seen[:-1]))
    return begins


def _spread(recent: Floats, run: Floats) -> Spread | None:
    """Median of the recent and 95th percentile of all known values."""
    recent, run = recent[~np.isnan(recent)], run[~np.isnan(run)]
    return Spread(quantile(recent, 0.5), quantile(run, 0.95)) if len(recent) else None


def _stage(stage: str, recent: Floats, run: Floats) -> StageFigure:
    """A stage that took no time at all did not run on that frame: the detector rests between its turns."""
    known = recent[~np.isnan(recent)]
    share = float((known > 0).mean()) if len(known) else None
    return StageFigure(stage, _spread(known[known > 0], run[run > 0]), share)


def _rate(run: Floats, counter: str, last: int) -> float | None:
    """Counts a second over the last rows of an unbroken run."""
    rows = run[-last:]
    span_s = rows[-1, _AT["seen_s"]] - rows[0, _AT["seen_s"]] if len(rows) else 0.0
    if span_s < _LEAST_SPAN_S:
        return None
    return float(rows[-1, _AT[counter]] - rows[0, _AT[counter]]) / float(span_s)


def _unseen(rows: Floats) -> int:
    """Frames that were processed between those of the rows."""
    same = np.diff(rows[:, _AT["segment"]]) == 0
    skipped = np.diff(rows[:, _AT["processed"]]) - 1
    return int(np.clip(skipped[same], 0, None).sum())
