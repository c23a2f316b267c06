from __future__ import annotations

import csv
import json
import math
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from tests.runtime.results.samples import FRAMES, SIZE, cleaned, frame, header, person, runs, write
from vipose.runtime.errors import ViposeError
from vipose.runtime.results.angles import ANGLES
from vipose.runtime.results.formats import FORMATS
from vipose.runtime.results.formats.openpose import BODY_25
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.reading import READABLE, read_results
from vipose.runtime.skeleton import COCO17, SKELETONS
from vipose.runtime.types import FrameResult, PersonResult

FOREIGN = [name for name in READABLE if name != "native"]
TIMED = [name for name in FORMATS if name not in ("mot", "openpose")]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_registry_is_complete_and_says_what_is_lost() -> None:
    assert list(FORMATS) == [
        "native", "coco", "openpose", "posetrack", "csv", "angles", "angles-mot", "mot", "trc", "parquet",
    ]  # fmt: skip
    for name, writer in FORMATS.items():
        assert writer.name == name and writer.suffix and writer.loses and "\n" not in writer.loses
    assert len({writer.suffix for writer in FORMATS.values()}) == len(FORMATS)


def test_files_lie_beside_the_video(tmp_path: Path) -> None:
    names = {name: [p.name for p in write(name, tmp_path / "OUT")] for name in FORMATS}
    assert names == {
        "native": ["OUT.jsonl"],
        "coco": ["OUT.coco.json", "OUT.coco.images.json"],
        "openpose": ["OUT_openpose"],
        "posetrack": ["OUT.posetrack.json"],
        "csv": ["OUT.csv"],
        "angles": ["OUT.angles.csv"],
        "angles-mot": ["OUT_1.angles.mot", "OUT_3.angles.mot"],
        "mot": ["OUT.mot.txt"],
        "trc": ["OUT_1.trc", "OUT_3.trc"],
        "parquet": ["OUT.parquet"],
    }


@given(run=runs())
@settings(max_examples=10)
@pytest.mark.parametrize("name", FORMATS)
def test_nothing_that_is_not_finite_reaches_a_file(name: str, run: tuple[ResultHeader, list[FrameResult]]) -> None:
    head, frames = run
    with tempfile.TemporaryDirectory() as folder:
        write(name, Path(folder) / "out", frames, head)
        for path in (p for p in Path(folder).rglob("*") if p.is_file() and p.suffix != ".parquet"):
            text = path.read_text("utf-8")
            if path.suffix == ".json":
                json.loads(text, parse_constant=pytest.fail)
            assert "inf" not in text.replace('"info"', "").lower()
            assert path.suffix == ".mot" or not re.search(r"\bnan\b", text, re.IGNORECASE)


@given(run=runs())
@settings(max_examples=20)
@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("smoothed", [True, False])
def test_round_trip(name: str, smoothed: bool, run: tuple[ResultHeader, list[FrameResult]]) -> None:
    head, frames = run
    with tempfile.TemporaryDirectory() as folder:
        path = write(name, Path(folder) / "out", frames, head, smoothed=smoothed)[0]
        if name == "openpose" and not frames:
            return  # an empty folder says nothing
        results = read_results(path)
        back = list(results)
    assert results.format == name
    assert [f.index for f in back] == [f.index for f in frames]
    assert name == "openpose" or results.header == head
    last = 0.0
    for before, after in zip(frames, back, strict=True):
        last = before.time_s if math.isfinite(before.time_s) else last
        expected = before.index / 30 if name == "openpose" else last
        assert after.time_s == pytest.approx(expected, abs=1e-6)
        assert name == "openpose" or after.size == before.size
        assert [p.id for p in after.people] == [p.id for p in before.people]
        for ours, theirs in zip(before.people, after.people, strict=True):
            _same_person(name, head, ours, theirs, smoothed)


def _same_person(name: str, head: ResultHeader, ours: PersonResult, theirs: PersonResult, smoothed: bool) -> None:
    wanted = cleaned(ours.smoothed if smoothed else ours.keypoints)
    if name == "openpose":
        wanted = np.array([_joint(wanted, head, joint) for joint in COCO17.joints])
    np.testing.assert_allclose(theirs.keypoints[:, :2], wanted[:, :2], atol=0.0051, rtol=1e-6)
    np.testing.assert_allclose(theirs.keypoints[:, 2], wanted[:, 2], atol=0.00051)
    if name == "openpose":
        return
    assert theirs.score == pytest.approx(ours.score if math.isfinite(ours.score) else 0, abs=0.00051)
    if name == "posetrack" and np.isfinite(ours.box).all():
        np.testing.assert_allclose(theirs.box, ours.box, atol=0.0151, rtol=1e-6)


