"""Left and right over time."""

from __future__ import annotations

import numpy as np
import pytest

from vipose.runtime.errors import UsageError
from vipose.runtime.skeleton import COCO17, MPII16
from vipose.runtime.swap import SwapConfig, SwapCorrector, swap_groups

FLIP = np.array(COCO17.flip)
ANKLES = [15, 16]
SIZE, DT = 120.0, 1 / 30


def person(phase: float = 0.0, x: float = 0.0) -> np.ndarray:
    """A frontal figure, 200 px high, limbs swinging a little."""
    heights = {"nose": 0, "eye": -4, "ear": 0, "shoulder": 30, "elbow": 65, "wrist": 95, "hip": 100, "knee": 150, "ankle": 200}
    widths = {"nose": 0, "eye": 5, "ear": 10, "shoulder": 25, "elbow": 32, "wrist": 35, "hip": 18, "knee": 20, "ankle": 22}
    pose = np.ones((17, 3))
    for joint, name in enumerate(COCO17.joints):
        part = name.split("_")[-1]
        side = {"left": 1, "right": -1, "centre": 0}[COCO17.side(joint)]
        pose[joint, :2] = 300 + x + side * widths[part] + 4 * side * np.sin(phase), 100 + heights[part]
    return pose


def run(poses: list[np.ndarray], keys: list[bool] | None = None, corrector: SwapCorrector | None = None) -> list:
    corrector = corrector or SwapCorrector()
    keys = keys or [True] * len(poses)
    return [corrector.correct(1, p, SIZE, i * DT, key=k) for i, (p, k) in enumerate(zip(poses, keys, strict=True))]


def test_a_whole_body_swap_for_two_frames_is_undone() -> None:
    poses = [person(i / 5, 3 * i) for i in range(12)]
    poses[5], poses[6] = poses[5][FLIP], poses[6][FLIP]
    orders = run(poses)
    assert [i for i, o in enumerate(orders) if o is not None] == [5, 6]
    body = slice(5, 17)
    for i in (5, 6):
        assert poses[i][orders[i]][body] == pytest.approx(person(i / 5, 3 * i)[body])


def test_only_the_legs() -> None:
    poses = [person() for _ in range(6)]
    legs = np.arange(17)
    legs[11:] = FLIP[11:]
    poses[3] = poses[3][legs]
    orders = run(poses)
    assert [o is not None for o in orders] == [False, False, False, True, False, False]
    assert (orders[3] == legs).all()


def test_legs_that_pass_each_other_are_no_swap() -> None:
    poses = []
    for i in range(40):
        pose = person()
        swing = 22 * np.cos(i / 6)
        for left, right, share in ((13, 14, 0.6), (15, 16, 1.0)):
            pose[left, 0], pose[right, 0] = 300 + share * swing, 300 - share * swing
        poses.append(pose)
    assert all(o is None for o in run(poses))


def test_key_frames_that_insist_win() -> None:
    corrector = SwapCorrector()
    poses = [person() for _ in range(3)] + [person()[FLIP] for _ in range(40)]
    orders = run(poses, corrector=corrector)
    corrected = [i for i, o in enumerate(orders) if o is not None]
    assert corrected[0] == 3
    accept = SwapConfig().accept_s / DT
    assert accept <= len(corrected) <= accept + 3
    assert corrected == list(range(3, 3 + len(corrected)))


def test_propagated_frames_do_not_insist() -> None:
    """They follow the heatmaps they were given, so they are no evidence of their own."""
    poses = [person() for _ in range(3)] + [person()[FLIP] for _ in range(40)]
    orders = run(poses, [True] * 3 + [False] * 40)
    assert all(o is not None for o in orders[3:])


def test_unsure_joints_and_gaps_do_not_decide() -> None:
    poses = [person() for _ in range(3)] + [person()[FLIP]]
    poses[3][:, 2] = 0.1
    assert run(poses)[3] is None
    corrector = SwapCorrector()
    assert corrector.correct(1, person(), SIZE, 0.0, key=True) is None
    assert corrector.correct(1, person()[FLIP], SIZE, 5.0, key=True) is None
    assert corrector.correct(1, person(), SIZE, 4.0, key=True) is None  # time went backwards
    corrector.forget(set())
    assert corrector.correct(1, person()[FLIP], SIZE, 4.01, key=True) is None


def test_groups_exchange_pairs_whole() -> None:
    for skeleton in (COCO17, MPII16):
        groups = swap_groups(skeleton)
        assert not groups[0].any() and groups[1].sum() == 2 * len(skeleton.pairs)
        for group in groups:
            assert (group == group[list(skeleton.flip)]).all()
        assert all(g.any() for g in groups[1:])


def test_absurd_options() -> None:
    with pytest.raises(UsageError, match="closer"):
        SwapConfig(closer=-1)
