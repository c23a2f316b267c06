"""The graphs that ship, on real pictures: a broken export, a wrong colour order or a wrong convention cannot pass."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.shared import SHARED, needs_shared
from vipose.runtime.cli import main
from vipose.runtime.detect import Detector, DetectorConfig
from vipose.runtime.evaluate.annotations import Annotations, load_annotations
from vipose.runtime.evaluate.images import BOX_THRESHOLD, ImagesReport, evaluate_images
from vipose.runtime.evaluate.still import StillPose
from vipose.runtime.geometry import box_iou
from vipose.runtime.graphs import PoseGraph
from vipose.runtime.shipped import read_card, shipped_folder, shipped_graph
from vipose.runtime.skeleton import COCO17

SPATIAL_COCO_AP50 = 0.67
"""AP50 of the key-frame graph with labelled boxes on the first pictures, at least (0.69 when it was made, 0.68 in 8 bits)."""
SPATIAL_COCO_AP = 0.36
"""AP of the same, at least (0.38 when it was made, 0.38 in 8 bits)."""
SINGLE_FRAME_COCO_AP50 = {"efficientpose-a": 0.52, "posenas-small": 0.34}
"""The same of the graphs of single-frame modes."""
DETECTOR_RECALL = 0.7
"""Share of labelled people (of 2 % of the picture or more) that the detector's boxes overlap by half, at least (0.76 when it was made)."""
DETECTOR_COCO_AP50 = 0.66
"""Box AP50 of the detector on the first pictures, at least (0.70 when it was made)."""
PICTURES = 60
FP16_ERROR = 0.001
"""Heatmaps (peaks of about 1) may differ by so much between fp16 weights and those that were trained."""
INT8_AP = 0.01
"""AP may be so much lower in 8 bits."""
SELF_TEST_IOU = 0.7
PROPAGATION_OKS = 0.8
"""Mean OKS of propagated against key-frame-only results on the demo clip, at least (0.90 when the graphs were made)."""
PROPAGATED_SHARE = 0.55
"""Share of people on frames whom the T graphs really posed: were they useless, all would become early key frames."""


def _pictures() -> tuple[Annotations, dict[int, Path]]:
    assert SHARED is not None
    dev = SHARED / "data" / "dev"
    annotations = load_annotations(dev / "annotations.json", COCO17)
    rows = [image for image in annotations.images if image["source"] == "coco"]
    annotations = Annotations(
        annotations.path, tuple(rows), tuple(p for p in annotations.people if p["image_id"] in {r["id"] for r in rows}),
        annotations.category,
    ).first(PICTURES)  # fmt: skip
    return annotations, annotations.find_pictures(dev / "images")


def _spatial(precision: str, name: str = "s-vipnas") -> ImagesReport:
    annotations, paths = _pictures()
    return evaluate_images(annotations, paths, StillPose(PoseGraph(shipped_graph(name, precision), device="cpu")))


@needs_shared
def test_key_frame_graph_on_real_people() -> None:
    half, eight = (_spatial(precision).keypoints["coco"] for precision in ("fp16", "int8"))
    assert min(half["AP50"] or 0.0, eight["AP50"] or 0.0) >= SPATIAL_COCO_AP50
    assert (half["AP"] or 0.0) >= SPATIAL_COCO_AP
    assert (eight["AP"] or 0.0) >= (half["AP"] or 1.0) - INT8_AP


def test_weights_stored_in_half_precision_change_nothing() -> None:
    for graph in (shipped_graph(name) for name in ("s-vipnas", "t-vipnas-1", "t-vipnas-2", "t-vipnas-3")):
        assert read_card(graph)["files"]["fp16"]["max_difference"] <= FP16_ERROR


@needs_shared
@pytest.mark.parametrize("name", SINGLE_FRAME_COCO_AP50)
def test_single_frame_graphs_on_real_people(name: str) -> None:
    ap50 = _spatial("fp16", name).keypoints["coco"]["AP50"]
    assert ap50 is not None and ap50 >= SINGLE_FRAME_COCO_AP50[name]


@needs_shared
def test_detector_on_real_people() -> None:
    from vipose.runtime.evaluate.annotations import load_picture

    detector = Detector(shipped_graph("person-detector"), DetectorConfig(score=0.3), device="cpu")
    annotations, paths = _pictures()
    groups = annotations.by_image()
    found = total = 0
    for row in annotations.images:
        image = load_picture(paths[row["id"]])
        people = [p for p in groups[row["id"]] if not p["iscrowd"]]
        boxes = np.array([p["bbox"] for p in people], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        large = (boxes[:, 2:] - boxes[:, :2]).prod(1) >= 0.02 * image.shape[0] * image.shape[1]
        overlap = box_iou(boxes[large], detector(image)[:, :4])
        found += int((overlap >= 0.5).any(1).sum()) if overlap.shape[1] else 0
        total += int(large.sum())
    assert total > 50 and found / total >= DETECTOR_RECALL


@needs_shared
def test_boxes_of_the_detector_on_real_people() -> None:
    detector = Detector(shipped_graph("person-detector"), DetectorConfig(score=BOX_THRESHOLD), device="cpu")
    annotations, paths = _pictures()
    pose = StillPose(PoseGraph(shipped_graph("s-vipnas"), device="cpu"))
    boxes = evaluate_images(annotations, paths, pose, detector).boxes
    assert boxes is not None and (boxes["coco"]["AP50"] or 0.0) >= DETECTOR_COCO_AP50


def test_graphs_on_the_picture_that_ships() -> None:
    """Needs nothing but the package: somebody is found where the released graphs found them, standing the right way up."""
    from vipose.runtime.selftest import self_test_picture

    expected = (shipped_folder() / "self-test.json").read_text(encoding="utf-8")
    box = np.asarray(json.loads(expected)["box"], float)[:4]
    image = self_test_picture()
    detector = Detector(shipped_graph("person-detector"), device="cpu")
    found = detector(image)
    assert len(found) and box_iou(found[:, :4], box[None]).max() >= SELF_TEST_IOU
    points = StillPose(PoseGraph(shipped_graph("s-vipnas"), device="cpu"))(image, box[None])[0]
    inside = (points[:, :2] >= box[:2] - 5).all(1) & (points[:, :2] <= box[2:] + 5).all(1)
    assert inside.mean() >= 0.7
    heights = [points[[COCO17.index(f"{side}_{joint}") for side in ("left", "right")], 1].mean() for joint in
               ("shoulder", "hip", "ankle")]  # fmt: skip
    assert heights == sorted(heights)  # shoulders above hips above ankles


def test_propagation_on_the_demo_clip_stays_with_the_key_frame_graph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = Path(__file__).resolve().parents[2] / "assets" / "demo.mp4"
    results = {mode: tmp_path / f"{mode}.jsonl" for mode in ("t-vipnas", "s-vipnas")}
    for mode, path in results.items():
        run = ["run", str(clip), "-m", mode, "-o", str(path.with_suffix(".mp4")), "--no-video", "--save", "native", "-q"]
        assert main([*run, "--start", "2", "--end", "5"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(results["t-vipnas"]), "--against", str(results["s-vipnas"]), "--json"]) == 0
    agreement = json.loads(capsys.readouterr().out)["agreement"]
    assert agreement["mean_oks"] >= PROPAGATION_OKS
    assert 1 - agreement["result"]["key"] / agreement["result"]["people"] >= PROPAGATED_SHARE
    assert agreement["missed"] <= 0.1 * agreement["reference"]["people"]
