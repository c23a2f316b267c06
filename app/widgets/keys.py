"""Binds the table of shortcuts to what a window or a page does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QAbstractButton, QApplication, QWidget

from vipose.app.core.shortcuts import SHORTCUTS

__all__ = ["bind_keys"]

_SPACE = QKeySequence("Space")


def bind_keys(widget: QWidget, actions: Mapping[str, Callable[[], object]], *, window: bool = False) -> None:
    """Let keys do these actions while the focus is in ``widget``, or anywhere in its window.

    Args:
        widget: owns the shortcuts.
        actions: name in ``core.shortcuts.SHORTCUTS`` -> what it does.
        window: in the whole window.
    """
    context = Qt.ShortcutContext.WindowShortcut if window else Qt.ShortcutContext.WidgetWithChildrenShortcut
    for name, action in actions.items():
        for keys in SHORTCUTS[name].keys:
            sequence = QKeySequence(keys)
            shortcut = QShortcut(sequence, widget)
            shortcut.setContext(context)
            shortcut.activated.connect(_sparing_buttons(action) if sequence == _SPACE else action)


def _sparing_buttons(action: Callable[[], object]) -> Callable[[], object]:
    """The space bar presses the button that has the focus, as everywhere else; otherwise it does the action."""

    def act() -> None:
        focused = QApplication.focusWidget()
        if isinstance(focused, QAbstractButton):
            focused.animateClick()
        else:
            action()

    return act
