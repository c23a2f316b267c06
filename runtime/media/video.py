"""Video files and network streams through PyAV: every frame, its own time stamp, upright."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.media.base import Rotate, Selection, Source
from vipose.runtime.media.clock import StampRepair
from vipose.runtime.media.decode import Decoder, reason
from vipose.runtime.media.pixels import Orientation, RgbConverter, display_orientation
from vipose.runtime.media.sources import without_password
from vipose.runtime.types import Frame, SourceInfo

__all__ = ["StreamSource", "VideoSource"]

_FALLBACK_RATE = 25.0  # only where a frame has no time stamp and the container names no rate
_SHORT_S = 1.0  # a video that ends this much before its container says so is worth a word


class _ContainerSource(Source):
    """Frames of one container, file or network."""

    def __init__(
        self,
        name: str,
        target: str,
        *,
        kind: Literal["video", "stream"],
        rotate: Rotate,
        selection: Selection,
        timeout_s: float | None = None,
        options: dict[str, str],
    ) -> None:
        super().__init__()
        self._selection = selection
        self._rotate = rotate
        self._resized = 0
        self._unconverted = 0
        self._last_s: float | None = None
        self._decoder = Decoder(name, target, timeout_s=timeout_s, options=options)
        # Frames before the start have been counted where the decoder could seek, else they are as they come.
        passed = self._decoder.seek(selection.start_s) if selection.start_s and kind == "video" else 0
        if passed is None:
            self._decoder.close()
            self._decoder = Decoder(name, target, timeout_s=timeout_s, options=options)
        self._sought = bool(passed)
        self._index = passed or 0
        try:
            self._prepare(name, kind)
        except BaseException:
            self._decoder.close()
            raise

    def _prepare(self, name: str, kind: Literal["video", "stream"]) -> None:
        """Decode up to the first wanted frame: only it tells the true size and orientation."""
        stream = self._decoder.stream
        rate = stream.average_rate or stream.guessed_rate
        self._repair = StampRepair(1 / float(rate) if rate else 1 / _FALLBACK_RATE)
        self._pictures = self._decoder.frames()
        self._to_rgb = RgbConverter()
        self._orientation: Orientation | None = None
        self.info = SourceInfo(name=name, kind=kind, size=(0, 0))
        self._first = self._next()
        if self._first is None:
            raise self._nothing()
        height, width = self._first.image.shape[:2]
        self.info = SourceInfo(
            name=name,
            kind=kind,
            size=(width, height),
            fps=float(rate) if rate else None,
            frames=stream.frames or None,
            rotation=self._orientation.degrees if self._orientation else 0,
            audio=bool(self._decoder.container.streams.audio),
        )

    def _nothing(self) -> InputError:
        name = self.info.name
        if self._unconverted:
            return InputError(f"the pictures of {name} have a pixel format that is not supported; convert it to H.264")
        if self._last_s is not None or self._decoder.packets > self._decoder.undecodable:
            where = "" if self._last_s is None else f"; its last frame is at {self._last_s:.2f} s"
            return InputError(f"{name} has no frame in the time or steps asked for{where}; choose others")
        return InputError(f"no picture of {name} can be decoded; check that the file is whole, or convert it to H.264")

    def _step(self) -> Frame | None:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return self._next()

    def _next(self) -> Frame | None:
        """Decode up to the next frame inside the window that ``every`` takes."""
        for picture in self._pictures:
            if self._stop.is_set():
                return None
            base = picture.time_base
            time_s = self._repair(None if picture.pts is None or base is None else float(picture.pts * base))
            if self._selection.after(time_s):
                return None
            self._last_s = time_s
            if self._selection.before(time_s):
                self._index += not self._sought
                continue
            index, self._index = self._index, self._index + 1
            if not self._selection.takes(index):
                self.decoded += 1
                self.skipped += 1
                continue
            image = self._upright(picture)
            if image is not None:
                self.decoded += 1
                return Frame(index, time_s, image, self.info.name)
        return None

    def _upright(self, picture: av.VideoFrame) -> npt.NDArray[np.uint8] | None:
        if self._orientation is None:
            turn = self._rotate
            self._orientation = display_orientation(picture) if turn == "auto" else Orientation(turn)
        try:
            image = self._orientation.apply(self._to_rgb(picture))
        except (av.FFmpegError, ValueError):
            self._unconverted += 1
            return None
        height, width = image.shape[:2]
        if self.info.size not in ((0, 0), (width, height)):
            self._resized += 1
            image = cv2.resize(image, self.info.size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        image.flags.writeable = False
        return image

    @property
    def warnings(self) -> list[str]:
        decoder = self._decoder
        lines = []
        if decoder.undecodable or self._unconverted:
            lines.append(f"{decoder.undecodable + self._unconverted} frames could not be decoded")
        if decoder.corrupt:
            lines.append(f"{decoder.corrupt} frames are damaged and were used as far as they could be decoded")
        if decoder.ended:
            lines += self._short()
        if self._resized:
            lines.append(f"{self._resized} frames had another size and were scaled to {self.info.size}")
        return lines + self._repair.warnings

    def _short(self) -> list[str]:
        """A word where the container promised more than came; called only after its end was reached."""
        claimed = self.info.frames
        if claimed is not None:
            found = self._decoder.packets
            return [f"file is truncated: {found} of {claimed} frames read"] if found < claimed else []
        end_s = self._decoder.end_s
        if end_s is None or self._last_s is None or self._last_s >= end_s - _SHORT_S:
            return []
        return [f"file may be truncated: its pictures end at {self._last_s:.2f} s of {end_s:.2f} s"]

    def _release(self) -> None:
        self._pictures.close()
        self._decoder.close()


class VideoSource(_ContainerSource):
    """A video file.

    ``Frame.time_s`` is the container's presentation time: the first frame may be later or earlier than 0. Stamps that
    are missing, repeat or go backwards are repaired (:class:`~vipose.runtime.media.clock.StampRepair`).
    ``Frame.index`` counts the frames of the file from 0, also where ``start_s`` passes over some. Damaged frames are
    delivered as far as they can be decoded. A picture whose size changes on the way is scaled to the first one's.

    Args:
        path: the file.
        name: what messages and results call it; the path as given where None.
        rotate: ``auto`` follows the display matrix, a number is used instead of it.
        selection: which frames.

    Raises:
        InputError: it cannot be opened, holds no decodable picture, or none inside the window.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        rotate: Rotate = "auto",
        selection: Selection | None = None,
    ) -> None:
        name = name or str(path)
        _check_file(path, name)
        super().__init__(
            name,
            os.path.abspath(path),  # so that a colon in a name is not taken for a protocol
            kind="video",
            rotate=rotate,
            selection=selection or Selection(),
            options={"protocol_whitelist": "file,crypto"},  # a playlist must not reach for the network
        )


