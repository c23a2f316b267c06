"""``vipose run`` from the command line to the files: tiny graphs, tiny clips, the real everything else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.fixtures.figure import write_figures
from vipose.runtime import cli
from vipose.runtime.drivers.common import Ran, Tally
from vipose.runtime.errors import OutputError
from vipose.runtime.job import count_errors
from vipose.runtime.media.video import VideoSource
from vipose.runtime.media.writer import VideoWriter
from vipose.runtime.pipeline import Pipeline
from vipose.runtime.recording import FrameRecorder
from vipose.runtime.results.native import NativeWriter, read_native
from vipose.runtime.types import Frame

pytestmark = pytest.mark.timeout(240)
SIZE, STEP_S = (160, 96), 0.04


@pytest.fixture(scope="module")
def mode(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments that choose tiny networks."""
    folder = write_figures(tmp_path_factory.mktemp("graphs") / "mode")
    return ["--mode", str(folder), "--detector", str(folder / "tiny-detector.onnx"), "--threads", "1"]


def picture(index: int, *, somebody: bool = True) -> np.ndarray:
    """A bright, striped block that moves to the right on grey: one person to the tiny detector."""
    image = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
    if somebody:
        x = 24 + index % 50
        image[36:68, x : x + 28] = 250
        image[36:68:4, x : x + 28] = 180
    return image


def make_clip(path: Path, frames: int = 20, *, empty_until: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *SIZE, "yuv420p", 2_000_000
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, somebody=index >= empty_until), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in" / "clip.mp4")


def run(*argv: object) -> int:
    return cli.main(["run", *map(str, argv)])


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def decoded(path: Path) -> list[float]:
    """Times of the frames of a video."""
    with av.open(str(path)) as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]


