"""Time stamps become strictly increasing and are otherwise left alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipose.runtime.media.clock import StampRepair


@given(st.lists(st.one_of(st.none(), st.floats(-1e5, 1e5)), max_size=40))
def test_always_strictly_increasing(stamps: list[float | None]) -> None:
    repair = StampRepair(0.04)
    out = [repair(s) for s in stamps]
    assert all(b > a for a, b in pairwise(out))


@given(st.lists(st.integers(-1000, 100_000), unique=True, max_size=40))
def test_increasing_stamps_are_untouched(ticks: list[int]) -> None:
    stamps = [t / 1000 for t in sorted(ticks)]
    repair = StampRepair(0.04)
    assert [repair(s) for s in stamps] == stamps
    assert repair.warnings == []


def test_small_faults_move_by_a_millisecond_and_are_counted() -> None:
    repair = StampRepair(0.04)
    assert [repair(s) for s in (0.0, 0.04, 0.04, 0.03, 0.08)] == pytest.approx([0.0, 0.04, 0.041, 0.042, 0.08])
    assert repair.warnings == [
        "time stamps repeated 1 times; moved by 1 ms",
        "time stamps went backwards 1 times; repaired",
    ]


def test_a_restarted_clock_goes_on_at_the_nominal_rate() -> None:
    repair = StampRepair(0.04)
    assert [repair(s) for s in (9.96, 10.0, 0.0, 0.1, 0.14)] == pytest.approx([9.96, 10.0, 10.04, 10.14, 10.18])
    assert repair.backward == 1


def test_missing_stamps_follow_the_nominal_rate() -> None:
    repair = StampRepair(0.5)
    assert [repair(None), repair(None), repair(0.7)] == [0.0, 0.5, 0.7]
    assert repair.missing == 2
