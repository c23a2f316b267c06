"""The list of keyboard shortcuts, as the table has them."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QIcon, QKeySequence
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFrame, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from vipose.app.core.shortcuts import Shortcut, by_group
from vipose.app.widgets.theme import GAP, SPACING, set_role

__all__ = ["ShortcutsDialog", "show_shortcuts"]


class ShortcutsDialog(QDialog):
    """All shortcuts in two columns, under their headings."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        columns = QHBoxLayout()
        columns.setSpacing(GAP)
        for groups in _balanced(by_group()):
            column = QVBoxLayout()
            column.setSpacing(SPACING)
            for group, shortcuts in groups.items():
                column.addWidget(_heading(group))
                column.addWidget(_card(shortcuts))
                column.addSpacing(SPACING)
            column.addStretch(1)
            columns.addLayout(column, 1)
        hint = QLabel("Single letters and arrows wait while a text is being typed.")
        set_role(hint, "hint")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.button(QDialogButtonBox.StandardButton.Close).setIcon(QIcon())
        buttons.rejected.connect(self.reject)
        bottom = QHBoxLayout()
        bottom.addWidget(hint, 1)
        bottom.addWidget(buttons)
        page = QVBoxLayout(self)
        page.setContentsMargins(GAP, GAP, GAP, GAP)
        page.setSpacing(SPACING)
        page.addLayout(columns)
        page.addLayout(bottom)


def show_shortcuts(parent: QWidget | None) -> ShortcutsDialog:
    """Show the list without waiting for it; it frees itself when it is closed."""
    dialog = ShortcutsDialog(parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.open()
    return dialog


def _balanced(groups: dict[str, list[Shortcut]]) -> list[dict[str, list[Shortcut]]]:
    """The groups in order, cut in two where the columns are nearest to the same length."""
    names = list(groups)
    lengths = [len(groups[name]) + 2 for name in names]
    cut = min(range(1, len(names)), key=lambda at: abs(sum(lengths[:at]) - sum(lengths[at:])))
    return [{name: groups[name] for name in part} for part in (names[:cut], names[cut:])]


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    set_role(label, "title")
    return label


def _card(shortcuts: list[Shortcut]) -> QFrame:
    card = QFrame()
    set_role(card, "card")
    grid = QGridLayout(card)
    grid.setContentsMargins(12, 8, 12, 8)
    grid.setHorizontalSpacing(GAP)
    grid.setVerticalSpacing(5)
    grid.setColumnStretch(0, 1)
    for row, shortcut in enumerate(shortcuts):
        keys = QLabel("  or  ".join(_native(keys) for keys in shortcut.keys))
        keys.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        set_role(keys, "hint")
        grid.addWidget(QLabel(shortcut.title), row, 0)
        grid.addWidget(keys, row, 1)
    return card


def _native(keys: str) -> str:
    """As this system writes it."""
    return QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)
