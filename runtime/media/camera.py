"""Cameras: listing them by name, opening them with a time-out, reading them with the capture clock."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import DeviceError, InputError, UsageError
from vipose.runtime.media.base import Rotate, Selection, Source
from vipose.runtime.media.clock import StampRepair
from vipose.runtime.media.decode import reason
from vipose.runtime.media.pixels import Orientation
from vipose.runtime.types import Frame, SourceInfo

__all__ = ["CameraInfo", "CameraSource", "Capture", "find_camera", "list_cameras"]

Result = TypeVar("Result")
Picture = npt.NDArray[np.uint8]

# DirectShow opens at once where Media Foundation takes many seconds.
_BACKENDS = {"linux": cv2.CAP_V4L2, "win32": cv2.CAP_DSHOW, "darwin": cv2.CAP_AVFOUNDATION}
_BACKEND = _BACKENDS.get(sys.platform, cv2.CAP_ANY)
_FAILED_READS = 5  # in a row; a single failed grab is ordinary on some drivers
_RETRY_S = 0.05


@dataclass(frozen=True)
class CameraInfo:
    """A camera of this machine.

    Attributes:
        index: N of ``camera:N``.
        name: what the system calls it; ``camera:NAME`` or the bare name opens it.
        path: device path, None where the system has none.
        vendor, product: USB ids, None where unknown.
    """

    index: int
    name: str
    path: str | None = None
    vendor: int | None = None
    product: int | None = None


def list_cameras() -> list[CameraInfo]:
    """Cameras that the system names, lowest index first; opens none of them."""
    from cv2_enumerate_cameras import enumerate_cameras, supported_backends

    if _BACKEND not in supported_backends:
        return []
    found = enumerate_cameras(_BACKEND)
    cameras = (CameraInfo(int(c.index), str(c.name), c.path, c.vid, c.pid) for c in found)
    return sorted(cameras, key=lambda camera: camera.index)


def find_camera(name: str) -> CameraInfo | None:
    """The camera of this name, upper and lower case alike; None where there is none."""
    wanted = name.casefold()
    return next((camera for camera in list_cameras() if camera.name.casefold() == wanted), None)


class Capture(Protocol):
    """What is used of ``cv2.VideoCapture``."""

    def isOpened(self) -> bool: ...
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def get(self, propId: int, /) -> float: ...
    def set(self, propId: int, value: float, /) -> bool: ...
    def release(self) -> None: ...


def _open_capture(index: int) -> Capture:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our one line says the same
    try:
        return cv2.VideoCapture(index, _BACKEND)
    finally:
        cv2.utils.logging.setLogLevel(level)


class _Worker:
    """A daemon thread that makes the driver's calls, so that one that hangs can be left behind."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, answer = job
            try:
                answer.put((function(), None))
            except BaseException as error:  # noqa: BLE001  raised again in the thread that asked
                answer.put((None, error))

    def call(self, function: Callable[[], Result], timeout_s: float) -> Result:
        """Run a function on the thread; raises TimeoutError when it takes too long, else what the function raised."""
        answer: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._jobs.put((function, answer))
        try:
            value, error = answer.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None
        if error is not None:
            raise error
        result: Result = value
        return result

    def finish(self, last: Callable[[], None]) -> None:
        """Run one last function when the thread comes to it, then end the thread; does not wait."""
        self._jobs.put((last, queue.SimpleQueue()))
        self._jobs.put(None)


