"""The about box: what this is, under which licences, on whose work it builds, and what to tell whoever helps."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QSize, Qt, QUrl, Signal, qVersion
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QTabWidget,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vipose.app.core import about
from vipose.app.core.background import Background
from vipose.app.widgets.icons import app_icon, icon
from vipose.app.widgets.theme import GAP, MARGIN, SPACING, heading_font, number_font, set_role
from vipose.runtime.errors import ViposeError

__all__ = ["AboutDialog", "show_about"]

_WAIT_S = 2.0
_COLLECTING = "Collecting…"


@dataclass(frozen=True)
class _Facts:
    """What has to be collected."""

    libraries: Sequence[about.Library]
    weights: Sequence[about.Weights]
    notice: str
    demo: str
    system: str


def show_about(parent: QWidget) -> AboutDialog:
    """Open the about box over a window without waiting; GUI thread only."""
    dialog = AboutDialog(parent.window())
    dialog.open()
    return dialog


class AboutDialog(QDialog):
    """Facts are collected in a thread; the box is there at once and fills within a second."""

    collected = Signal()
    """From the thread: all facts are there, or the reason why not."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("About vipose")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._stop = threading.Event()
        self._build()
        self.resize(720, 560)
        more = {"Qt": qVersion(), "display": QGuiApplication.platformName()}
        self.collected.connect(self._fill)
        self._work = Background(lambda: _collect(more, self._stop), _forget, self.collected.emit, "vipose-about")
        self.finished.connect(self.close_down)

    def close_down(self) -> None:
        """End the thread; safe twice."""
        self._stop.set()
        self._work.abandon()
        self._work.join(_WAIT_S)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(GAP, GAP, GAP, MARGIN)
        layout.setSpacing(GAP - 4)
        layout.addLayout(self._head())
        tabs = QTabWidget()
        tabs.addTab(self._code_tab(), "Code and libraries")
        tabs.addTab(self._weights_tab(), "Weights")
        tabs.addTab(self._papers_tab(), "Papers")
        tabs.addTab(self._notices_tab(), "Notices and demo clip")
        tabs.addTab(self._system_tab(), "This computer")
        self.tabs = tabs
        layout.addWidget(tabs, 1)
        layout.addLayout(self._foot())

    def _head(self) -> QHBoxLayout:
        picture = QLabel()
        picture.setPixmap(app_icon().pixmap(QSize(64, 64), self.devicePixelRatioF()))
        name = QLabel(f"vipose {about.version()}")
        name.setFont(heading_font(1.6))
        words = QVBoxLayout()
        words.setSpacing(4)
        words.addStretch(1)
        words.addWidget(name)
        words.addWidget(_words(about.SUMMARY))
        words.addStretch(1)
        head = QHBoxLayout()
        head.setSpacing(GAP)
        head.addWidget(picture)
        head.addLayout(words, 1)
        return head

    def _code_tab(self) -> QWidget:
        self._libraries = _table({"Library": 220, "Version": 90, "Licence": 0}, "Libraries in use")
        self._library_notes = _words("")
        return _page(_words(about.CODE), self._libraries, _words(about.QT), self._library_notes)

    def _weights_tab(self) -> QWidget:
        self._weights = _table({"Network and data": 200, "Terms": 0, "Use, amount": 120}, "Networks with the data that they were trained on")
        self._weights.setRootIsDecorated(True)
        return _page(_words(about.WEIGHTS), self._weights)

    def _notices_tab(self) -> QWidget:
        self._notices = _text("Notices, and the licence of the demo clip")
        return _page(self._notices)

    def _papers_tab(self) -> QWidget:
        lead = _words("The networks follow published work. If you publish results, please cite what you used:")
        cards: list[QWidget] = []
        for paper in about.PAPERS:
            card = QFrame()
            set_role(card, "card")
            name = QLabel(paper.name)
            set_role(name, "title")
            inside = QVBoxLayout(card)
            inside.addWidget(name)
            inside.addWidget(_words(paper.citation, selectable=True))
            cards.append(card)
        return _page(lead, *cards)

    def _system_tab(self) -> QWidget:
        self._system = _text("This computer")
        self._system.setFont(number_font(0.95))
        return _page(_words("Send this along when you ask for help. It names the folders of vipose and Python, and no file of yours."), self._system)

    def _foot(self) -> QHBoxLayout:
        self.copy_button = QPushButton(icon("copy"), "Copy system information")
        self.copy_button.setEnabled(False)
        self.copy_button.setToolTip("Copy versions, processor and providers as text")
        self.copy_button.clicked.connect(self._copy)
        qt = QPushButton("Licence of Qt…")
        qt.setToolTip("Open the page of the GNU LGPL in your browser")
        qt.clicked.connect(lambda: QDesktopServices.openUrl(QUrl("https://www.gnu.org/licenses/lgpl-3.0.html")))
        close = QPushButton("Close")
        close.setToolTip("Close this window")
        close.setDefault(True)
        close.clicked.connect(self.accept)
        foot = QHBoxLayout()
        foot.addWidget(self.copy_button)
        foot.addWidget(qt)
        foot.addStretch(1)
        foot.addWidget(close)
        close.setFocus()
        return foot

    def _fill(self) -> None:
        if self._stop.is_set():
            return
        try:
            facts = self._work.result()
        except ViposeError as error:
            for text in (self._notices, self._system):
                text.setPlainText(str(error))
            return
        self._fill_libraries(facts.libraries)
        self._fill_weights(facts.weights)
        self._notices.setPlainText("\n\n\n".join(part for part in (facts.notice, facts.demo) if part))
        self._system.setPlainText(facts.system)
        self.copy_button.setEnabled(True)

    def _fill_libraries(self, libraries: Sequence[about.Library]) -> None:
        self._libraries.clear()
        for library in libraries:
            _row(self._libraries, library.name, library.version, library.licence)
        self._library_notes.setText("\n".join(f"{library.name}: {library.note}" for library in libraries if library.note))

    def _fill_weights(self, networks: Sequence[about.Weights]) -> None:
        self._weights.clear()
        for network in networks:
            name = f"{network.name} (yours)" if network.own else network.name
            item = _row(self._weights, name, network.fault or network.licence, network.use)
            font = item.font(0)
            font.setBold(True)
            item.setFont(0, font)
            for data in network.data:
                _row(item, data.name, data.terms, data.amount)
        first = self._weights.topLevelItem(0)
        if first is not None:
            first.setExpanded(True)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._system.toPlainText())
        self.copy_button.setText("Copied")


