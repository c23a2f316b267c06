"""Milliseconds of each stage of the pipeline, stacked, one column a frame."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QPainter, QPalette, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from vipose.app.core.figures import UNKNOWN, number
from vipose.app.core.latency import ALL_STAGES, Columns
from vipose.app.widgets.theme import WARNING_COLOUR, number_font, stage_colour, warning_text_colour
from vipose.app.widgets.time_plot import Indices, Pixels, TimePlot, stacked

__all__ = ["StagePlot", "frame_title", "scale_top"]

_SPIKE = 2.0  # a frame this many times above all but a few must not press the others flat


class StagePlot(TimePlot):
    """Stages in the pipeline's order from the ground up; their top is the total, whose running median is the line.

    The scale fits all but rare spikes; a spike that it cuts off gets a mark with its number.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Milliseconds a frame", seconds=False, parent=parent)
        self._top_ms = 10.0
        self._course: list[npt.NDArray[np.float64]] = []
        self.setToolTip(
            "Time of each stage of the pipeline on each frame. The line is the median of the total over 2 s."
        )

    @property
    def top_ms(self) -> float:
        """Upper end of the scale."""
        return self._top_ms

    def set_columns(self, columns: Columns | None) -> None:
        super().set_columns(columns)
        if self.columns is not None:
            self._top_ms = scale_top(self.columns.total_ms)
        self._course = [] if self.columns is None else self.columns.median_totals()

    def weights(self, columns: Columns) -> npt.NDArray[np.float64]:
        return columns.total_ms

    def fill(self, columns: Columns, pixels: Indices, height: int) -> Pixels:
        scale = height / self._top_ms
        # Columns without times, and pixels without a column, get bars of no height.
        sums = np.cumsum(np.nan_to_num(columns.stages_ms), axis=1) * scale
        tops = np.where(pixels < 0, 0.0, sums[pixels].T)
        return stacked(tops, [stage_colour(stage) for stage in ALL_STAGES], height)

    def paint_scale(self, painter: QPainter, area: QRect) -> None:
        for share in (0.0, 0.5, 1.0):
            y = area.bottom() - share * (area.height() - 1)
            self.paint_level(painter, area, y, f"{share * self._top_ms:g}", line=share > 0)

    def paint_marks(self, painter: QPainter, area: QRect) -> None:
        """The total's course; a triangle at each frame that the scale cuts off, and the number of the worst."""
        columns = self.columns
        if columns is None:
            return
        self._paint_course(painter, area)
        cut = np.flatnonzero(np.nan_to_num(columns.total_ms) > self._top_ms * 1.005)
        if not len(cut):
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(WARNING_COLOUR)
        for position in cut:
            x = min(max(self.x_of(int(position)) - 1, area.left() + 4), area.right() - 3)
            painter.drawPolygon(
                QPolygonF([QPointF(x - 4, area.top() + 6), QPointF(x + 4, area.top() + 6), QPointF(x, area.top())])
            )
        worst = int(cut[np.argmax(columns.total_ms[cut])])
        painter.setFont(number_font(0.85))
        text = number(float(columns.total_ms[worst]), 0, " ms")
        width, height = painter.fontMetrics().horizontalAdvance(text) + 4, painter.fontMetrics().height()
        x = min(max(self.x_of(worst) - width / 2, area.left()), area.right() - width)
        place = QRectF(x, area.top() + 7, width, height)
        painter.fillRect(place, self.palette().color(QPalette.ColorRole.Base))
        painter.setPen(warning_text_colour())
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)
        painter.restore()

    def _paint_course(self, painter: QPainter, area: QRect) -> None:
        painter.save()
        painter.setClipRect(area)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette = self.palette()
        for line in self._course:
            x = self.xs_of(line[:, 0])
            y = area.bottom() + 1 - line[:, 1] / self._top_ms * area.height()
            points = QPolygonF([QPointF(float(a), float(b)) for a, b in zip(x, y, strict=True)])
            for role, width in ((QPalette.ColorRole.Base, 4.0), (QPalette.ColorRole.Text, 1.6)):
                painter.setPen(QPen(palette.color(role), width))
                painter.drawPolyline(points)
        painter.restore()

    def describe(self, position: int) -> str:
        columns = self.columns
        if columns is None:
            return ""
        lines = [frame_title(columns, position), f"total {number(float(columns.total_ms[position]), 1, ' ms')}"]
        for stage, ms in zip(ALL_STAGES, columns.stages_ms[position], strict=True):
            if ms > 0:
                lines.append(f"{stage} {ms:.1f} ms")
        age = number(float(columns.age_ms[position]), 0, " ms")
        return "\n".join([*lines, f"age when shown {age}" if age != UNKNOWN else "age not known"])


def frame_title(columns: Columns, position: int) -> str:
    """Which frame a column stands for, and how long it lies back."""
    ago_s = float(columns.seen_s[-1] - columns.seen_s[position])
    return f"frame {columns.index[position]:.0f}, " + (f"{ago_s:.1f} s ago" if ago_s >= 0.05 else "the newest")


def scale_top(total_ms: npt.NDArray[np.float64]) -> float:
    """End of the scale, a round number: above all frames, or above all but spikes far from the rest."""
    known = total_ms[np.isfinite(total_ms)]
    if not len(known) or known.max() <= 0:
        return 10.0
    usual, worst = float(np.percentile(known, 95)), float(known.max())
    want = worst if worst <= _SPIKE * usual else usual * 1.25
    power = 10.0 ** math.floor(math.log10(want))
    return next(step * power for step in (1, 1.2, 1.6, 2, 3, 4, 6, 8, 10) if step * power >= want * (1 - 1e-9))
