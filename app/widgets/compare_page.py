"""The comparison view: two modes side by side on one source, with what each costs and how far they agree."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from vipose.app.core.cameras import CameraWatch
from vipose.app.core.compare import Choice, Comparison
from vipose.app.core.compare_state import CompareStatus
from vipose.app.core.compare_words import frames_line
from vipose.app.core.costs import CompareFigures
from vipose.app.core.phases import Phase
from vipose.app.core.settings import Settings, SettingsStore
from vipose.app.core.viewstate import ViewState
from vipose.app.widgets.canvas import Canvas
from vipose.app.widgets.compare_cards import CostCard, VerdictCard
from vipose.app.widgets.compare_picker import ModePicker
from vipose.app.widgets.compare_transport import CompareTransport
from vipose.app.widgets.icons import icon
from vipose.app.widgets.source_bar import SourceBar, dropped_texts
from vipose.app.widgets.theme import GAP, MARGIN, SPACING, set_role
from vipose.runtime.errors import UsageError
from vipose.runtime.media.sources import SourceSpec

__all__ = ["ComparePage"]

_SINGLE, _TEMPORAL = "s-vipnas", "t-vipnas"
_INVITATION = "Drop a video here, open one or choose a camera, to see two modes side by side."


class ComparePage(QWidget):
    """Two modes on the same frames.

    Args:
        store: settings: the options of the run and the layers of the pictures; modes are chosen here.
        watch: cameras that are there; None for a watch of its own.
    """

    problem = Signal(object)
    """ViposeError."""
    began = Signal()
    """A comparison starts, from the beginning or where it was paused."""

    _moved = Signal()
    _store_changed = Signal(object)

    def __init__(
        self, store: SettingsStore, watch: CameraWatch | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._store = store
        self._spec: SourceSpec | None = None
        self._status = CompareStatus()
        self._figures = CompareFigures()
        self._told: set[int] = set()
        self.setAcceptDrops(True)
        self.source_bar = SourceBar(store, watch, self)
        self.transport = CompareTransport(self)
        self.left = ModePicker("Left", Choice(_SINGLE), self)
        self.right = ModePicker("Right", _first_right(store.current), self)
        self.left_canvas, self.right_canvas = Canvas(self), Canvas(self)
        self.left_costs, self.right_costs = CostCard("left", self), CostCard("right", self)
        self.verdict = VerdictCard(self)
        self._invitation = QLabel(_INVITATION, self)
        self.demo = QPushButton(icon("play"), "Compare on the demo clip", self)
        self.demo.setToolTip("The clip that comes with vipose")
        self._pictures = QStackedWidget(self)
        self._frames = QLabel(self)
        self._lay_out()
        self._connect()
        queued = Qt.ConnectionType.QueuedConnection
        self._moved.connect(self._pull, queued)
        self._store_changed.connect(self._follow_settings, queued)
        self._comparison = Comparison(self._moved.emit)
        self._unsubscribe = store.subscribe(self._store_changed.emit)
        self._follow_settings(store.current)
        self._show()

    # The page protocol

    def busy(self) -> str:
        """Nothing: closing ends a comparison, but nothing of it would be lost."""
        return ""

    def stop(self) -> None:
        """End what runs."""
        self._comparison.stop()

    def close_down(self) -> None:
        """End every thread within two seconds; safe to call twice."""
        self._unsubscribe()
        for part in (self.source_bar, self.left, self.right):
            part.close_down()
        self._comparison.close()

    # What the user does

    def open_source(self, spec: SourceSpec) -> None:
        """Compare on this source from its beginning."""
        self._spec = spec
        self.source_bar.set_spec(spec)
        self._told.clear()
        self.left_canvas.clear()
        self.right_canvas.clear()
        self.began.emit()
        self._comparison.open(
            spec, self.left.choice, self.right.choice, self._store.current.options,
            repeat=self.transport.repeat.isChecked(),
        )  # fmt: skip

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_texts(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        event.acceptProposedAction()
        self.source_bar.open_texts(dropped_texts(event.mimeData()))

    def closeEvent(self, event: QCloseEvent) -> None:
        self.close_down()
        super().closeEvent(event)

    def _play(self) -> None:
        phase = self._comparison.status.phase
        if phase is Phase.RUNNING:
            self._comparison.pause()
        elif phase is Phase.PAUSED:
            self.began.emit()
            self._comparison.resume()
        elif self._spec is not None:
            self.open_source(self._spec)

    def _refuse(self, _drop: object) -> None:
        self.problem.emit(UsageError("two modes are compared on one source at a time; open a single video or camera here"))

    def _follow_person(self, canvas: Canvas, person: int | None) -> None:
        """On one side only: the modes number people on their own."""
        canvas.set_view(replace(self._view(), followed=person))

    def _view(self) -> ViewState:
        return replace(self._store.current.view, heat="", followed=None)

    # What has changed

    def _pull(self) -> None:
        pair = self._comparison.take()
        if pair is not None:
            self.left_canvas.show_frame(pair[0])
            self.right_canvas.show_frame(pair[1])
            self._pictures.setCurrentIndex(1)
        status, figures = self._comparison.status, self._comparison.snapshot()
        if status is not self._status or figures is not self._figures:
            if status.source is not self._status.source:
                self.source_bar.set_got(status.source)
            self._status, self._figures = status, figures
            self._show()
        self._tell_problems(status)

    def _show(self) -> None:
        status, figures = self._status, self._figures
        self.transport.show_status(status, ready=self._spec is not None)
        if status.phase.active:
            self.left.show_status(status.left)
            self.right.show_status(status.right)
        else:
            self.left.show_idle()
            self.right.show_idle()
        self.left_costs.show_costs(figures.left, status.left)
        self.right_costs.show_costs(figures.right, status.right)
        known = status.left.facts is not None and status.right.facts is not None
        self.verdict.show_figures(figures, known=known)
        self._frames.setText(frames_line(status))
        self._invitation.setText(status.message if status.phase in (Phase.OPENING, Phase.FAILED) else _INVITATION)
        self.demo.setVisible(not status.phase.active)
        if status.phase is Phase.FAILED and not status.processed:
            self._pictures.setCurrentIndex(0)

    def _tell_problems(self, status: CompareStatus) -> None:
        """Each error once: the status keeps it."""
        for error in (status.error, status.left.error, status.right.error):
            if error is not None and id(error) not in self._told:
                self._told.add(id(error))
                self.problem.emit(error)

    def _follow_settings(self, settings: Settings) -> None:
        for canvas in (self.left_canvas, self.right_canvas):
            canvas.set_view(self._view())
            canvas.set_options(settings.options)
        self._comparison.apply(settings.options)

    # Building

    def _lay_out(self) -> None:
        for label in (self._invitation, self._frames):
            set_role(label, "hint")
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
        self._invitation.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.left_canvas.setAccessibleName("Left picture")
        self.right_canvas.setAccessibleName("Right picture")
        empty = QFrame(self)
        set_role(empty, "card")
        inside = QVBoxLayout(empty)
        inside.setSpacing(GAP)
        inside.addStretch(1)
        inside.addWidget(self._invitation)
        inside.addWidget(self.demo, 0, Qt.AlignmentFlag.AlignHCenter)
        inside.addStretch(1)
        both = QWidget(self)
        _row(both, (self.left_canvas, 1), (self.right_canvas, 1))
        self._pictures.addWidget(empty)
        self._pictures.addWidget(both)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(SPACING)
        column.addLayout(_row(None, (self.source_bar, 3), (self.transport, 2)))
        column.addLayout(_row(None, (self.left, 1), (self.right, 1)))
        column.addWidget(self._pictures, 1)
        column.addLayout(_row(None, (self.left_costs, 1), (self.verdict, 0), (self.right_costs, 1)))
        column.addWidget(self._frames)

    def _connect(self) -> None:
        self.source_bar.chosen.connect(self.open_source)
        self.source_bar.elsewhere.connect(self._refuse)
        self.source_bar.problem.connect(self.problem)
        self.demo.clicked.connect(self.source_bar.open_demo)
        self.transport.toggled.connect(self._play)
        self.transport.stopped.connect(lambda: self._comparison.stop())
        self.transport.repeat_changed.connect(lambda on: self._comparison.repeat(on))
        self.left.changed.connect(lambda choice: self._comparison.change(left=choice))
        self.right.changed.connect(lambda choice: self._comparison.change(right=choice))
        left, right = self.left_canvas, self.right_canvas
        for canvas in (left, right):
            canvas.person_clicked.connect(lambda person, canvas=canvas: self._follow_person(canvas, person))
        left.view_moved.connect(right.move_view)
        right.view_moved.connect(left.move_view)


def _row(parent: QWidget | None, *parts: tuple[QWidget, int]) -> QHBoxLayout:
    """Widgets side by side, each with its stretch."""
    row = QHBoxLayout() if parent is None else QHBoxLayout(parent)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(SPACING)
    for widget, stretch in parts:
        row.addWidget(widget, stretch)
    return row


def _first_right(settings: Settings) -> Choice:
    """What the live page runs, against the key-frame network on every frame; where it runs just that, the temporal one."""
    options = settings.options
    alike = options.mode == _SINGLE and not options.twice
    return Choice(_TEMPORAL) if alike else Choice(options.mode, options.period, options.twice)
