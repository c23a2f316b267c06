"""What the results page shows before a file is open."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QPalette, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from vipose.app.widgets.icons import icon, icon_pixmap
from vipose.app.widgets.theme import SPACING, set_role

__all__ = ["EmptyResults"]

_ICON = 56


class EmptyResults(QFrame):
    """An invitation to open or drop a result file."""

    open_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._picture = QLabel()
        set_role(self, "card")
        title = QLabel("Open a result file, or drop one here")
        set_role(title, "heading")
        hint = QLabel("Results of vipose (.jsonl), COCO, PoseTrack and OpenPose. Their video is found where it can be.")
        set_role(hint, "hint")
        hint.setWordWrap(True)
        self.button = QPushButton(icon("open"), "Open results...")
        self.button.clicked.connect(self.open_asked)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.button)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setSpacing(SPACING)
        column.addStretch(1)
        for label in (self._picture, title, hint):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            column.addWidget(label)
        column.addSpacing(SPACING)
        column.addLayout(row)
        column.addStretch(1)

    def changeEvent(self, event: QEvent) -> None:
        """Paint the picture in the colours of another theme."""
        super().changeEvent(event)
        if event.type() is QEvent.Type.PaletteChange:
            self._paint()

    def showEvent(self, event: QShowEvent) -> None:
        """Paint the picture once the screen is known."""
        super().showEvent(event)
        self._paint()

    def _paint(self) -> None:
        colour = self.palette().color(QPalette.ColorRole.PlaceholderText)
        self._picture.setPixmap(icon_pixmap("results", _ICON, colour, self.devicePixelRatioF()))
