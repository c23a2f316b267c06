"""The shipped networks on a shipped picture: do they still find what they found when they were released?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.codec import decode_frame
from vipose.runtime.errors import ModelError, OutputError
from vipose.runtime.geometry import box_iou, crop, crop_affine
from vipose.runtime.graphs import PoseGraph
from vipose.runtime.modes import MODES, Mode, load_mode, missing_graphs
from vipose.runtime.shipped import shipped_folder

__all__ = ["SelfTest", "compare", "expected_keypoints", "run_self_test", "self_test_picture", "write_expected"]

Keypoints = npt.NDArray[np.float32]
MODE = "t-vipnas"
SURE = 0.3
"""Joints that were at least this sure are compared."""
TOLERANCE_PX = 1.5
"""Farthest a joint may lie off: other processors round differently, other JPEG decoders differ by a grey level."""
TOLERANCE_SCORE = 0.05
LEAST_IOU = 0.9
_LEAST_JOINTS = 10


@dataclass(frozen=True)
class SelfTest:
    """What the networks found on the picture.

    Attributes:
        box: [5] float32 of the best person: x0, y0, x1, y1 in pixels of the picture, score.
        keypoints: [K, 3] float32 by graph name (spatial graphs and each temporal one): x, y in pixels, score.
        graphs: SHA-256 by network name.
    """

    box: npt.NDArray[np.float32]
    keypoints: dict[str, Keypoints]
    graphs: dict[str, str]


def self_test_picture() -> npt.NDArray[np.uint8]:
    """The shipped picture, [H, W, 3] uint8 RGB; raises ModelError when it is missing."""
    path = shipped_folder() / "self-test.jpg"
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ModelError(f"the picture {path} is missing ({error.strerror}); install vipose again") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise ModelError(f"the picture {path} is damaged; install vipose again")
    return np.ascontiguousarray(np.asarray(image, np.uint8)[..., ::-1])


def expected_keypoints() -> SelfTest:
    """What was found when the graphs were released; raises ModelError when the file is missing or damaged."""
    path = shipped_folder() / "self-test.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return SelfTest(
            np.asarray(data["box"], np.float32),
            {name: np.asarray(points, np.float32) for name, points in data["keypoints"].items()},
            dict(data["graphs"]),
        )
    except FileNotFoundError as error:
        raise ModelError(f"the expected keypoints {path} are missing; install vipose again") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"the expected keypoints {path} cannot be read ({error}); install vipose again") from error


def run_self_test(mode: Mode | None = None) -> SelfTest:
    """Detect the best person on the picture, then run every pose graph on its crop.

    Args:
        mode: run this one only; None = the default mode, and the single-frame modes whose graphs ship.

    Raises:
        ModelError: a graph is missing or wrong, or nobody is found.
    """
    others: list[Mode] = []
    if mode is None:
        mode = load_mode(MODE, device="cpu", threads=1)
        others = [load_mode(name, detector=None, device="cpu", threads=1) for name in _single_frame()]
    if mode.detector is None:
        raise ModelError("the self-test needs a detector; give one")
    image = self_test_picture()
    boxes = mode.detector(image)
    if not len(boxes):
        raise ModelError("the detector finds nobody on the picture of the self-test; install vipose again")
    found: dict[str, Keypoints] = {}
    graphs: dict[str, str] = {}
    for one in (mode, *others):
        found |= _poses(one, image, boxes[0])
        graphs |= one.graphs
    return SelfTest(boxes[0], found, graphs)


def _single_frame() -> list[str]:
    """Modes whose one graph ships and is no part of the default mode; what is missing is for the check of files to tell."""
    known = MODES[MODE].spatial
    return [
        name
        for name, spec in MODES.items()
        if spec.ships and not spec.temporal and spec.spatial != known and not missing_graphs(spec)
    ]


def _poses(mode: Mode, image: npt.NDArray[np.uint8], box: npt.NDArray[np.float32]) -> dict[str, Keypoints]:
    """Keypoints by graph name: the spatial graph on a person's crop, then every temporal graph on the same crop."""
    affine = crop_affine(box, mode.spatial.size, convention=mode.codec.convention)
    crops = crop(image, affine, mode.spatial.size)[None]
    heatmaps = mode.spatial(crops)
    found = {mode.spatial.graph.name: _decode(mode.spatial, heatmaps, affine)}
    for graph in mode.temporal:
        heatmaps = graph(crops, heatmaps)
        found[graph.graph.name] = _decode(graph, heatmaps, affine)
    return found


def compare(found: SelfTest, expected: SelfTest) -> list[str]:
    """What differs from the expected, one line each; [] when all is well."""
    if found.graphs != expected.graphs:
        other = sorted(set(found.graphs.items()) ^ set(expected.graphs.items()))
        return [f"expected keypoints belong to other graphs ({', '.join(dict(other))})"]
    faults = []
    overlap = float(box_iou(found.box[None, :4], expected.box[None, :4])[0, 0])
    if overlap < LEAST_IOU:
        faults.append(f"the person's box overlaps the expected one by {overlap:.2f} only")
    for name, points in expected.keypoints.items():
        sure = points[:, 2] >= SURE
        got = found.keypoints.get(name, np.full_like(points, np.nan))
        off = float(np.linalg.norm(got[sure, :2] - points[sure, :2], axis=1).max(initial=0.0))
        score = float(np.abs(got[:, 2] - points[:, 2]).max(initial=0.0))
        # Written so that NaN is a fault, too.
        if not (off <= TOLERANCE_PX and score <= TOLERANCE_SCORE):
            faults.append(f"{name} is off by {off:.1f} px and {score:.2f} in score")
    return faults


def write_expected(path: Path | None = None) -> Path:
    """Write what the shipped graphs find now as the expected; for use after new graphs were exported.

    Raises:
        ModelError: too few sure joints: graphs that find nothing must not become the expected ones.
        OutputError: the file cannot be written.
    """
    found = run_self_test()
    for name, points in found.keypoints.items():
        sure = int((points[:, 2] >= SURE).sum())
        if sure < _LEAST_JOINTS:
            raise ModelError(f"{name} is sure of {sure} joints on the self-test's picture only; train it first")
    data: dict[str, Any] = {
        "picture": "self-test.jpg",
        "graphs": found.graphs,
        "box": [round(float(v), 3) for v in found.box],
        "keypoints": {
            name: [[round(float(v), 3) for v in joint] for joint in points] for name, points in found.keypoints.items()
        },
    }
    path = path or shipped_folder() / "self-test.json"
    try:
        path.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}); check the folder") from error
    return path


def _decode(graph: PoseGraph, heatmaps: npt.NDArray[np.float32], affine: npt.NDArray[np.floating]) -> Keypoints:
    codec = graph.metadata.codec
    assert codec is not None  # GraphMetadata has checked it for pose graphs
    points = decode_frame(heatmaps, affine[None], graph.size, codec.convention, blur=codec.blur)
    return np.asarray(points[0], np.float32)
