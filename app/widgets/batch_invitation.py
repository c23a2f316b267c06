"""What fills the place of the batch table while it is empty: an invitation to drop files."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QAction, QPalette, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from vipose.app.widgets.icons import icon_pixmap
from vipose.app.widgets.theme import SPACING, set_role

__all__ = ["BatchInvitation"]

_ICON = 56


class BatchInvitation(QFrame):
    """Says what can be dropped here.

    Args:
        actions: that add files in other ways, a button each.
    """

    def __init__(self, actions: Sequence[QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._picture = QLabel()
        set_role(self, "card")
        title = QLabel("Drop videos, pictures or folders here")
        set_role(title, "heading")
        hint = QLabel("They are run one after the other. More can be added at any time.")
        set_role(hint, "hint")
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACING)
        buttons.addStretch(1)
        for action in actions:
            button = QToolButton()
            button.setDefaultAction(action)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            buttons.addWidget(button)
        buttons.addStretch(1)
        column = QVBoxLayout(self)
        column.setSpacing(SPACING)
        column.addStretch(1)
        for label in (self._picture, title, hint):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            column.addWidget(label)
        column.addSpacing(SPACING)
        column.addLayout(buttons)
        column.addStretch(1)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the colours of another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._paint_picture()

    def showEvent(self, event: QShowEvent) -> None:
        """Paint for the screen that the window is on."""
        super().showEvent(event)
        self._paint_picture()

    def _paint_picture(self) -> None:
        colour = self.palette().color(QPalette.ColorRole.PlaceholderText)
        self._picture.setPixmap(icon_pixmap("batch", _ICON, colour, self.devicePixelRatioF()))