def _joint(points: np.ndarray, head: ResultHeader, joint: str) -> np.ndarray:
    names = head.joints.joints
    return points[names.index(joint)] if joint in names else np.zeros(3)


def test_coco_is_a_standard_list_and_has_a_table_of_all_frames(tmp_path: Path) -> None:
    path, table = write("coco", tmp_path / "out")
    entries = json.loads(path.read_bytes())
    assert [(e["image_id"], e["track_id"]) for e in entries] == [(1, 1), (2, 1), (2, 3), (4, 3)]
    assert set(entries[0]) == {"image_id", "category_id", "keypoints", "score", "track_id"}
    assert len(entries[0]["keypoints"]) == 51 and entries[0]["category_id"] == 1
    images = json.loads(table.read_bytes())["images"]
    assert [i["id"] for i in images] == [0, 1, 2, 3, 4, 5]
    assert images[1] == {"id": 1, "file_name": "Vidéo 人.mp4#1", "time_s": 0.033367, "width": 640, "height": 480}


def test_pycocotools_reads_our_coco_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    path, _ = write("coco", tmp_path / "out")
    truth = COCO()
    truth.dataset = {"images": [{"id": f.index} for f in FRAMES], "annotations": [], "categories": [{"id": 1}]}
    truth.createIndex()
    loaded = truth.loadRes(str(path))
    assert len(loaded.getAnnIds(imgIds=[2])) == 2
    capsys.readouterr()


def test_coco_of_other_tools_is_read_without_table(tmp_path: Path) -> None:
    path = tmp_path / "theirs.json"
    points = [1.0, 2.0, 0.5] * 17
    path.write_text(json.dumps([{"image_id": i, "category_id": 1, "keypoints": points, "score": 0.4} for i in (7, 3, 7)]))
    results = read_results(path, fps=10)
    assert [(f.index, f.time_s, [p.id for p in f.people]) for f in results] == [(3, 0.3, [1]), (7, 0.7, [1, 2])]
    assert any("ids" in note for note in results.notes) and any("10 frames a second" in note for note in results.notes)


def test_empty_results_are_valid_everywhere(tmp_path: Path) -> None:
    for name in FORMATS:
        (tmp_path / name).mkdir()
        paths = write(name, tmp_path / name / "out", [])
        if name in READABLE and name != "openpose":
            assert list(read_results(paths[0])) == []
        paths = write(name, tmp_path / name / "out", [frame(0), frame(1)])
        if name in READABLE:
            assert [(f.index, f.people) for f in read_results(paths[0])] == [(0, ()), (1, ())]
        assert bool(paths) == (name not in ("trc", "angles-mot"))


def test_openpose_has_a_file_for_every_frame(tmp_path: Path) -> None:
    (folder,) = write("openpose", tmp_path / "OUT")
    assert sorted(p.name for p in folder.iterdir()) == [f"OUT_{i:012d}_keypoints.json" for i in range(6)]
    assert json.loads((folder / "OUT_000000000003_keypoints.json").read_text()) == {"version": 1.3, "people": []}
    data = json.loads((folder / "OUT_000000000002_keypoints.json").read_text())
    assert [p["person_id"] for p in data["people"]] == [[1], [3]]
    assert data["people"][0]["face_keypoints_2d"] == [] and len(data["people"][0]["pose_keypoints_2d"]) == 75


def test_openpose_neck_and_mid_hip_are_derived(tmp_path: Path) -> None:
    points = np.zeros((17, 3), np.float32)
    for joint, values in {
        "left_shoulder": (30, 10, 0.9), "right_shoulder": (10, 20, 0.6), "left_hip": (28, 60, 0.5), "nose": (20, 0, 0.8),
    }.items():  # fmt: skip
        points[COCO17.index(joint)] = values
    someone = PersonResult(1, np.zeros(4), 0.9, points, points)
    (folder,) = write("openpose", tmp_path / "out", [FrameResult(0, 0.0, SIZE, (someone,))])
    data = json.loads(next(folder.iterdir()).read_text())
    body = dict(zip(BODY_25, np.reshape(data["people"][0]["pose_keypoints_2d"], (25, 3)).tolist(), strict=True))
    assert body["neck"] == [20, 15, 0.6] and body["nose"] == [20, 0, 0.8]
    assert body["mid_hip"] == [0, 0, 0], "one hip alone has no middle"
    assert body["left_big_toe"] == [0, 0, 0]


