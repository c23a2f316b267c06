"""Transport of stored results: play, step, jump to marks, speed, and where we are."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from vipose.app.core.playback_state import SPEEDS, PlaybackStatus, PlayPhase
from vipose.app.widgets.icons import icon
from vipose.app.widgets.results_slider import ScrubSlider
from vipose.app.widgets.theme import GAP, SPACING, number_font

__all__ = ["ResultsTransport", "readout"]

_ICON = QSize(18, 18)


class ResultsTransport(QWidget):
    """Forwards what the user wants and shows a :class:`PlaybackStatus`."""

    toggled = Signal()
    sought = Signal(int)
    """Position wanted; the playback holds it within the file."""
    stepped = Signal(int)
    """Frames on or back."""
    early_asked = Signal(int)
    appearance_asked = Signal(int)
    """1 for the next one, -1 for the one before."""
    speed_chosen = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slider = ScrubSlider()
        self.slider.sought.connect(self.sought)
        self._count = 0
        self._marks: tuple[int, ...] = ()
        self._place = QLabel()
        self._place.setFont(number_font())
        self._place.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.speed = QComboBox()
        for speed in SPEEDS:
            self.speed.addItem(f"{speed:g}x", speed)
        self.speed.setAccessibleName("Speed")
        self.speed.setToolTip("How fast it plays; 1x is real time")
        self.speed.activated.connect(lambda row: self.speed_chosen.emit(self.speed.itemData(row)))
        self._make_buttons()
        self._lay_out()
        self.show_status(PlaybackStatus())

    def _make_buttons(self) -> None:
        self._first = self._button("first", "First frame", "Home", lambda: self.sought.emit(0))
        self._back = self._button("previous", "One frame back", "Left", lambda: self.stepped.emit(-1))
        self._play = self._button("play", "Play", "space", self.toggled.emit)
        self._on = self._button("next", "One frame on", "Right", lambda: self.stepped.emit(1))
        self._last = self._button("last", "Last frame", "End", lambda: self.sought.emit(max(self._count - 1, 0)))
        self._early = self._pair("warning", "early key frame", "Ctrl+{}", self.early_asked.emit)
        self._seen = self._pair("person", "person who comes in", "", self.appearance_asked.emit)

    def _button(self, symbol: str, name: str, keys: str, slot: Callable[[], object]) -> QToolButton:
        button = QToolButton()
        button.setIcon(icon(symbol))
        button.setIconSize(_ICON)
        button.setAutoRaise(True)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setAccessibleName(name)
        button.setToolTip(f"{name} ({keys})" if keys else name)
        button.clicked.connect(lambda _checked=False: slot())
        return button

    def _pair(self, symbol: str, what: str, keys: str, go: Callable[[int], object]) -> tuple[QToolButton, QToolButton]:
        """Two buttons that say the same thing in two directions; the picture stands between them."""
        back = self._button("previous", f"Previous {what}", keys.format("Left"), lambda: go(-1))
        on = self._button(symbol, f"Next {what}", keys.format("Right"), lambda: go(1))
        for button, text in ((back, ""), (on, "Early" if symbol == "warning" else "Person")):
            button.setText(text)
        on.setIcon(icon("next"))
        on.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        on.setLayoutDirection(Qt.LayoutDirection.RightToLeft)  # the arrow stands behind the word
        return back, on

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(SPACING // 2)
        for button in (self._first, self._back, self._play, self._on, self._last):
            row.addWidget(button)
        for pair in (self._early, self._seen):
            row.addSpacing(GAP)
            for button in pair:
                row.addWidget(button)
        row.addStretch(1)
        row.addWidget(self._place)
        row.addSpacing(GAP)
        row.addWidget(self.speed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING // 2)
        column.addWidget(self.slider)
        column.addLayout(row)

    def show_status(self, status: PlaybackStatus) -> None:
        """Show where the playback stands and what can be done."""
        stored, ready = status.stored, status.phase.ready
        playing = status.phase is PlayPhase.PLAYING
        marks = () if stored is None else stored.early
        if (status.count, marks) != (self._count, self._marks):
            self._count, self._marks = status.count, marks
            self.slider.set_frames(self._count, marks)
        self.slider.show_position(status.position)
        self.setEnabled(ready)
        self._play.setIcon(icon("pause" if playing else "play"))
        self._play.setAccessibleName("Pause" if playing else "Play")
        self._play.setToolTip(f"{self._play.accessibleName()} (space)")
        for button in (self._first, self._back):
            button.setEnabled(ready and status.position > 0)
        for button in (self._on, self._last):
            button.setEnabled(ready and status.position < status.count - 1)
        for button in self._early:
            button.setEnabled(bool(marks))
        self._place.setText(readout(status))
        row = self.speed.findData(status.speed)
        if row >= 0:
            self.speed.setCurrentIndex(row)


def readout(status: PlaybackStatus) -> str:
    """Where we are, for example ``frame 124 / 230, 4.10 s``; the index in the source where it is another number."""
    stored = status.stored
    if stored is None:
        return ""
    digits = len(str(status.count))
    text = f"frame {status.position + 1:>{digits}} / {status.count}, {status.time_s:.2f} s"
    index = stored.indices[status.position]
    return text if index == status.position else f"{text} (source frame {index})"
