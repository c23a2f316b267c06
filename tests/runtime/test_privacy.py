"""Head blur: hides heads, fails closed, never crashes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.people import frame_result, standing
from vipose.runtime.errors import UsageError
from vipose.runtime.privacy import BlurConfig, Ellipse, HeadBlur, blur_ellipses, head_regions
from vipose.runtime.skeleton import COCO17, MPII16
from vipose.runtime.types import PersonResult

NOISE = np.random.default_rng(0).integers(0, 256, (360, 320, 3), np.uint8)
HEAD = range(5)


def _inside(region: Ellipse, x: float, y: float) -> float:
    """1 on the edge of the ellipse, less inside."""
    cos, sin = np.cos(region.angle), np.sin(region.angle)
    dx, dy = x - region.x, y - region.y
    return float(np.hypot((dx * cos + dy * sin) / region.along, (dy * cos - dx * sin) / region.across))


def _covers(regions: tuple[Ellipse, ...], person: PersonResult) -> bool:
    return all(any(_inside(r, *person.keypoints[j, :2]) < 0.95 for r in regions) for j in HEAD)


def _without(person: PersonResult, joints: range, score: float = 0.05) -> PersonResult:
    points = person.keypoints.copy()
    points[list(joints), 2] = score
    return standing(person.id, tuple(person.box), keypoints=points)


def _detail(image: np.ndarray) -> float:
    """Mean step between neighbouring pixels: what is left of fine structure."""
    return float(np.abs(np.diff(image.astype(float), axis=1)).mean())


def test_head_is_hidden_and_the_rest_stays() -> None:
    person = standing(box=(100, 60, 180, 300))
    out = HeadBlur(COCO17).apply(NOISE, frame_result(person))
    head = (slice(68, 88), slice(130, 150))
    assert _detail(out[head]) < 0.1 * _detail(NOISE[head])
    assert np.array_equal(out[150:], NOISE[150:]) and np.array_equal(out[:, 250:], NOISE[:, 250:])


def test_the_input_is_never_changed() -> None:
    image = NOISE.copy()
    image.flags.writeable = False
    out = HeadBlur(COCO17).apply(image, frame_result(standing()))
    assert out is not image and out.flags.writeable and np.array_equal(image, NOISE)


def test_few_samples_remain() -> None:
    """Two pictures that differ inside the head only in what is finer than a cell come out the same: nothing to undo."""
    y, x = np.mgrid[:200, :200]
    chess = np.repeat((((x + y) % 2) * 254)[..., None], 3, 2).astype(np.uint8)
    region = Ellipse(100, 100, 50, 50)
    one, other = blur_ellipses(chess, [region]), blur_ellipses(254 - chess, [region])
    inner = (slice(70, 130), slice(70, 130))
    assert np.abs(one[inner].astype(int) - other[inner]).max() <= 6 and np.abs(one[inner].astype(int) - 127).max() <= 6


def test_the_whole_ellipse_is_hidden_not_only_its_middle() -> None:
    region = Ellipse(160, 180, 60, 40, 0.7)
    changed = (blur_ellipses(NOISE, [region]) != NOISE).any(2)
    y, x = np.mgrid[:360, :320]
    inside = np.vectorize(lambda a, b: _inside(region, a, b))(x, y) <= 1
    assert changed[inside].mean() > 0.97 and not changed[np.abs(y - 180) > 80].any()


@pytest.mark.parametrize("height", [50.0, 200.0, 1000.0])
def test_blur_grows_with_the_person(height: float) -> None:
    person = standing(box=(0, 0, height / 3, height))
    (region,) = head_regions(person, COCO17)
    assert 0.07 * height < region.along < 0.2 * height and _covers((region,), person)


def test_profile_and_back_views_are_covered() -> None:
    """Only one ear and the nose; only the ears; one eye alone."""
    for seen in ((0, 3), (3, 4), (1,)):
        points = standing().keypoints.copy()
        points[[j for j in HEAD if j not in seen], 2] = 0
        regions = head_regions(standing(keypoints=points), COCO17)
        for j in seen:
            assert _inside(regions[0], *points[j, :2]) < 0.9
        assert regions[0].across > 0.05 * 240


def test_without_head_joints_the_upper_part_of_the_box_is_hidden() -> None:
    whole = standing(box=(100, 60, 180, 300))
    for hidden in (range(5), range(17)):
        regions = head_regions(_without(whole, hidden), COCO17)
        assert _covers(regions, whole)
        assert all(any(_inside(r, x, y) <= 1 for r in regions) for x in (102, 140, 178) for y in (62, 100, 150))


def test_upside_down_without_head_joints() -> None:
    """In a handstand the head is below the shoulders, not in the upper part of the box."""
    points = standing(box=(100, 60, 180, 300)).keypoints.copy()
    points[:, 1] = 360 - points[:, 1]
    whole = standing(box=(100, 60, 180, 300), keypoints=points)
    assert _covers(head_regions(_without(whole, range(5)), COCO17), whole)


def test_a_missed_person_stays_hidden_until_the_track_ends() -> None:
    blur, person = HeadBlur(COCO17, BlurConfig(keep_s=1.0)), standing()
    assert _covers(blur.update(frame_result(person, time_s=0.0)), person)
    last = 0.0
    for time_s in (0.1, 0.5, 0.99):
        regions = blur.update(frame_result(time_s=time_s))
        assert _covers(regions, person) and regions[0].along > last
        last = regions[0].along
    assert blur.update(frame_result(time_s=1.2)) == ()


def test_a_missed_person_is_hidden_beside_others() -> None:
    blur, one, other = HeadBlur(COCO17), standing(1), standing(2, (200, 60, 280, 300))
    blur.update(frame_result(one, other, time_s=0.0))
    regions = blur.update(frame_result(other, time_s=0.1))
    assert _covers(regions, one) and _covers(regions, other)


def test_a_moving_head_that_is_missed_is_hidden_where_it_may_be() -> None:
    blur = HeadBlur(COCO17)
    for step in range(5):
        blur.update(frame_result(standing(box=(20 + 6 * step, 50, 100 + 6 * step, 290)), time_s=step / 30))
    ahead = standing(box=(20 + 6 * 6, 50, 100 + 6 * 6, 290))
    assert _covers(blur.update(frame_result(time_s=6 / 30)), ahead)


def test_a_head_whose_joints_fail_for_a_frame_stays_hidden() -> None:
    """Lying down: the fallback to the upper part of the box alone would miss the head."""
    points = standing(box=(100, 60, 180, 300)).keypoints.copy()
    points[:, 1] = 360 - points[:, 1]
    whole = standing(box=(100, 60, 180, 300), keypoints=points)
    blur = HeadBlur(COCO17)
    blur.update(frame_result(whole, time_s=0.0))
    assert _covers(blur.update(frame_result(_without(whole, range(17)), time_s=0.1)), whole)


def test_a_cut_forgets() -> None:
    blur, gone = HeadBlur(COCO17), standing(1)
    blur.update(frame_result(gone, time_s=0.0))
    new = standing(2, (200, 60, 280, 300), why="cut")
    regions = blur.update(frame_result(new, time_s=0.04))
    assert _covers(regions, new) and not _covers(regions, gone)


def test_time_that_repeats_or_goes_back_keeps_people_hidden() -> None:
    blur, person = HeadBlur(COCO17, BlurConfig(keep_s=1.0)), standing()
    blur.update(frame_result(person, time_s=100.0))
    for time_s in (100.0, 3.0, 3.5):
        assert _covers(blur.update(frame_result(time_s=time_s)), person)
    assert blur.update(frame_result(time_s=5.0)) == ()


@given(
    st.tuples(*[st.floats(-2000, 2000, width=32)] * 2, *[st.floats(-3, 3000, width=32)] * 2),
    st.lists(
        st.tuples(*[st.floats(-3000, 3000, width=32) | st.just(np.nan)] * 2, st.floats(0, 1, width=32)),
        min_size=17, max_size=17,
    ),
    st.sampled_from([(1, 1), (7, 3), (64, 48)]),
)  # fmt: skip
def test_never_crashes(
    box: tuple[float, float, float, float], points: list[tuple[float, ...]], size: tuple[int, int]
) -> None:
    corners = np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]], np.float32)
    keypoints = np.array(points, np.float32)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    blur = HeadBlur(COCO17)
    for step in range(3):
        people = [PersonResult(1, corners, 0.5, keypoints, keypoints)] if step != 1 else []
        assert blur.apply(image, frame_result(*people, size=size, time_s=step / 10)).shape == image.shape


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (5, 5, 6, 6), (-900, -900, -800, -700), (-20, -20, 30, 30), (300, 340, 400, 500)])
def test_odd_boxes(box: tuple[float, float, float, float]) -> None:
    for person in (standing(box=box), _without(standing(box=box), range(17))):
        assert HeadBlur(COCO17).apply(NOISE, frame_result(person)).shape == NOISE.shape


def test_a_box_that_is_not_a_number_counts_as_missed() -> None:
    blur, person = HeadBlur(COCO17), standing()
    blur.update(frame_result(person, time_s=0.0))
    nothing = np.full((17, 3), np.nan)
    broken = PersonResult(1, np.full(4, np.nan), 0.5, nothing, nothing)
    assert _covers(blur.update(frame_result(broken, time_s=0.1)), person)


def test_other_skeletons() -> None:
    points = np.zeros((16, 3))
    points[MPII16.index("head_top")], points[MPII16.index("upper_neck")] = (100, 50, 1), (100, 80, 1)
    person = PersonResult(1, np.array([60, 40, 140, 300]), 1.0, points, points)
    (region,) = head_regions(person, MPII16)
    assert all(_inside(region, 100, y) < 1 for y in range(50, 81)) and region.across > 12


@pytest.mark.parametrize("seen", ["head_top", "upper_neck"])
@pytest.mark.parametrize("down", [1, -1])
def test_one_end_of_a_head_is_enough(seen: str, down: int) -> None:
    """MPII has joints at the rim of the head only: around one of them alone half the face would show."""
    places = {
        "head_top": (100, 50), "upper_neck": (100, 80), "left_shoulder": (122, 90), "right_shoulder": (78, 90),
        "left_hip": (115, 150), "right_hip": (85, 150),
    }  # fmt: skip
    points = np.zeros((16, 3))
    for name, (x, y) in places.items():
        points[MPII16.index(name)] = x, 150 + down * (y - 150), 0.05 if name in {"head_top", "upper_neck"} - {seen} else 1
    person = PersonResult(1, np.array([60, 0, 140, 300]), 1.0, points, points)
    regions = head_regions(person, MPII16)
    assert len(regions) == 1 and all(_inside(regions[0], 100, 150 + down * (y - 150)) < 1 for y in range(50, 81))


@pytest.mark.parametrize("wrong", [{"threshold": 2}, {"margin": 0.5}, {"keep_s": -1}, {"growth_per_s": -1}, {"cells": 40}])
def test_settings_that_would_not_hide_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        BlurConfig(**wrong)  # type: ignore[arg-type]
