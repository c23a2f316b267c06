"""Two runs over one clip, made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vipose.runtime.metrics.agreement import compare_runs
from vipose.runtime.skeleton import COCO17
from vipose.runtime.types import FrameResult, Kind, PersonResult, Why


def _person(number: int, x: float, *, dx: float = 0.0, kind: Kind = "key", why: Why = "due", score: float = 0.9, phase: int = 0) -> PersonResult:
    keypoints = np.tile(np.array([x, 100.0, score], np.float32), (17, 1))
    keypoints[:, 1] += np.arange(17) * 5
    smoothed = keypoints + np.array([dx, 0, 0], np.float32)
    return PersonResult(number, np.array([x - 50, 0, x + 50, 200], np.float32), 0.9, keypoints, smoothed, kind, why, phase)


def _frame(index: int, *people: PersonResult, spatial: float = 10.0, temporal: float = 0.0) -> FrameResult:
    timings = {"spatial": spatial, "temporal": temporal, "total": spatial + temporal + 5.0}
    return FrameResult(index, index / 25, (640, 480), people, timings)


def test_the_same_run_agrees_fully() -> None:
    run = [_frame(i, _person(1, 100.0), _person(2, 300.0)) for i in range(4)]
    found = compare_runs(run, run, COCO17)
    assert (found.frames, found.matched, found.missed, found.extra) == (4, 8, 0, 0)
    assert found.mean_oks == pytest.approx(1.0) and found.tracking.switches == 0
    assert found.reference.jitter == 0.0 == found.result.jitter


def test_missed_extra_switched_and_frames_of_one_side() -> None:
    reference = [_frame(i, _person(1, 100.0), _person(2, 300.0)) for i in range(4)]
    result = [
        _frame(0, _person(5, 100.0), _person(6, 300.0)),
        _frame(1, _person(5, 100.0)),  # one missed
        _frame(2, _person(7, 100.0), _person(6, 300.0), _person(8, 500.0)),  # a switch and an extra
        _frame(9),
    ]
    found = compare_runs(reference, result, COCO17)
    assert (found.frames, found.only_reference, found.only_result) == (3, 1, 1)
    assert (found.matched, found.missed, found.extra, found.tracking.switches) == (5, 1, 1, 1)


def test_jitter_of_each_in_sizes_of_the_reference_person() -> None:
    reference = [_frame(i, _person(1, 100.0)) for i in range(3)]
    result = [_frame(i, _person(1, 100.0, dx=5.0 * (i % 2))) for i in range(3)]  # second difference -10 px, size 200 px
    found = compare_runs(reference, result, COCO17)
    assert found.result.jitter == pytest.approx(0.05, rel=1e-5) and found.reference.jitter == 0.0
    assert compare_runs(reference, result, COCO17, raw=True).result.jitter == 0.0


def test_oks_by_hand_uses_the_reference_box() -> None:
    found = compare_runs([_frame(0, _person(1, 100.0))], [_frame(0, _person(1, 100.0, dx=4.0))], COCO17)
    area = 0.53 * 100 * 200
    expected = np.mean([np.exp(-16 / (2 * area * (2 * s) ** 2)) for s in COCO17.sigmas])
    assert found.mean_oks == pytest.approx(expected, abs=1e-6)


def test_forced_key_frames_and_cost() -> None:
    reference = [_frame(i, _person(1, 100.0, why="every")) for i in range(4)]
    kinds: list[tuple[Kind, Why]] = [("key", "new"), ("propagated", ""), ("key", "jump"), ("propagated", "")]
    result = [
        _frame(i, _person(1, 100.0, kind=k, why=w), spatial=10.0 * (k == "key"), temporal=2.0 * (k != "key"))
        for i, (k, w) in enumerate(kinds)
    ]
    found = compare_runs(reference, result, COCO17)
    assert (found.result.key, found.result.forced, found.result.forced_share) == (2, 1, 0.5)
    assert found.result.pose_ms_per_person == pytest.approx(6.0)
    assert found.reference.pose_ms_per_person == pytest.approx(10.0)
    assert (found.result.total_ms, found.reference.total_ms) == (pytest.approx(11.0), pytest.approx(15.0))


def test_similarity_by_frames_since_the_key_frame() -> None:
    """The phase is the result's: the reference is the key-frame network on every frame."""
    reference = [_frame(i, _person(1, 100.0), _person(2, 300.0)) for i in range(3)]
    result = [
        _frame(0, _person(1, 100.0), _person(2, 300.0)),
        _frame(1, _person(1, 100.0, dx=4.0, kind="propagated", phase=1), _person(2, 300.0)),
        _frame(2, _person(1, 100.0, dx=8.0, kind="propagated", phase=2)),  # the other one is missed and does not count
    ]
    found = compare_runs(reference, result, COCO17)
    area = 0.53 * 100 * 200
    near = [float(np.mean([np.exp(-dx**2 / (2 * area * (2 * s) ** 2)) for s in COCO17.sigmas])) for dx in (4.0, 8.0)]
    assert [(p.phase, p.people) for p in found.phases] == [(0, 3), (1, 1), (2, 1)]
    assert [p.mean_oks for p in found.phases] == pytest.approx([1.0, *near])
    assert compare_runs([_frame(0)], [_frame(0)], COCO17).phases == ()


def test_a_person_without_a_sure_joint_still_pairs_and_nothing_is_no_error() -> None:
    run = [_frame(0, _person(1, 100.0, score=0.05))]
    assert compare_runs(run, run, COCO17).mean_oks == pytest.approx(1.0)
    empty = compare_runs([_frame(0)], [_frame(0)], COCO17)
    assert (empty.frames, empty.mean_oks, empty.reference.jitter) == (1, None, None)