def test_openpose_frames_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    (folder,) = write("openpose", tmp_path / "OUT")
    (folder / "notes.txt").write_text("mine")
    write("openpose", tmp_path / "OUT", FRAMES[:2])
    assert sorted(p.name for p in folder.iterdir()) == [
        "OUT_000000000000_keypoints.json", "OUT_000000000001_keypoints.json", "notes.txt",
    ]  # fmt: skip
    assert not (tmp_path / "OUT_openpose.part").exists()


@pytest.mark.parametrize("count", [25, 18])
def test_openpose_of_other_tools(tmp_path: Path, count: int) -> None:
    names = BODY_25 if count == 25 else (*BODY_25[:8], *BODY_25[9:19])
    flat = [float(v) for i in range(count) for v in (i, i + 100, 0.5)]
    (tmp_path / "clip_000000000012_keypoints.json").write_text(
        json.dumps({"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": flat}] * 2})
    )
    results = read_results(tmp_path)
    (only,) = results
    assert only.index == 12 and [p.id for p in only.people] == [1, 2]
    wrist = only.people[0].keypoints[COCO17.index("left_wrist")]
    assert wrist.tolist() == [names.index("left_wrist"), names.index("left_wrist") + 100, 0.5]
    assert any("ids" in note for note in results.notes)


def test_posetrack_holds_boxes_scores_and_joint_names(tmp_path: Path) -> None:
    (path,) = write("posetrack", tmp_path / "out")
    data = json.loads(path.read_bytes())
    assert data["categories"][0]["keypoints"] == list(COCO17.joints)
    assert [i["id"] for i in data["images"]] == [0, 1, 2, 3, 4, 5] and data["images"][0]["nframes"] == 6
    one = data["annotations"][0]
    assert (one["image_id"], one["track_id"], len(one["keypoints"]), len(one["scores"])) == (1, 1, 51, 17)
    assert one["bbox"] == pytest.approx([-9.123, 21.456, 140.912, 419.545], abs=0.0051)
    assert len({a["id"] for a in data["annotations"]}) == 4


def test_posetrack_of_the_benchmark_is_read_by_joint_name(tmp_path: Path) -> None:
    names = ["nose", "head_bottom", "head_top", *COCO17.joints[3:]]
    points = [v for i in range(17) for v in (float(i), 0.0, 1)]
    points[6 * 3 :] = points[6 * 3 : 16 * 3] + [0.0, 0.0, 0]
    data = {
        "images": [{"id": 10001, "file_name": "a/0.jpg"}, {"id": 10002, "file_name": "a/1.jpg"}],
        "annotations": [{"image_id": 10002, "track_id": 0, "keypoints": points, "bbox": [1, 2, 3, 4]}],
        "categories": [{"name": "person", "keypoints": names}],
    }
    path = tmp_path / "000001_bonn.json"
    path.write_text(json.dumps(data))
    results = read_results(path, fps=25)
    first, second = results
    assert (first.people, second.index, second.time_s, second.people[0].id) == ((), 1, 0.04, 0)
    found = second.people[0]
    assert found.box.tolist() == [1, 2, 4, 6]
    assert found.keypoints[COCO17.index("left_ear")].tolist() == [3, 0, 1]
    assert found.keypoints[COCO17.index("left_eye")].tolist() == [0, 0, 0]
    assert found.keypoints[COCO17.index("right_ankle")].tolist() == [0, 0, 0]
    assert any("head_bottom" in note for note in results.notes)


def test_csv_has_rows_for_everyone_and_one_for_a_frame_without_people(tmp_path: Path) -> None:
    (path,) = write("csv", tmp_path / "out")
    assert path.read_text("utf-8").splitlines()[:2] == ["frame,time_s,id,joint,x,y,score", "0,0.000000,,,,,"]
    rows = _rows(path)
    assert [int(r["frame"]) for r in rows if not r["id"]] == [0, 3, 5]
    mine = [r for r in rows if r["frame"] == "2" and r["id"] == "3"]
    assert [r["joint"] for r in mine] == list(COCO17.joints)
    values = np.array([[float(r[c]) for c in ("x", "y", "score")] for r in mine])
    np.testing.assert_allclose(values, person(3, 2).smoothed, atol=0.0051)
    assert float(mine[0]["time_s"]) == pytest.approx(2 / 29.97, abs=1e-6)


