"""Heatmaps to keypoints and back."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.shared import SHARED, needs_shared
from vipose.runtime.codec import Refinement, decode, decode_frame, encode_gaussian, merge_flipped
from vipose.runtime.geometry import Convention, apply_affine, crop_affine, heatmap_scale
from vipose.runtime.skeleton import COCO17

SIZE, HEATMAP = (192, 256), (48, 64)
inside = st.tuples(st.floats(4, 43), st.floats(4, 59))
SIGMAS, WIDE = (1.5, 2.0, 3.0), (3.0, 11)


@given(st.lists(inside, min_size=1, max_size=6), st.sampled_from([(s, b) for s in SIGMAS for b in (3, 7, 11) if (s, b) != WIDE]))
def test_dark_finds_analytic_gaussians(points: list[tuple[float, float]], how: tuple[float, int]) -> None:
    """To 0.02 of a cell, the project's bound."""
    sigma, blur = how
    maps = encode_gaussian(np.array([points]), HEATMAP, sigma)
    found = decode(maps, "dark", blur)
    assert np.abs(found[0, :, :2] - points).max() < 0.02
    assert (found[0, :, 2] > 0.75).all() and (found[0, :, 2] <= 1).all()


@given(st.lists(st.tuples(st.floats(8, 39), st.floats(8, 55)), min_size=1, max_size=6))
def test_wide_gaussians_are_found_as_well_but_not_at_the_border(points: list[tuple[float, float]]) -> None:
    """Within 8 cells of it DARK's blur takes in cells outside of the map, which are zero: up to 0.06 of a cell off."""
    sigma, blur = WIDE
    found = decode(encode_gaussian(np.array([points]), HEATMAP, sigma), "dark", blur)
    assert np.abs(found[0, :, :2] - points).max() < 0.02


@given(st.lists(inside, min_size=1, max_size=6))
def test_quarter_offset_is_within_its_quantisation(points: list[tuple[float, float]]) -> None:
    found = decode(encode_gaussian(np.array([points]), HEATMAP), "quarter")
    assert np.abs(found[0, :, :2] - points).max() <= 0.2501


@given(st.lists(inside, min_size=1, max_size=6))
def test_plain_peak_is_the_nearest_cell(points: list[tuple[float, float]]) -> None:
    found = decode(encode_gaussian(np.array([points]), HEATMAP), "none")
    assert np.abs(found[0, :, :2] - points).max() <= 0.5001


def test_encoding_is_one_on_a_cell_and_falls_with_sigma() -> None:
    maps = encode_gaussian(np.array([[10.0, 20.0]]), HEATMAP, 2.0)
    assert maps.shape == (1, 64, 48) and maps.dtype == np.float32
    assert maps[0, 20, 10] == 1 and maps[0, 20, 12] == pytest.approx(np.exp(-0.5))


def test_decoding_treats_every_map_alone() -> None:
    rng = np.random.default_rng(3)
    maps = rng.random((5, 17, 64, 48), np.float32)
    together = decode(maps)
    alone = np.concatenate([decode(maps[i: i + 1, j: j + 1]) for i in range(5) for j in range(17)]).reshape(5, 17, 3)
    assert np.allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("refinement", ["dark", "quarter", "none"])
def test_odd_maps(refinement: Refinement) -> None:
    """Nothing positive, flat, a peak in every corner: no crash, nothing outside the map by more than two cells."""
    assert decode(np.zeros((0, 17, 64, 48), np.float32), refinement).shape == (0, 17, 3)
    assert decode(-np.ones((1, 2, 64, 48), np.float32), refinement)[0].tolist() == [[-1, -1, -1]] * 2
    flat = decode(np.ones((1, 1, 64, 48), np.float32), refinement)
    assert np.isfinite(flat).all()
    for y, x in ((0, 0), (0, 47), (63, 0), (63, 47)):
        maps = np.zeros((1, 1, 64, 48), np.float32)
        maps[0, 0, y, x] = 0.5
        assert np.abs(decode(maps, refinement)[0, 0] - [x, y, 0.5]).max() <= 0.25


@given(st.integers(0, 2**32 - 1))
def test_dark_never_leaves_the_neighbourhood_of_the_peak(seed: int) -> None:
    maps = np.random.default_rng(seed).random((1, 4, 16, 12), np.float32)
    peaks = decode(maps, "none")
    assert np.abs(decode(maps, "dark")[..., :2] - peaks[..., :2]).max() <= 2


