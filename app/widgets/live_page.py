"""The live page: source, picture, layers, transport and recording; controls and latency beside them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from PySide6.QtCore import QByteArray, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QStackedWidget, QToolButton, QVBoxLayout, QWidget

from vipose.app.core.cameras import CameraWatch
from vipose.app.core.phases import Phase
from vipose.app.core.session import SessionStatus
from vipose.app.core.settings import Settings, SettingsStore
from vipose.app.core.shown import Shown
from vipose.app.widgets.canvas import Canvas
from vipose.app.widgets.controls import Controls
from vipose.app.widgets.icons import icon
from vipose.app.widgets.keys import bind_keys
from vipose.app.widgets.latency_panel import LatencyPanel
from vipose.app.widgets.live_controller import LiveController
from vipose.app.widgets.record_bar import RecordBar
from vipose.app.widgets.source_bar import SourceBar
from vipose.app.widgets.theme import MARGIN, SPACING
from vipose.app.widgets.transport import Transport, said
from vipose.app.widgets.view_bar import TOGGLES, ViewBar
from vipose.app.widgets.welcome import Welcome
from vipose.runtime.errors import ViposeError
from vipose.runtime.media.sources import SourceSpec

__all__ = ["LivePage"]

_SIDE = 380
_NARROW = 1150  # a page that is less wide shows controls and latency only when they are asked for
_QUIET = (Phase.IDLE, Phase.OPENING, Phase.FAILED)  # phases in which the canvas may have nothing to show


class LivePage(QWidget):
    """Camera, file or address with skeletons, as it happens.

    Args:
        store: settings.
        watch: cameras that are there.
    """

    problem = Signal(object)
    settings_asked = Signal()
    open_results_asked = Signal(object)
    """Path of a result file."""
    _cameras_moved = Signal()

    def __init__(self, store: SettingsStore, watch: CameraWatch, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._store, self._watch = store, watch
        self.controller = LiveController(store, self)
        self.source_bar = SourceBar(store, watch)
        self.welcome = Welcome(store)
        self.canvas = Canvas()
        self.view_bar = ViewBar(store)
        self.transport = Transport()
        self.record_bar = RecordBar(store)
        self.controls = Controls(store)
        self.latency = LatencyPanel()
        self.panel_button = QToolButton()
        self._panel: bool | None = None  # as the user wants it; None leaves it to the width of the page
        self._run = 0
        self._told: ViposeError | None = None
        self._followed: int | None = None
        self._shown: Shown | None = None
        self._build()
        self._wire()
        self._follow(store.current)

    def open(self, spec: SourceSpec) -> None:
        """Run this source."""
        self.source_bar.set_spec(spec)
        self.controller.open(spec)

    def layout_state(self) -> str:
        """Where the user has put the dividers, as text for the settings; "" while they cannot be seen."""
        if self._side.isHidden():
            return ""
        states = (bytes(split.saveState().data()) for split in (self._split, self._side))
        return " ".join(base64.b64encode(state).decode("ascii") for state in states)

    def restore_layout(self, text: str) -> None:
        """Put the dividers where they were; a text that says nothing leaves them."""
        for split, state in zip((self._split, self._side), text.split(), strict=False):
            with suppress(ValueError):  # no divider is lost that anybody would miss
                split.restoreState(QByteArray(base64.b64decode(state, validate=True)))

    def busy(self) -> str:
        """What closing would end."""
        return "A recording is running." if self.controller.is_recording else ""

    def close_down(self) -> None:
        """End all threads, within two seconds; safe to call twice."""
        self._unsubscribe()
        self.controller.close()
        for part in (self.source_bar, self.controls, self.latency, self.welcome, self.record_bar):
            part.close_down()

    def _build(self) -> None:
        self._stack = QStackedWidget()
        self._stack.addWidget(self.welcome)
        self._stack.addWidget(self.canvas)
        self._below = QWidget()
        below = QHBoxLayout(self._below)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(SPACING)
        below.addWidget(self.transport, 1)
        below.addWidget(self.record_bar)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(SPACING)
        top = QHBoxLayout()
        top.setSpacing(SPACING)
        top.addWidget(self.source_bar, 1)
        top.addWidget(self.panel_button)
        column.addLayout(top)
        column.addWidget(self._stack, 1)
        column.addWidget(self.view_bar)
        column.addWidget(self._below)
        self.panel_button.setIcon(icon("chart"))
        self.panel_button.setAccessibleName("Controls and latency")
        self.panel_button.setToolTip("Show or hide controls and latency (Ctrl+P)")
        self.panel_button.setAutoRaise(True)
        self.panel_button.setCheckable(True)
        self._side = QSplitter(Qt.Orientation.Vertical)
        self._side.addWidget(self.controls)
        self._side.addWidget(self.latency)
        self._side.setStretchFactor(1, 1)
        self._split = QSplitter(Qt.Orientation.Horizontal)
        self._split.addWidget(left)
        self._split.addWidget(self._side)
        self._split.setStretchFactor(0, 1)
        self._split.setCollapsible(0, False)
        self._split.setSizes([3 * _SIDE, _SIDE])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._split)
        self._greet(True)

    def _wire(self) -> None:
        controller = self.controller
        controller.status_changed.connect(self._show_status)
        controller.frame_arrived.connect(self._show_frame)
        controller.settings_changed.connect(self._follow)
        controller.recording_changed.connect(self.record_bar.set_status)
        controller.snapshot_written.connect(self.record_bar.show_snapshot)
        self.source_bar.chosen.connect(self.controller.open)
        self.panel_button.clicked.connect(self.toggle_panel)
        self.transport.toggled.connect(controller.toggle)
        self.transport.stopped.connect(self.stop)
        self.record_bar.record_asked.connect(controller.record)
        self.record_bar.stop_asked.connect(controller.stop_recording)
        self.record_bar.snapshot_asked.connect(controller.snapshot)
        self.record_bar.open_results_asked.connect(self.open_results_asked)
        self.canvas.person_clicked.connect(self._follow_person)
        self.canvas.painted.connect(self._painted)
        self.welcome.demo_asked.connect(self.source_bar.open_demo)
        self.welcome.open_asked.connect(self.source_bar.ask_for_file)
        self.welcome.camera_asked.connect(self.source_bar.open_camera)
        self._cameras_moved.connect(self._show_cameras)
        self._unsubscribe = self._watch.subscribe(self._cameras_moved.emit)
        self.welcome.recent_asked.connect(self.source_bar.open_text)
        self.welcome.dropped.connect(self.source_bar.open_texts)
        self.controls.settings_asked.connect(self.settings_asked)
        bind_keys(self, self._actions())
        for part in (controller, self.source_bar, self.controls, self.latency, self.record_bar, self.welcome):
            part.problem.connect(self.problem)

    def _actions(self) -> dict[str, Callable[[], object]]:
        controller, bar, canvas = self.controller, self.view_bar, self.canvas
        toggles: dict[str, Callable[[], object]] = {name: partial(bar.toggle, name) for name in TOGGLES}
        return toggles | {
            "pause": controller.toggle,
            "stop": self.stop,
            "panel": self.toggle_panel,
            "record": controller.toggle_recording,
            "snapshot": controller.snapshot,
            "heat": bar.step_heat,
            "unfollow": partial(self._follow_person, None),
            "zoom_in": canvas.zoom_in,
            "zoom_out": canvas.zoom_out,
            "fit": canvas.fit,
        }

    def _show_cameras(self) -> None:
        self.welcome.set_cameras(self._watch.cameras)

    def _greet(self, on: bool) -> None:
        """The first screen, with nothing around it that has no use yet."""
        self._stack.setCurrentWidget(self.welcome if on else self.canvas)
        for part in (self.panel_button, self.view_bar, self._below):
            part.setVisible(not on)
        self._arrange()

    def stop(self) -> None:
        """End what runs, and what was chosen but is still being looked at."""
        self.source_bar.forget()
        self.controller.stop()

    def toggle_panel(self) -> None:
        """Show controls and latency, or hide them, whatever the width of the page."""
        self._panel = self._side.isHidden()
        self._arrange()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the picture the room on a narrow page."""
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        wanted = self.width() >= _NARROW if self._panel is None else self._panel
        greeting = self._stack.currentWidget() is self.welcome
        self._side.setVisible(wanted and not greeting)
        self.panel_button.setChecked(wanted)

    # What the session says

    def _show_status(self, status: SessionStatus) -> None:
        self.transport.show_status(status)
        self.latency.set_status(status)
        self.source_bar.set_got(status.source)
        self.record_bar.set_recordable(status.phase in (Phase.RUNNING, Phase.PAUSED))
        if status.run != self._run:
            self._run = status.run
            self._shown = None
            self._follow_person(None)  # ids begin anew
            self.canvas.clear()
            self.latency.clear()
        if status.phase in _QUIET:
            self.canvas.set_message(status.message or said(status))
        self._greet(status.spec is None)
        if status.phase is Phase.IDLE and status.spec is not None:
            self.canvas.clear()
        if status.error is not None and status.error is not self._told:
            self.problem.emit(status.error)
        self._told = status.error

    def _show_frame(self, shown: Shown) -> None:
        self._shown = shown
        self.view_bar.set_skeleton(shown.skeleton)
        self.canvas.show_frame(shown)
        self.latency.add(shown)

    def _painted(self, painted_s: float) -> None:
        if self._shown is not None:
            self.latency.frame_painted(self._shown, painted_s)

    # What the settings and the user say

    def _follow(self, settings: Settings) -> None:
        self.view_bar.follow(settings)
        self.controls.follow(settings)
        self.canvas.set_view(replace(settings.view, followed=self._followed))
        self.canvas.set_options(settings.options)

    def _follow_person(self, person: int | None) -> None:
        self._followed = person
        self.canvas.set_view(replace(self._store.current.view, followed=person))
