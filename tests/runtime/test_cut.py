"""Cuts: between scenes, not within one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.fixtures.shared import SHARED, needs_shared
from vipose.runtime.cut import CutDetector


def scene(seed: int, shift: int = 0, size: tuple[int, int] = (180, 320)) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    return np.roll(cv2.resize(coarse, size[::-1]), shift, 1)


def test_a_new_scene_is_a_cut_and_motion_is_none() -> None:
    cut = CutDetector()
    assert [cut(scene(1, 2 * i)) for i in range(10)] == [False] * 10
    assert cut(scene(2))
    assert not cut(scene(2, 3))


def test_light_and_noise_are_none() -> None:
    cut, rng = CutDetector(), np.random.default_rng(0)
    picture = scene(3).astype(int)
    cut(picture.astype(np.uint8))
    for brightness in (10, 60, -40, 0):
        noisy = picture + brightness + rng.normal(0, 12, picture.shape)
        assert not cut(noisy.clip(0, 255).astype(np.uint8))


def test_black_to_picture_is_a_cut_and_black_stays_black() -> None:
    cut, black = CutDetector(), np.zeros((180, 320, 3), np.uint8)
    assert not cut(black)
    assert not cut(black)
    assert cut(scene(4))


def test_another_size_is_a_cut_and_tiny_pictures_work() -> None:
    cut = CutDetector()
    assert not cut(scene(5))
    assert cut(scene(5, size=(90, 160)))
    assert cut(np.zeros((1, 1, 3), np.uint8))
    assert not cut(np.full((1, 1, 3), 255, np.uint8))


@needs_shared
@pytest.mark.parametrize(("name", "cuts"), [("kin_yoga", [214]), ("mma_ring", [])])
def test_real_clips(name: str, cuts: list[int]) -> None:
    av = pytest.importorskip("av")
    assert SHARED is not None
    detector, found = CutDetector(), []
    with av.open(str(SHARED / "data" / "video" / f"{name}.mp4")) as container:
        for index, picture in enumerate(container.decode(video=0)):
            if detector(picture.to_ndarray(width=320, height=180, format="rgb24")):
                found.append(index)
    assert found == cuts
