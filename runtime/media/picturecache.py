"""Decoded pictures kept for a while, in the decoder's own form: half of what they take as RGB."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av

__all__ = ["PictureCache"]


class PictureCache:
    """Decoded pictures by index; the least recently used ones go when they take too much room, the newest stays.

    Args:
        limit_bytes: of all pictures together.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit, self._held = limit_bytes, 0
        self._pictures: OrderedDict[int, av.VideoFrame] = OrderedDict()

    def get(self, index: int) -> av.VideoFrame | None:
        """The picture with an index, None where it is not here."""
        picture = self._pictures.get(index)
        if picture is not None:
            self._pictures.move_to_end(index)
        return picture

    def put(self, index: int, picture: av.VideoFrame) -> None:
        """Keep a picture."""
        self._drop(index)
        self._pictures[index] = picture
        self._held += _bytes(picture)
        while self._held > self._limit and len(self._pictures) > 1:
            self._drop(next(iter(self._pictures)))

    def _drop(self, index: int) -> None:
        old = self._pictures.pop(index, None)
        if old is not None:
            self._held -= _bytes(old)

    def clear(self) -> None:
        """Forget everything."""
        self._pictures.clear()
        self._held = 0


def _bytes(picture: av.VideoFrame) -> int:
    return sum(plane.buffer_size for plane in picture.planes)
