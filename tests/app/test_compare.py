"""The comparison without Qt: costs over the same frames, fair turns, and what happens when things change or break."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.app.comparing import FakeContender, Faults, person, result, until
from tests.fixtures.clips import clip
from tests.fixtures.graphs import write_mode
from vipose.app.core import compare_run
from vipose.app.core.compare import Choice, Comparison
from vipose.app.core.compare_picture import BothHeads
from vipose.app.core.compare_state import CompareStatus, SideStatus
from vipose.app.core.compare_words import cost_tiles, frames_line, verdict
from vipose.app.core.contender import Contender
from vipose.app.core.costs import LEAST_FRAMES, WARM_UP_FRAMES, WINDOW_S, CompareFigures, Costs, CostWindow
from vipose.app.core.phases import Phase
from vipose.app.core.shown import Shown
from vipose.runtime.errors import InputError, ModelError
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.options import RunOptions
from vipose.runtime.skeleton import COCO17, MPII16
from vipose.runtime.types import Frame

A, B = Choice("a"), Choice("b")


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Fakes instead of real modes."""
    FakeContender.faults = Faults()
    monkeypatch.setattr(compare_run, "Contender", FakeContender)
    return FakeContender.faults


@pytest.fixture
def comparison() -> Iterator[Comparison]:
    made = Comparison(lambda: None)
    yield made
    made.close()


@pytest.fixture
def spec(tmp_path: Path) -> SourceSpec:
    path = clip(tmp_path / "clip.mp4", frames=12, fps=30).path
    return SourceSpec(str(path), "video", path)


def until_phase(comparison: Comparison, phase: Phase) -> CompareStatus:
    until(lambda: comparison.status.phase in (phase, Phase.FAILED))
    assert comparison.status.phase is phase, comparison.status.message
    return comparison.status


def until_pair(comparison: Comparison) -> tuple[Shown, Shown]:
    found: list[tuple[Shown, Shown]] = []

    def look() -> bool:
        pair = comparison.take()
        found.extend([] if pair is None else [pair])
        return bool(found)

    until(look)
    return found[-1]


# Costs


def filled(window: CostWindow, count: int, now_s: float = 0.0, **times: float) -> None:
    left, right = result(0, person(), **times), result(0, person(), total=5.0, temporal=2.0)
    for _ in range(count):
        window.add(left, right, COCO17, now_s)


def test_costs_are_those_of_the_frames_after_the_first_ones() -> None:
    window = CostWindow()
    filled(window, WARM_UP_FRAMES, total=1000.0)
    assert window.figures().left.frames == 0 and window.figures().ratio is None
    keys = [person(1, why="due"), person(2, x=60)], [person(1, why=""), person(2, x=60, why="score")]
    for index, total in enumerate((10.0, 20.0, 60.0)):
        window.add(
            result(index, *keys[0], total=total, spatial=8.0), result(index, *keys[1], total=9.0, spatial=2.0, temporal=1.0),
            COCO17, 0.0,
        )  # fmt: skip
    figures = window.figures()
    left, right = figures.left, figures.right
    assert (left.median_ms, left.mean_ms, left.frames) == (20.0, 30.0, 3)
    assert left.p95_ms == pytest.approx(56.0)
    assert (left.person_ms, right.person_ms) == (4.0, 1.5)
    assert (left.key_share, right.key_share, left.early, right.early) == (1.0, 0.5, 0, 3)
    assert (left.people, left.mean_people) == (2, 2.0)
    assert left.alone_fps == pytest.approx(1000 / 30)
    assert figures.ratio == pytest.approx(0.3)


def test_old_frames_leave_but_a_slow_mode_keeps_enough() -> None:
    window = CostWindow()
    filled(window, WARM_UP_FRAMES)
    filled(window, LEAST_FRAMES + 40, total=100.0)
    filled(window, 1, now_s=WINDOW_S + 1, total=10.0)
    assert window.figures().left.frames == LEAST_FRAMES
    filled(window, LEAST_FRAMES + 10, now_s=WINDOW_S + 1, total=10.0)
    assert window.figures().left.p95_ms == 10.0
    window.clear()
    assert window.figures() == CompareFigures()


