"""Clips as labelled sequences: who is in the file, where labels lie, and that the evaluation takes it as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.fixtures.clips import clip
from tests.fixtures.datasets import teacher_graph
from tests.fixtures.graphs import write_mode
from vipose.models.data.label_clips import ClipCounts, Labelling, label_clips, teacher_keypoints
from vipose.runtime.cli import main as vipose
from vipose.runtime.codec import encode_gaussian
from vipose.runtime.errors import InputError, OutputError
from vipose.runtime.evaluate.annotations import load_annotations
from vipose.runtime.evaluate.sequence import split_sequences
from vipose.runtime.geometry import heatmap_scale
from vipose.runtime.skeleton import COCO17

Json = dict[str, Any]
SIZE = (320, 240)
WALKER, CHILD, FAR = (40.0, 30.0, 120.0, 210.0), (200.0, 100.0, 240.0, 180.0), (270.0, 20.0, 290.0, 60.0)


class Spot:
    """Stands in for a teacher: every joint lies on the bright spot of the crop; ``scores`` are the heights of joints."""

    size, skeleton = (192, 256), COCO17

    def __init__(self, *, scores: float | np.ndarray = 1.0) -> None:
        self.scale = heatmap_scale(self.size, (48, 64), "udp")
        self.scores = np.broadcast_to(np.float32(scores), 17).reshape(1, 17, 1, 1)

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        light = crops[..., 0].astype(np.float64) ** 2
        rows, columns = np.mgrid[: light.shape[1], : light.shape[2]]
        at = np.stack([(light * axis).sum((1, 2)) / np.maximum(light.sum((1, 2)), 1e-9) for axis in (columns, rows)], 1)
        maps = encode_gaussian(at[:, None] @ self.scale[:, :2].T + self.scale[:, 2], (48, 64))
        return np.repeat(maps, 17, 1) * self.scores


def spot_picture(x: float, y: float) -> np.ndarray:
    """[240, 320, 3] uint8: black but for one soft spot."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    light = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)
    return np.repeat(light[..., None], 3, 2).astype(np.uint8)


def walk(folder: Path, frames: int = 10) -> str:
    """A folder of pictures: a spot that walks to the right by 2 pixels a frame; it is one clip."""
    folder.mkdir(parents=True)
    for t in range(frames):
        cv2.imwrite(str(folder / f"{t:03d}.png"), spot_picture(70 + 2 * t, 90))
    return str(folder)


def walkers(*others: tuple[float, float, float, float], score: float = 0.9) -> Callable[[np.ndarray], np.ndarray]:
    """A detector: somebody around the spot, and people who do not move."""

    def detect(image: np.ndarray) -> np.ndarray:
        shift = int(image[90, :, 0].argmax()) - 70
        walker = np.add(WALKER, [shift, 0, shift, 0])
        return np.array([[*box, score] for box in (walker, *others)], np.float32)

    return detect


def read(out: Path) -> Json:
    data: Json = json.loads((out / "annotations.json").read_text(encoding="utf-8"))
    return data


def test_keypoints_lie_where_the_teacher_sees_them() -> None:
    boxes = np.array([WALKER, (60.0, 50.0, 130.0, 140.0)])
    found = teacher_keypoints(spot_picture(83.0, 97.0), boxes, Spot())  # type: ignore[arg-type]
    assert found.shape == (2, 17, 3)
    assert np.abs(found[..., :2] - [83, 97]).max() < 0.15
    assert teacher_keypoints(spot_picture(83, 97), boxes[:0], Spot()).shape == (0, 17, 3)  # type: ignore[arg-type]


def test_everybody_is_in_the_file_and_the_tracked_have_labels(tmp_path: Path) -> None:
    told: list[ClipCounts] = []
    scores = np.full(17, 0.9, np.float32)
    scores[3] = 0.3
    words = [walk(tmp_path / "in" / "walk"), walk(tmp_path / "in" / "other" / "walk", 7)]
    counts = label_clips(
        words, tmp_path / "out", walkers(CHILD, FAR), Spot(scores=scores), Labelling(people=1), told.append  # type: ignore[arg-type]
    )  # fmt: skip
    assert (
        counts == told
        and str(told[0]) == "walk: 10 frames, 1 tracks, 10 people with 160 sure joints, 20 without labels"
    )
    data = read(tmp_path / "out")
    assert [image["file_name"] for image in data["images"]][8:12] == [
        "walk/000008.jpg", "walk/000009.jpg", "walk-2/000000.jpg", "walk-2/000001.jpg",
    ]  # fmt: skip
    image = data["images"][10]
    assert (image["video"], image["frame_id"], image["time_s"], image["width"], image["height"]) == (
        "walk-2",
        0,
        0,
        *SIZE,
    )
    assert [row["id"] for row in data["annotations"]] == list(range(1, 52))
    assert len({row["id"] for row in data["images"]}) == 17
    sure = [row for row in data["annotations"] if row["num_keypoints"]]
    assert (
        len({row["track_id"] for row in sure}) == 2 and len({row["track_id"] for row in data["annotations"]}) == 2 + 34
    )
    for t, row in enumerate(sure[:10]):
        joints = np.reshape(row["keypoints"], (17, 3))
        assert (
            joints[3].tolist() == [0, 0, 0] and (np.delete(joints[:, 2], 3) == 2).all() and row["num_keypoints"] == 16
        )
        assert np.abs(np.delete(joints[:, :2], 3, 0) - [70 + 2 * t, 90]).max() < 0.3
        x, y, w, h = row["bbox"]
        assert abs(x - 40 - 2 * t) <= 2.1 and (y, w, h) == pytest.approx((30, 80, 180), abs=0.1)
        assert row["area"] == pytest.approx(0.53 * w * h, abs=0.1) and row["iscrowd"] == 0
    others = [row for row in data["annotations"] if not row["num_keypoints"]]
    assert {tuple(row["bbox"]) for row in others} == {(200, 100, 40, 80), (270, 20, 20, 40)}
    assert not any(map(any, (row["keypoints"] for row in others)))


