"""The batch page: drop files, choose where results go, start, and see each file's progress, its errors and its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QAction, QDesktopServices, QDragEnterEvent, QDropEvent, QKeySequence
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QSplitter,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vipose.app.core.batch import BatchQueue
from vipose.app.core.batch_items import BatchItem, BatchPhase, BatchStatus, ItemState
from vipose.app.core.batch_words import count_of
from vipose.app.core.settings import Settings, SettingsStore, whole_path
from vipose.app.core.shortcuts import keys_of
from vipose.app.widgets.batch_details import BatchDetails
from vipose.app.widgets.batch_footer import BatchFooter
from vipose.app.widgets.batch_output import OutputBar, batch_options
from vipose.app.widgets.batch_table import BatchModel, BatchTable, local_paths
from vipose.app.widgets.icons import icon
from vipose.app.widgets.invitation import Invitation
from vipose.app.widgets.theme import GAP, MARGIN, SPACING, set_role
from vipose.runtime.errors import InputError, ViposeError
from vipose.runtime.media.images import IMAGE_SUFFIXES
from vipose.runtime.media.sources import VIDEO_SUFFIXES

__all__ = ["BatchPage"]


class BatchPage(QWidget):
    """A queue of files. Everything slow happens in the threads of :class:`BatchQueue`.

    Args:
        store: settings: where results go, what is written, and the options of a run.
        queue: makes the queue out of its callback; another one than the real one serves tests.
    """

    problem = Signal(object)
    """A ViposeError that the user must see."""
    open_results_asked = Signal(object)
    """Path of native results that are to be replayed."""
    settings_asked = Signal()
    began = Signal()
    """The queue was started."""
    _changed = Signal()
    _settings_changed = Signal(object)

    def __init__(
        self,
        store: SettingsStore,
        parent: QWidget | None = None,
        *,
        queue: Callable[[Callable[[], None]], BatchQueue] = BatchQueue,
    ) -> None:
        super().__init__(parent)
        self._store = store
        self._status = BatchStatus()
        self._error: ViposeError | None = None
        self._queue = queue(self._changed.emit)
        self._model = BatchModel(self)
        self._table = BatchTable(self._model)
        self._output = OutputBar(store)
        self._details = BatchDetails()
        self._notice = QLabel()
        self._notice.setWordWrap(True)
        set_role(self._notice, "warning")
        self._footer = BatchFooter()
        self._make_actions()
        self._lay_out()
        self._connect()
        self._unsubscribe = store.subscribe(self._settings_changed.emit)
        self.setAcceptDrops(True)
        self._show()

    # What the window calls.

    def add_sources(self, texts: Sequence[str]) -> None:
        """Add files and folders; they turn up as rows once they are found."""
        try:
            options = batch_options(self._store.current)
        except ViposeError:  # nothing is chosen to be written: said where the batch is started
            options = self._store.current.options
        self._queue.add(texts, options, Path(whole_path(self._store.current.results_folder)))

    def busy(self) -> str:
        """What would be cut off by closing, "" for nothing."""
        if not self._status.active:
            return ""
        running = self._status.current()
        waiting = sum(item.state is ItemState.WAITING for item in self._status.items)
        name = f" ({running.name})" if running else ""
        return f"a batch{name}, {count_of(waiting, 'file')} waiting" if waiting else f"a batch{name}"

    def close_down(self) -> None:
        """End the threads within two seconds; files of what ran are valid. Safe to call twice."""
        self._unsubscribe()
        self._queue.close()

    # Making.

    def _make_actions(self) -> None:
        self._add_files = self._action("Add files...", "add", "Add videos and pictures (Ctrl+O)", self.ask_for_files)
        self._add_folder = self._action("Add folder...", "folder", "Add all that lies in a folder", self._ask_folder)
        self._start = self._action("Start", "play", "Run every file that waits", self._start_run)
        self._stop = self._action("Stop all", "stop", "End the run; what was written so far is kept", self._queue.stop)
        self._up = self._action("Up", "up", "Move up (Ctrl+Up)", lambda: self._shift(-1), "move_up")
        self._down = self._action("Down", "down", "Move down (Ctrl+Down)", lambda: self._shift(1), "move_down")
        self._again = self._action(
            "Try again", "refresh", "Let the selected files wait again; without a selection all that did not end well",
            self._try_again,
        )  # fmt: skip
        self._cancel = self._action("Cancel", "cancel", "Cancel the selected files; the others go on", self._cancel_chosen)
        self._remove = self._action(
            "Remove", "remove", "Take the selected files out of the queue; no file is deleted (Delete)",
            lambda: self._queue.remove(self._ids()), "remove",
        )  # fmt: skip
        self._clear = self._action("Clear finished", "check", "Take out what is done or skipped", self._queue.clear_finished)
        self._open = self._action("Open results", "results", "Replay the file with its results", self._open_results)
        self._open.setShortcuts([QKeySequence(Qt.Key.Key_Return), QKeySequence(Qt.Key.Key_Enter)])
        self._open.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)  # of the table alone: buttons want the key too
        self._play = self._action("Play video", "play", "Open the annotated video in your player", self._play_video)
        self._show_folder = self._action("Show folder", "folder", "Show the folder of the outputs", self._open_folder)
        rows = (self._open, self._play, self._show_folder, self._again, self._cancel, self._up, self._down, self._remove)
        self._table.addActions(list(rows))

    def _action(
        self, text: str, symbol: str, hint: str, slot: Callable[[], object], keys: str = ""
    ) -> QAction:
        action = QAction(icon(symbol), text, self)
        action.setToolTip(hint)
        action.triggered.connect(lambda _checked=False: slot())
        if keys:
            action.setShortcuts([QKeySequence(sequence) for sequence in keys_of(keys)])
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            self.addAction(action)
        return action

    def _lay_out(self) -> None:
        self._stack = QStackedWidget()
        self._stack.addWidget(Invitation(
            "batch", "Drop videos, pictures or folders here", "They are run one after the other. More can be added at any time.",
            [_tool(self._add_files, flat=False), _tool(self._add_folder, flat=False)],
        ))  # fmt: skip
        self._stack.addWidget(self._table)
        self._split = QSplitter(Qt.Orientation.Vertical)
        self._split.addWidget(self._stack)
        self._split.addWidget(self._details)
        self._split.setStretchFactor(0, 1)
        self._split.setCollapsible(0, False)
        self._split.setChildrenCollapsible(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(SPACING)
        column.addWidget(self._output)
        column.addLayout(self._toolbar())
        column.addWidget(self._notice)
        column.addWidget(self._split, 1)
        column.addWidget(self._footer)

    def _toolbar(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(SPACING // 2)
        for action in (self._add_files, self._add_folder):
            row.addWidget(_tool(action))
        row.addSpacing(GAP)
        for action in (self._start, self._stop):
            row.addWidget(_tool(action))
        row.addStretch(1)
        for action in (self._up, self._down):
            row.addWidget(_tool(action, text=False))
        for action in (self._again, self._cancel, self._remove, self._clear):
            row.addWidget(_tool(action))
        return row

    def _connect(self) -> None:
        queued = Qt.ConnectionType.QueuedConnection  # also in this thread: the queue may call while its methods run
        self._changed.connect(self._show, queued)
        self._settings_changed.connect(self._follow, queued)
        self._model.moved.connect(self._queue.move)
        self._model.dropped.connect(self.add_sources)
        self._table.doubleClicked.connect(lambda _: self._open_results())
        self._table.selectionModel().selectionChanged.connect(lambda *_: self._show_chosen())
        self._output.settings_asked.connect(self.settings_asked)
        self._output.problem.connect(self.problem)
        self._details.results_asked.connect(self._open_results)
        self._details.video_asked.connect(self._play_video)
        self._details.folder_asked.connect(self._open_folder)
        self._details.output_asked.connect(self._show_path)

    # Showing.

    def _show(self) -> None:
        """Pull the queue's status and show it."""
        status = self._status = self._queue.status
        self._model.show(status.items)
        self._stack.setCurrentIndex(1 if status.items else 0)
        self._details.setVisible(bool(status.items))
        self._output.set_running(status.active)
        self._notice.setText(status.notice)
        self._notice.setVisible(bool(status.notice))
        self._footer.show_status(status)
        self._show_chosen()
        if status.error is not None and status.error is not self._error:
            self.problem.emit(status.error)
        self._error = status.error

    def _show_chosen(self) -> None:
        chosen, status = self._table.chosen(), self._status
        ended = [item for item in chosen if item.state.ended]
        one = chosen[0] if len(chosen) == 1 else None
        rows = {item.id: row for row, item in enumerate(status.items)}
        places = sorted(rows[item.id] for item in chosen if item.id in rows)
        self._start.setEnabled(self._can_start())
        self._stop.setEnabled(status.phase in (BatchPhase.LOADING, BatchPhase.RUNNING))
        self._up.setEnabled(bool(places) and places != list(range(len(places))))
        self._down.setEnabled(bool(places) and places != list(range(len(rows) - len(places), len(rows))))
        self._again.setEnabled(bool(ended) if chosen else bool(self._unwell()))
        self._cancel.setEnabled(any(not item.state.ended for item in chosen))
        self._remove.setEnabled(any(item.state is not ItemState.RUNNING for item in chosen))
        self._clear.setEnabled(any(item.state.well for item in status.items))
        self._open.setEnabled(one is not None and one.results is not None)
        self._play.setEnabled(one is not None and one.video is not None)
        self._show_folder.setEnabled(one is not None and bool(one.outputs))
        self._details.show_items(chosen)

    def _can_start(self) -> bool:
        settings = self._store.current
        something = bool(settings.formats) or settings.options.video
        self._start.setToolTip("Run every file that waits" if something else "Choose a format or annotated video first")
        waiting = any(item.state is ItemState.WAITING for item in self._status.items)
        return something and waiting and not self._status.active

    def _follow(self, settings: Settings) -> None:
        self._output.follow(settings)
        self._show_chosen()

    # Doing.

    def _ids(self) -> set[int]:
        return {item.id for item in self._table.chosen()}

    def _unwell(self) -> list[BatchItem]:
        return [item for item in self._status.items if item.state.ended and not item.state.well]

    def _start_run(self) -> None:
        try:
            options = batch_options(self._store.current)
        except ViposeError as error:
            self.problem.emit(error)
            return
        self.began.emit()
        self._queue.start(options, Path(whole_path(self._store.current.results_folder)))

    def _try_again(self) -> None:
        self._queue.retry(self._ids() or {item.id for item in self._unwell()})

    def _shift(self, step: int) -> None:
        self._queue.shift(self._ids(), step)

    def _cancel_chosen(self) -> None:
        self._queue.cancel(self._ids())

    def _open_results(self) -> None:
        path = self._of_chosen(lambda item: item.results)
        if path is not None:
            self.open_results_asked.emit(path)

    def _play_video(self) -> None:
        path = self._of_chosen(lambda item: item.video)
        if path is not None:
            self._show_path(path)

    def _open_folder(self) -> None:
        path = self._of_chosen(lambda item: item.outputs[0].parent if item.outputs else None)
        if path is not None:
            self._show_path(path)

    def _of_chosen(self, pick: Callable[[BatchItem], Path | None]) -> Path | None:
        """A path of the one selected item that is still there; tells the user where it is not."""
        chosen = self._table.chosen()
        path = pick(chosen[0]) if len(chosen) == 1 else None
        if path is not None and not path.exists():
            self.problem.emit(InputError(f"'{path}' is not there any more; it was moved or deleted: try the file again"))
            return None
        return path

    def _show_path(self, path: Path) -> None:
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
            self.problem.emit(InputError(f"'{path}' cannot be opened: no program for it was found; open it by hand"))

    def ask_for_files(self) -> None:
        """Let the user pick files for the queue."""
        suffixes = " ".join(f"*{suffix}" for suffix in sorted(VIDEO_SUFFIXES | IMAGE_SUFFIXES))
        dialog = self._dialog("Add videos and pictures", QFileDialog.FileMode.ExistingFiles)
        dialog.setNameFilters([f"Videos and pictures ({suffixes})", "All files (*)"])
        dialog.open()

    def _ask_folder(self) -> None:
        dialog = self._dialog("Add a folder", QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.open()

    def _dialog(self, title: str, mode: QFileDialog.FileMode) -> QFileDialog:
        dialog = QFileDialog(self, title, self._store.current.folder)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(mode)
        dialog.filesSelected.connect(self._files_chosen)
        return dialog

    def _files_chosen(self, paths: list[str]) -> None:
        if paths:
            self._store.change(folder=str(Path(paths[0]).parent))
            self.add_sources(paths)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files and folders."""
        if local_paths(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Add what is dropped."""
        paths = local_paths(event.mimeData())
        if paths:
            event.acceptProposedAction()
            self.add_sources(paths)


def _tool(action: QAction, *, text: bool = True, flat: bool = True) -> QToolButton:
    button = QToolButton()
    button.setDefaultAction(action)
    button.setAutoRaise(flat)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    style = Qt.ToolButtonStyle.ToolButtonTextBesideIcon if text else Qt.ToolButtonStyle.ToolButtonIconOnly
    button.setToolButtonStyle(style)
    return button
