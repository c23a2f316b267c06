"""Start, pause and stop of the live session, and what it is doing in a few words."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from vipose.app.core.phases import Phase
from vipose.app.core.session import SessionStatus
from vipose.app.widgets.icons import icon
from vipose.app.widgets.theme import SPACING, set_role

__all__ = ["Transport", "said"]

_ICON = QSize(20, 20)


class Transport(QWidget):
    """One button that starts, pauses and goes on, one that stops."""

    toggled = Signal()
    """The large button: start, pause or go on, whichever it shows."""
    stopped = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._toggle, self._stop = QToolButton(self), QToolButton(self)
        for button in (self._toggle, self._stop):
            button.setIconSize(_ICON)
            button.setAutoRaise(True)
        self._stop.setIcon(icon("stop"))
        self._stop.setAccessibleName("Stop")
        self._stop.setToolTip("Stop and free the camera or file")
        self._words = QLabel(self)
        self._words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # it gives way to others
        self._said = ""
        set_role(self._words, "hint")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACING)
        row.addWidget(self._toggle)
        row.addWidget(self._stop)
        row.addWidget(self._words, 1)
        self._toggle.clicked.connect(self.toggled)
        self._stop.clicked.connect(self.stopped)
        self.show_status(SessionStatus())

    @property
    def words(self) -> str:
        """What is said about the session."""
        return self._said

    def show_status(self, status: SessionStatus) -> None:
        """Show what can be done now."""
        phase = status.phase
        pausing = phase is Phase.RUNNING
        verb = "Pause" if pausing else "Go on" if phase is Phase.PAUSED else "Start"
        self._toggle.setIcon(icon("pause" if pausing else "play"))
        self._toggle.setAccessibleName(verb)
        self._toggle.setToolTip(f"{verb} (space)")
        self._toggle.setEnabled(
            status.spec is not None and phase not in (Phase.OPENING, Phase.RECONNECTING, Phase.STOPPING)
        )
        self._stop.setEnabled(phase is not Phase.STOPPING and phase is not Phase.IDLE)
        self._said = said(status)
        self._words.setToolTip(self._said)
        self._elide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the words into what is left of the row."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        room = self._words.fontMetrics().elidedText(self._said, Qt.TextElideMode.ElideRight, self._words.width())
        self._words.setText(room)


def said(status: SessionStatus) -> str:
    """What a session is doing, in a line."""
    words = {
        Phase.IDLE: "Stopped" if status.spec else "Choose a source",
        Phase.OPENING: f"Opening {status.spec.text if status.spec else ''} …",
        Phase.RUNNING: "Loading other networks …" if status.loading else "Running",
        Phase.PAUSED: "Paused",
        Phase.RECONNECTING: f"Trying again: {status.message}",
        Phase.STOPPING: "Stopping …",
        Phase.ENDED: "The end of the file; start plays it again",
        Phase.FAILED: "It did not work; start tries again",
    }
    return words[status.phase]
