"""Sources that behave like cameras and files, without either."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from importlib.resources import files

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.types import Frame, SourceInfo

__all__ = ["FakeSource", "people_picture", "wait_until"]


def people_picture() -> npt.NDArray[np.uint8]:
    """[H, W, 3] uint8 RGB with people in it: the picture of the self-test."""
    data = np.frombuffer((files("vipose.exported") / "self-test.jpg").read_bytes(), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    return np.asarray(picture, np.uint8)


class FakeSource:
    """A camera (``live``) or a file that shows one picture again and again.

    Args:
        picture: [H, W, 3] uint8 RGB.
        live: a camera; else a file of ``frames`` frames.
        frames: None never ends.
        fps: by its own clock; a camera really takes that long.
    """

    def __init__(
        self, picture: npt.NDArray[np.uint8], *, live: bool = True, frames: int | None = None, fps: float = 50.0
    ) -> None:
        height, width = picture.shape[:2]
        self.info = SourceInfo("fake", "camera" if live else "video", (width, height), fps=fps, frames=frames, live=live)
        self.clock_origin = time.monotonic() if live else None
        self.decoded = self.skipped = 0
        self.warnings: list[str] = []
        self._picture, self._frames, self._fps = picture, frames, fps
        self._gone, self.closed = threading.Event(), threading.Event()

    def unplug(self) -> None:
        """The camera goes away."""
        self._gone.set()

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while not self.closed.is_set() and (self._frames is None or index < self._frames):
            if self.info.live and self.closed.wait(1 / self._fps):
                return
            if self._gone.is_set():
                raise InputError("fake delivers no pictures; it was unplugged or taken by another program")
            picture = self._picture.copy()
            picture.flags.writeable = False
            self.decoded += 1
            yield Frame(index, index / self._fps, picture, "fake")
            index += 1

    def close(self) -> None:
        """As a source's."""
        self.closed.set()


def wait_until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait for something that other threads bring about; fails the test where it does not come."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"waited {timeout_s:g} s in vain"
        time.sleep(0.005)
