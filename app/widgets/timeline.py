"""Key against propagated people, one column a frame, with the reason of those who were key before they were due."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPolygonF
from PySide6.QtWidgets import QWidget

from vipose.app.core.latency import EARLY_REASONS, REASONS, Columns
from vipose.app.widgets.stage_plot import frame_title
from vipose.app.widgets.theme import KEY_COLOUR, PROPAGATED_COLOUR, number_font, reason_colour
from vipose.app.widgets.time_plot import Indices, Pixels, TimePlot, stacked

__all__ = ["LETTERS", "MEANINGS", "Timeline"]

LETTERS = {"score": "S", "jump": "J", "implausible": "I", "cut": "C", "gap": "G"}
"""Marks of early key frames."""
MEANINGS = {
    "score": "the score fell",
    "jump": "the box jumped",
    "implausible": "the pose was implausible",
    "cut": "the scene changed",
    "gap": "time jumped",
    "new": "new on the picture",
    "due": "due",
    "every": "every frame is a key frame",
}
_ROOM = 11  # between two letters
_SPLIT = 5  # rows at least this high are kept apart by a line


class Timeline(TimePlot):
    """A row for each person: key people below (early ones in the colour of their reason), propagated ones above."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("People: key and propagated", seconds=True, parent=parent)
        self.setToolTip(
            "How many people were key and how many were propagated on each frame. Letters mark early key frames."
        )

    @property
    def rows(self) -> int:
        """People that the scale has room for."""
        columns = self.columns
        return max(int(columns.people.max()), 1) if columns is not None else 1

    def area(self) -> QRect:
        lane = QFontMetrics(number_font(0.85)).height() + 3  # a letter and the triangle below it
        return super().area().adjusted(0, lane, 0, 0)

    def sizeHint(self) -> QSize:
        return QSize(320, 84)

    def minimumSizeHint(self) -> QSize:
        return QSize(200, 80)

    def weights(self, columns: Columns) -> npt.NDArray[np.float64]:
        return np.asarray(columns.early * 1e6 + columns.key * 1e3 + columns.people)

    def fill(self, columns: Columns, pixels: Indices, height: int) -> Pixels:
        early = columns.reasons[:, : len(EARLY_REASONS)]
        ordinary = columns.key - early.sum(axis=1)
        layers = np.column_stack([early, ordinary, columns.propagated])
        row = height / self.rows
        tops = np.where(pixels < 0, 0.0, (np.cumsum(layers, axis=1) * row)[pixels].T)
        colours = [*(reason_colour(reason) for reason in EARLY_REASONS), KEY_COLOUR, PROPAGATED_COLOUR]
        image = stacked(tops, colours, height)
        if row >= _SPLIT:
            image[height - 1 - np.round(np.arange(1, self.rows) * row).astype(np.intp)] = 0
        return image

    def paint_scale(self, painter: QPainter, area: QRect) -> None:
        self.paint_level(painter, area, area.top(), str(self.rows))
        self.paint_level(painter, area, area.bottom(), "0", line=False)

    def paint_marks(self, painter: QPainter, area: QRect) -> None:
        """A triangle at each early key frame; its letter where there is room, the newest first."""
        columns = self.columns
        if columns is None:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(number_font(0.85))
        height = painter.fontMetrics().height()
        free = float(area.right() + _ROOM)
        for position in np.flatnonzero(columns.early)[::-1]:
            reason = EARLY_REASONS[int(np.argmax(columns.reasons[position, : len(EARLY_REASONS)]))]
            x = self._middle(int(position), area)
            colour = reason_colour(reason)
            _triangle(painter, x, area.top() - 1, colour)
            if x <= free - _ROOM:
                painter.setPen(colour)
                place = QRectF(x - 8, area.top() - 4 - height, 16, height)
                painter.drawText(place, Qt.AlignmentFlag.AlignCenter, LETTERS[reason])
                free = x
        painter.restore()

    def describe(self, position: int) -> str:
        columns = self.columns
        if columns is None:
            return ""
        lines = [frame_title(columns, position)]
        lines.append(f"{columns.key[position]:.0f} key, {columns.propagated[position]:.0f} propagated")
        for reason, count in zip(REASONS, columns.reasons[position], strict=True):
            if count:
                early = "early key" if reason in EARLY_REASONS else "key"
                lines.append(f"{count:.0f} {early}: {MEANINGS[reason]}")
        return "\n".join(lines)

    def _middle(self, position: int, area: QRect) -> float:
        columns = self.columns
        assert columns is not None
        width = float(columns.seen_s[position] - columns.begins_s[position]) / columns.window_s * area.width()
        return max(self.x_of(position) - width / 2, area.left() + 3.0)


def _triangle(painter: QPainter, x: float, y: float, colour: QColor) -> None:
    """Points down at a column."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawPolygon(QPolygonF([QPointF(x - 3, y - 4), QPointF(x + 3, y - 4), QPointF(x, y)]))