def test_labels_outside_the_picture_and_unsure_people(tmp_path: Path) -> None:
    beyond = (280.0, 60.0, 340.0, 230.0)

    class Corner(Spot):
        def __call__(self, crops: np.ndarray) -> np.ndarray:  # to the right of the middle of every crop
            return np.repeat(encode_gaussian(np.full((len(crops), 1, 2), 32.0), (48, 64)), 17, 1)

    label_clips([walk(tmp_path / "in")], tmp_path / "out", walkers(beyond), Corner())  # type: ignore[arg-type]
    people = read(tmp_path / "out")["annotations"]
    assert [row["num_keypoints"] for row in people] in ([0, 17] * 10, [17, 0] * 10)
    unlabelled = [row for row in people if not row["num_keypoints"]]
    assert len({row["track_id"] for row in unlabelled}) == 1 and all(row["bbox"][0] == 280 for row in unlabelled)
    assert all(row["bbox"][0] + row["bbox"][2] <= SIZE[0] - 1 for row in people)


def test_frames_and_every(tmp_path: Path) -> None:
    source = walk(tmp_path / "in", 20)
    label_clips([source], tmp_path / "out", walkers(), Spot(), Labelling(frames=7, every=2))  # type: ignore[arg-type]
    data = read(tmp_path / "out")
    assert [image["frame_id"] for image in data["images"]] == [0, 2, 4, 6, 8, 10, 12]
    assert {path.name for path in (tmp_path / "out" / "images" / "in").iterdir()} == {
        f"{n:06d}.jpg" for n in range(0, 14, 2)
    }
    steps = np.diff([image["time_s"] for image in data["images"]])
    assert np.allclose(steps, steps[0], atol=1e-5) and steps[0] > 0


@pytest.mark.parametrize("failure", [InputError("mended?"), KeyboardInterrupt()])
def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path, failure: BaseException) -> None:
    seen = count()

    def detect(image: np.ndarray) -> np.ndarray:
        if next(seen) == 4:
            raise failure
        return walkers()(image)

    source = walk(tmp_path / "in")
    with pytest.raises(type(failure)):
        label_clips([source], tmp_path / "out", detect, Spot())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no one with a sure joint"):
        label_clips([source], tmp_path / "out", walkers(), Spot(scores=0.2))  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_folder_with_something_in_it_stays_as_it_is(tmp_path: Path) -> None:
    source = walk(tmp_path / "in")
    (tmp_path / "pack").mkdir()
    label_clips([source], tmp_path / "pack", walkers(), Spot())  # type: ignore[arg-type]
    before = (tmp_path / "pack" / "annotations.json").read_bytes()
    for folder in (tmp_path / "pack", Path(source), tmp_path / "in" / "000.png"):
        with pytest.raises(OutputError, match="exists and is not empty; remove it, or give another folder"):
            label_clips([source], folder, walkers(), Spot())  # type: ignore[arg-type]
    assert (tmp_path / "pack" / "annotations.json").read_bytes() == before


def test_a_video_becomes_a_sequence_that_the_evaluation_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = write_mode(tmp_path / "tiny")
    video = clip(tmp_path / "a clip.mp4", frames=8, fps=20.0, size=SIZE)
    teacher, out = teacher_graph(tmp_path / "teacher.onnx"), tmp_path / "out"
    words = [
        "--videos",
        video.path,
        "--teacher",
        teacher,
        "--detector",
        tiny / "tiny-detector.onnx",
        "--least-score",
        "0.01",
    ]
    assert vipose(["train", "label-clips", *map(str, words), "-o", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("a-clip: 8 frames, ") and said[1].startswith(f"{out}: 8 frames of 1 clips, ")
    annotations = load_annotations(out / "annotations.json", COCO17)
    groups = split_sequences(annotations)
    assert list(groups) == ["a-clip"] and not annotations.notes
    assert np.allclose([image["time_s"] for image in groups["a-clip"]], np.arange(8) / 20, atol=1e-3)
    assert said[2].startswith("vipose evaluate --images ") and said[2].endswith(" --sequence")
    words = [*said[2].split()[1:], "--mode", str(tiny), "--detector", str(tiny / "tiny-detector.onnx"), "--json"]
    assert vipose(words) == 0
    report = json.loads(capsys.readouterr().out)
    labelled = sum(row["num_keypoints"] > 0 for row in annotations.people)
    assert (report["frames"], report["people"]) == (8, labelled) and report["keypoints"]["AP"] is not None


def test_complaints_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = str(teacher_graph(tmp_path / "teacher.onnx"))
    for words, code, line in (
        (["--videos", "a.mp4", "--teacher", teacher], 2, "required: -o/--out"),
        (["--videos", "a.mp4", "--teacher", teacher, "-o", "b", "--people", "0"], 2, "0: want 1 or more"),
        (["--videos", "a.mp4", "--teacher", teacher, "-o", "b", "--least-score", "2"], 2, "want a number above 0"),
        (["--videos", "a.mp4", "--teacher", "none.onnx", "-o", "b"], 3, "there is no teacher none.onnx"),
        (["--videos", "a.mp4", "--teacher", teacher, "-o", str(tmp_path / "b")], 3, "a.mp4 does not exist"),
    ):
        assert vipose(["train", "label-clips", *words]) == code
        said = capsys.readouterr().err.strip()
        assert line in said and "\n" not in said
    assert not (tmp_path / "b").exists()
