"""PCK, jitter, MOT, joint AP and OKS AP against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipose.runtime.metrics.coco import BOX_SCORES, KEYPOINT_SCORES, box_scores, keypoint_scores
from vipose.runtime.metrics.jitter import jitter, second_differences
from vipose.runtime.metrics.joint_ap import JointAP, average_precision
from vipose.runtime.metrics.mot import MotFrame, MotScore, assign, mot_score, total
from vipose.runtime.metrics.pck import box_lengths, head_lengths, pck
from vipose.runtime.skeleton import COCO17

# PCK


def test_pck_counts_labelled_joints_within_the_limit() -> None:
    truth = np.array([[[0, 0, 2], [10, 0, 1], [5, 5, 0]], [[0, 0, 2], [0, 0, 0], [0, 0, 2]]], float)
    found = np.array([[[0, 20, 1], [10, 20.01, 1], [99, 99, 1]], [[np.nan, np.nan, 0], [0, 0, 1], [3, 4, 1]]], float)
    score = pck(found, truth, np.array([100.0, 25.0]), 0.2)  # limits 20 and 5, a distance equal to the limit is right
    assert score.per_joint == (0.5, 0.0, 1.0)
    assert (score.mean, score.joints) == (0.5, 4)


def test_pck_leaves_joints_out_of_the_mean_and_knows_no_labels() -> None:
    truth = np.array([[[0, 0, 2], [0, 0, 2]]], float)
    found = np.array([[[0, 0, 1], [50, 0, 1]]], float)
    assert pck(found, truth, np.array([10.0]), 0.5, leave_out=(1,)).mean == 1.0
    empty = pck(np.zeros((0, 2, 3)), np.zeros((0, 2, 3)), np.zeros(0), 0.5)
    assert (empty.mean, empty.per_joint, empty.joints) == (None, (None, None), 0)


def test_pckh_length_is_six_tenths_of_the_head_diagonal() -> None:
    assert head_lengths(np.array([[7.0, 7.0, 30.0, 40.0]])).tolist() == [30.0]
    truth, length = np.array([[[0, 0, 2]]], float), np.array([30.0])
    assert pck(np.array([[[15.0, 0, 1]]]), truth, length, 0.5).mean == 1.0
    assert pck(np.array([[[15.1, 0, 1]]]), truth, length, 0.5).mean == 0.0
    assert box_lengths(np.array([[5.0, 5.0, 20.0, 40.0]])).tolist() == [40.0]


# Jitter


def test_jitter_of_a_zigzag_by_hand() -> None:
    points = np.array([[[0, 0]], [[3, 4]], [[0, 0]], [[3, 4]]], float)  # second differences (-6, -8), (6, 8): length 10
    samples = jitter(np.arange(4), np.arange(4) / 25, points, np.full(4, 50.0), np.ones((4, 1), bool))
    assert samples == pytest.approx([0.2, 0.2])


def test_jitter_needs_three_frames_in_a_row_on_which_the_joint_counts() -> None:
    points = np.zeros((5, 2, 2))
    valid = np.ones((5, 2), bool)
    valid[2, 1] = False
    index = np.array([0, 1, 2, 4, 5])  # frame 3 is missing: only 0, 1, 2 are in a row
    assert len(jitter(index, index / 25, points, np.ones(5), valid)) == 1
    assert len(jitter(index[:2], index[:2] / 25, points[:2], np.ones(2), valid[:2])) == 0


@given(
    st.lists(st.floats(0.001, 1.0), min_size=3, max_size=12),
    st.floats(-50, 50), st.floats(-50, 50),
)  # fmt: skip
def test_even_motion_has_no_jitter_at_a_variable_frame_rate(steps: list[float], vx: float, vy: float) -> None:
    times = np.cumsum(steps)
    points = times[:, None] * np.array([vx, vy]) + 7.0
    assert np.abs(second_differences(times, points)).max() < 1e-9


def test_even_stamps_give_the_plain_second_difference_and_odd_ones_no_infinity() -> None:
    points = np.array([[0.0, 1.0], [4.0, 1.0], [9.0, 3.0]])
    assert second_differences(np.array([0, 0.04, 0.08]), points) == pytest.approx(np.array([[1.0, 2.0]]))
    assert second_differences(np.array([0.0, 0.0, -1.0]), points) == pytest.approx(np.array([[1.0, 2.0]]))


# Tracking


def _frame(truth: list[int], tracked: list[int], pairs: dict[tuple[int, int], float]) -> MotFrame:
    similarity = np.zeros((len(truth), len(tracked)))
    for (person, track), value in pairs.items():
        similarity[truth.index(person), tracked.index(track)] = value
    return MotFrame(truth, tracked, similarity)


def test_mota_and_idf1_by_hand() -> None:
    frames = [
        _frame([1, 2], [7, 8], {(1, 7): 0.9, (2, 8): 0.9}),
        _frame([1, 2], [7], {(1, 7): 0.9}),  # 2 missed
        _frame([1, 2], [9, 8, 5], {(1, 9): 0.9, (2, 8): 0.8}),  # 1 switches to 9, 5 is extra
        _frame([1], [9], {(1, 9): 0.4}),  # below the threshold: missed and extra
    ]
    score = mot_score(frames)
    assert score == MotScore(truths=7, tracked=7, matches=5, misses=2, extras=2, switches=1, identity_matches=4)
    assert score.mota == pytest.approx(1 - 5 / 7)
    assert score.idf1 == pytest.approx(2 * 4 / 14)  # best whole-track assignment: 1-7 twice, 2-8 twice


def test_a_person_keeps_its_track_while_it_is_good_enough() -> None:
    frames = [
        _frame([1], [7], {(1, 7): 0.9}),
        _frame([1], [7, 8], {(1, 7): 0.6, (1, 8): 0.95}),  # 8 fits better, 7 goes on
    ]
    assert mot_score(frames).switches == 0


def test_a_switch_across_a_gap_counts_once() -> None:
    frames = [_frame([1], [7], {(1, 7): 1}), _frame([1], [], {}), _frame([1], [8], {(1, 8): 1}), _frame([1], [8], {(1, 8): 1})]
    score = mot_score(frames)
    assert (score.switches, score.misses, score.identity_matches) == (1, 1, 2)


def test_two_people_who_had_the_same_track_do_not_both_take_it() -> None:
    frames = [
        _frame([1], [7], {(1, 7): 1}),
        _frame([2], [7], {(2, 7): 1}),
        _frame([1, 2], [7], {(1, 7): 0.9, (2, 7): 0.6}),
    ]
    score = mot_score(frames)
    assert (score.matches, score.switches) == (3, 0)


def test_scores_of_nothing_and_sums() -> None:
    nothing = mot_score([])
    assert (nothing.mota, nothing.idf1) == (None, None)
    one = mot_score([_frame([1], [1], {(1, 1): 1})])
    assert total([one, one]).truths == 2 and total([one, nothing]).mota == 1.0


def test_assignment_never_takes_a_pair_below_the_threshold() -> None:
    similarity = np.array([[0.9, 0.55], [0.6, 0.2]])
    assert assign(similarity, 0.5) == [(0, 1), (1, 0)]  # 0.55 + 0.6 beats 0.9 alone
    assert assign(np.array([[0.4]]), 0.5) == [] and assign(np.zeros((0, 3)), 0.5) == []


# AP of joints


def test_average_precision_by_hand() -> None:
    # right, wrong, right of 4 labels: precision 1, 1/2, 2/3 -> made to fall 1, 2/3, 2/3; recall steps of 1/4
    assert average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 4) == pytest.approx(1 / 4 + 2 / 12)
    assert average_precision(np.zeros(0), np.zeros(0, bool), 0) is None
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0.0


def test_joint_ap_counts_poses_without_partner_as_wrong_and_skips_unlabelled_joints() -> None:
    collected = JointAP(2)
    truth = np.array([[[0, 0, 2], [9, 9, 0]]], float)
    poses = np.array([[[3, 4, 0.8], [50, 50, 0.9]], [[0, 0, 0.9], [0, 0, 0.9]]], float)
    collected.add(poses, truth, np.array([5.0]), [(0, 0)])
    assert collected.scores() == (0.5, None)  # the surer, unpaired pose comes first: precision 1/2 at full recall


# COCO


def _dataset(people: list[dict], images: int = 1) -> dict:
    return {
        "images": [{"id": n + 1, "file_name": f"{n}.jpg"} for n in range(images)],
        "annotations": people,
        "categories": [{"id": 1, "name": "person"}],
    }


def _person(number: int, x: float, *, area: float = 10_000.0, visible: int = 2, crowd: int = 0, image: int = 1) -> dict:
    keypoints = [v for k in range(17) for v in (x + 3.0 * k, 50.0, visible)]
    return {
        "id": number, "image_id": image, "category_id": 1, "iscrowd": crowd, "area": area, "bbox": [x, 0, 100, 100],
        "keypoints": keypoints, "num_keypoints": 17 if visible else 0,
    }  # fmt: skip


def _found(x: float, score: float, *, dy: float = 0.0, image: int = 1) -> dict:
    keypoints = [v for k in range(17) for v in (x + 3.0 * k, 50.0 + dy, 1)]
    return {"image_id": image, "category_id": 1, "keypoints": keypoints, "score": score}


def _oks(dy: float, area: float) -> float:
    # pycocotools adds eps = 2^-52 to the area, which does not show here
    return float(np.mean([math.exp(-(dy**2) / (2 * area * (2 * s) ** 2)) for s in COCO17.sigmas]))


def test_keypoint_ap_of_a_perfect_and_a_shifted_person() -> None:
    # One exact, one shifted so that its OKS lies between two thresholds.
    dy = 6.0
    oks = _oks(dy, 10_000)
    passed = sum(oks >= t for t in np.arange(0.5, 0.96, 0.05))
    assert 0 < passed < 10
    data = _dataset([_person(1, 0.0), _person(2, 500.0)])
    scores = keypoint_scores(data, [_found(0.0, 0.9), _found(500.0, 0.8, dy=dy)], COCO17)
    # Where the second passes AP is 1, else precision is 1 up to recall 1/2: 51 of the 101 recall points.
    assert scores["AP"] == pytest.approx((passed + (10 - passed) * 51 / 101) / 10)
    assert scores["AR"] == pytest.approx((passed + (10 - passed) / 2) / 10)
    assert scores["AP50"] == pytest.approx(1.0)
    assert tuple(scores) == KEYPOINT_SCORES


def test_annotation_id_zero_is_a_person_like_any_other() -> None:
    assert keypoint_scores(_dataset([_person(0, 0.0)]), [_found(0.0, 0.9)], COCO17)["AP"] == pytest.approx(1.0)


def test_crowds_and_people_without_joints_are_neither_found_nor_missed() -> None:
    data = _dataset([_person(1, 0.0), _person(2, 300.0, visible=0), _person(3, 600.0, crowd=1)])
    scores = keypoint_scores(data, [_found(0.0, 0.5), _found(300.0, 0.9), _found(600.0, 0.9)], COCO17)
    assert scores["AP"] == pytest.approx(1.0) and scores["AR"] == pytest.approx(1.0)


def test_no_results_give_zero_and_no_labels_give_none(capsys: pytest.CaptureFixture[str]) -> None:
    data = _dataset([_person(1, 0.0)], images=2)
    nothing = keypoint_scores(data, [], COCO17)
    assert (nothing["AP"], nothing["AR"]) == (0.0, 0.0)
    assert nothing["APm"] is None  # 100 x 100 is above pycocotools' medium range
    assert keypoint_scores(data, [_found(0.0, 0.9)], COCO17, image_ids=[2])["AP"] is None
    assert capsys.readouterr().out == ""  # pycocotools talks; nobody else hears it


def test_only_the_pictures_asked_for_count_and_inputs_stay_as_they_are() -> None:
    data = _dataset([_person(1, 0.0), _person(2, 0.0, image=2)], images=2)
    results = [_found(0.0, 0.9), _found(900.0, 0.9, image=2)]
    before = (repr(data), repr(results))
    assert keypoint_scores(data, results, COCO17, image_ids=[1])["AP"] == pytest.approx(1.0)
    assert keypoint_scores(data, results, COCO17, image_ids=[2])["AP"] == pytest.approx(0.0)
    assert (repr(data), repr(results)) == before


def test_box_scores() -> None:
    data = _dataset([_person(1, 0.0), _person(2, 500.0, visible=0)])
    rows = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 100], "score": 0.9}]
    rows.append({"image_id": 1, "category_id": 1, "bbox": [500, 0, 100, 60], "score": 0.8})  # IoU 0.6: 3 thresholds of 10
    scores = box_scores(data, rows)
    assert tuple(scores) == BOX_SCORES
    assert scores["AP50"] == pytest.approx(1.0)
    assert scores["AR"] == pytest.approx((3 + 7 / 2) / 10)
