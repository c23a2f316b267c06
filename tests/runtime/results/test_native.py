from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from tests.runtime.results.samples import FRAMES, SIZE, cleaned, frame, header, person, runs, write
from vipose.runtime.errors import InputError, OutputError
from vipose.runtime.results.formats import open_writer
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.native import NativeWriter, read_native
from vipose.runtime.types import FrameResult, PersonResult, SourceInfo


def _same(before: FrameResult, after: FrameResult, time_s: float) -> None:
    assert (after.index, after.size, after.counters, after.provider) == (
        before.index, before.size, before.counters, before.provider,
    )  # fmt: skip
    assert after.time_s == pytest.approx(time_s, abs=1e-6)
    assert len(after.people) == len(before.people)
    for ours, theirs in zip(before.people, after.people, strict=True):
        assert (theirs.id, theirs.kind, theirs.why, theirs.phase, theirs.swapped) == (
            ours.id, ours.kind, ours.why, ours.phase, ours.swapped,
        )  # fmt: skip
        for a, b in ((ours.keypoints, theirs.keypoints), (ours.smoothed, theirs.smoothed)):
            np.testing.assert_allclose(b[:, :2], cleaned(a)[:, :2], atol=0.0051, rtol=1e-6)
            np.testing.assert_allclose(b[:, 2], cleaned(a)[:, 2], atol=0.00051)
        assert theirs.score == pytest.approx(ours.score if math.isfinite(ours.score) else 0, abs=0.00051)
        box = ours.box if np.isfinite(ours.box).all() else np.zeros(4)
        np.testing.assert_allclose(theirs.box, box, atol=0.0051, rtol=1e-6)


@given(runs())
def test_round_trip_loses_nothing_but_digits(run: tuple[ResultHeader, list[FrameResult]]) -> None:
    head, frames = run
    with tempfile.TemporaryDirectory() as folder:
        (path,) = write("native", Path(folder) / "out", frames, head)
        text = path.read_text("utf-8")
        results = read_native(path)
        assert results.header == head
        back = list(results)
    assert not any(word in text for word in ("NaN", "Infinity"))
    assert len(back) == len(frames) and not results.truncated and results.notes == ()
    last = 0.0
    for before, after in zip(frames, back, strict=True):
        last = before.time_s if math.isfinite(before.time_s) else last
        _same(before, after, last)
        known = {name: ms for name, ms in before.timings.items() if math.isfinite(ms)}
        assert dict(after.timings) == pytest.approx(known, abs=0.00051)


def test_layout_of_the_file_is_as_documented(tmp_path: Path) -> None:
    (path,) = write("native", tmp_path / "out")
    first, *lines = path.read_bytes().splitlines()
    head = json.loads(first)
    assert list(head) == [
        "vipose", "schema", "version", "source", "skeleton", "joints", "graphs", "settings", "provider", "clock",
    ]  # fmt: skip
    assert head["source"] == {
        "name": "Vidéo 人.mp4", "kind": "video", "size": [640, 480], "fps": 29.97, "frames": None, "rotation": 90,
        "audio": True, "live": False,
    }  # fmt: skip
    assert [json.loads(line)["index"] for line in lines] == [0, 1, 2, 3, 4, 5]
    data = json.loads(lines[2])
    assert list(data) == ["index", "time_s", "size", "people", "timings", "counters", "provider"]
    assert list(data["people"][0]) == [
        "id", "box", "score", "kind", "why", "phase", "swapped", "keypoints", "smoothed",
    ]  # fmt: skip
    assert data["people"][1]["box"] == [-7.12, 23.46, 133.79, 443.0] and data["people"][1]["score"] == 0.877
    assert data["timings"] == {"detect": 1.235, "spatial": 0.5}
    for x, y, score in data["people"][0]["keypoints"] + data["people"][0]["smoothed"]:
        assert (x, y, score) == (round(x, 2), round(y, 2), round(score, 3))


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    points = np.full((17, 3), 0.5, np.float32)
    points[3, 2] = np.nan
    someone = PersonResult(1, np.array([0, np.inf, 1, 1]), math.nan, points, points)
    (path,) = write("native", tmp_path / "out", [FrameResult(0, 0.0, SIZE, (someone,), {"detect": math.inf})])
    data = json.loads(path.read_bytes().splitlines()[1])
    written = data["people"][0]
    assert written["box"] is None and written["score"] is None and written["keypoints"][3] is None
    assert data["timings"] == {"detect": None}
    (back,) = read_native(path)
    assert back.people[0].keypoints[3].tolist() == [0, 0, 0] and back.people[0].box.tolist() == [0, 0, 0, 0]


def test_without_timings_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    slow = [FrameResult(f.index, f.time_s, f.size, f.people, {"detect": 99.0}, f.counters) for f in FRAMES]
    (one,) = write("native", tmp_path / "one", timings=False)
    (other,) = write("native", tmp_path / "other", slow, timings=False)
    assert one.read_bytes() == other.read_bytes()
    assert all(not f.timings for f in read_native(one))


