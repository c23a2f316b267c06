"""The canvas as a user meets it: what it shows, and what wheel, mouse, touch and keys do."""

from __future__ import annotations

import gc
import sys
import time
import weakref
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QNativeGestureEvent, QPainter, QPalette, QPointingDevice, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from tests.app.people import person, shown
from tests.fixtures.clips import COLOURS
from tests.fixtures.clips import picture as quadrants
from vipose.app.core.hit import ViewPosition
from vipose.app.core.shown import HeatPatch
from vipose.app.core.viewstate import HEAT_ALL, ViewState
from vipose.app.widgets.canvas import Canvas, joint_text
from vipose.app.widgets.painting import paint_overlay
from vipose.runtime.options import RunOptions
from vipose.runtime.overlay import Box, Dot, Line, Overlay, Panel, Text, track_colour
from vipose.runtime.skeleton import COCO17

LEFT, RIGHT = (40, 40, 100, 190), (260, 30, 330, 190)
KNEE = COCO17.index("left_knee")
GREY = (90, 90, 90)
NOTHING = ViewState(skeletons=False, boxes=False, labels=False)


@pytest.fixture
def canvas(qtbot: QtBot) -> Canvas:
    """800x500, for frames of 400x200: scale 2, bars of 50 above and below."""
    widget = Canvas()
    qtbot.addWidget(widget)
    widget.resize(800, 500)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def _two(**more: Any) -> Any:
    return shown([person(1, LEFT), person(2, RIGHT, kind="propagated", phase=2)], **more)


def _rgb(canvas: Canvas, x: float, y: float) -> tuple[int, int, int]:
    """The colour at a place in widget pixels."""
    image = canvas.snapshot()
    colour = image.pixelColor(round(x * image.devicePixelRatio()), round(y * image.devicePixelRatio()))
    return colour.red(), colour.green(), colour.blue()


def _near(colour: tuple[int, int, int], wanted: tuple[int, int, int], by: int = 12) -> bool:
    return max(abs(a - b) for a, b in zip(colour, wanted, strict=True)) <= by


def _bytes(image: QImage) -> bytes:
    rgb = image.convertToFormat(QImage.Format.Format_RGB888)  # its bits live as long as it does
    return bytes(rgb.constBits())


def _place(canvas: Canvas, who: int, joint: int) -> QPoint:
    """A joint in widget pixels."""
    scene = canvas.scene()
    assert scene is not None
    x, y, _ = next(p for p in scene.result.people if p.id == who).smoothed[joint]
    return QPoint(round(float(x)), round(float(y)))


