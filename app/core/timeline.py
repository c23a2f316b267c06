"""One unbroken line of results out of a live session, whose source and tracks may begin again while it is recorded."""

from __future__ import annotations

from dataclasses import replace

from vipose.runtime.types import FrameResult

__all__ = ["Timeline"]

_LEAST_S = 1e-3


class Timeline:
    """Gives results the places and ids that they have in one file.

    Of a file that is played, index and time stay: they point at the pictures of that file. A camera or stream has no file
    but the recording, so its results count from 0 as the pictures of the recorded video do; where it was away, the time
    that passed meanwhile is put in between.

    When tracks begin again (another pipeline), ids would begin at 1 again; in the file they go on behind the highest one.

    Args:
        own: the source has no file (see above).
    """

    def __init__(self, *, own: bool) -> None:
        self._own = own
        self._last: FrameResult | None = None
        self._arrived_s = 0.0
        self._placed_s = 0.0
        self._count = 0
        self._first_id = self._highest_id = 0
        self.shift_s = 0.0
        """What is added to times at present."""

    def place(self, result: FrameResult, arrived_s: float) -> FrameResult | None:
        """A result as it goes into the file.

        Args:
            result: as the session made it.
            arrived_s: ``time.monotonic()`` when it was made.

        Returns:
            The result; None where a file that is played began again, so that nothing can follow.
        """
        last = self._last
        if last is not None and not self._own and result.index <= last.index:
            return None
        if self._own:
            self._shift(result, arrived_s)
        if last is not None and 0 < result.counters.decoded <= last.counters.decoded:
            self._first_id = self._highest_id
        people = result.people
        if self._first_id:
            people = tuple(replace(person, id=person.id + self._first_id) for person in people)
        self._highest_id = max(self._highest_id, *(person.id for person in people), 0)
        placed = replace(
            result, index=self._count if self._own else result.index, time_s=result.time_s + self.shift_s, people=people
        )
        self._last, self._arrived_s, self._placed_s = result, arrived_s, placed.time_s
        self._count += 1
        return placed

    def _shift(self, result: FrameResult, arrived_s: float) -> None:
        last = self._last
        if last is None:
            self.shift_s = -result.time_s
        elif result.index <= last.index or result.time_s <= last.time_s:
            passed_s = max(arrived_s - self._arrived_s, _LEAST_S)
            self.shift_s = self._placed_s + passed_s - result.time_s
