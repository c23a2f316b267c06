"""Targets: distributions and Gaussians, with a teacher, without one, and against the original functions."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fixtures.datasets import BOX, joints_in
from tests.fixtures.shared import SHARED, needs_shared
from vipose.models.data.augment import AUGMENTATIONS, Camera, View, random_view
from vipose.models.data.targets import Targets, TargetSpec, gaussian_heatmaps, targets
from vipose.runtime.codec import decode, encode_gaussian
from vipose.runtime.errors import UsageError
from vipose.runtime.geometry import apply_affine, compose, crop_affine, heatmap_scale
from vipose.runtime.skeleton import COCO17

SIZE, MAP = (192, 256), (48, 64)
FLIP = list(COCO17.flip)
BOX_ARRAY = np.array(BOX, np.float32)
GT = np.column_stack([joints_in(), np.full(17, 2)]).astype(np.float32)
NOBODY = np.zeros((17, 3), np.float32)
STRAIGHT = Camera(1.0, (0.0, 0.0), 0.0, False).look_at(BOX_ARRAY, SIZE)
KINDS = [
    TargetSpec(),
    TargetSpec("gaussian"),
    TargetSpec("gaussian", unbiased=False),
]


def seen(height: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """A teacher's heatmaps x 255 of the figure; peaks of ``height``, off by ``offset`` cells."""
    to_map = compose(heatmap_scale(SIZE, MAP, "udp"), crop_affine(BOX_ARRAY, SIZE))
    return (encode_gaussian(apply_affine(to_map, joints_in()) + offset, MAP) * height * 255 + 0.5).astype(np.uint8)


def cells(view: View) -> np.ndarray:
    """[17, 2] where a view's targets must peak."""
    points = apply_affine(compose(heatmap_scale(SIZE, MAP, "udp"), view.affine), joints_in())
    return points[FLIP] if view.mirrored else points


def make(gt: np.ndarray, teacher: np.ndarray | None, view: View, spec: TargetSpec | float) -> Targets:
    return targets(gt, teacher, BOX_ARRAY, view, SIZE, MAP, spec)


@pytest.mark.parametrize("spec", KINDS, ids=["distribution", "unbiased", "rounded"])
@pytest.mark.parametrize("teacher", [None, seen(0.8)], ids=["labels", "labels-and-teacher"])
def test_targets_peak_on_the_joints_of_every_view(spec: TargetSpec, teacher: np.ndarray | None) -> None:
    rng = np.random.default_rng(2)
    known = np.column_stack([joints_in(), np.arange(17)]).astype(np.float32)
    for name in AUGMENTATIONS:
        for _ in range(8):
            view = random_view(BOX_ARRAY, known, SIZE, AUGMENTATIONS[name], rng)
            target, where = make(GT, teacher, view, spec), cells(view)
            inside = (where > 2).all(1) & (where < np.array(MAP) - 3).all(1)
            assert (target.weight[inside] == 1).all()
            found = decode(target.distribution[None], refinement="none")[0, :, :2]
            assert np.abs(found - where)[inside].max() < (1.01 if teacher is not None else 0.51)
            if spec.kind == "gaussian":
                assert target.distribution[inside].max((1, 2)) == pytest.approx(1, abs=0.07)
                assert set(target.weight.tolist()) <= {0.0, 1.0}
            else:
                assert np.allclose(target.distribution.sum((1, 2)), 1, atol=1e-3)


def test_a_number_is_the_sigma_of_distributions() -> None:
    a, b = make(GT, seen(), STRAIGHT, 1.5), make(GT, seen(), STRAIGHT, TargetSpec(sigma=1.5))
    assert np.array_equal(a.distribution, b.distribution) and np.array_equal(a.weight, b.weight)
    assert TargetSpec("gaussian").scaled(0.5) == TargetSpec("gaussian", sigma=1.0)


def test_without_a_teacher_only_labels_count() -> None:
    gt = GT.copy()
    gt[1:3] = 0  # as eyes in PoseTrack
    gt[0, :2] = -500  # labelled, and outside of the view
    soft, hard = (make(gt, None, STRAIGHT, spec) for spec in (TargetSpec(), TargetSpec("gaussian")))
    assert (soft.weight[1:3] == 0).all() and (hard.weight[1:3] == 0).all()
    assert soft.weight[0] == pytest.approx(0.05) and np.ptp(soft.distribution[0]) == 0
    assert hard.weight[0] == 0 and hard.distribution[:3].max() == 0
    assert (soft.weight[3:] == 1).all() and (hard.weight[3:] == 1).all()
    assert np.isfinite(soft.distribution).all()
    nobody = make(NOBODY, None, STRAIGHT, TargetSpec())
    assert (nobody.weight == 0).all() and np.isfinite(nobody.distribution).all()


def test_a_teacher_alone_teaches_what_it_is_sure_of() -> None:
    for height, soft_weight, hard_weight in ((0.8, 0.8, 1), (0.18, 0, 0), (0.05, 0.05, 1)):
        teacher = seen(height)
        soft, hard = (make(NOBODY, teacher, STRAIGHT, spec) for spec in (TargetSpec(), TargetSpec("gaussian")))
        assert soft.weight == pytest.approx(np.full(17, soft_weight), abs=0.06)
        assert (hard.weight == hard_weight).all()
        peaks = hard.distribution.max((1, 2))
        assert peaks == pytest.approx(np.full(17, 0.8 if height == 0.8 else 0), abs=0.06)  # the teacher's heights


@pytest.mark.parametrize("spec", KINDS, ids=["distribution", "unbiased", "rounded"])
def test_a_teacher_that_contradicts_a_label_is_not_heard(spec: TargetSpec) -> None:
    alone, against, beside = (make(GT, t, STRAIGHT, spec).distribution for t in (None, seen(0.9, 12.0), seen(0.9, 0.8)))
    assert np.array_equal(alone, against)
    assert not np.array_equal(alone, beside)


def test_gaussians_are_rounded_and_cut_off_or_neither() -> None:
    point = np.array([[20.4, 30.6]])
    rounded, _ = gaussian_heatmaps(point, MAP, 2.0, unbiased=False)
    exact, _ = gaussian_heatmaps(point, MAP, 2.0, unbiased=True)
    assert rounded[0, 31, 20] == 1 and np.count_nonzero(rounded) == 13 * 13
    assert rounded[0, 31, 26] == pytest.approx(np.exp(-36 / 8)) and rounded[0, 31, 27] == 0
    assert exact.max() < 1 and decode(exact[None])[0, 0, :2] == pytest.approx([20.4, 30.6], abs=0.05)
    small, _ = gaussian_heatmaps(point, MAP, 1.0, unbiased=False)
    assert np.count_nonzero(small) == 7 * 7


@needs_shared
@pytest.mark.parametrize(("case", "unbiased"), [("plain", False), ("dark", True)])
def test_gaussians_are_those_of_mmpose(case: str, unbiased: bool) -> None:
    assert SHARED is not None
    with np.load(SHARED / "reference" / "golden" / "codec.npz") as golden:
        points, visible = golden["keypoints"][0] / 4, golden["keypoints_visible"][0]
        maps, touches = gaussian_heatmaps(points, MAP, 2.0, unbiased=unbiased)
        known = touches & (visible > 0)
        assert np.array_equal(known.astype(np.float32), golden[f"target_weight_{case}"][0])
        assert np.abs(maps * known[:, None, None] - golden[f"target_{case}"]).max() < 1e-6


def test_targets_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match="there is no target 'offset'"):
        TargetSpec("offset")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="sigma 0 is not above 0"):
        TargetSpec(sigma=0)
