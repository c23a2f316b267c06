"""What the defaults are tuned for, and the button that measures this computer."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QWidget

from vipose.app.core.measuring import RATES, SECONDS, Measured, Measuring, can_be_kept, tuned_line
from vipose.app.core.settings import SettingsStore
from vipose.app.widgets.editor_base import sentence
from vipose.app.widgets.icons import icon
from vipose.app.widgets.theme import SPACING, set_role
from vipose.runtime.errors import UsageError, ViposeError
from vipose.runtime.tune.store import ENVIRONMENT, Kept

__all__ = ["TuningBar"]

_NOT_TUNED = "these defaults suit most computers; measure this one to find the best for it"
_USUAL = 30


class TuningBar(QWidget):
    """One row. A measurement changes the settings of the store by itself when it is done.

    Args:
        store: of the settings.
        make_quiet: ends what would disturb a measurement, and returns why that cannot be, "" where it is quiet now.
    """

    problem = Signal(object)
    """A ViposeError that the window shows."""
    _moved = Signal()

    def __init__(self, store: SettingsStore, make_quiet: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._store, self._make_quiet = store, make_quiet
        self._measuring: Measuring | None = None
        self.said = QLabel()
        self.said.setWordWrap(True)
        set_role(self.said, "hint")
        self.rate = QComboBox()
        self.rate.setAccessibleName("Frame rate to hold")
        self.rate.setToolTip("The measurement looks for the most accurate setting that holds this rate")
        for rate in RATES:
            self.rate.addItem(f"for {rate} frames/s", rate)
        self.rate.setCurrentIndex(RATES.index(_USUAL))
        self.button = QPushButton()
        self.button.clicked.connect(self._clicked)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACING)
        row.addWidget(self.said, 1)
        row.addWidget(self.rate)
        row.addWidget(self.button)
        self._moved.connect(self._pull, Qt.ConnectionType.QueuedConnection)
        self._show()

    def close_down(self) -> None:
        """Cancel a measurement and wait for its thread, two seconds at most; safe to call twice."""
        if self._measuring is not None:
            self._measuring.close()

    def cancel(self) -> None:
        """End a measurement soon, if there is one, and keep nothing of it."""
        if self._measuring is not None:
            self._measuring.cancel()
            self.button.setEnabled(False)

    def _clicked(self) -> None:
        if self._measuring is not None:
            self.cancel()
            return
        disturbing = self._make_quiet()
        if disturbing:
            self.problem.emit(UsageError(f"measuring needs the whole computer; wait, or end what runs. {disturbing}"))
            return
        self._measuring = Measuring(float(self.rate.currentData()), self._moved.emit)
        self._show()

    def _pull(self) -> None:
        """Something moved in the thread."""
        measuring = self._measuring
        if measuring is None:
            return
        if not measuring.finished:
            what, share = measuring.doing
            self.said.setText(f"Measuring this computer: {what}, {share:.0%}. Leave it alone meanwhile.")
            return
        self._measuring = None
        try:
            measured = measuring.result()
        except ViposeError as error:
            self.problem.emit(error)
            measured = None
        if measured is not None:
            self._take(measured)
        self._show()

    def _take(self, measured: Measured) -> None:
        notes = [f"note: {note}" for note in measured.notes]
        self._store.retune(measured.tuned.options, "; ".join([tuned_line(Kept(measured.tuned)), *notes]))

    def _show(self) -> None:
        busy = self._measuring is not None
        if busy:
            self.said.setText("Measuring this computer. Leave it alone meanwhile.")
        else:
            self.said.setText(sentence(self._store.tuned_note or _NOT_TUNED))
        self.button.setText("Cancel" if busy else "Measure this computer")
        self.button.setIcon(icon("cancel" if busy else "clock"))
        self.button.setEnabled(can_be_kept())
        about = f"Takes about {SECONDS + 5:.0f} seconds; video that plays is stopped, and the best setting is used from then on"
        self.button.setToolTip(about if can_be_kept() else f"Nothing is kept while {ENVIRONMENT} is 'off'")
        self.rate.setEnabled(not busy and can_be_kept())