def _wheel(canvas: Canvas, at: QPointF, notches: float) -> None:
    event = QWheelEvent(
        at, canvas.mapToGlobal(at), QPoint(), QPoint(0, round(120 * notches)), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(canvas, event)


def _hover(canvas: Canvas, at: QPoint) -> None:
    """By way of a corner: a mouse that is there already would not move."""
    for point in (QPoint(2, 2), at):
        QTest.mouseMove(canvas, point)


def _drag(canvas: Canvas, start: QPoint, by: QPoint, button: Qt.MouseButton = Qt.MouseButton.LeftButton) -> None:
    QTest.mousePress(canvas, button, pos=start)
    for share in (0.5, 1.0):
        QTest.mouseMove(canvas, start + by * share)
    QTest.mouseRelease(canvas, button, pos=start + by)


# What is shown


def test_an_empty_canvas_says_what_to_do(canvas: Canvas) -> None:
    empty = _bytes(canvas.snapshot())
    canvas.set_message("Open a camera or a file")
    assert _bytes(canvas.snapshot()) != empty
    assert canvas.scene() is None


def test_clearing_shows_the_message_again(canvas: Canvas) -> None:
    canvas.set_message("Nothing is open")
    empty = _bytes(canvas.snapshot())
    canvas.show_frame(_two())
    canvas.zoom_in()
    assert _bytes(canvas.snapshot()) != empty
    canvas.clear()
    assert _bytes(canvas.snapshot()) == empty
    assert canvas.shown is None and canvas.position.fits


def test_the_picture_is_fitted_with_dark_bars(canvas: Canvas) -> None:
    canvas.set_view(NOTHING)
    canvas.show_frame(shown(picture=quadrants(0, (400, 200))))
    for name, (x, y) in zip(COLOURS, [(20, 70), (780, 70), (20, 430), (780, 430)], strict=True):
        assert _near(_rgb(canvas, x, y), COLOURS[name]), name
    for bar in ((400, 10), (400, 490)):
        assert max(_rgb(canvas, *bar)) < 60


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_surround_is_dark_in_every_theme(canvas: Canvas, theme: str) -> None:
    palette = QPalette(QColor("#f3f4f6") if theme == "light" else QColor("#1f2227"))
    canvas.setPalette(palette)
    assert max(_rgb(canvas, 5, 5)) < 80


def test_a_picture_that_was_scaled_down_covers_the_frame(canvas: Canvas) -> None:
    canvas.set_view(NOTHING)
    canvas.show_frame(shown(picture=quadrants(0, (200, 100)), size=(400, 200)))
    small = canvas.snapshot()
    canvas.show_frame(shown(picture=quadrants(0, (400, 200)), size=(400, 200)))
    large = canvas.snapshot()
    for x, y in ((10, 60), (390, 60), (410, 440), (790, 440)):
        assert _near(small.pixelColor(x, y).getRgb()[:3], large.pixelColor(x, y).getRgb()[:3])


def test_a_large_picture_is_averaged_not_sampled(canvas: Canvas) -> None:
    """Lines one pixel wide, shown five times smaller: grey, not stripes that flicker."""
    canvas.set_view(NOTHING)
    stripes = np.zeros((1600, 4000, 3), np.uint8)
    stripes[:, ::2] = 255
    canvas.show_frame(shown(picture=stripes, size=(4000, 1600)))
    image = canvas.snapshot()
    row = [image.pixelColor(x, 250).red() for x in range(50, 750)]
    assert max(row) - min(row) < 60 and 90 < sum(row) / len(row) < 165


def test_mirroring_turns_the_picture_but_not_the_letters(canvas: Canvas) -> None:
    canvas.set_view(replace(NOTHING, labels=True))
    canvas.show_frame(shown([person(1, LEFT)], picture=quadrants(0, (400, 200))))
    scene = canvas.scene()
    assert scene is not None
    texts = [chip.text for chip in scene.labels[0].chips]
    canvas.set_options(RunOptions(mirror=True))
    assert _near(_rgb(canvas, 780, 70), COLOURS["red"]) and _near(_rgb(canvas, 20, 430), COLOURS["white"])
    mirrored = canvas.scene()
    assert mirrored is not None and mirrored.labels[0].rect[0] > 400
    chips = mirrored.labels[0].chips
    assert [chip.text for chip in chips] == texts and chips[0].rect[0] < chips[1].rect[0]


def test_a_black_ground_hides_the_picture_and_keeps_the_skeletons(canvas: Canvas) -> None:
    canvas.set_view(ViewState(boxes=False, labels=False))
    canvas.show_frame(_two())
    canvas.set_options(RunOptions(black_background=True))
    assert _rgb(canvas, 400, 250) == (0, 0, 0)
    knee = _place(canvas, 1, KNEE)
    assert max(_rgb(canvas, knee.x(), knee.y())) > 100


def test_layers_can_be_switched_off_one_by_one(canvas: Canvas) -> None:
    canvas.show_frame(_two())
    seen = {}
    for name, state in {
        "all": ViewState(),
        "no skeletons": ViewState(skeletons=False),
        "no boxes": ViewState(boxes=False),
        "no labels": ViewState(labels=False),
        "angles": ViewState(angles=True),
    }.items():
        canvas.set_view(state)
        seen[name] = _bytes(canvas.snapshot())
    assert len(set(seen.values())) == len(seen)
    canvas.set_view(NOTHING)
    assert _near(_rgb(canvas, _place(canvas, 1, KNEE).x(), _place(canvas, 1, KNEE).y()), GREY)


def test_smoothed_or_raw_joints(canvas: Canvas) -> None:
    raw = person(1, LEFT)
    moved = replace(raw, smoothed=raw.keypoints + np.array([120, 0, 0], np.float32))
    canvas.show_frame(shown([moved]))
    canvas.set_view(ViewState(boxes=False, labels=False, smoothed=False))
    x, y = (float(v) * 2 for v in raw.keypoints[KNEE, :2])
    assert not _near(_rgb(canvas, x + 1, y + 51), GREY)
    assert _near(_rgb(canvas, x + 241, y + 51), GREY)
    canvas.set_view(ViewState(boxes=False, labels=False, smoothed=True))
    assert _near(_rgb(canvas, x + 1, y + 51), GREY)
    assert not _near(_rgb(canvas, x + 241, y + 51), GREY)


def test_the_threshold_hides_unsure_joints(canvas: Canvas) -> None:
    canvas.set_view(ViewState(boxes=False, labels=False))
    canvas.show_frame(shown([person(1, LEFT, score=0.5)]))
    plain = shown()
    assert canvas.scene().overlay.dots  # type: ignore[union-attr]
    canvas.set_options(RunOptions(joint_threshold=0.6))
    hidden = _bytes(canvas.snapshot())
    canvas.show_frame(plain)
    assert _bytes(canvas.snapshot()) == hidden


def test_labels_say_key_or_propagated_and_why(canvas: Canvas) -> None:
    people = [person(1, LEFT, why="jump"), person(2, RIGHT, kind="propagated", phase=2, swapped=True)]
    canvas.show_frame(shown(people))
    one, two = canvas.scene().labels  # type: ignore[union-attr]
    assert [c.text for c in one.chips] == ["1", "K", "jumped"]
    assert [c.text for c in two.chips] == ["2", "P2", "L/R"]
    assert one.chips[0].ground == track_colour(1) and one.chips[1].ground != two.chips[1].ground
    assert not any(a.rect[2] > b.rect[0] + 1e-6 for a, b in pairwise(one.chips))


def test_the_reason_of_an_early_key_frame_can_be_read(canvas: Canvas) -> None:
    """It stays for a second, weaker; going back in time forgets it."""

    def texts() -> list[str]:
        return [chip.text for chip in canvas.scene().labels[0].chips]  # type: ignore[union-attr]

    canvas.show_frame(shown([person(1, LEFT, why="score")], time_s=5.0))
    after = person(1, LEFT, kind="propagated", phase=1)
    canvas.show_frame(shown([after], time_s=5.5))
    assert texts() == ["1", "P1", "score fell"]
    canvas.show_frame(shown([after], time_s=7.0))
    assert texts() == ["1", "P1"]
    canvas.show_frame(shown([person(1, LEFT, why="score")], time_s=8.0))
    canvas.show_frame(shown([after], time_s=3.0))
    assert texts() == ["1", "P1"]


def test_labels_stay_in_the_window_and_off_each_other(canvas: Canvas) -> None:
    crowd = [person(i, (10 + 2 * i, -30, 60 + 2 * i, 150)) for i in range(1, 7)]
    canvas.show_frame(shown([*crowd, person(9, (385, 10, 399, 90), why="implausible")]))
    rects = [label.rect for label in canvas.scene().labels]  # type: ignore[union-attr]
    assert len(rects) == 7
    for n, a in enumerate(rects):
        assert 0 <= a[0] and a[2] <= 800 and 0 <= a[1] and a[3] <= 500
        for b in rects[n + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_angles_stand_at_the_joints_and_off_each_other(canvas: Canvas) -> None:
    canvas.set_view(ViewState(angles=True))
    canvas.show_frame(_two())
    marks = canvas.scene().angles  # type: ignore[union-attr]
    texts = [mark.text for mark in marks]
    assert len(marks) == 22 and any(t.startswith("trunk") for t in texts) and all(t.endswith("°") for t in texts)
    for n, a in enumerate(marks):
        assert all(
            a.rect[2] <= b.rect[0] or b.rect[2] <= a.rect[0] or a.rect[3] <= b.rect[1] or b.rect[3] <= a.rect[1]
            for b in marks[n + 1 :]
        )
    knee = _place(canvas, 1, KNEE)
    assert any(abs(m.rect[0] - knee.x()) < 40 and abs(m.rect[1] - knee.y()) < 40 for m in marks)


def test_angles_are_those_of_the_followed_person_and_of_the_frame(canvas: Canvas) -> None:
    canvas.set_view(ViewState(angles=True, followed=2))
    canvas.show_frame(_two())
    plain = [m.text for m in canvas.scene().angles]  # type: ignore[union-attr]
    assert len(plain) == 11
    canvas.set_options(RunOptions(mirror=True))
    assert [m.text for m in canvas.scene().angles] == plain  # type: ignore[union-attr]


# Heatmaps


def _patch(x: float, y: float) -> HeatPatch:
    """9x9 cells of 8 frame pixels, the middle one sure and at (x, y)."""
    values = np.zeros((9, 9), np.uint8)
    values[4, 4] = 255
    return HeatPatch(1, values, np.array([[8.0, 0.0, x - 32], [0.0, 8.0, y - 32]]))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("position", [ViewPosition(), ViewPosition(2.0, 0.3, 0.5)])
def test_heat_lies_on_its_place(canvas: Canvas, mirror: bool, position: ViewPosition) -> None:
    canvas.set_options(RunOptions(mirror=mirror))
    canvas.set_view(replace(NOTHING, heat=HEAT_ALL))
    canvas.show_frame(shown([person(1, LEFT)], heat=(_patch(100, 90),)))
    canvas.move_view(position)
    x, y = canvas.view().to_widget((100, 90))  # type: ignore[union-attr]
    image = canvas.snapshot()
    bright = [(image.pixelColor(px, py).lightness(), px, py) for px in range(0, 800, 4) for py in range(60, 440, 4)]
    _, px, py = max(bright)
    assert abs(px - x) <= 6 and abs(py - y) <= 6
    assert _rgb(canvas, 400, 70)[0] < 60  # the picture steps back


def test_heat_is_not_painted_unless_it_is_wanted(canvas: Canvas) -> None:
    canvas.set_view(NOTHING)
    canvas.show_frame(shown([person(1, LEFT)], heat=(_patch(100, 90),)))
    assert _near(_rgb(canvas, 201, 231), GREY)


def test_results_without_heatmaps_stay_bright(canvas: Canvas) -> None:
    canvas.set_view(replace(NOTHING, heat=HEAT_ALL))
    canvas.show_frame(_two())
    assert _near(_rgb(canvas, 400, 250), GREY)


# Zoom and pan


def test_the_wheel_zooms_about_the_cursor(canvas: Canvas) -> None:
    canvas.show_frame(_two())
    cursor = QPointF(300, 250)
    before = canvas.view().to_frame(cursor.toTuple())  # type: ignore[union-attr]
    _wheel(canvas, cursor, 4)
    assert canvas.position.zoom == pytest.approx(1.0015**480)
    assert canvas.view().to_frame(cursor.toTuple()) == pytest.approx(before)  # type: ignore[union-attr]
    _wheel(canvas, cursor, -5)
    assert canvas.position == ViewPosition()


def test_keys_zoom_fit_and_pan(canvas: Canvas, qtbot: QtBot) -> None:
    canvas.show_frame(_two())
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
    canvas.show_frame(_two())
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
    canvas.show_frame(_two())
    canvas.move_view(ViewPosition(4.0))
    clicks: list[Any] = []
    canvas.person_clicked.connect(clicks.append)
    start = QPoint(400, 250)
    under = canvas.view().to_frame((400, 250))  # type: ignore[union-attr]
    _drag(canvas, start, QPoint(60, 40), button)
    assert canvas.view().to_widget(under) == pytest.approx((460, 290))  # type: ignore[union-attr]
    assert clicks == []


def test_pinching_on_a_touchpad_zooms(canvas: Canvas) -> None:
    canvas.show_frame(_two())
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
    canvas.show_frame(_two())
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
    canvas.show_frame(_two())
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
    canvas.show_frame(_two())
    other.show_frame(_two())
    _wheel(canvas, QPointF(200, 200), 3)
    assert other.position == canvas.position and not other.position.fits
    other.fit()
    assert canvas.position.fits


def test_letters_and_lines_do_not_swell_with_zoom(canvas: Canvas) -> None:
    canvas.show_frame(_two())

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
    canvas.show_frame(_two(heat=(_patch(60, 100),)))
    canvas.move_view(ViewPosition(1e6, 0.15, 0.5))
    assert canvas.view().position.zoom == 24  # type: ignore[union-attr]
    assert not canvas.snapshot().isNull()


# Follow


def test_clicking_people_and_nothing(canvas: Canvas, qtbot: QtBot) -> None:
    clicks: list[Any] = []
    canvas.person_clicked.connect(clicks.append)
    canvas.show_frame(_two())
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=_place(canvas, 2, KNEE))
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(84, 140))  # in the box of 1, on no limb
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(400, 480))
    rect = canvas.scene().labels[1].rect  # type: ignore[union-attr]
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(int(rect[0]) + 4, int(rect[1]) + 4))
    qtbot.mouseClick(canvas, Qt.MouseButton.RightButton, pos=_place(canvas, 2, KNEE))
    assert clicks == [2, 1, None, 2]


