"""A canvas for tests, and hands that use it."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tests.app.people import person, shown
from vipose.app.core.shown import HeatPatch
from vipose.app.core.viewstate import ViewState
from vipose.app.widgets.canvas import Canvas
from vipose.runtime.skeleton import COCO17

LEFT, RIGHT = (40, 40, 100, 190), (260, 30, 330, 190)
KNEE = COCO17.index("left_knee")
GREY = (90, 90, 90)
NOTHING = ViewState(skeletons=False, boxes=False, labels=False)



def open_canvas(qtbot: QtBot) -> Canvas:
    """A canvas of 800x500, for frames of 400x200: scale 2, bars of 50 above and below."""
    widget = Canvas()
    qtbot.addWidget(widget)
    widget.resize(800, 500)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def two(**more: Any) -> Any:
    """A key person at the left and a propagated one at the right."""
    return shown([person(1, LEFT), person(2, RIGHT, kind="propagated", phase=2)], **more)


def rgb_at(canvas: Canvas, x: float, y: float) -> tuple[int, int, int]:
    """The colour at a place in widget pixels."""
    image = canvas.snapshot()
    colour = image.pixelColor(round(x * image.devicePixelRatio()), round(y * image.devicePixelRatio()))
    return colour.red(), colour.green(), colour.blue()


def near(colour: tuple[int, int, int], wanted: tuple[int, int, int], by: int = 12) -> bool:
    """Whether two colours differ by at most so much in each channel."""
    return max(abs(a - b) for a, b in zip(colour, wanted, strict=True)) <= by


def rgb_bytes(image: QImage) -> bytes:
    """All pixels of an image."""
    rgb = image.convertToFormat(QImage.Format.Format_RGB888)  # its bits live as long as it does
    return bytes(rgb.constBits())


def place_of(canvas: Canvas, who: int, joint: int) -> QPoint:
    """A joint in widget pixels."""
    scene = canvas.scene()
    assert scene is not None
    x, y, _ = next(p for p in scene.result.people if p.id == who).smoothed[joint]
    return QPoint(round(float(x)), round(float(y)))


def wheel(canvas: Canvas, at: QPointF, notches: float) -> None:
    """Turn the wheel over a place."""
    event = QWheelEvent(
        at, canvas.mapToGlobal(at), QPoint(), QPoint(0, round(120 * notches)), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(canvas, event)


def hover(canvas: Canvas, at: QPoint) -> None:
    """By way of a corner: a mouse that is there already would not move."""
    for point in (QPoint(2, 2), at):
        QTest.mouseMove(canvas, point)


def drag(canvas: Canvas, start: QPoint, by: QPoint, button: Qt.MouseButton = Qt.MouseButton.LeftButton) -> None:
    """Press, move in two steps, let go."""
    QTest.mousePress(canvas, button, pos=start)
    for share in (0.5, 1.0):
        QTest.mouseMove(canvas, start + by * share)
    QTest.mouseRelease(canvas, button, pos=start + by)


def patch(x: float, y: float) -> HeatPatch:
    """9x9 cells of 8 frame pixels, the middle one sure and at (x, y)."""
    values = np.zeros((9, 9), np.uint8)
    values[4, 4] = 255
    return HeatPatch(1, values, np.array([[8.0, 0.0, x - 32], [0.0, 8.0, y - 32]]))
