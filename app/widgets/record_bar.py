"""Recording and snapshots: the buttons, how far a recording is, where it went and in which formats results are written."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QResizeEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
    QWidgetAction,
)

from vipose.app.core.recording_status import RecordingPhase, RecordingStatus
from vipose.app.core.settings import Settings, SettingsStore
from vipose.app.widgets.icons import icon
from vipose.app.widgets.option_editors import option_editor
from vipose.app.widgets.theme import MARGIN, SPACING, set_role
from vipose.runtime.errors import OutputError

__all__ = ["RecordBar", "recording_line", "size_text"]

_ICON = QSize(20, 20)
_MENU_ARROW = """
    QToolButton { padding-right: 16px; }
    QToolButton::menu-indicator { subcontrol-origin: padding; subcontrol-position: center right; right: 4px; }
"""  # Fusion puts it into the corner


class RecordBar(QWidget):
    """One row; it knows no session: it asks, and shows what it is told.

    Args:
        store: formats and folder of recordings are read and changed there.
    """

    record_asked = Signal()
    stop_asked = Signal()
    snapshot_asked = Signal()
    open_results_asked = Signal(object)
    """Path of the results, or of the video where there are none, of the recording that is done."""
    problem = Signal(object)
    _store_moved = Signal(object)

    def __init__(self, store: SettingsStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self._status: RecordingStatus | None = None
        self._written: Path | None = None  # what "show in folder" shows
        self._line = ""
        self._recordable = False
        self.record_button = _button("record", "Record", "Record video and results")
        self.snapshot_button = _button("snapshot", "Snapshot", "Save this picture at full size, and its people beside it")
        self.formats_button = _button("export", "Formats", "Result formats that are written with a recording")
        self.folder_button = _button("folder", "", "")
        self.show_button = _button("folder", "Show in folder", "Show where it lies")
        self.results_button = _button("results", "Replay", "Open the recording in the results browser")
        self.said = QLabel()
        self.formats = option_editor("save")
        self._build()
        self._connect()
        self._follow(store.current)
        self._show()

    def set_recordable(self, on: bool) -> None:
        """Whether there is something to record or to take a picture of."""
        self._recordable = on
        self._show()

    def set_status(self, status: RecordingStatus | None) -> None:
        """Show the present recording or the last one; None for none."""
        self._status = status
        if status is not None:
            self._written = status.path or next(iter(status.outputs), None)
            self._line = ""
        self._show()

    def show_snapshot(self, path: Path) -> None:
        """Say that a snapshot was written."""
        if self._active():
            return  # the recording's own figures are worth more
        self._status, self._written = None, path
        self._line = f"Saved {path.name}"
        self._show()

    def busy(self) -> str:
        """Nothing runs here: whoever records says so."""
        return ""

    def close_down(self) -> None:
        """Stop following the settings; safe to call twice."""
        self._unsubscribe()
        self.formats.close_down()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the line into the room there is."""
        super().resizeEvent(event)
        self._show_line()

    # How it is built

    def _build(self) -> None:
        self.said.setTextFormat(Qt.TextFormat.PlainText)
        self.said.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.said.setMinimumWidth(120)
        self.said.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        set_role(self.said, "hint")
        self.formats_button.setMenu(self._formats_menu())
        self.formats_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.formats_button.setStyleSheet(_MENU_ARROW)
        self.folder_button.setAccessibleName("Folder of recordings")
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHorizontalStretch(2)  # the line takes what room there is
        self.setSizePolicy(policy)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACING // 2)
        row.addWidget(self.said, 1)
        for button in (
            self.show_button, self.results_button, self.record_button, self.snapshot_button, self.formats_button,
            self.folder_button,
        ):  # fmt: skip
            row.addWidget(button)

    def _formats_menu(self) -> QMenu:
        """Check boxes in a menu that stays open while they are clicked."""
        panel = QWidget()
        column = QVBoxLayout(panel)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(SPACING)
        heading = QLabel("Results of recordings")
        set_role(heading, "title")
        note = QLabel("The annotated video is always written. Replay needs native results.")
        set_role(note, "hint")
        for widget in (heading, self.formats, note):
            column.addWidget(widget)
        menu = QMenu(self)
        action = QWidgetAction(menu)
        action.setDefaultWidget(panel)
        menu.addAction(action)
        return menu

    def _connect(self) -> None:
        self.record_button.clicked.connect(self._record_clicked)
        self.snapshot_button.clicked.connect(self.snapshot_asked)
        self.folder_button.clicked.connect(self.ask_for_folder)
        self.show_button.clicked.connect(self._show_in_folder)
        self.results_button.clicked.connect(self._open_results)
        self.formats.changed.connect(lambda names: self._store.change(formats=tuple(names)))
        self._store_moved.connect(self._follow)
        self._unsubscribe = self._store.subscribe(self._store_moved.emit)

    # What the user does

    def ask_for_folder(self) -> None:
        """Let the user choose where recordings and snapshots go."""
        dialog = QFileDialog(self.window(), "Folder for recordings and snapshots", self._store.current.results_folder)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(lambda folder: self._store.change(results_folder=folder))
        dialog.open()

    def _record_clicked(self) -> None:
        if self._active():
            self.stop_asked.emit()
        else:
            self.record_asked.emit()

    def _show_in_folder(self) -> None:
        folder = Path(self._store.current.results_folder) if self._written is None else self._written.parent
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
            self.problem.emit(OutputError(f"the system has no program that shows folders; the files are in {folder}"))

    def _open_results(self) -> None:
        if self._status is not None and (path := self._status.results or self._status.path):
            self.open_results_asked.emit(path)

    # What is shown

    def _active(self) -> bool:
        return self._status is not None and self._status.phase.active

    def _follow(self, settings: Settings) -> None:
        if self.formats.value() != settings.formats:
            self.formats.set_value(settings.formats)
        self._show_line()
        self.folder_button.setToolTip(f"Recordings and snapshots go to {settings.results_folder}; choose another folder")

    def _show(self) -> None:
        status, active = self._status, self._active()
        finishing = status is not None and status.phase is RecordingPhase.FINISHING
        self.record_button.setText("Stop recording" if active else "Record")
        self.record_button.setIcon(icon("stop" if active else "record"))
        self.record_button.setToolTip("End the recording and complete its files" if active else "Record video and results")
        self.record_button.setEnabled(not finishing and (active or self._recordable))
        self.snapshot_button.setEnabled(self._recordable)
        self.formats_button.setEnabled(not active)
        self.folder_button.setEnabled(not active)
        self.show_button.setVisible(self._written is not None and not active)
        replayable = status is not None and not active and status.results is not None
        self.results_button.setVisible(replayable)
        self._show_line()

    def _show_line(self) -> None:
        status = self._status
        folder = _short(self._store.current.results_folder)
        line = self._line or (f"To {folder}" if status is None else recording_line(status, folder))
        metrics = self.said.fontMetrics()
        self.said.setText(metrics.elidedText(line, Qt.TextElideMode.ElideMiddle, max(self.said.width() - 4, 60)))
        about = line if status is None or status.path is None else f"{line}\n{status.path}"
        self.said.setToolTip(about)
        self.said.setAccessibleName(line)
        loud = status is not None and (status.phase is RecordingPhase.FAILED or status.phase.active)
        if (self.said.property("role") == "title") != loud:
            set_role(self.said, "title" if loud else "hint")


