"""Snapshots: a picture and its people, written apart from the screen."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.fixtures.people import frame_result, standing
from vipose.app.core import snapshot as module
from vipose.app.core.snapshot import Moment, Recent, Snapshot, SnapshotWriter
from vipose.runtime.errors import OutputError
from vipose.runtime.options import RunOptions
from vipose.runtime.privacy import HeadBlur
from vipose.runtime.skeleton import COCO17
from vipose.runtime.types import Frame, SourceInfo

SIZE = (192, 256)
CAMERA = SourceInfo("HD Webcam", "camera", SIZE, live=True)


def noise() -> np.ndarray:
    image = np.random.default_rng(1).integers(0, 2, (SIZE[1], SIZE[0], 3), np.uint8) * 255
    image.flags.writeable = False
    return image


def a_moment(*people: Any, before: tuple[Any, ...] = ()) -> Moment:
    result = frame_result(*people, size=SIZE, index=30, time_s=1.0)
    return Moment(Frame(30, 1.0, noise()), result, COCO17, 0.02, before)


class Desk:
    def __init__(self) -> None:
        self.done: queue.Queue[Snapshot] = queue.Queue()
        self.writer = SnapshotWriter(self.done.put)

    def take(self, moment: Moment, folder: Path, source: SourceInfo = CAMERA, **options: Any) -> Snapshot:
        self.writer.take(moment, folder, source, RunOptions(**options), {"net": "ab12"})
        return self.done.get(timeout=20)


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.writer.close()
    desk.writer.close()
    assert "vipose-snapshot" not in {thread.name for thread in threading.enumerate()}


def read(path: Path | None) -> np.ndarray:
    assert path is not None
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_the_picture_has_full_size_and_the_people_lie_beside_it(desk: Desk, tmp_path: Path) -> None:
    done = desk.take(a_moment(standing(3, (60, 90, 140, 250))), tmp_path / "new")
    assert done.error is None and done.path is not None and done.people == done.path.with_suffix(".json")
    assert done.path.name.startswith("HD Webcam 2")
    image = read(done.path)
    assert image.shape == (256, 192, 3)
    assert np.array_equal(image[200:, 170:], noise()[200:, 170:])  # pixels that nothing is drawn on are exact
    assert not np.array_equal(image[90:250, 60:140], noise()[90:250, 60:140])
    said = json.loads(done.people.read_text("utf-8"))
    assert said["vipose"] == "snapshot" and said["picture"] == done.path.name and said["graphs"] == {"net": "ab12"}
    assert said["frame"]["index"] == 30 and [p["id"] for p in said["frame"]["people"]] == [3]
    assert len(said["frame"]["people"][0]["keypoints"]) == len(said["joints"]) == 17


def test_nothing_is_overwritten(desk: Desk, tmp_path: Path) -> None:
    paths = {desk.take(a_moment(), tmp_path).path for _ in range(3)}
    assert len(paths) == 3 and len(list(tmp_path.glob("*.png"))) == len(list(tmp_path.glob("*.json"))) == 3


def test_heads_are_hidden_also_those_that_are_missed_on_this_frame(desk: Desk, tmp_path: Path) -> None:
    person = standing(1, (60, 90, 140, 250))
    seen = frame_result(person, size=SIZE, index=29, time_s=0.9)
    plain = read(desk.take(a_moment(), tmp_path).path)[96:108, 95:105]
    for moment in (a_moment(person), a_moment(before=(seen,))):
        head = read(desk.take(moment, tmp_path, head_blur=True).path)[96:108, 95:105]
        assert head.astype(float).std() < 0.7 * plain.astype(float).std()


def test_where_heads_cannot_be_hidden_nothing_is_written(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no blur")

    monkeypatch.setattr(HeadBlur, "apply", broken)
    done = desk.take(a_moment(standing()), tmp_path, head_blur=True)
    assert done.path is None and done.error is not None and "no blur" in str(done.error)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_one_line(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    done = desk.take(a_moment(), tmp_path / "file" / "x")
    assert isinstance(done.error, OutputError) and "\n" not in str(done.error)


def test_a_disk_that_is_full_leaves_nothing_behind(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create = module._create

    def full(path: Path, data: bytes) -> None:
        if path.suffix == ".png":
            raise OutputError("the disk is full")
        create(path, data)

    monkeypatch.setattr(module, "_create", full)
    assert desk.take(a_moment(), tmp_path).error is not None
    assert list(tmp_path.iterdir()) == []


def test_too_many_at_once_are_refused(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, begun = threading.Event(), threading.Event()

    def slow(_order: Any) -> Snapshot:
        begun.set()
        gate.wait(20)
        return Snapshot()

    monkeypatch.setattr(module, "_write", slow)
    desk.writer.take(a_moment(), tmp_path, CAMERA, RunOptions())
    assert begun.wait(20)
    for _ in range(4):
        desk.writer.take(a_moment(), tmp_path, CAMERA, RunOptions())
    with pytest.raises(OutputError, match="wait a moment"):
        desk.writer.take(a_moment(), tmp_path, CAMERA, RunOptions())
    gate.set()
    assert [desk.done.get(timeout=20) for _ in range(5)] == [Snapshot()] * 5


def test_recent_keeps_the_newest_frame_and_the_seconds_before_it() -> None:
    recent = Recent(1.0)
    assert recent.moment() is None
    frames = [Frame(n, n / 4, noise()) for n in range(12)]
    for frame in frames:
        recent(frame, frame_result(index=frame.index, time_s=frame.time_s), COCO17, 0.5)
    moment = recent.moment()
    assert moment is not None and moment.frame is frames[-1] and moment.result.index == 11 and moment.age_s == 0.5
    assert [r.index for r in moment.before] == [7, 8, 9, 10]
    recent.keep(10.0)
    recent(frames[0], frame_result(index=0, time_s=0.0), COCO17, 0.0)  # the source began again
    moment = recent.moment()
    assert moment is not None and moment.before == () and moment.result.index == 0
    recent.clear()
    assert recent.moment() is None
