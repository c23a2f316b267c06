"""The canvas as a user handles it: what wheel, mouse, touch and keys do."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QNativeGestureEvent, QPointingDevice
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from tests.app.on_canvas import (
    GREY,
    KNEE,
    LEFT,
    NOTHING,
    RIGHT,
    drag,
    hover,
    near,
    open_canvas,
    patch,
    place_of,
    rgb_at,
    rgb_bytes,
    two,
    wheel,
)
from tests.app.people import person, shown
from vipose.app.core.hit import ViewPosition
from vipose.app.core.viewstate import HEAT_ALL, ViewState
from vipose.app.widgets.canvas import Canvas, joint_text
from vipose.runtime.options import RunOptions
from vipose.runtime.skeleton import COCO17


@pytest.fixture
def canvas(qtbot: QtBot) -> Canvas:
    return open_canvas(qtbot)


# Zoom and pan


def test_the_wheel_zooms_about_the_cursor(canvas: Canvas) -> None:
    canvas.show_frame(two())
    cursor = QPointF(300, 250)
    before = canvas.view().to_frame(cursor.toTuple())  # type: ignore[union-attr]
    wheel(canvas, cursor, 4)
    assert canvas.position.zoom == pytest.approx(1.0015**480)
    assert canvas.view().to_frame(cursor.toTuple()) == pytest.approx(before)  # type: ignore[union-attr]
    wheel(canvas, cursor, -5)
    assert canvas.position == ViewPosition()


def test_keys_zoom_fit_and_pan(canvas: Canvas, qtbot: QtBot) -> None:
    canvas.show_frame(two())
    for _ in range(4):
        qtbot.keyClick(canvas, Qt.Key.Key_Plus)
    near = canvas.position
    assert near.zoom == pytest.approx(1.25**4)
    qtbot.keyClick(canvas, Qt.Key.Key_Left)
    assert canvas.position.x < near.x and canvas.position.y == near.y
    qtbot.keyClick(canvas, Qt.Key.Key_Down)
    assert canvas.position.y > near.y
    qtbot.keyClick(canvas, Qt.Key.Key_Minus)
    assert canvas.position.zoom == pytest.approx(1.25**3)
    qtbot.keyClick(canvas, Qt.Key.Key_0)
    assert canvas.position == ViewPosition()


def test_arrows_are_left_to_others_while_all_is_in_view(qtbot: QtBot) -> None:
    passed_on: list[int] = []

    class Page(QWidget):
        def keyPressEvent(self, event: Any) -> None:
            passed_on.append(event.key())

    page = Page()
    qtbot.addWidget(page)
    canvas = Canvas()
    QVBoxLayout(page).addWidget(canvas)
    page.resize(600, 400)
    page.show()
    canvas.show_frame(two())
    qtbot.keyClick(canvas, Qt.Key.Key_Right)
    canvas.zoom_in()
    qtbot.keyClick(canvas, Qt.Key.Key_Right)
    assert passed_on == [Qt.Key.Key_Right]


@pytest.mark.parametrize("button", [Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton])
@pytest.mark.parametrize("mirror", [False, True])
def test_dragging_moves_the_content_with_the_hand(
    canvas: Canvas, qtbot: QtBot, button: Qt.MouseButton, mirror: bool
) -> None:
    canvas.set_options(RunOptions(mirror=mirror))
    canvas.show_frame(two())
    canvas.move_view(ViewPosition(4.0))
    clicks: list[Any] = []
    canvas.person_clicked.connect(clicks.append)
    start = QPoint(400, 250)
    under = canvas.view().to_frame((400, 250))  # type: ignore[union-attr]
    drag(canvas, start, QPoint(60, 40), button)
    assert canvas.view().to_widget(under) == pytest.approx((460, 290))  # type: ignore[union-attr]
    assert clicks == []


def test_pinching_on_a_touchpad_zooms(canvas: Canvas) -> None:
    canvas.show_frame(two())
    at = QPointF(200, 200)
    before = canvas.view().to_frame(at.toTuple())  # type: ignore[union-attr]
    event = QNativeGestureEvent(
        Qt.NativeGestureType.ZoomNativeGesture, QPointingDevice.primaryPointingDevice(), 2, at, at,
        canvas.mapToGlobal(at), 0.5, QPointF(),
    )  # fmt: skip
    QApplication.sendEvent(canvas, event)
    assert canvas.position.zoom == pytest.approx(1.5)
    assert canvas.view().to_frame(at.toTuple()) == pytest.approx(before)  # type: ignore[union-attr]


def test_pinching_on_a_touch_screen_zooms(canvas: Canvas, qtbot: QtBot) -> None:
    if sys.platform == "darwin":
        pytest.skip("pinches are native gestures there")
    canvas.show_frame(two())
    device = QTest.createTouchDevice()
    QTest.touchEvent(canvas, device).press(0, QPoint(350, 250), canvas).press(1, QPoint(450, 250), canvas).commit()
    for step in range(1, 11):
        move = QTest.touchEvent(canvas, device)
        move.move(0, QPoint(350 - 15 * step, 250), canvas).move(1, QPoint(450 + 15 * step, 250), canvas).commit()
    QTest.touchEvent(canvas, device).release(0, QPoint(200, 250), canvas).release(1, QPoint(600, 250), canvas).commit()
    assert canvas.position.zoom > 1.5


def test_a_double_click_fits_and_follows_nobody_new(canvas: Canvas, qtbot: QtBot) -> None:
    state = ViewState(followed=2)

    def follow(who: int | None) -> None:
        canvas.set_view(replace(state, followed=who))

    canvas.person_clicked.connect(follow)
    canvas.set_view(state)
    canvas.show_frame(two())
    canvas.move_view(ViewPosition(2.0))
    empty = QPoint(400, 250)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=empty)
    assert canvas._state.followed is None
    qtbot.mouseDClick(canvas, Qt.MouseButton.LeftButton, pos=empty)
    assert canvas.position == ViewPosition() and canvas._state.followed == 2


def test_two_canvases_keep_in_step(canvas: Canvas, qtbot: QtBot) -> None:
    other = Canvas()
    qtbot.addWidget(other)
    other.resize(500, 500)
    canvas.view_moved.connect(other.move_view)
    other.view_moved.connect(canvas.move_view)
    canvas.show_frame(two())
    other.show_frame(two())
    wheel(canvas, QPointF(200, 200), 3)
    assert other.position == canvas.position and not other.position.fits
    other.fit()
    assert canvas.position.fits


def test_letters_and_lines_do_not_swell_with_zoom(canvas: Canvas) -> None:
    canvas.show_frame(two())

    def sizes() -> tuple[float, float, float]:
        scene = canvas.scene()
        assert scene is not None
        label = next(s for s in scene.labels if s.person == 1).rect
        return label[3] - label[1], label[2] - label[0], max(line.width for line in scene.overlay.lines)

    before = sizes()
    canvas.move_view(ViewPosition(8.0, 0.17, 0.5))
    after = sizes()
    assert after[:2] == pytest.approx(before[:2]) and after[2] <= 8


def test_the_nearest_zoom_paints(canvas: Canvas) -> None:
    canvas.set_view(ViewState(angles=True, heat=HEAT_ALL))
    canvas.show_frame(two(heat=(patch(60, 100),)))
    canvas.move_view(ViewPosition(1e6, 0.15, 0.5))
    assert canvas.view().position.zoom == 24  # type: ignore[union-attr]
    assert not canvas.snapshot().isNull()


# Follow


def test_clicking_people_and_nothing(canvas: Canvas, qtbot: QtBot) -> None:
    clicks: list[Any] = []
    canvas.person_clicked.connect(clicks.append)
    canvas.show_frame(two())
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=place_of(canvas, 2, KNEE))
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(84, 140))  # in the box of 1, on no limb
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(400, 480))
    rect = canvas.scene().labels[1].rect  # type: ignore[union-attr]
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(int(rect[0]) + 4, int(rect[1]) + 4))
    qtbot.mouseClick(canvas, Qt.MouseButton.RightButton, pos=place_of(canvas, 2, KNEE))
    assert clicks == [2, 1, None, 2]


def test_clicks_follow_the_mirror_and_the_zoom(canvas: Canvas, qtbot: QtBot) -> None:
    clicks: list[Any] = []
    canvas.person_clicked.connect(clicks.append)
    canvas.show_frame(two())
    canvas.set_options(RunOptions(mirror=True))
    plain = 2 * 70, 50 + 2 * 120
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(800 - plain[0], plain[1]))
    canvas.move_view(ViewPosition(3.0, 0.74, 0.5))
    x, y = canvas.view().to_widget((295, 100))  # type: ignore[union-attr]
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(round(x), round(y)))
    assert clicks == [1, 2]


def test_an_empty_canvas_has_nobody_to_click(canvas: Canvas, qtbot: QtBot) -> None:
    clicks: list[Any] = []
    canvas.person_clicked.connect(clicks.append)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(100, 100))
    qtbot.keyClick(canvas, Qt.Key.Key_PageDown)
    wheel(canvas, QPointF(10, 10), 3)
    assert clicks == [] and canvas.position.fits


def test_keys_choose_whom_to_follow(canvas: Canvas, qtbot: QtBot) -> None:
    clicks: list[Any] = []
    canvas.person_clicked.connect(clicks.append)
    canvas.person_clicked.connect(lambda who: canvas.set_view(ViewState(followed=who)))
    canvas.show_frame(two())
    for key in (Qt.Key.Key_PageDown, Qt.Key.Key_PageDown, Qt.Key.Key_PageDown, Qt.Key.Key_PageUp, Qt.Key.Key_Escape):
        qtbot.keyClick(canvas, key)
    assert clicks == [1, 2, 1, 2, None]


def test_the_followed_person_stands_out(canvas: Canvas) -> None:
    canvas.set_view(ViewState(boxes=False, labels=False))
    canvas.show_frame(two())
    knee = place_of(canvas, 1, KNEE)
    before = rgb_at(canvas, knee.x(), knee.y())
    canvas.set_view(ViewState(boxes=False, labels=False, followed=2))
    dimmed = rgb_at(canvas, knee.x(), knee.y())
    distance = [sum(abs(a - b) for a, b in zip(colour, GREY, strict=True)) for colour in (before, dimmed)]
    assert distance[1] < 0.5 * distance[0]
    corner = canvas.scene().target  # type: ignore[union-attr]
    assert corner is not None and min(rgb_at(canvas, corner[0] + 8, corner[1])) > 220


def test_a_followed_person_who_is_gone_is_said_to_be_and_comes_back(canvas: Canvas) -> None:
    canvas.set_view(ViewState(followed=1))
    canvas.show_frame(shown([person(2, RIGHT)]))
    gone = canvas.scene()
    assert gone is not None and gone.followed is None
    note = canvas.snapshot().copy(300, 8, 200, 30)
    canvas.set_view(ViewState())
    assert rgb_bytes(canvas.snapshot().copy(300, 8, 200, 30)) != rgb_bytes(note)
    canvas.set_view(ViewState(followed=1))
    canvas.show_frame(two(index=1))
    assert canvas.scene().followed is not None  # type: ignore[union-attr]


def _walk(canvas: Canvas, frames: int, *, first: int = 0) -> None:
    for index in range(first, first + frames):
        canvas.show_frame(shown([person(1, (250, 60, 310, 180))], index=index))


def test_the_view_glides_to_the_followed_person(canvas: Canvas) -> None:
    canvas.set_view(ViewState(followed=1))
    canvas.show_frame(shown([person(1, (250, 60, 310, 180))]))
    canvas.move_view(ViewPosition(4.0, 0.3, 0.5))
    moved: list[ViewPosition] = []
    canvas.view_moved.connect(moved.append)
    _walk(canvas, 60, first=1)
    xs = [position.x for position in moved]
    assert all(b >= a for a, b in pairwise(xs))
    assert xs[-1] == pytest.approx(280.5 / 400, abs=0.005)
    assert max(b - a for a, b in zip([0.3, *xs], xs, strict=False)) < 0.2 * (xs[-1] - 0.3)  # no jump


def test_the_view_stays_where_it_is_fitted_or_was_moved_by_hand(canvas: Canvas) -> None:
    canvas.set_view(ViewState(followed=1))
    _walk(canvas, 5)
    assert canvas.position.fits
    canvas.move_view(ViewPosition(4.0, 0.3, 0.5))
    drag(canvas, QPoint(400, 250), QPoint(40, 0))
    mine = canvas.position
    _walk(canvas, 5, first=5)
    assert canvas.position == mine
    canvas.set_view(ViewState(followed=None))
    canvas.set_view(ViewState(followed=1))  # asked for again
    _walk(canvas, 5, first=10)
    assert canvas.position.x > mine.x


# Hover


def test_hovering_a_joint_says_what_it_is(canvas: Canvas, qtbot: QtBot) -> None:
    canvas.show_frame(two())
    before = rgb_bytes(canvas.snapshot())
    hover(canvas, place_of(canvas, 1, KNEE) + QPoint(3, 2))
    hit = canvas.hovered_joint()
    assert hit is not None and joint_text(hit, COCO17.joints) == "left knee 0.90, key"
    assert rgb_bytes(canvas.snapshot()) != before
    hover(canvas, place_of(canvas, 2, KNEE))
    hit = canvas.hovered_joint()
    assert hit is not None and joint_text(hit, COCO17.joints) == "left knee 0.90, propagated 2"
    hover(canvas, QPoint(400, 250))
    assert canvas.hovered_joint() is None
    hover(canvas, place_of(canvas, 1, KNEE))
    QApplication.sendEvent(canvas, QEvent(QEvent.Type.Leave))
    assert canvas.hovered_joint() is None and rgb_bytes(canvas.snapshot()) == before


def test_hover_follows_new_frames_and_the_mirror(canvas: Canvas) -> None:
    canvas.show_frame(two())
    hover(canvas, place_of(canvas, 1, KNEE))
    canvas.show_frame(shown([person(1, LEFT, score=0.6)], index=1))
    hit = canvas.hovered_joint()
    assert hit is not None and hit.score == pytest.approx(0.6)
    canvas.set_options(RunOptions(mirror=True))
    assert canvas.hovered_joint() is None
    hover(canvas, place_of(canvas, 1, KNEE))
    hit = canvas.hovered_joint()
    assert hit is not None and hit.joint == KNEE


def test_the_words_of_a_joint_at_the_edge_stay_inside(canvas: Canvas) -> None:
    """At the right edge they go to the left of the joint."""
    canvas.set_view(replace(NOTHING, skeletons=True))
    canvas.show_frame(shown([person(1, (340, 40, 398, 190))]))
    wrist = place_of(canvas, 1, COCO17.index("left_wrist"))
    before = rgb_at(canvas, wrist.x() - 130, wrist.y() - 9)
    assert near(before, GREY)
    hover(canvas, wrist)
    assert not near(rgb_at(canvas, wrist.x() - 130, wrist.y() - 9), GREY)


def test_the_cursor_is_a_hand_over_people(canvas: Canvas) -> None:
    canvas.show_frame(two())
    hover(canvas, place_of(canvas, 1, KNEE))
    assert canvas.cursor().shape() == Qt.CursorShape.PointingHandCursor
    hover(canvas, QPoint(400, 250))
    assert canvas.cursor().shape() == Qt.CursorShape.ArrowCursor