def test_parquet_is_the_csv_table_with_types(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (path,) = write("parquet", tmp_path / "out", smoothed=False)
    table = parquet.read_table(path)
    assert [str(f.type).split("<")[0] for f in table.schema] == [
        "int64", "double", "int64", "dictionary", "float", "float", "float",
    ]  # fmt: skip
    rows = table.to_pylist()
    (csv_path,) = write("csv", tmp_path / "out", smoothed=False)
    for ours, theirs in zip(rows, _rows(csv_path), strict=True):
        assert ours["frame"] == int(theirs["frame"]) and ours["joint"] == (theirs["joint"] or None)
        assert ours["x"] is None if not theirs["x"] else ours["x"] == pytest.approx(float(theirs["x"]), abs=1e-3)
    assert json.loads(table.schema.metadata[b"vipose"]) == header().to_dict()


def test_mot_lines_are_one_based_boxes(tmp_path: Path) -> None:
    (path,) = write("mot", tmp_path / "out")
    rows = [line.split(",") for line in path.read_text().splitlines()]
    assert [(r[0], r[1]) for r in rows] == [("2", "1"), ("3", "1"), ("3", "3"), ("5", "3")]
    assert all(len(r) == 10 and r[7:] == ["-1"] * 3 for r in rows)
    x0, y0, x1, y1 = person(1, 1).box.tolist()
    assert [float(v) for v in rows[0][2:6]] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=0.0051)


def _opensim_tokens(line: str) -> list[str]:
    """As OpenSim's FileAdapter cuts a line: tabs separate, and an empty cell at the very end is dropped."""
    cells = line.split("\t")
    return cells[:-1] if cells[-1] == "" else cells


def _read_trc(path: Path) -> tuple[dict[str, str], list[str], np.ndarray, np.ndarray]:
    """Metadata, markers, times and [rows, markers, 3] (NaN where blank), with the checks of OpenSim's reader."""
    lines = path.read_text("utf-8").split("\n")
    assert lines[0].split()[:3] == ["PathFileType", "4", "(X/Y/Z)"]
    keys, values = _opensim_tokens(lines[1]), _opensim_tokens(lines[2])
    assert keys == [
        "DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate", "OrigDataStartFrame",
        "OrigNumFrames",
    ]  # fmt: skip
    facts = dict(zip(keys, values, strict=True))
    labels = [cell for cell in _opensim_tokens(lines[3]) if cell]
    assert labels[:2] == ["Frame#", "Time"] and len(labels) == 2 + int(facts["NumMarkers"])
    axes = [cell for cell in _opensim_tokens(lines[4]) if cell]
    assert axes == [f"{axis}{i}" for i in range(1, len(labels) - 1) for axis in "XYZ"]
    assert lines[5] == "" and lines[-1] == ""
    rows = [_opensim_tokens(line) for line in lines[6:-1]]
    assert len(rows) == int(facts["NumFrames"]) and {len(row) for row in rows} == {2 + 3 * (len(labels) - 2)}
    data = np.array([[float(cell) if cell else np.nan for cell in row] for row in rows])
    assert (np.diff(data[:, 1]) > 0).all(), "OpenSim wants times that rise"
    return facts, labels[2:], data[:, 1], data[:, 2:].reshape(len(rows), -1, 3)


def test_trc_is_as_opensim_reads_it(tmp_path: Path) -> None:
    first, third = write("trc", tmp_path / "out")
    facts, markers, times, points = _read_trc(third)
    assert (facts["Units"], facts["NumFrames"], facts["OrigDataStartFrame"]) == ("px", "6", "1")
    assert float(facts["DataRate"]) == pytest.approx(29.97, abs=0.002)
    assert markers == list(COCO17.joints)
    np.testing.assert_allclose(times, [f.time_s for f in FRAMES], atol=1e-6)
    assert np.isnan(points[[0, 1, 3, 5]]).all(), "rows without the person are blank"
    np.testing.assert_allclose(points[2, :, :2], person(3, 2).smoothed[:, :2], atol=0.0051)
    assert (points[2, :, 2] == 0).all()
    assert len(_read_trc(first)[2]) == 6


