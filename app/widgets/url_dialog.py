"""Asks for the address of a stream and says at once what is wrong with it."""

from __future__ import annotations

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from vipose.app.core.addresses import read_address
from vipose.app.widgets.theme import MARGIN, SPACING, set_role
from vipose.runtime.errors import InputError, UsageError
from vipose.runtime.media.sources import without_password

__all__ = ["UrlDialog"]

_EXAMPLES = (
    "For example\n"
    "rtsp://user:password@192.168.1.20/stream\n"
    "https://example.org/talk.mp4\n"
    "srt://192.168.1.20:9000"
)


class UrlDialog(QDialog):
    """One line for an address. Passwords are used, and never written to the settings.

    Args:
        address: to begin with.
    """

    address_given = Signal(str)
    """The user has confirmed an address that can be tried."""

    def __init__(self, address: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open an address")
        self.line = QLineEdit(address)
        self.line.setPlaceholderText("rtsp://…")
        self.line.setAccessibleName("Address")
        self.line.setToolTip("Address of a camera, a stream or a video file on a server")
        self.line.setClearButtonEnabled(True)
        label = QLabel("&Address of a camera, a stream or a video:")
        label.setBuddy(self.line)
        examples = QLabel(_EXAMPLES)
        set_role(examples, "hint")
        self.said = QLabel()
        self.said.setWordWrap(True)
        set_role(self.said, "warning")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(SPACING)
        for widget in (label, self.line, examples, self.said):
            column.addWidget(widget)
        column.addStretch(1)
        column.addWidget(self.buttons)
        self.line.textChanged.connect(self._check)
        self.buttons.accepted.connect(self._confirm)
        self.buttons.rejected.connect(self.reject)
        self._check()
        self.line.selectAll()

    def sizeHint(self) -> QSize:
        """Wide enough for a long address."""
        return super().sizeHint().expandedTo(QSize(520, 0))

    def _check(self) -> None:
        wrong = self._wrong()
        self.said.setText(wrong)
        self.said.setVisible(bool(wrong))
        open_button = self.buttons.button(QDialogButtonBox.StandardButton.Open)
        open_button.setEnabled(not wrong and bool(self.line.text().strip()))

    def _wrong(self) -> str:
        """What is wrong with the text; "" for nothing, and for one that is not finished."""
        text = self.line.text().strip()
        if "://" not in text or text.endswith("://"):
            return "" if len(text) < len("rtsps://") else _sentence(_complaint(text))
        return _sentence(_complaint(text))

    def _confirm(self) -> None:
        text = self.line.text().strip()
        if text and not self._wrong():
            self.accept()
            self.address_given.emit(text)


def _complaint(text: str) -> str:
    try:
        read_address(text)
    except (UsageError, InputError) as error:
        return str(error)
    return ""


def _sentence(text: str) -> str:
    """A message that begins with the address itself stays as it is, but for the password."""
    shown = without_password(text)
    if "://" in shown.partition(" ")[0]:
        return f"{shown}."
    return f"{shown[:1].upper()}{shown[1:]}." if shown else ""
