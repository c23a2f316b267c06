"""A widget that looks at a frame: zoom and pan by wheel, touch, mouse and keyboard. What it shows is up to its children classes."""

from __future__ import annotations

import sys

from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QNativeGestureEvent, QWheelEvent
from PySide6.QtWidgets import QApplication, QGestureEvent, QPinchGesture, QWidget

from vipose.app.core.hit import Point, ViewPosition, ViewTransform

__all__ = ["PanZoomWidget"]

_STEP = 1.25  # of a key or button
_WHEEL = 1.0015  # for each eighth of a degree; a notch of 120 is 1.2
_KEYS = {
    Qt.Key.Key_Left: (1, 0),
    Qt.Key.Key_Right: (-1, 0),
    Qt.Key.Key_Up: (0, 1),
    Qt.Key.Key_Down: (0, -1),
}
"""Where the content goes when the view moves towards the arrow."""
_ARROW_SHARE = 0.08  # of the window's shorter side


class PanZoomWidget(QWidget):
    """Keeps a :class:`ViewPosition` and lets the user move it."""

    view_moved = Signal(object)
    """ViewPosition, after the user or the widget itself moved the view; not after :meth:`move_view`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._position = ViewPosition()
        self._mirror = False
        self._dragged: QPointF | None = None  # where the mouse was last, while a button is down
        self._pressed: QPointF | None = None  # where the left button went down, until that is a drag
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        if sys.platform != "darwin":  # there, Qt makes pinches out of native gestures, which come here as well
            self.setAttribute(Qt.WidgetAttribute.WA_AcceptTouchEvents)
            self.grabGesture(Qt.GestureType.PinchGesture)

    # For children classes

    def frame_size(self) -> tuple[int, int] | None:
        """Width and height of what is looked at, None for nothing."""
        return None

    def clicked(self, point: QPointF) -> None:
        """The left button was pressed and released at one place."""

    def double_clicked(self, point: QPointF) -> None:
        """The left button was pressed twice."""
        self.fit()

    def hovered(self, point: QPointF | None) -> None:
        """The mouse is at a place without a button down, or has left (None)."""

    def moved_by_hand(self) -> None:
        """The user moved the view sideways."""

    # The view

    @property
    def position(self) -> ViewPosition:
        """Where the view looks."""
        return self._position

    def view(self) -> ViewTransform | None:
        """How the frame lies in the widget now; None while there is no frame."""
        size = self.frame_size()
        if size is None or self.width() < 1 or self.height() < 1:
            return None
        return ViewTransform(size, (self.width(), self.height()), self._position, self._mirror)

    def move_view(self, position: ViewPosition) -> None:
        """Look elsewhere, as another view does; emits nothing, so that two views can follow each other."""
        if position != self._position:
            self._position = position
            self.update()

    def fit(self) -> None:
        """Show the whole frame."""
        self._go(ViewPosition())

    def zoom_in(self) -> None:
        """One step nearer, about the middle."""
        self._zoom(_STEP)

    def zoom_out(self) -> None:
        """One step back."""
        self._zoom(1 / _STEP)

    def _go(self, position: ViewPosition) -> None:
        if position != self._position:
            self.move_view(position)
            self.view_moved.emit(position)

    def _zoom(self, factor: float, at: Point | None = None) -> None:
        view = self.view()
        if view is not None:
            self._go(view.zoomed(factor, at).position)

    def _pan(self, dx: float, dy: float) -> None:
        view = self.view()
        if view is not None and not self._position.fits:
            self.moved_by_hand()
            self._go(view.panned(dx, dy).position)

    # Events

    def wheelEvent(self, event: QWheelEvent) -> None:
        turned = event.angleDelta().y()
        if self.frame_size() is None or turned == 0:
            event.ignore()
            return
        self._zoom(_WHEEL**turned, event.position().toTuple())
        event.accept()

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QGestureEvent):
            pinch = event.gesture(Qt.GestureType.PinchGesture)
            if isinstance(pinch, QPinchGesture):
                self._zoom(pinch.scaleFactor(), self.mapFromGlobal(pinch.centerPoint()).toTuple())
                event.accept(pinch)
                return True
        if isinstance(event, QNativeGestureEvent) and event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
            self._zoom(1.0 + event.value(), event.position().toTuple())
            return True
        return super().event(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton) and self._dragged is None:
            self._dragged = event.position()
            self._pressed = event.position() if event.button() == Qt.MouseButton.LeftButton else None
            self._show_cursor()
        else:
            event.ignore()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        now = event.position()
        if self._dragged is None:
            self.hovered(now)
            return
        if self._pressed is not None:
            if (now - self._pressed).manhattanLength() < QApplication.startDragDistance():
                return
            self._pressed = None
            self._show_cursor()
        self._pan(now.x() - self._dragged.x(), now.y() - self._dragged.y())
        self._dragged = now

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        pressed, self._pressed, self._dragged = self._pressed, None, None
        if pressed is not None and event.button() == Qt.MouseButton.LeftButton:
            self.clicked(event.position())
        self._show_cursor()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.double_clicked(event.position())
        else:
            self.mousePressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self.hovered(None)
        super().leaveEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key(event.key())
        if self.frame_size() is None:
            super().keyPressEvent(event)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_in()
        elif key == Qt.Key.Key_Minus:
            self.zoom_out()
        elif key == Qt.Key.Key_0:
            self.fit()
        elif key in _KEYS and not self._position.fits:  # while all is in view, arrows belong to whoever is around
            step = _ARROW_SHARE * min(self.width(), self.height())
            self._pan(_KEYS[key][0] * step, _KEYS[key][1] * step)
        else:
            super().keyPressEvent(event)

    def _show_cursor(self) -> None:
        dragging = self._dragged is not None and self._pressed is None and not self._position.fits
        self.setCursor(Qt.CursorShape.ClosedHandCursor if dragging else Qt.CursorShape.ArrowCursor)
