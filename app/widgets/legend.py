"""A legend painted in one piece: names with their colours and figures in columns, cheap to change often."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QHelpEvent, QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from vipose.app.widgets.theme import number_font

__all__ = ["Legend", "LegendRow"]

_SWATCH = 10
_GAP = 12  # between columns


@dataclass(frozen=True)
class LegendRow:
    """One entry.

    Attributes:
        name: what it is.
        value: a figure, at the right end.
        extra: a lesser one beside the name; left out where there is no room.
        colour: of the square before the name; None paints a line in the colour of texts.
        letter: a mark in the square.
        tip: shown on hover.
    """

    name: str
    value: str = ""
    extra: str = ""
    colour: QColor | None = None
    letter: str = ""
    tip: str = ""


class Legend(QWidget):
    """Entries in columns, filled from top to bottom.

    Args:
        name: for screen readers.
        columns: side by side.
    """

    def __init__(self, name: str, columns: int = 2, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._columns = name, columns
        self._rows: tuple[LegendRow, ...] = ()
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    @property
    def rows(self) -> tuple[LegendRow, ...]:
        """What is shown."""
        return self._rows

    def set_rows(self, rows: tuple[LegendRow, ...]) -> None:
        """Show these entries."""
        if rows == self._rows:
            return
        count, self._rows = len(self._rows), rows
        self.setAccessibleDescription(", ".join(f"{row.name} {row.value} {row.extra}".strip() for row in rows))
        if len(rows) != count:
            self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        lines = -(-len(self._rows) // self._columns)
        return QSize(self._columns * 136, lines * self._line())

    def minimumSizeHint(self) -> QSize:
        return QSize(self._columns * 116, self.sizeHint().height())

    def row_at(self, x: float, y: float) -> LegendRow | None:
        """The entry at a place, in pixels of the widget."""
        return next(
            (row for row, place in zip(self._rows, self._places(), strict=True) if place.contains(int(x), int(y))), None
        )

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        text, hint = (
            self.palette().color(role) for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.PlaceholderText)
        )
        numbers, small = number_font(0.95), number_font(0.85)
        wide, narrow, names = QFontMetrics(numbers), QFontMetrics(small), self.fontMetrics()
        right, left = (
            side | Qt.AlignmentFlag.AlignVCenter for side in (Qt.AlignmentFlag.AlignRight, Qt.AlignmentFlag.AlignLeft)
        )
        for row, place in zip(self._rows, self._places(), strict=True):
            self._paint_swatch(painter, row, place)
            painter.setPen(text)
            painter.setFont(numbers)
            painter.drawText(place, right, row.value)
            label = place.adjusted(_SWATCH + 6, 0, -wide.horizontalAdvance(row.value) - 4, 0)
            painter.setFont(self.font())
            painter.drawText(label, left, names.elidedText(row.name, Qt.TextElideMode.ElideRight, label.width()))
            used = names.horizontalAdvance(row.name) + 5
            if row.extra and used + narrow.horizontalAdvance(row.extra) <= label.width():
                painter.setPen(hint)
                painter.setFont(small)
                painter.drawText(label.adjusted(used, 0, 0, 0), left, row.extra)

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            row = self.row_at(event.pos().x(), event.pos().y())
            QToolTip.showText(event.globalPos(), row.tip if row is not None else "", self)
            return True
        return super().event(event)

    def _paint_swatch(self, painter: QPainter, row: LegendRow, place: QRect) -> None:
        middle = place.top() + place.height() / 2
        if row.colour is None:
            painter.fillRect(
                QRectF(place.left(), middle - 1, _SWATCH, 2), self.palette().color(QPalette.ColorRole.WindowText)
            )
            return
        painter.fillRect(QRectF(place.left(), middle - _SWATCH / 2, _SWATCH, _SWATCH), row.colour)
        if row.letter:
            painter.setFont(number_font(0.75))
            painter.setPen(QColor("black") if row.colour.lightnessF() > 0.5 else QColor("white"))
            square = QRectF(place.left() - 2, middle - _SWATCH / 2 - 2, _SWATCH + 4, _SWATCH + 4)
            painter.drawText(square, Qt.AlignmentFlag.AlignCenter, row.letter)

    def _places(self) -> list[QRect]:
        """Where each entry lies."""
        lines = max(-(-len(self._rows) // self._columns), 1)
        width = (self.width() - (self._columns - 1) * _GAP) // self._columns
        line = self._line()
        return [QRect((n // lines) * (width + _GAP), (n % lines) * line, width, line) for n in range(len(self._rows))]

    def _line(self) -> int:
        return self.fontMetrics().height() + 2
