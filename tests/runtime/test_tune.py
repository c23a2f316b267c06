"""``vipose tune``: what may be chosen, how it is chosen, what is kept and when it holds no longer. No time is asserted."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.clips import clip
from tests.fixtures.figure import write_figures
from vipose.runtime import cli
from vipose.runtime.errors import EXIT_NOTHING, EXIT_OK, EXIT_USAGE, InputError, ModelError, OutputError, UsageError
from vipose.runtime.modes import graph_paths, load_mode
from vipose.runtime.options import RunOptions
from vipose.runtime.results.native import read_native
from vipose.runtime.tune import candidates, measure, store
from vipose.runtime.tune.candidates import (
    Network,
    Setting,
    ap_lost,
    find_networks,
    intervals,
    make_settings,
    networks_of,
)
from vipose.runtime.tune.choose import HEADROOM, allowed_ms, choose, finalists, holds, ranked
from vipose.runtime.tune.defaults import TYPES, under
from vipose.runtime.tune.measure import Measured, Runner, demo_clip, read_frames, screen
from vipose.runtime.tune.store import (
    Kept,
    Tuned,
    fingerprint,
    graph_hashes,
    read_tuned,
    tuned_defaults,
    tuned_path,
    write_tuned,
)

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_figures(tmp_path_factory.mktemp("tune") / "mode", steps=1)


@pytest.fixture
def kept_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tuning is switched on, in a file of the test's own."""
    path = tmp_path / "config" / "tuned.json"
    monkeypatch.setenv("VIPOSE_TUNED", str(path))
    return path


def network(mode: str, ap: float | None, longest: int = 1, precision: str = "auto") -> Network:
    lost = tuple(0.01 * frames for frames in range(longest))
    return Network(mode, precision, Path(f"{mode}.onnx"), longest, ap, lost, (False,) * longest)


def row(mode: str, ap: float | None, p95_ms: float, *, detect: int = 10, threads: int = 0, mean_ms: float = 0.0) -> Measured:
    mean_ms = mean_ms or p95_ms / 2
    return Measured(Setting(mode, 1, threads, detect), network(mode, ap), mean_ms, p95_ms, mean_ms, 100, 2.0)


# What may be chosen


def test_every_network_that_ships_is_there_and_ranked() -> None:
    found, notes = find_networks()
    plain = [one for one in found if not one.twice]
    by_name = {one.mode: one for one in plain if one.precision == "auto"}
    (eight,) = (one for one in plain if one.precision == "int8")
    assert eight.mode == "s-vipnas" and eight.assumed == (False,)
    assert not notes and {"t-vipnas", "s-vipnas", "efficientpose-a", "posenas-small"} == set(by_name)
    assert by_name["t-vipnas"].longest == 4 and by_name["s-vipnas"].longest == 1
    aps = [by_name[name].accuracy(1) for name in ("s-vipnas", "efficientpose-a", "posenas-small")]
    assert None not in aps and by_name["t-vipnas"].accuracy(1) == aps[0]
    losing = [by_name["t-vipnas"].accuracy(period) for period in (2, 3, 4)]
    assert all(value is not None for value in losing) and aps[0] is not None and max(losing) <= aps[0] + 0.05  # type: ignore[type-var]


def test_what_a_period_costs_comes_from_the_card_or_is_assumed() -> None:
    card = {"metrics": {candidates.LOST: {"2": 0.003, "4": 0.05}}}
    assert ap_lost(card, 4) == ((0.0, 0.003, 0.02, 0.05), (False, False, True, False))
    assert ap_lost({}, 1) == ((0.0,), (False,))
    for bad in ({}, {"metrics": None}, {"metrics": {candidates.LOST: 3}}, {"metrics": {candidates.LOST: {"2": "x", "3": True}}}):
        assert ap_lost(bad, 3) == ((0.0, 0.01, 0.02), (False, True, True))
    one = replace(network("m", 0.3, 2), assumed=(False, True))
    assert one.shown_accuracy(1) == "0.300" and one.shown_accuracy(2) == "~0.290"
    assert network("m", None).shown_accuracy(1) == "?"


