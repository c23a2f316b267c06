"""Sizes of pictures."""

from __future__ import annotations

import numpy as np
import pytest

from vipose.runtime.media.pixels import resized, shrunk


def picture(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def test_what_fits_is_the_very_same_picture() -> None:
    image = picture(40, 30)
    assert resized(image, (40, 30)) is image and shrunk(image, 40) is image


@pytest.mark.parametrize(("size", "wanted"), [((400, 300), (100, 75)), ((300, 400), (75, 100)), ((4000, 1), (100, 1))])
def test_the_longer_side_shrinks_and_the_shape_stays(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    small = shrunk(picture(*size), 100)
    assert small.shape == (wanted[1], wanted[0], 3) and small.dtype == np.uint8


def test_shrinking_averages() -> None:
    image = picture(64, 64)
    small = resized(image, (1, 1))
    assert np.abs(small[0, 0].astype(float) - image.mean((0, 1))).max() < 1.5
