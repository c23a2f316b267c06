"""The people of a result file: who they are, how often they were seen, whom to follow and whom to export."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QSignalBlocker, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QKeyEvent, QPainter, QPixmap
from PySide6.QtWidgets import QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from vipose.app.core.stored import PersonSummary
from vipose.runtime.overlay import track_colour

__all__ = ["PeopleList"]

_ID = Qt.ItemDataRole.UserRole
_SWATCH = 14


class PeopleList(QTreeWidget):
    """A row a person. A click follows, another one on the same row lets go; the tick says who is exported."""

    follow_asked = Signal(object)
    """Track id (int), or None for nobody."""
    ticks_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setHeaderLabels(["Person", "Frames", "Score"])
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setAlternatingRowColors(True)
        self.setIconSize(QSize(_SWATCH, _SWATCH))
        self.setAccessibleName("People of this file")
        self.setToolTip("Click to follow somebody; ticked people are exported")
        header = self.header()
        header.setSectionsMovable(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
            self.headerItem().setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        header.setStretchLastSection(False)
        self.headerItem().setToolTip(1, "Frames on which the person was seen")
        self.headerItem().setToolTip(2, "Mean score over these frames, 0 to 1")
        self._followed: int | None = None
        self._ticks: dict[int, Qt.CheckState] = {}
        self.itemClicked.connect(self._clicked)
        self.itemActivated.connect(self._clicked)
        self.itemChanged.connect(self._ticked)

    def set_people(self, people: Sequence[PersonSummary]) -> None:
        """Another file: all are ticked, nobody is followed."""
        with QSignalBlocker(self):
            self.clear()
            self._followed = None
            self.addTopLevelItems([self._row(person) for person in people])
        self._ticks = {person.id: Qt.CheckState.Checked for person in people}

    @staticmethod
    def _row(person: PersonSummary) -> QTreeWidgetItem:
        item = QTreeWidgetItem([f"Person {person.id}", str(person.frames), f"{person.mean_score:.2f}"])
        item.setData(0, _ID, person.id)
        item.setIcon(0, _swatch(QColor(*track_colour(person.id))))
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(0, Qt.CheckState.Checked)
        for column in (1, 2):
            item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return item

    def ticked(self) -> frozenset[int]:
        """Ids of the people who are to be exported."""
        return frozenset(item.data(0, _ID) for item in self._items() if item.checkState(0) is Qt.CheckState.Checked)

    def tick_all(self, on: bool) -> None:
        """Tick everybody or nobody."""
        for item in self._items():
            item.setCheckState(0, Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def show_followed(self, person: int | None) -> None:
        """Select whom the canvas follows."""
        self._followed = person
        with QSignalBlocker(self):
            self.clearSelection()
            for item in self._items():
                if item.data(0, _ID) == person:
                    item.setSelected(True)
                    self.scrollToItem(item)

    def _items(self) -> list[QTreeWidgetItem]:
        found = (self.topLevelItem(row) for row in range(self.topLevelItemCount()))
        return [item for item in found if item is not None]

    def _clicked(self, item: QTreeWidgetItem) -> None:
        person = item.data(0, _ID)
        if self._ticks.get(person) is not item.checkState(0):
            self._ticks[person] = item.checkState(0)  # it was the box that was clicked
            self.show_followed(self._followed)
            return
        self.follow_asked.emit(None if person == self._followed else person)

    def _ticked(self, item: QTreeWidgetItem) -> None:
        self.ticks_changed.emit()

    def event(self, event: QEvent) -> bool:
        """Keep the space bar for ticking: elsewhere on the page it plays."""
        if event.type() is QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Space:
            event.accept()
            return True
        return super().event(event)


def _swatch(colour: QColor) -> QIcon:
    pixmap = QPixmap(2 * _SWATCH, 2 * _SWATCH)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour)
    painter.drawEllipse(pixmap.rect().adjusted(4, 4, -4, -4))
    painter.end()
    pixmap.setDevicePixelRatio(2)
    return QIcon(pixmap)
