"""The picture and the heatmaps of a frame, painted where the view has them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QLinearGradient, QPainter, QTransform

from vipose.app.core.hit import ViewTransform
from vipose.app.core.shown import HeatPatch

__all__ = ["PictureLayer", "heat_gradient", "paint_heat"]

_SMOOTH = QPainter.RenderHint.SmoothPixmapTransform
_COARSE = 0.6  # below this scale two-by-two interpolation leaves pixels out and fine patterns flicker
_DIM = QColor(8, 9, 12, 150)
_STOPS = (
    (0.0, (40, 11, 84)), (0.25, (101, 21, 110)), (0.5, (190, 55, 82)), (0.7, (237, 105, 37)), (0.85, (251, 180, 26)),
    (1.0, (252, 255, 164)),
)  # fmt: skip
"""Some colours of "inferno" (matplotlib, CC0): lighter always means more, to colour-blind people too."""


class PictureLayer:
    """Holds the picture of the newest frame only, in the form that Qt paints fastest. GUI thread."""

    def __init__(self) -> None:
        self._picture: npt.NDArray[np.uint8] | None = None
        self._image: QImage | None = None  # made of the picture when it is painted first: many never are
        self._small: QImage | None = None

    def set(self, picture: npt.NDArray[np.uint8] | None) -> None:
        """Take a picture, [h, w, 3] uint8 RGB contiguous, or none. It is kept, never written to."""
        self._picture, self._image, self._small = picture, None, None

    def _whole(self, picture: npt.NDArray[np.uint8]) -> QImage:
        if self._image is None:
            height, width = picture.shape[:2]
            wrapped = QImage(picture.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            self._image = wrapped.convertToFormat(QImage.Format.Format_RGB32)
        return self._image

    def paint(self, painter: QPainter, view: ViewTransform) -> None:
        """Paint the part of the picture that is in view; nothing where there is no picture."""
        if self._picture is None:
            return
        scale = view.scale * view.frame[0] / self._picture.shape[1] * painter.device().devicePixelRatio()
        image = self._at(scale, self._picture)
        painter.save()
        painter.setRenderHint(_SMOOTH)
        painter.setTransform(_frame_transform(view), True)
        # The picture may be smaller than the frame; both cover the same area, from the outer edges of their pixels.
        wide, high = view.frame[0] / image.width(), view.frame[1] / image.height()
        part = _visible(view, image.width() / view.frame[0], image.height() / view.frame[1], image)
        target = QRectF(part.x() * wide - 0.5, part.y() * high - 0.5, part.width() * wide, part.height() * high)
        painter.drawImage(target, image, part)
        painter.restore()

    def _at(self, scale: float, picture: npt.NDArray[np.uint8]) -> QImage:
        """The picture, or an averaged smaller one where it is shown much smaller (``scale``: screen to picture pixels)."""
        image = self._whole(picture)
        if scale >= _COARSE:
            return image
        width, height = max(1, math.ceil(image.width() * scale)), max(1, math.ceil(image.height() * scale))
        if self._small is None or (self._small.width(), self._small.height()) != (width, height):
            smooth = Qt.TransformationMode.SmoothTransformation
            self._small = image.scaled(width, height, Qt.AspectRatioMode.IgnoreAspectRatio, smooth)
        return self._small


def _frame_transform(view: ViewTransform) -> QTransform:
    return _transform(view.affine)


def _transform(affine: npt.NDArray[np.float64]) -> QTransform:
    (a, b, x), (c, d, y) = affine.tolist()
    return QTransform(a, c, b, d, x, y)


def _visible(view: ViewTransform, wide: float, high: float, image: QImage) -> QRectF:
    """The pixels of the image that are in view, and one more on every side for the interpolation."""
    xs, ys = zip(view.to_frame((0, 0)), view.to_frame(view.widget), strict=True)
    left, right = ((x + 0.5) * wide for x in sorted(xs))
    top, bottom = ((y + 0.5) * high for y in sorted(ys))
    x0, y0 = max(math.floor(left) - 1, 0), max(math.floor(top) - 1, 0)
    x1, y1 = min(math.ceil(right) + 1, image.width()), min(math.ceil(bottom) + 1, image.height())
    return QRectF(x0, y0, max(x1 - x0, 0), max(y1 - y0, 0))


def _table() -> npt.NDArray[np.uint32]:
    """Value of a heatmap -> premultiplied ARGB; what is hardly there is hardly seen."""
    share = np.linspace(0.0, 1.0, 256)
    at = [stop for stop, _ in _STOPS]
    colour = np.stack([np.interp(share, at, [rgb[c] for _, rgb in _STOPS]) for c in range(3)], 1)
    alpha = (share / 0.35).clip(0, 1) * 0.92
    alpha[share < 0.02] = 0.0
    red, green, blue = (colour * alpha[:, None]).round().astype(np.uint32).T
    opacity = (alpha * 255).round().astype(np.uint32)
    return np.asarray(opacity << 24 | red << 16 | green << 8 | blue, np.uint32)


_TABLE = _table()


def paint_heat(painter: QPainter, patches: Iterable[HeatPatch], view: ViewTransform, *, dim: bool) -> None:
    """Lay heatmaps over the picture.

    Args:
        painter: in widget pixels.
        patches: of the frame.
        view: where the frame lies.
        dim: darken the picture first, so that weak cells show.
    """
    painter.save()
    if dim:
        painter.fillRect(QRectF(*view.picture), _DIM)
    painter.setClipRect(QRectF(*view.picture))
    painter.setRenderHint(_SMOOTH)
    base = painter.transform()
    for patch in patches:
        # A rim of nothing lets the outermost cells fade out instead of ending in a hard edge.
        cells = np.ascontiguousarray(np.pad(_TABLE[patch.values], 1))
        height, width = cells.shape
        image = QImage(cells.data, width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied)
        painter.setTransform(_transform(patch.affine) * _frame_transform(view) * base)
        painter.drawImage(QPointF(-1.5, -1.5), image)
    painter.restore()


def heat_gradient(rect: QRectF) -> QLinearGradient:
    """The colours from nothing (left) to the surest cell (right), for a legend."""
    gradient = QLinearGradient(rect.topLeft(), rect.topRight())
    for stop, rgb in _STOPS:
        gradient.setColorAt(stop, QColor(*rgb))
    return gradient
