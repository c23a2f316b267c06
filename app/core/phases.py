"""The state machine of a worker: which phase may follow which, and what a phase means to the user."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Phase", "may_follow"]


class Phase(StrEnum):
    """Where a live session stands."""

    IDLE = "idle"  # nothing is open
    OPENING = "opening"  # source and networks are being opened
    RUNNING = "running"
    PAUSED = "paused"
    RECONNECTING = "reconnecting"  # the camera or stream went away; it is tried again and again
    STOPPING = "stopping"  # threads are ending
    ENDED = "ended"  # a file came to its end; its last picture stays on the screen
    FAILED = "failed"  # it could not be opened, or broke; the message says why

    @property
    def active(self) -> bool:
        """Whether a worker is busy with a source."""
        return self in (Phase.OPENING, Phase.RUNNING, Phase.PAUSED, Phase.RECONNECTING, Phase.STOPPING)


_FOLLOWS: dict[Phase, frozenset[Phase]] = {
    Phase.IDLE: frozenset({Phase.OPENING}),
    Phase.OPENING: frozenset({Phase.RUNNING, Phase.PAUSED, Phase.STOPPING, Phase.FAILED}),
    Phase.RUNNING: frozenset({Phase.PAUSED, Phase.RECONNECTING, Phase.STOPPING, Phase.ENDED, Phase.FAILED}),
    Phase.PAUSED: frozenset({Phase.RUNNING, Phase.RECONNECTING, Phase.STOPPING, Phase.ENDED, Phase.FAILED}),
    Phase.RECONNECTING: frozenset({Phase.RUNNING, Phase.PAUSED, Phase.STOPPING, Phase.FAILED}),
    Phase.STOPPING: frozenset({Phase.IDLE, Phase.FAILED}),
    Phase.ENDED: frozenset({Phase.OPENING, Phase.IDLE}),
    Phase.FAILED: frozenset({Phase.OPENING, Phase.IDLE}),
}


def may_follow(now: Phase, then: Phase) -> bool:
    """Whether ``then`` may come right after ``now``."""
    return then in _FOLLOWS[now]
