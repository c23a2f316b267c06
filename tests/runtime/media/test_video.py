"""Video files and streams: every frame, its time, upright; bad files give one line."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.fixtures import clips
from tests.fixtures.shared import SHARED, needs_shared
from vipose.runtime.errors import InputError, UsageError
from vipose.runtime.media.base import Rotate, Selection
from vipose.runtime.media.video import StreamSource, VideoSource
from vipose.runtime.types import Frame


def read(path: Path, **options: object) -> tuple[VideoSource, list[Frame]]:
    source = VideoSource(path, **options)  # type: ignore[arg-type]
    return source, list(source)


def assert_whole(made: clips.Clip, **options: object) -> VideoSource:
    """Every picture of a clip arrives upright, in order, at its time."""
    source, frames = read(made.path, **options)
    assert [f.index for f in frames] == list(range(made.frames))
    assert [clips.read_index(f.image) for f in frames] == list(range(made.frames))
    assert [f.time_s for f in frames] == pytest.approx(made.times_s, abs=6e-4)  # Matroska counts milliseconds
    assert {clips.corners(f.image) for f in frames} == {clips.UPRIGHT}
    assert source.info.size == made.size
    assert source.info.audio == made.audio
    assert source.decoded == made.frames
    assert not source.info.live
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        assert not frame.image.flags.writeable
        assert frame.source == source.info.name
    return source


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_display_matrix_is_applied(tmp_path: Path, rotation: int) -> None:
    source = assert_whole(clips.clip(tmp_path / "clip.mp4", rotation=rotation, frames=3))
    assert source.info.rotation == rotation


@pytest.mark.parametrize(
    ("rotate", "expected"),
    [
        (0, ("red", "green", "blue", "white")),
        (90, ("blue", "red", "white", "green")),
        (180, ("white", "blue", "green", "red")),
        (270, ("green", "white", "red", "blue")),
    ],
)
def test_a_given_rotation_is_used_instead_of_the_matrix(
    tmp_path: Path, rotate: Rotate, expected: tuple[str, ...]
) -> None:
    stored_upright = clips.clip(tmp_path / "clip.mp4", frames=1)
    source, frames = read(stored_upright.path, rotate=rotate)
    assert clips.corners(frames[0].image) == expected
    assert source.info.size == ((96, 64) if rotate in (0, 180) else (64, 96))
    turned = clips.clip(tmp_path / "turned.mp4", frames=1, rotation=90)
    assert clips.corners(read(turned.path, rotate=90)[1][0].image) == clips.UPRIGHT
    assert clips.corners(read(turned.path, rotate=0)[1][0].image) != clips.UPRIGHT


def test_a_mirrored_display_matrix_is_applied(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mp4", frames=1, rotation=180)
    matrix = b"\xff\xff\x00\x00" + b"\0" * 12 + b"\xff\xff\x00\x00"  # -1 0 0 / 0 -1: a half turn
    data = made.path.read_bytes()
    assert data.count(matrix) == 1
    made.path.write_bytes(data.replace(matrix, b"\xff\xff\x00\x00" + b"\0" * 12 + b"\x00\x01\x00\x00"))  # -1 0 0 / 0 1
    # The file holds the half-turned picture; mirrored left to right that is the upright one upside down.
    assert clips.corners(read(made.path)[1][0].image) == ("blue", "white", "red", "green")


def test_a_variable_rate_stays_variable(tmp_path: Path) -> None:
    source = assert_whole(clips.vfr_clip(tmp_path / "vfr.mp4"))
    assert source.warnings == []


@pytest.mark.parametrize("offset", [2.5, 0.0])
def test_container_times_are_kept(tmp_path: Path, offset: float) -> None:
    assert_whole(clips.clip(tmp_path / "late.mkv", times_s=[offset + i / 10 for i in range(4)]))


@pytest.mark.parametrize("size", [(95, 63), (96, 63), (95, 64), (33, 17)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    assert_whole(clips.clip(tmp_path / "odd.mkv", size=size, codec="ffv1", options={}, frames=3))


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p", "yuv444p"])
def test_pixel_formats(tmp_path: Path, pix_fmt: str) -> None:
    assert_whole(clips.clip(tmp_path / "clip.mp4", pix_fmt=pix_fmt, frames=3))


def test_grey_pictures_become_rgb(tmp_path: Path) -> None:
    _, frames = read(clips.clip(tmp_path / "grey.mp4", pix_fmt="gray", frames=2).path)
    assert frames[0].image.shape == (64, 96, 3)
    assert np.ptp(frames[0].image.astype(int), axis=2).max() == 0
    assert clips.read_index(frames[1].image) == 1


@pytest.mark.parametrize("colour", [(6, 1), (5, 2), (1, 1), (1, 2), (9, 1)], ids=str)
def test_colour_matrix_and_range_are_respected(tmp_path: Path, colour: tuple[int, int]) -> None:
    made = clips.clip(tmp_path / "clip.mp4", frames=1, colour=colour, pix_fmt="yuv444p", options={"crf": "1"})
    (frame,) = read(made.path)[1]
    difference = np.abs(frame.image.astype(int) - clips.picture(0))
    assert difference[4:20].max() <= 3


def test_sound_is_seen(tmp_path: Path) -> None:
    assert_whole(clips.clip(tmp_path / "clip.mp4", audio="aac"))


def test_one_frame(tmp_path: Path) -> None:
    assert_whole(clips.clip(tmp_path / "one.mp4", frames=1))


def test_paths_that_are_not_ascii_or_look_like_patterns_or_protocols(tmp_path: Path) -> None:
    for name in ("ü 日本.mp4", "a [1] %03d.mp4", "x:y.mp4"):
        assert_whole(clips.clip(tmp_path / "plain.mp4", frames=2))
        renamed = tmp_path / name
        (tmp_path / "plain.mp4").rename(renamed)
        assert len(read(renamed)[1]) == 2


def test_unknown_frame_counts_are_none(tmp_path: Path) -> None:
    assert assert_whole(clips.clip(tmp_path / "clip.mkv")).info.frames is None
    assert assert_whole(clips.clip(tmp_path / "clip.mp4")).info.frames == 8


def test_stamps_that_repeat_or_go_backwards_are_repaired_and_told(tmp_path: Path) -> None:
    made = clips.strange_stamps(tmp_path / "strange.mkv")
    source, frames = read(made.path)
    times = [f.time_s for f in frames]
    assert all(b > a for a, b in pairwise(times))
    right = [i for i, t in enumerate(made.times_s) if i == 0 or t > max(made.times_s[:i])]
    assert [times[i] for i in right] == pytest.approx([made.times_s[i] for i in right], abs=1e-6)
    assert [clips.read_index(f.image) for f in frames] == list(range(made.frames))
    assert any("backwards 1 times" in w for w in source.warnings)
    assert any("repeated 1 times" in w for w in source.warnings)


def test_missing_stamps_follow_the_nominal_rate(tmp_path: Path) -> None:
    source = assert_whole(clips.raw_stream(tmp_path / "raw.h264"))
    assert any("missing 8 times" in w for w in source.warnings)


def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = clips.clip(tmp_path / "whole.mp4", frames=40, options={"g": "4"})
    source, frames = read(clips.truncated(whole, tmp_path / "cut.mp4").path)
    assert 5 < len(frames) < 40
    assert [clips.read_index(f.image) for f in frames[:5]] == list(range(5))
    assert any("of 40 frames read" in w and w.startswith("file is truncated") for w in source.warnings)


def test_a_truncated_file_without_a_count_is_told_by_its_duration(tmp_path: Path) -> None:
    whole = clips.clip(tmp_path / "whole.mkv", frames=40, fps=8, options={"g": "4"})
    source, frames = read(clips.truncated(whole, tmp_path / "cut.mkv").path)
    assert 5 < len(frames) < 40
    assert any("may be truncated" in w for w in source.warnings)


@pytest.mark.parametrize("seed", range(6))
def test_flipped_bits_never_stop_the_rest(tmp_path: Path, seed: int) -> None:
    whole = clips.clip(tmp_path / "whole.mp4", frames=40, options={"g": "4"})
    source, frames = read(clips.bit_flipped(whole, tmp_path / "flipped.mp4", seed=seed).path)
    assert len(frames) > 20
    assert clips.read_index(frames[0].image) == 0
    lost = 40 - len(frames)
    assert not lost or any("could not be decoded" in w for w in source.warnings)


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_in_the_header_end_in_frames_or_one_line(tmp_path: Path, seed: int) -> None:
    whole = clips.clip(tmp_path / "whole.mp4", frames=6)
    broken = clips.bit_flipped(whole, tmp_path / "broken.mp4", seed=seed, start=0.0)
    try:
        read(broken.path)
    except InputError as error:
        assert_one_line(error, "broken.mp4")


def assert_one_line(error: Exception, *parts: str) -> None:
    assert "\n" not in str(error)
    for part in parts:
        assert part in str(error)


def test_files_that_cannot_be_read_say_why_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video " * 100)
    cut = clips.truncated(clips.clip(tmp_path / "tail.mp4", movflags=""), tmp_path / "cut.mp4", 0.8)
    cases = {
        clips.empty_file(tmp_path / "empty.mp4"): "empty",
        clips.unknown_codec(tmp_path / "unknown.mp4"): "codec",
        clips.sound_only(tmp_path / "sound.mp4"): "no video stream",
        text: "cannot open",
        cut.path: "cannot open",
        tmp_path / "missing.mp4": "cannot read",
        tmp_path: "",
    }
    for path, part in cases.items():
        with pytest.raises(InputError) as caught:
            VideoSource(path)
        assert_one_line(caught.value, path.name, part)


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    song = clips.song_with_cover(tmp_path / "song.mp3")
    with av.open(str(song)) as container:
        assert container.streams.video
    with pytest.raises(InputError, match="no video stream"):
        VideoSource(song)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".h264"])
def test_a_window_keeps_indices_and_times_of_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    options = {"g": "10"}
    if suffix == ".h264":
        options["bf"] = "0"
    clips.clip(path, frames=40, options=options, container="h264" if suffix == ".h264" else None)
    _, everything = read(path)
    start, end = everything[23].time_s, everything[30].time_s
    source, frames = read(path, selection=Selection(start - 1e-3, end - 1e-3))
    assert [f.index for f in frames] == list(range(23, 30))
    assert [clips.read_index(f.image) for f in frames] == list(range(23, 30))
    assert [f.time_s for f in frames] == pytest.approx([f.time_s for f in everything[23:30]])
    assert source.decoded == 7
    assert not any("truncated" in w for w in source.warnings)


def test_a_start_in_a_truncated_file_counts_from_its_beginning(tmp_path: Path) -> None:
    whole = clips.clip(tmp_path / "whole.mp4", frames=40, options={"g": "4"})
    cut = clips.truncated(whole, tmp_path / "cut.mp4")
    found = [w for w in _warned(cut.path) if "truncated" in w]
    assert found == [w for w in _warned(cut.path, selection=Selection(0.3)) if "truncated" in w] != []


def _warned(path: Path, **options: object) -> list[str]:
    return read(path, **options)[0].warnings


def test_every_takes_multiples_and_counts_the_rest(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mp4", frames=11)
    source, frames = read(made.path, selection=Selection(every=4))
    assert [f.index for f in frames] == [0, 4, 8]
    assert (source.decoded, source.skipped) == (11, 8)
    windowed, frames = read(made.path, selection=Selection(0.1, every=4))
    assert [f.index for f in frames] == [4, 8]
    assert windowed.decoded - windowed.skipped == 2


def test_a_window_without_frames_says_where_the_file_ends(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mp4")
    with pytest.raises(InputError, match=r"last frame is at 0\.28 s"):
        VideoSource(made.path, selection=Selection(5.0))


@pytest.mark.parametrize(
    "values",
    [{"start_s": -1.0}, {"start_s": 2.0, "end_s": 1.0}, {"end_s": 0.0}, {"every": 0}, {"start_s": float("nan")}],
)
def test_absurd_windows_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Selection(**values)  # type: ignore[arg-type]


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mp4", pix_fmt="yuv420p10le", size=(95, 63), codec="ffv1", container="matroska",
                      options={})  # fmt: skip
    first, second = (b"".join(f.image.tobytes() for f in read(made.path)[1]) for _ in range(2))
    assert first == second


def test_a_source_is_read_once(tmp_path: Path) -> None:
    source, _ = read(clips.clip(tmp_path / "clip.mp4").path)
    with pytest.raises(RuntimeError, match="read already"):
        iter(source)


def test_frames_are_not_kept(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mp4", frames=40)
    alive: list[weakref.ref[Frame]] = []
    with VideoSource(made.path) as source:
        for frame in source:
            alive.append(weakref.ref(frame.image))  # type: ignore[arg-type]
        del frame
    gc.collect()
    assert sum(ref() is not None for ref in alive) <= 1


def test_close_from_another_thread_ends_the_iteration(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mp4", frames=40)
    source = VideoSource(made.path)
    seen: list[int] = []
    go, first = threading.Event(), threading.Event()

    def work() -> None:
        for frame in source:
            seen.append(frame.index)
            first.set()
            go.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    assert first.wait(10)
    source.close()
    source.close()
    go.set()
    thread.join(10)
    assert not thread.is_alive()
    assert seen == [0]


def test_a_reader_in_a_thread_sees_every_frame(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mp4", frames=20)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.extend(clips.read_index(f.image) for f in VideoSource(made.path)))
    thread.start()
    thread.join(30)
    assert found == list(range(20))


def test_pictures_that_change_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    path = tmp_path / "sizes.h264"
    small, large = clips.raw_stream(tmp_path / "a.h264", 3), tmp_path / "b.h264"
    clips.clip(large, frames=3, size=(192, 128), container="h264", options={"bf": "0"})
    path.write_bytes(small.path.read_bytes() + large.read_bytes())
    source, frames = read(path)
    assert [f.image.shape for f in frames] == [(64, 96, 3)] * 6
    assert clips.corners(frames[-1].image) == clips.UPRIGHT
    assert any(w.startswith("3 frames had another size") for w in source.warnings)


def test_a_silent_server_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://user:secret@127.0.0.1:{server.getsockname()[1]}/x.mp4"
        with pytest.raises(InputError) as caught:
            StreamSource(url, timeout_s=0.4)
    assert_one_line(caught.value, "did not answer within 0.4 s")
    assert "secret" not in str(caught.value)


def test_a_refused_connection_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(InputError) as caught:
        StreamSource(f"http://127.0.0.1:{port}/x.mp4", timeout_s=5)
    assert_one_line(caught.value, "cannot open")


def test_a_stream_that_falls_silent_ends_with_one_line(tmp_path: Path) -> None:
    data = clips.clip(tmp_path / "clip.ts", frames=40).path.read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + data)
                done.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            source = StreamSource(f"http://127.0.0.1:{server.getsockname()[1]}/x.ts", timeout_s=0.5)
            assert source.info.live
            assert source.info.kind == "stream"
            assert source.clock_origin is not None
            seen = []
            with pytest.raises(InputError) as caught:
                seen.extend(clips.read_index(frame.image) for frame in source)
        finally:
            done.set()
            thread.join(20)
    assert_one_line(caught.value, "sent nothing for 0.5 s")


@needs_shared
def test_real_clips_give_every_frame() -> None:
    import json

    assert SHARED is not None
    folder = SHARED / "data" / "video"
    rows = {row["name"]: row for row in json.loads((folder / "index.json").read_text())}
    for name in ("ntu_s001", "gmdcsa_s4_fall02"):
        row = rows[name]
        with VideoSource(folder / row["file"]) as source:
            times = [frame.time_s for frame in source]
        assert len(times) == source.decoded == row["frames"]
        assert source.info.size == (row["width"], row["height"])
        assert all(b > a for a, b in pairwise(times))
        assert source.warnings == []
