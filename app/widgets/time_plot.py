"""What the plots of the latency panel share: a column a frame on an axis of seconds, and a cursor that points at one.

A plot is a picture that numpy fills, so that its cost depends on its pixels and not on the number of frames. Where
frames are narrower than a pixel the one that matters most is seen: spikes and early key frames are never lost.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QHelpEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from vipose.app.core.latency import Columns
from vipose.app.widgets.theme import number_font

__all__ = ["TimePlot", "columns_of_pixels", "stacked"]

Indices = npt.NDArray[np.intp]
Pixels = npt.NDArray[np.uint32]

_GUTTER = 28  # room for the numbers of the upright axis
_SIDE = 1


class TimePlot(QWidget):
    """A plot over the last seconds. Feed it with :meth:`set_columns`; GUI thread only.

    Args:
        title: above the plot.
        seconds: whether the axis of seconds is written below it.
    """

    pointed = Signal(object)
    """Position of the column under the mouse or the keyboard's cursor; None where there is none."""

    def __init__(self, title: str, *, seconds: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = title
        self.note = ""
        self._seconds = seconds
        self._columns: Columns | None = None
        self._cursor: int | None = None
        self._picture: QImage | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(title)

    @property
    def columns(self) -> Columns | None:
        """What is drawn now."""
        return self._columns

    @property
    def cursor_at(self) -> int | None:
        """Position of the column with the cursor."""
        return self._cursor

    def set_columns(self, columns: Columns | None) -> None:
        """Draw these; None or no columns give an empty plot."""
        self._columns = columns if columns is not None and len(columns) else None
        self._cursor = None
        self._picture = None
        self.update()

    def set_cursor(self, position: int | None) -> None:
        """Mark one column; does not emit :attr:`pointed`."""
        if position != self._cursor:
            self._cursor = position
            self.update()

    def set_note(self, note: str) -> None:
        """A few words to the right of the title."""
        if note != self.note:
            self.note = note
            self.update()

    def column_at(self, x: float) -> int | None:
        """Position of the column at a place, in pixels of the widget."""
        area = self.area()
        if self._columns is None or not area.left() <= x <= area.right():
            return None
        pixels = columns_of_pixels(self._columns, area.width(), self.weights(self._columns))
        found = int(pixels[min(int(x - area.left()), area.width() - 1)])
        return None if found < 0 else found

    def x_of(self, position: int) -> float:
        """Where a column ends, in pixels of the widget."""
        return float(self.xs_of(self._columns.seen_s[position : position + 1])[0]) if self._columns is not None else 0.0

    def xs_of(self, times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Where times lie, in pixels of the widget."""
        area, columns = self.area(), self._columns
        assert columns is not None
        return np.asarray(area.right() + 1 - (columns.seen_s[-1] - times_s) / columns.window_s * area.width())

    def area(self) -> QRect:
        """Where the columns are drawn."""
        line = self.fontMetrics().height()
        below = line + 2 if self._seconds else 4
        return self.rect().adjusted(_GUTTER, line + 6, -_SIDE, -below)

    def sizeHint(self) -> QSize:
        return QSize(320, 84)

    def minimumSizeHint(self) -> QSize:
        return QSize(200, 72)

    @abstractmethod
    def weights(self, columns: Columns) -> npt.NDArray[np.float64]:
        """[N] which of the columns that share a pixel is drawn: the one with the most."""

    @abstractmethod
    def fill(self, columns: Columns, pixels: Indices, height: int) -> Pixels:
        """[height, width] premultiplied ARGB for the column at each pixel (-1: none)."""

    @abstractmethod
    def describe(self, position: int) -> str:
        """One frame in words, for a tool tip; lines end with a line feed."""

    @abstractmethod
    def paint_scale(self, painter: QPainter, area: QRect) -> None:
        """The upright axis, below the columns."""

    def paint_marks(self, painter: QPainter, area: QRect) -> None:
        """Whatever lies on top of the columns."""

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        area = self.area()
        self._paint_title(painter, area)
        painter.fillRect(area, self.palette().color(QPalette.ColorRole.Base))
        if self._seconds:
            self._paint_seconds(painter, area)
        if self._columns is None:
            painter.setPen(self.hint_colour())
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "No frames yet")
            return
        self.paint_scale(painter, area)
        painter.drawImage(QPointF(area.topLeft()), self._drawn(area))
        self.paint_marks(painter, area)
        if self._cursor is not None:
            self._paint_cursor(painter, area)
        if self.hasFocus():
            painter.setPen(QPen(self.palette().color(QPalette.ColorRole.Highlight), 1))
            painter.drawRect(QRectF(area).adjusted(-0.5, -0.5, 0.5, 0.5))

    def hint_colour(self) -> QColor:
        """For labels that step back."""
        return self.palette().color(QPalette.ColorRole.PlaceholderText)

    def paint_level(self, painter: QPainter, area: QRect, y: float, label: str, *, line: bool = True) -> None:
        """One number at the upright axis, with a line across the plot."""
        if line:
            painter.setPen(QPen(self.palette().color(QPalette.ColorRole.Mid), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
        painter.setPen(self.hint_colour())
        painter.setFont(number_font(0.85))
        height = painter.fontMetrics().height()
        top = min(max(y - height / 2, area.top() - height / 2), area.bottom() - height + 4)
        place = QRectF(0, top, _GUTTER - 5, height)
        painter.drawText(place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, label)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._point(self.column_at(event.position().x()))

    def leaveEvent(self, event: QEvent) -> None:
        self._point(None)
        super().leaveEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self._point(None)
        super().focusOutEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        last = len(self._columns) - 1 if self._columns is not None else -1
        now = self._cursor if self._cursor is not None else last + 1
        to = {Qt.Key.Key_Left: now - 1, Qt.Key.Key_Right: now + 1, Qt.Key.Key_Home: 0, Qt.Key.Key_End: last}
        if event.key() == Qt.Key.Key_Escape and self._cursor is not None:
            self._point(None)
        elif event.key() in to and last >= 0:
            self._point(min(max(to[Qt.Key(event.key())], 0), last))
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            position = self.column_at(event.pos().x())
            text = self.toolTip() if position is None else self.describe(position)
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    def changeEvent(self, event: QEvent) -> None:
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._picture = None
            self.update()
        super().changeEvent(event)

    def _point(self, position: int | None) -> None:
        if position != self._cursor:
            self.set_cursor(position)
            self.pointed.emit(position)

    def _drawn(self, area: QRect) -> QImage:
        """The columns as a picture in pixels of the screen."""
        ratio = self.devicePixelRatioF()
        width, height = max(round(area.width() * ratio), 1), max(round(area.height() * ratio), 1)
        if self._picture is None or (self._picture.width(), self._picture.height()) != (width, height):
            assert self._columns is not None
            pixels = columns_of_pixels(self._columns, width, self.weights(self._columns))
            values = np.ascontiguousarray(self.fill(self._columns, pixels, height))
            made = QImage(values.data, width, height, width * 4, QImage.Format.Format_ARGB32_Premultiplied)
            self._picture = made.copy()
            self._picture.setDevicePixelRatio(ratio)
        return self._picture

    def _paint_title(self, painter: QPainter, area: QRect) -> None:
        row = QRect(0, 0, self.width(), self.fontMetrics().height() + 2)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        painter.drawText(row, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, self.title)
        used = self.fontMetrics().horizontalAdvance(self.title) + 10
        note = self.fontMetrics().elidedText(self.note, Qt.TextElideMode.ElideRight, max(row.width() - used, 0))
        painter.setPen(self.hint_colour())
        painter.drawText(row, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, note)

    def _paint_seconds(self, painter: QPainter, area: QRect) -> None:
        window_s = self._columns.window_s if self._columns is not None else 10.0
        painter.save()
        painter.setPen(self.hint_colour())
        painter.setFont(number_font(0.85))
        row = QRect(area.left(), area.bottom() + 2, area.width() + 1, self.height() - area.bottom() - 2)
        for side, label in (
            (Qt.AlignmentFlag.AlignLeft, f"{window_s:g} s ago"),
            (Qt.AlignmentFlag.AlignHCenter, f"{window_s / 2:g} s"),
            (Qt.AlignmentFlag.AlignRight, "newest"),
        ):
            painter.drawText(row, side | Qt.AlignmentFlag.AlignVCenter, label)
        painter.restore()

    def _paint_cursor(self, painter: QPainter, area: QRect) -> None:
        assert self._cursor is not None and self._columns is not None
        ends = self.x_of(self._cursor)
        width = float(self._columns.seen_s[self._cursor] - self._columns.begins_s[self._cursor])
        begins = max(ends - width / self._columns.window_s * area.width(), area.left())
        colour = self.palette().color(QPalette.ColorRole.WindowText)
        veil = QColor(colour)
        veil.setAlpha(50)
        painter.fillRect(QRectF(begins, area.top(), max(ends - begins, 1), area.height()), veil)
        painter.setPen(QPen(colour, 1))
        middle = (begins + ends) / 2
        painter.drawLine(QPointF(middle, area.top()), QPointF(middle, area.bottom()))


def columns_of_pixels(columns: Columns, width: int, weights: npt.NDArray[np.float64]) -> Indices:
    """Which column lies at each of ``width`` pixels; -1 where there is none (a pause, or before the first frame)."""
    scale = width / columns.window_s
    start = columns.seen_s[-1] - columns.window_s
    centres = start + (np.arange(width) + 0.5) / scale
    found = np.minimum(np.searchsorted(columns.seen_s, centres, "left"), len(columns) - 1)
    covered = (columns.begins_s[found] < centres) & (centres <= columns.seen_s[found])
    pixels = np.where(covered, found, -1)
    # Frames so narrow that they cover no pixel's centre take a pixel from one that matters less.
    weights = np.nan_to_num(weights)
    visible = np.zeros(len(columns), bool)
    visible[pixels[pixels >= 0]] = True
    narrow = np.flatnonzero(~visible)
    narrow = narrow[np.argsort(weights[narrow], kind="stable")]  # the one with the most is written last, and stays
    own = np.clip(np.ceil((columns.seen_s[narrow] - start) * scale).astype(np.intp) - 1, 0, width - 1)
    rivals = np.full(width, -1, np.intp)
    rivals[own] = narrow
    better = (rivals >= 0) & ((pixels < 0) | (weights[rivals] > weights[pixels]))
    return np.where(better, rivals, pixels)


def stacked(tops: npt.NDArray[np.float64], colours: Sequence[QColor], height: int) -> Pixels:
    """Bars of layers, one bar a pixel.

    Args:
        tops: [L, width] height of each layer's upper edge above the ground, pixels, ascending along L; NaN is no bar.
        colours: of the L layers.
        height: of the picture in pixels; what reaches beyond is cut off.

    Returns:
        [height, width] premultiplied ARGB, top row first; transparent above the bars.
    """
    edges = np.clip(np.round(np.nan_to_num(tops)), 0, height).astype(np.intp)
    width = tops.shape[1]
    steps = np.zeros((height + 1, width), np.uint8)
    places = np.arange(width)
    for edge in edges:
        steps[edge, places] += 1  # one row a layer, so that no place is met twice
    level = np.cumsum(steps, axis=0, dtype=np.uint8)[:height]
    table = np.array([colour.rgba() for colour in colours] + [0], np.uint32)
    return table[level[::-1]]
