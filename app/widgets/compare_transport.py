"""Start, pause, stop and repeat of a comparison, and what it is doing in a few words."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from vipose.app.core.compare_state import CompareStatus
from vipose.app.core.compare_words import doing
from vipose.app.core.phases import Phase
from vipose.app.widgets.icons import icon
from vipose.app.widgets.theme import SPACING, set_role

__all__ = ["CompareTransport"]

_ICON = QSize(20, 20)


class CompareTransport(QWidget):
    """One button that starts, pauses and goes on, one that stops, and one that lets a file begin again at its end."""

    toggled = Signal()
    """The first button: start, pause or go on, whichever it shows."""
    stopped = Signal()
    repeat_changed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.toggle = self._button("play", "Start", "Start")
        self.stop = self._button("stop", "Stop", "Stop and free the camera or file")
        self.repeat = self._button("refresh", "Repeat", "Begin a file again at its end")
        self.repeat.setCheckable(True)
        self.words = QLabel(self)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        set_role(self.words, "hint")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACING)
        for button in (self.toggle, self.stop, self.repeat):
            row.addWidget(button)
        row.addWidget(self.words, 1)
        self.toggle.clicked.connect(self.toggled)
        self.stop.clicked.connect(self.stopped)
        self.repeat.toggled.connect(self.repeat_changed)
        self.show_status(CompareStatus(), ready=False)

    def show_status(self, status: CompareStatus, *, ready: bool) -> None:
        """Show what can be done now; ``ready``: a source has been chosen."""
        phase = status.phase
        pausing = phase is Phase.RUNNING
        verb = "Pause" if pausing else "Go on" if phase is Phase.PAUSED else "Start"
        if verb != self.toggle.accessibleName():
            self.toggle.setIcon(icon("pause" if pausing else "play"))
            self.toggle.setAccessibleName(verb)
            self.toggle.setToolTip(verb)
        self.toggle.setEnabled(ready and phase not in (Phase.OPENING, Phase.STOPPING))
        self.stop.setEnabled(phase.active and phase is not Phase.STOPPING)
        self.words.setText(doing(status))
        self.words.setToolTip(status.message)

    def _button(self, name: str, text: str, tip: str) -> QToolButton:
        button = QToolButton(self)
        button.setIcon(icon(name))
        button.setIconSize(_ICON)
        button.setAccessibleName(text)
        button.setToolTip(tip)
        button.setAutoRaise(True)
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        return button
