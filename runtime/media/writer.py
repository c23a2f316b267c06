"""Annotated video out: H.264 with the pictures' own times and the original sound, whole under its name or not there."""

from __future__ import annotations

import errno
import math
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av
import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import OutputError, UsageError
from vipose.runtime.media.audio import AudioCopier, AudioUnfit
from vipose.runtime.media.decode import reason
from vipose.runtime.media.remux import drop_torn_fragment, is_readable, remux

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

__all__ = ["EncoderOptions", "VideoWriter"]

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_FRAGMENTED = frozenset(("mp4", "mov"))  # written in pieces that are playable at any moment, tidied at the end
_ENCODERS = ("libx264", "mpeg4")
_TICKS = {"libx264": 90_000, "mpeg4": 30_000}  # clock of the pictures, a second; MPEG-4 part 2 allows 65535 at most
_GAP_S = 1.0  # a first picture later than this starts the output at 0: no long black lead-in
_BT601, _BT709, _LIMITED = 6, 1, 1  # AVCOL_SPC_SMPTE170M, AVCOL_PRI_BT709 and AVCOL_TRC_BT709, AVCOL_RANGE_MPEG
_NOMINAL_RATE = 25.0


@dataclass(frozen=True)
class EncoderOptions:
    """How pictures are encoded.

    Attributes:
        preset: of libx264; slower ones give smaller files.
        crf: quality of libx264, 0 (lossless) to 51; 20 is hard to tell from the original.
        threads: 0 for as many as there are cores.
    """

    preset: str = "veryfast"
    crf: float = 20.0
    threads: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 51:
            raise UsageError(f"crf is {self.crf:g}; give 0 (lossless) to 51 (worst)")
        if self.threads < 0:
            raise UsageError(f"encoder threads are {self.threads}; give 0 for all cores, or a number of them")