def recording_line(status: RecordingStatus, folder: str) -> str:
    """A recording that goes to a folder, in one line."""
    figures = f"{_clock(status.seconds)}  {status.frames} frames  {size_text(status.size_bytes)}"
    match status.phase:
        case RecordingPhase.STARTING:
            return "Waiting for the first picture…"
        case RecordingPhase.RECORDING:
            return f"Too slow, pictures are dropped  {figures}" if status.slow else f"{figures}  to {folder}"
        case RecordingPhase.FINISHING:
            return f"Completing the files…  {figures}"
        case RecordingPhase.FAILED:
            return f"Recording failed: {status.message}"
    if status.path is None:
        return status.message
    return f"Saved {status.path.name}" + (f". {status.message}" if status.message else "")


def size_text(size_bytes: int) -> str:
    """A size in the unit that suits it: ``840 kB``, ``12.3 MB``, ``1.2 GB``."""
    for unit, scale, digits in (("GB", 1e9, 1), ("MB", 1e6, 1)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.{digits}f} {unit}"
    return f"{size_bytes / 1e3:.0f} kB"


def _short(folder: str) -> str:
    """A folder with ``~`` for the user's own."""
    path, home = Path(folder), Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path != home and path.is_relative_to(home) else folder


def _clock(seconds: float) -> str:
    """``2:05`` or ``1:02:05``."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _button(icon_name: str, text: str, hint: str) -> QToolButton:
    button = QToolButton()
    button.setIcon(icon(icon_name))
    button.setIconSize(_ICON)
    button.setAutoRaise(True)
    button.setToolTip(hint)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    if text:
        button.setText(text)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    return button
