"""Editors for switches, choices, numbers, texts and lists of formats."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QValidator
from PySide6.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QGridLayout, QLineEdit, QWidget

from vipose.app.widgets.editor_base import Check, OptionEditor, title
from vipose.runtime.errors import UsageError
from vipose.runtime.option import Option

__all__ = ["ChoiceEditor", "FormatsEditor", "NumberEditor", "ResolutionEditor", "SwitchEditor", "TextEditor"]

_RESOLUTIONS = ((640, 480), (800, 600), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160))
_FORMATS_A_ROW = 3
_NARROWEST = 96  # device-independent pixels of a number box; quick controls have little room
_ABOUT_FORMATS = {
    "native": "all that vipose knows of a frame, one JSON line each; replay needs it",
    "coco": "keypoint results of COCO, JSON",
    "openpose": "a folder with one JSON file a frame, as OpenPose writes it",
    "posetrack": "PoseTrack18, JSON with track ids",
    "csv": "one line a joint, for spreadsheets",
    "angles": "joint angles over time, CSV",
    "angles-mot": "joint angles over time for OpenSim, one file a person",
    "mot": "boxes and ids of MOTChallenge",
    "trc": "joint paths for OpenSim, one file a person",
    "parquet": "the CSV table, typed and small; needs the extra 'parquet'",
}


class SwitchEditor(OptionEditor):
    """A check box; ``labelled`` writes the option's name beside it."""

    def __init__(
        self, option: Option, check: Check, value: bool, parent: QWidget | None = None, *, labelled: bool = False
    ) -> None:
        super().__init__(option, check, value, parent)
        self.box = QCheckBox(option.label if labelled else "")
        self.box.clicked.connect(self._take)
        self._build(self.box)

    def _show(self, value: Any) -> None:
        self.box.setChecked(value)


class ChoiceEditor(OptionEditor):
    """A list of the choices."""

    def __init__(self, option: Option, check: Check, value: str, parent: QWidget | None = None) -> None:
        super().__init__(option, check, value, parent)
        self.box = QComboBox()
        for choice in option.choices:
            self.box.addItem(title(choice), choice)
        self.box.activated.connect(lambda index: self._take(self.box.itemData(index)))
        self._build(self.box)

    def _show(self, value: Any) -> None:
        self.box.setCurrentIndex(self.box.findData(value))


class _NumberBox(QAbstractSpinBox):
    """A spin box that lets any text be typed: the table of options says what is wrong with it."""

    stepped = Signal(int)
    reverted = Signal()

    def __init__(self, widest: str) -> None:
        super().__init__()
        self._widest = widest
        self.steps = QAbstractSpinBox.StepEnabledFlag.StepNone

    def stepBy(self, steps: int) -> None:
        self.stepped.emit(steps)

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        return self.steps

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        return QValidator.State.Acceptable, text, position

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        return QSize(self.fontMetrics().horizontalAdvance(self._widest) + 52, hint.height())

    def minimumSizeHint(self) -> QSize:
        hint = self.sizeHint()
        return QSize(min(hint.width(), _NARROWEST), hint.height())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.reverted.emit()
        else:
            super().keyPressEvent(event)


class NumberEditor(OptionEditor):
    """A number with its unit. Below the lowest one, or at 0, may lie a special value such as "Automatic"."""

    def __init__(
        self, option: Option, check: Check, value: float | None, default: float | None, parent: QWidget | None = None
    ) -> None:
        super().__init__(option, check, value, parent)
        self._nothing = default if default is None or not option.special else 0
        widest = max(self._text(option.high), option.special, key=len)
        self.box = _NumberBox(widest)
        self.box.stepped.connect(self._step)
        self.box.reverted.connect(lambda: self.set_value(self._value))
        self.box.editingFinished.connect(self._finished)
        self._build(self.box)

    def _text(self, value: Any) -> str:
        if self.option.special and value == self._nothing:
            return title(self.option.special)
        number = str(value) if isinstance(value, int) else f"{value:.10g}"
        return f"{number} {_unit(self.option.unit, value)}".rstrip()

    def _show(self, value: Any) -> None:
        flags = QAbstractSpinBox.StepEnabledFlag
        up = value is None or value < self.option.high
        down = value is not None and (value > self.option.low or self._may_be_none)
        self.box.steps = (flags.StepUpEnabled if up else flags.StepNone) | (
            flags.StepDownEnabled if down else flags.StepNone
        )
        self.box.lineEdit().setText(self._text(value))
        self.box.update()

    @property
    def _may_be_none(self) -> bool:
        return bool(self.option.special) and self._nothing is None

    def _finished(self) -> None:
        text = self.box.lineEdit().text().strip()
        if text == self._text(self._value):
            self._say("")
            return
        special = self.option.special
        if special and text.lower() in ("", special):
            self._take(self._nothing)
            return
        try:
            value = self.option.convert(self._number(text))
        except UsageError as error:
            self.refuse(error)
        else:
            self._take(value)

    def _number(self, text: str) -> str:
        """The text without its unit; a comma is a point."""
        units = "|".join(re.escape(unit) for unit in {self.option.unit, _unit(self.option.unit, 1)} if unit)
        bare = re.sub(rf"\s*({units})$", "", text, flags=re.IGNORECASE) if units else text
        return bare.replace(",", ".")

    def _step(self, steps: int) -> None:
        option = self.option
        start = 0 if self._value is None else self._value
        target = round((start + steps * option.step) / option.step) * option.step
        if target < option.low and self._may_be_none:
            self._take(None)
            return
        target = min(max(target, option.low), option.high)
        self._take(int(target) if option.kind is int else round(target, 6))


