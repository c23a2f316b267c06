"""Keys: one table, no key with two meanings, all of them known to Qt and listed in the dialog."""

from __future__ import annotations

import pytest

from vipose.app.core.shortcuts import SHORTCUTS, by_group, keys_of

pytest.importorskip("PySide6")

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialogButtonBox, QLabel
from pytestqt.qtbot import QtBot

from vipose.app.widgets.shortcuts_dialog import ShortcutsDialog, show_shortcuts


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
