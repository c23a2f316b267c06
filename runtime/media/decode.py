"""A container opened for reading its pictures: errors become one line, damage is passed over and counted."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import av

from vipose.runtime.errors import InputError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

__all__ = ["Decoder", "reason"]

_REORDER = 32  # frames after a key frame may be shown before it; no codec reorders by more
_MAX_READ_ERRORS = 50  # in a row without one packet; a demuxer that cannot go on repeats itself for ever


def reason(error: BaseException) -> str:
    """What an error says, in a few words and on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


@dataclass(frozen=True)
class _KeyFrame:
    """Where decoding starts for a window of time: stream ticks, and frames that come before in coded and shown order."""

    key_pts: int
    coded_before_key: int
    shown_before_start: int


class Decoder:
    """Pictures of one container, in presentation order.

    Args:
        name: what messages call it.
        target: absolute path or URL.
        timeout_s: for opening and for each read; None waits for ever (local files).
        options: passed to FFmpeg.

    Attributes:
        stream: the video stream that is read.
        packets: coded frames seen so far (or passed over by ``seek``).
        undecodable: coded frames, or stretches of the file, that could not be decoded.
        corrupt: frames that came out although the decoder knows they are damaged.
        ended: the end was reached.
        end_s: when the container says that it ends; None where it does not.

    Raises:
        InputError: it cannot be opened, has no video, or there is no decoder for it.
    """

    def __init__(
        self, name: str, target: str, *, timeout_s: float | None = None, options: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self.packets = 0
        self.undecodable = 0
        self.corrupt = 0
        self.ended = False
        self._timeout_s = timeout_s
        self.container = self._open(target, timeout_s, options)
        try:
            self.stream = self._pick()
        except InputError:
            self.container.close()
            raise
        start, length = self.container.start_time, self.container.duration
        self.end_s = None if length is None else ((start or 0) + length) / av.time_base
        self.stream.thread_type = "NONE"  # type: ignore[assignment]  # the pipeline keeps the cores busy

    def _open(self, target: str, timeout_s: float | None, options: dict[str, str] | None) -> InputContainer:
        begun = time.monotonic()
        try:
            return av.open(target, "r", timeout=timeout_s, options=options, metadata_errors="replace")
        except av.error.DecoderNotFoundError as error:
            raise InputError(f"{self.name} has no video that can be decoded ({reason(error)})") from error
        except (av.FFmpegError, OSError, ValueError) as error:
            # Some protocols turn the interruption into another error: the clock tells.
            if timeout_s is not None and time.monotonic() - begun >= timeout_s:
                raise InputError(
                    f"{self.name} did not answer within {timeout_s:g} s; check the address and the network"
                ) from error
            said = "a URL that plays" if timeout_s is not None else "a video file and is whole"
            raise InputError(f"cannot open {self.name} ({reason(error)}); check that it is {said}") from error

    def _pick(self) -> VideoStream:
        """The first video stream that is not a cover picture; the one marked as default before others."""
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in self.container.streams.video if not s.disposition & cover]
        if not streams:
            raise InputError(f"{self.name} has no video stream; it holds sound only, or was cut off")
        streams.sort(key=lambda s: not s.disposition & av.stream.Disposition.default)
        for stream in streams:
            if stream.codec_context is not None:
                return stream
        raise InputError(f"{self.name} has video of an unknown codec; convert it to H.264 first")

    def frames(self) -> Generator[av.VideoFrame]:
        """Deliver what can be decoded from here to the end; damaged stretches are passed over.

        Raises:
            InputError: a live source stopped answering.
        """
        packets = self.container.demux(self.stream)
        errors = 0
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                self.ended = True
                return
            except av.FFmpegError as error:
                self._check_alive(error)
                errors += 1
                if errors > _MAX_READ_ERRORS:
                    self.ended = True
                    return
                self.undecodable += errors == 1
                packets = self.container.demux(self.stream)  # an error ends the generator, not the file
                continue
            errors = 0
            yield from self._decode(packet)

    def _decode(self, packet: Packet[VideoStream]) -> Iterator[av.VideoFrame]:
        if packet.size:
            self.packets += 1
        try:
            frames = packet.decode()
        except av.error.EOFError:
            return
        except av.FFmpegError:
            self.undecodable += 1
            return
        for frame in frames:
            self.corrupt += bool(frame.is_corrupt)
            yield frame

    def _check_alive(self, error: av.FFmpegError) -> None:
        if self._timeout_s is None:
            return
        if isinstance(error, av.error.ExitError):
            raise InputError(f"{self.name} sent nothing for {self._timeout_s:g} s; the connection is lost") from error
        raise InputError(f"{self.name} broke off ({reason(error)}); check the network or the sender") from error

    def seek(self, start_s: float) -> int | None:
        """Go to the last key frame at or before a time without decoding what lies before it.

        Coded frames are counted on the way, so that indices stay those of the file.

        Returns:
            How many frames are shown before ``start_s``, or None where the container is not fit for it: then it has to
            be opened again and decoded from its beginning.
        """
        if self.stream.time_base is None:
            return None
        start = start_s / float(self.stream.time_base)
        try:
            found = self._scan(start)
            if found is None:
                return None
            self.container.seek(found.key_pts, stream=self.stream, backward=True)
            if self._first_pts() != found.key_pts:
                return None
            self.container.seek(found.key_pts, stream=self.stream, backward=True)
        except av.FFmpegError:
            return None
        self.packets = found.coded_before_key
        return found.shown_before_start

    def _scan(self, start: float) -> _KeyFrame | None:
        """Read packets, undecoded, until nothing that is shown before ``start`` (stream ticks) can follow."""
        key: _KeyFrame | None = None
        shown = beyond = 0
        for coded, packet in enumerate(self.container.demux(self.stream)):
            if not packet.size or beyond > _REORDER:
                break
            if packet.pts is None:
                return None
            if packet.is_keyframe and packet.pts <= start:
                key = _KeyFrame(packet.pts, coded, 0)
            beyond += bool(beyond) or (packet.is_keyframe and packet.pts > start)
            shown += packet.pts < start and not packet.is_discard
        return None if key is None else replace(key, shown_before_start=shown)

    def _first_pts(self) -> int | None:
        return next((packet.pts for packet in self.container.demux(self.stream) if packet.size), None)

    def close(self) -> None:
        """Free the container; may be called more than once."""
        self.container.close()