class StreamSource(_ContainerSource):
    """An RTSP, HTTP or other network stream.

    ``info.live`` is True unless the sender says how long the video is: a file behind a web address is read frame by
    frame like any file. Times are the sender's.

    Args:
        url: the address.
        name: what messages and results call it; the address without user and password where None.
        rotate, selection: as for :class:`VideoSource`; ``start_s`` passes over frames, it does not seek.
        timeout_s: for opening, and for each silence.

    Raises:
        InputError: it does not answer in time, is refused, or sends no picture. Also while iterating.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        rotate: Rotate = "auto",
        selection: Selection | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        options = {"rtsp_transport": "tcp"} if url.lower().startswith("rtsp") else {}
        super().__init__(
            name or without_password(url),
            url,
            kind="stream",
            rotate=rotate,
            selection=selection or Selection(),
            timeout_s=timeout_s,
            options=options,
        )
        live = url.lower().startswith("rtsp") or not self._decoder.container.duration
        self.info = replace(self.info, live=live)
        if live and self._first is not None:
            self.clock_origin = time.monotonic() - self._first.time_s


def _check_file(path: Path, name: str) -> None:
    """Say what is wrong with a file in our own words where FFmpeg's would be obscure."""
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{name} is empty (0 bytes); copy or record it again")
        with path.open("rb"):
            return
    except OSError as error:
        raise InputError(f"cannot read {name} ({reason(error)}); check the path and its permissions") from error
