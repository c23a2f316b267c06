"""``vipose evaluate`` end to end on tiny graphs, whose poses are known, and its complaints about bad input."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from tests.fixtures.graphs import SIZE, pose_graph, pose_metadata, write_mode
from vipose.runtime.cli import main
from vipose.runtime.codec import merge_flipped
from vipose.runtime.errors import EXIT_NOTHING, EXIT_OK, EXIT_USAGE, InputError, ModelError
from vipose.runtime.evaluate.annotations import load_annotations, load_picture
from vipose.runtime.evaluate.images import evaluate_images, percentiles
from vipose.runtime.evaluate.sequence import split_sequences
from vipose.runtime.evaluate.still import StillPose, box_corners, instance_scores, oks_nms
from vipose.runtime.geometry import Convention, crop, crop_affine
from vipose.runtime.graphs import PoseGraph
from vipose.runtime.metadata import Codec
from vipose.runtime.propagate import Propagator
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.native import NativeWriter
from vipose.runtime.skeleton import COCO17
from vipose.runtime.types import FrameResult, PersonResult, SourceInfo

Json = dict[str, Any]


def _dot_picture(path: Path, x: int, y: int, size: tuple[int, int] = (160, 120)) -> None:
    """One blob, brightest at its centre: the tiny graph puts every joint there, the tiny detector sees a person."""
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    cone = np.clip(1 - np.hypot(columns - x, rows - y) / 40, 0, 1) * 255
    cv2.imwrite(str(path), np.repeat(cone[..., None], 3, 2).astype(np.uint8))


def _dataset(folder: Path) -> tuple[Path, Json]:
    """Three pictures with one person each, all joints on the blob; the person of the third is labelled elsewhere."""
    folder.mkdir(exist_ok=True)
    data: Json = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.joints)}]}
    for n, (x, y, source) in enumerate([(60, 50, "a"), (90, 70, "b"), (80, 60, "b")], start=1):
        _dot_picture(folder / f"{n}.png", x, y)
        at = (x, y) if n < 3 else (x + 25, y)
        data["images"].append({"id": n, "file_name": f"{n}.png", "width": 160, "height": 120, "source": source})
        data["annotations"].append({
            "id": n, "image_id": n, "category_id": 1, "iscrowd": 0, "area": 48.0 * 64, "bbox": [x - 24, y - 32, 48, 64],
            "keypoints": [*at, 2] * 17, "num_keypoints": 17, "head_box": [x - 10, y - 10, 30, 40],
        })  # fmt: skip
    path = folder / "people.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path, data


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_mode(tmp_path / "tiny")


def _evaluate(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["evaluate", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_images_with_labelled_boxes(tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = _dataset(tmp_path / "data")
    save = tmp_path / "results.json"
    graph = tiny / "tiny-s.onnx"
    words = ("--images", tmp_path / "data", "--annotations", path, "--mode", graph, "--save", save, "--json")
    code, out, err = _evaluate(capsys, *words)
    assert (code, err) == (EXIT_OK, "")
    report = json.loads(out)
    assert report["people"] == {"all": 3, "a": 1, "b": 2}
    assert report["keypoints"]["a"]["AP"] == pytest.approx(1.0)
    assert report["keypoints"]["b"]["AP50"] < 0.6  # of its two people one is labelled elsewhere
    far = float(np.exp(-(25**2) / (2 * 48 * 64 * COCO17.variances())).mean())
    assert report["mean_oks"] == pytest.approx({"all": (2 + far) / 3, "a": 1.0, "b": (1 + far) / 2}, abs=0.02)
    assert report["pck"]["all"]["mean"] == pytest.approx(2 / 3)  # 25 px against 0.2 x 64
    assert report["pckh"]["all"]["mean"] == pytest.approx(2 / 3)  # and against 0.5 x 0.6 x 50
    assert report["person_ms"]["samples"] == 3 and set(report["stage_ms"]) == {"load", "crop", "pose", "decode"}
    rows = json.loads(save.read_text(encoding="utf-8"))
    assert [set(row) for row in rows] == [{"image_id", "category_id", "keypoints", "score"}] * 3
    assert not (tmp_path / "results.boxes.json").exists()
    for row, (x, y) in zip(rows, [(60, 50), (90, 70), (80, 60)], strict=True):
        points = np.array(row["keypoints"]).reshape(17, 3)
        assert np.abs(points[:, :2] - [x, y]).max() < 2.0


def test_detector_boxes_write_both_files_and_score_boxes(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = _dataset(tmp_path / "data")
    save = tmp_path / "out.json"
    code, out, _ = _evaluate(
        capsys, "--images", tmp_path / "data", "--annotations", path, "--mode", tiny, "--boxes", "detector",
        "--detector", tiny / "tiny-detector.onnx", "--save", save, "--limit", 2, "--flip",
    )  # fmt: skip
    assert code == EXIT_OK and "Boxes (COCO" in out and "PCKh@0.5" in out and "Mean OKS (people with 5" in out
    boxes = json.loads((tmp_path / "out.boxes.json").read_text(encoding="utf-8"))
    assert boxes and all(set(row) == {"image_id", "category_id", "bbox", "score"} and len(row["bbox"]) == 4 for row in boxes)
    assert {row["image_id"] for row in json.loads(save.read_text(encoding="utf-8"))} <= {1, 2}


def test_flip_test_follows_the_convention(tmp_path: Path) -> None:
    """msra maps of the mirrored crop are moved by a column, udp ones are not."""
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    box = np.array([[50.0, 20.0, 98.0, 84.0]])
    for convention in ("udp", "msra"):
        metadata = pose_metadata()
        object.__setattr__(metadata, "codec", Codec(convention, stride=4))  # type: ignore[arg-type]
        graph = PoseGraph(pose_graph(tmp_path / f"{convention}.onnx", metadata))
        affine = crop_affine(box[0], SIZE, convention=convention)  # type: ignore[arg-type]
        cut = crop(image, affine, SIZE)[None]
        plain, mirrored = graph(cut), graph(np.ascontiguousarray(cut[:, :, ::-1]))
        merged = merge_flipped(plain, mirrored, COCO17.flip, shift=convention == "msra")
        found = StillPose(graph, flip=True, refinement="none")(image, box)
        assert found[0, :, 2] == pytest.approx(merged[0].max((1, 2)), abs=1e-6)


@pytest.mark.parametrize("convention", ["udp", "msra"])
def test_stills_are_looked_at_twice_as_the_pipeline_does(tmp_path: Path, convention: Convention) -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    metadata = pose_metadata()
    object.__setattr__(metadata, "codec", Codec(convention, stride=4))
    graph = PoseGraph(pose_graph(tmp_path / "s.onnx", metadata))
    boxes = np.array([[50.0, 20.0, 98.0, 84.0], [10.0, 30.0, 60.0, 110.0]])
    found = StillPose(graph, twice=True)(image, boxes)
    propagator = Propagator(SimpleNamespace(spatial=graph, temporal=()), twice=True)
    looks = propagator.prepare(image, [(n, box, 0) for n, box in enumerate(boxes)])
    propagator.run(looks)
    propagator.decode(looks, (160, 120))
    assert found[..., :2] == pytest.approx(np.stack([look.keypoints[:, :2] for look in looks]), abs=1e-3)
    assert np.abs(found - StillPose(graph)(image, boxes)).max() > 0.01
    with pytest.raises(ValueError, match="exclude"):
        StillPose(graph, flip=True, twice=True)


def test_a_temporal_graph_cannot_run_on_stills(tmp_path: Path) -> None:
    graph = PoseGraph(pose_graph(tmp_path / "t.onnx", pose_metadata(phase=1)))
    with pytest.raises(ModelError, match="needs the frame before"):
        StillPose(graph)


def test_no_people_and_no_boxes(tmp_path: Path, tiny: Path) -> None:
    path, data = _dataset(tmp_path / "data")
    data["annotations"] = data["annotations"][:1]
    path.write_text(json.dumps(data), encoding="utf-8")
    annotations = load_annotations(path, COCO17)
    paths = annotations.find_pictures(tmp_path / "data")
    pose = StillPose(PoseGraph(tiny / "tiny-s.onnx"))
    report = evaluate_images(annotations, paths, pose, lambda image: np.empty((0, 5), np.float32))
    assert report.results == [] and report.keypoints["all"]["AP"] == 0.0 and report.pck["all"].mean == 0.0
    assert report.person_ms is None and percentiles([]) is None


def test_small_parts() -> None:
    assert box_corners(np.array([[-10, 5, 50, 500.0]]), (30, 40)).tolist() == [[0, 5, 29, 39]]
    assert box_corners(np.array([[-10, 5, 50, 500.0]]), None).tolist() == [[-10, 5, 40, 505]]
    poses = np.zeros((2, 2, 3))
    poses[0, :, 2] = 0.6, 0.1  # 0.1 is below the threshold
    assert instance_scores(poses, np.array([0.5, 1.0])) == pytest.approx([0.3, 0.0])


def test_oks_nms_drops_doubles_only() -> None:
    pose = np.random.default_rng(0).random((17, 3)) * 100 + 1
    poses = np.stack([pose, pose + [0.2, 0, 0], pose + [60, 0, 0]])
    boxes = np.tile([0.0, 0, 100, 100], (3, 1))
    assert oks_nms(poses, np.array([0.5, 0.9, 0.4]), boxes, COCO17.variances()) == [1, 2]


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, :10] = (0, 0, 255)  # red in BGR
    _, data = cv2.imencode(".jpg", image)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    raw = data.tobytes()
    path = tmp_path / "turned.jpg"
    path.write_bytes(raw[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + raw[2:])
    assert cv2.imread(str(path)).shape == (40, 20, 3)  # OpenCV itself would turn it
    found = load_picture(path)
    assert found.shape == (20, 40, 3) and found[10, 2, 0] > 200 and found[10, 2, 2] < 60


# Bad input


def _spoil_json(data: Json) -> str:
    return json.dumps(data)[:-20]


def _spoil(change: Any) -> Any:
    def spoiled(data: Json) -> str:
        change(data)
        return json.dumps(data)

    return spoiled


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_spoil_json, "is not JSON"),
        (lambda data: "[]", "has no list 'images'"),
        (_spoil(lambda d: d.pop("categories")), "has no list 'categories'"),
        (_spoil(lambda d: d.update(images=[])), "lists no picture"),
        (_spoil(lambda d: d["images"][1].pop("file_name")), "image 2 needs"),
        (_spoil(lambda d: d["images"][1].update(id=1)), "two images have the id 1"),
        (_spoil(lambda d: d.update(categories=[])), "no category 'person'"),
        (_spoil(lambda d: d["annotations"][0].update(image_id=9)), "annotation 1 belongs to image 9"),
        (_spoil(lambda d: d["annotations"][0].pop("bbox")), "annotation 1 needs 'bbox'"),
        (_spoil(lambda d: d["annotations"][0].update(keypoints=[1, 2, 2] * 16)), "has 16 joints, the graph has 17"),
        (_spoil(lambda d: d["annotations"][0].update(keypoints="none")), "not finite numbers"),
        (_spoil(lambda d: d["annotations"][0].update(area=float("nan"))), "'area'"),
        (_spoil(lambda d: d["annotations"][0].update(head_box=[1, 2])), "'head_box'"),
        (_spoil(lambda d: d.update(annotations=[])), "labels no joint"),
    ],
)
def test_malformed_annotations_are_one_line_that_names_the_file(tmp_path: Path, spoil: Any, words: str) -> None:
    path, data = _dataset(tmp_path / "data")
    path.write_text(spoil(data), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_annotations(path, COCO17)
    message = str(caught.value)
    assert words in message and "people.json" in message and "\n" not in message


def test_missing_pictures_are_counted_and_named(tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = _dataset(tmp_path / "data")
    (tmp_path / "data" / "2.png").unlink()
    (tmp_path / "data" / "3.png").unlink()
    mode = tiny / "tiny-s.onnx"
    code, _, err = _evaluate(capsys, "--images", tmp_path / "data", "--annotations", path, "--mode", mode)
    assert code == EXIT_NOTHING and "2 of 3 pictures" in err and "2.png, 3.png" in err and err.count("\n") == 1
    code, _, err = _evaluate(capsys, "--images", tmp_path / "no", "--annotations", path, "--mode", mode)
    assert code == EXIT_NOTHING and "is not a folder" in err


def test_a_damaged_picture_is_named(tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = _dataset(tmp_path / "data")
    (tmp_path / "data" / "2.png").write_bytes(b"no picture")
    mode = tiny / "tiny-s.onnx"
    code, _, err = _evaluate(capsys, "--images", tmp_path / "data", "--annotations", path, "--mode", mode)
    assert code == EXIT_NOTHING and "2.png" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        (), ("--images", "x"), ("r.jsonl",), ("--against", "r.jsonl"), ("--images", "x", "--annotations", "y", "--limit", "0"),
        ("r.jsonl", "--against", "q.jsonl", "--sequence"), ("--images", "x", "--annotations", "y", "--boxes", "mine"),
        ("--images", "x", "--annotations", "y", "--threads", "-1"), ("--images", "x", "--annotations", "y", "--skip", "1"),
        ("--images", "x", "--annotations", "y", "--sequence", "--skip", "-1"),
        ("--images", "x", "--annotations", "y", "--sequence", "--flip"),
        ("--images", "x", "--annotations", "y", "--sequence", "--save", "z.json"),
        ("--images", "x", "--annotations", "y", "--flip", "--twice"),
        ("--images", "x", "--annotations", "y", "--detector-pixels", "90000"),
        ("--images", "x", "--annotations", "y", "--boxes", "detector", "--detector-pixels", "9"),
    ],
)  # fmt: skip
def test_contradicting_options_are_usage_errors(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _evaluate(capsys, *words)
    assert code == EXIT_USAGE and err.startswith("vipose: ") and err.count("\n") == 1


def test_a_folder_that_is_not_there_is_found_out_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--images", "x", "--annotations", "y", "--save", tmp_path / "no" / "results.json")
    code, _, err = _evaluate(capsys, *words)
    assert code == EXIT_NOTHING and "there is no folder" in err


def test_names_of_joints(tmp_path: Path) -> None:
    path, data = _dataset(tmp_path / "data")
    names = list(COCO17.joints)
    data["categories"][0]["keypoints"] = [names[0], "head_bottom", "head_top", *names[3:]]  # PoseTrack18
    path.write_text(json.dumps(data), encoding="utf-8")
    found = load_annotations(path, COCO17)
    assert found.people[0]["num_keypoints"] == 15 and "head_bottom, head_top" in found.notes[0]
    data["categories"][0]["keypoints"] = ["Nose", "left-eye", "right eye", *names[3:-1], "r_foot"]
    path.write_text(json.dumps(data), encoding="utf-8")
    found = load_annotations(path, COCO17)
    assert found.people[0]["num_keypoints"] == 17 and "'r_foot' for 'right_ankle'" in found.notes[0]


# Sequences


def _sequence(folder: Path, frames: int = 12) -> Path:
    """Two folders in which a blob moves evenly, with labels that follow it."""
    data: Json = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    number = 0
    for video in ("one", "two"):
        (folder / video).mkdir(parents=True)
        for f in range(frames):
            number += 1
            x, y = 60 + 2 * f, 64
            _dot_picture(folder / video / f"{f:03d}.png", x, y)
            data["images"].append({"id": number, "file_name": f"{video}/{f:03d}.png", "video": video, "frame_id": f})
            data["annotations"].append({
                "id": number, "image_id": number, "category_id": 1, "track_id": 4, "bbox": [x - 24, y - 32, 48, 64],
                "keypoints": [x, y, 2] * 17,
            })  # fmt: skip
    data["images"].reverse()  # frame_id gives the order
    path = folder / "tracks.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_sequences_run_the_whole_pipeline(tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _sequence(tmp_path / "frames")
    words = ("--images", tmp_path / "frames", "--annotations", path, "--sequence", "--mode", tiny)
    words += ("--detector", tiny / "tiny-detector.onnx")
    code, out, err = _evaluate(capsys, *words, "--json")
    assert (code, err) == (EXIT_OK, "")
    report = json.loads(out)
    assert (report["sequences"], report["frames"], report["people"]) == (2, 24, 24)
    assert set(report["by_sequence"]) == {"one", "two"} and report["by_sequence"]["one"] == report["by_sequence"]["two"]
    tracking = report["tracking"]
    assert tracking["truths"] == 24 and tracking["matches"] + tracking["misses"] == 24
    assert tracking["mota"] is not None and set(report["joint_ap"]) == set(COCO17.joints)
    assert report["counters"]["decoded"] == 24 and "total" not in report["stage_ms"]
    code, out, _ = _evaluate(capsys, *words, "--raw")
    assert code == EXIT_OK and "MOTA" in out and "Jitter" in out
    code, out, _ = _evaluate(capsys, *words, "--json", "--skip", 3)
    later = json.loads(out)
    assert (later["sequences"], later["frames"], later["people"], later["counters"]["decoded"]) == (2, 18, 18, 18)
    code, _, err = _evaluate(capsys, *words, "--skip", 12)
    assert code == EXIT_NOTHING and "skip fewer" in err and err.count("\n") == 1


def test_sequences_need_track_ids_and_frame_ids_of_their_own(tmp_path: Path) -> None:
    path = _sequence(tmp_path / "frames", frames=2)
    groups = split_sequences(load_annotations(path, COCO17))
    assert [row["frame_id"] for row in groups["one"]] == [0, 1]
    data = json.loads(path.read_text(encoding="utf-8"))
    data["images"][0]["frame_id"] = 0
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InputError, match="'frame_id' of its own"):
        split_sequences(load_annotations(path, COCO17))
    del data["annotations"][0]["track_id"]
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InputError, match="'track_id'"):
        split_sequences(load_annotations(path, COCO17))


# Against


def _result(path: Path, shift: float, *, size: tuple[int, int] = (640, 480), name: str = "clip.mp4") -> Path:
    writer = NativeWriter(path, ResultHeader(SourceInfo(name, "video", size)))
    for index in range(5):
        keypoints = np.full((17, 3), 0.9, np.float32)
        keypoints[:, :2] = np.array([100 + 3 * index + shift, 100.0]) + np.arange(17)[:, None]
        person = PersonResult(1, np.array([60, 60, 160, 200], np.float32), 0.9, keypoints, keypoints, "key", "every")
        writer.write(FrameResult(index, index / 25, size, (person,), {"spatial": 4.0 + shift, "total": 6.0}))
    writer.close()
    return path


def test_against_a_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference, result = _result(tmp_path / "s.jsonl", 0.0), _result(tmp_path / "t.jsonl", 4.0)
    code, out, _ = _evaluate(capsys, result, "--against", reference, "--json")
    report = json.loads(out)
    assert code == EXIT_OK and report["agreement"]["matched"] == 5
    area = 0.53 * 100 * 140
    expected = np.mean([np.exp(-16 / (2 * area * (2 * s) ** 2)) for s in COCO17.sigmas])
    assert report["agreement"]["mean_oks"] == pytest.approx(expected, abs=1e-3)
    assert report["pose_ratio"] == pytest.approx(2.0) and report["total_ratio"] == pytest.approx(1.0)
    code, out, _ = _evaluate(capsys, result, "--against", reference, "--raw")
    assert code == EXIT_OK and "5 of 5 matched, 0 missed, 0 extra" in out
    assert f"by frames since the key frame: key {expected:.3f} (5 people)" in out


def test_results_of_different_clips_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = _result(tmp_path / "a.jsonl", 0.0), _result(tmp_path / "b.jsonl", 0.0, size=(320, 240))
    code, _, err = _evaluate(capsys, one, "--against", other)
    assert code == EXIT_NOTHING and "frame size" in err and err.count("\n") == 1
    renamed = _result(tmp_path / "c.jsonl", 0.0, name="other.mp4")
    code, out, _ = _evaluate(capsys, one, "--against", renamed)
    assert code == EXIT_OK and "is it the same clip?" in out
