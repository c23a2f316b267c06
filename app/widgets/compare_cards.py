"""What a comparison says below its pictures: the costs of each mode, and between them how the two relate."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from vipose.app.core.compare_state import SideStatus
from vipose.app.core.compare_words import AGREEMENT_TIP, cost_tiles, share, verdict
from vipose.app.core.costs import Agreed, CompareFigures, Costs
from vipose.app.core.figures import number
from vipose.app.widgets.figure_tiles import FigureTiles, Tile
from vipose.app.widgets.theme import MARGIN, SPACING, number_font, set_role

__all__ = ["CostBars", "CostCard", "VerdictCard"]

_COLUMNS = 4
_BAR = 10
_VERDICT_WIDTH = 248


class CostCard(QFrame):
    """The figures of one mode.

    Args:
        name: what the side is called, for those who hear the screen.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "card")
        self.setAccessibleName(f"Costs, {name}")
        self.rows = FigureTiles(self), FigureTiles(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(SPACING)
        for row, what in zip(self.rows, ("Times", "Key frames and model"), strict=True):
            row.setAccessibleName(f"{what}, {name}")
            row.set_columns(_COLUMNS)
            column.addWidget(row)
        column.addStretch(1)
        self.show_costs(Costs(), SideStatus())

    def show_costs(self, costs: Costs, side: SideStatus) -> None:
        """Show these figures."""
        tiles = tuple(Tile(tile.caption, tile.value, tile.more, tile.tip) for tile in cost_tiles(costs, side))
        self.rows[0].set_tiles(tiles[:_COLUMNS])
        self.rows[1].set_tiles(tiles[_COLUMNS:])

    def text_of(self, caption: str) -> str:
        """The value of one figure, as it is shown."""
        return next(tile.value for row in self.rows for tile in row.tiles if tile.caption == caption)


class CostBars(QWidget):
    """Two bars, left above right, as long as the mean time of a frame."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: tuple[float, float] = (0.0, 0.0)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Mean time of a frame: the left mode above, the right one below")
        self.setAccessibleName("Mean time of a frame")

    @property
    def shares(self) -> tuple[float, float]:
        """How long the bars are, 0..1."""
        longest = max(self._values)
        return (self._values[0] / longest, self._values[1] / longest) if longest > 0 else (0.0, 0.0)

    def set_values(self, left_ms: float | None, right_ms: float | None) -> None:
        """Show these times."""
        values = (left_ms or 0.0, right_ms or 0.0)
        if values != self._values:
            self._values = values
            said = f"left {number(left_ms, 1, ' ms')}, right {number(right_ms, 1, ' ms')}"
            self.setAccessibleDescription(said)
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(160, 2 * _BAR + SPACING // 2)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        groove, full = (self.palette().color(role) for role in (QPalette.ColorRole.Mid, QPalette.ColorRole.Highlight))
        for row, part in enumerate(self.shares):
            place = QRectF(0, row * (_BAR + SPACING // 2), self.width(), _BAR)
            painter.setBrush(groove)
            painter.drawRoundedRect(place, _BAR / 2, _BAR / 2)
            if part > 0:
                painter.setBrush(full)
                painter.drawRoundedRect(QRectF(0, place.y(), max(part * self.width(), _BAR), _BAR), _BAR / 2, _BAR / 2)


class VerdictCard(QFrame):
    """How the two modes relate: ratio of their times, and whether they find the same people in the same poses."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "card")
        self.setAccessibleName("Right against left")
        self.setFixedWidth(_VERDICT_WIDTH)
        self.words = QLabel(self)
        self.words.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        set_role(self.words, "title")
        self.bars = CostBars(self)
        self._rows: dict[str, QLabel] = {}
        grid = QGridLayout()
        grid.setHorizontalSpacing(SPACING)
        grid.setVerticalSpacing(2)
        for row, (name, caption, tip) in enumerate(_ROWS):
            self._add_row(grid, row, name, caption, tip)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(SPACING)
        column.addWidget(self.words)
        column.addWidget(self.bars)
        column.addLayout(grid)
        column.addStretch(1)
        self.show_figures(CompareFigures(), known=False)

    def text_of(self, name: str) -> str:
        """What stands in a row: ``agreement``, ``both``, ``left`` or ``right``."""
        return self._rows[name].text()

    def show_figures(self, figures: CompareFigures, *, known: bool) -> None:
        """Show these figures.

        Args:
            known: whether both modes are loaded, so that missing agreement means that their joints differ.
        """
        self.words.setText(verdict(figures) or "Right against left")
        self.bars.set_values(figures.left.mean_ms, figures.right.mean_ms)
        agreed = figures.agreed
        differ = known and agreed is None and figures.left.frames > 0
        agreed = agreed or Agreed()
        people = agreed.matched + agreed.only_left + agreed.only_right
        self._rows["agreement"].setText("other joints" if differ else number(agreed.mean_oks, 2))
        for name, count in (("both", agreed.matched), ("left", agreed.only_left), ("right", agreed.only_right)):
            self._rows[name].setText(share(count / people if people else None))

    def _add_row(self, grid: QGridLayout, row: int, name: str, caption: str, tip: str) -> None:
        label, value = QLabel(caption, self), QLabel(self)
        set_role(label, "hint")
        value.setFont(number_font())
        value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        value.setAccessibleName(caption)
        for part in (label, value):
            part.setToolTip(tip)
        grid.addWidget(label, row, 0)
        grid.addWidget(value, row, 1)
        grid.setColumnStretch(0, 1)
        self._rows[name] = value


_FOUND = "Of the people on the frames of the last seconds, found by either mode."
_ROWS = (
    ("agreement", "Agreement (OKS)", AGREEMENT_TIP),
    ("both", "People in both", _FOUND),
    ("left", "Only left", _FOUND),
    ("right", "Only right", _FOUND),
)
