"""Who is a key person on a frame, and why; everybody else is propagated.

Period P = T + 1: a key frame, then T propagated ones. Phases of different people are staggered so that the cost per frame is
level: at a key frame a person takes the slot (frame number modulo P) that fewest others have, which can only make the next
period shorter than P, never longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vipose.runtime.errors import UsageError
from vipose.runtime.types import Kind, Why

__all__ = ["EARLY", "Decision", "ScheduleConfig", "Scheduler"]

EARLY: frozenset[Why] = frozenset({"score", "jump", "implausible", "cut", "gap"})
"""Reasons that come before the phase is due; people on frames with one of them are counted as forced."""


@dataclass(frozen=True)
class ScheduleConfig:
    """How key frames are dealt out.

    Attributes:
        period: frames from one key frame to the next, T + 1; 1 makes every frame a key frame.
        max_keys: deadline mode: at most so many ``due`` people a frame, the rest are put off (and counted); 0 = no limit.
            New and early key people are never put off.

    Raises:
        UsageError: a value is out of range.
    """

    period: int = 4
    max_keys: int = 0

    def __post_init__(self) -> None:
        if self.period < 1:
            raise UsageError(f"period {self.period} is not allowed (1 or more frames); 1 makes every frame a key frame")
        if self.max_keys < 0:
            raise UsageError(f"max_keys {self.max_keys} is not allowed (0 or more people); 0 sets no limit")


@dataclass(frozen=True)
class Decision:
    """What one person is on one frame: ``phase`` 0 with ``why`` for a key frame, else 1..T."""

    kind: Kind
    why: Why
    phase: int


@dataclass
class _Person:
    """Frames are counted by the scheduler itself, from 0."""

    last_key: int
    due: int


@dataclass
class Scheduler:
    """Feed :meth:`plan` every frame in order.

    Attributes:
        reasons: how often each reason made somebody a key person (``new`` ones that turned out to be nobody included).
        postponed: how often deadline mode put a due key frame off.
    """

    config: ScheduleConfig = field(default_factory=ScheduleConfig)
    reasons: Counter[Why] = field(default_factory=Counter)
    postponed: int = 0
    _frame: int = -1
    _people: dict[int, _Person] = field(default_factory=dict)

    def plan(self, people: Iterable[int], early: Mapping[int, Why] | None = None) -> dict[int, Decision]:
        """Decide for one frame.

        Args:
            people: ids of everybody on this frame. Who was not on the frame before is new.
            early: reasons for key frames before they are due, known before any network has run.

        Returns:
            One decision an id, ids ascending.
        """
        early = early or {}
        self._frame += 1
        present = sorted(set(people))
        self._people = {i: self._people[i] for i in present if i in self._people}
        reasons = {i: self._reason(i, early.get(i, "")) for i in present}
        self._hold_back(reasons)
        return {i: self._key(i, why) if why else self._propagated(i) for i, why in reasons.items()}

    def reconfigure(self, config: ScheduleConfig) -> None:
        """Another period or limit from the next frame on; nobody waits longer for a key frame than the new period."""
        self.config = config
        for person in self._people.values():
            person.due = min(person.due, person.last_key + config.period)

    def promote(self, person: int, why: Why) -> Decision:
        """Make a person who was to be propagated on this frame a key person after all (the result was not good enough)."""
        return self._key(person, why)

    def forget(self, alive: set[int]) -> None:
        """Drop everybody whose id is not in ``alive``: they have no heatmaps to go on from and will be new."""
        self._people = {i: person for i, person in self._people.items() if i in alive}

    def _reason(self, person: int, early: Why) -> Why:
        known = self._people.get(person)
        if known is None:
            return early or "new"
        if early:
            return early
        if self.config.period == 1:
            return "every"
        return "due" if self._frame >= known.due else ""

    def _hold_back(self, reasons: dict[int, Why]) -> None:
        """Deadline mode: those whose key frame is oldest go first."""
        limit = self.config.max_keys
        due = [i for i, why in reasons.items() if why == "due"]
        if not limit or len(due) <= limit:
            return
        due.sort(key=lambda i: (self._people[i].last_key, i))
        for person in due[limit:]:
            reasons[person] = ""
            self.postponed += 1

    def _key(self, person: int, why: Why) -> Decision:
        self.reasons[why] += 1
        self._people.pop(person, None)
        self._people[person] = _Person(self._frame, self._next_due())
        return Decision("key", why, 0)

    def _next_due(self) -> int:
        """The frame in the coming period whose slot fewest others have; the latest of equals."""
        period = self.config.period
        load = Counter(other.due % period for other in self._people.values())
        return max(range(self._frame + 1, self._frame + period + 1), key=lambda frame: (-load[frame % period], frame))

    def _propagated(self, person: int) -> Decision:
        phase = self._frame - self._people[person].last_key
        return Decision("propagated", "", min(phase, max(self.config.period - 1, 1)))
