"""Which pictures a video file holds: their times, and the key frames from which decoding can start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import av
import numpy as np
import numpy.typing as npt

from vipose.runtime.media.clock import StampRepair
from vipose.runtime.media.decode import Decoder

__all__ = ["FrameTable", "Interrupted", "table_of_packets", "table_of_pictures"]

_FALLBACK_RATE = 25.0  # as for reading from the start: only where neither frame nor container tells


class Interrupted(Exception):
    """The caller asked to stop in the middle of a long search."""


@dataclass(frozen=True)
class FrameTable:
    """The pictures of a file in the order in which they are shown.

    Attributes:
        times_s: [n] float64, rising, read-only: presentation times as reading from the start repairs them.
        pts: stamp of each picture in ticks, distinct and rising; empty where stamps tell nothing.
        keys: indices of the pictures from which decoding can start, rising; empty where only the beginning will do.
    """

    times_s: npt.NDArray[np.float64]
    pts: tuple[int, ...] = ()
    keys: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.times_s)

    def without(self, *keys: int) -> FrameTable:
        """The table without key frames that did not serve."""
        return replace(self, keys=tuple(key for key in self.keys if key not in keys))

    def in_order(self) -> FrameTable:
        """The same pictures, reached by counting from the beginning only."""
        return replace(self, pts=(), keys=())


def table_of_packets(decoder: Decoder, cancelled: Callable[[], bool]) -> FrameTable | None:
    """List the pictures from their coded form without decoding them: quick, but it trusts the container.

    Returns:
        The table, or None where stamps are missing, repeat or go backwards, or where packets are damaged.

    Raises:
        Interrupted: ``cancelled`` said so.
    """
    base = decoder.stream.time_base
    if base is None:
        return None
    reorders = bool(decoder.stream.codec_context.has_b_frames)
    shown: list[tuple[int, bool]] = []
    try:
        for packet in decoder.container.demux(decoder.stream):
            if cancelled():
                raise Interrupted
            if not packet.size:
                continue
            if packet.pts is None or packet.is_corrupt:
                return None
            if packet.is_discard:  # before the beginning that an edit list sets: decoded, never shown
                continue
            if not reorders and shown and packet.pts <= shown[-1][0]:
                return None
            shown.append((packet.pts, packet.is_keyframe))
    except av.FFmpegError:
        return None
    shown.sort()
    pts = tuple(stamp for stamp, _ in shown)
    if not pts or len(set(pts)) < len(pts):
        return None
    return FrameTable(_frozen([float(p * base) for p in pts]), pts, tuple(i for i, (_, key) in enumerate(shown) if key))


def table_of_pictures(decoder: Decoder, cancelled: Callable[[], bool]) -> FrameTable:
    """List the pictures by decoding the whole file: slow, and what reading from the start delivers by its nature.

    Raises:
        Interrupted: ``cancelled`` said so.
    """
    rate = decoder.stream.average_rate or decoder.stream.guessed_rate
    repair = StampRepair(1 / float(rate) if rate else 1 / _FALLBACK_RATE)
    times: list[float] = []
    stamps: list[int | None] = []
    keys: list[int] = []
    for picture in decoder.frames():
        if cancelled():
            raise Interrupted
        if picture.key_frame:
            keys.append(len(times))
        stamp, base = picture.pts, picture.time_base
        times.append(repair(None if stamp is None or base is None else float(stamp * base)))
        stamps.append(None if base is None else stamp)
    pts = tuple(stamp for stamp in stamps if stamp is not None)
    rising = len(pts) == len(stamps) and all(a < b for a, b in pairwise(pts))
    whole = not decoder.undecodable and not decoder.corrupt  # what is made up for a damaged one depends on where decoding began
    table = FrameTable(_frozen(times), pts, tuple(keys))
    return table if rising and whole else table.in_order()


def _frozen(times: list[float]) -> npt.NDArray[np.float64]:
    array = np.array(times, np.float64)
    array.flags.writeable = False
    return array
