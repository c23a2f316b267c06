"""Ids: unique, never reused, the same whatever the order of detections; lost and found; merged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipose.runtime.associate import match, moved, similarity
from vipose.runtime.errors import UsageError
from vipose.runtime.skeleton import COCO17
from vipose.runtime.track import TrackConfig, Tracker, pose_quality

FRAME = (640, 480)
DT = 1 / 30


def box(x: float, y: float = 100, w: float = 60, h: float = 180, score: float = 0.9) -> list[float]:
    return [x, y, x + w, y + h, score]


def pose(found: list[float], score: float = 0.8) -> np.ndarray:
    """Joints that fill a box as a body does, always in the same places."""
    rng = np.random.default_rng(5)
    inside = 0.08 + 0.84 * rng.random((17, 2))
    inside[0], inside[1] = (0.08, 0.08), (0.92, 0.92)
    corner, size = np.array(found[:2]), np.array(found[2:4]) - found[:2]
    return np.column_stack([corner + inside * size, np.full(17, score)])


class Film:
    """Drives a tracker: on each frame what the detector finds (None: it does not run) and what the pose network sees."""

    def __init__(self, config: TrackConfig | None = None) -> None:
        self.tracker, self.time_s = Tracker(config), 0.0

    def frame(self, detections: list | None, poses: dict[int, np.ndarray] | None = None, dt: float = DT, **more) -> list[int]:
        self.tracker.advance(self.time_s, FRAME)
        self.time_s += dt
        if detections is not None:
            self.tracker.update(np.array(detections, np.float32).reshape(-1, 5), **more)
        seen = {t.serial: pose([*t.box, 1]) for t in self.tracker.watched} if poses is None else poses
        self.tracker.observe(seen)
        return [t.id for t in self.tracker.shown]


def test_detection_and_pose_decide_together() -> None:
    cases = {(0.9, 0.8): True, (0.9, 0.45): True, (0.35, 0.6): True, (0.35, 0.45): False, (0.5, 0.45): False, (0.9, 0.1): False}
    for (detected, posed), expected in cases.items():
        shown = Film().frame([box(100, score=detected)], {1: pose(box(100), score=posed)})
        assert (shown == [1]) == expected, (detected, posed)


def test_what_is_no_person_is_not_looked_at_again_and_again() -> None:
    film, poor = Film(), {1: pose(box(400), score=0.05)}
    assert [film.frame([box(400)], poor) for _ in range(6)] == [[]] * 6
    assert not film.tracker.doubtful


def test_somebody_who_was_never_more_than_half_believed_is_lost() -> None:
    film = Film()
    assert film.frame([box(100, score=0.6)], {1: pose(box(100), score=0.45)}) == [1]
    for _ in range(40):
        last = film.frame([box(100, score=0.6)], {1: pose(box(100), score=0.3)})
    assert last == []


def test_a_doubtful_one_that_is_not_found_again_never_was() -> None:
    film = Film()
    film.frame([box(400, score=0.4)], {1: pose(box(400), score=0.35)})
    film.frame([])
    assert film.tracker.tracks == []


def test_few_sure_joints_move_a_box_but_do_not_shrink_it() -> None:
    film = Film()
    film.frame([box(100)])
    for i in range(1, 31):
        partly = pose(box(100 + 4 * i))
        partly[np.arange(17) % 3 > 0, 2] = 0.05
        assert film.frame(None, {1: partly}) == [1]
    found = film.tracker.shown[0].box
    assert found[3] - found[1] > 150 and found[2] - found[0] > 50
    assert (found[0] + found[2]) / 2 == pytest.approx(250, abs=25)


def test_a_detection_on_somebody_who_was_missed_gives_the_box_back() -> None:
    film = Film()
    film.frame([box(100, w=150)])
    hand = [110, 110, 140, 150, 0.9]
    for _ in range(10):
        film.tracker.shown[0].kalman.update(np.array(hand[:4]))
        film.frame(None, {1: pose(box(100, w=150), score=0.45)})
    film.tracker.shown[0].kalman.update(np.array(hand[:4]), trust=100)
    whole = pose(box(100, w=150), score=0.9)
    film.frame([box(100, w=150)], {1: pose(box(100, w=150), score=0.45), 2: whole})
    assert [t.id for t in film.tracker.shown] == [1] and len(film.tracker.tracks) == 1
    assert film.tracker.shown[0].box == pytest.approx([100, 100, 250, 280], abs=15)


def test_keypoints_alone_carry_a_person_between_detections() -> None:
    film = Film()
    film.frame([box(100)])
    for i in range(1, 20):
        assert film.frame(None, {1: pose(box(100 + 5 * i))}) == [1]
    assert film.tracker.shown[0].box[0] == pytest.approx(100 + 5 * 19, abs=8)


def test_two_people_who_cross_keep_their_ids() -> None:
    film = Film()
    film.frame([box(100), box(400)])
    for i in range(1, 61):
        a, b = box(100 + 5 * i), box(400 - 5 * i, y=130)
        detections = [b, a] if i % 10 == 0 else None
        assert film.frame(detections, {1: pose(a), 2: pose(b)}) == [1, 2]
    first, second = film.tracker.shown
    assert first.box[0] > 380 and second.box[0] < 120


def test_lost_and_found_keeps_the_id_too_long_away_does_not() -> None:
    for away_s, expected in ((0.8, 1), (3.0, 2)):
        film = Film()
        for _ in range(5):
            film.frame([box(100)])
        nobody = {1: pose(box(100), score=0.02)}
        while film.time_s < 0.15 + away_s:
            film.frame([], nobody)
        assert film.tracker.shown == []
        assert film.frame([box(110)]) == [expected]


def test_somebody_who_walks_out_of_the_frame_is_lost() -> None:
    film = Film()
    film.frame([box(500)])
    shown = [film.frame(None, {1: pose(box(500 + 15 * i))}) for i in range(1, 20)]
    assert shown[0] == [1] and shown[-1] == []


def test_tracks_that_fall_on_one_person_merge_into_the_older() -> None:
    film = Film()
    film.frame([box(100), box(300)])
    for _ in range(20):
        film.frame(None)
    on_one = pose(box(100))
    shown = [film.frame(None, {1: on_one, 2: on_one}) for _ in range(8)]
    assert shown[0] == [1, 2]  # one frame is no proof
    assert shown[-1] == [1]
    assert film.frame([box(100), box(300)]) == [1, 2]  # found again where it was before


def test_a_newcomer_on_somebody_known_is_never_shown() -> None:
    film = Film()
    film.frame([box(100)])
    half = [100, 100, 160, 190, 0.95]
    whole = pose(box(100))
    for _ in range(6):
        assert film.frame([box(100), half], {1: whole, 2: whole}) == [1]


def test_most_people_are_kept_and_stable() -> None:
    film = Film(TrackConfig(max_people=2))
    people = [box(0, score=0.8), box(150, score=0.81), box(300, score=0.79)]
    first = film.frame(people)
    assert len(first) == 2
    for wobble in (0.02, -0.02, 0.03):
        people[2][4] = 0.8 + wobble
        assert film.frame(people) == first
    assert len(film.frame([*people, box(400, y=0, w=200, h=480, score=0.99)])) == 2
    assert max(film.tracker.shown, key=lambda t: t.id).box[0] == pytest.approx(400, abs=20)


def test_a_cut_ends_whoever_is_not_where_somebody_was() -> None:
    film = Film()
    film.frame([box(100), box(300)])
    film.frame([box(102), box(450, y=250)], cut=True)
    assert [t.id for t in film.tracker.shown] == [1, 3]
    assert {t.id for t in film.tracker.tracks} == {1, 3}


@pytest.mark.parametrize("step", [0.0, -0.02, -5.0, 60.0])
def test_odd_time_steps(step: float) -> None:
    film = Film()
    for _ in range(5):
        film.frame([box(100)])
    film.time_s += step - DT
    dt, gap = film.tracker.advance(film.time_s, FRAME)
    assert 0 < dt <= film.tracker.config.max_gap_s
    assert gap == (abs(step) > 1)
    film.tracker.update(np.array([box(100)]))
    assert [t.id for t in film.tracker.shown] == [1]


def test_odd_detections() -> None:
    film = Film()
    nan = float("nan")
    odd = [[nan, 0, 1, 1, 0.9], [5, 5, 5, 5, 0.9], [50, 50, 10, 10, 0.9], [-900, -900, -800, -800, 0.9], box(100, score=5)]
    for _ in range(3):
        film.frame(odd)
        film.frame([])
    assert all(np.isfinite(t.box).all() for t in film.tracker.tracks)


def test_similarity_grows_with_time_out_of_sight_and_counts_sure_joints() -> None:
    boxes = np.array([box(100)[:4]] * 2)
    tracks = np.stack([pose(box(100)), pose(box(100), score=0)])
    found = np.array([box(100)[:4], box(130)[:4], box(600)[:4]])
    near = similarity(boxes, tracks, found, COCO17.variances(), np.ones(2))
    assert near.shape == (2, 3) and near[0, 0] == pytest.approx(1) and near[1, 0] == pytest.approx(0.5)
    assert near[0, 0] > near[0, 1] > near[0, 2] == pytest.approx(0)
    later = similarity(boxes, tracks, found, COCO17.variances(), np.full(2, 5.0))
    assert later[0, 1] > near[0, 1] + 0.1


def test_match_makes_no_pair_below_the_threshold() -> None:
    assert match(np.array([[0.9, 0.5], [0.6, 0.1]]), 0.3) in ([(0, 1), (1, 0)],)
    assert match(np.array([[0.2]]), 0.3) == []
    assert match(np.empty((0, 3)), 0.3) == []
    assert match(np.array([[0.62, 0.6]]), 0.3, np.array([0.8, 1.4])) == [(0, 1)]  # the better detection of two alike


def test_moved_and_quality() -> None:
    points = np.array([[0, 0, 0.5], [10, 20, 0.5]])
    carried = moved(points, np.array([0, 0, 10, 20]), np.array([5, 5, 25, 45]))
    assert carried == pytest.approx(np.array([[5, 5, 0.5], [25, 45, 0.5]]))
    half = pose(box(0))
    half[9:, 2] = 0
    assert pose_quality(half) == pytest.approx(0.8)


@pytest.mark.parametrize("bad", [{"score_threshold": 2}, {"max_lost_s": -1}, {"max_people": 0}, {"merge_share": float("nan")}])
def test_absurd_options(bad: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(bad))):
        TrackConfig(**bad)


coordinate = st.floats(-50, 600)
detection = st.tuples(coordinate, st.floats(-50, 400), st.floats(1, 200), st.floats(1, 300), st.floats(0, 1))
film_strategy = st.lists(st.tuples(st.lists(detection, max_size=5), st.booleans(), st.booleans()), max_size=15)


@settings(max_examples=25, deadline=None)
@given(film_strategy, st.randoms(use_true_random=False))
def test_invariants(frames: list, random) -> None:
    """Ids are unique on a frame, never reused, and do not depend on the order of detections."""
    films = [Film(TrackConfig(max_people=4)), Film(TrackConfig(max_people=4))]
    ended: set[int] = set()
    before: set[int] = set()
    for found, cut, runs in frames:
        boxes = [[x, y, x + w, y + h, s] for x, y, w, h, s in found]
        shuffled = list(boxes)
        random.shuffle(shuffled)
        shown = [
            film.frame(boxes if runs else None, cut=cut) if runs else film.frame(None)
            for film, boxes in zip(films, (boxes, shuffled), strict=True)
        ]
        assert shown[0] == shown[1]
        for a, b in zip(films[0].tracker.shown, films[1].tracker.shown, strict=True):
            assert (a.box == b.box).all()
        assert len(set(shown[0])) == len(shown[0]) <= 4
        known = {t.id for t in films[0].tracker.tracks if t.id}
        assert all(i > 0 for i in shown[0]) and not known & ended
        ended |= before - known
        before = known