def test_agreement_says_who_was_found_by_whom_and_how_alike() -> None:
    window = CostWindow()
    filled(window, WARM_UP_FRAMES)
    window.add(result(0, person(1), person(2, x=60)), result(0, person(7)), COCO17, 0.0)
    agreed = window.figures().agreed
    assert agreed is not None
    assert (agreed.matched, agreed.only_left, agreed.only_right) == (1, 1, 0)
    assert agreed.mean_oks == pytest.approx(1.0)
    window.add(result(1, person(1)), result(1, person(7, shift=2.0)), COCO17, 0.1)
    agreed = window.figures().agreed
    assert agreed is not None and agreed.mean_oks is not None
    assert 0.5 < agreed.mean_oks < 0.99
    other = CostWindow()
    for _ in range(WARM_UP_FRAMES + 1):
        other.add(result(0, person()), result(0, person()), None, 0.0)
    assert other.figures().agreed is None


def test_the_verdict_is_a_sentence_in_both_directions() -> None:
    def said(left: float, right: float) -> str:
        return verdict(CompareFigures(Costs(mean_ms=left), Costs(mean_ms=right)))

    assert said(10.0, 4.2) == "Right takes 0.42 of left's time"
    assert said(10.0, 23.8) == "Right takes 2.38 times left's time"
    assert said(10.0, 10.01) == "Both take the same time"
    assert verdict(CompareFigures()) == ""


def test_nothing_is_claimed_before_it_is_known() -> None:
    values = [tile.value for tile in cost_tiles(Costs(), SideStatus())]
    assert set(values) == {"-"}
    assert "left out" not in frames_line(CompareStatus())
    assert "7 frames compared, 2 that came meanwhile left out" in frames_line(CompareStatus(processed=7, dropped=2))


# Real modes


def test_a_mode_follows_another_period_without_loading_and_people_keep_their_ids(tmp_path: Path) -> None:
    folder = write_mode(tmp_path / "mode")
    options = RunOptions(detector=str(folder / "tiny-detector.onnx"), threads=1)
    choice = Choice(str(folder))
    image = np.zeros((96, 160, 3), np.uint8)
    image[32:48, 64:80] = 255
    image.flags.writeable = False
    mode, newcomer = Contender(choice, options), Contender(Choice(str(folder / "tiny-s.onnx")), options)
    try:
        assert (mode.facts.period, mode.facts.longest, mode.facts.graphs) == (4, 4, 4)
        before = [mode.process(Frame(i, i / 25, image)) for i in range(6)]
        assert [p.kind for p in before[1].people] == ["propagated"]
        assert mode.serves(Choice(str(folder), 2), options)
        mode.follow(Choice(str(folder), 2), options)
        assert (mode.facts.period, mode.facts.graphs) == (2, 2)
        assert mode.serves(Choice(str(folder), 2, True), options) and not mode._pipeline.config.twice
        mode.follow(Choice(str(folder), 2, True), options)
        assert mode._pipeline.config.twice, "a side looks as it was chosen to, whatever the options say"
        assert not mode.serves(Choice(str(folder / "tiny-s.onnx")), options)
        assert newcomer.take_over(mode)
        after = newcomer.process(Frame(6, 6 / 25, image))
        assert [p.id for p in after.people] == [p.id for p in before[-1].people]
        assert {p.kind for p in after.people} == {"key"}
        newcomer.begin_again()
        assert newcomer.process(Frame(0, 0.0, image)).counters.decoded == 1
    finally:
        mode.close()
        newcomer.close()


def test_real_modes_run_side_by_side_on_a_clip(comparison: Comparison, spec: SourceSpec, tmp_path: Path) -> None:
    folder = write_mode(tmp_path / "mode")
    options = RunOptions(detector=str(folder / "tiny-detector.onnx"), threads=1)
    comparison.open(spec, Choice(str(folder / "tiny-s.onnx")), Choice(str(folder)), options)
    status = until_phase(comparison, Phase.ENDED)
    left, right = until_pair(comparison)
    assert left.picture is right.picture and left.result.index == right.result.index == 11
    figures = comparison.snapshot()
    assert status.processed + status.dropped == 12
    assert figures.left.frames == status.processed - WARM_UP_FRAMES
    assert figures.left.key_share == 1.0 and figures.agreed is not None


# Turns and drops


def test_both_modes_see_the_same_frames_in_changing_order(comparison: Comparison, spec: SourceSpec, faults: Faults) -> None:
    comparison.open(spec, A, B, RunOptions())
    until_phase(comparison, Phase.ENDED)
    pairs = list(zip(faults.order[::2], faults.order[1::2], strict=True))
    assert all(one[1] == other[1] for one, other in pairs)
    assert [one[0] for one, _ in pairs] == (["a", "b"] * len(pairs))[: len(pairs)]
    assert all({one[0], other[0]} == {"a", "b"} for one, other in pairs)


