"""The canvas as a user sees it: picture, layers, labels, heatmaps, pixels."""

from __future__ import annotations

import gc
import time
import weakref
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QImage, QPainter, QPalette
from pytestqt.qtbot import QtBot

from tests.app.on_canvas import (
    GREY,
    KNEE,
    LEFT,
    NOTHING,
    RIGHT,
    near,
    open_canvas,
    patch,
    place_of,
    rgb_at,
    rgb_bytes,
    two,
)
from tests.app.people import person, shown
from tests.fixtures.clips import COLOURS
from tests.fixtures.clips import picture as quadrants
from vipose.app.core.hit import ViewPosition
from vipose.app.core.viewstate import HEAT_ALL, ViewState
from vipose.app.widgets.canvas import Canvas
from vipose.app.widgets.painting import paint_overlay
from vipose.runtime.options import RunOptions
from vipose.runtime.overlay import Box, Dot, Line, Overlay, Panel, Text, track_colour


@pytest.fixture
def canvas(qtbot: QtBot) -> Canvas:
    return open_canvas(qtbot)


# What is shown


def test_an_empty_canvas_says_what_to_do(canvas: Canvas) -> None:
    empty = rgb_bytes(canvas.snapshot())
    canvas.set_message("Open a camera or a file")
    assert rgb_bytes(canvas.snapshot()) != empty
    assert canvas.scene() is None


def test_clearing_shows_the_message_again(canvas: Canvas) -> None:
    canvas.set_message("Nothing is open")
    empty = rgb_bytes(canvas.snapshot())
    canvas.show_frame(two())
    canvas.zoom_in()
    assert rgb_bytes(canvas.snapshot()) != empty
    canvas.clear()
    assert rgb_bytes(canvas.snapshot()) == empty
    assert canvas.shown is None and canvas.position.fits


def test_the_picture_is_fitted_with_dark_bars(canvas: Canvas) -> None:
    canvas.set_view(NOTHING)
    canvas.show_frame(shown(picture=quadrants(0, (400, 200))))
    for name, (x, y) in zip(COLOURS, [(20, 70), (780, 70), (20, 430), (780, 430)], strict=True):
        assert near(rgb_at(canvas, x, y), COLOURS[name]), name
    for bar in ((400, 10), (400, 490)):
        assert max(rgb_at(canvas, *bar)) < 60


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_surround_is_dark_in_every_theme(canvas: Canvas, theme: str) -> None:
    palette = QPalette(QColor("#f3f4f6") if theme == "light" else QColor("#1f2227"))
    canvas.setPalette(palette)
    assert max(rgb_at(canvas, 5, 5)) < 80


def test_a_picture_that_was_scaled_down_covers_the_frame(canvas: Canvas) -> None:
    canvas.set_view(NOTHING)
    canvas.show_frame(shown(picture=quadrants(0, (200, 100)), size=(400, 200)))
    small = canvas.snapshot()
    canvas.show_frame(shown(picture=quadrants(0, (400, 200)), size=(400, 200)))
    large = canvas.snapshot()
    for x, y in ((10, 60), (390, 60), (410, 440), (790, 440)):
        assert near(small.pixelColor(x, y).getRgb()[:3], large.pixelColor(x, y).getRgb()[:3])


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
    assert near(rgb_at(canvas, 780, 70), COLOURS["red"]) and near(rgb_at(canvas, 20, 430), COLOURS["white"])
    mirrored = canvas.scene()
    assert mirrored is not None and mirrored.labels[0].rect[0] > 400
    chips = mirrored.labels[0].chips
    assert [chip.text for chip in chips] == texts and chips[0].rect[0] < chips[1].rect[0]


def test_a_black_ground_hides_the_picture_and_keeps_the_skeletons(canvas: Canvas) -> None:
    canvas.set_view(ViewState(boxes=False, labels=False))
    canvas.show_frame(two())
    canvas.set_options(RunOptions(black_background=True))
    assert rgb_at(canvas, 400, 250) == (0, 0, 0)
    knee = place_of(canvas, 1, KNEE)
    assert max(rgb_at(canvas, knee.x(), knee.y())) > 100


def test_layers_can_be_switched_off_one_by_one(canvas: Canvas) -> None:
    canvas.show_frame(two())
    seen = {}
    for name, state in {
        "all": ViewState(),
        "no skeletons": ViewState(skeletons=False),
        "no boxes": ViewState(boxes=False),
        "no labels": ViewState(labels=False),
        "angles": ViewState(angles=True),
    }.items():
        canvas.set_view(state)
        seen[name] = rgb_bytes(canvas.snapshot())
    assert len(set(seen.values())) == len(seen)
    canvas.set_view(NOTHING)
    assert near(rgb_at(canvas, place_of(canvas, 1, KNEE).x(), place_of(canvas, 1, KNEE).y()), GREY)


def test_smoothed_or_raw_joints(canvas: Canvas) -> None:
    raw = person(1, LEFT)
    moved = replace(raw, smoothed=raw.keypoints + np.array([120, 0, 0], np.float32))
    canvas.show_frame(shown([moved]))
    canvas.set_view(ViewState(boxes=False, labels=False, smoothed=False))
    x, y = (float(v) * 2 for v in raw.keypoints[KNEE, :2])
    assert not near(rgb_at(canvas, x + 1, y + 51), GREY)
    assert near(rgb_at(canvas, x + 241, y + 51), GREY)
    canvas.set_view(ViewState(boxes=False, labels=False, smoothed=True))
    assert near(rgb_at(canvas, x + 1, y + 51), GREY)
    assert not near(rgb_at(canvas, x + 241, y + 51), GREY)


