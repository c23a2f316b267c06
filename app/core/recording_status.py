"""What the screen may know of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ["RecordingPhase", "RecordingStatus", "may_follow"]


class RecordingPhase(StrEnum):
    """Where a recording stands."""

    STARTING = "starting"  # it waits for the first frame
    RECORDING = "recording"
    FINISHING = "finishing"  # no frame comes any more; what waits is written and the files are closed
    DONE = "done"
    FAILED = "failed"  # something could not be written; what could be is kept

    @property
    def active(self) -> bool:
        """Whether its thread still works."""
        return self not in (RecordingPhase.DONE, RecordingPhase.FAILED)


_FOLLOWS: dict[RecordingPhase, frozenset[RecordingPhase]] = {
    RecordingPhase.STARTING: frozenset({RecordingPhase.RECORDING, RecordingPhase.FINISHING, RecordingPhase.FAILED}),
    RecordingPhase.RECORDING: frozenset({RecordingPhase.FINISHING, RecordingPhase.FAILED}),
    RecordingPhase.FINISHING: frozenset({RecordingPhase.DONE, RecordingPhase.FAILED}),
    RecordingPhase.DONE: frozenset(),
    RecordingPhase.FAILED: frozenset(),
}


def may_follow(now: RecordingPhase, then: RecordingPhase) -> bool:
    """Whether ``then`` may come right after ``now``."""
    return then in _FOLLOWS[now]


@dataclass(frozen=True)
class RecordingStatus:
    """A recording at one moment.

    Attributes:
        phase: where it stands.
        seconds: length of what is written.
        frames: frames that are written.
        size_bytes: of all its files together, about half a second old.
        path: the video, None before the first frame and where nothing was written.
        outputs: files and folders that are complete; after the end.
        waiting: frames that wait to be drawn and written.
        slow: it cannot keep up, so that the session waits for it and the camera's frames are dropped.
        message: one line for the user: why it ended or failed, what could not be done; "" for nothing.
    """

    phase: RecordingPhase = RecordingPhase.STARTING
    seconds: float = 0.0
    frames: int = 0
    size_bytes: int = 0
    path: Path | None = None
    outputs: tuple[Path, ...] = ()
    waiting: int = 0
    slow: bool = False
    message: str = ""

    @property
    def results(self) -> Path | None:
        """The native result file, None where there is none (yet)."""
        return next((path for path in self.outputs if path.suffix == ".jsonl"), None)