def test_settings_and_clock_of_any_kind_become_json() -> None:
    head = ResultHeader(SourceInfo("c", "camera", SIZE), settings={"p": Path("a/b"), "x": math.nan, "t": (1, {2})})
    assert head.to_dict()["settings"] == {"p": "a/b", "x": None, "t": [1, [2]]}
    with pytest.raises(ValueError, match="not known"):
        ResultHeader(SourceInfo("c", "camera", SIZE), skeleton="octopus")


@pytest.mark.parametrize("kept", ["nothing", "half", "all but the newline's neighbour"])
def test_torn_last_line_is_accepted_and_said(tmp_path: Path, kept: str) -> None:
    (path,) = write("native", tmp_path / "out")
    *whole, last = path.read_bytes().splitlines(keepends=True)
    size = {"nothing": 1, "half": len(last) // 2}.get(kept, len(last) - 2)
    path.write_bytes(b"".join(whole) + last[:size])
    results = read_native(path)
    assert [f.index for f in results] == [0, 1, 2, 3, 4]
    assert results.truncated and "5 whole frames" in results.message and results.notes == (results.message,)
    assert "\n" not in results.message


def test_torn_inside_a_character(tmp_path: Path) -> None:
    (path,) = write("native", tmp_path / "out", [frame(0)])
    path.write_bytes(path.read_bytes() + '{"index":1,"provider":"é'.encode()[:-1])
    results = read_native(path)
    assert len(list(results)) == 1 and results.truncated


def test_whole_last_line_without_newline_counts(tmp_path: Path) -> None:
    (path,) = write("native", tmp_path / "out")
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    results = read_native(path)
    assert len(list(results)) == 6 and not results.truncated


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d.pop("people"), "'people' is missing"),
        (lambda d: d.update(time_s="soon"), "time_s is no number"),
        (lambda d: d.update(index=1.5), "index is no whole number"),
        (lambda d: d["people"][0].update(box=[1, 2, 3]), "box is no list of 4"),
        (lambda d: d["people"][0].update(box=[1, 2, 3, 1e300]), "box is no number"),
        (lambda d: d["people"][0].update(kind="guess"), "kind 'guess' is not known"),
        (lambda d: d["people"][0].update(kind=[]), "kind"),
        (lambda d: d["people"][0]["keypoints"].pop(), "keypoints is no list of 17"),
        (lambda d: d["people"][0]["keypoints"][4].append(0), "keypoints is no list of 3"),
        (lambda d: d["people"].append(d["people"][0]), "same id"),
        (lambda d: d.update(people=7), "people is no list"),
    ],
)
def test_malformed_line_is_named(tmp_path: Path, change: object, why: str) -> None:
    (path,) = write("native", tmp_path / "out")
    lines = path.read_bytes().splitlines()
    data = json.loads(lines[2])
    change(data)  # type: ignore[operator]
    lines[2] = json.dumps(data).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")
    frames = iter(read_native(path))
    assert next(frames).index == 0
    with pytest.raises(InputError, match=f"line 3: .*{why}") as caught:
        next(frames)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("line", [b"{]", b"\xff\xfe", b"NaN", b"[" * 100_000, b"9" * 5000])
def test_line_that_is_no_json(tmp_path: Path, line: bytes) -> None:
    (path,) = write("native", tmp_path / "out")
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(InputError, match="line 8"):
        list(read_native(path))


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"[]\n", b'{"vipose":"results"}\n', b'{"vipose":"results","schema":2}\n'])
def test_header_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is it a native result file"):
        read_native(path)


def test_each_frame_is_on_disk_at_once_and_the_name_comes_last(tmp_path: Path) -> None:
    writer = open_writer("native", tmp_path / "out", header())
    for count, result in enumerate(FRAMES, 1):
        writer.write(result)
        assert len(list(read_native(tmp_path / "out.jsonl.part"))) == count
    assert not (tmp_path / "out.jsonl").exists() and writer.paths == ()
    writer.close()
    writer.close()
    assert writer.paths == (tmp_path / "out.jsonl",) and not (tmp_path / "out.jsonl.part").exists()
    with pytest.raises(OutputError, match="closed already"):
        writer.write(FRAMES[0])


def test_killed_writer_leaves_every_frame_it_was_given(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.runtime.results.samples import FRAMES, header\n"
        "from vipose.runtime.results.formats import open_writer\n"
        "w = open_writer('native', Path(sys.argv[1]), header())\n"
        "for f in FRAMES: w.write(f)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], cwd=root, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [f.index for f in read_native(tmp_path / "out.jsonl.part")] == [0, 1, 2, 3, 4, 5]


def test_contract_of_the_class(tmp_path: Path) -> None:
    writer = NativeWriter(tmp_path / "exact.name", header())
    writer.write(frame(0, [2]))
    writer.abort()
    (back,) = read_native(str(tmp_path / "exact.name"))
    assert [p.id for p in back.people] == [2]
    np.testing.assert_allclose(back.people[0].smoothed, person(2).smoothed, atol=0.006)
