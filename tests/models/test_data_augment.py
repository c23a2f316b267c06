"""Augmentations: the default keeps its random stream, presets do what their papers say, labels stay on the picture."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.fixtures.datasets import BOX, dotted, joints_in
from vipose.models.data.augment import (
    AUGMENTATIONS,
    Augmentation,
    Camera,
    augmentation,
    half_body_box,
    paste,
    random_view,
    render,
)
from vipose.runtime.errors import UsageError
from vipose.runtime.geometry import apply_affine, crop_affine

SIZE = (192, 256)
KNOWN = np.column_stack([joints_in(), np.arange(17)]).astype(np.float32)
BOX_ARRAY = np.array(BOX, np.float32)


def cameras(name: str, count: int = 4000) -> list[Camera]:
    rng = np.random.default_rng(0)
    return [Camera.draw(AUGMENTATIONS[name], rng) for _ in range(count)]


def test_the_default_draws_what_it_always_drew() -> None:
    ours, rng = np.random.default_rng(4), np.random.default_rng(4)
    for _ in range(200):
        camera = Camera.draw(Augmentation(), ours)
        turned = rng.random() < 0.5
        rotation = float(np.clip(rng.normal(0, 30), -60, 60)) if turned else 0.0
        shift = rng.uniform(-0.1, 0.1, 2)
        scale = rng.uniform(0.75, 1.3)
        assert camera == Camera(scale, (shift[0], shift[1]), rotation, bool(rng.random() < 0.5))
    assert ours.bit_generator.state == rng.bit_generator.state


def test_the_papers_preset_turns_and_mirrors_only() -> None:
    found = cameras("vipnas")
    turns = np.array([c.rotation for c in found])
    assert np.abs(turns).max() <= 40 and np.abs(turns).mean() == pytest.approx(20, abs=0.7)  # uniform
    assert {c.scale for c in found} == {1.0} and {c.shift for c in found} == {(0.0, 0.0)}
    assert np.mean([c.mirrored for c in found]) == pytest.approx(0.5, abs=0.03)
    image = dotted()
    rng = np.random.default_rng(0)
    for _ in range(20):
        view = random_view(BOX_ARRAY, KNOWN, SIZE, AUGMENTATIONS["vipnas"], rng)
        out = render(image, view, SIZE, AUGMENTATIONS["vipnas"], rng)
        assert np.array_equal(out, cv2.warpAffine(image, view.affine, SIZE, flags=cv2.INTER_LINEAR))  # colours stay


def test_mmposes_preset_follows_its_laws() -> None:
    found = cameras("mmpose")
    turns = np.array([c.rotation for c in found])
    assert np.abs(turns).max() <= 60 and (turns != 0).mean() == pytest.approx(0.6, abs=0.03)
    # The standard deviation of a standard normal truncated to [-1, 1] is 0.5396; a uniform one has 0.577.
    assert turns[turns != 0].std() == pytest.approx(60 * 0.5396, rel=0.04)
    scales = np.array([c.scale for c in found])
    assert (np.abs(scales - 1) <= 0.25).all() and scales.std() == pytest.approx(0.25 * 0.5396, rel=0.04)
    shifts = np.array([c.shift for c in found])
    moved = (shifts != 0).any(1)
    assert moved.mean() == pytest.approx(0.3, abs=0.03) and np.abs(shifts).max() <= 0.16


def test_mmposes_shift_is_a_share_of_the_padded_box() -> None:
    tall = np.array([0.0, 0.0, 40.0, 200.0])
    still, moved = (
        Camera(1.0, shift, 0.0, False, "padded").look_at(tall, SIZE).affine for shift in ((0.0, 0.0), (0.16, 0.0))
    )
    centre = np.array([[20.0, 100.0]])
    pixels = (apply_affine(still, centre) - apply_affine(moved, centre))[0] / still[0, 0]
    assert np.allclose(pixels, [0.16 * 1.25 * 40, 0], atol=1e-6)


def test_mmposes_half_bodies_have_its_box() -> None:
    strength = replace(AUGMENTATIONS["mmpose"], half_body=1.0)
    rng = np.random.default_rng(0)
    boxes = np.array([half_body_box(KNOWN, strength, rng) for _ in range(600)])
    upper, lower = KNOWN[:11, :2], KNOWN[11:, :2]
    is_upper = boxes[:, 1] < lower[:, 1].min() - 20
    assert is_upper.mean() == pytest.approx(0.7, abs=0.06)
    for part, box in ((upper, boxes[is_upper][0]), (lower, boxes[~is_upper][0])):
        assert np.allclose((box[:2] + box[2:]) / 2, part.mean(0), atol=1e-3)
        assert np.allclose((box[2:] - box[:2]) * 1.25, 1.5 * np.ptp(part, 0), rtol=1e-5)


@pytest.mark.parametrize(
    ("upper", "lower", "expected"), [(11, 0, "upper"), (11, 2, "upper"), (3, 6, "both"), (1, 8, "lower")]
)
def test_a_part_needs_joints(upper: int, lower: int, expected: str) -> None:
    joints = np.concatenate([KNOWN[:upper], np.repeat(KNOWN[11:], 2, 0)[:lower]])
    rng = np.random.default_rng(0)
    strength = replace(AUGMENTATIONS["mmpose"], half_body_joints=0)
    high = {bool(half_body_box(joints, strength, rng)[1] < BOX[1] + 30) for _ in range(60)}
    assert high == {"upper": {True}, "lower": {False}, "both": {True, False}}[expected]


def test_half_bodies_need_enough_labelled_joints() -> None:
    still = {"rotate_probability": 0.0, "shift_probability": 0.0, "scale": (1.0, 1.0), "flip": 0.0}
    strength = replace(AUGMENTATIONS["mmpose"], half_body=1.0, **still)
    whole = crop_affine(BOX_ARRAY, SIZE)
    rng = np.random.default_rng(0)
    assert np.allclose(random_view(BOX_ARRAY, KNOWN[:8], SIZE, strength, rng).affine, whole)
    assert not np.allclose(random_view(BOX_ARRAY, KNOWN[:9], SIZE, strength, rng).affine, whole)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_labels_stay_on_the_picture(name: str) -> None:
    strength = replace(AUGMENTATIONS[name], colour=0.0, grey=0.0, blur=0.0, erase=0.0)
    image, rng, seen = dotted(), np.random.default_rng(1), 0
    for _ in range(40):
        view = random_view(BOX_ARRAY, KNOWN, SIZE, strength, rng)
        out = render(image, view, SIZE, strength, rng)
        where = apply_affine(view.affine, joints_in())
        inside = (where > 4).all(1) & (where < np.array(SIZE) - 5).all(1)
        x, y = np.rint(where[inside]).astype(int).T
        assert (out[y, x].mean(1) > 150).all()
        seen += int(inside.sum())
    assert seen > 300


def test_recipes_have_names_and_bounds() -> None:
    assert augmentation("default") == Augmentation()
    with pytest.raises(UsageError, match="there is no augmentation 'wild'; choose from default, strong, vipnas"):
        augmentation("wild")
    scales = {"scale": (1.2, 0.8)}, {"scale": (0.0, 1.0)}
    for wrong in (*scales, {"flip": 1.5}, {"rotate": -1.0}, {"shift_probability": -0.1}):
        with pytest.raises(UsageError, match="augmentation"):
            Augmentation(**wrong)  # type: ignore[arg-type]


def test_pieces_of_others_are_pasted_within_bounds() -> None:
    rng, other = np.random.default_rng(0), np.full((50, 70, 3), 255, np.uint8)
    for _ in range(50):
        image = np.zeros((128, 96, 3), np.uint8)
        paste(image, other, rng)
        rows, columns = (np.flatnonzero(image.any((axis, 2))) for axis in (1, 0))
        assert 0.14 * 128 <= np.ptp(rows) + 1 <= 0.45 * 128 and 0.14 * 96 <= np.ptp(columns) + 1 <= 0.45 * 96
    tiny = np.zeros((2, 2, 3), np.uint8)
    paste(tiny, other[:1, :1], rng)
    assert tiny.max() == 255
