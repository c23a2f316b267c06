"""Paints an overlay onto a picture: the same function for the file and for the screen."""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.lettering import put_text
from vipose.runtime.overlay import Box, Colour, Dot, Line, Overlay, Panel, Rect, Text

__all__ = ["draw"]

Image = npt.NDArray[np.uint8]
_SHIFT = 4  # fractional bits of OpenCV's drawing coordinates
_ONE = 1 << _SHIFT
_FAR = 1e6  # pixels; beyond this nothing can be seen and OpenCV's integers overflow
_CASING: Colour = (12, 12, 16)
_CIRCLE = np.stack([np.cos(np.arange(20) * np.pi / 10), np.sin(np.arange(20) * np.pi / 10)], 1)


def draw(
    image: Image,
    overlay: Overlay,
    *,
    background: Literal["video", "black"] = "video",
    mirror: bool = False,
) -> Image:
    """A new picture with the overlay on it.

    Args:
        image: [H, W, 3] uint8 RGB; never written to.
        overlay: built for a frame of this size.
        background: ``black`` leaves the picture out (for example so that nobody can be recognised).
        mirror: show the view as in a mirror. Text stays readable.

    Returns:
        [H, W, 3] uint8 RGB, contiguous.

    Raises:
        ValueError: the picture has another size than the overlay.
    """
    height, width = image.shape[:2]
    if overlay.size != (width, height):
        raise ValueError(f"an overlay for {overlay.size[0]}x{overlay.size[1]} does not fit a {width}x{height} picture")
    if background == "black":
        canvas = np.zeros_like(image)
    else:
        canvas = np.ascontiguousarray(image[:, ::-1]) if mirror else image.copy()
    flip = width - 1 if mirror else None
    for box in overlay.boxes:
        _box(canvas, box, flip)
    for line in overlay.lines:
        _line(canvas, line, flip)
    for dot in overlay.dots:
        _dot(canvas, dot, flip)
    for panel in overlay.panels:
        _panel(canvas, panel, flip)
    for text in overlay.texts:
        _text(canvas, text, flip)
    return canvas


def _x(x: float, flip: int | None) -> float:
    """The column of a point in a mirrored view."""
    return x if flip is None else flip - x


def _rect(rect: Rect, flip: int | None) -> Rect:
    return rect if flip is None else (flip - rect[2], rect[1], flip - rect[0], rect[3])


def _fixed(value: float) -> int:
    """OpenCV's fixed-point coordinate."""
    return round(min(max(value, -_FAR), _FAR) * _ONE)


def _pixels(width: float) -> int:
    return max(1, round(width))


def _window(canvas: Image, rect: Rect) -> tuple[slice, slice] | None:
    """Rows and columns of the part of ``rect`` inside the picture; None where there is none."""
    height, width = canvas.shape[:2]
    if not all(map(math.isfinite, rect)):
        return None
    x0, y0 = max(math.floor(max(rect[0], -1)), 0), max(math.floor(max(rect[1], -1)), 0)
    x1, y1 = min(math.ceil(min(rect[2], width)) + 1, width), min(math.ceil(min(rect[3], height)) + 1, height)
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None


def _line(canvas: Image, line: Line, flip: int | None) -> None:
    start, end = (_x(line.start[0], flip), line.start[1]), (_x(line.end[0], flip), line.end[1])
    reach = line.width / 2 + line.casing + 2
    low = min(start[0], end[0]) - reach, min(start[1], end[1]) - reach
    high = max(start[0], end[0]) + reach, max(start[1], end[1]) + reach
    window = _window(canvas, (*low, *high))
    if window is None:
        return
    part, x, y = canvas[window], window[1].start, window[0].start
    target = part.copy() if line.alpha < 1 else part
    ends = [(_fixed(start[0] - x), _fixed(start[1] - y)), (_fixed(end[0] - x), _fixed(end[1] - y))]
    if line.casing > 0:
        _stroke(target, ends, _CASING, line.width + 2 * line.casing)
    _stroke(target, ends, line.colour, line.width)
    if line.alpha < 1:
        cv2.addWeighted(target, line.alpha, part, 1 - line.alpha, 0, dst=part)


def _stroke(target: Image, ends: list[tuple[int, int]], colour: Colour, width: float) -> None:
    cv2.line(target, ends[0], ends[1], colour, _pixels(width), cv2.LINE_AA, _SHIFT)


def _dot(canvas: Image, dot: Dot, flip: int | None) -> None:
    x, y = _x(dot.centre[0], flip), dot.centre[1]
    reach = dot.radius + dot.casing + 2
    window = _window(canvas, (x - reach, y - reach, x + reach, y + reach))
    if window is None:
        return
    part = canvas[window]
    target = part.copy() if dot.alpha < 1 else part
    centre = x - window[1].start, y - window[0].start
    if dot.casing > 0:
        _disc(target, centre, dot.radius + dot.casing, _CASING)
    _disc(target, centre, dot.radius, dot.colour)
    if dot.alpha < 1:
        cv2.addWeighted(target, dot.alpha, part, 1 - dot.alpha, 0, dst=part)


def _disc(target: Image, centre: tuple[float, float], radius: float, colour: Colour) -> None:
    """A filled circle; as a polygon, because OpenCV turns small anti-aliased circles into diamonds."""
    corners = np.rint((np.asarray(centre) + radius * _CIRCLE) * _ONE).astype(np.int32)
    cv2.fillConvexPoly(target, corners, colour, cv2.LINE_AA, _SHIFT)


def _box(canvas: Image, box: Box, flip: int | None) -> None:
    rect = _rect(box.rect, flip)
    if _window(canvas, rect) is None:
        return
    corners = (_fixed(rect[0]), _fixed(rect[1])), (_fixed(rect[2]), _fixed(rect[3]))
    cv2.rectangle(canvas, *corners, box.colour, _pixels(box.width), cv2.LINE_AA, _SHIFT)


def _panel(canvas: Image, panel: Panel, flip: int | None) -> None:
    window = _window(canvas, panel.rect if panel.pinned else _rect(panel.rect, flip))
    if window is None:
        return
    part = canvas[window]
    cv2.addWeighted(np.full_like(part, panel.colour), panel.alpha, part, 1 - panel.alpha, 0, dst=part)


def _text(canvas: Image, text: Text, flip: int | None) -> None:
    rect = text.rect if text.pinned else _rect(text.rect, flip)
    window = _window(canvas, rect)
    if window is None:
        return
    put_text(canvas, text.text, rect[0] + text.left - text.rect[0], text.baseline, text.size, text.colour)
