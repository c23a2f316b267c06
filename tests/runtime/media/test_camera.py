"""Cameras, through captures that are made up."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from tests.fixtures import clips
from vipose.runtime.commands import cameras as command
from vipose.runtime.errors import DeviceError, InputError, UsageError
from vipose.runtime.media import camera
from vipose.runtime.media.base import Selection
from vipose.runtime.media.camera import CameraInfo, CameraSource, list_cameras


class FakeCapture:
    """Delivers numbered pictures in BGR, then behaves as told.

    Attributes:
        then: ``fail`` (grab returns False), ``raise`` or ``hang`` after the last picture.
    """

    def __init__(self, pictures: int = 3, then: str = "fail", opens: bool = True) -> None:
        self.pictures, self.then, self.opens = pictures, then, opens
        self.taken = 0
        self.released = threading.Event()
        self.hang = threading.Event()
        self.properties: dict[int, float] = {cv2.CAP_PROP_FPS: 30.0}

    def isOpened(self) -> bool:
        return self.opens

    def grab(self) -> bool:
        if self.taken < self.pictures:
            return True
        if self.then == "hang":
            self.hang.wait(10)
        if self.then == "raise":
            raise cv2.error("the driver failed")
        return False

    def retrieve(self) -> tuple[bool, Any]:
        image = clips.picture(self.taken)[..., ::-1]
        self.taken += 1
        return True, np.ascontiguousarray(image)

    def get(self, propId: int, /) -> float:
        return self.properties.get(propId, 0.0)

    def set(self, propId: int, value: float, /) -> bool:
        self.properties[propId] = value
        return True

    def release(self) -> None:
        self.released.set()


def open_fake(fake: FakeCapture, **options: Any) -> CameraSource:
    return CameraSource(0, open_capture=lambda index: fake, **{"timeout_s": 5.0, **options})


def test_unplugging_names_the_camera_and_options_are_asked_for() -> None:
    fake = FakeCapture(3)
    source = open_fake(fake, size=(1280, 720), fps=60.0)
    assert (source.info.kind, source.info.live, source.info.size) == ("camera", True, (96, 64))
    assert (fake.properties[cv2.CAP_PROP_FRAME_WIDTH], fake.properties[cv2.CAP_PROP_FRAME_HEIGHT]) == (1280, 720)
    assert source.info.fps == 60.0
    with pytest.raises(InputError, match=r"camera:0 delivers no pictures.*unplugged"):
        list(source)
    assert fake.released.wait(5)


def test_pictures_arrive_in_rgb_and_order_with_the_capture_clock() -> None:
    fake = FakeCapture(4)
    frames = []
    source = open_fake(fake)
    with pytest.raises(InputError):
        for frame in source:
            frames.append(frame)  # noqa: PERF402  what came before the error is what counts
    assert [clips.read_index(f.image) for f in frames] == [0, 1, 2, 3]
    assert clips.corners(frames[0].image) == clips.UPRIGHT
    times = [f.time_s for f in frames]
    assert times[0] >= 0
    assert all(b > a for a, b in pairwise(times))
    assert source.decoded == 4


def test_rotation_every_and_end() -> None:
    source = open_fake(FakeCapture(50), rotate=90, selection=Selection(every=5))
    taken = iter(source)
    first, second = next(taken), next(taken)
    assert (first.index, second.index) == (0, 5)
    assert clips.corners(first.image) == ("blue", "red", "white", "green")
    assert source.info.size == (64, 96)
    source.close()
    assert list(taken) == []
    ended = open_fake(FakeCapture(10_000), selection=Selection(end_s=0.02))
    assert all(frame.time_s < 0.02 for frame in ended)


@pytest.mark.parametrize(
    ("fake", "part"),
    [
        (FakeCapture(opens=False), "does not open"),
        (FakeCapture(0), "delivers no pictures"),
        (FakeCapture(0, "raise"), "cannot be used"),
    ],
)
def test_a_camera_that_does_not_work_is_a_device_error(fake: FakeCapture, part: str) -> None:
    with pytest.raises(DeviceError, match=part) as caught:
        open_fake(fake)
    assert "\n" not in str(caught.value)
    assert "camera:0" in str(caught.value)
    assert fake.released.wait(5)


def test_a_camera_that_hangs_while_opening_is_given_up_and_released_later() -> None:
    fake, go = FakeCapture(), threading.Event()

    def slow(index: int) -> FakeCapture:
        go.wait(10)
        return fake

    with pytest.raises(DeviceError, match=r"did not open within 0\.1 s"):
        CameraSource(3, timeout_s=0.1, open_capture=slow)
    go.set()
    assert fake.released.wait(5)


def test_a_camera_that_hangs_or_fails_later_ends_with_its_name() -> None:
    hanging = FakeCapture(2, "hang")
    with pytest.raises(InputError, match=r"camera:0 sent no picture for 0\.2 s"):
        list(open_fake(hanging, timeout_s=0.2))
    hanging.hang.set()
    assert hanging.released.wait(5)
    with pytest.raises(InputError, match=r"camera:0 broke off \(the driver failed\)"):
        list(open_fake(FakeCapture(2, "raise")))


def test_close_from_another_thread_while_the_camera_hangs() -> None:
    fake = FakeCapture(1, "hang")
    source = open_fake(fake)
    done: list[str] = []

    def work() -> None:
        for _ in source:
            pass
        done.append("ended")

    thread = threading.Thread(target=work)
    thread.start()
    source.close()
    fake.hang.set()
    thread.join(10)
    assert done == ["ended"]
    assert fake.released.wait(5)


def test_names_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "list_cameras", lambda: [CameraInfo(4, "HD Webcam")])
    opened: list[int] = []

    def capture(index: int) -> FakeCapture:
        opened.append(index)
        return FakeCapture()

    CameraSource("hd webcam", open_capture=capture).close()
    assert opened == [4]
    with pytest.raises(DeviceError, match="no camera called 'Other'"):
        CameraSource("Other", open_capture=capture)
    with pytest.raises(UsageError):
        CameraSource(-1, open_capture=capture)


def test_cameras_are_listed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        SimpleNamespace(index=1, name="B", path="/dev/video1", vid=1, pid=2),
        SimpleNamespace(index=0, name="A", path="/dev/video0", vid=None, pid=None),
    ]
    backend = SimpleNamespace(supported_backends=(camera._BACKEND,), enumerate_cameras=lambda preference: found)
    monkeypatch.setitem(sys.modules, "cv2_enumerate_cameras", backend)
    assert list_cameras() == [CameraInfo(0, "A", "/dev/video0"), CameraInfo(1, "B", "/dev/video1", 1, 2)]


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    monkeypatch.setattr(camera, "list_cameras", lambda: [CameraInfo(0, "Kamera ü", "/dev/video0")])
    assert command.run(parser.parse_args([])) == 0
    assert capsys.readouterr().out == "camera:0  Kamera ü  /dev/video0\n"
    assert command.run(parser.parse_args(["--json"])) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "Kamera ü"
    monkeypatch.setattr(camera, "list_cameras", list)
    assert command.run(parser.parse_args([])) == 0
    assert "No camera found" in capsys.readouterr().out
