"""The editor for each option of the table: made from what the table knows, never by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PySide6.QtWidgets import QWidget

from vipose.app.core.choices import CHOICES, check_network
from vipose.app.widgets.editor_base import OptionEditor
from vipose.app.widgets.path_editors import NetworkEditor
from vipose.app.widgets.value_editors import (
    ChoiceEditor,
    FormatsEditor,
    NumberEditor,
    ResolutionEditor,
    SwitchEditor,
    TextEditor,
)
from vipose.runtime.option import Option
from vipose.runtime.options import RESULT_FORMATS, RunOptions, table

__all__ = ["OptionEditor", "option_editor"]


def option_editor(name: str, parent: QWidget | None = None, *, labelled: bool = False) -> OptionEditor:
    """The editor of an option, with its default as the value.

    Args:
        name: field of :class:`RunOptions`.
        parent: widget that owns it.
        labelled: whether a switch has its name beside it; other editors never have.

    Raises:
        KeyError: there is no such option.
    """
    option = table()[name]
    default = getattr(RunOptions(), name)

    def check(value: Any) -> None:
        RunOptions(**{name: value})

    if name in CHOICES:
        return _network_editor(name, option, default, parent)
    if option.kind is bool:
        return SwitchEditor(option, check, default, parent, labelled=labelled)
    if option.choices:
        return ChoiceEditor(option, check, default, parent)
    if option.kind in (int, float):
        return NumberEditor(option, check, default, default, parent)
    if name == "save":
        return FormatsEditor(replace(option, choices=RESULT_FORMATS), check, default, parent)
    if name == "camera_size":
        return ResolutionEditor(option, check, default, parent)
    return TextEditor(option, check, default, parent)


def _network_editor(name: str, option: Option, default: str, parent: QWidget | None) -> NetworkEditor:
    def check(value: str) -> None:
        check_network(name, value)

    return NetworkEditor(option, check, default, CHOICES[name], folders=name == "mode", parent=parent)
