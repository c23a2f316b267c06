"""What fills a page that has nothing to show yet: what can be dropped on it, and buttons for those who do not drop."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QPalette, QShowEvent
from PySide6.QtWidgets import QAbstractButton, QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from vipose.app.widgets.icons import icon_pixmap
from vipose.app.widgets.theme import SPACING, set_role

__all__ = ["Invitation"]

_ICON = 56


class Invitation(QFrame):
    """A picture, a title, a hint and buttons, in the middle of a card.

    Args:
        picture: name of an icon.
        title, hint: texts.
        buttons: in a row below; they are wired by whoever made them.
    """

    def __init__(
        self, picture: str, title: str, hint: str, buttons: Sequence[QAbstractButton], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._name, self._picture = picture, QLabel()
        heading, words = QLabel(title), QLabel(hint)
        words.setWordWrap(True)
        row = QHBoxLayout()
        row.setSpacing(SPACING)
        row.addStretch(1)
        for button in buttons:
            row.addWidget(button)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setSpacing(SPACING)
        column.addStretch(1)
        for label in (self._picture, heading, words):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            column.addWidget(label)
        column.addSpacing(SPACING)
        column.addLayout(row)
        column.addStretch(1)
        set_role(heading, "heading")
        set_role(words, "hint")
        set_role(self, "card")

    def changeEvent(self, event: QEvent) -> None:
        """Follow the colours of another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._paint()

    def showEvent(self, event: QShowEvent) -> None:
        """Paint for the screen that the window is on."""
        super().showEvent(event)
        self._paint()

    def _paint(self) -> None:
        colour = self.palette().color(QPalette.ColorRole.PlaceholderText)
        self._picture.setPixmap(icon_pixmap(self._name, _ICON, colour, self.devicePixelRatioF()))
