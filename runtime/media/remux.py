"""A finished file put in order without encoding anything again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av

__all__ = ["drop_torn_fragment", "is_readable", "remux"]


def remux(source: Path, target: Path, form: str, stopped: Callable[[], bool] = lambda: False) -> None:
    """Copy all streams of a fragmented file into a plain one with its index in front.

    Args:
        source, target: files.
        form: FFmpeg's name of the format of both.
        stopped: asked now and then; True ends it early.

    Raises:
        av.FFmpegError: either file fails.
        InterruptedError: it was stopped; the target is of no use.
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
            if stopped():
                raise InterruptedError("there was no time for it")
            packet.stream = streams[packet.stream_index]
            new.mux(packet)


def drop_torn_fragment(path: Path) -> None:
    """Cut a fragmented MP4 or MOV after its last whole fragment, so that a disk that filled up leaves no torn packet.

    A file is a row of boxes (ISO/IEC 14496-12, 4.2: 32-bit size and type, 64-bit size where the first is 1); a fragment is a
    ``moof`` box and the ``mdat`` box after it. Files that are whole, or have no whole fragment, stay as they are.

    Raises:
        OSError: the file cannot be read or cut.
    """
    size = path.stat().st_size
    start = whole = fragments = 0
    with path.open("r+b") as file:
        while start + 8 <= size:
            file.seek(start)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8 or start + length > size:
                break
            start += length
            if head[4:8] != b"moof":
                whole = start
                fragments += head[4:8] == b"mdat"
        if fragments and whole < size:
            file.truncate(whole)


def is_readable(path: Path) -> bool:
    """Whether a file holds at least one coded picture."""
    try:
        with av.open(str(path.absolute()), "r") as container:
            return any(packet.size for packet in container.demux(video=0))
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return False