def test_the_threshold_hides_unsure_joints(canvas: Canvas) -> None:
    canvas.set_view(ViewState(boxes=False, labels=False))
    canvas.show_frame(shown([person(1, LEFT, score=0.5)]))
    plain = shown()
    assert canvas.scene().overlay.dots  # type: ignore[union-attr]
    canvas.set_options(RunOptions(joint_threshold=0.6))
    hidden = rgb_bytes(canvas.snapshot())
    canvas.show_frame(plain)
    assert rgb_bytes(canvas.snapshot()) == hidden


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
    canvas.show_frame(two())
    marks = canvas.scene().angles  # type: ignore[union-attr]
    texts = [mark.text for mark in marks]
    assert len(marks) == 22 and any(t.startswith("trunk") for t in texts) and all(t.endswith("°") for t in texts)
    for n, a in enumerate(marks):
        assert all(
            a.rect[2] <= b.rect[0] or b.rect[2] <= a.rect[0] or a.rect[3] <= b.rect[1] or b.rect[3] <= a.rect[1]
            for b in marks[n + 1 :]
        )
    knee = place_of(canvas, 1, KNEE)
    assert any(abs(m.rect[0] - knee.x()) < 40 and abs(m.rect[1] - knee.y()) < 40 for m in marks)


def test_angles_are_those_of_the_followed_person_and_of_the_frame(canvas: Canvas) -> None:
    canvas.set_view(ViewState(angles=True, followed=2))
    canvas.show_frame(two())
    plain = [m.text for m in canvas.scene().angles]  # type: ignore[union-attr]
    assert len(plain) == 11
    canvas.set_options(RunOptions(mirror=True))
    assert [m.text for m in canvas.scene().angles] == plain  # type: ignore[union-attr]


# Heatmaps


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("position", [ViewPosition(), ViewPosition(2.0, 0.3, 0.5)])
def test_heat_lies_on_its_place(canvas: Canvas, mirror: bool, position: ViewPosition) -> None:
    canvas.set_options(RunOptions(mirror=mirror))
    canvas.set_view(replace(NOTHING, heat=HEAT_ALL))
    canvas.show_frame(shown([person(1, LEFT)], heat=(patch(100, 90),)))
    canvas.move_view(position)
    x, y = canvas.view().to_widget((100, 90))  # type: ignore[union-attr]
    image = canvas.snapshot()
    bright = [(image.pixelColor(px, py).lightness(), px, py) for px in range(0, 800, 4) for py in range(60, 440, 4)]
    _, px, py = max(bright)
    assert abs(px - x) <= 6 and abs(py - y) <= 6
    assert rgb_at(canvas, 400, 70)[0] < 60  # the picture steps back


def test_heat_is_not_painted_unless_it_is_wanted(canvas: Canvas) -> None:
    canvas.set_view(NOTHING)
    canvas.show_frame(shown([person(1, LEFT)], heat=(patch(100, 90),)))
    assert near(rgb_at(canvas, 201, 231), GREY)


def test_results_without_heatmaps_stay_bright(canvas: Canvas) -> None:
    canvas.set_view(replace(NOTHING, heat=HEAT_ALL))
    canvas.show_frame(two())
    assert near(rgb_at(canvas, 400, 250), GREY)


# Frames and pixels


def test_painted_comes_once_a_frame_and_only_for_the_newest(canvas: Canvas, qtbot: QtBot) -> None:
    times: list[float] = []
    canvas.painted.connect(times.append)
    began = time.monotonic()
    for index in range(5):  # without a turn of the event loop between them
        canvas.show_frame(two(index=index))
    qtbot.waitUntil(lambda: len(times) == 1, timeout=5000)
    assert began <= times[0] <= time.monotonic()
    canvas.update()
    canvas.snapshot()
    canvas.repaint()
    assert len(times) == 1
    assert canvas.shown is not None and canvas.shown.result.index == 4


def test_older_frames_are_let_go(canvas: Canvas) -> None:
    first = two()
    gone = weakref.ref(first)
    canvas.show_frame(first)
    canvas.snapshot()
    del first
    canvas.show_frame(two(index=1))
    gc.collect()
    assert gone() is None


def test_a_snapshot_has_the_pixels_of_the_screen(canvas: Canvas, monkeypatch: pytest.MonkeyPatch) -> None:
    canvas.show_frame(two())
    monkeypatch.setattr(canvas, "devicePixelRatioF", lambda: 2.0)
    image = canvas.snapshot()
    assert image.size() == QSize(1600, 1000) and image.devicePixelRatio() == 2.0
    knee = place_of(canvas, 1, KNEE)
    assert not near(image.pixelColor(2 * knee.x(), 2 * knee.y()).getRgb()[:3], GREY)


def test_a_tiny_canvas_paints(qtbot: QtBot) -> None:
    widget = Canvas()
    qtbot.addWidget(widget)
    widget.show_frame(two())
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
