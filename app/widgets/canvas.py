"""The canvas: the newest frame with skeletons, boxes, marks, heatmaps and angles; pan, zoom, hover and follow.

It paints what it is given and tells what was clicked; it decides nothing and keeps only the newest frame. GUI thread only.
"""

from __future__ import annotations

import math
import time

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QFocusEvent,
    QFont,
    QFontInfo,
    QFontMetricsF,
    QImage,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QWidget

from vipose.app.core.hit import JointHit, ViewPosition, joint_at, person_at
from vipose.app.core.shown import Shown
from vipose.app.core.viewstate import HEAT_ALL, ViewState
from vipose.app.widgets.canvas_notes import paint_hover, paint_legend, paint_message, paint_note, surround
from vipose.app.widgets.canvas_picture import PictureLayer, paint_heat
from vipose.app.widgets.canvas_scene import RecentReasons, Scene, build_scene
from vipose.app.widgets.canvas_view import PanZoomWidget
from vipose.app.widgets.painting import paint_brackets, paint_chip, paint_overlay
from vipose.runtime.options import RunOptions

__all__ = ["Canvas", "joint_text"]

_REACH = 12.0  # widget pixels around a joint or limb that count as on it
_DIMMED = 0.3  # opacity of others while somebody is followed
_PULL_S = 0.35  # the view goes two thirds of the way to the followed person in this time
_LONGEST_S = 0.2  # a longer gap between two frames moves the view no further than this one


