"""The head of the batch page: where results go, what is written, what becomes of those that exist, and the options."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from pathlib import Path

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QWidget,
)

from vipose.app.core.batch_words import options_in_words
from vipose.app.core.settings import Settings, SettingsStore, whole_path
from vipose.app.widgets.icons import icon
from vipose.app.widgets.theme import MARGIN, SPACING, set_role
from vipose.runtime.errors import OutputError, ViposeError
from vipose.runtime.options import RESULT_FORMATS, RunOptions
from vipose.runtime.results.formats import FORMATS

__all__ = ["OutputBar", "batch_options"]

_EXISTING = (
    ("overwrite", "Overwrite them"),
    ("resume", "Redo what changed"),
    ("skip", "Skip the file"),
    ("fail", "Leave them, report it"),
)
_EXISTING_TIPS = {
    "overwrite": "Results of an earlier run are replaced when the new ones are complete",
    "resume": "Run a file again only if it, the networks or the options changed, or it was not finished",
    "skip": "A file whose results exist is not run",
    "fail": "A file whose results exist is reported as failed and not run",
}
_NATIVE = "vipose's own format, which holds everything; needed to open results here"
_LINKS = Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.LinksAccessibleByKeyboard


def batch_options(settings: Settings) -> RunOptions:
    """The options of a batch: those of the settings, its formats, and files from beginning to end.

    Raises:
        UsageError: neither a format nor video is chosen.
    """
    return replace(settings.options, save=settings.formats, start=None, end=None)


class OutputBar(QFrame):
    """Writes the settings, and follows them.

    Args:
        store: settings: ``results_folder``, ``formats``, and of the options ``video`` and ``existing``.
    """

    settings_asked = Signal()
    problem = Signal(object)
    """A ViposeError that the user must see."""

    def __init__(self, store: SettingsStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "card")
        self._store = store
        self._folder = QLineEdit()
        self._folder.setAccessibleName("Results folder")
        self._folder.setToolTip("Annotated videos and results are written here; the folder is made if it is missing")
        self._folder.editingFinished.connect(self._folder_typed)
        self._choose = _button("Choose...", "folder", "Choose the folder for results", self._choose_folder)
        self._open = _button("Open", "open", "Show the results folder in the file manager", self._open_folder)
        self._formats = self._make_formats()
        self._video = QCheckBox("Annotated video")
        self._video.setToolTip("Write a copy of each video with the skeletons drawn in; of pictures, annotated pictures")
        self._video.clicked.connect(lambda on: store.change_options(video=on))
        self._existing = self._make_existing()
        self._summary = QLabel()
        self._summary.setTextFormat(Qt.TextFormat.RichText)
        self._summary.setWordWrap(True)
        self._summary.setTextInteractionFlags(_LINKS)
        self._summary.linkActivated.connect(lambda _: self.settings_asked.emit())
        self._running = False
        self._lay_out()
        self.follow(store.current)

    def _lay_out(self) -> None:
        folder, kinds = QHBoxLayout(), QHBoxLayout()
        for row in (folder, kinds):
            row.setSpacing(SPACING)
        folder.addWidget(self._folder, 1)
        folder.addWidget(self._choose)
        folder.addWidget(self._open)
        existing = QLabel("Existing results")
        existing.setBuddy(self._existing)
        kinds.addWidget(self._formats)
        kinds.addWidget(self._video)
        kinds.addSpacing(MARGIN)
        kinds.addWidget(existing)
        kinds.addWidget(self._existing)
        kinds.addStretch(1)
        grid = QGridLayout(self)
        grid.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        grid.setHorizontalSpacing(MARGIN)
        grid.setVerticalSpacing(SPACING)
        rows: tuple[tuple[str, QWidget | None, QHBoxLayout | QWidget], ...] = (
            ("Results folder", self._folder, folder), ("Write", self._formats, kinds), ("Options", None, self._summary),
        )  # fmt: skip
        for at, (text, buddy, content) in enumerate(rows):
            label = QLabel(text)
            if buddy is not None:
                label.setBuddy(buddy)
            grid.addWidget(label, at, 0, Qt.AlignmentFlag.AlignTop if buddy is None else Qt.AlignmentFlag.AlignVCenter)
            if isinstance(content, QWidget):
                grid.addWidget(content, at, 1)
            else:
                grid.addLayout(content, at, 1)
        grid.setColumnStretch(1, 1)

    def _make_formats(self) -> QPushButton:
        button = QPushButton()
        button.setAccessibleName("Result formats")
        button.setToolTip("Result files to write for each video")
        button.setAutoDefault(False)
        menu = QMenu(button)
        menu.setToolTipsVisible(True)
        for name in RESULT_FORMATS:
            action = menu.addAction(name)
            action.setCheckable(True)
            action.setToolTip(_NATIVE if name == "native" else f"Does not hold: {FORMATS[name].loses}")
            action.triggered.connect(self._formats_chosen)
        button.setMenu(menu)
        return button

    def _make_existing(self) -> QComboBox:
        box = QComboBox()
        box.setAccessibleName("What to do where results exist already")
        for value, text in _EXISTING:
            box.addItem(text, value)
            box.setItemData(box.count() - 1, _EXISTING_TIPS[value], Qt.ItemDataRole.ToolTipRole)
        box.activated.connect(lambda _: self._store.change_options(existing=box.currentData()))
        return box

    def follow(self, settings: Settings) -> None:
        """Show these settings."""
        if not self._folder.hasFocus() or not self._folder.isModified():
            self._folder.setText(settings.results_folder)
        for action in self._formats.menu().actions():
            action.setChecked(action.text() in settings.formats)
        names = ", ".join(settings.formats)
        self._formats.setText(names or "No result files")
        self._video.setChecked(settings.options.video)
        self._existing.setCurrentIndex(self._existing.findData(settings.options.existing))
        self._existing.setToolTip(_EXISTING_TIPS[settings.options.existing])
        words = escape(options_in_words(replace(settings.options, start=None, end=None)))
        later = " Changes take effect at the next start." if self._running else ""
        self._summary.setText(f'{words}. <a href="settings">Change...</a>{later}')

    def set_running(self, running: bool) -> None:
        """Say that changes come too late for the run that goes on, or no longer say it."""
        if running != self._running:
            self._running = running
            self.follow(self._store.current)

    def _formats_chosen(self) -> None:
        chosen = tuple(action.text() for action in self._formats.menu().actions() if action.isChecked())
        self._store.change(formats=chosen)

    def _folder_typed(self) -> None:
        text = self._folder.text().strip()
        self._folder.setModified(False)
        if text:
            self._set_folder(text)
        else:
            self._folder.setText(self._store.current.results_folder)

    def _set_folder(self, text: str) -> None:
        self._store.change(results_folder=whole_path(text))
        self._folder.setText(self._store.current.results_folder)

    def _choose_folder(self) -> None:
        dialog = QFileDialog(self, "Folder for results", self._store.current.results_folder)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(self._set_folder)
        dialog.open()

    def _open_folder(self) -> None:
        folder = Path(whole_path(self._store.current.results_folder))
        if not folder.is_dir():
            self._complain(OutputError(f"'{folder}' does not exist yet; it is made when the first results are written"))
        elif not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
            self._complain(OutputError(f"'{folder}' cannot be shown: no file manager was found; open it by hand"))

    def _complain(self, error: ViposeError) -> None:
        self.problem.emit(error)


def _button(text: str, symbol: str, hint: str, clicked: object) -> QPushButton:
    button = QPushButton(icon(symbol), text)
    button.setToolTip(hint)
    button.setAutoDefault(False)
    button.clicked.connect(clicked)  # type: ignore[arg-type]  # any callable
    return button