def _unit(unit: str, value: float) -> str:
    """The unit as it is said with the value."""
    if value != 1 or not unit:
        return unit
    first, *rest = unit.split(" ")
    return " ".join(["person" if first == "people" else first.removesuffix("s"), *rest])


class TextEditor(OptionEditor):
    """A text that the option's ``kind`` reads; an empty one is None."""

    def __init__(self, option: Option, check: Check, value: object, parent: QWidget | None = None) -> None:
        super().__init__(option, check, value, parent)
        self.box = QLineEdit()
        self.box.setPlaceholderText(f"{title(option.special)}, or {option.metavar}")
        self.box.setClearButtonEnabled(True)
        self.box.editingFinished.connect(self._finished)
        self.box.textEdited.connect(lambda text: None if text else self._take(None))  # its clear button, too
        self._build(self.box)

    def _show(self, value: Any) -> None:
        text = "" if value is None else self.option.written(value)
        if self.box.text() != text:
            self.box.setText(text)

    def _finished(self) -> None:
        text = self.box.text().strip()
        try:
            value = self.option.convert(text) if text else None
        except UsageError as error:
            self.refuse(error)
        else:
            self._take(value)


class ResolutionEditor(OptionEditor):
    """Usual resolutions, or any other as WIDTHxHEIGHT."""

    def __init__(self, option: Option, check: Check, value: object, parent: QWidget | None = None) -> None:
        super().__init__(option, check, value, parent)
        self.box = QComboBox()
        self.line = QLineEdit()
        self.box.setLineEdit(self.line)
        self.box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.box.addItems([title(option.special), *map(option.written, _RESOLUTIONS)])
        self.box.activated.connect(self._finished)
        self.line.editingFinished.connect(self._finished)
        self._build(self.box)

    def _show(self, value: Any) -> None:
        self.box.setEditText(title(self.option.special) if value is None else self.option.written(value))

    def _finished(self) -> None:
        text = self.box.currentText().strip()
        try:
            value = None if text.lower() in ("", self.option.special) else self.option.convert(text)
        except UsageError as error:
            self.refuse(error)
        else:
            self._take(value)


class FormatsEditor(OptionEditor):
    """One check box for each of the choices; the value is a tuple in their order."""

    def __init__(self, option: Option, check: Check, value: tuple[str, ...], parent: QWidget | None = None) -> None:
        super().__init__(option, check, value, parent)
        panel = QWidget()
        grid = QGridLayout(panel)
        grid.setContentsMargins(0, 0, 0, 0)
        self.boxes: dict[str, QCheckBox] = {}
        for number, choice in enumerate(option.choices):
            box = self.boxes[choice] = QCheckBox(choice)
            box.setToolTip(_ABOUT_FORMATS.get(choice, choice))
            box.clicked.connect(self._clicked)
            grid.addWidget(box, number // _FORMATS_A_ROW, number % _FORMATS_A_ROW)
        if "parquet" in self.boxes and find_spec("pyarrow") is None:
            self.boxes["parquet"].setEnabled(False)
        self._build(panel)
        self.setFocusProxy(next(iter(self.boxes.values())))

    def _show(self, value: Any) -> None:
        for choice, box in self.boxes.items():
            box.setChecked(choice in value)

    def _clicked(self) -> None:
        self._take(tuple(choice for choice, box in self.boxes.items() if box.isChecked()))
