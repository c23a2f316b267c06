"""Beside the replayed picture: the people of the file, and what the file says about itself."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSplitter, QVBoxLayout, QWidget

from vipose.app.core.playback_state import PlaybackStatus
from vipose.app.core.stored import StoredResults
from vipose.app.widgets.results_info import ResultsInfo
from vipose.app.widgets.results_people import PeopleList
from vipose.app.widgets.theme import SPACING, set_role

__all__ = ["ResultsSide"]


class ResultsSide(QSplitter):
    """People above, information below; the border between them can be moved."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Vertical, parent)
        self.people, self.info = PeopleList(), ResultsInfo()
        self._all, self._none = QPushButton("All"), QPushButton("None")
        self._all.setToolTip("Tick everybody for export")
        self._none.setToolTip("Tick nobody for export")
        self._all.clicked.connect(lambda: self.people.tick_all(True))
        self._none.clicked.connect(lambda: self.people.tick_all(False))
        self._stored: StoredResults | None = None
        self.addWidget(self._part("People", self.people, self._all, self._none))
        self.addWidget(self._part("About this file", self.info))
        self.setStretchFactor(0, 1)
        self.setStretchFactor(1, 1)
        self.setChildrenCollapsible(False)
        self.setMinimumWidth(220)

    @staticmethod
    def _part(title: str, content: QWidget, *buttons: QPushButton) -> QWidget:
        part, heading = QWidget(), QLabel(title)
        set_role(heading, "title")
        row = QHBoxLayout()
        row.setSpacing(SPACING // 2)
        row.addWidget(heading, 1)
        for button in buttons:
            row.addWidget(button)
        column = QVBoxLayout(part)
        column.setContentsMargins(SPACING, 0, 0, SPACING)
        column.setSpacing(SPACING // 2)
        column.addLayout(row)
        column.addWidget(content, 1)
        return part

    def show_status(self, status: PlaybackStatus) -> None:
        """Show the file that is open."""
        self.info.show_status(status)
        if status.stored is not self._stored:
            self._stored = status.stored
            self.people.set_people(() if status.stored is None else status.stored.people)
