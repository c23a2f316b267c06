"""Sound of the original, packet by packet, in step with the pictures that are written; never encoded again."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.bitstream import BitStreamFilterContext

from vipose.runtime.media.decode import reason

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

__all__ = ["AudioCopier", "AudioUnfit"]

_PRIMING_S = 0.5  # codecs start with packets before the first sample that is heard
_MPEG = ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac")
# FFmpeg writes some others into these too, but into files that few players, or nobody, can read.
_PLAYABLE: dict[str, tuple[str, ...]] = {"mp4": _MPEG, "mov": (*_MPEG[:5], "pcm_")}


_STORAGE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES))


class AudioUnfit(Exception):
    """The sound cannot be copied; the text says why."""


class AudioCopier:
    """Copies the first audio stream of a file into an output that is being written.

    Args:
        source: the file with the sound.
        out: the container, before its header is written.
        origin_s: source time that becomes 0.
        start_s: source time before which sound is left out; None for what leads in to the origin.
        end_s: source time behind which sound is left out.

    Attributes:
        warnings: what went wrong, one line each.

    Raises:
        AudioUnfit: there is no sound, or the output cannot hold its codec.
    """

    def __init__(
        self, source: Path, out: OutputContainer, *, origin_s: float, start_s: float | None, end_s: float | None
    ) -> None:
        self.warnings: list[str] = []
        self._out = out
        self._origin_s = origin_s
        # Matroska has no negative times: it would move the pictures to make room for the lead-in.
        lead_in = 0.0 if out.format.name == "matroska" else _PRIMING_S
        self._start_s = origin_s - lead_in if start_s is None else max(start_s, origin_s - lead_in)
        self._end_s = end_s
        self._last_dts: int | None = None
        try:
            self._container = av.open(str(source.absolute()), "r", options={"protocol_whitelist": "file,crypto"})
        except (av.FFmpegError, OSError, ValueError) as error:
            raise AudioUnfit(f"the sound of {source.name} cannot be read ({reason(error)})") from error
        try:
            self._stream = self._pick(source)
            self._target = self._add(self._stream)
            self._filter = _headers_out(self._stream)
            if start_s:
                self._seek(start_s)
        except AudioUnfit:
            self._container.close()
            raise
        self._packets = self._container.demux(self._stream)
        self._waiting = self._read()

    def _pick(self, source: Path) -> AudioStream:
        for stream in self._container.streams.audio:
            if stream.codec_context is not None and stream.time_base:
                return stream
        raise AudioUnfit(f"{source.name} has no sound that can be copied")

    def _add(self, stream: AudioStream) -> AudioStream:
        codec, form = stream.codec_context.codec.canonical_name, self._out.format.name
        unfit = AudioUnfit(f"the sound was left out: {form} cannot hold {codec}; write .mkv to keep it")
        if not codec.startswith(_PLAYABLE.get(form, ("",))):
            raise unfit
        try:
            return self._out.add_stream_from_template(stream)
        except (av.FFmpegError, ValueError) as error:
            raise unfit from error

    def _seek(self, start_s: float) -> None:
        try:
            self._container.seek(int(max(0.0, start_s) / float(self._base)), stream=self._stream, backward=True)
        except av.FFmpegError:
            pass  # reading from the beginning finds the same packets, only later

    @property
    def _base(self) -> float:
        return float(self._stream.time_base or 1)

    def _read(self) -> Packet[AudioStream] | None:
        """The next packet inside the window, shifted to the output's clock; None at the end."""
        origin = round(self._origin_s / self._base)
        try:
            for packet in self._packets:
                pts = packet.dts if packet.pts is None else packet.pts
                if not packet.size or pts is None:
                    continue
                time_s = pts * self._base
                if self._end_s is not None and time_s >= self._end_s:
                    return None
                if time_s + (packet.duration or 0) * self._base <= self._start_s:
                    continue
                dts = pts if packet.dts is None else packet.dts
                if self._last_dts is not None and dts <= self._last_dts:
                    continue  # a damaged file; a muxer would refuse the packet and everything after it
                self._last_dts = dts
                packet.pts, packet.dts = pts - origin, dts - origin
                return self._prepared(packet)
        except av.FFmpegError as error:
            self.warnings.append(f"the sound ends early; it is damaged ({reason(error)})")
        return None

    def _prepared(self, packet: Packet[AudioStream]) -> Packet[AudioStream]:
        base = packet.time_base
        if self._filter is not None:
            packet = self._filter.filter(packet)[0]
        packet.time_base, packet.stream = base, self._target
        return packet

    def copy_until(self, time_s: float | None) -> None:
        """Write what lies before an output time in seconds; all that is left where None.

        Raises:
            av.FFmpegError: the output cannot be written (sound that the container refuses only ends with a warning).
        """
        while self._waiting is not None and (time_s is None or (self._waiting.pts or 0) * self._base < time_s):
            try:
                self._out.mux(self._waiting)
            except av.FFmpegError as error:
                if error.errno in _STORAGE:
                    raise
                self.warnings.append(f"the sound was left out from here; it cannot be stored ({reason(error)})")
                self._waiting = None
            else:
                self._waiting = self._read()

    def close(self) -> None:
        """Close the file with the sound."""
        self._container.close()


def _headers_out(stream: AudioStream) -> BitStreamFilterContext | None:
    """AAC out of a broadcast stream has a header in each packet, where files want one for all of them."""
    if stream.codec_context.name != "aac" or stream.codec_context.extradata:
        return None
    return BitStreamFilterContext("aac_adtstoasc", stream)
