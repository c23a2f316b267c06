"""Who is key, why and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipose.runtime.errors import UsageError
from vipose.runtime.schedule import ScheduleConfig, Scheduler


def keys(plan: dict) -> list[int]:
    return [person for person, decision in plan.items() if decision.kind == "key"]


def test_one_person_has_a_key_frame_every_period() -> None:
    scheduler = Scheduler(ScheduleConfig(4))
    plans = [scheduler.plan([7])[7] for _ in range(9)]
    assert [p.phase for p in plans] == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert [p.why for p in plans if p.kind == "key"] == ["new", "due", "due"]


def test_period_one_is_every_frame() -> None:
    scheduler = Scheduler(ScheduleConfig(1))
    assert [scheduler.plan([1])[1].why for _ in range(3)] == ["new", "every", "every"]


@pytest.mark.parametrize("people", [2, 3, 4, 8, 9])
def test_people_who_come_together_are_spread(people: int) -> None:
    scheduler = Scheduler(ScheduleConfig(4))
    counts = [len(keys(scheduler.plan(range(people)))) for _ in range(20)]
    assert counts[0] == people
    steady = counts[4:]
    assert max(steady) == -(-people // 4)
    assert max(steady) - min(steady) <= 1


def test_load_is_levelled_again_after_people_left() -> None:
    scheduler = Scheduler(ScheduleConfig(4))
    for _ in range(8):
        scheduler.plan(range(8))
    last = [keys(scheduler.plan(range(8))) for _ in range(4)]
    same = next(k for k in last if len(k) == 2)
    counts = [len(keys(scheduler.plan(same))) for _ in range(12)]
    assert max(counts[4:]) == 1


def test_early_reasons_restart_the_phase_and_are_counted() -> None:
    scheduler = Scheduler(ScheduleConfig(4))
    scheduler.plan([1])
    assert scheduler.plan([1], {1: "cut"})[1].why == "cut"
    assert scheduler.plan([1])[1].phase == 1
    assert scheduler.promote(1, "score").why == "score"
    assert [scheduler.plan([1])[1].phase for _ in range(4)] == [1, 2, 3, 0]
    assert scheduler.reasons == {"new": 1, "cut": 1, "score": 1, "due": 1}


def test_who_was_forgotten_or_away_is_new() -> None:
    scheduler = Scheduler(ScheduleConfig(4))
    scheduler.plan([1, 2])
    scheduler.forget({2})
    plan = scheduler.plan([1])
    assert plan[1].why == "new"
    assert scheduler.plan([1, 2])[2].why == "new"


def test_deadline_puts_off_due_ones_only_and_counts() -> None:
    scheduler = Scheduler(ScheduleConfig(2, max_keys=1))
    assert len(keys(scheduler.plan(range(6)))) == 6  # new people are never put off
    for _ in range(10):
        plan = scheduler.plan(range(6), {5: "jump"})
        assert plan[5].why == "jump"
        assert sum(d.why == "due" for d in plan.values()) <= 1
        assert all(d.phase <= 1 for d in plan.values())
    assert scheduler.postponed > 0


@pytest.mark.parametrize("bad", [{"period": 0}, {"period": -1}, {"max_keys": -1}])
def test_absurd_options(bad: dict) -> None:
    with pytest.raises(UsageError, match=str(next(iter(bad.values())))):
        ScheduleConfig(**bad)


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.sets(st.integers(1, 8)), st.sets(st.integers(1, 8)), st.sets(st.integers(1, 8))), max_size=40),
)
def test_invariants(period: int, frames: list[tuple[set[int], set[int], set[int]]]) -> None:
    scheduler, since, total = Scheduler(ScheduleConfig(period)), {}, 0
    for present, early, promoted in frames:
        plan = scheduler.plan(present, {p: "jump" for p in early})
        for person in present & promoted:
            if plan[person].kind == "propagated":
                plan[person] = scheduler.promote(person, "score")
        assert list(plan) == sorted(present)  # everybody exactly once
        since = {p: since[p] for p in present if p in since}
        for person, decision in plan.items():
            if decision.kind == "key":
                since[person], total = 0, total + 1
                assert decision.why and decision.phase == 0
            else:
                since[person] += 1
                assert decision.phase == since[person] <= period - 1  # never longer than the period without a key frame
                assert not decision.why
    assert sum(scheduler.reasons.values()) == total
    assert scheduler.postponed == 0
