"""When a propagated pose is not good enough."""

from __future__ import annotations

import numpy as np
import pytest

from vipose.runtime.errors import UsageError
from vipose.runtime.skeleton import COCO17
from vipose.runtime.watch import PoseWatch, WatchConfig

SIZE = 100.0


def pose(score: float = 0.8) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.column_stack([rng.uniform(0, 100, (17, 2)), np.full(17, score)])


@pytest.fixture
def watch() -> PoseWatch:
    out = PoseWatch()
    out.learn(1, pose(), 1 / 30, key=True)
    return out


def test_a_pose_like_the_one_before_is_good(watch: PoseWatch) -> None:
    assert watch.judge(1, pose() + [3, 3, 0], pose(), SIZE) == ""
    assert watch.judge(2, pose(0.01), None, SIZE) == ""  # nobody to compare with


def test_a_fallen_score_counts_against_the_key_frame_only(watch: PoseWatch) -> None:
    assert watch.judge(1, pose(0.5), None, SIZE) == "score"
    watch.learn(1, pose(0.5), 1 / 30, key=False)
    assert watch.judge(1, pose(0.5), None, SIZE) == "score"
    watch.learn(1, pose(0.5), 1 / 30, key=True)  # the key network can do no better
    assert watch.judge(1, pose(0.5), None, SIZE) == ""


def test_a_jump_of_the_whole_pose(watch: PoseWatch) -> None:
    assert watch.judge(1, pose() + [60, 0, 0], pose(), SIZE) == "jump"
    one = pose()
    one[9, :2] += 500
    assert watch.judge(1, one, pose(), SIZE * 100) == ""


def test_limbs_do_not_grow_but_may_shorten(watch: PoseWatch) -> None:
    wrists = pose()
    wrists[[9, 10], :2] += 400
    assert watch.judge(1, wrists, None, SIZE) == "implausible"
    flat = pose()
    flat[:, 0] = 50
    assert watch.judge(1, flat, None, SIZE) == ""
    wrists[[9, 10], 2] = 0.2
    assert watch.judge(1, wrists, None, SIZE) == ""  # not sure of them


def test_what_is_normal_follows_the_person_and_fades(watch: PoseWatch) -> None:
    centre = pose()
    for step in range(60):  # walks up to the camera: all limbs grow, slowly
        centre = centre * [1.02, 1.02, 1]
        assert watch.judge(1, centre, None, SIZE * 1.02**step) == ""
        watch.learn(1, centre, 1 / 30, key=step % 4 == 0)
    for _ in range(120):
        watch.learn(1, pose(), 1 / 30, key=True)
    assert watch.judge(1, pose() * [1.9, 1.9, 1], None, SIZE) == "implausible"
    watch.forget(set())
    assert watch.judge(1, pose() * [9, 9, 1], None, SIZE) == ""


def test_unsure_history_is_no_measure() -> None:
    watch = PoseWatch(COCO17)
    watch.learn(1, pose(0.1), 1 / 30, key=True)
    assert watch.judge(1, pose(0.9), None, SIZE) == ""


def test_absurd_options() -> None:
    with pytest.raises(UsageError, match="early key frames"):
        WatchConfig(stretch=0.5)
