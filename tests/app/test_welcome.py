"""The first-run screen: every way to begin, by mouse, keyboard and drop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent
from PySide6.QtWidgets import QMenu, QToolButton
from pytestqt.qtbot import QtBot

from vipose.app.core.demo import demo_clip
from vipose.app.core.settings import SettingsStore
from vipose.app.widgets.big_button import BigButton
from vipose.app.widgets.welcome import Welcome
from vipose.runtime.media.camera import CameraInfo

FRONT, SIDE = CameraInfo(0, "Front"), CameraInfo(2, "Side")
COPY, LEFT = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SettingsStore]:
    store = SettingsStore(tmp_path / "settings.json")
    yield store
    store.close()


@pytest.fixture
def page(store: SettingsStore, qtbot: QtBot) -> Iterator[Welcome]:
    page = Welcome(store)
    qtbot.addWidget(page)
    page.resize(900, 600)
    page.show()
    yield page
    page.close_down()


def recent(page: Welcome) -> list[QToolButton]:
    return [one for one in page.findChildren(QToolButton) if one.accessibleName().startswith("Open ")]


def test_the_demo_clip_is_one_key_away(page: Welcome, qtbot: QtBot) -> None:
    page.activateWindow()
    qtbot.waitUntil(page.demo_button.hasFocus)
    with qtbot.waitSignal(page.demo_asked):
        qtbot.keyClick(page.demo_button, Qt.Key.Key_Return)
    with qtbot.waitSignal(page.demo_asked):
        qtbot.keyClick(page.demo_button, Qt.Key.Key_Space)


def test_the_demo_clip_is_there() -> None:
    path = demo_clip()
    assert path is not None and path.name == "demo.mp4" and path.stat().st_size > 100_000


def test_without_a_demo_clip_its_button_says_so(store: SettingsStore, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipose.app.widgets.welcome.demo_clip", lambda: None)
    page = Welcome(store)
    qtbot.addWidget(page)
    assert not page.demo_button.isEnabled() and "no demo clip" in page.demo_button.hint
    page.close_down()


def test_opening_a_file(page: Welcome, qtbot: QtBot) -> None:
    with qtbot.waitSignal(page.open_asked):
        qtbot.mouseClick(page.open_button, LEFT)


def test_one_camera_opens_at_once(page: Welcome, qtbot: QtBot) -> None:
    page.set_cameras([FRONT])
    assert page.camera_button.hint == "Front"
    with qtbot.waitSignal(page.camera_asked) as asked:
        qtbot.mouseClick(page.camera_button, LEFT)
    assert asked.args == [FRONT]


def test_no_camera_is_told_and_still_may_be_asked_for(page: Welcome, qtbot: QtBot) -> None:
    page.set_cameras([FRONT])
    page.set_cameras([])
    assert "None is found" in page.camera_button.hint
    with qtbot.waitSignal(page.camera_asked) as asked:
        page.camera_button.click()
    assert asked.args == [None]


def test_several_cameras_are_asked_for_by_a_menu(page: Welcome, qtbot: QtBot) -> None:
    page.set_cameras([FRONT, SIDE])
    page.camera_button.click()
    [menu] = page.findChildren(QMenu)
    assert [action.text() for action in menu.actions()] == ["Front", "Side"]
    with qtbot.waitSignal(page.camera_asked) as asked:
        menu.actions()[1].trigger()
    assert asked.args == [SIDE]
    menu.close()


def test_what_was_open_lately(page: Welcome, store: SettingsStore, qtbot: QtBot) -> None:
    assert not page._recent_box.isVisible()
    thread = threading.Thread(target=lambda: store.change(recent=("/videos/squat.mp4", "camera:0", "rtsp://host/stream")))
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: len(recent(page)) == 3 and page._recent_box.isVisible())
    first = recent(page)[0]
    assert first.text() == "squat.mp4" and first.toolTip() == "/videos/squat.mp4"
    with qtbot.waitSignal(page.recent_asked) as asked:
        first.click()
    assert asked.args == ["/videos/squat.mp4"]


def test_a_long_name_is_cut(page: Welcome, store: SettingsStore, qtbot: QtBot) -> None:
    long = "/videos/" + "a very long name " * 20 + ".mp4"
    store.change(recent=(long,))
    qtbot.waitUntil(lambda: len(recent(page)) == 1 and "…" in recent(page)[0].text())
    assert page.findChildren(BigButton)[0].window().width() == 900  # it did not widen the page


def test_after_closing_down_settings_are_not_watched(page: Welcome, store: SettingsStore) -> None:
    page.close_down()
    page.close_down()
    assert page.busy() == ""
    store.change(recent=("a.mp4",))
    assert recent(page) == []


def data(*urls: QUrl) -> QMimeData:
    found = QMimeData()
    found.setUrls(list(urls))
    return found


def test_files_can_be_dropped(page: Welcome, qtbot: QtBot) -> None:
    carried = data(QUrl.fromLocalFile("/videos/a b.mp4"), QUrl("rtsp://host/stream"))
    enter = QDragEnterEvent(QPoint(5, 5), COPY, carried, LEFT, Qt.KeyboardModifier.NoModifier)
    page.dragEnterEvent(enter)
    assert enter.isAccepted() and page._target.lit and page._target.words.text() == "Let go to open it"
    page.dragLeaveEvent(QDragLeaveEvent())
    assert not page._target.lit
    drop = QDropEvent(QPointF(5, 5), COPY, carried, LEFT, Qt.KeyboardModifier.NoModifier)
    with qtbot.waitSignal(page.dropped) as dropped:
        page.dropEvent(drop)
    assert dropped.args == [["/videos/a b.mp4", "rtsp://host/stream"]]


def test_words_cannot_be_dropped(page: Welcome) -> None:
    carried = QMimeData()
    carried.setText("only words")
    enter = QDragEnterEvent(QPoint(5, 5), COPY, carried, LEFT, Qt.KeyboardModifier.NoModifier)
    enter.ignore()
    page.dragEnterEvent(enter)
    assert not enter.isAccepted() and not page._target.lit


@pytest.mark.parametrize("size", [(1280, 800), (900, 600)])
def test_everything_is_on_the_screen(page: Welcome, qtbot: QtBot, size: tuple[int, int]) -> None:
    page.resize(*size)
    qtbot.waitUntil(lambda: page.width() == size[0])
    for button in (page.demo_button, page.open_button, page.camera_button):
        corner = button.mapTo(page, button.rect().bottomRight())
        assert page.rect().contains(corner) and page.rect().contains(button.mapTo(page, QPoint(0, 0)))
    assert page.rect().contains(page._promise_text.mapTo(page, page._promise_text.rect().bottomRight()))
