"""PCKh against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vipose.runtime.metrics.pck import head_lengths, mpii_groups, pckh
from vipose.runtime.skeleton import MPII16

HEADS = np.array([[0.0, 0, 30, 40], [5, 5, 60, 80]])  # diagonals 50 and 100: head sizes 30 and 60, limits at 0.5 are 15 and 30


def at(name: str) -> int:
    return MPII16.index(name)


def people() -> tuple[np.ndarray, np.ndarray]:
    """Two people with all joints labelled, found exactly."""
    truth = np.zeros((2, 16, 3))
    truth[..., 0], truth[..., 1], truth[..., 2] = 100 + 20 * np.arange(16), 200, 2
    return truth.copy(), truth


def test_head_sizes() -> None:
    assert head_lengths(HEADS) == pytest.approx([30, 60])


def test_each_person_is_measured_by_their_own_head_and_the_limit_itself_is_right() -> None:
    found, truth = people()
    found[:, at("left_wrist"), 0] += 15  # the limit of the first person, within that of the second
    found[:, at("right_wrist"), 1] += [16, 30]  # beyond that of the first, the limit of the second
    found[:, at("left_knee"), :2] += [[9, 12], [18, 24.1]]  # 15 and 30.08
    score = pckh(found, truth, HEADS, 0.5, MPII16)
    assert score.per_joint[at("left_wrist")] == 1.0
    assert score.per_joint[at("right_wrist")] == 0.5
    assert score.per_joint[at("left_knee")] == 0.5
    assert score.joints == 28 and score.mean == pytest.approx(26 / 28)  # 14 of 16 joints count, two people
    columns = mpii_groups(score, MPII16.joints)
    assert list(columns) == ["head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
    assert columns["wrist"] == 0.75 and columns["knee"] == 0.75 and columns["head"] == columns["ankle"] == 1.0


def test_pelvis_and_thorax_are_scored_and_do_not_enter_the_mean() -> None:
    found, truth = people()
    found[:, [at("pelvis"), at("thorax")], 0] += 500
    score = pckh(found, truth, HEADS, 0.5, MPII16)
    assert score.per_joint[at("pelvis")] == score.per_joint[at("thorax")] == 0.0 and score.mean == 1.0


def test_the_mean_weighs_joints_by_how_often_they_are_labelled() -> None:
    found, truth = people()
    truth[0, :, 2] = 0
    truth[0, at("head_top"), 2] = 2  # the first person: this joint alone, and it is missed
    found[0, at("head_top"), 1] -= 100
    truth[1, at("left_ankle"), 2] = 0
    found[1, at("left_ankle"), 0] += 900  # not labelled: neither right nor wrong
    score = pckh(found, truth, HEADS, 0.5, MPII16)
    assert score.joints == 1 + 13 and score.mean == pytest.approx(13 / 14)
    columns = mpii_groups(score, MPII16.joints)
    assert columns["head"] == 0.5 and columns["ankle"] == 1.0  # the right ankle alone
    assert score.per_joint[at("left_ankle")] is None


def test_the_upper_neck_enters_the_mean_and_no_column() -> None:
    found, truth = people()
    found[:, at("upper_neck"), 0] += 500
    score = pckh(found, truth, HEADS, 0.5, MPII16)
    assert score.mean == pytest.approx(26 / 28) and set(mpii_groups(score, MPII16.joints).values()) == {1.0}


def test_a_tenth_is_a_tenth() -> None:
    """The logs that were published call Mean@0.1 what they took at 0.11."""
    found, truth = people()
    found[..., 0] += np.array([[3.2], [6.0]])  # 0.107 and 0.1 of the head sizes
    assert pckh(found, truth, HEADS, 0.1, MPII16).mean == 0.5
    assert pckh(found, truth, HEADS, 0.11, MPII16).mean == 1.0


def test_who_was_not_found_is_wrong_and_nobody_labelled_is_no_score() -> None:
    found, truth = people()
    found[0] = np.nan
    assert pckh(found, truth, HEADS, 0.5, MPII16).mean == 0.5
    truth[..., 2] = 0
    empty = pckh(found, truth, HEADS, 0.5, MPII16)
    assert empty.mean is None and empty.joints == 0 and set(mpii_groups(empty, MPII16.joints).values()) == {None}
