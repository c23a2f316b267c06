"""Words over the canvas: of the joint under the mouse, a legend of heatmaps, notes at the edge, and the empty state."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPalette

from vipose.app.core.hit import Point
from vipose.app.widgets.canvas_picture import heat_gradient
from vipose.app.widgets.painting import CASING, pen, qcolour

__all__ = ["paint_hover", "paint_legend", "paint_message", "paint_note", "surround"]

_GROUND = qcolour((16, 18, 24), 0.82)
_INK = qcolour((255, 255, 255))
_QUIET = qcolour((172, 178, 188))
_MARGIN = 12
_PAD = 8


def paint_hover(painter: QPainter, area: QRect, point: Point, text: str) -> None:
    """A ring around a joint and its words beside it, inside of ``area``."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for colour, width in ((qcolour(CASING, 0.8), 4.0), (_INK, 2.0)):
        painter.setPen(pen(colour, width))
        painter.drawEllipse(QPointF(*point), 8.0, 8.0)
    width, height = _size(painter, text)
    x, y = point[0] + 16, point[1] - height / 2
    if x + width > area.width() - 4:
        x = point[0] - 16 - width
    y = min(max(y, 4.0), area.height() - height - 4)
    _pill(painter, QRectF(max(x, 4.0), y, width, height), text)


def paint_legend(painter: QPainter, area: QRect, text: str) -> None:
    """What the heatmaps are and what their colours mean, in the lower left corner."""
    letters = painter.fontMetrics().horizontalAdvance
    line, gap, bar = painter.fontMetrics().height(), 6, 72
    width, height = _size(painter, text)
    width += 2 * gap + letters("0") + bar + gap + letters("1") + gap
    box = QRectF(_MARGIN, area.height() - _MARGIN - height, width, height)
    _pill(painter, box, "")
    painter.setPen(_INK)
    x = box.left() + _PAD
    for word, end in ((text, 2 * gap), ("0", gap)):
        painter.drawText(QRectF(x, box.top(), letters(word) + 2, height), Qt.AlignmentFlag.AlignVCenter, word)
        x += letters(word) + end
    colours = QRectF(x, box.center().y() - line / 4, bar, line / 2)
    painter.fillRect(colours, heat_gradient(colours))
    painter.drawText(
        QRectF(colours.right() + gap, box.top(), letters("1") + 2, height), Qt.AlignmentFlag.AlignVCenter, "1"
    )


def paint_note(painter: QPainter, area: QRect, text: str) -> None:
    """A short note at the upper edge."""
    width, height = _size(painter, text)
    _pill(painter, QRectF((area.width() - width) / 2, _MARGIN, width, height), text)


def surround(palette: QPalette) -> QColor:
    """The ground of the canvas: the darkest colour of the palette, since pictures and marks read best on a dark one."""
    roles = (QPalette.ColorRole.Dark, QPalette.ColorRole.WindowText)
    return min((palette.color(role) for role in roles), key=QColor.lightnessF)


def paint_message(painter: QPainter, area: QRect, text: str) -> None:
    """The empty state: quiet words in the middle."""
    painter.setPen(_QUIET)
    flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
    painter.drawText(QRectF(area).adjusted(2 * _MARGIN, _MARGIN, -2 * _MARGIN, -_MARGIN), int(flags), text)


def _size(painter: QPainter, text: str) -> tuple[float, float]:
    metrics = painter.fontMetrics()
    return metrics.horizontalAdvance(text) + 2.0 * _PAD, metrics.height() + 8.0


def _pill(painter: QPainter, rect: QRectF, text: str) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(_GROUND)
    painter.drawRoundedRect(rect, 5, 5)
    painter.setPen(_INK)
    painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, text)
