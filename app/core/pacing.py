"""Plays a file at the speed of its own clock, so that it behaves like a camera: who is late gets the newest frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from vipose.runtime.drivers.common import Source
from vipose.runtime.types import Frame, SourceInfo

__all__ = ["Paced"]

_JUMP_S = 2.0  # a longer step between two stamps is a hole in the file, not something to wait for
_LATE_S = 0.25  # a decoder that is slower than the clock does not race after it


class Paced:
    """A source whose frames come when they are due.

    Args:
        source: frames; closed by the caller.
    """

    clock_origin: float | None = None
    """None: a frame counts as captured when it is handed out, which is when it was due."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._changed = threading.Condition()
        self._paused = self._closed = False
        self._origin: float | None = None

    @property
    def info(self) -> SourceInfo:
        return self._source.info

    def pause(self) -> None:
        """Hand out nothing until :meth:`resume`; any thread may call it."""
        self._set(paused=True)

    def resume(self) -> None:
        """Go on with the very next frame; any thread may call it."""
        self._set(paused=False)

    def close(self) -> None:
        """End the iteration, also one that waits; any thread may call it."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _set(self, *, paused: bool) -> None:
        with self._changed:
            self._paused = paused
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            if not self._wait(frame.time_s):
                return
            yield frame

    def _wait(self, time_s: float) -> bool:
        """Wait until a frame is due; False when the source was closed meanwhile."""
        with self._changed:
            while not self._closed:
                if self._paused:
                    self._origin = None
                    self._changed.wait()
                    continue
                now = time.monotonic()
                if self._origin is None or not -_LATE_S <= self._origin + time_s - now <= _JUMP_S:
                    self._origin = now - time_s
                left = self._origin + time_s - now
                if left <= 0:
                    return True
                self._changed.wait(left)
        return False