def test_clicks_follow_the_mirror_and_the_zoom(canvas: Canvas, qtbot: QtBot) -> None:
    clicks: list[Any] = []
    canvas.person_clicked.connect(clicks.append)
    canvas.show_frame(_two())
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
    _wheel(canvas, QPointF(10, 10), 3)
    assert clicks == [] and canvas.position.fits


def test_keys_choose_whom_to_follow(canvas: Canvas, qtbot: QtBot) -> None:
    clicks: list[Any] = []
    canvas.person_clicked.connect(clicks.append)
    canvas.person_clicked.connect(lambda who: canvas.set_view(ViewState(followed=who)))
    canvas.show_frame(_two())
    for key in (Qt.Key.Key_PageDown, Qt.Key.Key_PageDown, Qt.Key.Key_PageDown, Qt.Key.Key_PageUp, Qt.Key.Key_Escape):
        qtbot.keyClick(canvas, key)
    assert clicks == [1, 2, 1, 2, None]


def test_the_followed_person_stands_out(canvas: Canvas) -> None:
    canvas.set_view(ViewState(boxes=False, labels=False))
    canvas.show_frame(_two())
    knee = _place(canvas, 1, KNEE)
    before = _rgb(canvas, knee.x(), knee.y())
    canvas.set_view(ViewState(boxes=False, labels=False, followed=2))
    dimmed = _rgb(canvas, knee.x(), knee.y())
    distance = [sum(abs(a - b) for a, b in zip(colour, GREY, strict=True)) for colour in (before, dimmed)]
    assert distance[1] < 0.5 * distance[0]
    corner = canvas.scene().target  # type: ignore[union-attr]
    assert corner is not None and min(_rgb(canvas, corner[0] + 8, corner[1])) > 220