def test_settings_are_all_combinations_without_doubles() -> None:
    several, single = network("t", 0.3, 3), network("s", 0.3)
    same = replace(single, spatial=several.spatial)
    assert [s.period for s in make_settings([several, same], (10,), (0,)) if s.mode == "t"] == [2, 3]
    assert [s.period for s in make_settings([several, single], (10,), (0,)) if s.mode == "t"] == [1, 2, 3]
    assert len(make_settings([several, same], (5, 10), (0, 1))) == 3 * 2 * 2
    assert network("long", 0.3, 8).periods == [1, 2, 3, 4, 5, 8]  # those that --period takes, and the mode's own


@pytest.mark.parametrize(("fps", "expected"), [(30, (5, 10, 15)), (60, (5, 10, 15, 30)), (10, (5,)), (1, (1,)), (240, (5, 10, 15, 30))])
def test_the_detector_never_waits_longer_than_half_a_second(fps: float, expected: tuple[int, ...]) -> None:
    assert intervals(fps) == expected


@pytest.mark.parametrize(("cores", "expected"), [(1, (0,)), (2, (0, 1)), (8, (0, 1))])
def test_cores_are_a_choice_where_there_are_several(cores: int, expected: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "available_cores", lambda: cores)
    assert candidates.thread_counts() == expected


def test_eight_bits_are_offered_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: Path) -> None:
    own = tmp_path / "models"
    own.mkdir()
    monkeypatch.setenv("VIPOSE_MODELS", str(own))
    shutil.copy(figures / "figure-0.onnx", own / "mine.onnx")
    assert [one.precision for one in networks_of("mine")] == ["auto"]
    shutil.copy(figures / "figure-0.onnx", own / "mine.int8.onnx")
    (own / "mine.json").write_text(json.dumps({"metrics": {"AP coco": 0.4}}), "utf-8")
    usual, eight = networks_of("mine")
    assert (usual.precision, eight.precision) == ("auto", "int8") and usual.accuracy(1) == 0.4
    assert eight.accuracy(1) == pytest.approx(0.4 - candidates.INT8_LOSS) and eight.assumed == (True,)
    assert "mine" in {one.mode for one in find_networks()[0]}
    (own / "mine.json").write_text(json.dumps({"metrics": {"AP coco": 0.4, "AP coco, int8": 0.37}}), "utf-8")
    measured = networks_of("mine")[1]
    assert measured.accuracy(1) == 0.37 and measured.assumed == (False,)


def test_two_looks_are_offered_where_a_card_says_what_it_brings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: Path) -> None:
    own = tmp_path / "models"
    own.mkdir()
    monkeypatch.setenv("VIPOSE_MODELS", str(own))
    for name in ("mine.onnx", "mine.int8.onnx"):
        shutil.copy(figures / "figure-0.onnx", own / name)
    (own / "mine.json").write_text(json.dumps({"metrics": {"AP coco": 0.4, "AP coco, twice": 0.42}}), "utf-8")
    usual, eight, twice = networks_of("mine")
    assert not usual.twice and not eight.twice and (twice.twice, twice.precision, twice.accuracy(1)) == (True, "auto", 0.42)
    assert not any(one.twice for one in networks_of("t-vipnas")) and [one.twice for one in networks_of("s-vipnas")].count(True) == 2
    setting, *_ = make_settings([twice], (10,), (0,))
    assert RunOptions(**setting.options(1)).twice and str(setting) == "mine, twice, key frame every 1, detector every 10, all cores"


