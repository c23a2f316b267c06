"""The rows of the batch queue: a model that follows snapshots, the bar of the file that runs, and dragging rows and files."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QMimeData,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QPainter, QPainterPath, QPalette
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from vipose.app.core.batch_items import BatchItem, ItemState
from vipose.app.core.batch_words import count_of, duration, in_row
from vipose.app.widgets.icons import icon
from vipose.app.widgets.theme import warning_text_colour

__all__ = ["BatchModel", "BatchTable", "Column", "local_paths"]

_Index = QModelIndex | QPersistentModelIndex
_ROWS = "application/x-vipose-batch-rows"
_ICONS = {
    ItemState.WAITING: "pause", ItemState.RUNNING: "play", ItemState.DONE: "check", ItemState.PARTIAL: "warning",
    ItemState.FAILED: "error", ItemState.SKIPPED: "next", ItemState.CANCELLED: "stop",
}  # fmt: skip
_WORDS = {
    ItemState.WAITING: "Waiting", ItemState.RUNNING: "Running", ItemState.DONE: "Done", ItemState.PARTIAL: "Partly done",
    ItemState.FAILED: "Failed", ItemState.SKIPPED: "Skipped", ItemState.CANCELLED: "Stopped",
}  # fmt: skip
_TROUBLE = (ItemState.FAILED, ItemState.PARTIAL)
_ROW_HEIGHT = 30
_NOTHING = QModelIndex()
_STYLE = """
    QTableView::item { padding: 0 6px; }
    QHeaderView::section {
        background: palette(window); border: none; border-bottom: 1px solid palette(mid); padding: 5px 8px; }