def test_a_followed_person_who_is_gone_is_said_to_be_and_comes_back(canvas: Canvas) -> None:
    canvas.set_view(ViewState(followed=1))
    canvas.show_frame(shown([person(2, RIGHT)]))
    gone = canvas.scene()
    assert gone is not None and gone.followed is None
    note = canvas.snapshot().copy(300, 8, 200, 30)
    canvas.set_view(ViewState())
    assert _bytes(canvas.snapshot().copy(300, 8, 200, 30)) != _bytes(note)
    canvas.set_view(ViewState(followed=1))
    canvas.show_frame(_two(index=1))
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
    _drag(canvas, QPoint(400, 250), QPoint(40, 0))
    mine = canvas.position
    _walk(canvas, 5, first=5)
    assert canvas.position == mine
    canvas.set_view(ViewState(followed=None))
    canvas.set_view(ViewState(followed=1))  # asked for again
    _walk(canvas, 5, first=10)
    assert canvas.position.x > mine.x


# Hover


def test_hovering_a_joint_says_what_it_is(canvas: Canvas, qtbot: QtBot) -> None:
    canvas.show_frame(_two())
    before = _bytes(canvas.snapshot())
    _hover(canvas, _place(canvas, 1, KNEE) + QPoint(3, 2))
    hit = canvas.hovered_joint()
    assert hit is not None and joint_text(hit, COCO17.joints) == "left knee 0.90, key"
    assert _bytes(canvas.snapshot()) != before
    _hover(canvas, _place(canvas, 2, KNEE))
    hit = canvas.hovered_joint()
    assert hit is not None and joint_text(hit, COCO17.joints) == "left knee 0.90, propagated 2"
    _hover(canvas, QPoint(400, 250))
    assert canvas.hovered_joint() is None
    _hover(canvas, _place(canvas, 1, KNEE))
    QApplication.sendEvent(canvas, QEvent(QEvent.Type.Leave))
    assert canvas.hovered_joint() is None and _bytes(canvas.snapshot()) == before


