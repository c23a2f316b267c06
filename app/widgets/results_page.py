"""The results page: opens stored results, replays them with their video, scrubs to the exact frame, exports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vipose.app.core.footage import results_beside
from vipose.app.core.playback import Playback
from vipose.app.core.playback_state import PlaybackStatus, PlayPhase
from vipose.app.core.settings import Settings, SettingsStore
from vipose.app.widgets.canvas import Canvas
from vipose.app.widgets.export_dialog import ExportDialog
from vipose.app.widgets.icons import icon
from vipose.app.widgets.invitation import Invitation
from vipose.app.widgets.keys import bind_keys
from vipose.app.widgets.results_side import ResultsSide
from vipose.app.widgets.results_transport import ResultsTransport
from vipose.app.widgets.theme import MARGIN, SPACING, set_role
from vipose.app.widgets.view_bar import TOGGLES, ViewBar
from vipose.runtime.errors import InputError, ViposeError
from vipose.runtime.job import blur_config
from vipose.runtime.media.images import IMAGE_SUFFIXES
from vipose.runtime.media.sources import VIDEO_SUFFIXES

__all__ = ["ResultsPage"]

_SIDE_PX = 300
_FOOTAGE = VIDEO_SUFFIXES | IMAGE_SUFFIXES


class ResultsPage(QWidget):
    """Replays result files. Reading and decoding happen in the thread of :class:`Playback`.

    Args:
        store: settings: folder of dialogs, layers of the canvas, options of the picture.
    """

    problem = Signal(object)
    """A ViposeError that the user must see."""
    _changed = Signal()
    _settings_changed = Signal(object)

    def __init__(self, store: SettingsStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self.playback = Playback(self._changed.emit)
        self._status = PlaybackStatus()
        self._error: ViposeError | None = None
        self._followed: int | None = None
        self.export_dialog: ExportDialog | None = None
        self.canvas = Canvas()
        self.transport = ResultsTransport()
        self.view_bar = ViewBar(store)
        for control in self.view_bar.controls():
            if isinstance(control, QComboBox):
                control.hide()  # heatmaps are not stored
        self.side = ResultsSide()
        self.people = self.side.people
        self.empty_button = QPushButton(icon("open"), "Open results...")
        self.empty = Invitation(
            "results", "Open a result file, or drop one here",
            "Results of vipose (.jsonl), COCO, PoseTrack and OpenPose. Their video is found where it can be.",
            [self.empty_button],
        )  # fmt: skip
        self._make_bar()
        self._lay_out()
        self._wire()
        self.setAcceptDrops(True)
        self._follow_settings(store.current)
        self._show()

    # What the window calls.

    def open_results(self, path: str | Path) -> None:
        """Open a result file or an OpenPose folder; errors arrive as :attr:`problem`."""
        self._leave_export()
        self._follow(None)
        self.playback.open(path)
        self._show()

    def busy(self) -> str:
        """What would be cut off by closing, "" for nothing."""
        return "" if self.export_dialog is None else self.export_dialog.busy()

    def close_down(self) -> None:
        """End the threads within two seconds; safe to call twice."""
        self._unsubscribe()
        self._leave_export()
        for dialog in self.findChildren(ExportDialog):  # those that are still taking back what they began
            dialog.close_down()
        self.playback.close()

    # Making.

    def _make_bar(self) -> None:
        self.open_button = _tool("open", "Open...", "Open a result file (or drop one here)", self.ask_for_results)
        self.video_button = _tool("file", "Video...", "Choose the video or pictures that belong to the results", self.ask_for_video)
        self.export_button = _tool("export", "Export...", "Write another format, a video or pictures (Ctrl+E)", self.export)
        self._name = QLabel()
        set_role(self._name, "title")
        self._about = QLabel()
        set_role(self._about, "hint")
        self._notice = QLabel()
        self._notice.setWordWrap(True)
        set_role(self._notice, "warning")

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        bar.setSpacing(SPACING)
        bar.addWidget(self.open_button)
        bar.addWidget(self.video_button)
        bar.addWidget(self._name)
        bar.addWidget(self._about, 1)
        bar.addWidget(self.export_button)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.canvas)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        for widget in (self._notice, self._stack, self.view_bar, self.transport):
            column.addWidget(widget, 1 if widget is self._stack else 0)
        self._split = QSplitter(Qt.Orientation.Horizontal)
        self._split.addWidget(left)
        self._split.addWidget(self.side)
        self._split.setStretchFactor(0, 1)
        self._split.setCollapsible(0, False)
        self._split.setSizes([3 * _SIDE_PX, _SIDE_PX])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        whole.setSpacing(SPACING)
        whole.addLayout(bar)
        whole.addWidget(self._split, 1)

    def _wire(self) -> None:
        queued = Qt.ConnectionType.QueuedConnection
        playback, transport = self.playback, self.transport
        self._changed.connect(self._show, queued)
        self._settings_changed.connect(self._follow_settings, queued)
        self._unsubscribe = self._store.subscribe(self._settings_changed.emit)
        transport.toggled.connect(playback.toggle)
        transport.sought.connect(playback.seek)
        transport.stepped.connect(playback.step)
        transport.early_asked.connect(playback.to_early)
        transport.appearance_asked.connect(lambda way: playback.to_appearance(way, self._followed))
        transport.speed_chosen.connect(playback.set_speed)
        self.canvas.person_clicked.connect(self._follow)
        self.people.follow_asked.connect(self._follow)
        self.empty_button.clicked.connect(self.ask_for_results)
        bind_keys(self, self._actions())

    def _actions(self) -> dict[str, Callable[[], object]]:
        playback, canvas = self.playback, self.canvas
        toggles: dict[str, Callable[[], object]] = {name: partial(self.view_bar.toggle, name) for name in TOGGLES}
        return toggles | {
            "pause": playback.toggle,
            "previous_frame": partial(playback.step, -1),
            "next_frame": partial(playback.step, 1),
            "previous_second": partial(playback.jump, -1.0),
            "next_second": partial(playback.jump, 1.0),
            "previous_early": partial(playback.to_early, -1),
            "next_early": partial(playback.to_early, 1),
            "first_frame": partial(playback.seek, 0),
            "last_frame": lambda: playback.seek(playback.status.count - 1),
            "export": self.export,
            "unfollow": partial(self._follow, None),
            "zoom_in": canvas.zoom_in,
            "zoom_out": canvas.zoom_out,
            "fit": canvas.fit,
        }

    # Showing.

    def _show(self) -> None:
        """Pull the playback's status and its newest frame."""
        status = self._status = self.playback.status
        stored, ready = status.stored, status.phase.ready
        shown = self.playback.take()
        if shown is not None:
            self.canvas.show_frame(shown)
        elif not ready:
            self.canvas.clear()
            self.canvas.set_message(_said(status))
        self._stack.setCurrentWidget(self.empty if status.path is None else self.canvas)
        self.transport.setVisible(status.path is not None)
        self.view_bar.setVisible(status.path is not None)
        self.side.setVisible(status.path is not None)
        self.side.show_status(status)
        self.transport.show_status(status)
        self.video_button.setEnabled(ready)
        self.export_button.setEnabled(ready)
        self._name.setText("" if status.path is None else status.path.name)
        self._name.setToolTip(str(status.path or ""))
        self._about.setText("" if stored is None else _about(status))
        self._notice.setText("\n".join(status.notices))
        self._notice.setVisible(bool(status.notices))
        if status.error is not None and status.error is not self._error:
            self.problem.emit(status.error)
        self._error = status.error

    def _follow_settings(self, settings: Settings) -> None:
        self.view_bar.follow(settings)
        self.canvas.set_view(replace(settings.view, heat="", followed=self._followed))
        self.canvas.set_options(settings.options)
        self.playback.hide_heads(blur_config(settings.options))

    def _follow(self, person: int | None) -> None:
        self._followed = person
        self.people.show_followed(person)
        self.canvas.set_view(replace(self._store.current.view, heat="", followed=person))

    # Doing.

    def ask_for_results(self) -> None:
        """Let the user choose a result file."""
        dialog = self._dialog("Open results", ["Results (*.jsonl *.json *.part)", "All files (*)"])
        dialog.fileSelected.connect(self._results_chosen)
        dialog.open()

    def ask_for_video(self) -> None:
        """Let the user choose the pictures that belong to the results."""
        suffixes = " ".join(f"*{suffix}" for suffix in sorted(_FOOTAGE))
        dialog = self._dialog("Choose the video of these results", [f"Videos and pictures ({suffixes})", "All files (*)"])
        dialog.fileSelected.connect(lambda path: self.playback.choose_video(Path(path)))
        dialog.open()

    def _dialog(self, title: str, filters: list[str]) -> QFileDialog:
        dialog = QFileDialog(self, title, self._store.current.folder)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilters(filters)
        return dialog

    def _results_chosen(self, path: str) -> None:
        self._store.change(folder=str(Path(path).parent))
        self.open_results(path)

    def export(self) -> None:
        """Open the export dialog for what is open."""
        stored = self._status.stored
        if stored is None or self.export_dialog is not None:
            return
        self.playback.pause()
        self.export_dialog = ExportDialog(self._store, stored, self._status.video, self.people.ticked(), self)
        self.export_dialog.finished.connect(self._export_closed)
        self.export_dialog.open()

    def _export_closed(self) -> None:
        self.export_dialog = None

    def _leave_export(self) -> None:
        if self.export_dialog is not None:
            self.export_dialog.reject()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take one file or folder."""
        if len(_paths(event)) == 1:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open results, or take the video of those that are open."""
        paths = _paths(event)
        if len(paths) == 1:
            event.acceptProposedAction()
            self.take_file(paths[0])

    def take_file(self, path: Path) -> None:
        """Open results; a video is shown with what is open, or leads to the results beside it."""
        if path.is_dir() or path.suffix.lower() not in _FOOTAGE:
            self.open_results(path)
        elif self._status.phase.ready:
            self.playback.choose_video(path)
        elif (beside := results_beside(path)) is not None:
            self.open_results(beside)
        else:
            self.problem.emit(InputError(f"{path.name} is a video without results beside it; run it live or in a batch first"))


def _said(status: PlaybackStatus) -> str:
    """What stands in the place of the picture while there is none."""
    name = "" if status.path is None else status.path.name
    if status.phase is PlayPhase.LOADING:
        return f"Opening {name} ..." + (f" {status.progress:.0%}" if status.progress else "")
    return f"{name} could not be opened" if status.phase is PlayPhase.FAILED else ""


def _about(status: PlaybackStatus) -> str:
    stored = status.stored
    if stored is None:
        return ""
    shown = f"with {status.video.name}" if status.video else "without its video"
    people = f"{len(stored.people)} {'person' if len(stored.people) == 1 else 'people'}"
    early = f", {len(stored.early)} early key frames" if stored.format == "native" else ""
    return f"{people}{early}, {shown}"


def _paths(event: QDropEvent) -> list[Path]:
    return [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]


def _tool(symbol: str, text: str, hint: str, slot: Callable[[], object]) -> QToolButton:
    button = QToolButton()
    button.setIcon(icon(symbol))
    button.setText(text)
    button.setToolTip(hint)
    button.setAutoRaise(True)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.clicked.connect(lambda _checked=False: slot())
    return button
