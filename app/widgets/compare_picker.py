"""Which mode one side of the comparison view runs, how often that makes a key frame, and whether it looks twice there."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QWidget

from vipose.app.core.compare_state import SideStatus
from vipose.app.core.contender import Choice
from vipose.app.widgets.option_editors import option_editor
from vipose.app.widgets.theme import SPACING, set_role
from vipose.runtime.modes import MODES
from vipose.runtime.options import table

__all__ = ["ModePicker"]


class ModePicker(QWidget):
    """A mode, how often it makes a key frame, and whether it looks twice there.

    Args:
        title: what the side is called.
        choice: at first.
    """

    changed = Signal(object)
    """Choice: the user wants another one; never sent by :meth:`show_status`."""

    def __init__(self, title: str, choice: Choice, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choice = choice
        self._longest = _longest(choice.mode)
        self.mode = option_editor("mode", self)
        self.mode.setToolTip("The mode of this side: one that is here, or a graph of yours")
        self.period = QComboBox(self)
        self.period.setAccessibleName(f"Key frames, {title.lower()}")
        self.period.setToolTip("How often the key-frame network runs; between its frames poses are carried on")
        self.period.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.period.setMinimumContentsLength(14)
        self.twice = QCheckBox("Twice", self)
        self.twice.setAccessibleName(f"{table()['twice'].label}, {title.lower()}")
        self.twice.setToolTip(table()["twice"].about.capitalize())
        self.state = QLabel(self)
        set_role(self.state, "hint")
        name = QLabel(title, self)
        set_role(name, "title")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACING)
        row.addWidget(name)
        row.addWidget(self.mode, 1)
        row.addWidget(self.period)
        row.addWidget(self.twice)
        row.addWidget(self.state)
        self.mode.changed.connect(self._mode_chosen)
        self.period.activated.connect(self._period_chosen)
        self.twice.clicked.connect(lambda checked: self._take(replace(self._choice, twice=checked)))
        self._show(choice)

    @property
    def choice(self) -> Choice:
        """What is chosen."""
        return self._choice

    def show_status(self, side: SideStatus) -> None:
        """Follow the side: what runs is shown, unless another mode is being loaded."""
        self.state.setText("Loading…" if side.loading else "")
        self.state.setVisible(side.loading)
        if side.loading or side.choice is None:
            return
        longest = self._longest if side.facts is None else side.facts.longest
        if side.choice != self._choice or longest != self._longest:
            self._longest = longest
            self._show(side.choice)

    def show_idle(self) -> None:
        """Nothing runs: what is chosen stays for the next run."""
        self.state.setVisible(False)

    def _mode_chosen(self, mode: str) -> None:
        period = self._choice.period
        self._longest = _longest(mode)
        kept = period if period is not None and period <= self._longest else None
        self._take(replace(self._choice, mode=mode, period=kept))

    def _period_chosen(self, row: int) -> None:
        period = self.period.itemData(row)
        self._take(replace(self._choice, period=None if period == self._longest else period))

    def _take(self, choice: Choice) -> None:
        if choice != self._choice:
            self._show(choice)
            self.changed.emit(choice)

    def _show(self, choice: Choice) -> None:
        self._choice = choice
        if self.mode.value() != choice.mode:
            self.mode.set_value(choice.mode)
        self.period.clear()
        for period in range(self._longest, 0, -1):
            self.period.addItem("Key frames only" if period == 1 else f"Key frame every {period}", period)
        self.period.setCurrentIndex(0 if choice.period is None else max(self.period.findData(choice.period), 0))
        self.period.setEnabled(self._longest > 1)
        self.twice.setChecked(choice.twice)

    def close_down(self) -> None:
        """End what runs in the background; safe to call twice."""
        self.mode.close_down()


def _longest(mode: str) -> int:
    """The longest period of a mode with a name; of a path it is known once it is loaded."""
    return 1 + len(MODES[mode].temporal) if mode in MODES else 1
