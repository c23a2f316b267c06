"""Any picture by its index, in any order, is bit for bit the one that reading from the start delivers."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.fixtures import clips
from vipose.runtime.errors import InputError
from vipose.runtime.media.base import Rotate
from vipose.runtime.media.images import ImagesSource
from vipose.runtime.media.seek import FrameReader, Interrupted
from vipose.runtime.media.video import VideoSource
from vipose.runtime.types import Frame

DEMO = Path(__file__).parents[3] / "assets" / "demo.mp4"
OPEN_GOP = {"g": "7", "bf": "3", "x264-params": "open-gop=1:scenecut=0:b-pyramid=normal:b-adapt=0"}


def from_start(path: Path, rotate: Rotate = "auto") -> list[Frame]:
    with VideoSource(path, rotate=rotate) as source:
        return list(source)


def assert_same(path: Path, rotate: Rotate = "auto", *, cache_bytes: int = 128 << 20, seed: int = 1) -> FrameReader:
    """Compare in random order, then a walk back to front."""
    expected = from_start(path, rotate)
    reader = FrameReader(path, rotate, cache_bytes=cache_bytes)
    order = random.Random(seed).choices(range(len(expected)), k=2 * len(expected))
    for index in (*order, *reversed(range(len(expected)))):
        frame = reader.frame(index)
        assert (frame.index, frame.time_s) == (index, expected[index].time_s)
        assert np.array_equal(frame.image, expected[index].image), f"picture {index} differs"
        assert not frame.image.flags.writeable
    assert len(reader) == len(expected)
    assert reader.times_s.tolist() == [frame.time_s for frame in expected]
    return reader


def gops(path: Path, **more: object) -> clips.Clip:
    return clips.clip(path, frames=40, options={"g": "7", "bf": "3"}, **more)  # type: ignore[arg-type]


MAKERS: dict[str, Callable[[Path], clips.Clip]] = {
    "b frames": lambda folder: gops(folder / "a.mp4"),
    "open groups": lambda folder: clips.clip(folder / "a.mp4", frames=40, options=OPEN_GOP),
    "intra refresh": lambda folder: clips.clip(
        folder / "a.mp4", frames=40, options={"g": "10", "x264-params": "intra-refresh=1:scenecut=0"}
    ),
    "one group": lambda folder: clips.clip(folder / "a.mp4", frames=40),
    "variable rate": lambda folder: clips.vfr_clip(folder / "a.mp4", options={"g": "3", "bf": "2"}),
    "matroska": lambda folder: gops(folder / "a.mkv"),
    "transport stream": lambda folder: gops(folder / "a.ts"),
    "fragmented": lambda folder: gops(folder / "a.mp4", movflags="frag_keyframe+empty_moov"),
    "with sound": lambda folder: gops(folder / "a.mp4", audio="aac"),
    "avi without stamps": lambda folder: clips.clip(folder / "a.avi", frames=30, options={"g": "6", "bf": "2"}),
    "motion jpeg": lambda folder: clips.clip(folder / "a.mkv", frames=12, codec="mjpeg", pix_fmt="yuvj420p", colour=(5, 2)),
    "h265": lambda folder: clips.clip(folder / "a.mp4", frames=30, codec="libx265", options={"x265-params": "keyint=8:bframes=3:log-level=none"}),
    "vp8": lambda folder: clips.clip(folder / "a.webm", frames=40, codec="libvpx", options={"g": "9", "auto-alt-ref": "1", "lag-in-frames": "8"}),
    "repeated stamps": lambda folder: clips.strange_stamps(folder / "a.mkv"),
    "backward stamps": lambda folder: clips.strange_stamps(folder / "a.mkv", (0, 40, 80, 60, 100, 120)),
    "no container": lambda folder: clips.raw_stream(folder / "a.h264", frames=20),
    "cut off": lambda folder: clips.truncated(gops(folder / "b.ts"), folder / "a.ts"),
}  # fmt: skip


SOUND = ("b frames", "open groups", "variable rate", "matroska", "fragmented", "with sound", "motion jpeg", "h265")


def keys_used(reader: FrameReader) -> bool:
    """Whether pictures are still reached from key frames by the list of packets: nothing had to be decoded end to end."""
    video = reader._pictures
    return not video._by_pictures and len(video._table.keys) > 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", MAKERS)
def test_any_order_gives_what_reading_from_the_start_gives(kind: str, tmp_path: Path) -> None:
    try:
        made = MAKERS[kind](tmp_path)
    except (ValueError, av.FFmpegError):
        pytest.skip("this FFmpeg cannot write it")
    with assert_same(made.path) as reader:
        assert keys_used(reader) or kind not in SOUND


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_clips_are_upright_wherever_decoding_starts(rotation: int, tmp_path: Path) -> None:
    made = gops(tmp_path / "a.mp4", rotation=rotation)
    with assert_same(made.path) as reader:
        assert clips.corners(reader.frame(30).image) == clips.UPRIGHT
        assert clips.read_index(reader.frame(30).image) == 30
        assert reader.info.rotation == rotation
    assert_same(made.path, 90).close()


@pytest.mark.parametrize("seed", range(6))
def test_damaged_files_are_counted_from_the_start(seed: int, tmp_path: Path) -> None:
    damaged = clips.bit_flipped(gops(tmp_path / "whole.ts"), tmp_path / "a.ts", seed=seed, flips=12)
    assert_same(damaged.path, seed=seed).close()


def test_an_edit_list_hides_the_first_pictures(tmp_path: Path) -> None:
    whole = gops(tmp_path / "whole.mp4")
    cut = tmp_path / "cut.mp4"
    with av.open(str(whole.path)) as source, av.open(str(cut), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                packet.pts -= round(Fraction(4, 25) / packet.time_base)
                packet.dts -= round(Fraction(4, 25) / packet.time_base)
                out.mux(packet)
    with assert_same(cut) as reader:
        assert keys_used(reader)


def test_a_small_cache_changes_nothing(tmp_path: Path) -> None:
    assert_same(gops(tmp_path / "a.mp4").path, cache_bytes=1).close()


def test_a_step_back_is_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FrameReader(clips.clip(tmp_path / "a.mp4", frames=40).path) as reader:
        reader.frame(39)
        monkeypatch.setattr("vipose.runtime.media.decode.Decoder.frames", lambda self: pytest.fail("it was decoded again"))
        assert [clips.read_index(reader.frame(i).image) for i in range(39, 20, -1)] == list(range(39, 20, -1))


def test_the_container_is_not_decoded_to_be_listed(tmp_path: Path) -> None:
    """Opening takes as many pictures as are checked, not all of them."""
    made = clips.clip(tmp_path / "a.mp4", frames=60, options={"g": "60"})
    with FrameReader(made.path) as reader:
        assert len(reader) == 60
        assert reader._pictures._next < 20  # type: ignore[attr-defined]


def test_a_thorough_list_is_made_by_decoding(tmp_path: Path) -> None:
    """Damage behind the first pictures: the container promises more than can be decoded."""
    whole = gops(tmp_path / "whole.ts")
    data = bytearray(whole.path.read_bytes())
    data[len(data) // 2 : len(data) * 3 // 4] = bytes(len(data) * 3 // 4 - len(data) // 2)
    whole.path.write_bytes(data)
    expected = from_start(whole.path)
    with FrameReader(whole.path, thorough=True) as reader:
        assert reader.times_s.tolist() == [frame.time_s for frame in expected]
        assert np.array_equal(reader.frame(len(expected) - 1).image, expected[-1].image)


def test_times_lead_to_pictures(tmp_path: Path) -> None:
    made = clips.vfr_clip(tmp_path / "a.mp4")
    with FrameReader(made.path) as reader:
        for index, time_s in enumerate(made.times_s):
            assert reader.index_at(time_s + 1e-4) == index
        assert reader.index_at(-5) == 0
        assert reader.index_at(1e9) == len(reader) - 1


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    made = clips.still_folder(tmp_path / "stills", count=12)
    (made.path / "img5.png").write_bytes(b"no picture")
    expected = list(ImagesSource(made.path))
    with FrameReader(made.path) as reader:
        assert len(reader) == 12
        for frame in reversed(expected):
            again = reader.frame(frame.index)
            assert again.time_s == frame.time_s
            assert np.array_equal(again.image, frame.image)
        with pytest.raises(InputError, match="img5"):
            reader.frame(4)


def test_one_picture(tmp_path: Path) -> None:
    made = clips.still_folder(tmp_path / "stills", count=1)
    with FrameReader(made.path / "img1.png") as reader:
        assert len(reader) == 1
        assert clips.read_index(reader.frame(0).image) == 0


@pytest.mark.parametrize("index", [-1, 8])
def test_a_frame_outside_is_refused(index: int, tmp_path: Path) -> None:
    with FrameReader(clips.clip(tmp_path / "a.mp4").path) as reader, pytest.raises(InputError, match="holds 8"):
        reader.frame(index)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        FrameReader(clips.empty_file(tmp_path / "a.mp4"))
    with pytest.raises(InputError):
        FrameReader(tmp_path / "missing.mp4")


def test_a_closed_reader_says_so(tmp_path: Path) -> None:
    reader = FrameReader(clips.clip(tmp_path / "a.mp4").path)
    reader.close()
    reader.close()
    with pytest.raises(RuntimeError, match="closed"):
        reader.frame(7)


def test_long_searches_can_be_ended(tmp_path: Path) -> None:
    stop = threading.Event()
    path = gops(tmp_path / "a.mp4").path
    with FrameReader(path, cancelled=stop.is_set, cache_bytes=1) as reader:
        stop.set()
        with pytest.raises(Interrupted):
            reader.frame(39)
        stop.clear()
        assert clips.read_index(reader.frame(39).image) == 39
    stop.set()
    with pytest.raises(Interrupted):
        FrameReader(path, cancelled=stop.is_set)


def test_the_demo_clip() -> None:
    expected = {frame.index: frame for frame in from_start(DEMO)}
    with FrameReader(DEMO) as reader:
        for index in (229, 0, 114, 113, 200, 7):
            assert np.array_equal(reader.frame(index).image, expected[index].image)
