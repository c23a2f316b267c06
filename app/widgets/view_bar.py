"""What the canvas shows: one toggle a layer, and the choice of heatmaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QToolButton, QWidget

from vipose.app.core.settings import Settings, SettingsStore
from vipose.app.core.viewstate import HEAT_ALL
from vipose.app.widgets.icons import icon
from vipose.app.widgets.theme import SPACING
from vipose.runtime.skeleton import COCO17, Skeleton

__all__ = ["TOGGLES", "ViewBar"]

_LAYERS = (
    ("skeletons", "Skeletons", "Draw the skeletons"),
    ("boxes", "Boxes", "Draw a box around everybody"),
    ("labels", "Labels", "Write the track id, and K or P: made by the key-frame network, or carried on"),
    ("angles", "Angles", "Write joint angles in degrees; they are angles in the picture"),
    ("smoothed", "Smoothed", "Draw smoothed joints; off shows them as the network gave them"),
)
_PICTURE = (
    ("black_background", "Hide video", "Skeletons on black"),
    ("mirror", "Mirror", "Mirror the view, as in a mirror; results stay as they are"),
    ("head_blur", "Blur heads", "Make heads unrecognisable on the screen and in what is recorded"),
)
TOGGLES = ("skeletons", "boxes", "labels", "angles", "black_background", "mirror", "head_blur")
"""What :meth:`ViewBar.toggle` is asked for by keys."""
_NO_HEAT = "No heatmaps"


class ViewBar(QWidget):
    """Writes ``store.current.view`` and the options of the picture, and follows them.

    Args:
        store: settings.
    """

    def __init__(self, store: SettingsStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self._layers = {name: self._toggle(text, hint) for name, text, hint in _LAYERS}
        self._picture = {name: self._toggle(text, hint) for name, text, hint in _PICTURE}
        self._heat = QComboBox()
        self._heat.setAccessibleName("Heatmaps")
        self._heat.setToolTip("Heatmaps that are handed on from frame to frame: of all joints, or of one")
        self._heat.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACING // 2)
        for button in self._layers.values():
            row.addWidget(button)
        row.addWidget(self._heat)
        row.addStretch(1)
        for button in self._picture.values():
            row.addWidget(button)
        for name, button in self._layers.items():
            button.clicked.connect(lambda on, name=name: self._set_layer(name, on))
        for name, button in self._picture.items():
            button.clicked.connect(lambda on, name=name: store.change_options(**{name: on}))
        self._skeleton: Skeleton | None = None
        self.set_skeleton(COCO17)
        self._heat.activated.connect(self._choose_heat)
        self.follow(store.current)

    @staticmethod
    def _toggle(text: str, hint: str) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(hint)
        button.setCheckable(True)
        button.setAutoRaise(True)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        return button

    def set_skeleton(self, skeleton: Skeleton) -> None:
        """Offer the heatmaps of these joints."""
        if skeleton == self._skeleton:
            return
        self._skeleton = skeleton
        self._heat.clear()
        self._heat.addItem(icon("heat"), _NO_HEAT, "")
        self._heat.addItem("All joints", HEAT_ALL)
        for joint in skeleton.joints:
            self._heat.addItem(joint.replace("_", " "), joint)
        self._show_heat(self._store.current.view.heat)

    def follow(self, settings: Settings) -> None:
        """Show these settings."""
        for name, button in self._layers.items():
            button.setChecked(getattr(settings.view, name))
        for name, button in self._picture.items():
            button.setChecked(getattr(settings.options, name))
        self._show_heat(settings.view.heat)

    def toggle(self, name: str) -> None:
        """Turn one layer, or one option of the picture, on or off by its name."""
        if name in self._layers:
            self._set_layer(name, not getattr(self._store.current.view, name))
        else:
            self._store.change_options(**{name: not getattr(self._store.current.options, name)})

    def step_heat(self) -> None:
        """Heatmaps of all joints, or none."""
        self._set_layer("heat", "" if self._store.current.view.heat else HEAT_ALL)

    def controls(self) -> Sequence[QWidget]:
        """The controls in the order of the row."""
        return (*self._layers.values(), self._heat, *self._picture.values())

    def _set_layer(self, name: str, value: Any) -> None:
        self._store.change(view=replace(self._store.current.view, **{name: value}))

    def _choose_heat(self, row: int) -> None:
        self._set_layer("heat", self._heat.itemData(row))

    def _show_heat(self, heat: str) -> None:
        self._heat.setCurrentIndex(max(0, self._heat.findData(heat)))
