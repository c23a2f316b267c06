"""The few figures that matter most, large: a caption, a number, and a line that says more about it."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRect, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QHelpEvent, QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from vipose.app.widgets.theme import warning_text_colour

__all__ = ["FigureTiles", "Tile"]


@dataclass(frozen=True)
class Tile:
    """One figure.

    Attributes:
        caption: what it is.
        value: the figure with its unit.
        more: a second line.
        tip: what it means, shown on hover.
        warns: painted in the colour of warnings.
    """

    caption: str
    value: str
    more: str = ""
    tip: str = ""
    warns: bool = False


class FigureTiles(QWidget):
    """Figures in a grid of a fixed number of columns."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tiles: tuple[Tile, ...] = ()
        self._columns = 3
        self.setAccessibleName("Figures")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """What is shown."""
        return self._tiles

    def set_tiles(self, tiles: tuple[Tile, ...]) -> None:
        """Show these figures."""
        if tiles == self._tiles:
            return
        count, self._tiles = len(self._tiles), tiles
        self.setAccessibleDescription(". ".join(f"{t.caption} {t.value}, {t.more}".strip(", ") for t in tiles))
        if len(tiles) != count:
            self.updateGeometry()
        self.update()

    def set_columns(self, columns: int) -> None:
        """How many stand side by side."""
        if columns != self._columns:
            self._columns = columns
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        rows = -(-len(self._tiles) // self._columns)
        return QSize(self._columns * 100, max(rows, 1) * self._height())

    def minimumSizeHint(self) -> QSize:
        return QSize(self._columns * 84, self.sizeHint().height())

    def tile_at(self, x: float, y: float) -> Tile | None:
        """The figure at a place, in pixels of the widget."""
        return next(
            (tile for tile, place in zip(self._tiles, self._places(), strict=True) if place.contains(int(x), int(y))),
            None,
        )

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        text, hint = (
            self.palette().color(role) for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.PlaceholderText)
        )
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        small, large = self._small(), self._large()
        line, middle = QFontMetrics(small).height(), QFontMetrics(large).height()
        for tile, place in zip(self._tiles, self._places(), strict=True):
            top = QRect(place.left(), place.top(), place.width(), line)
            painter.setFont(small)
            painter.setPen(hint)
            painter.drawText(top, left, _fit(painter, tile.caption, place.width()))
            bottom = QRect(place.left(), place.top() + line + middle, place.width(), line)
            painter.drawText(bottom, left, _fit(painter, tile.more, place.width()))
            painter.setFont(large)
            painter.setPen(warning_text_colour() if tile.warns else text)
            row = QRect(place.left(), place.top() + line, place.width(), middle)
            painter.drawText(row, left, _fit(painter, tile.value, place.width()))

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            tile = self.tile_at(event.pos().x(), event.pos().y())
            QToolTip.showText(event.globalPos(), tile.tip if tile is not None else "", self)
            return True
        return super().event(event)

    def _places(self) -> list[QRect]:
        width, height = (self.width() + 8) // self._columns, self._height()
        return [
            QRect((n % self._columns) * width, (n // self._columns) * height, width - 8, height)
            for n in range(len(self._tiles))
        ]

    def _height(self) -> int:
        return 2 * QFontMetrics(self._small()).height() + QFontMetrics(self._large()).height() + 6

    def _small(self) -> QFont:
        font = QFont(self.font())
        font.setPointSizeF(max(font.pointSizeF(), 7.0) * 0.9)
        return font

    def _large(self) -> QFont:
        font = QFont(self.font())
        font.setPointSizeF(max(font.pointSizeF(), 7.0) * 1.4)
        font.setFeature(QFont.Tag("tnum"), 1)  # figures of one width, so that they do not dance
        font.setWeight(QFont.Weight.DemiBold)
        return font


def _fit(painter: QPainter, text: str, width: int) -> str:
    return painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, width)
