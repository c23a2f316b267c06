"""Rows and sections of the settings page: how a setting is laid out, and what says that it is not at its default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from vipose.app.widgets.editor_base import OptionEditor, sentence
from vipose.app.widgets.icons import icon
from vipose.app.widgets.theme import GAP, MARGIN, set_role

__all__ = ["SettingRow", "SettingSection"]

_EDITOR_WIDTH = 270
_WHEN_WIDTH = 120


class SettingRow(QWidget):
    """One setting: what it is, its editor, when it takes effect, and the way back to its default.

    Args:
        name: of the field.
        editor: of its value.
        when: when a change takes effect, for people.
        default: value to which the arrow goes back.
    """

    entered = Signal(str, object)
    """Name and value: the user wants this."""

    def __init__(self, name: str, editor: OptionEditor, when: str, default: Any) -> None:
        super().__init__()
        self.name, self.editor, self._default = name, editor, default
        option = editor.option
        label = QLabel(option.label)
        label.setBuddy(editor)
        set_role(label, "title")
        about, takes_effect = _hint(sentence(option.about or option.help)), _hint(when)
        takes_effect.setFixedWidth(_WHEN_WIDTH)
        takes_effect.setToolTip("When a change takes effect")
        editor.setFixedWidth(_EDITOR_WIDTH)
        self.back = _back_button(option.label)
        self.back.clicked.connect(lambda: self.entered.emit(self.name, self._default))
        editor.changed.connect(lambda value: self.entered.emit(self.name, value))
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addStretch(1)
        words.addWidget(label)
        words.addWidget(about)
        words.addStretch(1)
        columns = QHBoxLayout(self)
        columns.setContentsMargins(MARGIN + 2, 10, MARGIN - 4, 10)
        columns.setSpacing(GAP)
        columns.addLayout(words, 1)
        for widget in (editor, takes_effect, self.back):
            columns.addWidget(widget, 0, Qt.AlignmentFlag.AlignVCenter)
        self._words = (
            f"{option.label} {about.text()} {' '.join(option.choices)} {option.flag} {option.group}".casefold()
        )
        self.set_value(editor.value())

    def set_value(self, value: Any) -> None:
        """Show a value; a text that is being typed stays where the value is the same."""
        if value != self.editor.value():
            self.editor.set_value(value)
        self.back.setVisible(value != self._default)

    def set_default(self, value: Any) -> None:
        """Where the arrow goes back to from now on; :meth:`set_value` shows it."""
        self._default = value

    def matches(self, words: Sequence[str]) -> bool:
        """Whether all the words occur in what is said of this setting; they are in lower case."""
        return all(word in self._words for word in words)


class SettingSection(QWidget):
    """The settings of one group, on a card under its name."""

    reset_asked = Signal(str)
    """Name of the group whose settings are to have their defaults again."""

    def __init__(self, group: str, rows: Sequence[SettingRow]) -> None:
        super().__init__()
        self.group, self.rows = group, tuple(rows)
        heading = QLabel(group)
        set_role(heading, "heading")
        self.reset = QToolButton()
        self.reset.setText("Reset group")
        self.reset.setIcon(icon("reset"))
        self.reset.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.reset.setAutoRaise(True)
        self.reset.setToolTip(f"Give all settings of '{group}' their defaults again")
        _keep_room(self.reset)
        self.reset.clicked.connect(lambda: self.reset_asked.emit(self.group))
        top = QHBoxLayout()
        top.addWidget(heading, 1)
        top.addWidget(self.reset)
        card = QFrame()
        set_role(card, "card")
        inside = QVBoxLayout(card)
        inside.setContentsMargins(1, 2, 1, 2)
        inside.setSpacing(0)
        self._lines: list[QFrame] = []
        for row in self.rows:
            line = _line()
            if not self._lines:
                line.hide()
            inside.addWidget(line)
            inside.addWidget(row)
            self._lines.append(line)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(top)
        column.addWidget(card)

    def filter(self, words: Sequence[str]) -> int:
        """Show only rows that match; returns how many do."""
        shown = 0
        for row, line in zip(self.rows, self._lines, strict=True):
            matches = row.matches(words)
            row.setVisible(matches)
            line.setVisible(matches and shown > 0)
            shown += matches
        self.setVisible(shown > 0)
        return shown

    def refresh(self) -> None:
        """Offer the reset only where something differs from its default."""
        self.reset.setVisible(any(not row.back.isHidden() for row in self.rows))


def _hint(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    set_role(label, "hint")
    return label


def _back_button(label: str) -> QToolButton:
    button = QToolButton()
    button.setIcon(icon("reset"))
    button.setAutoRaise(True)
    button.setToolTip("Back to the default")
    button.setAccessibleName(f"{label}: back to the default")
    _keep_room(button)
    return button


def _keep_room(widget: QWidget) -> None:
    """Nothing moves when the widget comes or goes."""
    policy = widget.sizePolicy()
    policy.setRetainSizeWhenHidden(True)
    widget.setSizePolicy(policy)


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFrameShadow(QFrame.Shadow.Plain)
    line.setForegroundRole(line.palette().ColorRole.Midlight)
    return line
