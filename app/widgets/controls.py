"""The options that matter while something runs, beside the picture."""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QScrollArea, QToolButton, QVBoxLayout, QWidget

from vipose.app.core.settings import Settings, SettingsStore
from vipose.app.widgets.editor_base import OptionEditor
from vipose.app.widgets.icons import icon
from vipose.app.widgets.option_editors import option_editor
from vipose.app.widgets.theme import MARGIN, SPACING, set_role
from vipose.runtime.errors import UsageError
from vipose.runtime.options import table

__all__ = ["QUICK", "Controls"]

QUICK = (
    "mode", "period", "twice", "detector", "detect_every", "device", "threads", "max_people", "score_threshold", "joint_threshold",
    "smoothing", "smoothing_strength",
)  # fmt: skip
"""Options that are at hand on the live page; the settings page has all of them."""


class Controls(QScrollArea):
    """Editors of :data:`QUICK`, made from the table of options.

    Args:
        store: written at once, and followed.
    """

    problem = Signal(object)
    settings_asked = Signal()

    def __init__(self, store: SettingsStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self.editors: dict[str, OptionEditor] = {name: option_editor(name) for name in QUICK}
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget()
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(SPACING // 2)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, editor in self.editors.items():
            label = QLabel(table()[name].label)
            label.setToolTip(editor.toolTip())
            label.setBuddy(editor)
            form.addRow(label, editor)
            editor.changed.connect(partial(self._set, name))
        more = QToolButton()
        more.setText("All settings")
        more.setIcon(icon("settings"))
        more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        more.setAutoRaise(True)
        more.clicked.connect(self.settings_asked)
        column = QVBoxLayout(inside)
        column.setContentsMargins(MARGIN, SPACING, MARGIN, SPACING)
        column.setSpacing(SPACING // 2)
        heading = QLabel("Controls")
        set_role(heading, "title")
        top = QHBoxLayout()
        top.addWidget(heading)
        top.addStretch(1)
        top.addWidget(more)
        column.addLayout(top)
        column.addLayout(form)
        column.addStretch(1)
        self.setWidget(inside)
        self.follow(store.current)

    def follow(self, settings: Settings) -> None:
        """Show these settings."""
        for name, editor in self.editors.items():
            if editor.value() != getattr(settings.options, name):
                editor.set_value(getattr(settings.options, name))

    def close_down(self) -> None:
        """End what the editors do in the background; safe to call twice."""
        for editor in self.editors.values():
            editor.close_down()

    def _set(self, name: str, value: Any) -> None:
        try:
            self._store.change_options(**{name: value})
        except UsageError as error:
            self.problem.emit(error)
            self.follow(self._store.current)
