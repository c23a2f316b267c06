"""What all editors of options have in common: a value, a signal, and a line under the field on what was wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from vipose.app.widgets.theme import set_role
from vipose.runtime.errors import UsageError
from vipose.runtime.option import Option

__all__ = ["Check", "OptionEditor", "in_words", "sentence", "title"]

Check = Callable[[Any], object]
"""Raises UsageError for a value that is not allowed."""
_TITLES = {"auto": "Automatic", "cpu": "CPU", "cuda": "CUDA"}
_REMEDY = "; change it or leave the option out"  # of the command line


def title(choice: str) -> str:
    """A choice as people read it: ``auto`` is "Automatic"."""
    return _TITLES.get(choice, choice[:1].upper() + choice[1:])


def sentence(text: str) -> str:
    """A help text as a sentence."""
    said = text[:1].upper() + text[1:]
    return said if said.endswith((".", "?")) else f"{said}."


def in_words(option: Option, error: UsageError) -> str:
    """The table's message, without the flag of the command line."""
    return sentence(str(error).removeprefix(f"{option.flag}: ").removesuffix(_REMEDY))


class OptionEditor(QWidget):
    """Edits one value.

    A child class builds its field, hands it to ``_build``, shows a value in ``_show`` and gives ``_take`` what the user
    enters. GUI thread only.

    Args:
        option: what is known about the value.
        check: raises UsageError for a value that is not allowed.
        value: at first.
    """

    changed = Signal(object)
    """The user has entered another value, which is allowed; never sent by :meth:`set_value`."""

    def __init__(self, option: Option, check: Check, value: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.option = option
        self._check = check
        self._value = value
        self._guard = _WheelGuard(self)
        self.setToolTip(sentence(option.about or option.help))
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(4)
        self._said = QLabel(self)
        self._said.setWordWrap(True)
        self._said.setVisible(False)
        set_role(self._said, "warning")

    def value(self) -> Any:
        """The value, always one that is allowed."""
        return self._value

    def set_value(self, value: Any) -> None:
        """Show another value; says nothing to anybody."""
        self._value = value
        self._say("")
        self._show(value)

    def message(self) -> str:
        """What is wrong with the text in the field, "" for nothing."""
        return self._said.text()

    def close_down(self) -> None:
        """End what runs in the background; safe to call twice."""

    def _build(self, *widgets: QWidget) -> None:
        """Lay the field out: the first widget takes the room and the focus."""
        field = widgets[0]
        row = QHBoxLayout()
        row.setSpacing(4)
        for widget in widgets:
            row.addWidget(widget, 1 if widget is field else 0)
            widget.installEventFilter(self._guard)
        self._rows.addLayout(row)
        self._rows.addWidget(self._said)
        field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        field.setAccessibleName(self.option.label)
        field.setAccessibleDescription(self.toolTip())
        self.setFocusProxy(field)
        self._show(self._value)

    def _show(self, value: Any) -> None:
        raise NotImplementedError

    def _take(self, value: Any) -> None:
        """The user's value: checked, kept, shown and told."""
        try:
            self._check(value)
        except UsageError as error:
            self.refuse(error)
            return
        differs = value != self._value
        self.set_value(value)
        if differs:
            self.changed.emit(value)

    def refuse(self, error: UsageError) -> None:
        """Say under the field what is wrong; the value stays."""
        self._say(in_words(self.option, error))

    def _say(self, text: str) -> None:
        self._said.setText(text)
        self._said.setVisible(bool(text))


class _WheelGuard(QObject):
    """A wheel that scrolls the page must not change the values it passes."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False
