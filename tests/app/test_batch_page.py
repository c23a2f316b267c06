"""The batch page as a user meets it: adding, dropping, starting, cancelling, moving, trying again and opening."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.clips import clip
from tests.fixtures.figure import write_figures

pytest.importorskip("PySide6")

from PySide6.QtCore import QItemSelectionModel, QMimeData, QModelIndex, QPointF, Qt, QUrl
from PySide6.QtGui import QAction, QDesktopServices, QDropEvent
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel, QToolButton
from pytestqt.qtbot import QtBot

from vipose.app.core.batch_items import ItemState
from vipose.app.core.settings import SettingsStore
from vipose.app.widgets.batch_page import BatchPage
from vipose.app.widgets.batch_table import BatchModel, Column
from vipose.app.widgets.theme import apply_theme, theme_watch
from vipose.runtime.errors import InputError, ViposeError
from vipose.runtime.pipeline import Pipeline

pytestmark = pytest.mark.timeout(120)
WAIT_MS = 30_000


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = write_figures(tmp_path_factory.mktemp("graphs") / "mode")
    return {"mode": str(folder), "detector": str(folder / "tiny-detector.onnx"), "threads": 1}


@pytest.fixture
def store(tmp_path: Path, networks: dict[str, Any]) -> Iterator[SettingsStore]:
    made = SettingsStore()
    made.change(results_folder=str(tmp_path / "out"))
    made.change_options(**networks)
    yield made
    made.close()


@pytest.fixture
def page(qtbot: QtBot, store: SettingsStore) -> Iterator[BatchPage]:
    made = BatchPage(store)
    made.resize(1100, 700)
    qtbot.addWidget(made)
    made.show()
    yield made
    made.close_down()


@pytest.fixture
def problems(page: BatchPage) -> list[ViposeError]:
    seen: list[ViposeError] = []
    page.problem.connect(seen.append)
    return seen


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would be opened by other programs."""
    seen: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: seen.append(url.toLocalFile()) or True)
    return seen


def model(page: BatchPage) -> BatchModel:
    found = page._table.model()
    assert isinstance(found, BatchModel)
    return found


def cells(page: BatchPage, column: Column) -> list[str]:
    rows = model(page)
    return [str(rows.data(rows.index(row, column))) for row in range(rows.rowCount())]


def add(page: BatchPage, qtbot: QtBot, *paths: Path) -> None:
    count = model(page).rowCount() + len(paths)
    page.add_sources([str(path) for path in paths])
    qtbot.waitUntil(lambda: model(page).rowCount() == count and not page._status.looking, timeout=WAIT_MS)


def choose(page: BatchPage, *rows: int) -> None:
    selection = page._table.selectionModel()
    selection.clearSelection()
    for row in rows:
        selection.select(
            model(page).index(row, 0), QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        )


def press(page: BatchPage, qtbot: QtBot, text: str) -> None:
    """Click the button with this text, once it can be clicked."""
    buttons = [button for button in page.findChildren(QToolButton) if button.isVisible()]
    button = next(b for b in buttons if b.defaultAction() is not None and b.defaultAction().text() == text)
    qtbot.waitUntil(button.isEnabled, timeout=WAIT_MS)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def enabled(page: BatchPage, text: str) -> bool:
    return next(action for action in page.findChildren(QAction) if action.text() == text).isEnabled()


def run_all(page: BatchPage, qtbot: QtBot) -> None:
    before = page._status.run
    press(page, qtbot, "Start")
    qtbot.waitUntil(lambda: page._status.run > before and not page._status.active and not page._status.looking, timeout=WAIT_MS)


def texts(page: BatchPage) -> str:
    return "\n".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


def hold(monkeypatch: pytest.MonkeyPatch, at: int = 3) -> tuple[threading.Event, threading.Event]:
    """Every file stops before a frame: events that say that one is there, and that it may go on."""
    there, go, real = threading.Event(), threading.Event(), Pipeline.process

    def process(self: Pipeline, frame: Any) -> Any:
        if frame.index == at:
            there.set()
            assert go.wait(WAIT_MS / 1000)
        return real(self, frame)

    monkeypatch.setattr(Pipeline, "process", process)
    return there, go


def test_an_empty_page_invites(page: BatchPage) -> None:
    assert "Drop videos, pictures or folders here" in texts(page) and not page._table.isVisible()
    assert not any(enabled(page, text) for text in ("Start", "Stop all", "Cancel", "Remove", "Try again", "Clear finished"))
    assert page.busy() == ""


