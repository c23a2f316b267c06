"""Choosing a source."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtWidgets import QDialogButtonBox, QFileDialog
from pytestqt.qtbot import QtBot

from tests.fixtures import clips
from vipose.app.core.cameras import CameraWatch
from vipose.app.core.settings import SettingsStore
from vipose.app.widgets import source_bar as module
from vipose.app.widgets.source_bar import SourceBar, asked_and_got, dropped_texts
from vipose.app.widgets.url_dialog import UrlDialog
from vipose.runtime.errors import InputError
from vipose.runtime.media.camera import CameraInfo
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.types import SourceInfo

WEBCAM, STUDIO = CameraInfo(0, "HD & Webcam"), CameraInfo(2, "Studio")


class Bench:
    """A bar, and what it says."""

    def __init__(self, qtbot: QtBot, folder: Path) -> None:
        self.qtbot = qtbot
        self.store = SettingsStore(folder / "settings.json")
        self.cameras = [WEBCAM, STUDIO]
        self.watch = CameraWatch(interval_s=0.02, lister=lambda: list(self.cameras))
        self.bar = SourceBar(self.store, self.watch)
        qtbot.addWidget(self.bar)
        self.bar.resize(1000, 40)
        self.bar.show()
        self.chosen: list[SourceSpec] = []
        self.elsewhere: list[Any] = []
        self.problems: list[Exception] = []
        self.bar.chosen.connect(self.chosen.append)
        self.bar.elsewhere.connect(self.elsewhere.append)
        self.bar.problem.connect(self.problems.append)
        qtbot.waitUntil(lambda: self.watch.looked, timeout=10_000)

    def entry(self, text: str) -> Any:
        """The entry of the menu that begins with a text."""
        self.bar.menu.rebuild()
        return next(a for a in self.bar.menu.actions() if a.text().replace("&", "").startswith(text.replace("&", "")))

    def heard(self, said: list[Any]) -> Any:
        self.qtbot.waitUntil(lambda: bool(said), timeout=10_000)
        return said.pop()


@pytest.fixture
def bench(qtbot: QtBot, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(qtbot, tmp_path)
    yield bench
    bench.bar.close_down()
    bench.bar.close_down()
    bench.watch.close()
    bench.store.close()


def test_cameras_are_chosen_by_name(bench: Bench) -> None:
    bench.entry("Studio").trigger()
    assert bench.chosen == [SourceSpec("Studio", "camera", device="Studio")]
    assert bench.bar.picker.text() == "Studio"
    assert bench.bar.editors["camera_size"].isVisible()
    assert bench.entry("Studio").isChecked() and not bench.entry("HD").isChecked()
    assert bench.store.current.recent == ()  # cameras are listed anyway


def test_an_ampersand_is_no_shortcut(bench: Bench) -> None:
    bench.entry("HD").trigger()
    assert bench.bar.picker.text() == "HD && Webcam"
    assert bench.bar.picker.accessibleName() == "Source: HD & Webcam"


def test_a_camera_that_is_unplugged_keeps_its_name(bench: Bench, qtbot: QtBot) -> None:
    bench.bar.open_camera(STUDIO)
    bench.cameras = [WEBCAM]
    qtbot.waitUntil(lambda: "unplugged" in bench.bar.picker.text(), timeout=10_000)
    assert bench.bar.picker.text().startswith("Studio")
    assert not bench.entry("Studio (unplugged)").isEnabled()
    bench.cameras = [WEBCAM, STUDIO]
    qtbot.waitUntil(lambda: bench.bar.picker.text() == "Studio", timeout=10_000)


def test_an_open_menu_follows_the_cameras(bench: Bench, qtbot: QtBot) -> None:
    bench.bar.menu.popup(bench.bar.mapToGlobal(bench.bar.rect().bottomLeft()))
    bench.cameras = []
    qtbot.waitUntil(
        lambda: any(a.text() == "No camera found" for a in bench.bar.menu.actions()), timeout=10_000
    )
    bench.bar.menu.close()


def test_without_a_camera_asking_for_one_is_a_problem(bench: Bench, qtbot: QtBot) -> None:
    bench.cameras = []
    qtbot.waitUntil(lambda: not bench.watch.cameras, timeout=10_000)
    bench.bar.open_camera()
    assert "no camera" in str(bench.problems[0]) and not bench.chosen


def test_a_file_is_opened_and_remembered(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips.clip(tmp_path / "one.mp4", frames=2).path
    monkeypatch.setattr(QFileDialog, "open", lambda dialog: dialog.filesSelected.emit([str(clip)]))
    bench.entry("Open file").trigger()
    spec = bench.heard(bench.chosen)
    assert spec.path == clip and bench.bar.spec == spec
    assert bench.store.current.recent == (str(clip),) and bench.store.current.folder == str(tmp_path)
    assert bench.bar.picker.text() == "one.mp4" and not bench.bar.editors["camera_size"].isVisible()


def test_a_folder_of_pictures_is_opened_as_one(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = clips.still_folder(tmp_path / "stills").path
    monkeypatch.setattr(QFileDialog, "open", lambda dialog: dialog.fileSelected.emit(str(folder)))
    bench.entry("Open folder").trigger()
    assert bench.heard(bench.chosen).kind == "images"
    monkeypatch.setattr(QFileDialog, "open", lambda dialog: dialog.fileSelected.emit(str(tmp_path)))
    bench.entry("Open folder").trigger()
    assert "no pictures" in str(bench.heard(bench.problems))


def test_several_files_go_elsewhere(bench: Bench, tmp_path: Path) -> None:
    paths = [str(clips.clip(tmp_path / name, frames=2).path) for name in ("a.mp4", "b.mp4")]
    bench.bar.open_texts(paths)
    drop = bench.heard(bench.elsewhere)
    assert drop.kind == "batch" and list(drop.texts) == paths and not bench.chosen


@pytest.mark.parametrize("text", ["nowhere.mp4", "gopher://x", "", "http://"])
def test_what_is_no_source_is_a_problem(bench: Bench, text: str) -> None:
    bench.bar.open_text(text)
    assert "\n" not in str(bench.heard(bench.problems))
    assert not bench.chosen and bench.bar.spec is None


def test_the_demo_clip(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "demo_clip", lambda: tmp_path / "demo.mp4")
    bench.entry("Demo").trigger()
    assert bench.chosen[0].path == tmp_path / "demo.mp4" and bench.store.current.recent == ()
    monkeypatch.setattr(module, "demo_clip", lambda: None)
    bench.bar.open_demo()
    assert "not installed" in str(bench.problems[0])


def test_recent_ones_come_newest_first_and_missing_ones_are_grey(bench: Bench, tmp_path: Path, qtbot: QtBot) -> None:
    there = clips.clip(tmp_path / "there.mp4", frames=2).path
    bench.store.change(recent=(str(there), "rtsp://cam.local/x", str(tmp_path / "gone.mp4"), *(f"/n/{i}.mp4" for i in range(9))))
    menu = bench.bar.menu
    menu.rebuild()

    def entry(name: str) -> Any:
        return next(a for a in menu.actions() if a.text().startswith(name))

    qtbot.waitUntil(lambda: not entry("gone.mp4").isEnabled(), timeout=10_000)
    assert entry("there.mp4").isEnabled() and entry("rtsp://").isEnabled()
    recent = [a.text() for a in menu.actions()][-11:-1]
    assert recent[0].startswith("there.mp4") and recent[1].startswith("rtsp") and len(recent) == 10
    entry("there.mp4").trigger()
    assert bench.heard(bench.chosen).path == there
    bench.entry("Clear").trigger()
    assert bench.store.current.recent == ()


def test_an_address_is_used_with_its_password_and_remembered_without(bench: Bench) -> None:
    address = "rtsp://me:secret@cam.local/live"
    bench.entry("Address").trigger()
    dialog = next(d for d in bench.bar.window().findChildren(UrlDialog))
    opens = dialog.buttons.button(QDialogButtonBox.StandardButton.Open)
    assert not opens.isEnabled()
    dialog.line.setText("gopher://old")
    assert not opens.isEnabled() and "unknown scheme" in dialog.said.text()
    dialog.line.setText(address)
    assert opens.isEnabled() and not dialog.said.isVisible()
    bench.qtbot.mouseClick(opens, Qt.MouseButton.LeftButton)
    assert bench.chosen.pop() == SourceSpec(address, "stream")
    assert bench.store.current.recent == ("rtsp://cam.local/live",)
    assert "secret" not in bench.bar.picker.text() + bench.bar.picker.toolTip()
    bench.entry("rtsp://").trigger()  # still known while the application runs
    assert bench.heard(bench.chosen).text == address
    assert bench.store.current.recent == ("rtsp://cam.local/live",)
    bench.bar.ask_for_address()
    again = bench.bar.window().findChildren(UrlDialog)[-1]
    assert again.line.text() == address
    again.reject()


def test_the_dialog_hides_passwords_in_what_it_says(qtbot: QtBot) -> None:
    dialog = UrlDialog("ftp://me:secret@host/x")
    qtbot.addWidget(dialog)
    assert "ftp://host/x" in dialog.said.text() and "secret" not in dialog.said.text()


def test_what_a_camera_is_asked_for_is_an_option(bench: Bench) -> None:
    bench.bar.open_camera(WEBCAM)
    size = bench.bar.editors["camera_size"]
    size.line.selectAll()
    bench.qtbot.keyClicks(size.line, "1280x720")
    bench.qtbot.keyClick(size.line, Qt.Key.Key_Return)
    assert bench.store.current.options.camera_size == (1280, 720)
    bench.store.change_options(camera_fps=25.0)
    bench.qtbot.waitUntil(lambda: bench.bar.editors["camera_fps"].value() == 25.0, timeout=10_000)
    bench.bar.set_got(SourceInfo("HD & Webcam", "camera", (640, 480), fps=30.0, live=True))
    assert bench.bar.got.text() == "asked 1280x720 at 25, got 640x480 at 30"
    bench.bar.set_got(None)
    assert bench.bar.got.text() == ""


def test_asked_and_got_in_words() -> None:
    got = SourceInfo("x", "camera", (640, 480), fps=29.97003)
    assert asked_and_got(None, None, got) == "got 640x480 at 29.97"
    assert asked_and_got(None, 60.0, got) == "asked at 60, got 640x480 at 29.97"
    assert asked_and_got((1, 2), None, SourceInfo("x", "camera", (3, 4))) == "asked 1x2, got 3x4"


def test_what_is_still_looked_at_does_not_replace_a_later_choice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    look, looked = threading.Event(), threading.Event()

    def slow(_texts: object) -> object:
        look.wait(10)
        looked.set()
        raise InputError("the network folder is gone; look at it")

    monkeypatch.setattr(module, "sort_out", slow)
    bench.bar.open_text("/network/slow.mp4")
    bench.bar.open_demo()
    look.set()
    assert looked.wait(10)
    bench.qtbot.wait(100)
    assert [spec.path and spec.path.name for spec in bench.chosen] == ["demo.mp4"] and not bench.problems


def test_after_closing_nothing_arrives(bench: Bench) -> None:
    bench.bar.close_down()
    bench.bar.open_text("nowhere.mp4")
    bench.cameras = []
    bench.store.change_options(camera_fps=15.0)
    bench.qtbot.wait(100)
    assert not bench.problems


def test_dropped_things_as_texts(tmp_path: Path) -> None:
    data = QMimeData()
    assert dropped_texts(data) == ()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path / "a b.mp4")), QUrl("https://example.org/x.mp4")])
    assert dropped_texts(data) == (str(tmp_path / "a b.mp4"), "https://example.org/x.mp4")
    words = QMimeData()
    words.setText("just words")
    assert dropped_texts(words) == ()
    words.setText("rtsp://cam.local/x")
    assert dropped_texts(words) == ("rtsp://cam.local/x",)
