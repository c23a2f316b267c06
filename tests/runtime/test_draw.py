"""Painting an overlay."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fixtures.people import frame_result, standing
from vipose.runtime.draw import draw
from vipose.runtime.overlay import (
    LEFT,
    RIGHT,
    Box,
    Dot,
    Line,
    Overlay,
    OverlayStyle,
    Panel,
    Status,
    Text,
    build_overlay,
)
from vipose.runtime.skeleton import COCO17

GREY = np.full((360, 320, 3), 90, np.uint8)
QUIET = OverlayStyle(boxes=False, ids=False, status=False)


def test_colours_are_rgb_and_lie_where_the_joints_are() -> None:
    person = standing()
    out = draw(GREY, build_overlay(frame_result(person), COCO17, QUIET))
    for joint, colour in ((9, LEFT), (10, RIGHT)):
        x, y = person.keypoints[joint, :2].round().astype(int)
        assert np.abs(out[y, x].astype(int) - colour).max() < 40
    assert np.array_equal(out[300:, 250:], GREY[300:, 250:])  # nothing far from the person


def test_the_input_is_never_changed() -> None:
    image = GREY.copy()
    image.flags.writeable = False
    overlay = build_overlay(frame_result(standing()), COCO17, status=Status(30.0))
    for mirror in (False, True):
        out = draw(image, overlay, mirror=mirror)
        assert out.flags.writeable and out.shape == image.shape and out.dtype == np.uint8
    assert (image == 90).all()


def test_an_empty_overlay_changes_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (36, 32, 3), np.uint8)
    assert np.array_equal(draw(noise, Overlay((32, 36))), noise)
    assert np.array_equal(draw(noise, Overlay((32, 36)), mirror=True), noise[:, ::-1])


def test_black_background_shows_the_skeleton_only() -> None:
    white = np.full_like(GREY, 255)
    out = draw(white, build_overlay(frame_result(standing()), COCO17, QUIET), background="black")
    assert out[300:, 250:].max() == 0 and out.max() > 200


def test_mirror_mirrors_geometry_and_picture() -> None:
    ramp = np.repeat(np.arange(320, dtype=np.uint16)[None, :, None] // 2, 360, 0).astype(np.uint8).repeat(3, 2)
    overlay = build_overlay(frame_result(standing()), COCO17, QUIET)
    plain, mirrored = draw(ramp, overlay), draw(ramp, overlay, mirror=True)
    difference = np.abs(plain[:, ::-1].astype(int) - mirrored)
    assert (difference.max(2) > 60).mean() < 0.004  # anti-aliasing may fall on the other side of a pixel


def test_mirrored_text_reads_the_same() -> None:
    """The block moves to the other side; the letters in it are the same, not mirrored ones."""
    text = Text("12 P1", (20.0, 50.0, 90.0, 74.0), 24.0, 68.0, 12.0, (255, 255, 255))
    black = np.zeros((100, 200, 3), np.uint8)
    plain = draw(black, Overlay((200, 100), texts=(text,)))
    mirrored = draw(black, Overlay((200, 100), texts=(text,)), mirror=True)
    assert plain[50:74, 20:90].max() > 200
    assert np.array_equal(plain[50:75, 20:91], mirrored[50:75, 109:180])


def test_the_strip_stays_where_it_is_in_a_mirrored_view() -> None:
    overlay = build_overlay(frame_result(size=(320, 360)), COCO17, status=Status(30.0))
    assert np.array_equal(draw(GREY, overlay), draw(GREY, overlay, mirror=True))


def test_opacity() -> None:
    for alpha, expected in ((1.0, 255), (0.5, 172), (0.0, 90)):
        dot = Dot((100.0, 100.0), 10.0, (255, 255, 255), alpha=alpha)
        line = Line((200.0, 100.0), (300.0, 100.0), (255, 255, 255), 6.0, alpha=alpha)
        out = draw(GREY, Overlay((320, 360), lines=(line,), dots=(dot,)))
        assert out[100, 100, 0] == pytest.approx(expected, abs=1) and out[100, 250, 0] == pytest.approx(expected, abs=1)
    panel = Panel((10.0, 10.0, 20.0, 20.0), (0, 0, 0), 0.5)
    assert draw(GREY, Overlay((320, 360), panels=(panel,)))[15, 15, 0] == 45


def test_lines_are_anti_aliased_and_sub_pixel() -> None:
    def column(y: float) -> np.ndarray:
        line = Line((50.0, y), (250.0, y), (255, 255, 255), 3.0)
        return draw(np.zeros_like(GREY), Overlay((320, 360), lines=(line,)))[90:110, 150, 0].astype(float)

    rows = np.arange(90, 110)
    centres = [float((column(y) * rows).sum() / column(y).sum()) for y in (100.0, 100.25, 100.5, 100.75)]
    assert centres == pytest.approx([100.0, 100.25, 100.5, 100.75], abs=0.25)  # whole pixels would be off by half a pixel
    assert len(np.unique(column(100.25))) > 2


@pytest.mark.parametrize("far", [1e3, 1e7, 1e30, -1e30, float("nan"), float("inf")])
def test_whatever_lies_outside_is_cut_off(far: float) -> None:
    overlay = Overlay(
        (320, 360),
        boxes=(Box((far, far, far, far), (255, 0, 0), 2.0), Box((-50.0, -50.0, far, far), (255, 0, 0), 2.0)),
        lines=(Line((far, 10.0), (10.0, 10.0), (0, 255, 0), 3.0), Line((far, far), (far, far), (0, 255, 0), 3.0, 1.0, 0.5)),
        dots=(Dot((far, 20.0), 5.0, (0, 0, 255), 1.0, 0.5),),
        panels=(Panel((far, 0.0, far, 5.0), (0, 0, 0), 0.5),),
        texts=(Text("x", (far, 0.0, far, 5.0), far, 5.0, 10.0, (255, 255, 255)),),
    )
    for mirror in (False, True):
        assert draw(GREY, overlay, mirror=mirror).shape == GREY.shape


def test_a_long_line_keeps_its_course_inside_the_picture() -> None:
    line = Line((-4000.0, -4000.0), (4300.0, 4300.0), (255, 255, 255), 3.0)
    out = draw(np.zeros_like(GREY), Overlay((320, 360), lines=(line,)))
    assert all(out[i, i].max() > 200 for i in range(5, 315, 10)) and out[300, 20].max() == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (16, 500)])
def test_tiny_frames(size: tuple[int, int]) -> None:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    overlay = build_overlay(frame_result(standing(), size=size), COCO17, status=Status(30.0))
    assert draw(image, overlay).shape == image.shape


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="320x360"):
        draw(GREY[:, :100], build_overlay(frame_result(), COCO17))
