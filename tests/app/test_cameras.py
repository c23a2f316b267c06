"""Cameras that come and go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from vipose.app.core.cameras import CameraWatch, camera_spec, camera_titles
from vipose.runtime.media.camera import CameraInfo

WEBCAM, STUDIO = CameraInfo(0, "HD Webcam"), CameraInfo(2, "Studio")


class Bench:
    """A list of cameras that a test plugs in and out, and the watch that looks at it."""

    def __init__(self) -> None:
        self.cameras: list[CameraInfo] = [WEBCAM]
        self.error: Exception | None = None
        self.calls = 0
        self.changed = threading.Event()
        self.watch = CameraWatch(self.changed.set, 0.01, self.list)

    def list(self) -> list[CameraInfo]:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return list(self.cameras)

    def wait(self, good: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not good():
            assert time.monotonic() < deadline, "nothing happened"
            time.sleep(0.005)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.watch.close()


def test_cameras_are_listed_by_index(bench: Bench) -> None:
    bench.cameras = [STUDIO, WEBCAM]
    bench.wait(lambda: bench.watch.cameras == (WEBCAM, STUDIO))


def test_it_says_what_came_and_went(bench: Bench) -> None:
    bench.wait(lambda: bench.watch.cameras == (WEBCAM,))
    bench.cameras = [STUDIO]
    bench.wait(lambda: bench.watch.cameras == (STUDIO,))


def test_only_changes_are_told(bench: Bench) -> None:
    bench.wait(lambda: bench.calls > 3)
    bench.changed.clear()
    calls = bench.calls
    bench.wait(lambda: bench.calls > calls + 3)
    assert not bench.changed.is_set()
    bench.cameras = []
    assert bench.changed.wait(10)


def test_a_lister_that_fails_is_asked_again_and_the_cameras_stay(bench: Bench) -> None:
    bench.wait(lambda: bench.watch.looked)
    bench.error = OSError("the driver is away")
    bench.wait(lambda: "the driver is away" in bench.watch.problem)
    assert bench.watch.cameras == (WEBCAM,)
    assert "\n" not in bench.watch.problem
    bench.error = None
    bench.wait(lambda: bench.watch.problem == "")


def test_subscribers_are_told_until_they_leave(bench: Bench) -> None:
    heard = threading.Event()
    leave = bench.watch.subscribe(heard.set)
    bench.cameras = []
    assert heard.wait(10)
    leave()
    leave()
    heard.clear()
    bench.changed.clear()
    bench.cameras = [STUDIO]
    assert bench.changed.wait(10)
    assert not heard.is_set()


def test_closing_ends_the_thread_at_once_however_long_the_interval() -> None:
    watch = CameraWatch(interval_s=600, lister=list)
    watch.close()
    watch.close()
    assert "vipose-cameras" not in {thread.name for thread in threading.enumerate()}


def test_cameras_of_one_name_keep_their_numbers_apart() -> None:
    twins = (CameraInfo(0, "Cam"), CameraInfo(1, "cam"), CameraInfo(4, "Other"), CameraInfo(5, ""))
    assert camera_titles(twins) == ("Cam (camera:0)", "cam (camera:1)", "Other", "Camera (camera:5)")
    specs = [camera_spec(camera, twins) for camera in twins]
    assert [spec.device for spec in specs] == [0, 1, "Other", 5]
    assert [spec.text for spec in specs] == list(camera_titles(twins))
    assert all(spec.kind == "camera" for spec in specs)


def test_a_camera_that_just_went_is_opened_by_its_number() -> None:
    assert camera_spec(STUDIO, ()).device == 2
