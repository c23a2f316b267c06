"""Heatmaps of a pipeline as patches that lie on the frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.app.live import people_picture
from tests.app.people import person
from vipose.app.core.heatmaps import heat_patches
from vipose.app.core.shown import HeatPatch
from vipose.app.core.viewstate import HEAT_ALL
from vipose.runtime.codec import encode_gaussian
from vipose.runtime.geometry import apply_affine, compose, crop_affine, heatmap_scale
from vipose.runtime.metadata import Codec, GraphMetadata, InputSpec
from vipose.runtime.modes import load_mode
from vipose.runtime.pipeline import Pipeline
from vipose.runtime.skeleton import COCO17
from vipose.runtime.types import Frame, FrameResult

SIZE, CELLS = (192, 256), (48, 64)
GRAPH = GraphMetadata("pose-spatial", "test", InputSpec(*SIZE), skeleton="coco17", codec=Codec(stride=4))
RESULT = FrameResult(0, 0.0, (640, 480), (person(3, (100, 50, 220, 400)), person(5, (400, 100, 500, 300))))


class Kept:
    """Heatmaps with a Gaussian at every joint of the people of RESULT, as a pipeline would keep them."""

    def __init__(self, convention: str = "udp", unknown: int = 0) -> None:
        self.maps = {}
        for someone in RESULT.people:
            if someone.id != unknown:
                affine = crop_affine(someone.box, SIZE, convention=convention)
                cells = apply_affine(compose(heatmap_scale(SIZE, CELLS, convention), affine), someone.keypoints[:, :2])
                self.maps[someone.id] = affine, encode_gaussian(cells, CELLS)

    def heatmaps(self, track_id: int) -> tuple[np.ndarray, np.ndarray] | None:
        return self.maps.get(track_id)


def _peak(patch: HeatPatch) -> np.ndarray:
    """The brightest cell in frame pixels."""
    y, x = np.unravel_index(patch.values.argmax(), patch.values.shape)
    return np.asarray(apply_affine(patch.affine, np.array([x, y], float)))


@pytest.mark.parametrize("convention", ["udp", "msra"])
@pytest.mark.parametrize("joint", ["nose", "left_wrist", "right_ankle"])
def test_a_joint_lies_where_it_was_found(convention: str, joint: str) -> None:
    graph = replace(GRAPH, codec=Codec(convention, stride=4))
    patches = heat_patches(Kept(convention), RESULT, graph, joint)
    assert [patch.person for patch in patches] == [3, 5]
    for patch, someone in zip(patches, RESULT.people, strict=True):
        assert patch.values.dtype == np.uint8 and patch.values.shape == CELLS[::-1]
        assert patch.affine.dtype == np.float64 and patch.affine.shape == (2, 3)
        cell = np.hypot(*patch.affine[:, 0])
        assert np.abs(_peak(patch) - someone.keypoints[COCO17.index(joint), :2]).max() <= 0.51 * cell + 1e-3


def test_all_joints_show_the_largest_value() -> None:
    kept = Kept()
    patch = heat_patches(kept, RESULT, GRAPH, HEAT_ALL)[0]
    assert patch.values == pytest.approx(kept.maps[3][1].max(0) * 255, abs=1)
    assert patch.values.max() > 200 and patch.values.min() == 0


def test_values_are_clipped_not_wrapped() -> None:
    kept = Kept()
    kept.maps[3] = kept.maps[3][0], kept.maps[3][1] * 3 - 1
    patch = heat_patches(kept, RESULT, GRAPH, HEAT_ALL)[0]
    assert patch.values.max() == 255 and patch.values.min() == 0


def test_nothing_for_no_wish_and_for_joints_that_the_skeleton_lacks() -> None:
    assert heat_patches(Kept(), RESULT, GRAPH, "") == ()
    assert heat_patches(Kept(), RESULT, GRAPH, "head_top") == ()


def test_people_without_heatmaps_are_left_out() -> None:
    assert [patch.person for patch in heat_patches(Kept(unknown=3), RESULT, GRAPH, HEAT_ALL)] == [5]


def test_patches_do_not_change_with_the_pipeline() -> None:
    kept = Kept()
    patch = heat_patches(kept, RESULT, GRAPH, "nose")[0]
    before = patch.values.copy()
    kept.maps[3][1][:] = 0.0
    assert (patch.values == before).all()


def test_a_real_pipeline_hands_on_what_it_decoded() -> None:
    mode = load_mode("s-vipnas", threads=1)
    try:
        pipeline = Pipeline(mode)
        result = pipeline.process(Frame(0, 0.0, people_picture()))
        assert result.people
        for joint in ("nose", "left_shoulder"):
            patches = heat_patches(pipeline, result, mode.spatial.metadata, joint)
            assert [patch.person for patch in patches] == [someone.id for someone in result.people]
            for patch, someone in zip(patches, result.people, strict=True):
                point = someone.keypoints[COCO17.index(joint)]
                if point[2] > 0.5:
                    assert np.abs(_peak(patch) - point[:2]).max() <= 1.5 * np.hypot(*patch.affine[:, 0])
    finally:
        mode.close()