def test_modes_that_are_named(figures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(figures.parent)
    ((one,), notes) = find_networks([figures.name])
    assert one.mode == str(figures) and one.longest == 2 and one.accuracy(1) is None and not notes
    with pytest.raises(UsageError, match="no mode 'zzz'"):
        find_networks(["zzz"])
    with pytest.raises(ModelError, match="no weights"):
        find_networks(["efficientpose-c"])


def test_a_setting_as_options() -> None:
    setting = Setting("t-vipnas", 4, 0, 15)
    assert RunOptions(**setting.options(4)) == RunOptions(detect_every=15)  # the longest period needs no number
    assert RunOptions(**replace(setting, period=2, threads=1).options(4)) == RunOptions(period=2, threads=1, detect_every=15)
    assert setting.options(4).keys() == TYPES.keys()
    assert str(replace(setting, threads=1, precision="int8")) == "t-vipnas, int8, key frame every 4, detector every 15, 1 core"


# Choosing


def test_the_most_accurate_that_holds_is_chosen() -> None:
    rows = [row("slow", 0.5, 100), row("good", 0.3, 20), row("fast", 0.2, 5)]
    choice = choose(rows, 30)
    assert choice.row.setting.mode == "good" and choice.holds
    assert choose(rows, 100).row.setting.mode == "fast"
    assert choose(rows, 5).row.setting.mode == "slow"


def test_the_margin_is_kept() -> None:
    edge = (1 - HEADROOM) * 1e3 / 30
    assert allowed_ms(30) == pytest.approx(edge)
    assert holds(row("a", 0.3, edge - 0.01), 30) and not holds(row("a", 0.3, edge + 0.01), 30)


def test_where_none_holds_the_fastest_is_chosen() -> None:
    choice = choose([row("a", 0.5, 100), row("b", 0.1, 60), row("c", 0.3, 70)], 30)
    assert choice.row.setting.mode == "b" and not choice.holds


def test_ties_prefer_the_shorter_interval_then_speed_then_all_cores() -> None:
    rows = [row("a", 0.3, 10, detect=15), row("a", 0.3, 12, detect=5), row("a", 0.3, 11, detect=10)]
    assert choose(rows, 30).row.setting.detect_every == 5
    rows = [row("a", 0.3, 20, mean_ms=10.0), row("a", 0.3, 20, mean_ms=5.0, threads=1)]
    assert choose(rows, 30).row.setting.threads == 1
    rows[1] = replace(rows[1], mean_ms=9.8)  # no difference
    assert choose(rows, 30).row.setting.threads == 0


def test_unknown_accuracy_ranks_last_but_is_better_than_nothing() -> None:
    rows = [row("mine", None, 5), row("poor", 0.01, 20)]
    assert [one.setting.mode for one in ranked(rows)] == ["poor", "mine"]
    assert choose(rows, 30).row.setting.mode == "poor" and choose(rows, 60).row.setting.mode == "mine"


def test_finalists() -> None:
    rows = [row(f"m{n}", 0.5 - n / 100, p95) for n, p95 in enumerate((200, 30, 29, 28, 20, 5))]
    rows.append(row("m1", 0.49, 60, threads=1))  # slower than with all cores
    final = finalists(rows, 30)
    assert [one.setting.mode for one in final] == ["m1", "m2", "m3"]  # m0 is hopeless, and m1 may hold
    assert all(one.setting.threads == 0 for one in final)
    noisy = [replace(one, p95_ms=300.0) for one in rows[1:4]] + rows[4:6]
    assert "m4" in {one.setting.mode for one in finalists(noisy, 30)}  # whatever the noise does, one that surely holds
    none = [row("a", 0.5, 300), row("b", 0.1, 200)]
    assert [one.setting.mode for one in finalists(none, 30)] == ["b"]


# Measuring


def ticking(step_s: float) -> Callable[[], float]:
    """A clock that goes on by so much each time it is read."""
    times = itertools.count()
    return lambda: next(times) * step_s


def test_a_runner_times_each_frame_and_goes_back_and_forth(figures: Path) -> None:
    mode = load_mode(figures, detector=figures / "tiny-detector.onnx", threads=1)
    (one,) = networks_of(str(figures))
    images = read_frames(demo_clip(), 5)[:3]
    runner = Runner(Setting(one.mode, 1, 1, 5), one, mode, images, 5, clock=ticking(0.007))
    assert runner.fresh and runner._path == [0, 1, 2, 1]
    for _ in range(3):
        runner.block()
    found = runner.measured()
    assert (found.median_ms, found.p95_ms, found.mean_ms) == pytest.approx((7.0, 7.0, 7.0))
    assert found.frames == 2 * measure.BLOCK and found.fps == pytest.approx(1000 / 7) and not runner.fresh
    assert runner._pipeline.config.period == 1 and runner._pipeline.config.detect_every == 5
    assert Runner(Setting(one.mode, 2, 1, 5), one, mode, images, 5)._pipeline.config.period is None
    mode.close()


def test_hopeless_settings_are_left_after_a_block() -> None:
    class Fake:
        def __init__(self, ms: float) -> None:
            self.ms, self.blocks = ms, 0

        def block(self) -> None:
            self.blocks += 1

        def measured(self) -> Measured:
            return row(str(self.ms), 0.3, self.ms, mean_ms=self.ms)

    fakes = [Fake(ms) for ms in (500.0, 200.0, 90.0, 101.0, 10.0)]
    worth, hopeless = screen(fakes, 1e3 / 30)  # type: ignore[arg-type]
    assert {fake.ms for fake in worth} == {10.0, 90.0, 101.0}  # type: ignore[attr-defined]  # three stay in any case
    assert [one.median_ms for one in hopeless] == [200.0, 500.0] and all(fake.blocks == 1 for fake in fakes)


def test_all_take_turns_and_nobody_gets_more() -> None:
    order: list[str] = []

    class Fake:
        def __init__(self, name: str) -> None:
            self.name = name

        @property
        def fresh(self) -> bool:
            return self.name not in order

        def block(self) -> None:
            order.append(self.name)

        def measured(self) -> Measured:
            return row(self.name, 0.3, 5.0)

    shares: list[float] = []
    rows = measure.measure([Fake("a"), Fake("b")], seconds=1e-6, least_rounds=4, tick=shares.append)  # type: ignore[list-item]
    assert [one.setting.mode for one in rows] == ["a", "b"] and shares == [1.0, 1.0]
    assert order == ["a", "b", *["a", "b", "b", "a"] * 2]  # a first block each, then there and back


def test_frames_come_at_the_asked_rate(tmp_path: Path) -> None:
    made = tmp_path / "clip.mp4"
    clip(made)
    slow, fast = read_frames(made, 5), read_frames(made, 100)
    assert len(slow) < len({id(image) for image in fast}) < len(fast)
    assert slow[0].dtype == "uint8" and slow[0].ndim == 3
    with pytest.raises(InputError):
        read_frames(tmp_path / "none.mp4", 30)
    with pytest.raises(InputError, match="one file"):
        read_frames("camera:0", 30)


# Keeping


@pytest.fixture
def tuned() -> Tuned:
    """As this machine would find it."""
    options = Setting("t-vipnas", 2, 1, 5).options(4)
    return Tuned(30.0, True, "t-vipnas, key frame every 2", options, fingerprint(), graph_hashes("t-vipnas", "auto"), ({"p95_ms": 7.0},))


def test_what_is_kept_comes_back(kept_in: Path, tuned: Tuned) -> None:
    assert read_tuned() == Kept() and tuned_defaults() == {}
    assert write_tuned(tuned) == kept_in == tuned_path()
    found = read_tuned()
    assert found.tuned is not None and not found.problem and found.options == tuned.options == tuned_defaults()
    assert found.tuned == replace(tuned, date=found.tuned.date, vipose=found.tuned.vipose) and found.tuned.date and found.tuned.vipose
    assert "30 frames a second" in str(found.tuned)
    assert [path.name for path in kept_in.parent.iterdir()] == ["tuned.json"]
    content = json.loads(kept_in.read_text("utf-8"))
    assert set(content["graphs"]) == {"s-vipnas.onnx", "t-vipnas-1.onnx", "t-vipnas-2.onnx", "t-vipnas-3.onnx", "person-detector.onnx"}
    assert store.remove_tuned() == kept_in and store.remove_tuned() is None and read_tuned() == Kept()


def test_off_and_elsewhere(monkeypatch: pytest.MonkeyPatch, tuned: Tuned, tmp_path: Path) -> None:
    monkeypatch.setenv("VIPOSE_TUNED", "off")
    assert tuned_path() is None and read_tuned() == Kept() and store.remove_tuned() is None
    with pytest.raises(UsageError, match="off"):
        write_tuned(tuned)
    (tmp_path / "file").write_text("", "utf-8")
    monkeypatch.setenv("VIPOSE_TUNED", str(tmp_path / "file" / "tuned.json"))
    with pytest.raises(OutputError, match="cannot be written"):
        write_tuned(tuned)
    monkeypatch.delenv("VIPOSE_TUNED")
    path = tuned_path()
    assert path is not None and path.name == "tuned.json" and "vipose" in str(path.parent)


@pytest.mark.parametrize(
    ("name", "value"), [("processor", "another"), ("cores", 4096), ("onnxruntime", "onnxruntime 0.1")]
)
def test_another_machine_is_told_to_run_it_again(kept_in: Path, tuned: Tuned, name: str, value: object) -> None:
    write_tuned(replace(tuned, machine={**tuned.machine, name: value}))
    found = read_tuned()
    assert found.tuned is None and name in found.problem and "'vipose tune' again" in found.problem and "\n" not in found.problem


def test_other_graphs_are_told_to_run_it_again(kept_in: Path, tuned: Tuned) -> None:
    write_tuned(replace(tuned, graphs={**tuned.graphs, "s-vipnas.onnx": "0" * 64}))
    assert "a network has changed" in read_tuned().problem
    write_tuned(replace(tuned, options={**tuned.options, "mode": "gone"}))
    assert "a network is missing" in read_tuned().problem and tuned_defaults() == {}


def _torn(content: dict[str, Any]) -> str:
    return json.dumps(content)[:80]


@pytest.mark.parametrize(
    "spoil",
    [
        _torn,
        lambda c: "[]",
        lambda c: "",
        lambda c: json.dumps(c | {"schema": 99}),
        lambda c: json.dumps(c | {"file": "vipose settings"}),
        lambda c: json.dumps(c | {"options": {}}),
        lambda c: json.dumps(c | {"options": c["options"] | {"output": "/x"}}),
        lambda c: json.dumps(c | {"options": c["options"] | {"detect_every": 0}}),
        lambda c: json.dumps(c | {"options": c["options"] | {"threads": "2"}}),
        lambda c: json.dumps(c | {"options": c["options"] | {"threads": True}}),
        lambda c: json.dumps(c | {"options": c["options"] | {"precision": "fp8"}}),
        lambda c: json.dumps(c | {"machine": 3}),
        lambda c: json.dumps(c | {"surplus": 1}),
        lambda c: json.dumps({name: value for name, value in c.items() if name != "graphs"}),
        lambda c: "[" * 100_000,
    ],
)
def test_a_damaged_file_is_one_line_and_nothing_more(
    kept_in: Path, tuned: Tuned, spoil: Callable[[dict[str, Any]], str]
) -> None:
    write_tuned(tuned)
    kept_in.write_text(spoil(json.loads(kept_in.read_text("utf-8"))), "utf-8")
    found = read_tuned()
    assert found.tuned is None and "damaged" in found.problem and "\n" not in found.problem


def test_a_file_that_is_no_text(kept_in: Path) -> None:
    kept_in.parent.mkdir()
    kept_in.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in read_tuned().problem
    kept_in.unlink()
    kept_in.mkdir()
    assert "cannot be read" in read_tuned().problem


def test_what_belongs_together_is_given_up_together() -> None:
    tuned = {"mode": "t-vipnas", "period": 2, "threads": 1, "detect_every": 5, "precision": "auto"}
    assert under((), tuned) == tuned and under((), {}) == {}
    assert under({"output": 1}, tuned) == tuned
    assert under({"threads"}, tuned).keys() == tuned.keys() - {"threads"}
    for name in ("mode", "period", "precision"):
        assert under([name], tuned) == {"threads": 1, "detect_every": 5}


# The commands


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few frames do."""
    monkeypatch.setattr(measure, "BLOCK", 3)


@pytest.mark.usefixtures("short")
def test_the_command_measures_chooses_and_keeps(
    figures: Path, kept_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["tune", "--fps", "5", "--modes", str(figures), "--seconds", "0.1"]
    assert cli.main([*argv, "--json", "--dry-run"]) == EXIT_OK
    shown = json.loads(capsys.readouterr().out)
    assert shown["kept"] is None and not kept_in.exists() and shown["provider"] and shown["fps"] == 5
    assert {one["period"] for one in shown["measured"]} == {1, 2} and all(one["people"] >= 0.5 for one in shown["measured"])
    assert all(one["ap"] is None and one["p95_ms"] >= one["median_ms"] > 0 for one in shown["measured"])
    assert shown["chosen"] in shown["measured"]
    assert RunOptions(**shown["options"]).mode == str(figures)
    assert cli.main([*argv, "-q"]) == EXIT_OK
    out, err = capsys.readouterr()
    assert "Chosen: " in out and str(kept_in) in out and "--reset" in out and "p95 ms" in out and not err
    assert read_tuned().options["mode"] == str(figures)
    assert cli.main(["tune", "--reset"]) == EXIT_OK and not kept_in.exists()
    assert cli.main(["tune", "--reset", "--json"]) == EXIT_OK
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"removed": None}


@pytest.mark.usefixtures("short")
def test_where_nothing_holds_it_says_so(figures: Path, kept_in: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipose.runtime.tune.choose.HEADROOM", 1.0)  # no time at all
    assert cli.main(["tune", "--modes", str(figures), "--seconds", "0.1", "--fps", "5"]) == EXIT_OK
    assert "No setting holds 5 frames a second here; the fastest is chosen." in capsys.readouterr().out
    found = read_tuned()
    assert found.tuned is not None and not found.tuned.holds and "the fastest" in str(found.tuned)


@pytest.mark.usefixtures("short", "kept_in")
def test_a_clip_without_people_teaches_nothing(figures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "empty.mp4"
    clip(made)
    assert cli.main(["tune", "--modes", str(figures), "--seconds", "0.1", "--clip", str(made)]) == EXIT_NOTHING
    assert "give a clip with people" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--fps", "0"], "--fps: 0 is not allowed (1 to 240)"), (["--fps", "nan"], "--fps"), (["--seconds", "-1"], "--seconds"),
        (["--modes", ","], "--modes: nothing is named"), (["--modes", "zzz", "--dry-run"], "there is no mode 'zzz'"),
        ([], "VIPOSE_TUNED is 'off'"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tune", *argv]) == EXIT_USAGE
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def _run(folder: Path, source: Path, out: Path, *more: str) -> dict[str, Any]:
    """Run a clip with the tiny detector; the settings that the results tell of."""
    argv = ["run", str(source), "-o", str(out), "--no-video", "--detector", str(folder / "tiny-detector.onnx"), *more]
    assert cli.main(argv) == EXIT_OK
    return dict(read_native(out / f"{source.stem}.jsonl").header.settings)


def test_run_takes_what_is_tuned_and_flags_win(
    figures: Path, kept_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "clip.mp4"
    clip(source)
    options = {"mode": str(figures), "period": 1, "threads": 1, "detect_every": 7, "precision": "auto", "twice": False}
    tuned = Tuned(30.0, True, "tiny", options, fingerprint(), graph_hashes(str(figures), "auto"))
    write_tuned(tuned)
    used = _run(figures, source, tmp_path / "a")
    assert (used["mode"], used["period"], used["detect_every"]) == (str(figures), 1, 7)
    err = capsys.readouterr().err
    assert f"tuned settings are in use (mode {figures}, period 1, threads 1, detect-every 7)" in err
    used = _run(figures, source, tmp_path / "b", "--detect-every", "3", "--mode", str(figures), "--quiet")
    assert (used["mode"], used["period"], used["detect_every"]) == (str(figures), None, 3)  # a period belongs to its mode
    assert not capsys.readouterr().err
    write_tuned(replace(tuned, machine={}))
    used = _run(figures, source, tmp_path / "c", "--mode", str(figures))
    assert used["detect_every"] == RunOptions().detect_every
    assert "tuned settings are not used" in capsys.readouterr().err


def test_graph_paths_name_every_graph(figures: Path) -> None:
    spatial, temporal = graph_paths(str(figures))
    assert (spatial.name, [path.name for path in temporal]) == ("figure-0.onnx", ["figure-1.onnx"])
    assert set(graph_hashes(str(figures), "auto")) == {"figure-0.onnx", "figure-1.onnx", "person-detector.onnx"}
