"""The geometry of views, and what lies under a point."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.app.people import person
from vipose.app.core.hit import MAX_ZOOM, ViewPosition, ViewTransform, joint_at, person_at, projected
from vipose.runtime.skeleton import COCO17
from vipose.runtime.types import FrameResult

WIDE, TALL = (1920, 1080), (540, 960)
KNEE = COCO17.index("left_knee")


def _views() -> st.SearchStrategy[ViewTransform]:
    side = st.integers(1, 4000)
    share = st.floats(-1, 2)
    position = st.builds(ViewPosition, st.floats(0.2, 40), share, share)
    return st.builds(ViewTransform, st.tuples(side, side), st.tuples(side, side), position, st.booleans())


@given(_views(), st.floats(-0.5, 1.5), st.floats(-0.5, 1.5))
def test_there_and_back(view: ViewTransform, x: float, y: float) -> None:
    point = x * view.frame[0], y * view.frame[1]
    there = view.to_widget(point)
    assert view.to_frame(there) == pytest.approx(point, abs=1e-6 * max(*view.frame, *view.widget))
    assert view.affine @ [*point, 1.0] == pytest.approx(np.array(there), abs=1e-6 * view.scale * max(view.frame))


@given(_views())
def test_no_gap_beside_a_frame_that_is_larger_than_the_window(view: ViewTransform) -> None:
    left, top, width, height = view.picture
    for start, length, window in ((left, width, view.widget[0]), (top, height, view.widget[1])):
        slack = 1e-6 * (length + window)
        if length > window:
            assert start <= slack and start + length >= window - slack
        else:
            assert start == pytest.approx((window - length) / 2, abs=slack)
    assert 1.0 <= view.position.zoom <= MAX_ZOOM


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(("frame", "widget"), [(WIDE, (800, 600)), (TALL, (800, 600)), (WIDE, (300, 900))])
def test_the_frame_is_fitted_with_its_outer_edges(frame: tuple[int, int], widget: tuple[int, int], mirror: bool) -> None:
    view = ViewTransform(frame, widget, mirror=mirror)
    left, top, width, height = view.picture
    assert width / height == pytest.approx(frame[0] / frame[1])
    assert width == pytest.approx(widget[0]) or height == pytest.approx(widget[1])
    # The corner of the frame lies half a pixel beyond the centre of its first one.
    corner = view.to_widget((frame[0] - 0.5 if mirror else -0.5, -0.5))
    assert corner == pytest.approx((left, top))


def test_mirroring_turns_left_into_right() -> None:
    view = ViewTransform((100, 50), (200, 100), mirror=True)
    assert view.to_widget((0, 0)) == pytest.approx((199, 1))
    assert view.to_frame((199, 1)) == pytest.approx((0, 0))


@pytest.mark.parametrize("mirror", [False, True])
def test_zooming_keeps_what_lies_under_the_cursor(mirror: bool) -> None:
    view = ViewTransform(WIDE, (960, 540), mirror=mirror).zoomed(3.0)
    for cursor in ((480, 270), (500, 200), (380, 330)):
        under = view.to_frame(cursor)
        assert view.zoomed(1.5, cursor).to_widget(under) == pytest.approx(cursor)


def test_as_many_steps_out_as_in_end_at_the_whole_frame() -> None:
    view = ViewTransform(WIDE, (960, 540))
    for factor in [1.25] * 5 + [1 / 1.25] * 5:
        view = view.zoomed(factor, (100, 100))
    assert view.position.fits and view.position == ViewPosition()


def test_zoom_has_a_limit() -> None:
    assert ViewTransform(WIDE, (960, 540)).zoomed(1e9).position.zoom == MAX_ZOOM


@pytest.mark.parametrize("mirror", [False, True])
def test_panning_moves_the_content_with_the_hand(mirror: bool) -> None:
    view = ViewTransform(WIDE, (960, 540), ViewPosition(4.0), mirror)
    point = 960.0, 540.0
    x, y = view.to_widget(point)
    assert view.panned(30, -20).to_widget(point) == pytest.approx((x + 30, y - 20))


def test_centring_by_a_share_glides() -> None:
    view = ViewTransform(WIDE, (960, 540), ViewPosition(4.0))
    there = view.centred((1200, 600))
    half = view.centred((1200, 600), 0.5)
    assert there.centre == pytest.approx((1200, 600))
    assert half.centre[0] == pytest.approx((view.centre[0] + 1200) / 2)


def test_a_view_without_size_is_harmless() -> None:
    view = ViewTransform((0, 0), (0, 0), ViewPosition(math.nan, math.nan, math.inf))
    assert all(map(math.isfinite, view.to_widget((1, 1))))


def _result() -> FrameResult:
    people = (person(1, (100, 50, 200, 350)), person(2, (150, 60, 400, 400), kind="propagated", phase=2))
    return FrameResult(0, 0.0, (640, 480), people)


@pytest.mark.parametrize("mirror", [False, True])
def test_projected_people_lie_where_the_view_puts_them(mirror: bool) -> None:
    view = ViewTransform((640, 480), (800, 300), ViewPosition(2.0, 0.3, 0.4), mirror)
    result = _result()
    moved = projected(result, view)
    assert moved.size == (800, 300)
    for before, after in zip(result.people, moved.people, strict=True):
        assert after.keypoints[KNEE, :2] == pytest.approx(view.to_widget(tuple(before.keypoints[KNEE, :2])), abs=1e-3)
        assert after.keypoints[:, 2] == pytest.approx(before.keypoints[:, 2])
        assert after.box[0] < after.box[2] and after.box[1] < after.box[3]
        assert (after.id, after.kind, after.phase) == (before.id, before.kind, before.phase)
    box = result.people[0].box
    sides = sorted(view.to_widget((float(x), 0.0))[0] for x in (box[0], box[2]))
    assert moved.people[0].box[[0, 2]] == pytest.approx(sides, abs=1e-3)


def test_the_nearest_joint_within_reach_is_found() -> None:
    result = _result()
    x, y, _ = (float(v) for v in result.people[1].keypoints[KNEE])
    hit = joint_at(result, (x + 3, y - 2), 8)
    assert hit is not None and (hit.person.id, hit.joint) == (2, KNEE)
    assert hit.score == pytest.approx(0.9) and hit.point == pytest.approx((x, y))
    assert joint_at(result, (x + 9, y), 8) is None
    assert joint_at(replace(result, people=()), (x, y), 8) is None


def test_joints_that_are_not_drawn_are_not_found() -> None:
    faint = person(1, (100, 50, 200, 350), score=0.2)
    result = FrameResult(0, 0.0, (640, 480), (faint,))
    x, y, _ = (float(v) for v in faint.keypoints[KNEE])
    assert joint_at(result, (x, y), 8, threshold=0.3) is None
    assert joint_at(result, (x, y), 8, threshold=0.1) is not None


def test_smoothed_or_raw_joints_are_found_as_they_are_drawn() -> None:
    raw = person(1, (100, 50, 200, 350))
    moved = replace(raw, smoothed=raw.keypoints + np.array([40, 0, 0], np.float32))
    result = FrameResult(0, 0.0, (640, 480), (moved,))
    x, y, _ = (float(v) for v in raw.keypoints[KNEE])
    assert joint_at(result, (x, y), 5, smoothed=False) is not None
    assert joint_at(result, (x, y), 5, smoothed=True) is None
    assert joint_at(result, (x + 40, y), 5, smoothed=True) is not None


def test_joints_that_are_nowhere_do_no_harm() -> None:
    lost = person(1, (100, 50, 200, 350))
    nowhere = replace(lost, keypoints=np.full((17, 3), np.nan), smoothed=np.full((17, 3), np.nan))
    result = FrameResult(0, 0.0, (640, 480), (nowhere,))
    assert joint_at(result, (150, 100), 50) is None
    assert person_at(result, COCO17, (150, 100), 5) == 1  # by the box


def test_a_limb_counts_before_a_box_and_the_smaller_box_before_the_larger() -> None:
    result = _result()
    knee, ankle = result.people[1].keypoints[KNEE], result.people[1].keypoints[COCO17.index("left_ankle")]
    middle = (knee + ankle) / 2
    assert person_at(result, COCO17, (float(middle[0]) + 2, float(middle[1])), 6) == 2
    assert person_at(result, COCO17, (175, 330), 4) == 1  # in both boxes, on no limb
    assert person_at(result, COCO17, (395, 70), 4) == 2
    assert person_at(result, COCO17, (20, 20), 4) is None