"""


class Column(IntEnum):
    """Columns of the table."""

    FILE = 0
    STATE = 1
    PROGRESS = 2
    SPEED = 3
    LEFT = 4
    MESSAGE = 5


_HEADS = {
    Column.FILE: ("File", 220), Column.STATE: ("State", 116), Column.PROGRESS: ("Progress", 170), Column.SPEED: ("FPS", 64),
    Column.LEFT: ("Time left", 96), Column.MESSAGE: ("Message", 200),
}  # fmt: skip


def local_paths(data: QMimeData) -> list[str]:
    """Files and folders that are dragged, as paths; addresses are left out."""
    return [url.toLocalFile() for url in data.urls() if url.isLocalFile()]


class BatchModel(QAbstractTableModel):
    """Shows snapshots of the queue and keeps selections where rows move."""

    moved = Signal(object, int)
    """Ids of rows that were dragged, and the row in front of which they are to come."""
    dropped = Signal(object)
    """Paths of files that were dropped."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._items: list[BatchItem] = []

    def show(self, items: Sequence[BatchItem]) -> None:
        """Follow a newer snapshot."""
        self._drop_all_but({item.id for item in items})
        known = {item.id for item in self._items}
        new = [item for item in items if item.id not in known]
        if new:
            self.beginInsertRows(QModelIndex(), len(self._items), len(self._items) + len(new) - 1)
            self._items += new
            self.endInsertRows()
        if [item.id for item in self._items] != [item.id for item in items]:
            self._reorder(items)
        changed = [row for row, item in enumerate(items) if self._items[row] is not item]
        if changed:
            self._items = list(items)
            self.dataChanged.emit(self.index(changed[0], 0), self.index(changed[-1], len(Column) - 1))

    def _drop_all_but(self, wanted: set[int]) -> None:
        """Take rows out, those that follow each other at once."""
        last = len(self._items) - 1
        while last >= 0:
            first = last
            if self._items[last].id not in wanted:
                while first > 0 and self._items[first - 1].id not in wanted:
                    first -= 1
                self.beginRemoveRows(QModelIndex(), first, last)
                del self._items[first : last + 1]
                self.endRemoveRows()
            last = first - 1

    def _reorder(self, items: Sequence[BatchItem]) -> None:
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        rows = {item.id: row for row, item in enumerate(items)}
        after = [self.index(rows[self._items[index.row()].id], index.column()) for index in before]
        self._items = list(items)
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def item(self, row: int) -> BatchItem:
        """The item of a row."""
        return self._items[row]

    def rowCount(self, parent: _Index = _NOTHING) -> int:
        return 0 if parent.isValid() else len(self._items)

    def columnCount(self, parent: _Index = _NOTHING) -> int:
        return 0 if parent.isValid() else len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return _HEADS[Column(section)][0]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(Column(section)) if orientation == Qt.Orientation.Horizontal else None
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        item, column = self._items[index.row()], Column(index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(item, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return {Column.FILE: item.text, Column.MESSAGE: item.message or item.note}.get(column)
        if role == Qt.ItemDataRole.DecorationRole and column is Column.STATE:
            return icon(_ICONS[item.state])
        if role == Qt.ItemDataRole.ForegroundRole and item.state in _TROUBLE and column in (Column.STATE, Column.MESSAGE):
            return warning_text_colour()
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        return None

    def flags(self, index: _Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.ItemIsDropEnabled  # between rows and behind the last one, never onto one
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsDragEnabled

    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.MoveAction | Qt.DropAction.CopyAction

    def mimeTypes(self) -> list[str]:
        return [_ROWS, "text/uri-list"]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        data = QMimeData()
        ids = sorted({self._items[index.row()].id for index in indexes})
        data.setData(_ROWS, ",".join(map(str, ids)).encode())
        return data

    def dropMimeData(self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: _Index) -> bool:
        if data.hasFormat(_ROWS):
            ids = {int(text) for text in bytes(data.data(_ROWS).data()).decode().split(",") if text}
            before = row if row >= 0 else parent.row() if parent.isValid() else len(self._items)
            self.moved.emit(ids, before)
        elif paths := local_paths(data):
            self.dropped.emit(paths)
        return False  # the queue moves its rows itself; the view must not remove any


def _alignment(column: Column) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column in (Column.SPEED, Column.LEFT) else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter


def _text(item: BatchItem, column: Column) -> str:
    running = item.state is ItemState.RUNNING
    if column is Column.FILE:
        return item.name
    if column is Column.STATE:
        return _WORDS[item.state]
    if column is Column.PROGRESS:
        return _progress(item)
    if column is Column.SPEED:
        return f"{item.fps:.1f}" if item.fps > 0 else "-"
    if column is Column.LEFT:
        return "-" if item.eta_s is None else duration(item.eta_s)
    return item.note.capitalize() if running else in_row(item)


def _progress(item: BatchItem) -> str:
    if item.state in (ItemState.FAILED, ItemState.SKIPPED) and not item.done:
        return "-"
    if item.state is ItemState.DONE:
        return count_of(item.done, "frame")
    if item.frames is None:
        return count_of(item.done, "frame") if item.done else "-"
    if item.state is ItemState.WAITING:
        return f"about {count_of(item.frames, 'frame')}"
    return f"{item.done:,} of {item.frames:,}"


class _Bar(QStyledItemDelegate):
    """Paints a bar behind the frames of the file that runs."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        model = index.model()
        item = model.item(index.row()) if isinstance(model, BatchModel) else None
        if item is None or item.state is not ItemState.RUNNING:
            super().paint(painter, option, index)
            return
        self.initStyleOption(option, index)
        text, option.text = option.text, ""
        style = option.widget.style() if option.widget else QApplication.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, option, painter, option.widget)
        self._draw(painter, QRectF(option.rect).adjusted(9, 6, -9, -6), option.palette, item.share or 0.0, text)

    def _draw(self, painter: QPainter, place: QRectF, palette: QPalette, share: float, text: str) -> None:
        path = QPainterPath()
        path.addRoundedRect(place, 4, 4)
        done, rest = QRectF(place), QRectF(place)
        done.setWidth(place.width() * share)
        rest.setLeft(done.right())
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipPath(path)
        # The text is drawn twice, each half in the colour that reads on what lies under it.
        for part, ground, ink in (
            (rest, QPalette.ColorRole.Midlight, QPalette.ColorRole.Text),
            (done, QPalette.ColorRole.Highlight, QPalette.ColorRole.HighlightedText),
        ):
            painter.save()
            painter.setClipRect(part, Qt.ClipOperation.IntersectClip)
            painter.fillRect(part, palette.color(ground))
            painter.setPen(palette.color(ink))
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)
            painter.restore()
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        return QSize(_HEADS[Column.PROGRESS][1], _ROW_HEIGHT)


class BatchTable(QTableView):
    """The table of the queue."""

    def __init__(self, model: BatchModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self.setModel(model)
        self.setAccessibleName("Files of the batch")
        self.setItemDelegateForColumn(Column.PROGRESS, _Bar(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setStyleSheet(_STYLE)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragDrop)
        self.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.setDragDropOverwriteMode(False)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.horizontalHeader().setStretchLastSection(True)
        self.horizontalHeader().setHighlightSections(False)
        for column, (_, width) in _HEADS.items():
            self.setColumnWidth(column, width)

    def chosen(self) -> list[BatchItem]:
        """Selected items, from top to bottom."""
        ranges = self.selectionModel().selection()  # far fewer than there are selected rows
        parts = [ranges.at(at) for at in range(ranges.count())]
        rows = sorted({row for part in parts for row in range(part.top(), part.bottom() + 1)})
        return [self._model.item(row) for row in rows]
