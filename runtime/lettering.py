"""Text on pictures: one place for measuring and drawing, so that the layout of an overlay fits what is drawn."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Extent", "put_text", "text_extent"]

Extent = tuple[int, int, int]
"""Width, ascent and descent in pixels."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL = 21.0  # height of a capital letter of this font at scale 1, pixels


def _pen(size: float) -> tuple[float, int]:
    """Scale and stroke of letters whose capitals are ``size`` pixels high."""
    return size / _CAPITAL, max(1, round(size / 12))


def printable(text: str) -> str:
    """ASCII only: OpenCV 4 draws nothing else."""
    return text.encode("ascii", "replace").decode("ascii")


@lru_cache(maxsize=4096)
def text_extent(text: str, size: float) -> Extent:
    """How much room a line takes.

    Args:
        text: one line; characters outside ASCII count as a question mark.
        size: height of a capital letter, pixels.
    """
    scale, stroke = _pen(size)
    (width, ascent), descent = cv2.getTextSize(printable(text), _FONT, scale, stroke)
    return int(width), int(ascent), int(descent)


def put_text(
    image: npt.NDArray[np.uint8], text: str, left: float, baseline: float, size: float, colour: tuple[int, int, int]
) -> None:
    """Draw one anti-aliased line into ``image`` ([H, W, 3] uint8, written to); parts outside are cut off."""
    scale, stroke = _pen(size)
    cv2.putText(image, printable(text), (round(left), round(baseline)), _FONT, scale, colour, stroke, cv2.LINE_AA)