class VideoWriter:
    """Writes one video.

    Pictures go to ``PATH.part``; :meth:`close` puts the finished file in place of ``PATH``, which is left alone until
    then. MP4 and MOV are written in fragments of a second, so that the part is playable even where the disk fills up or
    the process dies, and put in order at the end (index in front). Times are kept to 1/90000 s: a variable rate stays
    variable. The output's 0 is ``start_s``, or the first picture where that one is earlier or over a second later.

    YUV 4:2:0 needs even sizes: an odd width or height gets its last column or row repeated. A picture of another size
    than ``size`` is scaled to fit, with black borders. Colours are BT.601, limited range, and tagged so.

    Args:
        path: .mp4, .m4v, .mov or .mkv; missing folders are made.
        size: width, height of the pictures.
        fps: nominal rate for rate control; never used for times.
        audio_from: file whose first audio stream is copied.
        start_s: source time at which the pictures start; sound before it is left out.
        end_s: source time behind which sound is left out; None copies it to its end.
        options: of the encoder.

    Attributes:
        frames: pictures written.
        warnings: one line for each thing that could not be done as asked.

    Raises:
        OutputError: the folder cannot be written, the suffix is unknown, or the output would replace ``audio_from``.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        *,
        fps: float | None = None,
        audio_from: Path | None = None,
        start_s: float = 0.0,
        end_s: float | None = None,
        options: EncoderOptions | None = None,
    ) -> None:
        self.path = Path(path)
        self.frames = 0
        self.warnings: list[str] = []
        self._size = size
        self._even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._fps = fps if fps is not None and math.isfinite(fps) and fps > 0 else _NOMINAL_RATE
        self._audio_from = audio_from
        self._start_s, self._end_s = start_s, end_s
        self._options = options or EncoderOptions()
        self._origin_s = start_s
        self._last_pts: int | None = None
        self._audio: AudioCopier | None = None
        self._failed = False
        self._done = False
        self._hurry = threading.Event()
        self._lock = threading.RLock()
        self._format = self._check(audio_from)
        self._part = self.path.with_name(f"{self.path.name}.part")
        self._create_part()
        self._container = self._open()
        self._stream = self._add_stream()

    def _check(self, audio_from: Path | None) -> str:
        kind = _FORMATS.get(self.path.suffix.lower())
        if kind is None:
            raise OutputError(
                f"cannot write {self.path}: '{self.path.suffix}' is no video type; use .mp4, .mov or .mkv"
            )
        if min(self._size) < 1:
            raise OutputError(f"cannot write {self.path}: a picture of {self._size[0]} x {self._size[1]} is empty")
        there = audio_from is not None and audio_from.exists() and self.path.exists()
        if audio_from is not None and there and os.path.samefile(self.path, audio_from):
            raise OutputError(f"{self.path} would replace its own source; choose another output")
        return kind

    def _create_part(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            with self._part.open("wb"):
                pass
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path} ({reason(error)}); choose a folder that can be written"
            ) from error

    def _open(self) -> av.container.OutputContainer:
        options = {"movflags": "delay_moov+default_base_moof", "frag_duration": "1000000"}
        return av.open(
            str(self._part.absolute()),
            "w",
            format=self._format,
            container_options=options if self._format in _FRAGMENTED else {},
        )

    def _add_stream(self) -> VideoStream:
        rate = Fraction(self._fps).limit_denominator(1001)
        for name in _ENCODERS:
            try:
                stream = self._container.add_stream(name, rate=rate)
            except (av.FFmpegError, ValueError):  # PyAV's UnknownCodecError is a ValueError
                continue
            if not isinstance(stream, av.VideoStream):
                continue
            if name != _ENCODERS[0]:
                self.warnings.append(f"this FFmpeg has no {_ENCODERS[0]}; {name} is used, which makes larger files")
            self._configure(stream, name)
            return stream
        self.discard()
        raise OutputError(f"cannot write {self.path}: this FFmpeg has no video encoder; reinstall the package 'av'")

    def _configure(self, stream: VideoStream, name: str) -> None:
        stream.width, stream.height = self._even
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _TICKS[name])
        context.colorspace, context.color_range = _BT601, _LIMITED
        context.color_primaries = context.color_trc = _BT709
        context.thread_count = self._options.threads
        # Not slices, PyAV's default: x264 loses quality with them.
        context.thread_type = "FRAME"  # type: ignore[assignment]
        if name == "libx264":
            context.options = {"preset": self._options.preset, "crf": f"{self._options.crf:g}"}
        else:
            context.bit_rate = int(self._even[0] * self._even[1] * self._fps * 0.25)

    def write(self, image: npt.NDArray[np.uint8], time_s: float) -> None:
        """Encode a picture.

        Args:
            image: [H, W, 3] uint8 RGB.
            time_s: its presentation time in the source's seconds; one that does not rise is moved by one tick.

        Raises:
            OutputError: it cannot be written; what was written is kept by :meth:`close` or :meth:`abort`.
            RuntimeError: the writer is closed.
        """
        with self._lock:
            if self._done:
                raise RuntimeError(f"{self.path} is closed")
            if self._failed:
                raise OutputError(f"cannot write {self.path}: an earlier error ended it")
            if self.frames == 0:
                self._begin(time_s)
            base = self._stream.codec_context.time_base or Fraction(1, _TICKS["libx264"])
            pts = round((time_s - self._origin_s) / float(base))
            if self._last_pts is not None and pts <= self._last_pts:
                pts = self._last_pts + 1
            frame = av.VideoFrame.from_ndarray(self._to_yuv(image), format="yuv420p")
            frame.pts, frame.time_base = pts, base
            frame.colorspace, frame.color_range = _BT601, _LIMITED
            try:
                self._mux(self._stream.encode(frame))
            except (av.FFmpegError, OSError) as error:
                self._failed = True
                raise self._error(error) from error
            self._last_pts = pts
            self.frames += 1

    def _begin(self, time_s: float) -> None:
        """Fix the output's 0 by the first picture's time, then add the sound."""
        if not 0 <= time_s - self._start_s <= _GAP_S:
            self._origin_s = time_s
        if self._audio_from is None:
            return
        try:
            self._audio = AudioCopier(
                self._audio_from,
                self._container,
                origin_s=self._origin_s,
                start_s=self._start_s if self._start_s > 0 else None,
                end_s=self._end_s,
            )
        except AudioUnfit as why:
            self.warnings.append(str(why))

    def _to_yuv(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """I420 of even size; OpenCV's conversion takes a third of swscale's time."""
        height, width = image.shape[:2]
        if (width, height) != self._size:
            image = _letterbox(image, self._size)
            width, height = self._size
        if (width, height) != self._even:
            right, bottom = self._even[0] - width, self._even[1] - height
            image = _u8(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE))
        return _u8(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420))

    def _mux(self, packets: Iterable[Packet[Any]]) -> None:
        """Write packets, and the sound up to them, so that neither has to wait for the other in memory."""
        for packet in packets:
            dts, base = packet.dts, packet.time_base
            self._container.mux(packet)
            if self._audio is not None and dts is not None:
                self._audio.copy_until(dts * float(base))

    def _error(self, error: BaseException) -> OutputError:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        todo = "make room on the disk" if full else "check the disk and its permissions"
        kept = "what can be played is kept" if self.frames else "nothing was written"
        return OutputError(f"cannot write {self.path} ({reason(error)}); {todo}; {kept}")

    def close(self) -> None:
        """Finish the file and put it in place; does nothing the second time. Without any picture there is no file.

        Raises:
            OutputError: it cannot be finished; what can be played is in place all the same.
        """
        self._finish(whole=True)

    def abort(self) -> None:
        """Finish the file with what it has, sound cut to the pictures, and put it in place: it is playable.

        Raises:
            OutputError: it cannot be finished; what can be played is in place all the same.
        """
        self._finish(whole=False)

    def hurry(self) -> None:
        """Have :meth:`close` put the file in place without moving its index to the front; from any thread, also meanwhile."""
        self._hurry.set()

    def discard(self) -> None:
        """Remove what was written; ``path`` stays as it was."""
        with self._lock:
            if self._done:
                return
            self._done = True
            self._close_container()
            self._part.unlink(missing_ok=True)

    def _finish(self, *, whole: bool) -> None:
        with self._lock:
            if self._done:
                return
            if self.frames == 0:
                self.discard()
                return
            self._done = True
            problems = [self._flush(whole), self._close_container(), self._publish()]
            error = next((problem for problem in problems if problem is not None), None)
            if error is not None and not self._failed:  # else write() has told of the first one
                raise self._error(error) from error

    def _flush(self, whole: bool) -> BaseException | None:
        """Encode what waits in the encoder and write the rest of the sound; returns what went wrong."""
        try:
            self._mux(self._stream.encode(None))
            if self._audio is not None:
                base = self._stream.codec_context.time_base or 0
                shown_s = float((self._last_pts or 0) * base) + 1 / self._fps
                self._audio.copy_until(None if whole else shown_s)
        except (av.FFmpegError, OSError) as error:
            return error
        return None

    def _close_container(self) -> BaseException | None:
        """Write the trailer; returns what went wrong, since the caller may know an earlier reason."""
        if self._audio is not None:
            self.warnings += self._audio.warnings
            self._audio.close()
        try:
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            return error
        return None

    def _publish(self) -> BaseException | None:
        """Put the part in place, tidied where there is room for it, as it is where there is not."""
        ready = self._part
        if self._format in _FRAGMENTED and not self._hurry.is_set():
            ready = self._part.with_name(f"{self.path.name}.tidy.part")
            try:
                drop_torn_fragment(self._part)
                remux(self._part, ready, self._format, self._hurry.is_set)
            except (av.FFmpegError, OSError, ValueError) as error:
                ready.unlink(missing_ok=True)
                if not is_readable(self._part):
                    self._part.unlink(missing_ok=True)
                    return error
                ready = self._part
                self.warnings.append(
                    f"the index could not be moved to the front ({reason(error)}); the file is playable"
                )
        try:
            os.replace(ready, self.path)
            self._part.unlink(missing_ok=True)
        except OSError as error:
            return error
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()


def _letterbox(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner, interpolation=how)
    return canvas


def _u8(image: Any) -> npt.NDArray[np.uint8]:
    array: npt.NDArray[np.uint8] = image
    return array
