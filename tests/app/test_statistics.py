"""Rolling figures: honest rates, ages and medians; nothing made up across pauses; memory that does not grow."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vipose.app.core.figures import as_text, number, save_csv
from vipose.app.core.latency import EARLY_REASONS, OTHER, REASONS, STAGES
from vipose.app.core.shown import Shown
from vipose.app.core.statistics import Statistics
from vipose.runtime import pipeline
from vipose.runtime.errors import OutputError
from vipose.runtime.schedule import EARLY
from vipose.runtime.skeleton import COCO17
from vipose.runtime.types import Counters, FrameResult, PersonResult, Why

PICTURE = np.zeros((2, 2, 3), np.uint8)


def person(track: int, why: Why = "") -> PersonResult:
    pose = np.zeros((17, 3), np.float32)
    return PersonResult(track, np.zeros(4), 0.9, pose, pose, "key" if why else "propagated", why, 0 if why else 1)


def shown(
    index: int,
    now_s: float,
    *,
    people: tuple[PersonResult, ...] = (),
    timings: dict[str, float] | None = None,
    dropped: int = 0,
    processed: int | None = None,
    mode: str = "m",
) -> Shown:
    counters = Counters(decoded=index + 1 if processed is None else processed, dropped=dropped)
    times = {"detect": 0.0, "spatial": 4.0, "total": 5.0} if timings is None else timings
    result = FrameResult(index, index / 30, (2, 2), people, times, counters, "cpu")
    return Shown(PICTURE, result, COCO17, now_s - 0.05, mode=mode)


def feed(statistics: Statistics, count: int, *, start_s: float = 100.0, first: int = 0, step_s: float = 0.04) -> float:
    """So many even frames; the time of the last one."""
    for n in range(count):
        statistics.add(shown(first + n, start_s + n * step_s), start_s + n * step_s)
    return start_s + (count - 1) * step_s


def test_names_are_those_of_the_pipeline() -> None:
    assert (*STAGES, "total") == pipeline._STAGES
    assert set(EARLY_REASONS) == EARLY
    assert set(REASONS) == set(Why.__args__) - {""}  # type: ignore[attr-defined]


def test_nothing_is_known_at_first() -> None:
    summary = Statistics().summary(100.0)
    unknown = (
        summary.fps,
        summary.age_ms,
        summary.total_ms,
        summary.dropped,
        summary.drop_rate,
        summary.people,
        summary.totals,
    )
    assert unknown == (None,) * 7
    assert summary.key_share is None and all(figure.ms is None for figure in summary.stages)
    assert number(None) == number(float("nan")) == "-"
    assert "processed frames a second: -" in as_text(summary)


def test_rate_of_even_frames() -> None:
    statistics = Statistics()
    now_s = feed(statistics, 100)
    assert statistics.summary(now_s).fps == pytest.approx(25.0)
    assert statistics.summary(now_s).unseen == 0


def test_one_frame_or_two_at_once_have_no_rate() -> None:
    statistics = Statistics()
    feed(statistics, 1)
    assert statistics.summary(100.0).fps is None
    statistics.add(shown(1, 100.001), 100.001)
    assert statistics.summary(100.001).fps is None  # 1000 a second would be nonsense


def test_processed_frames_that_were_not_shown_count() -> None:
    statistics = Statistics()
    for n in range(50):
        statistics.add(shown(2 * n, 100 + n * 0.08), 100 + n * 0.08)
    summary = statistics.summary(100 + 49 * 0.08)
    assert summary.fps == pytest.approx(25.0)
    assert summary.unseen == 49


def test_slow_frames_have_a_rate() -> None:
    statistics = Statistics()
    now_s = feed(statistics, 4, step_s=3.0)
    assert statistics.summary(now_s).fps == pytest.approx(1 / 3)
    assert statistics.summary(now_s + 4).fps is not None  # the next one is not late yet


def test_rate_ends_when_no_frame_comes() -> None:
    statistics = Statistics()
    now_s = feed(statistics, 50)
    assert statistics.summary(now_s + 1).fps is not None
    late = statistics.summary(now_s + 5)
    assert late.fps is None and late.drop_rate is None
    assert late.total_ms is not None  # what was measured last stays


@pytest.mark.parametrize("told", [True, False])
def test_a_pause_gives_neither_low_nor_huge_rates(told: bool) -> None:
    statistics = Statistics()
    now_s = feed(statistics, 50)
    if told:
        statistics.pause()
        statistics.add(shown(50, now_s + 0.04), now_s + 0.04)  # it was on its way
        summary = statistics.summary(now_s + 0.04)
        assert summary.fps is None and summary.frames == 51
        assert len(np.unique(statistics.columns().segment)) == 1
        statistics.resume()
    again_s = now_s + 5
    statistics.add(shown(51, again_s), again_s)
    assert statistics.summary(again_s).fps is None
    end_s = feed(statistics, 50, start_s=again_s + 0.04, first=52)
    assert statistics.summary(end_s).fps == pytest.approx(25.0)
    columns = statistics.columns()
    assert len(np.unique(columns.segment)) == 2
    assert (columns.seen_s - columns.begins_s).max() < 0.05  # no column fills the pause


@pytest.mark.parametrize("change", ["seek", "restart", "mode", "drops", "clock"])
def test_what_does_not_follow_begins_anew(change: str) -> None:
    statistics = Statistics()
    now_s = feed(statistics, 50)
    later_s = now_s + 0.04
    frames = {
        "seek": shown(3, later_s, processed=51),
        "restart": shown(0, later_s),
        "mode": shown(50, later_s, mode="other"),
        "drops": shown(50, later_s),
        "clock": shown(50, later_s),
    }
    if change == "drops":
        statistics.add(shown(50, later_s, dropped=9), later_s)
        frames["drops"] = shown(51, later_s + 0.04, dropped=0)
    statistics.add(frames[change], now_s - 5 if change == "clock" else later_s + 0.04)
    summary, columns = statistics.summary(later_s + 0.04), statistics.columns()
    assert summary.fps is None or 0 < summary.fps < 60
    assert summary.drop_rate is None or summary.drop_rate >= 0
    assert (np.diff(columns.seen_s) >= 0).all() and (columns.begins_s <= columns.seen_s).all()
    assert (columns.segment[-1] > columns.segment[0]) == (change != "clock")


def test_drops() -> None:
    statistics = Statistics()
    for n in range(101):
        statistics.add(shown(n, 100 + n * 0.04, dropped=n // 10), 100 + n * 0.04)
    summary = statistics.summary(104.0)
    assert summary.dropped == 10
    assert summary.drop_rate == pytest.approx(2.5)


def test_age_is_that_of_the_first_painting() -> None:
    statistics = Statistics()
    frame = shown(0, 100.0)
    statistics.add(frame, 100.0)
    assert statistics.summary(100.0).age_ms is None
    assert statistics.painted(frame, 100.01)
    assert not statistics.painted(frame, 105.0)  # the mouse moved over a paused picture
    age = statistics.summary(100.1).age_ms
    assert age is not None and age.median == pytest.approx(60.0)


def test_age_is_not_made_up() -> None:
    statistics = Statistics()
    frame = shown(0, 100.0)
    statistics.add(frame, 100.0)
    assert not statistics.painted(shown(7, 100.0), 100.1)  # never added
    assert not statistics.painted(frame, 50.0)  # long before it was captured
    unknown = replace(shown(1, 100.04), captured_s=0.0)
    statistics.add(unknown, 100.04)
    assert not statistics.painted(unknown, 100.1)
    assert statistics.summary(100.1).age_ms is None


def test_stages_count_frames_on_which_they_ran() -> None:
    statistics = Statistics()
    for n in range(40):
        times = {"detect": 30.0 if n % 10 == 0 else 0.0, "spatial": 4.0, "total": 36.0 if n % 10 == 0 else 6.0}
        statistics.add(shown(n, 100 + n * 0.04, timings=times), 100 + n * 0.04)
    summary = statistics.summary(101.6)
    stages = {figure.stage: figure for figure in summary.stages}
    assert stages["detect"].ms is not None and stages["detect"].ms.median == 30.0
    assert stages["detect"].share == pytest.approx(0.1)
    assert stages["temporal"].ms is None and stages["temporal"].share is None
    assert stages[OTHER].ms is not None and stages[OTHER].ms.median == pytest.approx(2.0)
    assert summary.total_ms is not None and summary.total_ms.median == 6.0 and summary.total_ms.p95 == 36.0


def test_a_stage_without_a_name_here_is_not_lost() -> None:
    statistics = Statistics()
    statistics.add(shown(0, 100.0, timings={"spatial": 1.0, "novel": 3.0, "total": 4.0}), 100.0)
    assert statistics.columns().stages_ms[0, -1] == pytest.approx(3.0)


def test_results_without_times_have_none() -> None:
    statistics = Statistics()
    for n in range(20):
        statistics.add(shown(n, 100 + n * 0.04, timings={}), 100 + n * 0.04)
    assert statistics.summary(100.8).total_ms is None
    assert np.isnan(statistics.columns().total_ms).all()
    assert statistics.columns().median_totals() == []


def test_medians_are_of_the_recent_seconds_and_p95_of_the_window() -> None:
    statistics = Statistics()
    for n in range(200):
        total = 50.0 if n < 100 else 10.0
        statistics.add(shown(n, 100 + n * 0.04, timings={"total": total}), 100 + n * 0.04)
    total_ms = statistics.summary(108.0).total_ms
    assert total_ms is not None and (total_ms.median, total_ms.p95) == (10.0, 50.0)
    (line,) = statistics.columns().median_totals()
    assert line[0, 1] == 50.0 and line[-1, 1] == 10.0
    assert line[-1, 0] == statistics.columns().seen_s[-1]


def test_people_and_reasons() -> None:
    statistics = Statistics()
    statistics.add(shown(0, 100.0, people=(person(1, "new"), person(2, "new"))), 100.0)
    statistics.add(shown(1, 100.04, people=(person(1), person(2, "jump"))), 100.04)
    statistics.add(shown(2, 100.08, people=(person(1, "score"), person(2), person(3))), 100.08)
    summary = statistics.summary(100.1)
    assert (summary.people, summary.people_key, summary.people_propagated) == (3, 1, 2)
    assert (summary.key, summary.propagated, summary.forced) == (4, 3, 2)
    assert summary.key_share == pytest.approx(4 / 7)
    assert {r: n for r, n in summary.reasons.items() if n} == {"new": 2, "jump": 1, "score": 1}
    columns = statistics.columns()
    assert columns.early.tolist() == [0, 1, 1] and columns.people.tolist() == [2, 2, 3]
    assert "2 of them early key; by reason: score 1, jump 1, new 2" in as_text(summary)


def test_the_same_frame_again_is_passed_over() -> None:
    statistics = Statistics()
    frame = shown(0, 100.0)
    assert statistics.add(frame, 100.0)
    assert not statistics.add(replace(frame, heat=()), 100.5)
    assert not statistics.add(shown(0, 100.0), 100.6)
    assert len(statistics.columns()) == 1


def test_memory_is_bounded() -> None:
    statistics = Statistics(window_s=2.0, capacity=64)
    size = statistics._rows.nbytes
    now_s = feed(statistics, 1000)
    assert statistics._rows.nbytes == size
    assert len(statistics.columns()) == 50 and len(statistics.columns(everything=True)) == 64
    assert statistics.columns().index[-1] == 999
    assert statistics.summary(now_s).fps == pytest.approx(25.0)


def test_columns_are_owned_and_read_only() -> None:
    statistics = Statistics(capacity=8)
    feed(statistics, 5)
    columns = statistics.columns()
    feed(statistics, 8, start_s=101, first=5)
    assert columns.index.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="read-only"):
        columns.key[0] = 3


def test_clear() -> None:
    statistics = Statistics()
    feed(statistics, 50)
    statistics.clear()
    assert len(statistics.columns()) == 0
    assert statistics.summary(103.0).frames == 0


def test_text_names_provider_and_reason() -> None:
    statistics = Statistics()
    now_s = feed(statistics, 50)
    text = as_text(statistics.summary(now_s), "CUDA failed: no driver")
    assert "mode m, runs on CPU (CUDA failed: no driver)" in text
    assert "medians of the last 2 s" in text and "spatial: 4.0 ms, p95 4.0 ms, ran on 100 % of frames" in text
    assert "since the start: 50 frames processed, 0 dropped" in text


def test_table(tmp_path: Path) -> None:
    statistics = Statistics()
    frame = shown(3, 100.0, people=(person(1, "cut"), person(2)))
    statistics.add(frame, 100.0)
    statistics.painted(frame, 100.0)
    statistics.add(shown(4, 100.04, timings={}), 100.04)
    path = tmp_path / "figures.csv"
    save_csv(path, statistics.columns())
    first, second = csv.DictReader(path.open(encoding="utf-8"))
    assert (first["frame"], first["age_ms"], first["total_ms"], first["spatial_ms"]) == (
        "3",
        "50.000",
        "5.000",
        "4.000",
    )
    assert (first["key"], first["propagated"], first["early"], first["key_cut"]) == ("1", "1", "1", "1")
    assert (second["seen_s"], second["age_ms"], second["total_ms"]) == ("0.040", "", "")  # unknown, not 0
    assert [p.name for p in tmp_path.iterdir()] == ["figures.csv"]


def test_table_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose another folder") as error:
        save_csv(tmp_path / "nowhere" / "figures.csv", Statistics().columns())
    assert "\n" not in str(error.value)
