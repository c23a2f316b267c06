"""``vipose bench``: what it computes from times, and that every part runs. No time is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.clips import clip
from tests.fixtures.graphs import pose_graph, write_mode
from vipose.runtime.bench.clip import bench_clip, memory_slope
from vipose.runtime.bench.graphs import GraphRow, bench_graphs, declared_noise, mode_graphs
from vipose.runtime.bench.machine import processor_name, resident_mb, this_machine
from vipose.runtime.bench.report import temporal_summary
from vipose.runtime.bench.stages import bench_stages, crowd
from vipose.runtime.bench.timing import Timing, interleaved, paired_ratio
from vipose.runtime.cli import main
from vipose.runtime.errors import EXIT_NOTHING, EXIT_OK, EXIT_USAGE, InputError, ModelError
from vipose.runtime.modes import Mode, load_mode
from vipose.runtime.pipeline import Pipeline, PipelineConfig


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mode(tmp_path_factory.mktemp("bench") / "tiny")


@pytest.fixture(scope="module")
def mode(tiny: Path) -> Mode:
    return load_mode(tiny, detector=tiny / "tiny-detector.onnx", threads=1)


def test_rounds_are_interleaved_and_timed() -> None:
    now, calls = [0.0], []

    def work(name: str, seconds: float) -> object:
        def run() -> None:
            calls.append(name)
            now[0] += seconds * len(calls)  # the machine gets slower and slower

        return run

    jobs = {"a": work("a", 1.0), "b": work("b", 2.0)}
    timings = interleaved(jobs, 3, warm_up=1, clock=lambda: now[0])  # type: ignore[arg-type]
    assert calls == ["b", "a", "a", "b", "b", "a", "a", "b"]  # every other round goes backward
    assert timings["a"].samples_ms == pytest.approx((3000, 6000, 7000))
    assert timings["b"].samples_ms == pytest.approx((8000, 10000, 16000))


def test_percentiles_and_paired_ratios() -> None:
    timing = Timing(tuple(float(n) for n in range(1, 102)))
    assert (timing.p50, timing.p95) == (51.0, 96.0)
    # A machine that slows down threefold in between does not change the ratio.
    assert paired_ratio(Timing((2.0, 6.0, 6.0)), Timing((1.0, 3.0, 3.0))) == pytest.approx(2.0)
    assert paired_ratio(Timing((8.0,)), Timing((1.0,)), items=4) == pytest.approx(2.0)


def test_graphs_by_threads_and_batch_with_a_foreign_reference(tiny: Path, mode: Mode, tmp_path: Path) -> None:
    reference = pose_graph(tmp_path / "foreign.onnx", embed=False)
    ticks: list[int] = []
    rows = bench_graphs(
        mode_graphs(mode), threads=(1, 2), batches=(4,), reference=reference, repeats=2, tick=ticks.append
    )
    assert ticks == [1, 2, 3, 4]
    one = [(r.name, r.role, r.batch) for r in rows if r.threads == 1]
    assert one[0] == ("foreign", "reference", 1)
    assert one[1:3] == [("tiny-s", "spatial", 1), ("tiny-s", "spatial", 4)]  # batch 1 is always there: ratios refer to it
    assert one[-1] == ("tiny-detector", "detect", 1)
    assert len([r for r in rows if r.threads == 2]) == len(one) == 10
    assert all(r.ratio == 1.0 for r in rows if r.role == "reference")
    assert all(r.item_ms == pytest.approx(r.p50_ms / r.batch) and r.p95_ms >= r.p50_ms > 0 for r in rows)


def test_a_reference_that_does_not_run_is_one_line(mode: Mode, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no graph"):
        bench_graphs(mode_graphs(mode), reference=tmp_path / "no.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="does not run") as caught:
        bench_graphs(mode_graphs(mode), reference=tmp_path / "bad.onnx")
    assert "\n" not in str(caught.value)


def test_declared_noise() -> None:
    noise = declared_noise("tensor(float)", ["N", 3, None, 8])
    assert noise.shape == (1, 3, 1, 8) and noise.dtype == np.float32
    assert declared_noise("tensor(uint8)", [2]).dtype == np.uint8
    assert declared_noise("tensor(int64)", []).shape == ()
    with pytest.raises(ValueError, match="not supported"):
        declared_noise("tensor(string)", [1])


def test_temporal_summary_by_hand() -> None:
    rows = [
        GraphRow("s", "spatial", 1, 1, 8.0, 9.0, 8.0, 0.2), GraphRow("s", "spatial", 1, 4, 8.0, 9.0, 2.0, 0.1),
        GraphRow("t1", "temporal", 1, 1, 3.0, 4.0, 3.0, 0.08), GraphRow("t2", "temporal", 1, 1, 5.0, 6.0, 5.0, 0.12),
        GraphRow("t2", "temporal", 2, 1, 1.0, 1.0, 1.0, 0.5),
    ]  # fmt: skip
    assert temporal_summary(rows) == pytest.approx(
        {"mean_ms": 4.0, "mean_ratio": 0.1, "of_spatial": 0.5, "period_ms": 16 / 3}
    )
    assert temporal_summary(rows[:2]) is None


@pytest.mark.parametrize("people", [1, 2, 3, 5, 10, 24])
def test_a_crowd_fits_on_the_frame_and_nobody_overlaps(people: int) -> None:
    person = np.full((200, 80, 3), 255, np.uint8)
    frame, boxes = crowd(person, people)
    assert frame.shape == (720, 1280, 3) and boxes.shape == (people, 5)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= 1280).all() and (boxes[:, 3] <= 720).all()
    for x0, y0, x1, y1 in boxes[:, :4].astype(int):
        assert (frame[y0:y1, x0:x1] == 255).all()
    taken = np.zeros((720, 1280), int)
    for x0, y0, x1, y1 in boxes[:, :4].astype(int):
        taken[y0:y1, x0:x1] += 1
    assert taken.max() == 1


def test_stages_have_a_row_for_each_number_of_people(mode: Mode) -> None:
    rows = bench_stages(mode, (1, 2), repeats=2, person=np.full((64, 48, 3), 200, np.uint8))
    assert [row.people for row in rows] == [1, 2]
    for row in rows:
        assert len(row.total.samples_ms) == 2 * mode.period and row.frames_per_s > 0
        assert {"detect", "crop", "spatial", "temporal", "decode"} <= set(row.stages) and "total" not in row.stages
        assert 0 < row.tracked <= row.people and 0 < row.key_share <= 1


def test_looking_twice_is_measured_as_such(tiny: Path, mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.mp4"
    clip(path)
    seen: list[PipelineConfig] = []
    made = Pipeline.__init__
    monkeypatch.setattr(Pipeline, "__init__", lambda self, mode, config: seen.append(config) or made(self, mode, config))
    words = ["bench", "--mode", str(tiny), "--detector", str(tiny / "tiny-detector.onnx"), "--graphs", "no", "--repeats", "1"]
    assert main([*words, "--people", "1,2", "--clip", str(path), "--twice", "--quiet"]) == EXIT_OK
    assert [(config.twice, config.max_people, config.smoothing) for config in seen] == [
        (True, 1, True), (True, 2, True), (True, 20, False), (True, 20, False),
    ]  # fmt: skip


def test_a_clip_is_run_three_ways_and_repeated_until_there_are_enough_frames(mode: Mode, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    made = clip(path)
    rows = bench_clip(str(path), mode)
    assert [row.what for row in rows] == ["decode", "pipeline", "pipeline + encode"]
    frames = rows[0].frames
    assert frames > 0 and made is not None and {row.frames for row in rows} == {frames}
    rows = bench_clip(str(path), mode, frames=2 * frames + 3, encode=False)
    assert [row.frames for row in rows] == [2 * frames + 3] * 2


def test_a_clip_that_is_not_there(mode: Mode, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        bench_clip(str(tmp_path / "no.mp4"), mode)


def test_memory_slope_looks_at_the_second_half_only() -> None:
    rising = [(10 * n, 100.0 + (50.0 if n < 30 else 80.0 + 0.02 * n)) for n in range(100)]
    assert memory_slope(rising) == pytest.approx(2000.0)  # 0.02 MB in 10 frames
    assert memory_slope(rising[:20]) is None


def test_the_machine_is_named() -> None:
    machine = this_machine()
    assert processor_name() and machine.cores >= 1 and machine.onnxruntime in str(machine)
    memory = resident_mb()
    assert memory is None or memory > 10


def test_command_line(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "--mode", str(tiny), "--detector", str(tiny / "tiny-detector.onnx"), "--repeats", "1"]
    assert main([*words, "--graphs", "only", "--batch", "1,2"]) == EXIT_OK
    out, err = capsys.readouterr()
    assert "Graphs alone" in out and "Stages" not in out and err == ""
    assert main([*words, "--people", "1", "--json"]) == EXIT_OK
    report = json.loads(capsys.readouterr().out)
    assert report["machine"]["processor"] and report["temporal"]["period_ms"] > 0
    assert set(report["stages"][0]["stages"]["spatial"]) == {"p50_ms", "p95_ms", "mean_ms"} and report["clip"] == []


@pytest.mark.parametrize(
    "words",
    [
        ["--threads", "0"], ["--threads", "two"], ["--batch", ""], ["--repeats", "0"], ["--frames", "100"],
        ["--graphs", "only", "--clip", "x.mp4"], ["--graphs", "no", "--reference", "x.onnx"], ["--detector", "none"],
        ["--frames", "0", "--clip", "x.mp4"], ["--graphs", "only", "--twice"],
    ],
)  # fmt: skip
def test_absurd_options_are_usage_errors(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == EXIT_USAGE
    err = capsys.readouterr().err
    assert err.startswith("vipose: ") and err.count("\n") == 1


def test_a_mode_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--mode", "no-such-mode"]) in (EXIT_USAGE, EXIT_NOTHING)
    assert "no-such-mode" in capsys.readouterr().err