class Canvas(PanZoomWidget):
    """Shows frames.

    Keys: + and - zoom, 0 fits, arrows pan while zoomed in, page up and page down follow the previous and the next person,
    Esc follows nobody.
    """

    person_clicked = Signal(object)
    """Track id (int) of the person to follow, None for nobody. Whoever keeps the view state sets ``followed`` by it."""
    painted = Signal(float)
    """``time.monotonic()`` when a frame was first on the screen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: Shown | None = None
        self._picture = PictureLayer()
        self._state = ViewState()
        self._options = RunOptions()
        self._message = ""
        self._reasons = RecentReasons()
        self._scene: Scene | None = None  # laid out anew where it is None
        self._mouse: QPointF | None = None
        self._hand = False  # the user moved the view: it does not follow until it is told again
        self._before_click: int | None = None
        self._fresh = False
        self._focus_by_key = False  # a frame around a canvas that was only clicked would be noise
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAccessibleName("Picture with skeletons")
        self.setAccessibleDescription(
            "Plus and minus zoom, 0 fits, arrows move the view, page up and page down choose whom to follow, Esc follows nobody."
        )
        self.setMinimumSize(160, 120)

    # What is shown

    @property
    def shown(self) -> Shown | None:
        """The newest frame, None after :meth:`clear`."""
        return self._shown

    def show_frame(self, shown: Shown) -> None:
        """Show a frame from now on; an older one that was not painted yet is gone."""
        before = self._shown
        self._shown, self._fresh, self._scene = shown, True, None
        self._picture.set(shown.picture)
        self._reasons.add(shown.result)
        if before is not None:
            self._follow(shown, abs(shown.result.time_s - before.result.time_s))
        self.update()

    def set_view(self, state: ViewState) -> None:
        """Other layers, or somebody else to follow."""
        if state.followed != self._state.followed:
            self._hand = False
        self._state, self._scene = state, None
        self.update()

    def set_options(self, options: RunOptions) -> None:
        """``mirror``, ``black_background`` and ``joint_threshold`` of a run are seen here."""
        self._options, self._mirror, self._scene = options, options.mirror, None
        self.update()

    def set_message(self, text: str) -> None:
        """What stands here while there is no frame."""
        self._message = text
        self.update()

    def clear(self) -> None:
        """Forget the frame and show all of the next one."""
        self._shown, self._scene, self._fresh = None, None, False
        self._picture.set(None)
        self._reasons.clear()
        self._hand = False
        self.fit()
        self._show_cursor()
        self.update()

    def snapshot(self) -> QImage:
        """What is on the canvas now, in pixels of the screen."""
        ratio = self.devicePixelRatioF()
        image = QImage(self.size() * ratio, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(ratio)
        painter = QPainter(image)
        self._paint(painter)
        painter.end()
        return image

    # Geometry

    def frame_size(self) -> tuple[int, int] | None:
        return None if self._shown is None else self._shown.result.size

    def sizeHint(self) -> QSize:
        return QSize(960, 540)

    def move_view(self, position: ViewPosition) -> None:
        self._scene = None
        super().move_view(position)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._scene = None
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange, QEvent.Type.ApplicationPaletteChange):
            self._scene = None
        super().changeEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        self._focus_by_key = event.reason() not in (Qt.FocusReason.MouseFocusReason, Qt.FocusReason.ActiveWindowFocusReason)
        super().focusInEvent(event)

    def _follow(self, shown: Shown, step_s: float) -> None:
        """Bring the followed person a part of the way to the middle: the view glides, whatever the frame rate."""
        view = self.view()
        person = next((p for p in shown.result.people if p.id == self._state.followed), None)
        if view is None or person is None or self._hand or self.position.fits or self._dragged is not None:
            return
        middle = float(person.box[0] + person.box[2]) / 2, float(person.box[1] + person.box[3]) / 2
        if all(map(math.isfinite, middle)):
            self._go(view.centred(middle, 1 - math.exp(-min(step_s, _LONGEST_S) / _PULL_S)).position)

    def scene(self) -> Scene | None:
        """What lies over the picture, in widget pixels; None while there is no frame."""
        view = self.view()
        if self._shown is None or view is None:
            return None
        if self._scene is None:
            metrics = QFontMetricsF(self._label_font())
            self._scene = build_scene(
                self._shown, view, self._state, self._options.joint_threshold, self._reasons.now(),
                metrics.horizontalAdvance, metrics.height(),
            )  # fmt: skip
        return self._scene

    def _label_font(self) -> QFont:
        font = QFont(self.font())
        font.setPixelSize(max(11, QFontInfo(font).pixelSize() - 1))
        font.setWeight(QFont.Weight.DemiBold)
        return font

    # Mouse and keyboard

    def hovered(self, point: QPointF | None) -> None:
        before, self._mouse = self.hovered_joint(), point
        after = self.hovered_joint()
        self._show_cursor()
        if _same(before) != _same(after):
            self.update()

    def clicked(self, point: QPointF) -> None:
        self._before_click = self._state.followed
        self._choose(self._person_at(point))

    def double_clicked(self, point: QPointF) -> None:
        """Fits; the click that came with it is taken back."""
        if self._state.followed != self._before_click:
            self.person_clicked.emit(self._before_click)
        super().double_clicked(point)

    def moved_by_hand(self) -> None:
        self._hand = True

    def _choose(self, person: int | None) -> None:
        self._hand = False
        if self._shown is not None:
            self.person_clicked.emit(person)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_PageUp: -1, Qt.Key.Key_PageDown: 1}.get(Qt.Key(event.key()), 0)
        ids = [] if self._shown is None else [person.id for person in self._shown.result.people]
        if step and ids:
            followed = self._state.followed
            start = ids.index(followed) if followed in ids else (-1 if step > 0 else 0)
            self._choose(ids[(start + step) % len(ids)])
        elif event.key() == Qt.Key.Key_Escape and self._state.followed is not None:
            self._choose(None)
        else:
            super().keyPressEvent(event)

    def _person_at(self, point: QPointF) -> int | None:
        scene, at = self.scene(), point.toTuple()
        if scene is None or self._shown is None:
            return None
        label = scene.label_at(at)
        if label is not None:
            return label
        return person_at(
            scene.result, self._shown.skeleton, at, _REACH,
            threshold=self._options.joint_threshold, smoothed=self._state.smoothed,
        )  # fmt: skip

    def hovered_joint(self) -> JointHit | None:
        """The joint under the mouse, in widget pixels; None where no joints are shown."""
        scene = self.scene()
        if scene is None or self._mouse is None or not (self._state.skeletons or self._state.heat):
            return None
        threshold = self._options.joint_threshold
        return joint_at(
            scene.result, self._mouse.toTuple(), _REACH, threshold=threshold, smoothed=self._state.smoothed
        )

    def _show_cursor(self) -> None:
        super()._show_cursor()
        if self._dragged is None and self._mouse is not None and self._person_at(self._mouse) is not None:
            self.setCursor(Qt.CursorShape.PointingHandCursor)

    # Painting

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        self._paint(painter)
        painter.end()
        if self._fresh:
            self._fresh = False
            self.painted.emit(time.monotonic())

    def _paint(self, painter: QPainter) -> None:
        painter.fillRect(self.rect(), surround(self.palette()))
        painter.setFont(self._label_font())
        scene = self.scene()
        if scene is None or self._shown is None:
            painter.setFont(self.font())
            paint_message(painter, self.rect(), self._message)
        else:
            self._paint_picture(painter, self._shown, scene)
            self._paint_people(painter, scene)
            self._paint_notes(painter, self._shown, scene)
        if self._focus_by_key and self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self.palette().color(QPalette.ColorRole.Highlight), 2))
            painter.drawRect(QRectF(self.rect()).adjusted(1, 1, -1, -1))

    def _paint_picture(self, painter: QPainter, shown: Shown, scene: Scene) -> None:
        if self._options.black_background:
            painter.fillRect(QRectF(*scene.view.picture), Qt.GlobalColor.black)
        else:
            self._picture.paint(painter, scene.view)
        if self._heat_shown(shown):
            paint_heat(painter, shown.heat, scene.view, dim=not self._options.black_background)

    def _heat_shown(self, shown: Shown) -> bool:
        """Not where heatmaps are wanted but unknown, as with stored results."""
        return bool(self._state.heat) and (bool(shown.heat) or not shown.result.people)

    def _paint_people(self, painter: QPainter, scene: Scene) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setOpacity(1.0 if scene.followed is None else _DIMMED)
        paint_overlay(painter, scene.overlay)
        painter.setOpacity(1.0)
        if scene.followed is not None:
            paint_overlay(painter, scene.followed)
            if scene.target is not None:
                paint_brackets(painter, scene.target, (255, 255, 255), 3.0)
        for label in scene.labels:
            dimmed = scene.followed is not None and label.person != self._state.followed
            painter.setOpacity(2 * _DIMMED if dimmed else 1.0)
            for chip in label.chips:
                paint_chip(painter, chip.rect, chip.text, chip.ground, chip.alpha)
        painter.setOpacity(1.0)
        for mark in scene.angles:
            paint_chip(painter, mark.rect, mark.text, (16, 18, 24), 0.72)

    def _paint_notes(self, painter: QPainter, shown: Shown, scene: Scene) -> None:
        hit = None if self._dragged is not None else self.hovered_joint()
        if hit is not None:
            paint_hover(painter, self.rect(), hit.point, joint_text(hit, shown.skeleton.joints))
        if self._heat_shown(shown):
            what = "all joints" if self._state.heat == HEAT_ALL else self._state.heat.replace("_", " ")
            paint_legend(painter, self.rect(), f"Handed on: {what}")
        followed = self._state.followed
        if followed is not None and scene.followed is None:
            paint_note(painter, self.rect(), f"Person {followed} is out of sight")


def joint_text(hit: JointHit, joints: tuple[str, ...]) -> str:
    """What is said about a joint: its name, confidence, and whether the key network or a propagating one saw it."""
    kind = "key" if hit.person.kind == "key" else f"propagated {hit.person.phase}"
    return f"{joints[hit.joint].replace('_', ' ')} {hit.score:.2f}, {kind}"


def _same(hit: JointHit | None) -> tuple[int, int] | None:
    return None if hit is None else (hit.person.id, hit.joint)
