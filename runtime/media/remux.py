"""A finished file put in order without encoding anything again."""

from __future__ import annotations

from pathlib import Path

import av

__all__ = ["is_readable", "remux"]


def remux(source: Path, target: Path, form: str) -> None:
    """Copy all streams of a fragmented file into a plain one with its index in front.

    Args:
        source, target: files.
        form: FFmpeg's name of the format of both.

    Raises:
        av.FFmpegError: either file fails.
    """
    options = {"movflags": "faststart", "video_track_timescale": "90000"}
    with (
        av.open(str(source.absolute()), "r", format=form) as old,
        av.open(str(target.absolute()), "w", format=form, container_options=options) as new,
    ):
        streams = {stream.index: new.add_stream_from_template(stream, opaque=True) for stream in old.streams}
        for packet in old.demux():
            if packet.dts is None:  # marks the end of a stream
                continue
            packet.stream = streams[packet.stream_index]
            new.mux(packet)


def is_readable(path: Path) -> bool:
    """Whether a file holds at least one coded picture."""
    try:
        with av.open(str(path.absolute()), "r") as container:
            return any(packet.size for packet in container.demux(video=0))
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return False