def test_frames_that_come_meanwhile_are_dropped_and_counted(comparison: Comparison, spec: SourceSpec, faults: Faults) -> None:
    faults.slow_s["b"] = 0.1
    comparison.open(spec, A, B, RunOptions())
    status = until_phase(comparison, Phase.ENDED)
    assert status.dropped > 0 and status.processed + status.dropped == 12
    assert until_pair(comparison)[1].result.counters.dropped == status.dropped


# Commands


def test_pause_holds_resume_goes_on_and_stop_keeps_the_figures(
    comparison: Comparison, spec: SourceSpec, faults: Faults
) -> None:
    comparison.open(spec, A, B, RunOptions(), repeat=True)
    until(lambda: comparison.status.processed > 0)
    comparison.pause()
    until_phase(comparison, Phase.PAUSED)
    seen = len(faults.order)
    time.sleep(0.15)
    assert len(faults.order) == seen
    comparison.resume()
    until(lambda: len(faults.order) > seen + 20)  # past the end of the clip, which begins again
    assert faults.began_again[:2] == ["a", "b"]
    comparison.stop()
    until_phase(comparison, Phase.IDLE)
    assert comparison.snapshot().left.frames > 0
    assert sorted(faults.closed) == ["a", "b"]


def test_a_file_that_does_not_repeat_any_more_ends(comparison: Comparison, spec: SourceSpec, faults: Faults) -> None:
    comparison.open(spec, A, B, RunOptions(), repeat=True)
    until(lambda: "a" in faults.began_again)
    comparison.repeat(False)
    until_phase(comparison, Phase.ENDED)


def test_another_source_ends_the_one_before(comparison: Comparison, spec: SourceSpec, faults: Faults, tmp_path: Path) -> None:
    comparison.open(spec, A, B, RunOptions(), repeat=True)
    until(lambda: comparison.status.processed > 0)
    other = clip(tmp_path / "other.mp4", frames=5, size=(64, 48)).path
    comparison.open(SourceSpec(str(other), "video", other), A, Choice("c"), RunOptions())
    until(lambda: comparison.status.phase is Phase.ENDED)
    source = comparison.status.source
    assert source is not None and source.size == (64, 48)
    assert until_pair(comparison)[1].mode == "c"


def test_another_mode_is_loaded_beside_and_takes_the_people_over(
    comparison: Comparison, spec: SourceSpec, faults: Faults
) -> None:
    faults.hold["c"] = threading.Event()
    comparison.open(spec, A, B, RunOptions(), repeat=True)
    until(lambda: comparison.snapshot().right.frames > 0)
    comparison.change(right=Choice("c"))
    until(lambda: comparison.status.right.loading)
    seen = len(faults.order)
    until(lambda: len(faults.order) > seen + 4)  # what runs goes on meanwhile
    assert comparison.status.right.choice == B
    faults.hold["c"].set()
    until(lambda: comparison.status.right.choice == Choice("c"))
    assert faults.took_over == [("b", "c")] and faults.closed == ["b"]
    until(lambda: until_pair(comparison)[1].mode == "c")


def test_the_newest_wish_wins_and_the_others_are_freed(comparison: Comparison, spec: SourceSpec, faults: Faults) -> None:
    faults.hold["c"] = threading.Event()
    comparison.open(spec, A, B, RunOptions(), repeat=True)
    until_phase(comparison, Phase.RUNNING)
    comparison.change(left=Choice("c"))
    until(lambda: comparison.status.left.loading)
    comparison.change(left=Choice("d"))
    until(lambda: comparison.status.left.choice == Choice("d"))
    faults.hold["c"].set()
    until(lambda: "c" in faults.closed)
    assert comparison.status.left.choice == Choice("d")


def test_another_period_needs_no_loading(comparison: Comparison, spec: SourceSpec, faults: Faults) -> None:
    comparison.open(spec, A, B, RunOptions(), repeat=True)
    until_phase(comparison, Phase.RUNNING)
    comparison.change(right=Choice("b", 2))
    until(lambda: comparison.status.right.facts is not None and comparison.status.right.facts.period == 2)
    assert faults.took_over == [] and faults.closed == []


def test_a_mode_that_cannot_be_loaded_leaves_the_one_before(comparison: Comparison, spec: SourceSpec, faults: Faults) -> None:
    comparison.open(spec, A, B, RunOptions(), repeat=True)
    until_phase(comparison, Phase.RUNNING)
    comparison.change(left=Choice("missing"))
    until(lambda: comparison.status.left.error is not None)
    assert isinstance(comparison.status.left.error, ModelError)
    assert comparison.status.left.choice == A and comparison.status.phase is Phase.RUNNING
    comparison.change(left=Choice("c"))
    until(lambda: comparison.status.left.choice == Choice("c"))
    assert comparison.status.left.error is None


