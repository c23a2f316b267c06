"""Paints an overlay with Qt: the look of :mod:`vipose.runtime.draw`, with sharp letters at any zoom and any screen."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen

from vipose.runtime.overlay import Box, Colour, Dot, Line, Overlay, Rect, Text, ink_on

__all__ = ["CASING", "paint_brackets", "paint_chip", "paint_overlay", "pen", "qcolour", "qrect"]

CASING: Colour = (12, 12, 16)
"""Dark rim around lines and dots, so that they show on any ground."""
_STEPS = 8  # of opacity: lines that look alike are drawn together, which is several times faster


def qcolour(colour: Colour, alpha: float = 1.0) -> QColor:
    """An RGB colour with an opacity 0..1."""
    return QColor(*colour, round(255 * alpha))


def qrect(rect: Rect) -> QRectF:
    """x0, y0, x1, y1 as Qt's rectangle."""
    return QRectF(QPointF(rect[0], rect[1]), QPointF(rect[2], rect[3]))


def pen(colour: QColor, width: float, cap: Qt.PenCapStyle = Qt.PenCapStyle.RoundCap) -> QPen:
    """A solid pen, ``width`` in widget pixels, with round ends unless asked otherwise."""
    return QPen(colour, width, Qt.PenStyle.SolidLine, cap, Qt.PenJoinStyle.RoundJoin)


def paint_overlay(painter: QPainter, overlay: Overlay) -> None:
    """Paint boxes, lines, dots, panels and texts where they say, in the painter's own coordinates; GUI thread.

    Mirroring is up to the layout (see :func:`vipose.app.core.hit.projected`), so that letters are never mirrored. The
    painter's opacity holds for everything; its other states are kept.
    """
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for box in overlay.boxes:
        _box(painter, box)
    _lines(painter, overlay.lines)
    _dots(painter, overlay.dots)
    painter.setPen(Qt.PenStyle.NoPen)
    for panel in overlay.panels:
        painter.fillRect(qrect(panel.rect), qcolour(panel.colour, panel.alpha))
    for text in overlay.texts:
        _text(painter, text)
    painter.restore()


def _box(painter: QPainter, box: Box) -> None:
    painter.setPen(QPen(qcolour(box.colour), box.width))
    painter.drawRect(qrect(box.rect))


def _step(alpha: float) -> int:
    return round(alpha * _STEPS)


def _lines(painter: QPainter, lines: Iterable[Line]) -> None:
    """All rims first, so that none cuts a neighbouring line. Ends are flat, a third faster: dots cover them."""
    flat = Qt.PenCapStyle.FlatCap

    def rim(line: Line) -> tuple[float, float, int]:
        return line.width, line.casing, _step(line.alpha)

    def core(line: Line) -> tuple[float, Colour, int]:
        return line.width, line.colour, _step(line.alpha)

    for (width, casing, step), alike in groupby(sorted(lines, key=rim), rim):
        if casing > 0:
            painter.setPen(pen(qcolour(CASING, 0.85 * step / _STEPS), width + 2 * casing, flat))
            painter.drawLines([QLineF(*line.start, *line.end) for line in alike])
    for (width, colour, step), same in groupby(sorted(lines, key=core), core):
        painter.setPen(pen(qcolour(colour, step / _STEPS), width, flat))
        painter.drawLines([QLineF(*line.start, *line.end) for line in same])


def _dots(painter: QPainter, dots: Iterable[Dot]) -> None:
    """Points drawn with a round pen are discs, and many at once are fast."""

    def rim(dot: Dot) -> tuple[float, float, int]:
        return dot.radius, dot.casing, _step(dot.alpha)

    def core(dot: Dot) -> tuple[float, Colour, int]:
        return dot.radius, dot.colour, _step(dot.alpha)

    for (radius, casing, step), alike in groupby(sorted(dots, key=rim), rim):
        if casing > 0:
            painter.setPen(pen(qcolour(CASING, step / _STEPS), 2 * (radius + casing)))
            painter.drawPoints([QPointF(*dot.centre) for dot in alike])
    for (radius, colour, step), same in groupby(sorted(dots, key=core), core):
        painter.setPen(pen(qcolour(colour, step / _STEPS), 2 * radius))
        painter.drawPoints([QPointF(*dot.centre) for dot in same])


def _text(painter: QPainter, text: Text) -> None:
    """Capitals of the wanted height, squeezed where the block was measured for narrower letters."""
    font = QFont(painter.font())
    font.setPixelSize(max(1, round(text.size / 0.72)))
    painter.setFont(font)
    width = painter.fontMetrics().horizontalAdvance(text.text)
    room = text.rect[2] - text.left
    if width > room > 0:
        font.setStretch(max(50, int(100 * room / width)))
        painter.setFont(font)
    painter.setPen(qcolour(text.colour))
    painter.drawText(QPointF(text.left, text.baseline), text.text)


def paint_chip(painter: QPainter, rect: Rect, text: str, ground: Colour, alpha: float = 1.0) -> None:
    """One word or number on a small coloured ground; black or white letters, whichever stand out."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(qcolour(ground, alpha))
    area = qrect(rect)
    painter.drawRoundedRect(area, 3, 3)
    painter.setPen(qcolour(ink_on(ground)))
    painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)


def paint_brackets(painter: QPainter, rect: Rect, colour: Colour, width: float) -> None:
    """The four corners of a box, thick and with a rim: the mark of the person who is followed."""
    x0, y0, x1, y1 = rect
    arm = min(max(0.16 * min(x1 - x0, y1 - y0), 8.0), 40.0)
    corners = [(x, sx, y, sy) for x, sx in ((x0, arm), (x1, -arm)) for y, sy in ((y0, arm), (y1, -arm))]
    lines = [QLineF(x, y, x + sx, y) for x, sx, y, _ in corners] + [QLineF(x, y, x, y + sy) for x, _, y, sy in corners]
    painter.setPen(pen(qcolour(CASING, 0.8), width + 2))
    painter.drawLines(lines)
    painter.setPen(pen(qcolour(colour), width))
    painter.drawLines(lines)
