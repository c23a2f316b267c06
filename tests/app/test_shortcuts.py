"""Keys: one table, no key with two meanings, all of them known to Qt and listed in the dialog."""

from __future__ import annotations

from pathlib import Path

import pytest

from vipose.app.core.shortcuts import SHORTCUTS, as_markdown, by_group, keys_of

pytest.importorskip("PySide6")

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialogButtonBox, QLabel
from pytestqt.qtbot import QtBot

from vipose.app.core.cameras import CameraWatch
from vipose.app.core.settings import SettingsStore
from vipose.app.widgets.shortcuts_dialog import ShortcutsDialog, show_shortcuts
from vipose.app.window import BATCH, RESULTS, MainWindow


def test_no_key_has_two_meanings() -> None:
    keys = [QKeySequence(key) for shortcut in SHORTCUTS.values() for key in shortcut.keys]
    assert all(not key.isEmpty() and key[0].key() != Qt.Key.Key_unknown for key in keys)
    assert len({key.toString() for key in keys}) == len(keys)


def test_every_action_has_a_title_a_group_and_keys() -> None:
    assert all(s.keys and s.title and s.group for s in SHORTCUTS.values())
    assert keys_of("open") == ("Ctrl+O",) and keys_of("no such action") == ()
    assert [s for group in by_group().values() for s in group] == sorted(
        SHORTCUTS.values(), key=lambda s: list(by_group()).index(s.group)
    )


def test_keys_that_type_text_wait() -> None:
    for name, shortcut in SHORTCUTS.items():
        for key in shortcut.keys:
            if not key.startswith("Ctrl+") and key not in {f"F{number}" for number in range(1, 13)}:
                assert not shortcut.anywhere, name


def test_dialog_lists_them_all(qtbot: QtBot) -> None:
    dialog = ShortcutsDialog()
    qtbot.addWidget(dialog)
    dialog.show()
    texts = {label.text() for label in dialog.findChildren(QLabel)}
    assert {shortcut.title for shortcut in SHORTCUTS.values()} <= texts
    native = QKeySequence("Ctrl+Shift+O").toString(QKeySequence.SequenceFormat.NativeText)
    assert native in texts


def test_dialog_does_not_block_and_closes(qtbot: QtBot) -> None:
    dialog = show_shortcuts(None)
    assert dialog.isVisible()
    with qtbot.waitSignal(dialog.destroyed):
        dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Close).click()


def test_the_documentation_lists_the_same_keys() -> None:
    assert (Path(__file__).resolve().parents[2] / "docs" / "app.md").read_text(encoding="utf-8").endswith(as_markdown())


def test_every_key_of_the_table_does_something(qtbot: QtBot, tmp_path: Path) -> None:
    """Nothing is listed that nobody has bound."""
    store = SettingsStore(tmp_path / "settings.json")
    window = MainWindow(store, CameraWatch(lister=list))
    qtbot.addWidget(window)
    batch = [key.toString() for action in window.page(BATCH).actions() for key in action.shortcuts()]
    bound = {*window._actions(), *window.live._actions(), *window.page(RESULTS)._actions()}
    bound |= {name for name, shortcut in SHORTCUTS.items() if shortcut.group == "Batch" and set(shortcut.keys) <= set(batch)}
    assert bound == set(SHORTCUTS)
    window.close()
    store.close()
