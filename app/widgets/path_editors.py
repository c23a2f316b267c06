"""Editors for what lies on a disk: networks, by name or as a file, and folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QLineEdit, QMenu, QToolButton, QWidget

from vipose.app.core.background import Background
from vipose.app.core.choices import Choice
from vipose.app.core.settings import whole_path
from vipose.app.widgets.editor_base import Check, OptionEditor, sentence
from vipose.app.widgets.icons import icon
from vipose.runtime.errors import ViposeError
from vipose.runtime.option import Option

__all__ = ["FolderEditor", "NetworkEditor"]

_JOIN_S = 2.0


class NetworkEditor(OptionEditor):
    """A network that can be run here, or the path of a graph. What there is, is read in a thread.

    Args:
        option, check, value: see :class:`OptionEditor`.
        choices: lists the networks; called in a thread.
        folders: whether a folder of graphs may be given, too.
    """

    _listed = Signal()

    def __init__(
        self,
        option: Option,
        check: Check,
        value: str,
        choices: Callable[[], tuple[Choice, ...]],
        *,
        folders: bool,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(option, check, value, parent)
        self.box = QComboBox()
        self.line = QLineEdit()
        self.box.setLineEdit(self.line)
        self.box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.box.setMinimumContentsLength(8)
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.box.activated.connect(self._finished)
        self.line.editingFinished.connect(self._finished)
        self.browse = self._browse_button(folders)
        self._build(self.box, self.browse)
        self._choices = choices
        self._listing: Background[tuple[Choice, ...]] | None = None
        self._listed.connect(self._fill)
        self.refresh()

    def refresh(self) -> None:
        """List the networks anew: some may have been added."""
        if self._listing is None:
            self._listing = Background(self._choices, _forget, self._announce, "vipose-networks")

    def close_down(self) -> None:
        listing, self._listing = self._listing, None
        if listing is not None:
            listing.abandon()
            listing.join(_JOIN_S)

    def _announce(self) -> None:
        try:
            self._listed.emit()
        except RuntimeError:  # the window was closed meanwhile, and this editor with it
            return

    def _fill(self) -> None:
        listing, self._listing = self._listing, None
        if listing is None:
            return
        try:
            choices = listing.result()
        except ViposeError as error:
            self._say(sentence(str(error)))
            return
        self.box.clear()
        for number, choice in enumerate(choices):
            self.box.addItem(choice.name)
            self.box.setItemData(number, sentence(choice.about), Qt.ItemDataRole.ToolTipRole)
        self._show(self._value)

    def _show(self, value: Any) -> None:
        self.box.setCurrentIndex(self.box.findText(value, Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchCaseSensitive))
        self.box.setEditText(value)
        self.line.setCursorPosition(0 if self.box.findText(value) >= 0 else len(value))

    def _finished(self) -> None:
        text = self.box.currentText().strip()
        if text == self._value:
            self._say("")
        else:
            self._take(text)

    def _browse_button(self, folders: bool) -> QToolButton:
        button = _browse_button(f"Browse for {self.option.label.lower()}")
        if not folders:
            button.clicked.connect(self._browse_file)
            return button
        menu = QMenu(button)
        menu.addAction("ONNX graph...", self._browse_file)
        menu.addAction("Folder of graphs...", self._browse_folder)
        button.setMenu(menu)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        return button

    def _browse_file(self) -> None:
        dialog = QFileDialog(self.window(), self.option.label, _folder_of(self._value), "ONNX graphs (*.onnx)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        _ask(dialog, self._take)

    def _browse_folder(self) -> None:
        dialog = QFileDialog(self.window(), self.option.label, _folder_of(self._value))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        _ask(dialog, self._take)


class FolderEditor(OptionEditor):
    """The path of a folder, which need not exist yet."""

    def __init__(self, option: Option, check: Check, value: str, parent: QWidget | None = None) -> None:
        super().__init__(option, check, value, parent)
        self.box = QLineEdit()
        self.box.editingFinished.connect(lambda: self._take(whole_path(self.box.text().strip())))
        self.browse = _browse_button(f"Browse for {option.label.lower()}")
        self.browse.clicked.connect(self._browse)
        self._build(self.box, self.browse)

    def _show(self, value: Any) -> None:
        if self.box.text() != value:
            self.box.setText(value)
            self.box.setCursorPosition(0)

    def _browse(self) -> None:
        dialog = QFileDialog(self.window(), self.option.label, self._value)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        _ask(dialog, self._take)


def _ask(dialog: QFileDialog, take: Callable[[str], None]) -> None:
    """Show a dialog that does not block, and take what is chosen."""
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(take)
    dialog.open()


def _browse_button(text: str) -> QToolButton:
    button = QToolButton()
    button.setIcon(icon("folder"))
    button.setAutoRaise(True)
    button.setToolTip(text)
    button.setAccessibleName(text)
    return button


def _folder_of(path: str) -> str:
    parent = Path(path).parent
    return str(parent) if parent != Path() and parent.is_dir() else ""


def _forget(_choices: object) -> None:
    """Nothing to free."""