def test_a_held_picture_follows_another_mode(comparison: Comparison, spec: SourceSpec, faults: Faults) -> None:
    comparison.open(spec, A, B, RunOptions())
    until(lambda: comparison.status.processed > 0)
    comparison.pause()
    until_phase(comparison, Phase.PAUSED)
    comparison.take()
    comparison.change(left=Choice("mpii-c"))
    left, right = until_pair(comparison)
    while left.mode != "mpii-c":
        left, right = until_pair(comparison)
    assert left.result.index == right.result.index and len(left.skeleton) == 16
    comparison.resume()
    until_phase(comparison, Phase.ENDED)
    assert comparison.snapshot().agreed is None  # other joints cannot be compared


# Heads


def hidden(before: np.ndarray, after: np.ndarray, x: float) -> bool:
    """Whether the head of the person at ``x`` cannot be seen any more."""
    part = slice(6, 12), slice(int(x) + 4, int(x) + 16)
    return bool((before[part] != after[part]).mean() > 0.9)


def test_heads_that_either_mode_sees_are_hidden_and_outlive_its_mode() -> None:
    heads, options = BothHeads(), RunOptions(head_blur=True)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    image.flags.writeable = False
    heads.see({"left": (COCO17, result(0, person(x=4))), "right": (COCO17, result(0, person(x=66)))}, options)
    picture = heads.picture(Frame(0, 0.0, image), options)
    assert hidden(image, picture, 4) and hidden(image, picture, 66) and not hidden(image, picture, 36)
    assert heads.picture(Frame(0, 0.0, image), RunOptions()) is image
    heads.see({"left": (MPII16, result(1)), "right": (COCO17, result(1))}, options)  # another mode, which sees nobody yet
    picture = heads.picture(Frame(1, 0.04, image), options)
    assert hidden(image, picture, 4) and hidden(image, picture, 66)
    heads.see({"left": (MPII16, result(1000)), "right": (COCO17, result(1000))}, options)
    assert not hidden(image, heads.picture(Frame(1000, 40.0, image), options), 4)


def test_a_held_picture_follows_head_blur(comparison: Comparison, spec: SourceSpec, faults: Faults) -> None:
    faults.at_x["b"] = 36.0  # across two colours of the clip
    comparison.open(spec, A, B, RunOptions())
    until(lambda: comparison.status.processed > 0)
    comparison.pause()
    until_phase(comparison, Phase.PAUSED)
    clear = until_pair(comparison)[0].picture
    comparison.apply(RunOptions(head_blur=True))
    left, right = until_pair(comparison)
    assert left.picture is right.picture and not left.picture.flags.writeable
    assert (left.picture != clear).any()


# What breaks


def test_a_source_that_cannot_be_opened_says_so(comparison: Comparison, faults: Faults, tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    comparison.open(SourceSpec(str(path), "video", path), A, B, RunOptions())
    until(lambda: comparison.status.phase is Phase.FAILED)
    assert isinstance(comparison.status.error, InputError) and comparison.status.message == str(comparison.status.error)
    until(lambda: sorted(faults.closed) == ["a", "b"])


def test_a_mode_that_is_missing_at_the_start_says_so_and_another_try_works(
    comparison: Comparison, spec: SourceSpec, faults: Faults
) -> None:
    comparison.open(spec, A, Choice("missing"), RunOptions())
    until(lambda: comparison.status.phase is Phase.FAILED)
    assert isinstance(comparison.status.error, ModelError)
    comparison.open(spec, A, B, RunOptions())
    until_phase(comparison, Phase.ENDED)
    assert comparison.status.error is None


def test_closing_does_not_wait_for_a_mode_that_loads_long(spec: SourceSpec, faults: Faults) -> None:
    faults.hold["b"] = threading.Event()
    comparison = Comparison(lambda: None)
    comparison.open(spec, A, B, RunOptions())
    until(lambda: sorted(faults.loading) == ["a", "b"])
    comparison.close()
    comparison.close()
    assert not any(thread.name == "vipose-compare" for thread in threading.enumerate())
    faults.hold["b"].set()
    until(lambda: sorted(faults.closed) == ["a", "b"])


def test_commands_without_a_run_do_nothing(comparison: Comparison) -> None:
    comparison.pause()
    comparison.resume()
    comparison.stop()
    comparison.change(left=A)
    comparison.apply(RunOptions())
    assert comparison.status == CompareStatus() and comparison.take() is None
