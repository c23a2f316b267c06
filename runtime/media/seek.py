"""Exact random access: any picture of a video file or folder by its index, the same as when the file is read from the start.

A video is listed once without decoding it. A picture is reached from the key frame before it, and every picture on the
way is checked against the list. A file that does not keep what its container says is decoded once from end to end and
listed anew; where even that list is no guide (damage, stamps that repeat), pictures are counted from the beginning.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import av
import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.media.base import Rotate
from vipose.runtime.media.decode import Decoder
from vipose.runtime.media.frametable import FrameTable, Interrupted, table_of_packets, table_of_pictures
from vipose.runtime.media.images import IMAGE_RATE, IMAGE_SUFFIXES, ImagesSource, read_image
from vipose.runtime.media.picturecache import PictureCache
from vipose.runtime.media.pixels import Orientation, RgbConverter, display_orientation
from vipose.runtime.media.video import VideoSource
from vipose.runtime.types import Frame, SourceInfo

__all__ = ["FrameReader", "Interrupted"]

Image = npt.NDArray[np.uint8]
_CACHE_BYTES = 128 << 20  # of decoded pictures behind the last one; a step back then needs no decoding
_FIRST_CHECK = 16  # pictures decoded at opening: enough to see whether stamps and pictures go together
_NEAR = 4  # pictures; so close ahead, decoding on is cheaper than starting at another key frame
_TRIES = 3  # key frames that may fail one after another before none is trusted


class FrameReader:
    """Pictures of a video file, of a folder of pictures or of one picture, by index.

    ``frame(i)`` is bit for bit the i-th frame that :class:`~vipose.runtime.media.video.VideoSource` (or
    :class:`~vipose.runtime.media.images.ImagesSource`) delivers, with the same time. Any thread may call, one is served at
    a time.

    Args:
        path: video file, folder of pictures, or one picture.
        rotate: as for :class:`~vipose.runtime.media.video.VideoSource`.
        name: what messages and frames call it; the path as given where None.
        cache_bytes: memory for decoded pictures around the last position.
        thorough: list a video by decoding all of it, for a file that is known to hold less than it says.
        cancelled: asked during long searches, from the calling thread; True ends them with :class:`Interrupted`.

    Attributes:
        info: of the source; ``frames`` is the true count at the time of opening.

    Raises:
        InputError: it cannot be opened or holds no picture.
        Interrupted: ``cancelled`` said so.
    """

    def __init__(
        self,
        path: str | Path,
        rotate: Rotate = "auto",
        *,
        name: str | None = None,
        cache_bytes: int = _CACHE_BYTES,
        thorough: bool = False,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        path = Path(path)
        name = name or str(path)
        self._lock = threading.Lock()
        still = path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES
        self._pictures: _Pictures = (
            _Folder(path, name, rotate) if still else _Video(path, name, rotate, cache_bytes, thorough, cancelled)
        )
        self.info: SourceInfo = self._pictures.info

    def __len__(self) -> int:
        return len(self._pictures.times_s)

    @property
    def times_s(self) -> npt.NDArray[np.float64]:
        """[n] float64, read-only: presentation time of each picture in seconds, rising."""
        return self._pictures.times_s

    def index_at(self, time_s: float) -> int:
        """Index of the picture that is on the screen at a time: the last one at or before it, 0 before the first."""
        return max(0, int(np.searchsorted(self.times_s, time_s, side="right")) - 1)

    def frame(self, index: int) -> Frame:
        """The picture with an index, upright RGB, read-only.

        Raises:
            InputError: there is no such picture, or it cannot be decoded.
            Interrupted: ``cancelled`` said so.
            RuntimeError: the reader is closed.
        """
        with self._lock:
            if not 0 <= index < len(self):
                raise self._outside(index)
            image = self._pictures.image(index)
            return Frame(index, float(self.times_s[index]), image, self.info.name)

    def _outside(self, index: int) -> InputError:
        return InputError(f"{self.info.name} has no frame {index} (it holds {len(self)}); choose the video that belongs to it")

    def close(self) -> None:
        """Free everything; may be called more than once."""
        with self._lock:
            self._pictures.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Pictures(Protocol):
    """What the two kinds of sources give the reader."""

    info: SourceInfo

    @property
    def times_s(self) -> npt.NDArray[np.float64]: ...

    def image(self, index: int) -> Image: ...

    def close(self) -> None: ...


class _Folder:
    """Pictures in files of their own: each is read when it is asked for."""

    def __init__(self, path: Path, name: str, rotate: Rotate) -> None:
        with ImagesSource(path, name=name, rotate=rotate) as source:
            self.info, self._paths = source.info, source.paths
        self._rotate = rotate
        self.times_s = np.array([place / IMAGE_RATE for place in range(len(self._paths))], np.float64)
        self.times_s.flags.writeable = False

    def image(self, index: int) -> Image:
        return read_image(self._paths[index], self._rotate)

    def close(self) -> None:
        """Nothing is held."""


class _Mismatch(Exception):
    """What was decoded is not what the table says."""


class _Video:
    """A container: decoder, table, and the last pictures."""

    def __init__(
        self, path: Path, name: str, rotate: Rotate, cache_bytes: int, thorough: bool, cancelled: Callable[[], bool]
    ) -> None:
        with VideoSource(path, name=name, rotate=rotate) as source:  # it says what is wrong with a file
            info = source.info
        self._path, self._name, self._rotate, self._cancelled = path, name, rotate, cancelled
        self._cache = PictureCache(cache_bytes)
        self._to_rgb = RgbConverter()
        self._orientation: Orientation | None = None
        self._size = info.size
        self._by_pictures = False  # the table was made by decoding
        self._decoder = self._open()
        self._stream: Generator[av.VideoFrame] = self._decoder.frames()
        self._next = 0
        self._closed = False
        try:
            self._table = self._list_carefully() if thorough else self._list()
            self._from_beginning()
            self._reach(min(_FIRST_CHECK, len(self._table)) - 1)
        except BaseException:
            self.close()
            raise
        self.info = SourceInfo(
            name, "video", info.size, info.fps, len(self._table), info.rotation, info.audio
        )

    @property
    def times_s(self) -> npt.NDArray[np.float64]:
        return self._table.times_s

    def _open(self) -> Decoder:
        return Decoder(self._name, os.path.abspath(self._path), options={"protocol_whitelist": "file,crypto"})

    def _list(self) -> FrameTable:
        table = table_of_packets(self._decoder, self._cancelled)
        return self._list_carefully() if table is None else table

    def _list_carefully(self) -> FrameTable:
        self._reopen()
        self._by_pictures = True
        return table_of_pictures(self._decoder, self._cancelled)

    def _reopen(self) -> None:
        self._stream.close()
        self._decoder.close()
        self._decoder = self._open()
        self._stream = self._decoder.frames()

    def _from_beginning(self) -> None:
        self._reopen()
        self._next = 0

    def image(self, index: int) -> Image:
        if self._closed:
            raise RuntimeError(f"{self._name} is closed")
        picture = self._cache.get(index)
        return self._upright(index, self._reach(index) if picture is None else picture)

    def _reach(self, index: int) -> av.VideoFrame:
        """The picture, by a more careful table where this one turns out to be wrong."""
        careful = not self._table.pts
        while True:
            try:
                return self._decode_to(index)
            except _Mismatch:
                self._cache.clear()
                if careful:  # counted from the beginning and still not there: it is another file by now
                    raise InputError(f"{self._name} changed while it was open; open it again") from None
                self._table, careful = self._more_careful()
                self._from_beginning()
            if index >= len(self._table):
                raise InputError(f"{self._name} has no frame {index} (it holds {len(self._table)})")

    def _more_careful(self) -> tuple[FrameTable, bool]:
        if self._by_pictures:
            return self._table.in_order(), True
        table = self._list_carefully()
        return table, not table.pts

    def _decode_to(self, index: int) -> av.VideoFrame:
        if not self._is_ahead(index):
            self._go_before(index)
        while self._next <= index:
            self._step()
        picture = self._cache.get(index)
        if picture is None:
            raise _Mismatch
        return picture

    def _is_ahead(self, index: int) -> bool:
        """Whether decoding on from here is the shortest way."""
        if self._next > index:
            return False
        return index - self._next <= _NEAR or self._next >= next(iter(self._keys_before(index)), 0)

    def _keys_before(self, index: int) -> list[int]:
        """The nearest key frames at or before an index, nearest first."""
        keys = self._table.keys
        end = bisect_right(keys, index)
        return list(reversed(keys[max(0, end - _TRIES) : end]))

    def _go_before(self, index: int) -> None:
        """Stand right behind a key frame at or before the index, or at the beginning."""
        failed: list[int] = []
        for key in self._keys_before(index):
            if self._start_at(key):
                self._table = self._table.without(*failed)
                return
            failed.append(key)
        self._table = self._table.without(*(self._table.keys if len(failed) == _TRIES else failed))
        self._from_beginning()

    def _start_at(self, key: int) -> bool:
        """Seek, then decode up to the key frame itself; False where it does not come out."""
        wanted = self._table.pts[key]
        self._stream.close()
        try:
            self._decoder.container.seek(wanted, stream=self._decoder.stream, backward=True)
        except av.FFmpegError:
            return False
        self._stream = self._decoder.frames()
        for picture in self._stream:
            if self._cancelled():
                raise Interrupted
            if picture.pts is None or picture.pts > wanted:
                return False
            if picture.pts == wanted:
                self._cache.put(key, picture)
                self._next = key + 1
                return True
        return False

    def _step(self) -> None:
        """Decode one picture on and keep it; raises _Mismatch where it is not the one that the table names."""
        if self._cancelled():
            raise Interrupted
        errors = self._decoder.undecodable
        picture = next(self._stream, None)
        if picture is None:
            raise _Mismatch
        if self._table.pts:
            damaged = picture.is_corrupt or self._decoder.undecodable > errors
            if damaged or picture.pts != self._table.pts[self._next]:
                raise _Mismatch
        if self._orientation is None:
            self._orientation = display_orientation(picture) if self._rotate == "auto" else Orientation(self._rotate)
        self._cache.put(self._next, picture)
        self._next += 1

    def _upright(self, index: int, picture: av.VideoFrame) -> Image:
        try:
            image = (self._orientation or Orientation()).apply(self._to_rgb(picture))
        except (av.FFmpegError, ValueError) as error:
            raise InputError(f"frame {index} of {self._name} has a pixel format that is not supported") from error
        height, width = image.shape[:2]
        if (width, height) != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        image.flags.writeable = False
        return image

    def close(self) -> None:
        self._closed = True
        self._cache.clear()
        self._stream.close()
        self._decoder.close()
