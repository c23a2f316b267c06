"""The window: pages, problems, drops, keys, settings that are kept, and an end that leaves nothing behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QApplication, QMessageBox, QToolButton
from pytestqt.qtbot import QtBot

from tests.app.live import FakeSource, people_picture
from tests.fixtures.clips import clip
from vipose.app import window as window_module
from vipose.app.core import session_run
from vipose.app.core.cameras import CameraWatch
from vipose.app.core.phases import Phase
from vipose.app.core.settings import SettingsStore
from vipose.app.widgets.problem_dialog import ProblemDialog
from vipose.app.widgets.shortcuts_dialog import ShortcutsDialog
from vipose.app.widgets.theme import is_dark
from vipose.app.window import BATCH, COMPARE, LIVE, RESULTS, SETTINGS, MainWindow
from vipose.runtime.errors import DeviceError, InputError, UsageError
from vipose.runtime.media.camera import CameraInfo
from vipose.runtime.media.sources import SourceSpec

ENDS_WITHIN_S = 2.0


class Desk:
    """A window, its settings, and cameras of our own."""

    def __init__(self, qtbot: QtBot, path: Path) -> None:
        self.qtbot, self.path = qtbot, path
        self.cameras: list[CameraInfo] = []
        self.store = SettingsStore(path)
        self.store.change_options(threads=1)
        self.store.change(results_folder=str(path.parent / "out"))
        self.window = MainWindow(self.store, CameraWatch(interval_s=0.05, lister=lambda: self.cameras))
        qtbot.addWidget(self.window)
        self.window.show()

    @property
    def present(self) -> int:
        return self.window._stack.currentIndex()

    def wait(self, condition: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=20_000)

    def drop(self, *paths: Path) -> None:
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        event = QDropEvent(
            QPoint(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        )
        self.window.dropEvent(event)

    def problem(self) -> ProblemDialog:
        self.wait(lambda: self.window.findChild(ProblemDialog))
        dialog = self.window.findChild(ProblemDialog)
        assert isinstance(dialog, ProblemDialog)
        return dialog

    def key(self, keys: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.ControlModifier) -> None:
        self.qtbot.keyClick(self.window, keys, modifier)


@pytest.fixture
def desk(qtbot: QtBot, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(qtbot, tmp_path / "settings.json")
    yield desk
    desk.window._closing = True
    desk.window.close()
    desk.store.close()


def test_every_page_opens_from_the_rail_and_by_its_key(desk: Desk) -> None:
    for number, key in enumerate((Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_3, Qt.Key.Key_4, Qt.Key.Key_5)):
        desk.key(key)
        assert desk.present == number
    desk.key(Qt.Key.Key_1)
    buttons = [b for b in desk.window._rail.findChildren(QToolButton) if b.isCheckable()]
    for number, button in enumerate(buttons):
        desk.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        assert desk.present == number and button.isChecked()


def test_pages_are_made_before_anybody_asks_for_them(desk: Desk) -> None:
    assert list(desk.window._pages) == [LIVE]
    desk.window.prepare()
    desk.wait(lambda: sorted(desk.window._pages) == [LIVE, RESULTS, BATCH, COMPARE, SETTINGS])
    assert desk.present == LIVE


def test_a_dropped_video_runs_on_the_live_page(desk: Desk, tmp_path: Path) -> None:
    made = clip(tmp_path / "dropped.mp4")
    desk.window.show_page(SETTINGS)
    desk.drop(made.path)
    desk.wait(lambda: desk.window.live.canvas.shown is not None)
    assert desk.present == LIVE and desk.store.current.recent == (str(made.path),)


def test_several_dropped_videos_are_queued(desk: Desk, tmp_path: Path) -> None:
    paths = [clip(tmp_path / f"{name}.mp4").path for name in "ab"]
    desk.drop(*paths)
    desk.wait(lambda: desk.present == BATCH)


def test_dropped_settings_are_imported(desk: Desk, tmp_path: Path) -> None:
    other = SettingsStore(tmp_path / "other" / "settings.json")
    other.change_options(max_people=3)
    other.export(tmp_path / "mine.json")
    other.close()
    desk.drop(tmp_path / "mine.json")
    desk.wait(lambda: desk.store.current.options.max_people == 3)
    assert desk.present == SETTINGS


def test_something_useless_that_is_dropped_is_explained(desk: Desk, tmp_path: Path) -> None:
    desk.drop(tmp_path / "missing.mp4")
    assert "missing.mp4" in desk.problem().problems[0].details


def test_the_demo_clip_opens_by_name(desk: Desk) -> None:
    desk.window.open_text("demo")
    desk.wait(lambda: (shown := desk.window.live.canvas.shown) is not None and shown.result.people)


def test_an_error_of_any_page_becomes_a_dialog_and_one_alone(desk: Desk) -> None:
    desk.window.live.problem.emit(InputError("a.mp4 cannot be read (it is empty); choose another file"))
    desk.window.page(COMPARE).problem.emit(UsageError("--period: 9 is not allowed (1 to 5 frames); change it"))
    assert len(desk.problem().problems) == 2
    assert len(desk.window.findChildren(ProblemDialog)) == 1


def test_trying_again_opens_the_camera_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[object] = []

    def refuse(*_: object) -> FakeSource:
        tries.append(None)
        if len(tries) == 1:
            raise DeviceError("camera:0 does not open; it is missing, in use or forbidden")
        return FakeSource(people_picture())

    monkeypatch.setattr(session_run, "open_chosen", refuse)
    desk.window.live.open(SourceSpec("camera:0", "camera", device=0))
    dialog = desk.problem()
    again = next(b for b in dialog.findChildren(QApplication.focusWidget().__class__) if b.text() == "Try again")
    desk.qtbot.mouseClick(again, Qt.MouseButton.LeftButton)
    desk.wait(lambda: desk.window.live.controller.status.phase is Phase.RUNNING)


def test_a_camera_that_is_plugged_in_is_offered(desk: Desk) -> None:
    desk.cameras = [CameraInfo(3, "Laptop camera")]
    desk.wait(lambda: "Laptop camera" in desk.window.live.welcome.camera_button.hint)
    desk.cameras = []
    desk.wait(lambda: "Laptop camera" not in desk.window.live.welcome.camera_button.hint)


def test_dark_and_light(desk: Desk) -> None:
    desk.store.change(theme="light")
    desk.wait(lambda: not is_dark())
    desk.key(Qt.Key.Key_T)
    desk.wait(is_dark)
    assert desk.store.current.theme == "dark"


def test_full_screen_and_back(desk: Desk) -> None:
    for full in (True, False):
        desk.key(Qt.Key.Key_F11, Qt.KeyboardModifier.NoModifier)
        assert desk.window.isFullScreen() is full


def test_the_keys_are_listed(desk: Desk) -> None:
    desk.key(Qt.Key.Key_F1, Qt.KeyboardModifier.NoModifier)
    desk.wait(lambda: desk.window.findChild(ShortcutsDialog))


def test_geometry_and_options_are_kept(desk: Desk, qtbot: QtBot) -> None:
    desk.window.resize(960, 633)  # fits on the screen of a test, which is small
    desk.store.change_options(max_people=4)
    desk.window.close()
    desk.store.close()
    again = Desk(qtbot, desk.path)
    try:
        assert again.window.height() == 633 and again.store.current.options.max_people == 4
    finally:
        again.window.close()
        again.store.close()


def test_the_dividers_stay_where_they_were_put(
    desk: Desk, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_run, "open_chosen", lambda *_: FakeSource(people_picture()))

    def run(desk: Desk) -> None:
        desk.window.resize(1300, 800)
        desk.window.live.open(SourceSpec("camera:0", "camera", device=0))
        desk.wait(lambda: desk.window.live.canvas.shown is not None)

    run(desk)
    side = desk.window.live._side
    before = side.width()
    desk.window.live._split.setSizes([700, 500])
    wide = side.width()
    assert wide > before + 20
    for _ in range(2):  # the second time it is closed on the first screen, where there is nothing to see of them
        desk.window.close()
        desk.store.close()
        desk = Desk(qtbot, desk.path)
    run(desk)
    assert abs(desk.window.live._side.width() - wide) <= 8
    desk.window.live.restore_layout("!! nonsense")
    desk.window.close()
    desk.store.close()


def test_geometry_that_is_nonsense_does_no_harm(qtbot: QtBot, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    store = SettingsStore(path)
    store.change(window="!!")
    store.close()
    desk = Desk(qtbot, path)
    desk.window.close()
    desk.store.close()


def test_settings_that_had_to_be_set_aside_are_told(qtbot: QtBot, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("{broken", "utf-8")
    desk = Desk(qtbot, path)
    assert desk.problem().problems[0].notice
    desk.window.close()
    desk.store.close()


@pytest.mark.parametrize("answer", [QMessageBox.StandardButton.Cancel, QMessageBox.StandardButton.Close])
def test_closing_asks_while_a_recording_runs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: QMessageBox.StandardButton
) -> None:
    monkeypatch.setattr(session_run, "open_chosen", lambda *_: FakeSource(people_picture()))
    monkeypatch.setattr(window_module.QMessageBox, "question", lambda *_: answer)
    desk.window.live.open(SourceSpec("camera:0", "camera", device=0))
    desk.wait(lambda: desk.window.live.canvas.shown is not None)
    desk.window.live.controller.record()
    desk.wait(lambda: (s := desk.window.live.controller.recording) is not None and s.frames > 2)
    desk.window.close()
    stays = answer == QMessageBox.StandardButton.Cancel
    assert desk.window.isVisible() is stays
    if not stays:
        status = desk.window.live.controller.recording
        assert status is not None and status.path is not None and status.path.is_file(), "it was completed"


def test_closing_ends_every_thread_soon(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is a promise of the application, not a measure of its speed: threads are asked, and joined with a limit."""
    monkeypatch.setattr(session_run, "open_chosen", lambda *_: FakeSource(people_picture()))
    for number in (LIVE, BATCH, RESULTS, COMPARE, SETTINGS):
        desk.window.show_page(number)
    desk.window.live.open(SourceSpec("camera:0", "camera", device=0))
    desk.wait(lambda: desk.window.live.canvas.shown is not None)
    desk.window.close()
    until = time.monotonic() + ENDS_WITHIN_S
    while left := [t.name for t in threading.enumerate() if t.name.startswith("vipose")]:
        assert time.monotonic() < until, left
        time.sleep(0.01)


def test_a_graphics_card_that_is_missing_is_told_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_run, "open_chosen", lambda *_: FakeSource(people_picture()))
    desk.store.change_options(device="cuda")
    desk.window.live.open(SourceSpec("camera:0", "camera", device=0))
    dialog = desk.problem()
    if desk.window.live.controller.status.provider is not None and not desk.window.live.controller.status.provider.fell_back:
        pytest.skip("this machine has CUDA")
    assert dialog.problems[0].notice and "CPU" in dialog.problems[0].what
    dialog.close()
    desk.wait(lambda: desk.window.live.controller.status.phase is Phase.RUNNING)
    desk.window.live.controller.toggle()
    desk.wait(lambda: desk.window.live.controller.status.phase is Phase.PAUSED)
    assert len(desk.window.findChildren(ProblemDialog)) <= 1
