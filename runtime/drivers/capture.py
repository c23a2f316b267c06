"""A source in a thread of its own, its newest frame in a slot, and when each frame was captured."""

from __future__ import annotations

import math
import threading
import time

from vipose.runtime.drivers.common import Source
from vipose.runtime.drivers.queues import NewestSlot, naming
from vipose.runtime.types import Frame

__all__ = ["Capture"]

_JOIN_S = 5.0


class Capture:
    """Reads a source as fast as it delivers. Frames that nobody takes in time replace each other and are counted as dropped.

    Args:
        source: frames; closed by the caller.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._over = threading.Event()
        self._wanted = threading.Event()
        self._wanted.set()
        self._origin = math.inf
        self._slot = NewestSlot[tuple[Frame, float]](self._over)
        self._thread = threading.Thread(target=self._run, name="vipose-capture", daemon=True)
        self.delivered = 0

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def take(self, timeout_s: float) -> tuple[Frame, float] | None:
        """The newest frame and ``time.monotonic()`` at its capture; None when none came in time or the source has ended.

        Raises:
            ViposeError: what ended the source, after its last frame.
        """
        return self._slot.take(timeout_s)

    @property
    def dropped(self) -> int:
        """Frames that were replaced before anybody took them."""
        return self._slot.dropped

    @property
    def ended(self) -> bool:
        """Whether nothing will come any more."""
        return self._slot.ended

    def hold(self, on: bool) -> None:
        """While on, frames are read and thrown away, and not counted: a camera stays awake while nobody looks."""
        if on:
            self._wanted.clear()
        else:
            self._wanted.set()

    def close(self, timeout_s: float = _JOIN_S) -> None:
        """End the thread; one that sits in a read which takes long is left behind after the time-out."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        with self._slot.producing(), naming("capturing"):
            for frame in self._source:
                self.delivered += 1
                captured = self._captured(frame)
                if self._wanted.is_set():
                    self._slot.put((frame, captured))
                elif self._over.is_set():
                    return

    def _captured(self, frame: Frame) -> float:
        """When a frame was captured, on the monotonic clock.

        A sender's clock is only known through its frames. None can arrive before it was captured, so the frame with the
        least delay so far tells best how the two clocks lie; opening a stream delays the first one.
        """
        now = time.monotonic()
        if self._source.clock_origin is None:
            return now
        self._origin = min(self._origin, self._source.clock_origin, now - frame.time_s)
        return self._origin + frame.time_s