def test_trc_in_metres_has_y_up(tmp_path: Path) -> None:
    path = write("trc", tmp_path / "out", metres_per_pixel=0.005, smoothed=False)[0]
    facts, _, _, points = _read_trc(path)
    raw = person(1, 1).keypoints.astype(np.float64)
    assert facts["Units"] == "m"
    np.testing.assert_allclose(points[1, :, 0], raw[:, 0] * 0.005, atol=1e-5)
    np.testing.assert_allclose(points[1, :, 1], (479 - raw[:, 1]) * 0.005, atol=1e-5)


def test_trc_leaves_unsure_joints_blank(tmp_path: Path) -> None:
    points = np.full((17, 3), 0.5, np.float32)
    points[4, 2], points[6, 2] = 0.2, 0.0
    someone = PersonResult(1, np.zeros(4), 0.9, points, points)
    for min_score, blank in ((0.3, [4, 6]), (0.1, [6]), (0.0, [6])):
        (path,) = write("trc", tmp_path / "out", [FrameResult(0, 0.0, SIZE, (someone,))], min_score=min_score)
        assert np.flatnonzero(np.isnan(_read_trc(path)[3][0, :, 0])).tolist() == blank


@pytest.mark.parametrize("name", ["trc", "angles-mot"])
def test_times_that_repeat_or_fall_back_rise_for_opensim(tmp_path: Path, name: str) -> None:
    frames = [frame(i, [1], time_s) for i, time_s in enumerate([0.0, 0.5, 0.5, 0.2, 0.9])]
    (path,) = write(name, tmp_path / "out", frames)
    times = _read_trc(path)[2] if name == "trc" else _read_motion(path)[1]
    np.testing.assert_allclose(times, [0, 0.5, 0.500001, 0.500002, 0.9], atol=1e-9)


def _read_motion(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Columns, times, [rows, angles], with the checks of OpenSim's reader."""
    lines = path.read_text("utf-8").splitlines()
    end = lines.index("endheader")
    facts = dict(line.split("=") for line in lines[1:end])
    assert facts["version"] == "1" and facts["inDegrees"] == "yes"
    columns = lines[end + 1].split("\t")
    rows = np.array([[float(cell) for cell in line.split("\t")] for line in lines[end + 2 :]])
    assert rows.shape == (int(facts["nRows"]), int(facts["nColumns"])) and columns[0] == "time"
    assert (np.diff(rows[:, 0]) > 0).all()
    return columns[1:], rows[:, 0], rows[:, 1:]


def test_motion_files_are_as_opensim_reads_them(tmp_path: Path) -> None:
    _, third = write("angles-mot", tmp_path / "out")
    columns, times, angles = _read_motion(third)
    assert columns == list(ANGLES) and len(times) == 6
    assert np.isnan(angles[[0, 1, 3, 5]]).all() and np.isfinite(angles[[2, 4]]).all()
    (table,) = write("angles", tmp_path / "out")
    rows = _rows(table)
    assert [r["frame"] for r in rows if not r["id"]] == ["0", "3", "5"]
    mine = [float(r["degrees"]) for r in rows if r["frame"] == "2" and r["id"] == "3"]
    assert mine == angles[2].tolist()


def test_many_people_need_few_file_handles(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    frames = [frame(i, [i + 1, 500]) for i in range(120)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(110, hard), hard))
    try:
        paths = write("trc", tmp_path / "out", frames)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(paths) == 121
    assert np.isnan(_read_trc(paths[5])[3][:, 0, 0]).sum() == 119
    assert np.isfinite(_read_trc(tmp_path / "out_500.trc")[3]).all()


@pytest.mark.parametrize("skeleton", SKELETONS)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_every_skeleton(tmp_path: Path, name: str, skeleton: str) -> None:
    joints = len(SKELETONS[skeleton])
    frames = [frame(0, [], joints=joints), frame(1, [4], joints=joints)]
    assert write(name, tmp_path / "out", frames, header(skeleton, fps=None))


@pytest.mark.parametrize("name", TIMED)
def test_seconds_are_those_of_the_source(tmp_path: Path, name: str) -> None:
    uneven = [frame(i, [1], time_s) for i, time_s in enumerate([0.04, 0.08, 1.123456, 1.2])]
    for path in write(name, tmp_path / "out", uneven):
        if path.suffix == ".parquet":
            parquet = pytest.importorskip("pyarrow.parquet")
            assert 1.123456 in parquet.read_table(path)["time_s"].to_pylist()
        elif path.name != "out.coco.json":
            assert "1.123456" in path.read_text("utf-8")


def test_mistakes_are_vipose_errors(tmp_path: Path) -> None:
    with pytest.raises(ViposeError):
        write("native", tmp_path / "missing" / "out")
