"""The settings page changes the store, follows it, finds settings, and takes them in and out of files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("PySide6")

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel, QMessageBox, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from vipose.app.core.settings import KEPT_OPTIONS, Settings, SettingsStore
from vipose.app.widgets.settings_page import SettingsPage
from vipose.runtime.errors import UsageError, ViposeError
from vipose.runtime.options import RunOptions, table


@pytest.fixture
def store() -> Iterator[SettingsStore]:
    made = SettingsStore()
    yield made
    made.close()


@pytest.fixture
def page(qtbot: QtBot, store: SettingsStore) -> Iterator[SettingsPage]:
    made = SettingsPage(store)
    qtbot.addWidget(made)
    made.resize(1100, 750)
    made.show()
    yield made
    made.close_down()


def shown(page: SettingsPage) -> set[str]:
    return {name for name, row in page.rows.items() if row.isVisible()}


def groups(page: SettingsPage) -> list[str]:
    return [page.list.item(i).text() for i in range(page.list.count()) if not page.list.item(i).isHidden()]


def button(page: SettingsPage, text: str) -> QPushButton:
    return next(b for b in page.findChildren(QPushButton) if b.text() == text)


def test_every_kept_option_has_a_row(page: SettingsPage) -> None:
    assert set(page.rows) == {*KEPT_OPTIONS, "theme", "results_folder", "formats"} == shown(page)
    assert groups(page) == ["Networks", "People and time", "Input", "Picture", "Recording", "Appearance"]
    default = Settings()
    for name, row in page.rows.items():
        holder = default.options if name in KEPT_OPTIONS else default
        assert row.editor.value() == getattr(holder, name) and not row.back.isVisible()
    assert not any(section.reset.isVisible() for section in page.sections)


def test_rows_say_when_a_change_takes_effect(page: SettingsPage) -> None:
    said = {"now": "At once", "networks": "Loads networks", "source": "When the source is opened again"}
    for name in KEPT_OPTIONS:
        assert said[table()[name].applies] in [label.text() for label in page.rows[name].findChildren(QLabel)]


def test_what_the_user_enters_reaches_the_store(page: SettingsPage, store: SettingsStore, qtbot: QtBot) -> None:
    page.rows["head_blur"].editor.box.click()
    qtbot.keyClick(page.rows["max_people"].editor.box, Qt.Key.Key_Down)
    qtbot.keyClick(page.rows["theme"].editor.box, Qt.Key.Key_Down)
    page.rows["formats"].editor.boxes["csv"].click()
    assert store.current.options == RunOptions(head_blur=True, max_people=19)
    assert (store.current.theme, store.current.formats) == ("light", ("native", "csv"))
    store.flush()
    assert SettingsStore().current == store.current


def test_a_wrong_value_never_reaches_the_store(page: SettingsPage, store: SettingsStore, qtbot: QtBot) -> None:
    box = page.rows["max_people"].editor.box
    box.lineEdit().selectAll()
    qtbot.keyClicks(box.lineEdit(), "999")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert "1 to 200" in page.rows["max_people"].editor.message() and store.current == Settings()
    store.change_options(head_blur=True)  # another change leaves the text and its message alone
    assert "1 to 200" in page.rows["max_people"].editor.message() and box.text() == "999"
    folder = page.rows["results_folder"].editor
    folder.box.clear()
    qtbot.keyClick(folder.box, Qt.Key.Key_Return)
    assert "name a folder" in folder.message() and store.current.results_folder == Settings().results_folder


def test_what_the_store_refuses_is_said_in_the_row(
    page: SettingsPage, store: SettingsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise UsageError("--period: 2 is not possible with this; take another")

    monkeypatch.setattr(store, "change_options", refuse)
    page.rows["period"].editor.box.stepBy(1)
    assert "not possible" in page.rows["period"].editor.message() and store.current == Settings()


def test_changes_from_elsewhere_are_shown(page: SettingsPage, store: SettingsStore, qtbot: QtBot) -> None:
    store.change_options(period=3)
    assert page.rows["period"].editor.value() == 3 and page.rows["period"].back.isVisible()
    thread = threading.Thread(target=lambda: store.change(theme="dark"))
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: page.rows["theme"].editor.value() == "dark", timeout=20_000)


def test_arrow_and_group_go_back_to_defaults(page: SettingsPage, store: SettingsStore) -> None:
    store.change(theme="dark", formats=("csv",), recent=("a",))
    store.change_options(period=2, threads=3, mirror=True)
    page.rows["period"].back.click()
    assert store.current.options == RunOptions(threads=3, mirror=True) and not page.rows["period"].back.isVisible()
    sections = {section.group: section for section in page.sections}
    assert sections["Networks"].reset.isVisible() and not sections["Input"].reset.isVisible()
    sections["Networks"].reset.click()
    assert store.current.options == RunOptions(mirror=True) and not sections["Networks"].reset.isVisible()
    sections["Appearance"].reset.click()
    sections["Recording"].reset.click()
    assert store.current == Settings(options=RunOptions(mirror=True), recent=("a",))


def test_reset_all_asks(page: SettingsPage, store: SettingsStore, qtbot: QtBot) -> None:
    store.change(theme="dark")
    for choice, theme in ((QMessageBox.StandardButton.Cancel, "dark"), (QMessageBox.StandardButton.Reset, "system")):
        button(page, "Reset all...").click()
        dialog = page.findChild(QMessageBox)
        assert dialog is not None and dialog.isVisible()
        with qtbot.waitSignal(dialog.destroyed):
            dialog.button(choice).click()
        assert store.current.theme == theme


def test_search_shows_what_matches(page: SettingsPage, qtbot: QtBot) -> None:
    qtbot.keyClicks(page.search, "Camera RATE")
    assert shown(page) == {"camera_fps"} and groups(page) == ["Input"]
    page.search.setText("--head-blur")
    assert shown(page) == {"head_blur"}
    page.search.setText("dark")
    assert shown(page) == {"theme"}
    page.search.setText("zebra")
    assert not shown(page) and not groups(page) and page._nothing.isVisible()
    page.search.clear()
    assert len(shown(page)) == len(page.rows) and not page._nothing.isVisible()


def test_list_and_scrolling_follow_each_other(page: SettingsPage, qtbot: QtBot) -> None:
    bar = page._area.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0)
    page.list.setCurrentRow(1)
    assert bar.value() == page.sections[1].y() > 0
    page.list.setCurrentRow(5)
    assert bar.value() == bar.maximum() and page.list.currentRow() == 5
    bar.setValue(0)
    assert page.list.currentRow() == 0


def test_nothing_is_cut_off(page: SettingsPage) -> None:
    assert page._area.widget().width() <= page._area.viewport().width()
    for row in page.rows.values():
        assert row.editor.width() >= row.editor.minimumSizeHint().width(), row.name


def test_export_and_import(page: SettingsPage, store: SettingsStore, qtbot: QtBot, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    store.change_options(period=2)
    for text, expected in (("Export...", 2), ("Import...", 2)):
        button(page, text).click()
        dialog = next(w for w in QApplication.topLevelWidgets() if isinstance(w, QFileDialog))
        dialog.fileSelected.emit(str(file))
        with qtbot.waitSignal(dialog.destroyed):
            dialog.reject()
        assert store.current.options.period == expected and "mine.json" in page._note.text()
        page.reset_all()
    page.import_from(file)
    assert page.rows["period"].editor.value() == 2


def test_import_of_bad_values_and_bad_files(
    page: SettingsPage, store: SettingsStore, qtbot: QtBot, tmp_path: Path
) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"file": "vipose settings", "schema": 1, "theme": "pink", "folder": "/f"}), "utf-8")
    page.import_from(file)
    assert page._warning.isVisible() and "pink" in page._warning.text() and store.current == Settings()
    file.write_text("{", "utf-8")
    problems: list[ViposeError] = []
    page.problem.connect(problems.append)
    page.import_from(file)
    page.import_from(tmp_path / "none.json")
    page.export_to(tmp_path)
    assert len(problems) == 3 and all(isinstance(p, ViposeError) for p in problems) and store.current == Settings()


def test_trouble_with_the_file_is_said(qtbot: QtBot, own_settings: Path) -> None:
    own_settings.mkdir()
    (own_settings / "settings.json").write_text("{", "utf-8")
    made = SettingsPage(SettingsStore())
    qtbot.addWidget(made)
    made.show()
    assert made._warning.isVisible() and "bad-1" in made._warning.text()
    made.close_down()


def test_closing_ends_everything(page: SettingsPage, store: SettingsStore) -> None:
    page.close_down()
    page.close_down()
    assert page.busy() == ""
    assert not [t for t in threading.enumerate() if t.name == "vipose-networks"]
    store.change(theme="dark")
    assert page.rows["theme"].editor.value() == "system"


def test_nothing_appears_before_the_page_does(qtbot: QtBot, store: SettingsStore) -> None:
    class Watch(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
                appeared.append(type(watched).__name__)
            return False

    appeared: list[str] = []
    watch, app = Watch(), QApplication.instance()
    assert app is not None
    app.installEventFilter(watch)
    made = SettingsPage(store)
    app.removeEventFilter(watch)
    qtbot.addWidget(made)
    made.close_down()
    assert not appeared, "these flash up as windows of their own"


def test_groups_can_come_one_after_the_other(qtbot: QtBot, tmp_path: Path) -> None:
    store = SettingsStore(tmp_path / "settings.json")
    store.change_options(max_people=3)
    page = SettingsPage(store, at_once=False)
    qtbot.addWidget(page)
    page.show()
    assert len(page.sections) == 1
    store.change_options(max_people=4)
    whole = SettingsPage(store)
    qtbot.addWidget(whole)
    qtbot.waitUntil(lambda: [s.group for s in page.sections] == [s.group for s in whole.sections])
    assert list(page.rows) == list(whole.rows) and page.rows["max_people"].editor.value() == 4
    page.close_down()
    whole.close_down()
    store.close()
