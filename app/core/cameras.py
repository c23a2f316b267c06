"""Which cameras there are, looked up again and again in a thread: they are plugged in and out while the application runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from vipose.app.core.listeners import Listeners
from vipose.runtime.drivers.queues import naming
from vipose.runtime.errors import ViposeError
from vipose.runtime.media.camera import CameraInfo, list_cameras
from vipose.runtime.media.sources import SourceSpec

__all__ = ["CameraWatch", "camera_spec", "camera_titles"]

_CLOSE_S = 2.0


class CameraWatch:
    """Lists the cameras now and then, in the thread ``vipose-cameras``; opens none of them.

    Args:
        on_change: called from the thread when the list or ``problem`` has changed; must return at once.
        interval_s: seconds between two looks.
        lister: gives the cameras; what it raises is kept as ``problem``, and it is asked again.
    """

    def __init__(
        self,
        on_change: Callable[[], None] = lambda: None,
        interval_s: float = 2.0,
        lister: Callable[[], Sequence[CameraInfo]] = list_cameras,
    ) -> None:
        self._interval_s, self._lister = interval_s, lister
        self._lock = threading.Lock()
        self._listeners = Listeners()
        self._listeners.subscribe(on_change)
        self._cameras: tuple[CameraInfo, ...] = ()
        self._problem = ""
        self._looked = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vipose-cameras", daemon=True)
        self._thread.start()

    @property
    def cameras(self) -> tuple[CameraInfo, ...]:
        """The cameras at the last look, lowest index first; empty before the first one."""
        with self._lock:
            return self._cameras

    @property
    def looked(self) -> bool:
        """Whether there was a first look already."""
        return self._looked.is_set()

    @property
    def problem(self) -> str:
        """Why the last look failed, one line; "" where it did not."""
        with self._lock:
            return self._problem

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have one more function called as ``on_change`` is; returns what ends that."""
        return self._listeners.subscribe(callback)

    def close(self) -> None:
        """End the thread, within 2 s; one that hangs in a driver is left behind. Safe to call twice."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._look()
            self._stop.wait(self._interval_s)

    def _look(self) -> None:
        problem = ""
        found: tuple[CameraInfo, ...] | None = None
        try:
            with naming("looking for cameras"):
                found = tuple(sorted(self._lister(), key=lambda camera: camera.index))
        except ViposeError as error:
            problem = str(error)
        with self._lock:
            cameras = self._cameras if found is None else found  # what was there may still be there
            changed = not self._looked.is_set() or (cameras, problem) != (self._cameras, self._problem)
            self._cameras, self._problem = cameras, problem
        self._looked.set()
        if changed and not self._stop.is_set():
            self._listeners()


def camera_titles(cameras: Sequence[CameraInfo]) -> tuple[str, ...]:
    """A title for each camera; several of one name have their number behind it."""
    names = [camera.name.casefold() for camera in cameras]
    return tuple(
        camera.name if camera.name and names.count(camera.name.casefold()) == 1 else _numbered(camera) for camera in cameras
    )


def _numbered(camera: CameraInfo) -> str:
    return f"{camera.name or 'Camera'} (camera:{camera.index})"


def camera_spec(camera: CameraInfo, cameras: Sequence[CameraInfo]) -> SourceSpec:
    """The source of a camera: by name where only one has it, since numbers change when cameras are plugged in again."""
    title = camera_titles(cameras)[list(cameras).index(camera)] if camera in cameras else _numbered(camera)
    by_name = bool(camera.name) and title == camera.name and not camera.name.lstrip("+-").isdigit()
    return SourceSpec(title, "camera", device=camera.name if by_name else camera.index)
