"""Video out: times, sound, sizes, colours; a whole file under the name or none; failures keep what was written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.fixtures import clips
from vipose.runtime.errors import OutputError, UsageError
from vipose.runtime.media import writer as module
from vipose.runtime.media.base import Selection
from vipose.runtime.media.video import VideoSource
from vipose.runtime.media.writer import EncoderOptions, VideoWriter
from vipose.runtime.types import Frame


def copy(made: clips.Clip, out: Path, *, start_s: float = 0.0, end_s: float | None = None) -> VideoWriter:
    """Write every picture of a clip again, with its sound."""
    window = Selection(start_s or None, end_s)
    source = VideoSource(made.path, selection=window)
    audio = made.path if source.info.audio else None
    with VideoWriter(
        out, source.info.size, fps=source.info.fps, audio_from=audio, start_s=start_s, end_s=end_s
    ) as writer:
        for frame in source:
            writer.write(frame.image, frame.time_s)
    return writer


def frames_of(path: Path) -> list[Frame]:
    return list(VideoSource(path))


def sound_of(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        packets = (p for p in container.demux(audio=0) if p.size)
        return [(float(p.pts * p.time_base), bytes(p)) for p in packets]


def write_still(writer: VideoWriter, count: int = 5) -> None:
    for index in range(count):
        writer.write(clips.picture(index), index / 25)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_variable_rate_survives(tmp_path: Path, suffix: str) -> None:
    made = clips.vfr_clip(tmp_path / "vfr.mp4")
    out = tmp_path / f"out{suffix}"
    writer = copy(made, out)
    written = frames_of(out)
    assert [f.time_s for f in written] == pytest.approx(made.times_s, abs=6e-4 if suffix == ".mkv" else 1e-5)
    assert [clips.read_index(f.image) for f in written] == list(range(made.frames))
    assert writer.frames == made.frames
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["vfr.mp4", out.name])


def test_the_file_is_h264_420_with_its_index_in_front_and_colours_tagged(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with VideoWriter(out, (96, 64)) as writer:
        write_still(writer)
    data = out.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")
    assert b"moof" not in data
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, stream.frames) == ("h264", "yuv420p", 5)
        assert (context.colorspace, context.color_range) == (6, 1)


def test_colours_survive_the_round_trip(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with VideoWriter(out, (96, 64), options=EncoderOptions(crf=1)) as writer:
        write_still(writer)
    image = frames_of(out)[0].image.astype(int)
    flat = np.s_[4:20, 4:40]
    assert np.abs(image[flat] - clips.picture(0)[flat]).max() <= 4
    right = np.s_[4:20, 56:90]
    assert np.abs(image[right] - clips.picture(0)[right]).max() <= 4


@pytest.mark.parametrize("size", [(95, 63), (96, 63), (95, 64), (1, 1)])
def test_odd_sizes_are_padded_by_their_edge(tmp_path: Path, size: tuple[int, int]) -> None:
    out = tmp_path / "out.mp4"
    image = clips.picture(5, size) if min(size) > 1 else np.full((1, 1, 3), 200, np.uint8)
    with VideoWriter(out, size, options=EncoderOptions(crf=4)) as writer:
        writer.write(image, 0.0)
    (frame,) = frames_of(out)
    height, width = frame.image.shape[:2]
    assert (width, height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert np.abs(frame.image[:, -1].astype(int) - frame.image[:, size[0] - 1]).max() <= 12
    if min(size) > 1:
        assert clips.corners(frame.image) == clips.UPRIGHT


def test_a_picture_of_another_size_is_fitted(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with VideoWriter(out, (96, 64)) as writer:
        writer.write(clips.picture(0, (96, 128)), 0.0)
    (frame,) = frames_of(out)
    assert frame.image[:, :16].max() < 30
    assert clips.corners(frame.image[:, 32:64]) == clips.UPRIGHT


def test_sound_is_copied_packet_by_packet(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mp4", frames=30, audio="aac", audio_s=1.5)
    out = tmp_path / "out.mp4"
    assert copy(made, out).warnings == []
    before, after = sound_of(made.path), sound_of(out)
    assert [data for _, data in after] == [data for _, data in before]
    assert [t for t, _ in after] == pytest.approx([t for t, _ in before], abs=1e-4)


def test_sound_of_a_window_is_trimmed_and_in_step(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mp4", frames=50, audio="aac")
    out = tmp_path / "out.mp4"
    copy(made, out, start_s=0.5, end_s=1.2)
    before = {data: time_s for time_s, data in sound_of(made.path)}
    after = sound_of(out)
    shifts = [before[data] - time_s for time_s, data in after]
    assert shifts == pytest.approx([0.5] * len(after), abs=1e-3)
    assert -0.03 < after[0][0] <= 0.0
    assert 0.65 < after[-1][0] < 0.7
    written = frames_of(out)
    assert written[0].time_s == pytest.approx(0.02, abs=1e-3)  # the first picture at or after 0.5 s is at 0.52 s
    assert [clips.read_index(f.image) for f in written] == list(range(13, 30))


def test_sound_and_pictures_are_interleaved(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mp4", frames=60, fps=10, audio="aac")
    out = tmp_path / "out.mp4"
    copy(made, out)
    places: dict[str, list[int]] = {"audio": [], "video": []}
    with av.open(str(out)) as container:
        for packet in container.demux():
            if packet.size:
                places[packet.stream.type].append(packet.pos)
    assert places["audio"][len(places["audio"]) // 3] < places["video"][-1]
    assert places["video"][0] < places["audio"][-1]


def test_sound_from_a_broadcast_stream(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.ts", frames=20, audio="aac")
    out = tmp_path / "out.mp4"
    assert copy(made, out).warnings == []
    assert len(sound_of(out)) == len(sound_of(made.path))
    with av.open(str(out)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 30_000


def test_sound_that_the_container_cannot_hold_is_left_out_with_a_warning(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mkv", audio="pcm_s16le")
    writer = copy(made, tmp_path / "out.mp4")
    assert any("cannot hold pcm_s16le" in w for w in writer.warnings)
    assert not VideoSource(tmp_path / "out.mp4").info.audio
    copy(made, tmp_path / "out.mkv")
    assert [d for _, d in sound_of(tmp_path / "out.mkv")] == [d for _, d in sound_of(made.path)]


def test_a_file_without_readable_sound_gives_a_warning(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mp4")
    for source in (made.path, clips.empty_file(tmp_path / "empty.mp4"), tmp_path / "gone.mp4"):
        with VideoWriter(tmp_path / "out.mp4", (96, 64), audio_from=source) as writer:
            write_still(writer)
        assert len(writer.warnings) == 1
        assert len(frames_of(tmp_path / "out.mp4")) == 5


@pytest.mark.parametrize(("first", "expected"), [(0.3, 0.3), (-0.5, 0.0), (50_000.0, 0.0)])
def test_where_the_output_starts(tmp_path: Path, first: float, expected: float) -> None:
    out = tmp_path / "out.mp4"
    with VideoWriter(out, (96, 64)) as writer:
        for index in range(3):
            writer.write(clips.picture(index), first + index / 10)
    assert [f.time_s for f in frames_of(out)] == pytest.approx([expected + i / 10 for i in range(3)], abs=1e-4)


def test_times_that_do_not_rise_are_kept_apart(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with VideoWriter(out, (96, 64)) as writer:
        for index, time_s in enumerate((0.0, 0.1, 0.1, 0.05, 0.2)):
            writer.write(clips.picture(index), time_s)
    written = frames_of(out)
    assert [clips.read_index(f.image) for f in written] == list(range(5))


def test_an_existing_file_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    writer = VideoWriter(out, (96, 64))
    write_still(writer)
    assert out.read_bytes() == b"old"
    writer.close()
    writer.close()
    assert len(frames_of(out)) == 5
    with pytest.raises(RuntimeError, match="closed"):
        writer.write(clips.picture(0), 1.0)


def test_discard_leaves_nothing_and_the_old_file_alone(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    writer = VideoWriter(out, (96, 64))
    write_still(writer)
    writer.discard()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert out.read_bytes() == b"old"


def test_without_pictures_there_is_no_file(tmp_path: Path) -> None:
    for finish in (VideoWriter.close, VideoWriter.abort):
        finish(VideoWriter(tmp_path / "out.mp4", (96, 64)))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_an_aborted_run_leaves_a_playable_file(tmp_path: Path, suffix: str) -> None:
    made = clips.clip(tmp_path / "clip.mp4", frames=30, audio="aac", audio_s=5.0)
    out = tmp_path / f"out{suffix}"
    with pytest.raises(KeyboardInterrupt), VideoWriter(out, made.size, audio_from=made.path) as writer:
        for frame in VideoSource(made.path):
            writer.write(frame.image, frame.time_s)
            if frame.index == 11:
                raise KeyboardInterrupt
    assert [clips.read_index(f.image) for f in frames_of(out)] == list(range(12))
    assert sound_of(out)[-1][0] < 0.6
    assert not list(tmp_path.glob("*.part"))


def test_a_killed_process_leaves_a_playable_part(tmp_path: Path) -> None:
    script = f"""
        import sys, time
        import numpy as np
        from pathlib import Path
        from vipose.runtime.media.writer import EncoderOptions, VideoWriter
        writer = VideoWriter(Path({str(tmp_path / "out.mp4")!r}), (64, 48), options=EncoderOptions(preset="ultrafast"))
        noise = np.random.default_rng(0)
        for index in range(120):
            writer.write(noise.integers(0, 256, (48, 64, 3), np.uint8), index / 10)
        print("written", flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline().strip() == b"written"
        process.kill()
    process.wait(20)
    assert not (tmp_path / "out.mp4").exists()
    assert len(frames_of(tmp_path / "out.mp4.part")) > 20


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="file size limits are a thing of Unix")
def test_a_disk_that_fills_up_is_one_line_and_keeps_what_fits(tmp_path: Path) -> None:
    script = f"""
        import resource, signal
        import numpy as np
        from pathlib import Path
        from vipose.runtime.errors import OutputError
        from vipose.runtime.media.writer import EncoderOptions, VideoWriter
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
        writer = VideoWriter(Path({str(tmp_path / "out.mp4")!r}), (160, 120), options=EncoderOptions(preset="ultrafast"))
        noise = np.random.default_rng(0)
        try:
            for index in range(300):
                writer.write(noise.integers(0, 256, (120, 160, 3), np.uint8), index / 25)
        except OutputError as error:
            print(error)
        writer.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "cannot write" in done.stdout
    assert "what can be played is kept" in done.stdout
    with av.open(str(tmp_path / "out.mp4")) as container:  # to its very end, no torn packet
        assert len(list(container.decode(video=0))) > 3
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_no_room_for_tidying_keeps_the_fragmented_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "remux", full)
    writer = VideoWriter(tmp_path / "out.mp4", (96, 64))
    write_still(writer)
    writer.close()
    assert [clips.read_index(f.image) for f in frames_of(tmp_path / "out.mp4")] == list(range(5))
    assert any("playable" in w for w in writer.warnings)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", (96, 64))
    write_still(writer)

    def full(_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(writer, "_mux", full)
        with pytest.raises(OutputError, match="No space left.*make room on the disk"):
            writer.write(clips.picture(5), 1.0)
    with pytest.raises(OutputError, match="earlier error"):
        writer.write(clips.picture(6), 1.1)
    writer.abort()


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="cannot write"):
        VideoWriter(folder / "out.mp4", (96, 64))


def test_outputs_that_cannot_be_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"x")
    (tmp_path / "folder.mp4").mkdir()
    for path in (blocked / "out.mp4", tmp_path / "out.xyz", tmp_path / "folder.mp4"):
        with pytest.raises(OutputError) as caught:
            VideoWriter(path, (96, 64))
        assert "\n" not in str(caught.value)
    with pytest.raises(OutputError, match="0 x 64"):
        VideoWriter(tmp_path / "out.mp4", (0, 64))
    source = clips.clip(tmp_path / "clip.mp4")
    with pytest.raises(OutputError, match="replace its own source"):
        VideoWriter(source.path, (96, 64), audio_from=source.path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "file", "folder.mp4"]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "neu ü" / "x" / "out.mp4", (96, 64)) as writer:
        write_still(writer)
    assert len(frames_of(tmp_path / "neu ü" / "x" / "out.mp4")) == 5


def test_without_x264_another_encoder_is_used_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ENCODERS", ("no-such-encoder", "mpeg4"))
    made = clips.vfr_clip(tmp_path / "vfr.mp4")
    writer = copy(made, tmp_path / "out.mp4")
    assert any("mpeg4 is used" in w for w in writer.warnings)
    written = frames_of(tmp_path / "out.mp4")
    assert [f.time_s for f in written] == pytest.approx(made.times_s, abs=1e-4)
    assert [clips.read_index(f.image) for f in written] == list(range(made.frames))
    monkeypatch.setattr(module, "_ENCODERS", ("no-such-encoder",))
    with pytest.raises(OutputError, match="no video encoder"):
        VideoWriter(tmp_path / "none.mp4", (96, 64))
    assert not list(tmp_path.glob("none*"))


@pytest.mark.parametrize("values", [{"crf": -1}, {"crf": 52}, {"threads": -1}])
def test_absurd_options_are_usage_errors(values: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        EncoderOptions(**values)  # type: ignore[arg-type]


def test_in_a_hurry_the_index_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "remux", None)  # not even begun
    writer = VideoWriter(tmp_path / "out.mp4", (96, 64))
    write_still(writer)
    writer.hurry()
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert len(frames_of(tmp_path / "out.mp4")) == writer.frames
    assert not writer.warnings


def test_a_hurry_that_comes_late_ends_the_tidying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remux = module.remux
    writer = VideoWriter(tmp_path / "out.mp4", (96, 64))

    def hurried(*args: Any) -> None:
        writer.hurry()
        remux(*args)

    monkeypatch.setattr(module, "remux", hurried)
    write_still(writer)
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert len(frames_of(tmp_path / "out.mp4")) == writer.frames
