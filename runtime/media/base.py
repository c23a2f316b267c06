"""What every source of pictures has in common: one pass, a window of time, every Nth frame, closing from another thread."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from vipose.runtime.errors import UsageError
from vipose.runtime.types import Frame, SourceInfo

__all__ = ["Rotate", "Selection", "Source"]

Rotate = Literal["auto", 0, 90, 180, 270]
"""``auto`` follows the file's own display matrix or EXIF tag; a number is clockwise degrees applied instead of it."""

_CLOSE_WAIT_S = 0.5  # a step on a file is far shorter; one on a dead network is not worth waiting for


@dataclass(frozen=True)
class Selection:
    """Which frames of a source are wanted.

    Attributes:
        start_s: first time wanted, in the source's own seconds (a container's clock may start before or after 0).
        end_s: first time no longer wanted; None reads to the end.
        every: 1 for each frame, N for those whose index is a multiple of N.

    Raises:
        UsageError: a value is out of range or the window is empty.
    """

    start_s: float | None = None
    end_s: float | None = None
    every: int = 1

    def __post_init__(self) -> None:
        for name, value in (("start", self.start_s), ("end", self.end_s)):
            if value is not None and not math.isfinite(value):
                raise UsageError(f"{name} is {value}; give a number of seconds")
        if self.start_s is not None and self.start_s < 0:
            raise UsageError(f"start is {self.start_s:g} s; it cannot be negative")
        if self.end_s is not None and self.end_s <= (self.start_s or 0.0):
            raise UsageError(f"end ({self.end_s:g} s) must come after start ({self.start_s or 0.0:g} s)")
        if self.every < 1:
            raise UsageError(f"every is {self.every}; give 1 for each frame, 2 for every second one, and so on")

    def before(self, time_s: float) -> bool:
        """Whether a frame at this time lies before the window."""
        return self.start_s is not None and time_s < self.start_s

    def after(self, time_s: float) -> bool:
        """Whether a frame at this time lies behind the window, so that reading can stop."""
        return self.end_s is not None and time_s >= self.end_s

    def takes(self, index: int) -> bool:
        """Whether a frame inside the window is wanted."""
        return index % self.every == 0


class Source(ABC):
    """Frames of one file, folder, camera or stream; iterate once, close when done (or use it as a context manager).

    The thread that iterates does the work. ``close()`` may be called from any other thread at any moment: it never
    waits long, and where the iterating thread is inside the decoder, that thread closes on its way out.

    Attributes:
        info: what is known before reading.
        decoded: frames that the decoder delivered inside the window of time so far.
        skipped: those of them that ``every`` left out; ``decoded - skipped`` frames were handed out.
        clock_origin: ``time.monotonic()`` at which ``time_s`` was 0; None where times come from a container.
    """

    info: SourceInfo
    clock_origin: float | None = None

    def __init__(self) -> None:
        self.decoded = 0
        self.skipped = 0
        self._started = False
        self._stop = threading.Event()
        self._lock = threading.Lock()

    @property
    def warnings(self) -> list[str]:
        """One line for each thing that was not as it should be, so far; complete after the last frame."""
        return []

    def __iter__(self) -> Iterator[Frame]:
        """Deliver the frames, in order, once.

        Raises:
            RuntimeError: the source was iterated before.
            InputError: a live source went away.
        """
        if self._started:
            raise RuntimeError(f"{self.info.name} was read already; open it again")
        self._started = True
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        try:
            while True:
                with self._lock:
                    frame = None if self._stop.is_set() else self._step()
                if frame is None or self._stop.is_set():
                    return
                yield frame
        finally:
            self.close()

    @abstractmethod
    def _step(self) -> Frame | None:
        """Return the next wanted frame, None at the end; long searches look at ``_stop``."""

    @abstractmethod
    def _release(self) -> None:
        """Free what is held; called under the lock, perhaps more than once."""

    def close(self) -> None:
        """Stop and free everything; may be called from any thread and more than once."""
        self._stop.set()
        if self._lock.acquire(timeout=_CLOSE_WAIT_S):
            try:
                self._release()
            finally:
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
