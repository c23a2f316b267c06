"""A large button with a picture, a title and a line that says what it does."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRect, QSize, Qt
from PySide6.QtGui import QColor, QEnterEvent, QKeyEvent, QPainter, QPaintEvent, QPalette, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from vipose.app.widgets.icons import icon_pixmap
from vipose.app.widgets.theme import heading_font

__all__ = ["BigButton"]

_ICON, _PADDING, _RADIUS = 36, 18, 10


class BigButton(QAbstractButton):
    """Acts as a push button; Enter presses it too.

    Args:
        name: of its icon.
        title: its text.
        hint: one or two lines below.
        first: filled with the colour of selections: what most will want.
    """

    def __init__(self, name: str, title: str, hint: str, *, first: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._hint, self._first = name, "", first
        self.setText(title)
        self.set_hint(hint)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def hint(self) -> str:
        """The line below the title."""
        return self._hint

    def set_hint(self, hint: str) -> None:
        """Change the line below the title."""
        self._hint = hint
        self.setToolTip(hint)
        self.setAccessibleDescription(hint)
        self.update()

    def sizeHint(self) -> QSize:
        title, line = heading_font(1.15), self.fontMetrics().height()
        self.ensurePolished()
        height = 2 * _PADDING + _ICON + 10 + round(title.pointSizeF() * 1.9) + 2 * line + 4
        return QSize(260, height)

    def minimumSizeHint(self) -> QSize:
        return QSize(190, self.sizeHint().height())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.click()
        else:
            super().keyPressEvent(event)

    def enterEvent(self, event: QEnterEvent) -> None:
        self.update()
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self.update()
        super().leaveEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground, edge, title, words = self._colours()
        palette = self.palette()
        if self.hasFocus():
            painter.setPen(QPen(palette.color(QPalette.ColorRole.Highlight), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(self.rect().adjusted(1, 1, -1, -1), _RADIUS + 3, _RADIUS + 3)
        card = self.rect().adjusted(4, 4, -4, -4)
        painter.setPen(QPen(edge, 1))
        painter.setBrush(ground)
        painter.drawRoundedRect(card, _RADIUS, _RADIUS)
        inside = card.adjusted(_PADDING - 4, _PADDING - 4, 4 - _PADDING, 4 - _PADDING)
        painter.drawPixmap(inside.topLeft(), icon_pixmap(self._name, _ICON, title, self.devicePixelRatioF()))
        painter.setPen(title)
        painter.setFont(heading_font(1.15))
        below = QRect(inside.left(), inside.top() + _ICON + 10, inside.width(), painter.fontMetrics().height())
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextHideMnemonic, self.text())
        painter.setPen(words)
        painter.setFont(self.font())
        rest = QRect(inside.left(), below.bottom() + 5, inside.width(), inside.bottom() - below.bottom())
        painter.drawText(rest, Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap, self._hint)

    def _colours(self) -> tuple[QColor, QColor, QColor, QColor]:
        """Ground, edge, title and words in the present state."""
        palette, role = self.palette(), QPalette.ColorRole
        lit, down = self.underMouse() and self.isEnabled(), self.isDown()
        if self._first and self.isEnabled():
            ground = palette.color(role.Highlight)
            ground = ground.darker(118) if down else ground.darker(107) if lit else ground
            white = palette.color(role.HighlightedText)
            return ground, ground.darker(115), white, white
        ground = palette.color(role.AlternateBase) if down else palette.color(role.Button) if lit else palette.color(role.Base)
        edge = palette.color(role.Highlight) if lit else palette.color(role.Mid)
        return ground, edge, palette.color(role.ButtonText), palette.color(role.PlaceholderText)
