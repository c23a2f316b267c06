"""Readers of COCO, PoseTrack18 and folders: what they take, what they leave out, and one clear line for bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.fixtures.datasets import (
    BOX,
    POSETRACK,
    annotation,
    coco_set,
    dotted,
    joints_in,
    posetrack_sequence,
    teacher_graph,
    write_json,
)
from tests.fixtures.graphs import detector_graph, detector_metadata
from tests.fixtures.shared import SHARED, needs_shared
from vipose.models.data.annotations import JointMap
from vipose.models.data.augment import Augmentation
from vipose.models.data.coco import read_coco
from vipose.models.data.folder import read_folder
from vipose.models.data.pack import decode_rgb
from vipose.models.data.people import PackedPeople
from vipose.models.data.pictures import LeftOut
from vipose.models.data.posetrack import read_posetrack
from vipose.models.data.sequences import Clips, clip_sequence
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import InputError
from vipose.runtime.geometry import apply_affine, invert
from vipose.runtime.skeleton import COCO17


def bright_at(image: np.ndarray, points: np.ndarray) -> bool:
    x, y = np.rint(points).astype(int).T
    return bool((image[y, x].mean(1) > 110).all())


def test_coco_people_are_cut_with_their_labels_and_area(tmp_path: Path) -> None:
    data, images = coco_set(tmp_path)
    people = list(read_coco(write_json(tmp_path / "a.json", data), images))
    assert [p.picture_id for p in people] == ["0.jpg", "1.jpg"] and {p.source for p in people} == {"coco"}
    person = people[0]
    assert (person.gt[:, 2] == 2).all() and bright_at(decode_rgb(person.picture), person.gt[:, :2])
    width, height = person.box[2:] - person.box[:2]
    assert person.area == pytest.approx(0.4 * width * height, rel=1e-3)
    assert height / width == pytest.approx((BOX[3] - BOX[1]) / (BOX[2] - BOX[0]), rel=1e-3)


def test_coco_reader_leaves_out_crowds_boxes_of_no_size_and_people_with_few_joints(tmp_path: Path) -> None:
    data, images = coco_set(tmp_path, pictures=1)
    crowd = {**annotation(1, 0), "iscrowd": 1, "keypoints": []}
    flat = {**annotation(2, 0), "bbox": [10, 10, 0, 50]}
    few = annotation(3, 0)
    few["keypoints"][6:] = [0] * 45
    outside = {**annotation(4, 0), "bbox": [300, 10, 50, 50]}
    dog = {**annotation(5, 0), "category_id": 2}
    data["annotations"] += [crowd, flat, few, outside, dog]
    data["categories"].append({"id": 2, "name": "dog"})
    left_out = LeftOut()
    people = list(read_coco(write_json(tmp_path / "a.json", data), images, least_joints=3, left_out=left_out))
    assert len(people) == 1
    assert sorted(left_out.counts.values()) == [1] * 5
    for part in ("1 crowds (first: annotation 1)", "fewer than 3 labelled joints (first: annotation 3)"):
        assert part in str(left_out)


def test_boxes_are_clipped_to_the_picture(tmp_path: Path) -> None:
    data, images = coco_set(tmp_path, pictures=1)
    data["annotations"][0]["bbox"] = [-1000, -1000, 3000, 3000]
    (person,) = read_coco(write_json(tmp_path / "a.json", data), images)
    # The whole picture is the box, so a crop of 1.65 times its size shows all labels.
    width, height = person.box[2:] - person.box[:2]
    assert height / width == pytest.approx(239 / 199, rel=1e-3) and (person.gt[:, 2] > 0).all()


def test_joints_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    data, images = coco_set(tmp_path, pictures=1)
    names = [*reversed(COCO17.joints), "tail"]
    data["categories"][0]["keypoints"] = names
    points = dict(zip(COCO17.joints, joints_in(), strict=True))
    data["annotations"][0]["keypoints"] = [float(v) for n in names for v in (*points.get(n, (1, 1)), 2)]
    (person,) = read_coco(write_json(tmp_path / "a.json", data), images)
    assert (person.gt[:, 2] > 0).all() and person.gt[0, 1] < person.gt[15, 1]


def test_pictures_that_exif_turns_are_taken_as_they_were_annotated(tmp_path: Path) -> None:
    data, images = coco_set(tmp_path, pictures=1)
    jpeg = (images / "0.jpg").read_bytes()
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6
    (images / "0.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + (len(turned) + 2).to_bytes(2, "big") + turned + jpeg[2:])
    (person,) = read_coco(write_json(tmp_path / "a.json", data), images)
    assert bright_at(decode_rgb(person.picture), person.gt[:, :2])



MALFORMED: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("no-annotations", lambda d: d.pop("annotations"), "has no list 'annotations'"),
    ("no-categories", lambda d: d.pop("categories"), "has no list 'categories'"),
    ("no-file-name", lambda d: d["images"][0].pop("file_name"), "image number 0 has no 'file_name'"),
    ("no-box", lambda d: d["annotations"][0].pop("bbox"), "annotation 10 has no 'bbox'"),
    ("box-of-three", lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), "a 'bbox' that is not four numbers"),
    ("no-keypoints", lambda d: d["annotations"][0].pop("keypoints"), "annotation 10 has no 'keypoints'"),
    ("short", lambda d: d["annotations"][0]["keypoints"].pop(), "has 50 numbers in 'keypoints', its category names 17"),
    ("not-finite", lambda d: d["annotations"][0]["keypoints"].__setitem__(0, float("nan")), "not a list of finite"),
    ("other-image", lambda d: d["annotations"][0].update(image_id=99), "belongs to image 99, which is not listed"),
    ("categories", lambda d: d["categories"][0].update(keypoints=["head", "tail"]), "no category (person) names the"),
    ("masks", lambda d: d["categories"][0].pop("keypoints"), "give keypoint annotations, not boxes or masks"),
    ("no-one", lambda d: d["annotations"].clear(), "gives no one to train on (nothing left out)"),
    ("flat", lambda d: [a.update(bbox=[5, 5, 0, 0]) for a in d["annotations"]], "2 boxes of no size (first: a"),
    ("other-size", lambda d: d["images"][1].update(width=400), "its annotations say 400x240: labels would lie wrong"),
]


@pytest.mark.parametrize(("change", "line"), [m[1:] for m in MALFORMED], ids=[m[0] for m in MALFORMED])
def test_malformed_annotations_are_one_clear_line_and_leave_nothing(
    change: Callable[[dict[str, Any]], object], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, images = coco_set(tmp_path)
    change(data)
    path = write_json(tmp_path / "a.json", data)
    assert vipose(["train", "pack", "--coco", str(path), "--images", str(images), "-o", str(tmp_path / "pack")]) == 3
    error = capsys.readouterr().err
    assert line in error and error.startswith(f"vipose: {tmp_path}") and error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "images"]


def test_annotations_that_are_no_json_are_one_clear_line(tmp_path: Path) -> None:
    for content in (b'{"images": [', b"\xff\xd8\xff\xe0", b"[]"):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(InputError, match=r"is not JSON|has no list 'images'") as caught:
            list(read_coco(tmp_path / "a.json", tmp_path))
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        list(read_coco(tmp_path / "none.json", tmp_path))


def test_missing_pictures_are_counted_and_may_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, images = coco_set(tmp_path, pictures=4)
    path = write_json(tmp_path / "a.json", data)
    (images / "1.jpg").unlink()
    (images / "2.jpg").unlink()
    (images / "3.jpg").write_bytes(b"no picture")
    words = ["train", "pack", "--coco", str(path), "--images", str(images), "-o", str(tmp_path / "pack")]
    assert vipose(words) == 3
    error = capsys.readouterr().err
    assert "2 of 4 pictures" in error and "first 1.jpg" in error and "--allow-missing" in error
    assert not (tmp_path / "pack").exists()
    assert vipose([*words, "--allow-missing"]) == 0
    said = capsys.readouterr().out
    assert "pack: 1 people" in said and "2 missing pictures (first: 1.jpg)" in said and "1 damaged pictures" in said
    assert len(PackedPeople([tmp_path / "pack"])) == 1
    with pytest.raises(InputError, match="is not a folder"):
        list(read_coco(path, tmp_path / "nowhere"))


def posetrack(tmp_path: Path, data: dict[str, Any]) -> Path:
    write_json(tmp_path / "train" / "000001_test.json", data)
    return tmp_path / "train"


@pytest.mark.parametrize("images", [".", "images", "images/train"])
def test_posetrack_becomes_a_clip_pack_with_eyes_unlabelled(tmp_path: Path, images: str) -> None:
    folder = posetrack(tmp_path, posetrack_sequence(tmp_path))
    words = ["train", "pack", "--posetrack", str(folder), "--images", str(tmp_path / images)]
    assert vipose([*words, "-o", str(tmp_path / "clips")]) == 0
    clips = Clips([tmp_path / "clips"])
    assert len(clips) == 8 and set(clips.track.tolist()) == {0} and clips.source[0] == "posetrack:000001_test"
    assert clips.picture_id[3] == "images/train/000001_test/000003.jpg"
    unlabelled = [k for k, name in enumerate(COCO17.joints) if "eye" in name or "ear" in name]
    for row in range(8):
        assert np.flatnonzero(clips.gt[row, :, 2] == 0).tolist() == unlabelled
        labelled = clips.gt[row, :, 2] > 0
        assert bright_at(clips.images[row], clips.gt[row, labelled, :2])
        # The affine of the row leads back to the frame.
        frame = apply_affine(invert(clips.origin[row]), clips.gt[row, labelled, :2])
        assert np.abs(frame - (joints_in() + [3 * row, 0])[labelled]).max() < 0.05
    rng = np.random.default_rng(0)
    sequence = clip_sequence(clips, clips.window(4, rng), (96, 128), 1.0, Augmentation(), rng)
    assert (sequence.weight[:, unlabelled] == 0).all() and (sequence.weight[:, 5:] > 0).all()
    with pytest.raises(InputError, match=r"no track of the clips has 9 frames \(the longest has 8\)"):
        clips.window(9, rng)


def test_posetrack_joints_are_mapped_by_name() -> None:
    points = np.column_stack([np.arange(17), np.arange(17), np.ones(17)])
    mapped = JointMap.of(POSETRACK).coco(points)
    for place, name in enumerate(POSETRACK):
        if name in COCO17.joints:
            assert mapped[COCO17.index(name), 0] == place
    assert (mapped[1:3] == 0).all()


def test_posetrack_tracks_end_where_labels_do(tmp_path: Path) -> None:
    data = posetrack_sequence(tmp_path, frames=16)
    labels = data["annotations"]
    del labels[5]  # a frame without the person: two tracks
    data["images"][9].update(ignore_regions_x=[[0, 239, 239, 0]], ignore_regions_y=[[0, 0, 239, 239]])
    del labels[14]["bbox"]  # the joints' box instead
    left_out = LeftOut()
    rows = read_posetrack(posetrack(tmp_path, data), tmp_path, left_out=left_out)
    tracks = [(row.track, row.person.picture_id[-6:-4]) for row in rows]
    expected = [(0, f"{t:02d}") for t in range(5)] + [(1, f"{t:02d}") for t in range(10, 16)]
    assert tracks == expected
    assert left_out.counts == {"people in ignore regions": 1, "tracks of fewer than 4 frames": 1}


POSETRACK_ERRORS: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("no-track", lambda d: d["annotations"][2].pop("track_id"), "annotation 102 has no 'track_id'"),
    ("region", lambda d: d["images"][0].update(ignore_regions_x=[[1]], ignore_regions_y=[[]]), "has ignore regions that"),
    ("short", lambda d: d["annotations"][0]["keypoints"].pop(), "its category names 17 joints"),
    ("gaps", lambda d: d["annotations"].__delitem__(slice(None, None, 2)), "no track to train on (left out: 4 tracks"),
]


@pytest.mark.parametrize(("change", "line"), [m[1:] for m in POSETRACK_ERRORS], ids=[m[0] for m in POSETRACK_ERRORS])
def test_malformed_posetrack_is_one_clear_line(
    change: Callable[[dict[str, Any]], object], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = posetrack_sequence(tmp_path)
    change(data)
    folder = posetrack(tmp_path, data)
    words = ["train", "pack", "--posetrack", str(folder), "--images", str(tmp_path), "-o", str(tmp_path / "clips")]
    assert vipose(words) == 3
    assert line in (error := capsys.readouterr().err) and error.count("\n") == 1
    assert not list(tmp_path.glob("clips*"))


def test_posetrack_of_an_empty_folder_or_without_frames(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no JSON files"):
        list(read_posetrack(tmp_path, tmp_path))
    folder = posetrack(tmp_path, posetrack_sequence(tmp_path))
    (tmp_path / "images/train/000001_test/000002.jpg").unlink()
    with pytest.raises(InputError, match=r"1 of 8 pictures that .* first images/train/000001_test/000002\.jpg"):
        list(read_posetrack(folder, tmp_path))
    rows = list(read_posetrack(folder, tmp_path, allow_missing=True, shortest=2))
    assert [row.track for row in rows] == [0, 0, 1, 1, 1, 1, 1]


def test_folder_of_pictures_is_labelled_by_the_teacher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    bright = np.zeros((160, 160, 3), np.uint8)
    bright[64:80, 64:80] = 255
    for name in ("a.png", "deep/b.png"):
        cv2.imwrite(str(tmp_path / "in" / name), bright)
    cv2.imwrite(str(tmp_path / "in" / "empty.png"), bright * 0)
    graph = detector_graph(tmp_path / "d.onnx", detector_metadata((160, 160)))
    teacher = teacher_graph(tmp_path / "t.onnx", batch=1)
    words = ["train", "pack", "--folder", str(tmp_path / "in"), "--detector", str(graph), "-o", str(tmp_path / "pack")]
    assert vipose(words) == 2 and "give networks that find joints: --teacher" in capsys.readouterr().err
    assert vipose([*words, "--teacher", str(teacher)]) == 0
    people = PackedPeople([tmp_path / "pack"])
    assert people.picture_id.tolist() == ["a.png", "deep/b.png"] and (people.gt == 0).all()
    maps = people.teacher(0)
    assert maps is not None and maps[0, 32, 24] > 100 > maps[0, 2, 2]
    (tmp_path / "in" / "c.png").write_bytes(b"")
    assert vipose([*words, "--teacher", str(teacher)]) == 3
    assert "go on without it with --allow-missing" in capsys.readouterr().err
    assert len(PackedPeople([tmp_path / "pack"])) == 2  # the failed run left the old pack alone


def test_folders_without_pictures_or_people_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pictures"):
        list(read_folder(tmp_path, lambda image: np.zeros((0, 5))))
    cv2.imwrite(str(tmp_path / "a.png"), dotted())
    with pytest.raises(InputError, match="sees no one on the 1 pictures"):
        list(read_folder(tmp_path, lambda image: np.zeros((0, 5))))


def test_the_largest_people_of_a_picture_are_kept(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), dotted())
    found = np.array([[0, 0, 40, 80, 0.9], [0, 0, 100, 200, 0.8], [0, 0, 60, 120, 0.3], [0, 0, 30, 40, 0.9]])
    (person,) = read_folder(tmp_path, lambda image: found, people=1)
    assert person.box[3] - person.box[1] > 150  # the one of 200 pixels, shown a little smaller
    assert len(list(read_folder(tmp_path, lambda image: found))) == 2


@needs_shared
def test_the_format_of_real_annotations_is_read() -> None:
    assert SHARED is not None
    left_out = LeftOut()
    dev = SHARED / "data" / "dev"
    people = read_coco(dev / "annotations.json", dev / "images", least_joints=5, left_out=left_out)
    first = [next(people) for _ in range(12)]
    assert all((p.gt[:, 2] > 0).sum() >= 4 for p in first)
    shares = [p.area / np.prod(p.box[2:] - p.box[:2]) for p in first]
    assert 0.3 < np.median(shares) < 0.8
