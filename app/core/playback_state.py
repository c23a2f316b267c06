"""Where the playback of stored results stands: its phases, and what a view is told."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vipose.app.core.stored import StoredResults
from vipose.runtime.errors import ViposeError

__all__ = ["SPEEDS", "PlayClock", "PlayPhase", "PlaybackStatus", "play_may_follow"]

SPEEDS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0)
"""Speeds that a view offers; any from the first to the last is allowed."""


class PlayPhase(StrEnum):
    """Where the playback of a result file stands."""

    CLOSED = "closed"  # no file is open
    LOADING = "loading"  # the file is read and its video listed
    PAUSED = "paused"
    PLAYING = "playing"
    FAILED = "failed"  # the file could not be opened; the error says why

    @property
    def ready(self) -> bool:
        """Whether frames can be shown."""
        return self in (PlayPhase.PAUSED, PlayPhase.PLAYING)


_FOLLOWS: dict[PlayPhase, frozenset[PlayPhase]] = {
    PlayPhase.CLOSED: frozenset({PlayPhase.LOADING}),
    PlayPhase.LOADING: frozenset({PlayPhase.LOADING, PlayPhase.PAUSED, PlayPhase.FAILED, PlayPhase.CLOSED}),
    PlayPhase.PAUSED: frozenset({PlayPhase.PLAYING, PlayPhase.LOADING, PlayPhase.FAILED, PlayPhase.CLOSED}),
    PlayPhase.PLAYING: frozenset({PlayPhase.PAUSED, PlayPhase.LOADING, PlayPhase.FAILED, PlayPhase.CLOSED}),
    PlayPhase.FAILED: frozenset({PlayPhase.LOADING, PlayPhase.CLOSED}),
}


def play_may_follow(now: PlayPhase, then: PlayPhase) -> bool:
    """Whether ``then`` may come right after ``now``."""
    return then in _FOLLOWS[now]


@dataclass(frozen=True)
class PlaybackStatus:
    """What a view shows beside the picture.

    Attributes:
        phase: where it stands.
        path: the result file, None where none was opened.
        progress: share of the file that is read while loading.
        stored: the results; None unless frames can be shown.
        video: whose pictures are shown, None for black ones.
        notices: what the user should know, a line each.
        position: of the frame shown, counted from 0 among the stored frames.
        speed: 1 is real time.
        error: why it failed, or why a video that was chosen could not be opened; its arrival is the news.
    """

    phase: PlayPhase = PlayPhase.CLOSED
    path: Path | None = None
    progress: float = 0.0
    stored: StoredResults | None = None
    video: Path | None = None
    notices: tuple[str, ...] = ()
    position: int = 0
    speed: float = 1.0
    error: ViposeError | None = None

    @property
    def count(self) -> int:
        """Stored frames, 0 where nothing is open."""
        return 0 if self.stored is None else len(self.stored)

    @property
    def time_s(self) -> float:
        """Time of the frame shown, in the source's seconds."""
        return 0.0 if self.stored is None else float(self.stored.times_s[self.position])


class PlayClock:
    """Relates the source's time to the computer's while results are played."""

    def __init__(self, time_s: float, speed: float) -> None:
        self.speed = speed
        self.start(time_s)

    def start(self, time_s: float) -> None:
        """Let it be ``time_s`` now."""
        self._time_s, self._origin_s = time_s, time.monotonic()

    def now_s(self) -> float:
        """The source's time at this moment."""
        return self._time_s + (time.monotonic() - self._origin_s) * self.speed

    def due_s(self, time_s: float) -> float:
        """``time.monotonic()`` at which a time of the source is due."""
        return self._origin_s + (time_s - self._time_s) / self.speed
