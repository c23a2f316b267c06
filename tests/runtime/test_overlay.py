"""The overlay as data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.people import frame_result, standing
from vipose.runtime.overlay import (
    CENTRE,
    LEFT,
    RIGHT,
    Overlay,
    OverlayStyle,
    Status,
    Text,
    build_overlay,
    person_mark,
    status_segments,
    track_colour,
)
from vipose.runtime.skeleton import COCO17, MPII16
from vipose.runtime.types import Counters, PersonResult

QUIET = OverlayStyle(boxes=False, ids=False, status=False)


def _overlap(a: Text, b: Text) -> bool:
    return a.rect[0] < b.rect[2] and b.rect[0] < a.rect[2] and a.rect[1] < b.rect[3] and b.rect[1] < a.rect[3]


def _labels(overlay: Overlay) -> list[Text]:
    return [text for text in overlay.texts if not text.pinned]


def test_sides_have_their_colours() -> None:
    overlay = build_overlay(frame_result(standing()), COCO17, QUIET)
    assert len(overlay.lines) == len(COCO17.limbs) and len(overlay.dots) == 17
    by_limb = {limb: line.colour for limb, line in zip(COCO17.limbs, overlay.lines, strict=True)}
    assert by_limb[(5, 7)] == LEFT and by_limb[(6, 8)] == RIGHT and by_limb[(5, 6)] == CENTRE
    assert by_limb[(0, 1)] == LEFT and by_limb[(11, 12)] == CENTRE
    assert overlay.dots[0].colour == CENTRE and overlay.dots[9].colour == LEFT and overlay.dots[10].colour == RIGHT


def test_geometry_is_in_frame_pixels() -> None:
    person = standing()
    overlay = build_overlay(frame_result(person), COCO17, OverlayStyle(status=False))
    assert overlay.dots[5].centre == pytest.approx(tuple(person.keypoints[5, :2]))
    assert overlay.boxes[0].rect == pytest.approx(tuple(person.box)) and overlay.size == (320, 360)


def test_weak_joints_are_not_drawn_and_joints_fade_with_their_score() -> None:
    points = standing().keypoints.copy()
    points[9, 2], points[7, 2], points[10, 2] = 0.29, 0.5, 0.31
    overlay = build_overlay(frame_result(standing(keypoints=points)), COCO17, QUIET)
    drawn = {dot.centre: dot.alpha for dot in overlay.dots}
    left_wrist, left_elbow, right_wrist, nose = (tuple(map(float, points[j, :2])) for j in (9, 7, 10, 0))
    assert left_wrist not in drawn and len(overlay.lines) == len(COCO17.limbs) - 1
    assert drawn[right_wrist] < drawn[left_elbow] < drawn[nose] == 1
    upper_arm = next(line for line in overlay.lines if line.end == left_elbow)
    assert upper_arm.alpha == drawn[left_elbow]  # a limb is as faint as its weaker end


def test_smoothed_or_raw() -> None:
    raw = standing().keypoints
    person = standing(keypoints=raw, smoothed=raw + np.array([5, 0, 0]))
    for smoothed, shift in ((True, 5), (False, 0)):
        overlay = build_overlay(frame_result(person), COCO17, OverlayStyle(smoothed=smoothed))
        assert overlay.dots[0].centre[0] == pytest.approx(raw[0, 0] + shift)


def test_parts_can_be_switched_off() -> None:
    result = frame_result(standing())
    assert not build_overlay(result, COCO17, OverlayStyle(boxes=False)).boxes
    assert not _labels(build_overlay(result, COCO17, OverlayStyle(ids=False)))
    assert not [t for t in build_overlay(result, COCO17, OverlayStyle(status=False)).texts if t.pinned]
    quiet = build_overlay(result, COCO17, QUIET)
    assert not (quiet.boxes or quiet.texts or quiet.panels) and quiet.lines


@pytest.mark.parametrize(
    ("fields", "mark"),
    [
        ({"kind": "key", "why": "new"}, "K"),
        ({"kind": "key", "why": "due"}, "K"),
        ({"kind": "key", "why": "every"}, "K"),
        ({"kind": "key", "why": "jump"}, "K jump"),
        ({"kind": "key", "why": "cut"}, "K cut"),
        ({"kind": "propagated", "phase": 2}, "P2"),
        ({"kind": "propagated", "phase": 1, "swapped": True}, "P1 L/R"),
    ],
)
def test_marks(fields: dict[str, object], mark: str) -> None:
    person = standing(12, **fields)
    assert person_mark(person) == mark
    assert [t.text for t in _labels(build_overlay(frame_result(person), COCO17))] == [f"12 {mark}"]


def test_track_colours_are_stable_and_neighbours_differ() -> None:
    assert track_colour(3) == track_colour(3)
    assert all(track_colour(i) != track_colour(i + 1) for i in range(1, 200))


def test_status_says_what_is_known() -> None:
    result = frame_result(
        standing(), timings={"detect": 3.04, "track": 0.01, "spatial": 5.5}, counters=Counters(8, 3), provider="CUDA"
    )
    segments = status_segments(result, Status(fps=29.97, age_ms=41.6, notice="fell back to CPU"))
    assert segments == (
        "frame 7  0.25 s", "1 person", "30.0 FPS", "age 42 ms", "CUDA", "dropped 3", "fell back to CPU",
        "8.6 ms per frame", "detect 3.0", "spatial 5.5",
    )  # fmt: skip
    assert status_segments(frame_result()) == ("frame 7  0.25 s", "0 people", "cpu", "dropped 0")
    assert "nan" not in " ".join(status_segments(result, Status(float("nan"), float("inf"))))


@pytest.mark.parametrize("size", [(3840, 2160), (1920, 1080), (960, 540), (640, 360), (360, 640), (320, 240)])
def test_strip_lies_inside_and_nothing_overlaps(size: tuple[int, int]) -> None:
    width, height = size
    timings = dict.fromkeys(("detect", "track", "crop", "spatial", "temporal", "decode", "smooth"), 12.34)
    result = frame_result(standing(), size=size, timings=timings)
    overlay = build_overlay(result, COCO17, status=Status(30.0, 40.0))
    strip = [text for text in overlay.texts if text.pinned]
    panel = overlay.panels[-1]
    assert len(strip) >= 4 and panel.rect[3] <= 0.3 * height
    for text in strip:
        assert 0 <= text.rect[0] and text.rect[2] <= width and text.rect[3] <= panel.rect[3]
    assert not [1 for i, a in enumerate(strip) for b in strip[i + 1:] if _overlap(a, b)]
    assert not [1 for label in _labels(overlay) if label.rect[1] < panel.rect[3]]


def test_sizes_grow_with_the_frame() -> None:
    def build(scale: int) -> Overlay:
        box = (100.0 * scale, 50.0 * scale, 260.0 * scale, 450.0 * scale)
        return build_overlay(frame_result(standing(box=box), size=(960 * scale, 540 * scale)), COCO17)

    small, large = build(1), build(4)
    assert large.lines[0].width == pytest.approx(4 * small.lines[0].width)
    assert large.dots[0].radius == pytest.approx(4 * small.dots[0].radius)
    assert large.texts[0].size == pytest.approx(4 * small.texts[0].size)


def test_far_people_get_thin_limbs() -> None:
    near, far = standing(1, (0, 0, 200, 500)), standing(2, (300, 100, 320, 150))
    overlay = build_overlay(frame_result(near, far, size=(960, 540)), COCO17, QUIET)
    assert overlay.lines[0].width > 2 * overlay.lines[-1].width > 0


def test_labels_of_people_on_one_spot_stay_apart() -> None:
    people = [standing(i + 1, (100 + i, 120, 160 + i, 300)) for i in range(5)]
    labels = _labels(build_overlay(frame_result(*people, size=(960, 540)), COCO17))
    assert len(labels) == 5
    assert not [1 for i, a in enumerate(labels) for b in labels[i + 1:] if _overlap(a, b)]


coordinate = st.floats(-1e5, 1e5, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0])


@given(
    st.lists(st.tuples(*[coordinate] * 4), max_size=4),
    st.lists(st.tuples(coordinate, coordinate, st.floats(0, 1, width=32)), min_size=17, max_size=17),
    st.sampled_from([(1, 1), (64, 48), (640, 360), (2160, 3840)]),
)
def test_anything_can_be_laid_out(
    boxes: list[tuple[float, ...]], points: list[tuple[float, ...]], size: tuple[int, int]
) -> None:
    keypoints = np.array(points, np.float32)
    people = [PersonResult(i + 1, np.array(b, np.float32), 0.5, keypoints, keypoints) for i, b in enumerate(boxes)]
    overlay = build_overlay(frame_result(*people, size=size), COCO17, status=Status(1.0))
    assert all(np.isfinite([*line.start, *line.end, line.width]).all() for line in overlay.lines)
    assert all(np.isfinite(dot.centre).all() and 0 < dot.alpha <= 1 for dot in overlay.dots)
    for label in _labels(overlay):
        assert label.rect[0] >= 0 and label.rect[1] >= 0


def test_other_skeletons() -> None:
    points = np.column_stack([np.random.default_rng(0).uniform(0, 300, (16, 2)), np.ones(16)])
    person = PersonResult(1, np.array([0, 0, 300, 300]), 1.0, points, points)
    assert len(build_overlay(frame_result(person), MPII16, QUIET).lines) == len(MPII16.limbs)
