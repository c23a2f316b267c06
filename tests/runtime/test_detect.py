"""Detector: letterbox geometry, suppression, frame pixels, region, odd pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.graphs import detector_graph, detector_metadata, pose_graph
from vipose.runtime.detect import Detector, DetectorConfig, letterbox, suppress
from vipose.runtime.errors import ModelError, UsageError
from vipose.runtime.geometry import box_iou
from vipose.runtime.metadata import InputSpec

FREE = InputSpec(0, 0, pixels=416 * 416)


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detector_graph(tmp_path_factory.mktemp("d") / "fixed.onnx", detector_metadata((160, 96)))


def picture(width: int, height: int, *blocks: tuple[int, int, int], side: int = 16) -> np.ndarray:
    """A black picture with bright squares (x, y, brightness)."""
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, value in blocks:
        image[y: y + side, x: x + side] = value
    return image


# --- letterbox ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 8000), st.integers(1, 8000))
@settings(max_examples=150, deadline=None)
def test_free_letterbox_keeps_the_aspect_and_wastes_little(width: int, height: int) -> None:
    fit = letterbox(FREE, width, height)
    assert all(side % 32 == 0 and side > 0 for side in fit.size)
    assert all(1 <= content <= side for content, side in zip(fit.content, fit.size, strict=True))
    scales = fit.content[0] / width, fit.content[1] / height
    assert abs(fit.content[0] - width * scales[1]) <= 0.5 + width / height or min(fit.content) == 1
    if 1 / 4 <= width / height <= 4:
        assert 0.8 <= fit.size[0] * fit.size[1] / FREE.pixels <= 1.25
        assert fit.content[0] * fit.content[1] >= 0.88 * fit.size[0] * fit.size[1]


def test_fixed_letterbox() -> None:
    fit = letterbox(InputSpec(416, 416), 1280, 720)
    assert (fit.size, fit.content) == ((416, 416), (416, 234))


# --- boxes -------------------------------------------------------------------------------------------------------------


def test_box_of_a_bright_block_in_frame_pixels(fixed: Path) -> None:
    """No resizing: cell (3, 2) has its centre at (3 * 16 + 7.5, 2 * 16 + 7.5), the box is 48 x 64 around it."""
    found = Detector(fixed)(picture(160, 96, (48, 32, 255)))
    np.testing.assert_allclose(found, [[55.5 - 24, 39.5 - 32, 55.5 + 24, 39.5 + 32, 1.0]], atol=1e-4)
    assert found.dtype == np.float32


def test_pixel_centres_are_integers_when_resized(fixed: Path) -> None:
    """Doubled picture, letterboxed to half: a block of 32 pixels at 96, 64 has its centre at 111.5, 79.5."""
    found = Detector(fixed)(picture(320, 192, (96, 64, 255), side=32))
    centre, sides = (found[0, :2] + found[0, 2:4]) / 2, found[0, 2:4] - found[0, :2]
    np.testing.assert_allclose(centre, [111.5, 79.5], atol=1e-3)
    np.testing.assert_allclose(sides, [96, 128], atol=1e-3)


def test_padding_lies_right_and_below(fixed: Path) -> None:
    found = Detector(fixed, DetectorConfig(score=0.5))(picture(96, 96, (32, 32, 255)))
    np.testing.assert_allclose((found[0, :2] + found[0, 2:4]) / 2, [39.5, 39.5], atol=1e-3)


def test_best_first_and_doubles_dropped(fixed: Path) -> None:
    detector = Detector(fixed, DetectorConfig(iou=0.4))
    found = detector(picture(160, 96, (0, 32, 200), (16, 32, 250), (112, 32, 220)))
    assert len(found) == 2  # the first two blocks overlap by half
    assert found[:, 4].tolist() == sorted(found[:, 4].tolist(), reverse=True)
    assert found[0, 0] < 60 < found[1, 0]
    assert len(Detector(fixed, DetectorConfig(iou=0.9))(picture(160, 96, (0, 32, 200), (16, 32, 250)))) == 2


def test_score_threshold_and_max_people(fixed: Path) -> None:
    image = picture(160, 96, (0, 32, 160), (64, 32, 250), (128, 32, 220))
    assert len(Detector(fixed, DetectorConfig(score=0.2))(image)) == 3
    assert len(Detector(fixed, DetectorConfig(score=0.5))(image)) == 2
    best = Detector(fixed, DetectorConfig(score=0.2, max_people=1))(image)
    assert len(best) == 1 and best[0, 4] == pytest.approx((250 - 128) / 127, abs=1e-3)


def test_boxes_are_clipped_to_the_frame(fixed: Path) -> None:
    found = Detector(fixed)(picture(160, 96, (0, 0, 255), (144, 80, 255)))
    assert sorted(found[:, :4].tolist()) == [[0, 0, 31.5, 39.5], [127.5, 55.5, 159, 95]]


def test_region_of_interest(fixed: Path) -> None:
    image = picture(320, 192, (16, 16, 255), (240, 112, 255))
    found = Detector(fixed)(image, roi=(159.6, 95.2, 500.0, 191.0))
    assert len(found) == 1
    # The region 159..319 x 95..191 is 161 x 97 pixels and is resized to 159 or 160 x 96.
    np.testing.assert_allclose((found[0, :2] + found[0, 2:4]) / 2, [247.5, 119.5], atol=8)
    assert found[0, 0] >= 159 and found[0, 1] >= 95
    with pytest.raises(UsageError, match="outside of the 320x192 frame"):
        Detector(fixed)(image, roi=(400, 10, 500, 20))


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 500), (2, 2), (4000, 3)])
def test_tiny_and_odd_pictures_are_ordinary(size: tuple[int, int], fixed: Path, tmp_path: Path) -> None:
    image = np.full((size[1], size[0], 3), 255, np.uint8)
    for detector in (Detector(fixed), Detector(detector_graph(tmp_path / "free.onnx"))):
        found = detector(image)
        assert found.shape[1] == 5
        assert (found[:, :2] >= 0).all() and (found[:, 2:4] <= [size[0] - 1, size[1] - 1]).all()


def test_nobody(fixed: Path) -> None:
    found = Detector(fixed)(picture(160, 96))
    assert found.shape == (0, 5) and found.dtype == np.float32


def test_suppressed_output_is_only_thresholded(tmp_path: Path) -> None:
    path = detector_graph(tmp_path / "final.onnx", detector_metadata((160, 96), output="suppressed"))
    image = picture(160, 96, (48, 32, 240), (64, 32, 250))
    found = Detector(path, DetectorConfig(iou=0.1))(image)
    assert len(found) == 2  # doubles are the graph's business
    assert len(Detector(path, DetectorConfig(score=0.0))(image)) == 2  # never the padding


@pytest.mark.parametrize("spec", [{"dtype": "float32", "mean": (10.0, 20.0, 30.0), "std": (2.0, 3.0, 4.0)}, {}])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_every_kind_of_input_finds_the_same(spec: dict[str, Any], layout: str, colour: str, tmp_path: Path) -> None:
    metadata = detector_metadata((160, 96), layout=layout, colour=colour, **spec)
    image = picture(160, 96, (48, 32, 255))
    image[..., 2] //= 2  # so that RGB and BGR differ
    found = Detector(detector_graph(tmp_path / "x.onnx", metadata))(image)
    assert found[0, 4] == pytest.approx((255 * 0.8 + 127 * 0.2 - 128) / 127, abs=1e-4)


def test_more_pixels_show_the_graph_a_larger_picture(tmp_path: Path, fixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, image = detector_graph(tmp_path / "free.onnx"), picture(1280, 768, (384, 384, 255), side=128)
    for pixels, sides in ((0, (160, 96)), (61_440, (320, 192))):
        detector = Detector(path, DetectorConfig(pixels=pixels))
        seen: list[tuple[int, ...]] = []
        run = detector.graph.run
        monkeypatch.setattr(detector.graph, "run", lambda feeds, run=run, seen=seen: seen.append(feeds["image"].shape) or run(feeds))
        found = detector(image)[0]
        assert seen == [(1, sides[1], sides[0], 3)]
        np.testing.assert_allclose((found[:2] + found[2:4]) / 2, [447.5, 447.5], atol=64)
    with pytest.raises(UsageError, match="160x96 pixels and no others"):
        Detector(fixed, DetectorConfig(pixels=61_440))
    with pytest.raises(UsageError, match="negative"):
        DetectorConfig(pixels=-1)


def test_free_input_follows_the_picture(tmp_path: Path) -> None:
    detector = Detector(detector_graph(tmp_path / "free.onnx"))
    for size in ((320, 192), (192, 320)):
        found = detector(picture(*size, (96, 96, 255), side=32))
        np.testing.assert_allclose((found[0, :2] + found[0, 2:4]) / 2, [111.5, 111.5], atol=16)


def test_wrong_pictures_and_graphs(fixed: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="want uint8"):
        Detector(fixed)(np.zeros((10, 10), np.uint8))
    with pytest.raises(ValueError, match="want uint8"):
        Detector(fixed)(np.zeros((0, 10, 3), np.uint8))
    with pytest.raises(ModelError, match="a detector is wanted"):
        Detector(pose_graph(tmp_path / "pose.onnx"))


@pytest.mark.parametrize("change", [{"score": 1.5}, {"iou": -0.1}, {"max_people": -1}, {"min_side_px": -1.0}])
def test_absurd_configurations(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(DetectorConfig(), **change)


@given(st.integers(0, 40), st.integers(0, 2**32 - 1), st.floats(0.1, 0.9))
@settings(max_examples=60, deadline=None)
def test_suppression_keeps_the_best_of_every_group(n: int, seed: int, iou: float) -> None:
    rng = np.random.default_rng(seed)
    low = rng.random((n, 2)) * 50
    boxes = np.hstack([low, low + 5 + rng.random((n, 2)) * 40]).astype(np.float32)
    keep = suppress(boxes, iou)
    overlaps = box_iou(boxes, boxes) > iou
    kept: list[int] = []
    for i in range(n):  # the definition, slowly
        if not any(overlaps[j, i] for j in kept):
            kept.append(i)
    assert np.flatnonzero(keep).tolist() == kept
