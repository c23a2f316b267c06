"""Boxes, crops and affines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.shared import SHARED, needs_shared
from vipose.runtime.codec import decode, encode_gaussian
from vipose.runtime.geometry import (
    PAD,
    Convention,
    apply_affine,
    box_iou,
    compose,
    crop,
    crop_affine,
    heatmap_scale,
    invert,
    keypoints_box,
    warp_between,
    warp_heatmaps,
)

SIZE, HEATMAP = (192, 256), (48, 64)
conventions = st.sampled_from(["udp", "msra"])
coordinates = st.floats(-3000, 6000)
lengths = st.floats(0, 3000)
boxes = st.tuples(coordinates, coordinates, lengths, lengths).map(lambda b: np.array([b[0], b[1], b[0] + b[2], b[1] + b[3]]))
sizes = st.sampled_from([(192, 256), (256, 256), (288, 384), (96, 128)])
rotations = st.floats(-180, 180)


@given(boxes, sizes, conventions, rotations, st.tuples(coordinates, coordinates))
def test_frame_to_crop_and_back(
    box: np.ndarray, size: tuple[int, int], convention: Convention, rotation: float, point: tuple[float, float]
) -> None:
    affine = crop_affine(box, size, convention=convention, rotation=rotation)
    there = apply_affine(affine, np.array([point]))
    assert np.allclose(apply_affine(invert(affine), there), [point], atol=1e-6 * max(1.0, np.abs(box).max()))
    assert np.allclose(compose(invert(affine), affine), [[1, 0, 0], [0, 1, 0]], atol=1e-6 * max(1.0, np.abs(box).max()))


@given(boxes, sizes, conventions)
def test_box_lies_centred_and_whole_in_its_crop(box: np.ndarray, size: tuple[int, int], convention: Convention) -> None:
    affine = crop_affine(box, size, convention=convention)
    corners = apply_affine(affine, box.reshape(2, 2))
    span = np.array(size, float) - (1 if convention == "udp" else 0)
    assert np.allclose(corners.mean(0), span / 2, atol=1e-6)
    assert (corners >= -1e-6).all() and (corners <= span + 1e-6).all()
    share = (corners[1] - corners[0]) / span
    if box[2] - box[0] >= 1 and box[3] - box[1] >= 1:
        # the aspect is fitted by the input's W / H; udp spans W - 1, so that its height is off by less than 2 %
        assert share.max() * PAD == pytest.approx(1, abs=0.02)


@given(boxes, sizes, rotations)
def test_rotation_turns_about_the_centre_without_scaling(
    box: np.ndarray, size: tuple[int, int], rotation: float
) -> None:
    plain, turned = crop_affine(box, size), crop_affine(box, size, rotation=rotation)
    centre = np.array([[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]])
    assert np.allclose(apply_affine(plain, centre), apply_affine(turned, centre), atol=1e-6)
    assert np.linalg.det(turned[:, :2]) == pytest.approx(np.linalg.det(plain[:, :2]), rel=1e-9)


def test_positive_rotation_is_counter_clockwise() -> None:
    affine = crop_affine([0, 0, 100, 100], (100, 100), pad=1, rotation=90)
    right, centre = apply_affine(affine, np.array([[90.0, 50.0], [50.0, 50.0]]))
    assert right[1] < centre[1] - 20 and abs(right[0] - centre[0]) < 1e-6  # what was right of the centre is above it


def test_empty_and_one_pixel_boxes_give_a_crop() -> None:
    for box in ([5, 5, 5, 5], [5, 5, 6, 6], [5, 5, 4, 4], [-500, -500, -499, -499]):
        affine = crop_affine(box, SIZE)
        assert np.isfinite(affine).all() and np.linalg.det(affine[:, :2]) > 0
        assert crop(np.full((20, 30, 3), 9, np.uint8), affine, SIZE).shape == (256, 192, 3)


def test_singular_affine_is_refused() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        invert(np.zeros((2, 3)))


def test_further_columns_are_kept_and_the_input_is_not_changed() -> None:
    points = np.array([[1.0, 2.0, 0.5]])
    moved = apply_affine(np.array([[2.0, 0, 1], [0, 2, 0]]), points)
    assert moved.tolist() == [[3, 4, 0.5]] and points.tolist() == [[1, 2, 0.5]]


def test_udp_corners_map_to_corners() -> None:
    scale = heatmap_scale(SIZE, HEATMAP, "udp")
    assert np.allclose(apply_affine(scale, np.array([[0.0, 0.0], [191, 255]])), [[0, 0], [47, 63]])
    assert np.allclose(heatmap_scale(SIZE, HEATMAP, "msra")[:, :2], np.eye(2) / 4)


def _near(box: np.ndarray, dx: float, dy: float, zoom: float) -> np.ndarray:
    width, height = box[2] - box[0], box[3] - box[1]
    centre = (box[:2] + box[2:]) / 2 + [dx * width, dy * height]
    half = np.array([width, height]) * zoom / 2
    return np.concatenate([centre - half, centre + half])


@given(
    st.floats(-0.08, 0.08), st.floats(-0.08, 0.08), st.floats(0.9, 1.12), conventions,
    st.floats(-0.3, 0.3), st.floats(-0.35, 0.35),
)  # fmt: skip
def test_warped_heatmaps_peak_where_the_joint_lies_in_the_new_crop(
    dx: float, dy: float, zoom: float, convention: Convention, x: float, y: float
) -> None:
    """A joint that stands still while its crop moves: the warped map equals one made in the new crop."""
    box = np.array([100.0, 50.0, 220.0, 290.0])
    old = crop_affine(box, SIZE, convention=convention)
    new = crop_affine(_near(box, dx, dy, zoom), SIZE, convention=convention)
    joint = (box[:2] + box[2:]) / 2 + np.array([x, y]) * (box[2:] - box[:2])
    scale = heatmap_scale(SIZE, HEATMAP, convention)
    before = apply_affine(compose(scale, old), joint[None])
    after = apply_affine(compose(scale, new), joint[None])
    warped = warp_heatmaps(encode_gaussian(before, HEATMAP), warp_between(old, new, SIZE, HEATMAP, convention))
    assert warped.shape == (1, 64, 48) and warped.dtype == np.float32
    found = decode(warped[None])[0, 0]
    assert np.abs(found[:2] - after[0]).max() < 0.15  # bilinear sampling flattens the peak a little
    assert found[2] > 0.85


def test_warp_by_identity_changes_nothing_and_joints_stay_apart() -> None:
    maps = np.random.default_rng(1).random((17, 64, 48), np.float32)
    assert np.array_equal(warp_heatmaps(maps, np.array([[1.0, 0, 0], [0, 1, 0]])), maps)
    shifted = warp_heatmaps(maps, np.array([[1.0, 0, 3], [0, 1, 2]]))
    assert np.array_equal(shifted[:, 2:, 3:], maps[:, :-2, :-3])
    assert not shifted[:, :2].any() and not shifted[:, :, :3].any()  # zero outside


def test_warp_far_away_is_empty() -> None:
    maps = np.ones((3, 8, 6), np.float32)
    assert not warp_heatmaps(maps, np.array([[1.0, 0, 100], [0, 1, 0]])).any()


def test_iou() -> None:
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 5]])
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    assert box_iou(a, b)[0] == pytest.approx([1, 1 / 3, 0])
    assert box_iou(a, b)[1] == pytest.approx([0, 0, 0])
    assert box_iou(np.zeros((0, 4)), b).shape == (0, 3)


@given(boxes, boxes)
def test_iou_is_symmetric_and_bounded(a: np.ndarray, b: np.ndarray) -> None:
    one, other = box_iou(a, b)[0, 0], box_iou(b, a)[0, 0]
    assert one == pytest.approx(other) and 0 <= one <= 1 + 1e-9


def test_keypoints_box() -> None:
    points = np.array([[1, 9, 0.9], [5, 2, 0.5], [100, 100, 0.1]])
    box = keypoints_box(points, 0.3)
    assert box is not None and box.tolist() == [1, 2, 5, 9]
    assert keypoints_box(points, 0.6) is None and keypoints_box(points[:0], 0.1) is None


@needs_shared
class TestGolden:
    """The published frameworks' own affines and crops (mmpose, SimpleBaseline)."""

    @pytest.fixture
    def golden(self) -> dict[str, np.ndarray]:
        assert SHARED is not None
        with np.load(SHARED / "reference" / "golden" / "codec.npz") as arrays:
            return dict(arrays)

    @pytest.mark.parametrize("size", [(192, 256), (288, 384), (256, 256)])
    def test_affines(self, golden: dict[str, np.ndarray], size: tuple[int, int]) -> None:
        name = f"{size[1]}x{size[0]}"
        for index, (x, y, w, h) in enumerate(golden["boxes_xywh"]):
            for turn, rotation in enumerate((0, 30, -45)):
                affine = crop_affine([x, y, x + w, y + h], size, convention="msra", rotation=rotation)
                assert np.abs(affine - golden[f"warp_{name}_rot0_30_m45"][index, turn]).max() < 1e-3
            plain = crop_affine([x, y, x + w, y + h], size, convention="msra")
            assert np.abs(invert(plain) - golden[f"warp_inverse_{name}"][index]).max() < 1e-4

    def test_crops(self, golden: dict[str, np.ndarray]) -> None:
        y, x, c = np.mgrid[:240, :320, :3]
        picture = (((x * x) // 17 + 3 * y + 50 * c) % 256).astype(np.uint8)
        for index in range(3):
            left, top, w, h = golden["boxes_xywh"][index]
            affine = crop_affine([left, top, left + w, top + h], (192, 256), convention="msra")
            difference = np.abs(crop(picture, affine, (192, 256)).astype(int) - golden[f"crop_256x192_box{index}"])
            assert difference.mean() < 0.5 and difference.max() <= 12  # fixed against floating-point interpolation