class CameraSource(Source):
    """A camera; ``time_s`` is the capture clock: monotonic seconds since it was opened.

    Frames come as they are asked for; whoever falls behind drops frames and counts them (the live driver does).

    Args:
        device: N of ``camera:N``, or a name.
        name: what messages and results call it.
        size, fps: asked of the driver, which may choose others; ``info`` says what it chose.
        rotate: clockwise degrees; ``auto`` is 0, cameras do not know how they are held.
        selection: window and steps; ``start_s`` passes over frames.
        timeout_s: for opening, and for each frame.
        open_capture: makes the capture from an index; for tests.

    Raises:
        DeviceError: there is no such camera, or it does not open or deliver in time.
        InputError: while iterating: it was unplugged or stopped.
    """

    def __init__(
        self,
        device: int | str,
        *,
        name: str | None = None,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        rotate: Rotate = "auto",
        selection: Selection | None = None,
        timeout_s: float = 10.0,
        open_capture: Callable[[int], Capture] = _open_capture,
    ) -> None:
        super().__init__()
        self._name = name or f"camera:{device}"
        self._selection = selection or Selection()
        self._orientation = Orientation(0 if rotate == "auto" else rotate)
        self._timeout_s = timeout_s
        self._index = 0
        self._capture: Capture | None = None
        self._freed = False
        self._repair = StampRepair(1 / 30)
        number = _index_of(device)
        self._worker = _Worker(f"vipose {self._name}")
        try:
            first, rate = self._begin(number, size, fps, open_capture)
        except BaseException:
            self._stop.set()
            self._release()
            raise
        self._first: tuple[float, Picture] | None = first
        height, width = first[1].shape[:2]
        self.info = SourceInfo(
            self._name,
            "camera",
            (width, height),
            fps=rate if 0 < rate < 1000 else None,
            rotation=self._orientation.degrees,
            live=True,
        )

    def _begin(
        self, number: int, size: tuple[int, int] | None, fps: float | None, open_capture: Callable[[int], Capture]
    ) -> tuple[tuple[float, Picture], float]:
        """Open the camera and read one picture: only that tells the true size and that it works."""
        try:
            self._worker.call(lambda: self._start(number, size, fps, open_capture), self._timeout_s)
            self.clock_origin = time.monotonic()
            first = self._read()
            return first, self._worker.call(lambda: self._require().get(cv2.CAP_PROP_FPS), self._timeout_s)
        except TimeoutError as error:
            raise DeviceError(
                f"{self._name} did not open within {self._timeout_s:g} s; close other programs that use it, "
                "or plug it in again"
            ) from error
        except (cv2.error, OSError, RuntimeError) as error:
            raise DeviceError(
                f"{self._name} cannot be used ({reason(error)}); 'vipose cameras' lists cameras"
            ) from error
        except InputError as error:
            raise DeviceError(str(error)) from error

    def _start(
        self, index: int, size: tuple[int, int] | None, fps: float | None, open_capture: Callable[[int], Capture]
    ) -> None:
        """Open and set up; runs on the worker."""
        capture = self._capture = open_capture(index)
        if not capture.isOpened():
            raise DeviceError(
                f"{self._name} does not open; it is missing, in use or forbidden: 'vipose cameras' lists what is there"
            )
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not one that waited
        if size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        if fps is not None:
            capture.set(cv2.CAP_PROP_FPS, fps)

    def _require(self) -> Capture:
        if self._capture is None:
            raise DeviceError(f"{self._name} is closed; open it again")
        return self._capture

    def _grab(self) -> tuple[float, Any]:
        """One picture and the moment it was grabbed; runs on the worker."""
        for _ in range(_FAILED_READS):
            if self._stop.is_set():
                break
            if self._require().grab():
                moment = time.monotonic()
                ok, image = self._require().retrieve()
                if ok and image is not None and image.size:
                    return moment, image
            time.sleep(_RETRY_S)
        raise InputError(f"{self._name} delivers no pictures; it was unplugged or taken by another program")

    def _read(self) -> tuple[float, Picture]:
        moment, image = self._worker.call(self._grab, self._timeout_s)
        code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
        upright = self._orientation.apply(cv2.cvtColor(image, code).astype(np.uint8, copy=False))
        upright.flags.writeable = False
        return self._repair(moment - (self.clock_origin or 0.0)), upright

    def _step(self) -> Frame | None:
        try:
            return self._search()
        except InputError:
            if self._stop.is_set():  # whoever closes the camera does not care how it ends
                return None
            raise

    def _search(self) -> Frame | None:
        while not self._stop.is_set():
            time_s, image = self._first or self._next()
            self._first = None
            if self._selection.after(time_s):
                return None
            index, self._index = self._index, self._index + 1
            if self._selection.before(time_s):
                continue
            self.decoded += 1
            if self._selection.takes(index):
                return Frame(index, time_s, image, self._name)
            self.skipped += 1
        return None

    def _next(self) -> tuple[float, Picture]:
        try:
            return self._read()
        except TimeoutError as error:
            raise InputError(
                f"{self._name} sent no picture for {self._timeout_s:g} s; it was unplugged or hangs"
            ) from error
        except (cv2.error, OSError, RuntimeError) as error:
            raise InputError(
                f"{self._name} broke off ({reason(error)}); it was unplugged or its driver failed"
            ) from error

    @property
    def warnings(self) -> list[str]:
        return self._repair.warnings

    def _free(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def _release(self) -> None:
        if not self._freed:
            self._freed = True
            self._worker.finish(self._free)


def _index_of(device: int | str) -> int:
    if isinstance(device, int):
        if device < 0:
            raise UsageError(f"camera:{device} cannot be; cameras count from 0")
        return device
    camera = find_camera(device)
    if camera is None:
        raise DeviceError(f"there is no camera called '{device}'; 'vipose cameras' lists what is there")
    return camera.index
