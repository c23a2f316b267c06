"""Decoded frames to upright RGB pictures: colour matrix, range, bit depth, rotation and mirroring."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import av
    from av.buffer import Buffer

__all__ = ["Orientation", "RgbConverter", "display_orientation", "resized", "shrunk"]

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_UNSPECIFIED = (2, 3)  # AVCOL_SPC_UNSPECIFIED and RESERVED
_BT601 = 5
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_SWS_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # AVCOL_SPC_* to SWS_CS_*


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright: mirrored left to right first where asked for, then turned clockwise.

    Attributes:
        degrees: 0, 90, 180 or 270, clockwise.
        mirrored: flip left and right before turning (front cameras of some phones).
    """

    degrees: int = 0
    mirrored: bool = False

    def apply(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the upright picture, C-contiguous; the same array where nothing is to be done."""
        turned: Any = cv2.flip(image, 1) if self.mirrored else image
        if self.degrees:
            turned = cv2.rotate(turned, _TURNS[self.degrees])
        return np.ascontiguousarray(turned)


def display_orientation(frame: av.VideoFrame) -> Orientation:
    """Orientation from a frame's display matrix; upright where it has none.

    The matrix (ISO 14496-12, 8.3.2) maps stored to shown pixels, y down: x' = a x + c y, y' = b x + d y. Its turn is
    rounded to a quarter. It is read here, not through ``frame.rotation``, because that one cannot tell a mirror.
    """
    side_data = cast("dict[str, Buffer]", frame.side_data)  # PyAV's stubs know only its keys as enum members
    matrix = side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    a, b, _, c, d = (float(v) for v in np.frombuffer(bytes(matrix), np.int32)[:5])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return Orientation(round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360, mirrored)


class RgbConverter:
    """Converts frames of one stream to RGB; keeps swscale's tables between frames, so use one for each stream.

    The stream's colour matrix and range are respected; where it names none, BT.601 limited is assumed, as FFmpeg and
    OpenCV do. High bit depths are reduced to 8 bits; HDR transfer curves are not tone-mapped. Pixels that are not
    square are not stretched: coordinates stay those of the stored pixels.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        """Return [H, W, 3] uint8 RGB as stored (not yet turned), C-contiguous.

        Raises:
            ValueError: the pixel format cannot be converted (PyAV's errors are ValueErrors or FFmpegErrors).
        """
        matrix = None if frame.format.is_rgb else self._matrix(frame.colorspace)
        # One thread: a frame is small, and waking swscale's threads costs more than they save on a busy machine.
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=int(frame.color_range),
            dst_color_range=_FULL_RANGE,
            threads=1,
        )
        return np.ascontiguousarray(rgb.to_ndarray(), np.uint8)

    @staticmethod
    def _matrix(colorspace: int) -> int:
        return _BT601 if colorspace in _UNSPECIFIED else _SWS_MATRICES.get(int(colorspace), _BT601)


def resized(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A picture [H, W, 3] uint8 in another size (width, height), averaged where it gets smaller; itself where it fits."""
    if size == (image.shape[1], image.shape[0]):
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def shrunk(image: npt.NDArray[np.uint8], largest_px: int) -> npt.NDArray[np.uint8]:
    """A picture [H, W, 3] uint8 of the same shape with no side above ``largest_px``; itself where that holds already."""
    height, width = image.shape[:2]
    factor = min(1.0, largest_px / max(height, width))
    return resized(image, (max(1, round(width * factor)), max(1, round(height * factor))))