def test_hover_follows_new_frames_and_the_mirror(canvas: Canvas) -> None:
    canvas.show_frame(_two())
    _hover(canvas, _place(canvas, 1, KNEE))
    canvas.show_frame(shown([person(1, LEFT, score=0.6)], index=1))
    hit = canvas.hovered_joint()
    assert hit is not None and hit.score == pytest.approx(0.6)
    canvas.set_options(RunOptions(mirror=True))
    assert canvas.hovered_joint() is None
    _hover(canvas, _place(canvas, 1, KNEE))
    hit = canvas.hovered_joint()
    assert hit is not None and hit.joint == KNEE


def test_the_words_of_a_joint_at_the_edge_stay_inside(canvas: Canvas) -> None:
    """At the right edge they go to the left of the joint."""
    canvas.set_view(replace(NOTHING, skeletons=True))
    canvas.show_frame(shown([person(1, (340, 40, 398, 190))]))
    wrist = _place(canvas, 1, COCO17.index("left_wrist"))
    before = _rgb(canvas, wrist.x() - 130, wrist.y() - 9)
    assert _near(before, GREY)
    _hover(canvas, wrist)
    assert not _near(_rgb(canvas, wrist.x() - 130, wrist.y() - 9), GREY)


def test_the_cursor_is_a_hand_over_people(canvas: Canvas) -> None:
    canvas.show_frame(_two())
    _hover(canvas, _place(canvas, 1, KNEE))
    assert canvas.cursor().shape() == Qt.CursorShape.PointingHandCursor
    _hover(canvas, QPoint(400, 250))
    assert canvas.cursor().shape() == Qt.CursorShape.ArrowCursor


