"""Identity of a run: another content, graph or option gives another one; another name or queue size does not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from vipose.runtime.errors import InputError
from vipose.runtime.identity import content_sha256, run_identity
from vipose.runtime.options import RunOptions


def test_content_not_name(tmp_path: Path) -> None:
    a, b, c = tmp_path / "a.mp4", tmp_path / "ü b.mp4", tmp_path / "c.mp4"
    a.write_bytes(b"x" * 3_000_000)
    b.write_bytes(b"x" * 3_000_000)
    c.write_bytes(b"x" * 2_999_999 + b"y")
    assert content_sha256([a]) == content_sha256([b]) != content_sha256([c])


def test_borders_between_files_count(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "abcd"]
    for file, data in zip(files, (b"12", b"3", b"1", b"23"), strict=True):
        file.write_bytes(data)
    assert content_sha256(files[:2]) != content_sha256(files[2:])


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        content_sha256([tmp_path / "none"])


def test_reading_a_large_file_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    stop = threading.Event()
    assert content_sha256([tmp_path / "a"], stop) != ""
    stop.set()
    assert content_sha256([tmp_path / "a"], stop) == ""


def test_identity_follows_what_matters() -> None:
    graphs, options = {"s": "1"}, RunOptions().shaping()
    base = run_identity("c", graphs, options)
    assert base == run_identity("c", dict(graphs), RunOptions(threads=4, queue_frames=1).shaping())
    others = [
        run_identity("d", graphs, options),
        run_identity("c", {"s": "2"}, options),
        run_identity("c", graphs, RunOptions(period=1).shaping()),
    ]
    assert len({base, *others}) == 4
