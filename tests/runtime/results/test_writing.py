from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.runtime.results.samples import FRAMES, frame, header, no_room_beyond, write
from vipose.runtime.errors import OutputError, UsageError
from vipose.runtime.results.formats import FORMATS, open_writer, output_path
from vipose.runtime.results.reading import read_results
from vipose.runtime.results.writing import PartFile, WriterOptions

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits and permissions")


def _left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_missing_folder_is_one_clear_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="there is no folder") as caught:
        open_writer(name, tmp_path / "nowhere" / "out", header())
    assert "\n" not in str(caught.value)


@posix
@pytest.mark.parametrize("name", FORMATS)
def test_folder_that_may_not_be_written(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:  # root may write anywhere: a name that is too long stands for "not allowed"
        base = tmp_path / ("n" * 250)
    else:
        base = tmp_path / "locked" / "out"
        base.parent.mkdir(mode=0o555)
    with pytest.raises(OutputError, match="cannot be written") as caught:
        writer = open_writer(name, base, header())
        writer.write(frame(0, [1]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_abort_and_discard(tmp_path: Path, name: str) -> None:
    writer = open_writer(name, tmp_path / "out", header())
    for result in FRAMES[:3]:
        writer.write(result)
    writer.discard()
    writer.close()
    assert _left(tmp_path) == [] and writer.paths == ()
    writer = open_writer(name, tmp_path / "out", header())
    for result in FRAMES[:3]:
        writer.write(result)
    writer.abort()
    assert writer.paths and all(path.exists() for path in writer.paths)
    assert sorted(path.name for path in writer.paths) == _left(tmp_path)
    writer.discard()
    assert all(path.exists() for path in writer.paths)


@pytest.mark.parametrize("name", FORMATS)
def test_an_error_elsewhere_still_leaves_valid_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyboardInterrupt), open_writer(name, tmp_path / "out", header()) as writer:
        writer.write(FRAMES[2])
        raise KeyboardInterrupt
    assert writer.paths and not any(".part" in left for left in _left(tmp_path))


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_frames_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    found = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(name, tmp_path / folder / "out")
        found.append({p.name: p.read_bytes() for p in (tmp_path / folder).rglob("*") if p.is_file()})
    assert found[0] == found[1] and found[0]


@posix
@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("parquet", "openpose")])
@pytest.mark.parametrize("room", [8_192, 11_003])
def test_full_disk_keeps_whole_frames(tmp_path: Path, name: str, room: int) -> None:
    writer = open_writer(name, tmp_path / "out", header())
    given = 0
    with no_room_beyond(room), pytest.raises(OutputError) as caught:
        for index in range(2000):
            writer.write(frame(index, [1, 2, 3] if index % 3 else []))
            given += 1
        writer.close()
    assert "disk is full" in str(caught.value) and "\n" not in str(caught.value)
    assert not any(left.endswith(".part") for left in _left(tmp_path))
    assert writer.paths
    for path in writer.paths:
        data = path.read_bytes()
        assert len(data) <= room
        _assert_whole(name, path, data)
    if name in ("native", "coco", "posetrack"):
        frames = list(read_results(writer.paths[0]))
        assert 1 <= len(frames) <= given + 1
        assert [f.index for f in frames] == list(range(len(frames)))


def _assert_whole(name: str, path: Path, data: bytes) -> None:
    lines = data.decode().split("\n")
    assert lines[-1] == ""
    if path.suffix == ".json":
        json.loads(data)
    elif name == "trc":
        rows = lines[6:-1]
        assert int(lines[2].split("\t")[2]) == len(rows) > 0
        assert {row.count("\t") for row in rows} == {2 + 3 * 17}
    elif name == "angles-mot":
        rows = lines[7:-1]
        assert f"nRows={len(rows)}" in lines and {row.count("\t") for row in rows} == {11}
    elif name != "native":
        assert len({line.count(",") for line in lines[:-1]}) == 1


@posix
def test_full_disk_openpose_keeps_whole_files(tmp_path: Path) -> None:
    writer = open_writer("openpose", tmp_path / "out", header())
    writer.write(frame(0, [1]))
    with no_room_beyond(1000), pytest.raises(OutputError, match="disk is full"):
        writer.write(frame(1, [1, 2, 3, 4]))
    assert _left(tmp_path / "out_openpose") == ["out_000000000000_keypoints.json"]
    assert len(list(read_results(tmp_path / "out_openpose"))) == 1


@posix
def test_full_disk_parquet_leaves_no_half_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    writer = open_writer("parquet", tmp_path / "out", header())
    with no_room_beyond(2000), pytest.raises(OutputError, match="disk is full"):
        for index in range(200):
            writer.write(frame(index, [1, 2]))
        writer.close()
    assert writer.paths == () and _left(tmp_path) == []


def test_part_file_keeps_its_head_and_gives_way_to_its_tail(tmp_path: Path) -> None:
    file = PartFile(tmp_path / "x", b"HEAD\n")
    file.append(b"one\n", b"two\n")
    file.release()
    file.append(b"three\n")
    assert file.finish(lambda n: (b"end %d\n" % n,), lambda n: b"has%d\n" % n) == 3
    assert (tmp_path / "x").read_bytes() == b"has3\none\ntwo\nthree\nend 3\n" and file.done
    if sys.platform != "win32":
        file = PartFile(tmp_path / "y", b"H")
        for _ in range(10):
            file.append(b"0123456789")
        with no_room_beyond(101), pytest.raises(OutputError, match="holds 9 of 10 frames"):
            file.finish(lambda n: (b"tail%d" % n,))
        assert (tmp_path / "y").read_bytes() == b"H" + b"0123456789" * 9 + b"tail9"


@pytest.mark.parametrize("name", [n for n in FORMATS if n != "openpose"])
def test_name_that_is_a_folder(tmp_path: Path, name: str) -> None:
    for path in (output_path(name, tmp_path / "out"), tmp_path / f"out_1{FORMATS[name].suffix}"):
        path.mkdir()
    with pytest.raises(OutputError), open_writer(name, tmp_path / "out", header()) as writer:
        writer.write(frame(0, [1]))


def test_openpose_name_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out_openpose").write_text("mine")
    with pytest.raises(OutputError, match="need a folder"):
        open_writer("openpose", tmp_path / "out", header())


def test_options_are_checked() -> None:
    for wrong in ({"metres_per_pixel": 0.0}, {"metres_per_pixel": float("nan")}, {"min_score": -0.1}, {"min_score": 2}):
        with pytest.raises(UsageError):
            WriterOptions(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=re.escape("native, coco")):
        open_writer("xml", "out", header())


def test_a_dot_in_the_name_is_no_suffix(tmp_path: Path) -> None:
    assert [p.name for p in write("csv", tmp_path / "take 1.5 ü")] == ["take 1.5 ü.csv"]
    assert [p.name for p in write("trc", tmp_path / "take 1.5 ü")] == ["take 1.5 ü_1.trc", "take 1.5 ü_3.trc"]


def test_missing_pyarrow_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=re.escape("pip install 'vipose[parquet]'")):
        open_writer("parquet", tmp_path / "out", header())
    assert _left(tmp_path) == []
