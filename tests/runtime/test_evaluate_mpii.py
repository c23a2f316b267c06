"""``vipose evaluate`` on MPII labels, with a graph that sees the same figure of 16 joints in every crop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.fixtures.figure import figure_graph
from tests.fixtures.graphs import SIZE, pose_graph, pose_metadata
from tests.fixtures.mpii import listed, release_person, write_heads, write_list, write_release
from vipose.runtime.cli import main
from vipose.runtime.errors import EXIT_NOTHING, EXIT_OK, EXIT_USAGE
from vipose.runtime.geometry import apply_affine, crop_affine, invert
from vipose.runtime.skeleton import MPII16

CELLS = np.array([(2 + k % 8, 3 + 9 * (k // 8)) for k in range(16)])  # of 12 x 16; cells, so that decoding is exact
FIGURE = CELLS / (11, 15)
CENTRE, SCALE = (81.0, 53.5), 0.5
# 53.5 + 15 x 0.5 = 61, counted from 0 the middle is (80, 60); a side of 200 x 0.5 = 100.
BOX = (30.0, 10.0, 130.0, 110.0)
HEADS = [(11.0, 11, 41, 51), (101, 1, 131, 41)]  # both 30 x 40: head size 30, limits 15 and 3 pixels


def figure_joints() -> np.ndarray:
    """[16, 2] where the graph sees joints, counted from 1."""
    return apply_affine(invert(crop_affine(BOX, SIZE)), FIGURE * (SIZE[0] - 1, SIZE[1] - 1)) + 1


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return figure_graph(tmp_path / "mpii.onnx", pose_metadata(skeleton="mpii16"), FIGURE)


def people(folder: Path) -> list[dict[str, Any]]:
    """Two people on two pictures: a few joints of the second are labelled elsewhere, or not at all."""
    (folder / "images").mkdir(parents=True)
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(folder / "images" / name), np.full((120, 160, 3), 200, np.uint8))
    joints, shown = figure_joints(), np.ones(16)
    joints[MPII16.index("left_wrist"), 0] += 14  # right at 0.5, not at 0.1
    joints[MPII16.index("right_elbow"), 1] -= 16
    joints[MPII16.index("pelvis"), 1] += 60
    shown[MPII16.index("head_top")] = 0
    return [listed("b.png", figure_joints(), CENTRE, SCALE), listed("a.png", joints, CENTRE, SCALE, shown)]


def evaluate(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["evaluate", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_list_with_head_boxes(tmp_path: Path, graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = people(tmp_path)
    labels, heads = write_list(tmp_path / "mpii_val.json", rows), write_heads(tmp_path / "mpii_gt_val.mat", rows, HEADS)
    words = ("--images", tmp_path / "images", "--annotations", labels, "--heads", heads, "--mode", graph)
    code, out, err = evaluate(capsys, *words, "--json", "--save", tmp_path / "found.json")
    assert (code, err) == (EXIT_OK, "")
    report = json.loads(out)
    assert report["keypoints"] is None and any("no AP" in note for note in report["notes"])
    assert report["pictures"] == report["people"] == {"all": 2}
    score = report["pckh"]["all"]
    assert score["joints"] == 27 and score["mean"] == pytest.approx(26 / 27)
    by_joint = dict(zip(report["joints"], score["per_joint"], strict=True))
    assert by_joint.pop("right_elbow") == by_joint.pop("pelvis") == 0.5 and set(by_joint.values()) == {1.0}
    assert report["pckh_fine"]["all"]["mean"] == pytest.approx(25 / 27)
    assert report["pckh_groups"]["all"] == {
        "head": 1.0, "shoulder": 1.0, "elbow": 0.75, "wrist": 1.0, "hip": 1.0, "knee": 1.0, "ankle": 1.0
    }  # fmt: skip
    saved = json.loads((tmp_path / "found.json").read_text())
    assert [row["image_id"] for row in saved] == [0, 1]
    found = np.reshape(saved[0]["keypoints"], (16, 3))
    assert np.abs(found[:, :2] - (figure_joints() - 1)).max() < 0.1  # the square about the centre is not clipped
    code, out, _ = evaluate(capsys, *words)
    assert code == EXIT_OK and "Keypoints (COCO" not in out
    head, line = out.split("PCKh@0.5")[1].splitlines()[1:3]
    assert head.split()[2:] == ["head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "mean", "mean@0.1"]
    assert line.split() == ["all", "27", *["1.000"] * 2, "0.750", *["1.000"] * 4, "0.963", "0.926"]


def test_a_list_without_head_boxes_says_how_to_get_them(
    tmp_path: Path, graph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = people(tmp_path)
    rows.append({**rows[0], "center": [-1, -1], "scale": -1})
    labels = write_list(tmp_path / "mpii_val.json", rows)
    words = ("--images", tmp_path / "images", "--annotations", labels, "--mode", graph)
    code, out, _ = evaluate(capsys, *words, "--json")
    report = json.loads(out)
    assert code == EXIT_OK and report["pckh"] is None and "pckh_groups" not in report
    assert report["pck"]["all"]["mean"] == pytest.approx(30 / 31)  # 0.2 of 100 pixels: the pelvis alone is off
    notes = " ".join(report["notes"])
    assert "2 of 2 people have no head box" in notes and "--heads mpii_gt_val.mat" in notes
    assert "1 people without labelled joints, or without centre and scale" in notes
    code, out, _ = evaluate(capsys, *words, "--limit", 1)
    assert code == EXIT_OK and "pictures 1, people 1" in out


def test_the_official_release(tmp_path: Path, graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people(tmp_path)
    points = {k: (x, y, 1) for k, (x, y) in enumerate(figure_joints().tolist())}
    labels = write_release(tmp_path / "mpii.mat", [
        ("a.png", True, [release_person(points, CENTRE, SCALE, HEADS[0])], []),
        ("gone.png", False, [], []),
        ("b.png", True, [release_person(points, CENTRE, SCALE, HEADS[1])], []),
    ])  # fmt: skip
    code, out, _ = evaluate(capsys, "--images", tmp_path / "images", "--annotations", labels, "--mode", graph, "--json")
    report = json.loads(out)
    assert code == EXIT_OK and report["people"] == {"all": 2}
    assert report["pckh"]["all"]["mean"] == report["pckh_fine"]["all"]["mean"] == 1.0


def test_graph_and_labels_must_have_the_same_joints(
    tmp_path: Path, graph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_list(tmp_path / "mpii_val.json", people(tmp_path))
    coco = pose_graph(tmp_path / "coco.onnx")
    code, _, err = evaluate(capsys, "--images", tmp_path / "images", "--annotations", labels, "--mode", coco)
    assert code == EXIT_NOTHING and "the graph finds coco17; give a graph of skeleton mpii16" in err
    assert err.count("\n") == 1
    data = {
        "images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "keypoints": [9, 9, 2] * 17}],
    }  # fmt: skip
    (tmp_path / "coco.json").write_text(json.dumps(data))
    words = ("--images", tmp_path / "images", "--annotations", tmp_path / "coco.json", "--mode", graph)
    code, _, err = evaluate(capsys, *words)
    assert code == EXIT_NOTHING and "has 17 joints, the graph has 16" in err and "with --mode" in err
    assert err.count("\n") == 1


def test_options_that_do_not_fit_mpii(tmp_path: Path, graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = people(tmp_path)
    labels, heads = write_list(tmp_path / "mpii_val.json", rows), write_heads(tmp_path / "gt.mat", rows, HEADS)
    (tmp_path / "coco.json").write_text("{}")
    common = ("--images", tmp_path / "images", "--mode", graph)
    for words, line in (
        (("--annotations", labels, "--boxes", "detector"), "MPII gives the boxes"),
        (("--annotations", tmp_path / "coco.json", "--heads", heads), "--heads belongs to MPII's annotations"),
        (("--annotations", labels, "--heads", heads, "--sequence"), "leave it out with --sequence"),
    ):
        code, _, err = evaluate(capsys, *common, *words)
        assert code == EXIT_USAGE and line in err and err.count("\n") == 1
    unlabelled = [{key: row[key] for key in ("image", "center", "scale")} for row in rows]
    for content, line in (([], "labels no one"), (unlabelled, "labels no joint of anybody")):
        code, _, err = evaluate(capsys, *common, "--annotations", write_list(tmp_path / "none.json", content))
        assert code == EXIT_NOTHING and line in err and err.count("\n") == 1
    code, _, err = evaluate(capsys, *common, "--annotations", labels, "--heads", tmp_path / "no.mat")
    assert code == EXIT_NOTHING and "no.mat" in err and err.count("\n") == 1