def test_files_run_and_their_results_open(
    page: BatchPage, qtbot: QtBot, tmp_path: Path, opened: list[str], problems: list[ViposeError]
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video" * 100)
    add(page, qtbot, clip(tmp_path / "a.mp4", frames=7).path, bad)
    assert cells(page, Column.STATE) == ["Waiting", "Failed"] and cells(page, Column.PROGRESS)[0] == "about 7 frames"
    assert cells(page, Column.MESSAGE)[1].startswith("Cannot open bad.mp4 (")
    run_all(page, qtbot)
    assert cells(page, Column.STATE) == ["Done", "Failed"] and cells(page, Column.PROGRESS) == ["7 frames", "-"]
    assert page._footer.words.text().startswith("Finished: 1 done, 1 failed. 7 frames in ")
    choose(page, 0)
    shown = texts(page)
    assert all(word in shown for word in ("Frames", "People", "Key", "Propagated", "Early", "Dropped", "a.jsonl"))
    assert page._details._values["frames"].text() == "7" and page._details._values["dropped"].text() == "0"
    results = tmp_path / "out" / "a.jsonl"
    place = page._table.visualRect(model(page).index(0, 0)).center()
    qtbot.mouseClick(page._table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    with qtbot.waitSignal(page.open_results_asked) as asked:
        qtbot.mouseDClick(page._table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert asked.args == [results] and results.exists()
    with qtbot.waitSignal(page.open_results_asked):
        page._table.setFocus()
        qtbot.keyClick(page._table, Qt.Key.Key_Return)
    qtbot.mouseClick(page._details.open_video, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(page._details.open_folder, Qt.MouseButton.LeftButton)
    page._details._text.linkActivated.emit("1")
    assert opened == [str(tmp_path / "out" / "a.mp4"), str(tmp_path / "out"), str(results)] and not problems
    results.unlink()
    page._details.open_results.click()
    [problem] = problems
    assert isinstance(problem, InputError) and "is not there any more" in str(problem)
    choose(page, 1)
    assert not page._details.open_results.isEnabled() and "check that it is a video file" in texts(page)
    choose(page, 0, 1)
    assert page._details._values["frames"].text() == "7" and "2 files together" in texts(page)


def test_cancel_one_while_others_go_on_and_try_it_again(
    page: BatchPage, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, go = hold(monkeypatch)
    add(page, qtbot, *(clip(tmp_path / f"{name}.mp4", frames=8).path for name in "ab"))
    press(page, qtbot, "Start")
    qtbot.waitUntil(lambda: cells(page, Column.STATE) == ["Running", "Waiting"] and there.is_set(), timeout=WAIT_MS)
    assert page.busy() == "a batch (a.mp4), 1 file waiting" and not enabled(page, "Start") and enabled(page, "Stop all")
    assert not page._table.grab().toImage().isNull()  # the bar is painted
    assert "Changes take effect at the next start." in page._output._summary.text()
    choose(page, 0)
    assert not enabled(page, "Remove")
    press(page, qtbot, "Cancel")
    qtbot.waitUntil(lambda: cells(page, Column.MESSAGE)[0] == "Stopping", timeout=WAIT_MS)
    go.set()
    qtbot.waitUntil(lambda: cells(page, Column.STATE) == ["Stopped", "Done"] and not page.busy(), timeout=WAIT_MS)
    assert "next start" not in page._output._summary.text()
    assert cells(page, Column.MESSAGE)[0].startswith("Stopped; its files are valid up to frame ")
    page._table.clearSelection()
    press(page, qtbot, "Try again")
    qtbot.waitUntil(lambda: cells(page, Column.STATE) == ["Waiting", "Done"], timeout=WAIT_MS)
    run_all(page, qtbot)
    assert cells(page, Column.STATE) == ["Done", "Done"]
    press(page, qtbot, "Clear finished")
    qtbot.waitUntil(lambda: model(page).rowCount() == 0, timeout=WAIT_MS)
    assert "Drop videos" in texts(page)


def test_stop_all(page: BatchPage, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, go = hold(monkeypatch)
    add(page, qtbot, *(clip(tmp_path / f"{name}.mp4", frames=8).path for name in "ab"))
    press(page, qtbot, "Start")
    qtbot.waitUntil(lambda: "Running" in cells(page, Column.STATE) and there.is_set(), timeout=WAIT_MS)
    press(page, qtbot, "Stop all")
    go.set()
    qtbot.waitUntil(lambda: cells(page, Column.STATE) == ["Stopped", "Waiting"] and not page.busy(), timeout=WAIT_MS)
    assert enabled(page, "Start")


def test_moving_and_removing_keep_the_selection(page: BatchPage, qtbot: QtBot, tmp_path: Path) -> None:
    QAbstractItemModelTester(model(page), QAbstractItemModelTester.FailureReportingMode.Fatal, page)
    add(page, qtbot, *(clip(tmp_path / f"{name}.mp4", frames=2).path for name in "abcd"))
    choose(page, 2)
    press(page, qtbot, "Up")
    qtbot.waitUntil(lambda: cells(page, Column.FILE) == ["a.mp4", "c.mp4", "b.mp4", "d.mp4"], timeout=WAIT_MS)
    assert [item.name for item in page._table.chosen()] == ["c.mp4"]
    page._table.setFocus()
    qtbot.keyClick(page._table, Qt.Key.Key_Down, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: cells(page, Column.FILE) == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"], timeout=WAIT_MS)
    dragged = model(page).mimeData([model(page).index(3, column) for column in range(3)])
    assert not model(page).dropMimeData(dragged, Qt.DropAction.MoveAction, 0, 0, QModelIndex())
    qtbot.waitUntil(lambda: cells(page, Column.FILE) == ["d.mp4", "a.mp4", "b.mp4", "c.mp4"], timeout=WAIT_MS)
    choose(page, 0, 3)
    qtbot.keyClick(page._table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: cells(page, Column.FILE) == ["a.mp4", "b.mp4"], timeout=WAIT_MS)
    assert (tmp_path / "d.mp4").exists()
    choose(page, 0)
    assert not enabled(page, "Up") and enabled(page, "Down")


def dropped(paths: list[str]) -> QMimeData:
    data = QMimeData()
    data.setUrls([*(QUrl.fromLocalFile(path) for path in paths), QUrl("https://example.org/a.mp4")])
    return data


def test_dropping_files_and_folders(page: BatchPage, qtbot: QtBot, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "ab":
        clip(folder / f"{name}.mp4", frames=2)
    data = dropped([str(folder)])  # an event does not keep its data alive
    place, buttons = QPointF(50, 50), Qt.MouseButton.LeftButton
    page.dropEvent(QDropEvent(place, Qt.DropAction.CopyAction, data, buttons, Qt.KeyboardModifier.NoModifier))
    qtbot.waitUntil(lambda: cells(page, Column.FILE) == ["a.mp4", "b.mp4"], timeout=WAIT_MS)
    more = clip(tmp_path / "c.mp4", frames=2).path
    data = dropped([str(more), str(folder / "a.mp4")])
    assert model(page).canDropMimeData(data, Qt.DropAction.CopyAction, -1, -1, QModelIndex())
    model(page).dropMimeData(data, Qt.DropAction.CopyAction, -1, -1, QModelIndex())
    qtbot.waitUntil(lambda: cells(page, Column.FILE) == ["a.mp4", "b.mp4", "c.mp4"], timeout=WAIT_MS)
    qtbot.waitUntil(lambda: "In the queue already: a.mp4." in texts(page), timeout=WAIT_MS)


def test_adding_by_dialogs(
    page: BatchPage, qtbot: QtBot, store: SettingsStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[QFileDialog] = []
    monkeypatch.setattr(QFileDialog, "open", lambda self: asked.append(self))
    (tmp_path / "in").mkdir()
    made = clip(tmp_path / "in" / "a.mp4", frames=2).path
    press(page, qtbot, "Add files...")
    asked[0].filesSelected.emit([str(made)])
    qtbot.waitUntil(lambda: cells(page, Column.FILE) == ["a.mp4"], timeout=WAIT_MS)
    assert store.current.folder == str(tmp_path / "in")
    press(page, qtbot, "Add folder...")
    assert asked[1].fileMode() == QFileDialog.FileMode.Directory
    for dialog in asked:
        dialog.deleteLater()


def test_what_is_written_comes_from_the_settings_and_goes_back(
    page: BatchPage, qtbot: QtBot, store: SettingsStore, tmp_path: Path, opened: list[str], problems: list[ViposeError]
) -> None:
    head = page._output
    assert head._folder.text() == str(tmp_path / "out") and head._formats.text() == "native"
    actions = {action.text(): action for action in head._formats.menu().actions()}
    actions["csv"].trigger()
    assert store.current.formats == ("native", "csv")
    head._video.click()
    assert not store.current.options.video
    head._existing.setCurrentIndex(head._existing.findData("skip"))
    head._existing.activated.emit(head._existing.currentIndex())
    assert store.current.options.existing == "skip"
    head._folder.selectAll()
    qtbot.keyClicks(head._folder, str(tmp_path / "other"))
    qtbot.keyClick(head._folder, Qt.Key.Key_Return)
    assert store.current.results_folder == str(tmp_path / "other")
    head._open.click()
    assert "does not exist yet" in str(problems.pop())
    add(page, qtbot, clip(tmp_path / "a.mp4", frames=3).path)
    run_all(page, qtbot)
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == ["a.csv", "a.jsonl", "a.run.json"]
    head._open.click()
    assert opened == [str(tmp_path / "other")]
    choose(page, 0)
    assert not page._details.open_video.isEnabled() and page._details.open_results.isEnabled()
    press(page, qtbot, "Try again")
    run_all(page, qtbot)
    assert cells(page, Column.STATE) == ["Skipped"] and cells(page, Column.MESSAGE) == ["Its outputs exist"]
    for name in ("csv", "native"):
        actions[name].trigger()
    page._queue.retry({item.id for item in page._status.items})
    qtbot.waitUntil(lambda: cells(page, Column.STATE) == ["Waiting"], timeout=WAIT_MS)
    assert not enabled(page, "Start") and "Choose a format" in page._start.toolTip()  # nothing would be written
    store.change(formats=("native",))
    qtbot.waitUntil(lambda: enabled(page, "Start"), timeout=WAIT_MS)


def test_options_in_short_follow_the_settings(page: BatchPage, qtbot: QtBot, store: SettingsStore) -> None:
    store.change_options(mode="t-vipnas", device="cpu", period=3, start=5.0)
    qtbot.waitUntil(lambda: "t-vipnas, cpu, period 3" in page._output._summary.text(), timeout=WAIT_MS)
    assert "start" not in page._output._summary.text()
    with qtbot.waitSignal(page.settings_asked):
        page._output._summary.linkActivated.emit("settings")


def test_networks_that_do_not_load_are_a_problem(
    page: BatchPage, qtbot: QtBot, store: SettingsStore, tmp_path: Path, problems: list[ViposeError]
) -> None:
    store.change(options=replace(store.current.options, mode="none-such"))
    add(page, qtbot, clip(tmp_path / "a.mp4", frames=3).path)
    press(page, qtbot, "Start")
    qtbot.waitUntil(lambda: bool(problems), timeout=WAIT_MS)
    assert "none-such" in str(problems[0]) and cells(page, Column.STATE) == ["Waiting"] and enabled(page, "Start")
    qtbot.wait(50)
    assert len(problems) == 1


def test_closing_while_it_runs_leaves_valid_files(
    qtbot: QtBot, store: SettingsStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = BatchPage(store)
    qtbot.addWidget(page)
    there, go = hold(monkeypatch)
    add(page, qtbot, clip(tmp_path / "a.mp4", frames=8).path)
    page._start.trigger()
    qtbot.waitUntil(lambda: "Running" in cells(page, Column.STATE) and there.is_set(), timeout=WAIT_MS)
    go.set()
    page.close_down()
    page.close_down()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vipose-batch")]
    assert page._queue.status.items[0].state in (ItemState.CANCELLED, ItemState.DONE)
    assert not list((tmp_path / "out").glob("*.part"))


@pytest.fixture
def themed(qapp: QApplication) -> Iterator[QApplication]:
    """The application, which has its own looks again afterwards."""
    palette, style, sheet = qapp.palette(), qapp.style().name(), qapp.styleSheet()
    yield qapp
    qapp.styleHints().unsetColorScheme()
    theme_watch(qapp).deleteLater()
    qapp.setStyle(style)
    qapp.setPalette(palette)
    qapp.setStyleSheet(sheet)


def test_the_theme_changes_while_the_page_is_open(themed: QApplication, qtbot: QtBot, store: SettingsStore) -> None:
    apply_theme(themed, "dark")
    page = BatchPage(store)
    qtbot.addWidget(page)
    page.show()
    dark = page.grab().toImage()
    apply_theme(themed, "light")
    qtbot.waitUntil(lambda: page.grab().toImage() != dark, timeout=WAIT_MS)
    page.close_down()


def test_every_control_has_a_name_and_a_hint(page: BatchPage) -> None:
    for action in page.findChildren(QAction):
        assert action.toolTip() or not action.text(), action.text()
    for button in page.findChildren(QToolButton):
        assert button.text() or button.accessibleName() or not button.isVisible()
    assert page._table.accessibleName() and page._output._folder.accessibleName()