# Frames and pixels


def test_painted_comes_once_a_frame_and_only_for_the_newest(canvas: Canvas, qtbot: QtBot) -> None:
    times: list[float] = []
    canvas.painted.connect(times.append)
    began = time.monotonic()
    for index in range(5):  # without a turn of the event loop between them
        canvas.show_frame(_two(index=index))
    qtbot.waitUntil(lambda: len(times) == 1, timeout=5000)
    assert began <= times[0] <= time.monotonic()
    canvas.update()
    canvas.snapshot()
    canvas.repaint()
    assert len(times) == 1
    assert canvas.shown is not None and canvas.shown.result.index == 4


def test_older_frames_are_let_go(canvas: Canvas) -> None:
    first = _two()
    gone = weakref.ref(first)
    canvas.show_frame(first)
    canvas.snapshot()
    del first
    canvas.show_frame(_two(index=1))
    gc.collect()
    assert gone() is None


def test_a_snapshot_has_the_pixels_of_the_screen(canvas: Canvas, monkeypatch: pytest.MonkeyPatch) -> None:
    canvas.show_frame(_two())
    monkeypatch.setattr(canvas, "devicePixelRatioF", lambda: 2.0)
    image = canvas.snapshot()
    assert image.size() == QSize(1600, 1000) and image.devicePixelRatio() == 2.0
    knee = _place(canvas, 1, KNEE)
    assert not _near(image.pixelColor(2 * knee.x(), 2 * knee.y()).getRgb()[:3], GREY)


def test_a_tiny_canvas_paints(qtbot: QtBot) -> None:
    widget = Canvas()
    qtbot.addWidget(widget)
    widget.show_frame(_two())
    widget.set_view(ViewState(angles=True, heat=HEAT_ALL, followed=1))
    widget.setMinimumSize(1, 1)
    for size in ((1, 1), (3, 200), (200, 3)):
        widget.resize(*size)
        assert not widget.snapshot().isNull()


def test_people_without_positions_paint(canvas: Canvas) -> None:
    nan = np.full((17, 3), np.nan, np.float32)
    lost = replace(person(1, LEFT), box=np.full(4, np.nan), keypoints=nan, smoothed=nan)
    canvas.set_view(ViewState(angles=True, followed=1))
    canvas.show_frame(shown([lost, person(2, RIGHT)]))
    canvas.move_view(ViewPosition(3.0))
    canvas.show_frame(shown([lost, person(2, RIGHT)], index=1))
    assert not canvas.snapshot().isNull()


# The painter alone


def test_an_overlay_is_painted_where_it_says() -> None:
    image = QImage(200, 100, QImage.Format.Format_RGB32)
    image.fill(QColor(0, 0, 0))
    overlay = Overlay(
        (200, 100),
        boxes=(Box((10, 10, 60, 60), (255, 0, 0), 3.0),),
        lines=(Line((80, 20), (180, 20), (0, 255, 0), 6.0, 2.0),),
        dots=(Dot((100, 60), 8.0, (0, 0, 255), 1.0), Dot((140, 60), 8.0, (200, 200, 200), 0.0, 0.5)),
        panels=(Panel((150, 80, 200, 100), (255, 255, 255), 1.0),),
        texts=(Text("MMMM", (150, 80, 200, 100), 152, 96, 10, (0, 0, 0)),),
    )
    painter = QPainter(image)
    paint_overlay(painter, overlay)
    painter.end()

    def at(x: int, y: int) -> tuple[int, ...]:
        return image.pixelColor(x, y).getRgb()[:3]

    assert at(10, 35)[0] > 200 and at(35, 35) == (0, 0, 0)
    assert at(130, 20) == (0, 255, 0) and at(130, 28) == (0, 0, 0)
    assert at(100, 60) == (0, 0, 255) and 80 < at(140, 60)[0] < 120
    assert at(199, 81) == (255, 255, 255)
    assert min(at(x, 90)[0] for x in range(152, 198)) < 100
