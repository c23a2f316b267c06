"""The rail at the left of the window: one button a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QFrame, QMenu, QToolButton, QVBoxLayout, QWidget

from vipose.app.widgets.icons import icon
from vipose.app.widgets.theme import SPACING

__all__ = ["Rail", "RailEntry"]

_ICON = QSize(24, 24)
_WIDTH = 84


@dataclass(frozen=True)
class RailEntry:
    """One page: its name, icon and what its tooltip says."""

    title: str
    icon: str
    hint: str


class Rail(QFrame):
    """Exclusive buttons, one above the other.

    Args:
        entries: in order.
    """

    chosen = Signal(int)
    """Index of the page that the user wants."""
    shortcuts_asked = Signal()
    about_asked = Signal()

    def __init__(self, entries: Sequence[RailEntry], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedWidth(_WIDTH)
        self._group = QButtonGroup(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACING, SPACING, SPACING, SPACING)
        column.setSpacing(SPACING)
        for number, entry in enumerate(entries):
            button = self._button(entry)
            self._group.addButton(button, number)
            column.addWidget(button)
        column.addStretch(1)
        column.addWidget(self._help())
        self._group.idClicked.connect(self.chosen)

    def _button(self, entry: RailEntry) -> QToolButton:
        button = QToolButton(self)
        button.setText(entry.title)
        button.setIcon(icon(entry.icon))
        button.setIconSize(_ICON)
        button.setToolTip(entry.hint)
        button.setCheckable(True)
        button.setAutoRaise(True)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setFixedSize(_WIDTH - 2 * SPACING, 60)
        return button

    def _help(self) -> QToolButton:
        button = self._button(RailEntry("Help", "help", "Keyboard shortcuts, versions and licences"))
        button.setCheckable(False)
        menu = QMenu(button)
        menu.addAction("Keyboard shortcuts", self.shortcuts_asked.emit)
        menu.addAction("About vipose", self.about_asked.emit)
        button.setMenu(menu)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        return button

    def choose(self, number: int) -> None:
        """Mark a page as the present one; says nothing."""
        self._group.button(number).setChecked(True)
