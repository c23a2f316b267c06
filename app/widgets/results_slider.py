"""The slider of the results page: one step a frame, a click goes there, and marks where key frames came early."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSlider, QStyle, QStyleOptionSlider, QWidget

from vipose.app.widgets.theme import WARNING_COLOUR

__all__ = ["ScrubSlider"]

_MARK_PX = 5


class ScrubSlider(QSlider):
    """Positions of stored frames. What the program shows never moves the handle out of the user's hand."""

    sought = Signal(int)
    """The user wants this position."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._marks: tuple[int, ...] = ()
        self.setAccessibleName("Position")
        self.setToolTip("Drag or click to go to a frame; marks are early key frames")
        self.setPageStep(10)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.actionTriggered.connect(lambda _: self.sought.emit(self.sliderPosition()))

    def set_frames(self, count: int, marks: Sequence[int]) -> None:
        """Another file: so many frames, and which of them are marked."""
        self._marks = tuple(marks)
        self.setRange(0, max(count - 1, 0))
        self.update()

    def show_position(self, position: int) -> None:
        """Stand there, unless the user is dragging."""
        if not self.isSliderDown() and position != self.value():
            self.setValue(position)

    def sizeHint(self) -> QSize:
        """Room for the marks below the groove."""
        hint = super().sizeHint()
        return QSize(hint.width(), hint.height() + 2 * _MARK_PX)

    def minimumSizeHint(self) -> QSize:
        return QSize(120, self.sizeHint().height())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the handle to the pointer at once, and let it be dragged from there."""
        if event.button() != Qt.MouseButton.LeftButton or self.maximum() == 0:
            super().mousePressEvent(event)
            return
        self.setSliderDown(True)
        self._go(event.position().toPoint())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self.isSliderDown():
            self._go(event.position().toPoint())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.setSliderDown(False)

    def _go(self, point: QPoint) -> None:
        left, span = self._travel()
        position = QStyle.sliderValueFromPosition(0, self.maximum(), point.x() - left, span)
        if position != self.sliderPosition():
            self.setSliderPosition(position)
        self.sought.emit(position)

    def _option(self) -> QStyleOptionSlider:
        option = QStyleOptionSlider()
        self.initStyleOption(option)
        return option

    def _part(self, part: QStyle.SubControl) -> QRect:
        return self.style().subControlRect(QStyle.ComplexControl.CC_Slider, self._option(), part, self)

    def _travel(self) -> tuple[int, int]:
        """Where the middle of the handle stands at position 0, and how far it goes, in widget pixels."""
        groove, handle = self._part(QStyle.SubControl.SC_SliderGroove), self._part(QStyle.SubControl.SC_SliderHandle)
        return groove.left() + handle.width() // 2, groove.width() - handle.width()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        left, span = self._travel()
        columns = {left + QStyle.sliderPositionFromValue(0, self.maximum(), mark, span) for mark in self._marks}
        middle = self._part(QStyle.SubControl.SC_SliderHandle).center().y()
        below = self._part(QStyle.SubControl.SC_SliderHandle).height() // 2 + middle + 2
        painter.setPen(QPen(WARNING_COLOUR, 2))
        for column in columns:  # one a column of pixels, however many frames there are
            painter.drawLine(column, below, column, below + _MARK_PX)
        painter.end()
        super().paintEvent(event)