@given(
    st.sampled_from(["udp", "msra"]), st.floats(-500, 1500), st.floats(-500, 1500), st.floats(30, 800),
    st.floats(-40, 40), st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
)  # fmt: skip
def test_frame_round_trip(
    convention: Convention, x: float, y: float, height: float, rotation: float, joint: tuple[float, float]
) -> None:
    """Frame -> crop -> heatmap -> decode_frame -> the same point, to the bound of 0.02 cell."""
    box = np.array([x, y, x + height * 0.75, y + height])
    affine = crop_affine(box, SIZE, convention=convention, rotation=rotation)
    point = (box[:2] + box[2:]) / 2 + np.array(joint) * [height * 0.75, height]
    cells = apply_affine(heatmap_scale(SIZE, HEATMAP, convention), apply_affine(affine, point[None]))
    found = decode_frame(encode_gaussian(cells[None], HEATMAP), affine[None], SIZE, convention)
    pixels_per_cell = 4 / np.sqrt(np.linalg.det(affine[:, :2]))
    assert np.abs(found[0, 0, :2] - point).max() < 0.03 * pixels_per_cell + 1e-3
    assert 0 <= found[0, 0, 2] <= 1


def test_scores_are_clipped() -> None:
    maps = 3 * encode_gaussian(np.array([[[10.0, 20.0]]]), HEATMAP)
    affine = crop_affine([0, 0, 100, 100], SIZE)[None]
    assert decode_frame(maps, affine, SIZE, "udp")[0, 0, 2] == 1
    assert decode_frame(-maps, affine, SIZE, "udp")[0, 0, 2] == 0


@pytest.mark.parametrize("convention", ["udp", "msra"])
def test_flip_merge_of_a_mirrored_crop(convention: Convention) -> None:
    """A perfect network sees the mirrored crop: after merging every joint is where it was.

    udp mirrors the heatmap exactly; msra's grid is off by one cell less a quarter pixel, which the shift mends to within
    a quarter of a cell.
    """
    rng = np.random.default_rng(5)
    pixels = rng.uniform([40, 40], [150, 210], (17, 2))
    mirrored = (pixels * [-1, 1] + [SIZE[0] - 1, 0])[list(COCO17.flip)]
    scale = heatmap_scale(SIZE, HEATMAP, convention)
    plain, other = (encode_gaussian(apply_affine(scale, p)[None], HEATMAP) for p in (pixels, mirrored))
    merged = merge_flipped(plain, other, COCO17.flip, shift=convention == "msra")
    error = np.abs(decode(merged)[0, :, :2] - apply_affine(scale, pixels)).max()
    assert error < (0.02 if convention == "udp" else 0.25)


@needs_shared
class TestGolden:
    """The published frameworks' own targets, decodings and flip merges."""

    @pytest.fixture
    def golden(self) -> dict[str, np.ndarray]:
        assert SHARED is not None
        with np.load(SHARED / "reference" / "golden" / "codec.npz") as arrays:
            return dict(arrays)

    @pytest.mark.parametrize(
        ("case", "refinement", "blur"),
        [("target_plain", "quarter", 3), ("target_dark", "dark", 11), ("noisy_plain", "quarter", 3), ("noisy_dark", "dark", 11)],
    )
    def test_decoding(self, golden: dict[str, np.ndarray], case: str, refinement: Refinement, blur: int) -> None:
        maps = golden[case] if case in golden else _noisy(golden["target_dark"])
        found = decode(maps[None], refinement, blur)[0]
        assert np.abs(found[:, :2] * 4 - golden[f"decode_of_{case}"][0]).max() < 1e-3
        assert np.abs(found[:, 2] - golden[f"decode_score_of_{case}"][0]).max() < 1e-6

    def test_targets(self, golden: dict[str, np.ndarray]) -> None:
        """Where a joint carries weight; others have an empty target there."""
        used = golden["target_weight_dark"][0] > 0
        ours = encode_gaussian(golden["keypoints"][0] / 4, HEATMAP)
        assert used.sum() >= 14
        assert np.abs(ours - golden["target_dark"])[used].max() < 1e-5

    @pytest.mark.parametrize(("name", "shift"), [("shift", True), ("noshift", False)])
    def test_flip_merge(self, golden: dict[str, np.ndarray], name: str, shift: bool) -> None:
        a, b = (_random(key, (1, 17, 8, 6)) for key in ("flip_a", "flip_b"))
        assert np.abs(merge_flipped(a, b, COCO17.flip, shift=shift) - golden[f"flip_merge_{name}"]).max() < 1e-6


def _random(key: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape, np.float32)


def _noisy(target: np.ndarray) -> np.ndarray:
    maps = (target * 0.8 + 0.05 * _random("heatmap", (17, 64, 48))).astype(np.float32)
    maps[2] = -abs(maps[2])
    return maps
