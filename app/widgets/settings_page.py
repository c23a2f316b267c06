"""The settings page: every option of the table that the application keeps, and what it keeps beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from vipose.app.core.settings import KEPT_OPTIONS, THEMES, Settings, SettingsStore
from vipose.app.widgets.editor_base import OptionEditor
from vipose.app.widgets.icons import icon
from vipose.app.widgets.option_editors import option_editor
from vipose.app.widgets.path_editors import FolderEditor
from vipose.app.widgets.settings_rows import SettingRow, SettingSection
from vipose.app.widgets.theme import GAP, MARGIN, SPACING, set_role
from vipose.app.widgets.tuning_bar import TuningBar
from vipose.app.widgets.value_editors import ChoiceEditor, FormatsEditor
from vipose.runtime.errors import UsageError, ViposeError
from vipose.runtime.option import Option
from vipose.runtime.options import RESULT_FORMATS, table

__all__ = ["SettingsPage"]

RECORDING, APPEARANCE = "Recording", "Appearance"
_OWN: Mapping[str, Option] = {
    "results_folder": Option(
        "folder", "recordings, snapshots and finished batches go here", RECORDING, label="Results folder"
    ),
    "formats": Option(
        "formats", "written beside a recorded video; native can be replayed", RECORDING, choices=RESULT_FORMATS,
        label="Result formats",
    ),
    "theme": Option(
        "theme", "light or dark, or as the system has it", APPEARANCE, choices=THEMES, label="Colours", applies="now"
    ),
}  # fmt: skip
_WHEN = {
    "now": "At once",
    "networks": "Loads networks",
    "source": "When the source is opened again",
    "": "With the next recording",
}
_LIST_WIDTH = 170
_FILES = "Settings (*.json)"


class SettingsPage(QWidget):
    """Edits the settings of a store, and follows changes that others make to them.

    Args:
        store: the settings; every change goes through it.
        at_once: make all rows now; else a group at a time, so that a picture which plays meanwhile does not stand still.
        make_quiet: see :class:`TuningBar`.
    """

    problem = Signal(object)
    """A ViposeError that the window shows."""
    _stored = Signal(object)

    def __init__(
        self, store: SettingsStore, parent: QWidget | None = None, *, at_once: bool = True,
        make_quiet: Callable[[], str] = lambda: "",
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._store = store
        self._pending = list(_groups().items())
        self.rows: dict[str, SettingRow] = {}
        self.sections: list[SettingSection] = []
        self.search = _search_field()
        self.search.textChanged.connect(self._filter)
        self.list = self._group_list()
        self._going = False
        self._nothing = QLabel("No setting has these words.")
        set_role(self._nothing, "hint")
        self._note = QLabel()
        self._note.setWordWrap(True)
        set_role(self._note, "hint")
        self.tuning = TuningBar(store, make_quiet)
        self.tuning.problem.connect(self.problem)
        self._warning = QLabel()
        self._warning.setWordWrap(True)
        set_role(self._warning, "warning")
        self._area = self._scroll_area()
        self._lay_out()
        self._stored.connect(self._show)
        self._unsubscribe = store.subscribe(self._stored.emit)
        self._filter("")
        self._show(store.current)
        self._next = QTimer(self)
        self._next.setSingleShot(True)
        self._next.timeout.connect(self._go_on)
        if at_once:
            self.finish()
        else:
            self._go_on()

    def finish(self) -> None:
        """Make the groups that are not there yet."""
        while self._pending:
            self._add_section(*self._pending.pop(0))

    def _go_on(self) -> None:
        if self._pending:
            self._add_section(*self._pending.pop(0))
            self._next.start(0)

    def _add_section(self, group: str, names: list[str]) -> None:
        section = SettingSection(group, self._rows_of(names))
        section.reset_asked.connect(self._reset_group)
        self._column.insertWidget(self._column.count() - 1, section)
        self.sections.append(section)
        for name in names:
            self.rows[name].set_value(self._value(name, self._store.current))
        section.refresh()
        self._filter(self.search.text())

    @staticmethod
    def _value(name: str, settings: Settings) -> Any:
        return getattr(settings, name) if name in _OWN else getattr(settings.options, name)

    def busy(self) -> str:
        """Nothing: closing ends a measurement, but only its half minute would be lost."""
        return ""

    def close_down(self) -> None:
        """Stop following the store and end what runs in the background; safe to call twice."""
        self._unsubscribe()
        self._next.stop()
        self.tuning.close_down()
        for row in self.rows.values():
            row.editor.close_down()

    def import_from(self, path: str | Path) -> None:
        """Take over the settings of a file; what is wrong with it goes to ``problem``."""
        try:
            notes = self._store.load_from(path)
        except ViposeError as error:
            self.problem.emit(error)
            return
        self._note.setText(f"Settings of {Path(path).name} are in use now.")
        self._warn(f"Some settings have their defaults: {'; '.join(notes)}" if notes else "")

    def export_to(self, path: str | Path) -> None:
        """Write the settings to a file; what is wrong with it goes to ``problem``."""
        try:
            self._store.export(path)
        except ViposeError as error:
            self.problem.emit(error)
        else:
            self._note.setText(f"Settings are written to {Path(path).name}.")

    def reset_all(self) -> None:
        """Give everything its default again, without asking."""
        self._store.reset()
        self._note.setText("All settings have their defaults.")

    def _rows_of(self, names: list[str]) -> list[SettingRow]:
        defaults = self._store.defaults
        rows = []
        for name in names:
            usual = self._value(name, defaults)
            editor = _own_editor(name, usual) if name in _OWN else option_editor(name)
            row = self.rows[name] = SettingRow(name, editor, _WHEN[editor.option.applies], usual)
            row.entered.connect(self._entered)
            rows.append(row)
        return rows

    def _group_list(self) -> QListWidget:
        groups = QListWidget()
        groups.setFixedWidth(_LIST_WIDTH)
        groups.setAccessibleName("Groups of settings")
        groups.setStyleSheet(f"QListWidget::item {{ padding-left: {SPACING}px; }}")
        for group in _groups():
            item = QListWidgetItem(group, groups)
            item.setSizeHint(QSize(0, groups.fontMetrics().height() + 2 * SPACING))
        groups.setCurrentRow(0)
        groups.currentRowChanged.connect(self._go_to)
        groups.itemClicked.connect(lambda item: self._go_to(groups.row(item)))
        return groups

    def _scroll_area(self) -> QScrollArea:
        inside = QWidget()
        self._column = column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, MARGIN, 0)
        column.setSpacing(GAP)
        column.addWidget(self._nothing)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        area.verticalScrollBar().valueChanged.connect(self._scrolled)
        return area

    def _lay_out(self) -> None:
        heading = QLabel("Settings")
        set_role(heading, "heading")
        top = QHBoxLayout()
        top.addWidget(heading, 1)
        top.addWidget(self.search)
        middle = QHBoxLayout()
        middle.setSpacing(GAP)
        middle.addWidget(self.list)
        middle.addWidget(self._area, 1)
        bottom = QHBoxLayout()
        bottom.setSpacing(SPACING)
        bottom.addWidget(_button("Import...", "open", "Take over settings from a file", self._ask_import))
        bottom.addWidget(_button("Export...", "export", "Write the settings to a file", self._ask_export))
        bottom.addWidget(self._note, 1)
        bottom.addWidget(_button("Reset all...", "reset", "Give all settings their defaults again", self._ask_reset))
        page = QVBoxLayout(self)
        page.setContentsMargins(GAP, MARGIN, GAP, MARGIN)
        page.setSpacing(MARGIN)
        page.addLayout(top)
        page.addWidget(self.tuning)
        page.addWidget(self._warning)
        page.addLayout(middle, 1)
        page.addLayout(bottom)

    def _entered(self, name: str, value: object) -> None:
        try:
            if name in _OWN:
                self._store.change(**{name: value})
            else:
                self._store.change_options(**{name: value})
        except UsageError as error:
            self.rows[name].editor.refuse(error)
        else:
            self._note.setText("")

    def _show(self, settings: Settings) -> None:
        defaults = self._store.defaults
        for name, row in self.rows.items():
            row.set_default(self._value(name, defaults))
            row.set_value(self._value(name, settings))
        for section in self.sections:
            section.refresh()
        self._warn(self._store.problem)

    def _warn(self, text: str) -> None:
        self._warning.setText(text)
        self._warning.setVisible(bool(text))

    def _filter(self, text: str) -> None:
        words = text.casefold().split()
        found = [section.filter(words) > 0 for section in self.sections]
        for number, there in enumerate(found):
            self.list.item(number).setHidden(not there)
        self._nothing.setVisible(not any(found) and not self._pending)
        self._area.verticalScrollBar().setValue(0)

    def _go_to(self, number: int) -> None:
        if 0 <= number < len(self.sections):
            self._going = True  # the last groups never reach the top: the list keeps what was chosen
            self._area.verticalScrollBar().setValue(self.sections[number].y())
            self._going = False

    def _scrolled(self, value: int) -> None:
        """Let the list say which group is at the top."""
        shown = [number for number, section in enumerate(self.sections) if not section.isHidden()]
        passed = [number for number in shown if self.sections[number].y() <= value + GAP]
        if passed and not self._going:
            self.list.blockSignals(True)
            self.list.setCurrentRow(passed[-1])
            self.list.blockSignals(False)

    def _reset_group(self, group: str) -> None:
        defaults = self._store.defaults
        own = {name: getattr(defaults, name) for name, option in _OWN.items() if option.group == group}
        if own:
            self._store.change(**own)
        else:
            self._store.reset(group)
        self._note.setText(f"'{group}' has its defaults.")

    def _ask_import(self) -> None:
        dialog = QFileDialog(self, "Import settings", self._store.current.folder, _FILES)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(self.import_from)
        _open(dialog)

    def _ask_export(self) -> None:
        dialog = QFileDialog(self, "Export settings", self._store.current.folder, _FILES)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("json")
        dialog.selectFile("vipose-settings.json")
        dialog.fileSelected.connect(self.export_to)
        _open(dialog)

    def _ask_reset(self) -> None:
        text = "Give all settings their defaults again? Recently opened sources and the window stay as they are."
        buttons = QMessageBox.StandardButton.Reset | QMessageBox.StandardButton.Cancel
        dialog = QMessageBox(QMessageBox.Icon.Question, "Reset all settings", text, buttons, self)
        dialog.setDefaultButton(QMessageBox.StandardButton.Cancel)
        dialog.button(QMessageBox.StandardButton.Reset).clicked.connect(self.reset_all)
        _open(dialog)


def _groups() -> dict[str, list[str]]:
    """Group -> names of its settings, in the order of the table; the application's own come last."""
    groups: dict[str, list[str]] = {}
    for name in KEPT_OPTIONS:
        groups.setdefault(table()[name].group, []).append(name)
    for name, option in _OWN.items():
        groups.setdefault(option.group, []).append(name)
    return groups


def _own_editor(name: str, value: Any) -> OptionEditor:
    def check(wanted: Any) -> None:
        if wanted == "":
            raise UsageError(f"{_OWN[name].flag}: nothing is given; name a folder")
        replace(Settings(), **{name: wanted})

    if name == "theme":
        return ChoiceEditor(_OWN[name], check, value)
    if name == "formats":
        return FormatsEditor(_OWN[name], check, value)
    return FolderEditor(_OWN[name], check, value)


def _search_field() -> QLineEdit:
    field = QLineEdit()
    field.setPlaceholderText("Search settings")
    field.setAccessibleName("Search settings")
    field.setToolTip("Show only the settings that have these words")
    field.setClearButtonEnabled(True)
    field.setFixedWidth(260)
    return field


def _button(text: str, picture: str, tip: str, clicked: Callable[[], None]) -> QPushButton:
    button = QPushButton(icon(picture), text)
    button.setToolTip(tip)
    button.clicked.connect(clicked)
    return button


def _open(dialog: QDialog) -> None:
    """Show a dialog without waiting for it."""
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.open()