def _collect(more: dict[str, str], stop: threading.Event) -> _Facts:
    return _Facts(about.libraries(), about.weights(), about.notice(), about.about_demo(), about.system_information(more, stop.is_set))


def _forget(_facts: _Facts) -> None:
    return None


def _row(above: QTreeWidget | QTreeWidgetItem, *texts: str) -> QTreeWidgetItem:
    item = QTreeWidgetItem(above, list(texts))
    for column, text in enumerate(texts):
        item.setToolTip(column, text)
    return item


def _table(columns: dict[str, int], name: str) -> QTreeWidget:
    """A table of texts; ``columns`` gives their widths in pixels by title, 0 for the one that takes the rest."""
    table = QTreeWidget()
    table.setRootIsDecorated(False)
    table.setAlternatingRowColors(True)
    table.setAccessibleName(name)
    table.setHeaderLabels(list(columns))
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    header = table.header()
    header.setStretchLastSection(False)
    for column, width in enumerate(columns.values()):
        mode = QHeaderView.ResizeMode.Interactive if width else QHeaderView.ResizeMode.Stretch
        header.setSectionResizeMode(column, mode)
        if width:
            header.resizeSection(column, width)
    QTreeWidgetItem(table, [_COLLECTING])
    return table


def _text(name: str) -> QPlainTextEdit:
    text = QPlainTextEdit(_COLLECTING)
    text.setReadOnly(True)
    text.setAccessibleName(name)
    return text


def _words(text: str, *, selectable: bool = False) -> QLabel:
    label = QLabel(text, wordWrap=True)
    label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    if selectable:
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _page(*parts: QWidget) -> QWidget:
    page = QWidget()
    rows = QVBoxLayout(page)
    rows.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
    rows.setSpacing(SPACING)
    for part in parts:
        rows.addWidget(part, 1 if isinstance(part, QTreeWidget | QPlainTextEdit) else 0)
    if not any(isinstance(part, QTreeWidget | QPlainTextEdit) for part in parts):
        rows.addStretch(1)
    return page
