"""The row of recording and snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from vipose.app.core.recording_status import RecordingPhase, RecordingStatus
from vipose.app.core.settings import SettingsStore
from vipose.app.widgets.record_bar import RecordBar, recording_line, size_text

VIDEO = Path("/videos/vipose/cam 2026.mp4")
RUNNING = RecordingStatus(RecordingPhase.RECORDING, 75.4, 2255, 12_300_000, VIDEO)
DONE = replace(RUNNING, phase=RecordingPhase.DONE, outputs=(VIDEO, VIDEO.with_suffix(".jsonl")))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SettingsStore]:
    store = SettingsStore(tmp_path / "s.json")
    store.change(results_folder=str(tmp_path / "results"))
    yield store
    store.close()


@pytest.fixture
def bar(qtbot: QtBot, store: SettingsStore) -> Iterator[RecordBar]:
    bar = RecordBar(store)
    qtbot.addWidget(bar)
    bar.resize(1200, 40)
    bar.show()
    yield bar
    bar.close_down()
    bar.close_down()


def test_without_a_source_nothing_can_be_recorded(bar: RecordBar) -> None:
    assert not bar.record_button.isEnabled() and not bar.snapshot_button.isEnabled()
    assert bar.said.text().startswith("To ")
    bar.set_recordable(True)
    assert bar.record_button.isEnabled() and bar.snapshot_button.isEnabled()


def test_the_button_records_and_stops(bar: RecordBar, qtbot: QtBot) -> None:
    bar.set_recordable(True)
    with qtbot.waitSignal(bar.record_asked):
        qtbot.mouseClick(bar.record_button, Qt.MouseButton.LeftButton)
    bar.set_status(RUNNING)
    assert bar.record_button.text() == "Stop recording"
    assert "1:15" in bar.said.text() and "2255 frames" in bar.said.text() and "12.3 MB" in bar.said.text()
    with qtbot.waitSignal(bar.stop_asked):
        qtbot.mouseClick(bar.record_button, Qt.MouseButton.LeftButton)
    bar.set_recordable(False)  # the source went away: it can still be stopped
    assert bar.record_button.isEnabled()
    bar.set_status(replace(RUNNING, phase=RecordingPhase.FINISHING))
    assert not bar.record_button.isEnabled()


def test_formats_and_folder_stay_while_it_records(bar: RecordBar) -> None:
    bar.set_status(RUNNING)
    assert not bar.formats_button.isEnabled() and not bar.folder_button.isEnabled()
    bar.set_status(DONE)
    assert bar.formats_button.isEnabled() and bar.folder_button.isEnabled()


def test_what_is_done_can_be_replayed_and_shown(bar: RecordBar, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    assert not bar.show_button.isVisible() and not bar.results_button.isVisible()
    bar.set_status(DONE)
    assert bar.said.text() == "Saved cam 2026.mp4"
    with qtbot.waitSignal(bar.open_results_asked) as asked:
        qtbot.mouseClick(bar.results_button, Qt.MouseButton.LeftButton)
    assert asked.args == [VIDEO.with_suffix(".jsonl")]
    qtbot.mouseClick(bar.show_button, Qt.MouseButton.LeftButton)
    assert opened == [str(VIDEO.parent)]


def test_a_system_that_shows_no_folders_is_a_problem(bar: RecordBar, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda _url: False)
    bar.set_status(DONE)
    with qtbot.waitSignal(bar.problem) as problem:
        bar.show_button.click()
    assert str(VIDEO.parent) in str(problem.args[0])


def test_without_native_results_there_is_nothing_to_replay(bar: RecordBar) -> None:
    bar.set_status(replace(DONE, outputs=(VIDEO,)))
    assert not bar.results_button.isVisible() and bar.show_button.isVisible()


def test_a_failure_says_why(bar: RecordBar) -> None:
    failed = replace(DONE, phase=RecordingPhase.FAILED, message="the disk is full")
    bar.set_status(failed)
    assert bar.said.text() == "Recording failed: the disk is full"
    assert str(VIDEO) in bar.said.toolTip() and bar.said.property("role") == "title"
    bar.set_status(None)
    assert bar.said.property("role") == "hint"


def test_a_snapshot_is_named(bar: RecordBar, qtbot: QtBot) -> None:
    bar.set_recordable(True)
    with qtbot.waitSignal(bar.snapshot_asked):
        qtbot.mouseClick(bar.snapshot_button, Qt.MouseButton.LeftButton)
    bar.show_snapshot(Path("/videos/vipose/cam.png"))
    assert bar.said.text() == "Saved cam.png" and bar.show_button.isVisible()
    bar.set_status(RUNNING)
    bar.show_snapshot(Path("/videos/vipose/other.png"))
    assert "2255 frames" in bar.said.text()


def test_formats_are_written_to_the_settings_and_followed(bar: RecordBar, store: SettingsStore, qtbot: QtBot) -> None:
    boxes = bar.formats.boxes
    assert [name for name, box in boxes.items() if box.isChecked()] == ["native"]
    boxes["csv"].click()
    assert store.current.formats == ("native", "csv")
    store.change(formats=("native", "trc"))
    qtbot.waitUntil(lambda: boxes["trc"].isChecked() and not boxes["csv"].isChecked(), timeout=10_000)


def test_another_folder(bar: RecordBar, store: SettingsStore, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "open", lambda dialog: dialog.fileSelected.emit("/other/place"))
    qtbot.mouseClick(bar.folder_button, Qt.MouseButton.LeftButton)
    assert store.current.results_folder == "/other/place"
    qtbot.waitUntil(lambda: "/other/place" in bar.said.text(), timeout=10_000)
    assert "/other/place" in bar.folder_button.toolTip()


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (RecordingStatus(), "Waiting for the first picture…"),
        (RUNNING, "1:15  2255 frames  12.3 MB  to ~/v"),
        (replace(RUNNING, slow=True), "Too slow, pictures are dropped  1:15  2255 frames  12.3 MB"),
        (replace(RUNNING, seconds=3725.0, phase=RecordingPhase.FINISHING), "Completing the files…  1:02:05  2255 frames  12.3 MB"),
        (replace(DONE, message="The picture changed."), "Saved cam 2026.mp4. The picture changed."),
        (replace(DONE, path=None, message="Nothing was recorded."), "Nothing was recorded."),
    ],
)
def test_a_recording_in_one_line(status: RecordingStatus, line: str) -> None:
    assert recording_line(status, "~/v") == line


def test_sizes_in_words() -> None:
    assert [size_text(n) for n in (0, 84_300, 12_345_678, 3_210_000_000)] == ["0 kB", "84 kB", "12.3 MB", "3.2 GB"]
