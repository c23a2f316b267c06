"""The second look: mirrored, closer, and averaged where it sees."""

from __future__ import annotations

import numpy as np
import pytest

from vipose.runtime.codec import decode_frame, encode_gaussian
from vipose.runtime.geometry import PAD, Convention, apply_affine, crop_affine, heatmap_scale
from vipose.runtime.skeleton import COCO17
from vipose.runtime.twice import CLOSER, average_looks, second_look

SIZE, CELLS = (96, 128), (24, 32)
BOX = np.array([100.0, 60.0, 172.0, 156.0])


def maps(points: np.ndarray, affine: np.ndarray, convention: Convention) -> np.ndarray:
    """Gaussians [K, h, w] where frame pixels [K, 2] lie on a crop."""
    return encode_gaussian(apply_affine(heatmap_scale(SIZE, CELLS, convention), apply_affine(affine, points)), CELLS)


@pytest.mark.parametrize("convention", ["udp", "msra"])
def test_both_looks_agree_on_a_network_that_is_right(convention: Convention) -> None:
    rng = np.random.default_rng(0)
    points = BOX[:2] + (0.1 + 0.8 * rng.random((17, 2))) * (BOX[2:] - BOX[:2])
    image = np.zeros((240, 320, 3), np.uint8)
    affine, look = crop_affine(BOX, SIZE, convention=convention), second_look(image, BOX, SIZE, convention)
    first = maps(points, affine, convention)
    second = maps(points, look.affine, convention)[list(COCO17.flip)]  # in the mirror left is right
    mean = average_looks(first, second, affine, look, COCO17.flip, SIZE, convention)
    found = decode_frame(mean[None], affine[None], SIZE, convention, blur=11)[0]
    assert np.abs(found[:, :2] - points).max() < 0.2 and found[:, 2].min() > 0.85


def test_the_second_crop_is_mirrored_and_closer() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    image[:, 136:] = 255  # the person's left half of the picture is dark
    look = second_look(image, BOX, SIZE, "udp")
    assert look.crop.shape == (128, 96, 3) and look.crop[:, :40].min() == 255 and look.crop[:, 56:].max() == 0
    assert -look.affine[0, 0] / crop_affine(BOX, SIZE, convention="udp")[0, 0] == pytest.approx(PAD / CLOSER)


def test_where_the_second_does_not_see_the_first_counts_alone() -> None:
    affine, look = crop_affine(BOX, SIZE, convention="udp"), second_look(np.zeros((240, 320, 3), np.uint8), BOX, SIZE, "udp")
    first = np.full((17, 32, 24), 0.8, np.float32)
    mean = average_looks(first, np.full_like(first, 0.2), affine, look, COCO17.flip, SIZE, "udp")
    assert mean[:, 0] == pytest.approx(0.8) and mean[:, :, 0] == pytest.approx(0.8)
    assert mean[:, 4:-4, 3:-3] == pytest.approx(0.5, abs=1e-5)