def lines(path: Path) -> list[dict[str, Any]]:
    """A native file without its timings, the only part that depends on the clock on the wall."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for row in rows:
        row.pop("timings", None)
    return rows


def test_every_frame_is_in_every_output(mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = make_clip(tmp_path / "clip ü.mp4", 30, empty_until=10)
    out = tmp_path / "out" / "x.mp4"
    assert run(clip, "-o", out, "--save", "native,csv,openpose", "--json", *mode) == 0
    [source] = report(capsys)["sources"]
    assert source["status"] == "done" and source["decoded"] == source["written"] == source["processed"] == 30
    assert source["key"] > 0 and source["propagated"] > 0 and source["dropped"] == 0 and source["people"] >= 1
    assert len(decoded(out)) == 30
    frames = list(read_native(out.with_suffix(".jsonl")))
    assert [f.index for f in frames] == list(range(30))
    assert [f.time_s for f in frames] == pytest.approx([STEP_S * i for i in range(30)], abs=1e-4)
    assert not frames[0].people and frames[29].people
    assert len({row.split(",")[0] for row in out.with_suffix(".csv").read_text().splitlines()[1:]}) == 30
    assert len(list((tmp_path / "out" / "x_openpose").glob("*.json"))) == 30
    assert sorted(source["outputs"]) == sorted(str(tmp_path / "out" / n) for n in ("x.mp4", "x.jsonl", "x.csv", "x_openpose"))
    assert not list((tmp_path / "out").glob("*.part"))
    assert read_native(out.with_suffix(".jsonl")).header.settings["identity"] == source["identity"] != ""


def test_results_are_the_same_whatever_the_queues(mode: list[str], clip: Path, tmp_path: Path) -> None:
    for name, argv in {"a": [], "b": ["--queue-frames", 1], "c": ["--queue-frames", 64, "--queue-mb", 1, "--threads", 2]}.items():
        assert run(clip, "-o", tmp_path / f"{name}.mp4", "--save", "native,csv", "-q", *mode, *argv) == 0
    base = lines(tmp_path / "a.jsonl")
    assert len(base) == 21 and base == lines(tmp_path / "b.jsonl") == lines(tmp_path / "c.jsonl")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()


def test_smoothing_of_files_live_and_off(mode: list[str], clip: Path, tmp_path: Path) -> None:
    smoothed = {}
    for kind in ("off", "live", "file", "auto"):
        assert run(clip, "-o", tmp_path / f"{kind}.mp4", "--no-video", "--smoothing", kind, "-q", *mode) == 0
        people = [p for f in read_native(tmp_path / f"{kind}.jsonl") for p in f.people]
        smoothed[kind] = np.stack([p.smoothed for p in people])
        if kind == "off":
            assert np.array_equal(smoothed[kind], np.stack([p.keypoints for p in people]))
    assert np.array_equal(smoothed["file"], smoothed["auto"])
    assert not np.array_equal(smoothed["off"], smoothed["live"]) and not np.array_equal(smoothed["live"], smoothed["file"])


def test_window_of_time_and_steps(mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = make_clip(tmp_path / "in.mp4", 40)
    argv = ("--start", 0.4, "--end", 1.2, "--every", 2, "--json")
    assert run(clip, "-o", tmp_path / "x.mp4", *argv, *mode) == 0
    [source] = report(capsys)["sources"]
    assert source["status"] == "done" and source["written"] == 10
    assert [f.index for f in read_native(tmp_path / "x.jsonl")] == list(range(10, 30, 2))
    assert len(decoded(tmp_path / "x.mp4")) == 10


def test_mirror_blur_and_black_change_the_picture_only(mode: list[str], clip: Path, tmp_path: Path) -> None:
    looks = {"plain": [], "mirror": ["--mirror"], "black": ["--black-background"], "blur": ["--head-blur"]}
    for name, argv in looks.items():
        assert run(clip, "-o", tmp_path / f"{name}.mp4", "-q", *mode, *argv) == 0
    frames = {}
    for name in looks:
        with av.open(str(tmp_path / f"{name}.mp4")) as container:
            frames[name] = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
        assert lines(tmp_path / f"{name}.jsonl")[1:] == lines(tmp_path / "plain.jsonl")[1:]
    low = slice(75, 96)  # below the status strip and the person
    assert frames["plain"][low].mean() > 30 and frames["black"][low].mean() < 10
    assert frames["plain"][30:70, :60].mean() > frames["plain"][30:70, 100:].mean() + 20
    assert frames["mirror"][30:70, :60].mean() < frames["mirror"][30:70, 100:].mean() - 20
    assert np.abs(frames["blur"] - frames["plain"])[30:].max() > 20


def test_one_bad_file_among_many(mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_clip(tmp_path / "in" / "a.mp4", 5)
    (tmp_path / "in" / "b.mp4").write_bytes(b"no video" * 100)
    (tmp_path / "in" / "c.mp4").touch()
    make_clip(tmp_path / "in" / "d.mp4", 5)
    assert run(tmp_path / "in", tmp_path / "gone.mp4", "-o", tmp_path / "out", *mode) == 1
    shown = capsys.readouterr()
    assert "gone.mp4 does not exist" in shown.out and "Traceback" not in shown.err + shown.out
    assert {p.name for p in (tmp_path / "out").glob("*.mp4")} == {"a.mp4", "d.mp4"}
    assert run(tmp_path / "gone.mp4", "-o", tmp_path / "out", "-q", *mode) == 3
    assert "gone.mp4" in capsys.readouterr().err


def test_same_names_do_not_overwrite_each_other(mode: list[str], tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / folder / "x.mp4", frames) for folder, frames in (("a", 4), ("b", 6))]
    assert run(*clips, "-o", tmp_path / "out", "-q", *mode) == 0
    videos = sorted((tmp_path / "out").glob("*.mp4"))
    assert sorted(len(decoded(video)) for video in videos) == [4, 6]


@pytest.mark.parametrize("policy", ["--resume", "--skip-existing", "--no-timings"])
def test_later_runs_do_not_touch_results_of_another_source(mode: list[str], tmp_path: Path, policy: str) -> None:
    first, second = (make_clip(tmp_path / folder / "x.mp4", frames) for folder, frames in (("a", 4), ("b", 6)))
    out = tmp_path / "out"
    for clip in (first, second, first, second):
        assert run(clip, "-o", out, "-q", policy, *mode) == 0
    assert sorted(path.name for path in out.glob("*.jsonl")) == ["x.jsonl", "x_mp4.jsonl"]
    assert (len(lines(out / "x.jsonl")), len(lines(out / "x_mp4.jsonl"))) == (5, 7)  # header and frames


def test_own_videos_in_a_folder_are_no_sources(mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = make_clip(tmp_path / "x.mp4", 4)
    words = (tmp_path, "-o", tmp_path, "--json", *mode)
    assert run(*words) == 0 and len(report(capsys)["sources"]) == 1
    assert run(*words) == 0
    assert {s["source"]: s["status"] for s in report(capsys)["sources"]} == {
        str(clip): "done", str(tmp_path / "x_vipose.mp4"): "skipped",
    }  # fmt: skip
    assert run(tmp_path / "x_vipose.mp4", "-o", tmp_path / "again", "-q", *mode) == 0, "who names it means it"


def test_pictures_beside_videos_are_left_out_with_a_word(
    mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "mixed", tmp_path / "out"
    for place in (folder, folder / "deeper"):
        make_clip(place / "x.mp4", 4)
        for name in ("a.jpg", "b.PNG", ".hidden.jpg"):
            assert cv2.imwrite(str(place / name), np.zeros((40, 60, 3), np.uint8))
    words = ("-o", out, "--json", "--no-video", *mode)
    assert run(folder, *words) == 0
    assert [(s["source"], s["status"]) for s in report(capsys)["sources"]] == [
        (str(folder / "x.mp4"), "done"), (f"2 pictures in {folder}", "skipped"),
    ]  # fmt: skip
    assert run(folder, "--recursive", *words) == 0
    assert sum(s["status"] == "skipped" for s in report(capsys)["sources"]) == 2
    assert run(folder, folder / "*.jpg", *words) == 0
    assert f"1 picture in {folder}" in [s["source"] for s in report(capsys)["sources"]], "the other one is named"
    for named in ((folder / "x.mp4",), (folder / "*.mp4",), (folder / "*.jpg",)):
        assert run(*named, *words) == 0
        assert {s["status"] for s in report(capsys)["sources"]} == {"done"}, "who names files or a pattern means those"


def test_files_of_people_who_are_gone_are_gone(mode: list[str], clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = (clip, "-o", out, "-q", "--no-video", *mode)
    assert run(*words, "--save", "trc,csv") == 0
    record = json.loads((out / "clip.run.json").read_text("utf-8"))
    stale = [out / "clip_7.trc", out / "clip_7.angles.mot", out / "clip_8.trc", out / "clip_note.trc"]
    for path in stale:
        path.write_text("x", "utf-8")
    record["outputs"] += [str(path) for path in stale if path.name != "clip_8.trc"]  # that one is the user's own
    (out / "clip.run.json").write_text(json.dumps(record), "utf-8")
    assert run(*words, "--save", "trc") == 0
    assert [path.exists() for path in stale] == [False, True, True, True], "only of the format that was written, and of ours"
    assert (out / "clip.csv").exists() and list(out.glob("clip_?.trc"))


def test_resume_and_skip(mode: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def status(*argv: object) -> str:
        assert run(clip, "-o", tmp_path / "out", "--json", *argv, *mode) == 0
        return report(capsys)["sources"][0]["status"]  # type: ignore[no-any-return]

    record = tmp_path / "out" / "clip.run.json"
    assert status("--resume") == "done"
    assert status("--resume") == "skipped"
    assert status("--resume", "--queue-frames", 3) == "skipped"
    assert status("--resume", "--period", 1) == "done"  # another option
    assert status("--resume") == "done"
    make_clip(clip, 12)  # another content under the same name
    assert status("--resume") == "done"
    record.write_text(record.read_text().replace('"done"', '"interrupted"'))
    assert status("--resume") == "done"
    (tmp_path / "out" / "clip.mp4").unlink()
    assert status("--resume") == "done"
    record.write_text("{torn")
    assert status("--resume") == "done"
    assert status("--skip-existing") == "skipped"
    assert status() == "done"
    assert run(clip, "-o", tmp_path / "out", "--existing", "fail", "-q", *mode) == 3
    assert "exists already" in capsys.readouterr().err


def test_folder_of_pictures(mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    for index in range(4):
        cv2.imwrite(str(shots / f"img{index}.png"), picture(index))
    (shots / "img9.png").write_bytes(b"broken")
    assert run(shots, "-o", tmp_path / "out", "--json", *mode) == 0
    [source] = report(capsys)["sources"]
    assert source["written"] == 4 and "could not be read" in source["notes"][0]
    assert sorted(p.name for p in (tmp_path / "out" / "shots").iterdir()) == [f"img{i}.jpg" for i in range(4)]
    assert len(list(read_native(tmp_path / "out" / "shots.jsonl"))) == 4
    assert run(shots, "-o", tmp_path / "film.mp4", "-q", *mode) == 0
    assert len(decoded(tmp_path / "film.mp4")) == 4
    assert run(shots / "img2.png", "-o", tmp_path / "one", "-q", *mode) == 0
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == ["img2.jpg", "img2.jsonl", "img2.run.json"]


def test_only_what_is_asked_for_is_written(mode: list[str], clip: Path, tmp_path: Path) -> None:
    assert run(clip, "-o", tmp_path / "out", "--no-video", "--save", "csv", "-q", *mode) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["clip.csv", "clip.run.json"]


def sabotage(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, at: int, error: Exception) -> None:
    """Let a method raise at its nth call."""
    real, calls = getattr(owner, method), [0]

    def broken(self: object, *args: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            raise error
        return real(self, *args, **more)

    monkeypatch.setattr(owner, method, broken)


@pytest.mark.parametrize(
    ("owner", "method", "error", "said"),
    [
        (VideoSource, "_step", RuntimeError("boom"), "reading the source failed (RuntimeError: boom)"),
        (Pipeline, "process", RuntimeError("boom"), "the pipeline failed (RuntimeError: boom)"),
        (VideoWriter, "write", OutputError("x.mp4 cannot be written: the disk is full"), "the disk is full"),
        (NativeWriter, "_write", OutputError("x.jsonl cannot be written: the disk is full"), "the disk is full"),
        (VideoWriter, "write", RuntimeError("boom"), "writing the outputs failed (RuntimeError: boom)"),
    ],
)
def test_sabotage_in_any_thread_ends_with_one_line_and_keeps_files(
    owner: type, method: str, error: Exception, said: str,
    mode: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    sabotage(monkeypatch, owner, method, 12, error)
    before = threading.active_count()
    other = make_clip(tmp_path / "in" / "other.mp4", 5)
    assert run(clip, other, "-o", tmp_path / "out", "--json", "--queue-frames", 2, *mode) == 1
    bad, good = report(capsys)["sources"]
    assert bad["status"] == "partial" and said in bad["message"] and "\n" not in bad["message"]
    assert good["status"] == "done" and good["written"] == 5
    kept = list(read_native(tmp_path / "out" / "clip.jsonl"))
    assert [f.index for f in kept] == list(range(len(kept))) and 10 <= len(kept) <= 12
    assert 10 <= len(decoded(tmp_path / "out" / "clip.mp4")) <= 12
    assert threading.active_count() <= before + 1


def test_report_that_cannot_be_written_hides_nothing(
    mode: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "clip.run.json.part").mkdir(parents=True)
    assert run(clip, "-o", tmp_path / "out", "--json", *mode) == 1
    [source] = report(capsys)["sources"]
    assert source["status"] == "partial" and source["written"] == 20 and "clip.run.json" in source["message"]


def test_lost_frames_are_noticed(
    mode: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FrameRecorder.write

    def forgetful(self: FrameRecorder, picture: Any, result: Any) -> None:
        if result.index != 7:
            real(self, picture, result)

    monkeypatch.setattr(FrameRecorder, "write", forgetful)
    assert run(clip, "-o", tmp_path / "out", "-q", *mode) == 1
    assert "counts differ (processed 20, native 19; processed 20, video 19)" in capsys.readouterr().err


def test_counts_are_compared_with_the_source() -> None:
    source = type("S", (), {"decoded": 9, "skipped": 1})()
    ran = Ran(Tally(delivered=7, processed=7, written=7), 1.0)
    assert count_errors(ran, source=source, recorder=FrameRecorder({}), live=False) == [
        "handed out by the source 8, received 7"
    ]


def test_ctrl_c_leaves_valid_files(
    mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [make_clip(tmp_path / f"{name}.mp4", 200) for name in "ab"]
    real = Pipeline.process

    def interrupting(self: Pipeline, frame: Frame) -> Any:
        if frame.index == 9:
            signal.raise_signal(signal.SIGINT)
        return real(self, frame)

    monkeypatch.setattr(Pipeline, "process", interrupting)
    handler = signal.getsignal(signal.SIGINT)
    assert run(*clips, "-o", tmp_path / "out", "--json", *mode) == 130
    first, second = report(capsys)["sources"]
    assert first["status"] == "interrupted" and second["message"] == "not begun"
    assert len(decoded(tmp_path / "out" / "a.mp4")) == first["written"] == 10
    assert len(list(read_native(tmp_path / "out" / "a.jsonl"))) == 10
    assert not list((tmp_path / "out").glob("*.part")) and signal.getsignal(signal.SIGINT) is handler
    monkeypatch.setattr(Pipeline, "process", real)
    assert run(clips[0], "-o", tmp_path / "out", "--resume", "-q", *mode) == 0
    assert len(decoded(tmp_path / "out" / "a.mp4")) == 200


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere, Windows has other permissions")
def test_read_only_folder(mode: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    assert run(clip, "-o", tmp_path / "out", "-q", *mode) == 3
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["--mode", "none-such"], 2, "none-such"),
        (["--mode", "gone.onnx"], 2, "gone.onnx"),
        (["--period", "5"], 2, "period 5 is not possible"),
        (["-o", "x.csv"], 2, "is no video file"),
        (["--roi", "500,500,600,600"], 3, "outside of the 160x96 frame"),
        (["--start", "100"], 3, "no frame in"),
    ],
)
def test_mistakes_are_one_line(
    argv: list[str], code: int, said: str, mode: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIPOSE_DEBUG", raising=False)
    assert run(clip, "-q", *mode, *argv) == code
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1


def test_graph_without_metadata_is_refused(
    mode: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.fixtures.graphs import pose_graph

    monkeypatch.delenv("VIPOSE_DEBUG", raising=False)
    graph = pose_graph(tmp_path / "plain.onnx", embed=False)
    assert run(clip, "-q", *mode, "--mode", graph) == 3
    assert "vipose models import" in capsys.readouterr().err


def test_show_without_a_display_goes_on(
    mode: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform != "linux":
        pytest.skip("only X11 can be taken away by the environment")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert run(clip, "-o", tmp_path / "x.mp4", "--show", *mode) == 0
    assert "--show" in capsys.readouterr().err and (tmp_path / "x.mp4").exists()


def test_as_a_process(mode: list[str], clip: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vipose.runtime", "run", str(clip), "-o", str(tmp_path / "x.mp4"), *mode],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "decoded 20, key" in done.stderr and "written 20" in done.stderr and "x.mp4" in done.stdout


def test_passwords_are_not_shown(mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = "http://me:secret@127.0.0.1:9/live"  # the port of "discard": nobody answers
    assert run(address, "-o", tmp_path / "out", "--timeout", 1, "--json", *mode) == 3
    shown = capsys.readouterr()
    assert "127.0.0.1" in shown.out and "secret" not in shown.out + shown.err
    assert not any("secret" in path.name for path in tmp_path.rglob("*"))
