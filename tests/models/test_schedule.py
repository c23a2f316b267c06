"""Schedules: the published learning rates, stretched ones, resuming in either unit, and the command line."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from itertools import pairwise

import pytest

pytest.importorskip("torch")

from vipose.models.training.schedule import (
    MMPOSE,
    VIPNAS_S_SUPER,
    VIPNAS_S_TUNING,
    VIPNAS_T_SUPER,
    Budget,
    Epochs,
    Length,
    Plan,
    Schedule,
    add_length,
    length_of,
)
from vipose.runtime.errors import UsageError


def rates(plan: Plan, steps_per_epoch: int = 10) -> list[float]:
    schedule, found = Epochs(plan, steps_per_epoch), []
    while not schedule.done:
        found.append(schedule.rate(plan.rate))
        schedule.advance()
    return found


@pytest.mark.parametrize(
    ("plan", "drops"),
    [
        (VIPNAS_S_SUPER, {0: 1e-3, 199: 1e-3, 200: 1e-4, 229: 1e-4, 230: 1e-5, 249: 1e-5}),
        (VIPNAS_S_TUNING, {0: 1e-4, 9: 1e-4, 10: 1e-5, 14: 1e-5, 15: 1e-6, 19: 1e-6}),
        (replace(MMPOSE, warm_up_steps=0), {0: 5e-4, 169: 5e-4, 170: 5e-5, 199: 5e-5, 200: 5e-6, 209: 5e-6}),
    ],
)
def test_published_plans_fall_at_their_epochs(plan: Plan, drops: dict[int, float]) -> None:
    found = rates(plan)
    assert len(found) == plan.epochs * 10
    for epoch, rate in drops.items():
        assert found[10 * epoch] == pytest.approx(rate) and found[10 * epoch + 9] == pytest.approx(rate)


def test_mmpose_warms_up_over_500_steps() -> None:
    schedule = Epochs(MMPOSE, steps_per_epoch=400)
    found = []
    for _ in range(600):
        found.append(schedule.rate(MMPOSE.rate))
        schedule.advance()
    assert found[0] == pytest.approx(5e-7) and found[499] == pytest.approx(5e-4) and found[599] == pytest.approx(5e-4)
    steps = [b - a for a, b in pairwise(found[:500])]
    assert max(steps) == pytest.approx(min(steps))


def test_the_temporal_super_network_follows_a_cosine_to_zero() -> None:
    found = rates(VIPNAS_T_SUPER)
    assert found[0] == 1e-3 and found[300] == pytest.approx(5e-4) and 0 < found[-1] < 1e-6
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("epochs", [25, 7, 2.5])
def test_a_stretched_plan_keeps_its_shape(epochs: float) -> None:
    schedule = Epochs(VIPNAS_S_SUPER.over(epochs), steps_per_epoch=100)
    found = []
    while not schedule.done:
        found.append(schedule.rate(1.0))
        schedule.advance()
    assert len(found) == 100 * epochs
    assert found.count(1.0) == math.ceil(round(0.8 * len(found), 6)) and found[-1] == pytest.approx(0.01)


def test_epochs_resume_exactly_and_with_another_batch_size() -> None:
    length, plan = Length("epochs", (10.0,)), Plan(rate=1e-3, epochs=10, milestones=(5,))
    schedule = length.schedule(0, plan, steps_per_epoch=100)
    for _ in range(437):
        schedule.advance()
    again = length.schedule(0, plan, 100, schedule.state())
    assert isinstance(again, Epochs) and again.step == 437 and again.rate(1.0) == schedule.rate(1.0)
    assert again.seconds >= schedule.state()["spent_s"] - 1e-3
    halved = length.schedule(0, plan, 50, schedule.state())
    assert isinstance(halved, Epochs) and halved.facts()["epoch"] == pytest.approx(4.37, abs=0.02)


def test_minutes_resume_where_they_were_and_more_minutes_go_on() -> None:
    state = {"unit": "minutes", "spent_s": 300.0, "progress": 0.5}
    assert Length("minutes", (10.0,)).schedule(0, MMPOSE, 1, state).progress == pytest.approx(0.5, abs=1e-3)
    assert Length("minutes", (20.0,)).schedule(0, MMPOSE, 1, state).progress == pytest.approx(0.25, abs=1e-3)
    older = {"spent_s": 300.0}  # as checkpoints had it before there were epochs
    assert Length("minutes", (10.0,)).schedule(0, MMPOSE, 1, older).progress == pytest.approx(0.5, abs=1e-3)


def test_another_unit_goes_on_at_the_same_progress() -> None:
    minutes = {"unit": "minutes", "spent_s": 300.0, "progress": 0.5}
    epochs = Length("epochs", (10.0,)).schedule(0, MMPOSE, 100, minutes)
    assert isinstance(epochs, Epochs) and epochs.step == 500
    back = Length("minutes", (30.0,)).schedule(0, MMPOSE, 100, epochs.state())
    assert isinstance(back, Budget) and back.progress == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("schedule", [Budget(0.0), Epochs(MMPOSE.over(0), 10), Budget(1, spent_s=60)])
def test_nothing_left_is_done(schedule: Schedule) -> None:
    assert schedule.done and schedule.progress == 1


def parse(*argv: str, default: Length | None = None) -> Length:
    parser = argparse.ArgumentParser()
    add_length(parser, default or Length("minutes", (37.0, 70.0)), "per size")
    return length_of(parser.parse_args(argv))


def test_the_command_line_takes_minutes_or_epochs() -> None:
    assert parse() == Length("minutes", (37.0, 70.0))
    assert parse("--minutes", "1", "2.5") == Length("minutes", (1.0, 2.5))
    assert parse("--epochs", "250", "20") == Length("epochs", (250.0, 20.0))
    assert parse("--epochs", "250", default=Length("minutes", (60.0,))) == Length("epochs", (250.0,))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--minutes", "1", "2", "--epochs", "3", "4"), "not allowed with"),
        (("--minutes", "-1", "2"), "'-1' is no length"),
        (("--epochs", "nan", "2"), "'nan' is no length"),
        (("--epochs", "many", "2"), "'many' is no length"),
        (("--epochs", "3"), "expected 2 arguments"),
    ],
)
def test_a_length_that_is_none_says_so(argv: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(*argv)
    assert said in capsys.readouterr().err


def test_a_stage_can_be_skipped_but_not_all() -> None:
    assert parse("--epochs", "0", "250").amounts == (0.0, 250.0)
    with pytest.raises(UsageError, match="--minutes 0 leaves nothing"):
        parse("--minutes", "0", "0")
