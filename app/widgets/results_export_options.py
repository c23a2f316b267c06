"""The choices of an export: those of a result format, and how pictures are drawn."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QFormLayout, QGridLayout, QLabel, QWidget

from vipose.app.core.settings import Settings
from vipose.app.widgets.theme import SPACING
from vipose.runtime.job import blur_config
from vipose.runtime.overlay import OverlayStyle
from vipose.runtime.privacy import BlurConfig
from vipose.runtime.results.writing import WriterOptions

__all__ = ["DrawingOptions", "FormatOptions"]

_BOTH_KINDS = ("native", "mot")  # hold raw and smoothed joints, or none
_SCORED = ("trc", "angles", "angles-mot")


class FormatOptions(QWidget):
    """What the chosen format takes; the rest is hidden."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.joints = QComboBox()
        self.joints.addItem("Smoothed", True)
        self.joints.addItem("As the network gave them", False)
        self.joints.setToolTip("This format holds one kind only")
        self.scale = QDoubleSpinBox()
        self.scale.setDecimals(5)
        self.scale.setRange(0.0, 10.0)
        self.scale.setSingleStep(0.001)
        self.scale.setSpecialValueText("none: positions in pixels")
        self.scale.setSuffix(" m")
        self.scale.setToolTip("Length of one pixel in metres, as in 0.004")
        self.lowest = QDoubleSpinBox()
        self.lowest.setRange(0.0, 1.0)
        self.lowest.setSingleStep(0.05)
        self.lowest.setValue(WriterOptions.min_score)
        self.lowest.setToolTip("Joints that score less are left out")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form = form
        for name, field in (("Joints", self.joints), ("One pixel is", self.scale), ("Lowest joint score", self.lowest)):
            label = QLabel(name)
            label.setBuddy(field)
            field.setAccessibleName(name)
            form.addRow(label, field)
        self._kind = "native"

    def set_kind(self, kind: str) -> None:
        """Show what this format takes."""
        self._kind = kind
        self._form.setRowVisible(self.joints, kind not in _BOTH_KINDS)
        self._form.setRowVisible(self.scale, kind == "trc")
        self._form.setRowVisible(self.lowest, kind in _SCORED)

    def options(self) -> WriterOptions:
        """The choices; raises UsageError."""
        scale = self.scale.value() if self._kind == "trc" and self.scale.value() > 0 else None
        return WriterOptions(bool(self.joints.currentData()), scale, self.lowest.value())


class DrawingOptions(QWidget):
    """How pictures are drawn. It begins with what the settings say."""

    def __init__(self, settings: Settings, *, video: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        options, view = settings.options, settings.view
        self._options, self._threshold = options, options.joint_threshold
        self.boxes = _check("Boxes", "Draw a box around everybody", view.boxes)
        self.labels = _check("Labels", "Write the track id, and K or P", view.labels)
        self.strip = _check("Status line", "Frame, time and people along the upper edge", True)
        self.smoothed = _check("Smoothed joints", "Off draws joints as the network gave them", view.smoothed)
        self.blur = _check("Blur heads", "Of everybody in the results, also of people who are not drawn", options.head_blur)
        self.black = _check("Black background", "Leave the video out", options.black_background or not video)
        self.mirror = _check("Mirror", "As in a mirror; texts stay readable", options.mirror)
        self.black.setEnabled(video)
        if not video:
            self.black.setToolTip("There is no video: pictures are black")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(2 * SPACING)
        boxes = (self.boxes, self.labels, self.strip, self.smoothed, self.blur, self.black, self.mirror)
        for place, box in enumerate(boxes):
            grid.addWidget(box, place // 2, place % 2)
        grid.setColumnStretch(1, 1)
        self.black.toggled.connect(self._no_heads_on_black)
        self._no_heads_on_black(self.black.isChecked())

    def _no_heads_on_black(self, black: bool) -> None:
        self.blur.setEnabled(not black)

    def overlay(self) -> OverlayStyle:
        """What is drawn."""
        return OverlayStyle(
            boxes=self.boxes.isChecked(),
            ids=self.labels.isChecked(),
            status=self.strip.isChecked(),
            smoothed=self.smoothed.isChecked(),
            threshold=self._threshold,
        )

    def head_blur(self) -> BlurConfig | None:
        """How heads are hidden; None shows them, or nothing of the video at all."""
        hidden = self.blur.isChecked() and not self.black.isChecked()
        return blur_config(replace(self._options, head_blur=hidden))


def _check(text: str, hint: str, on: bool) -> QCheckBox:
    box = QCheckBox(text)
    box.setToolTip(hint)
    box.setChecked(on)
    return box
