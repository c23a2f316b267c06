"""Icons as small drawings in the colour of the palette's texts: they follow the theme, dim when disabled, and are sharp at any size."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from PySide6.QtCore import QByteArray, QRect, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QIconEngine, QImage, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer

from vipose.app.widgets.drawings import DRAWINGS

__all__ = ["ICON_NAMES", "app_icon", "icon", "icon_pixmap"]

ICON_NAMES: tuple[str, ...] = tuple(DRAWINGS)

_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="{colour}" stroke-width="1.8" '
    'stroke-linecap="round" stroke-linejoin="round" color="{colour}">{drawing}</svg>'
)


def icon(name: str) -> QIcon:
    """The icon of a name in the palette's colours, those of the moment when it is painted; GUI thread only.

    Raises:
        KeyError: there is no icon of that name; :data:`ICON_NAMES` lists them.
    """
    if name not in DRAWINGS:
        raise KeyError(f"no icon '{name}'; there are {', '.join(ICON_NAMES)}")
    return QIcon(_Engine(name))


def icon_pixmap(name: str, size: int, colour: QColor, ratio: float = 1.0) -> QPixmap:
    """An icon in a colour of one's own, for labels.

    Args:
        name: one of :data:`ICON_NAMES`.
        size: width and height in device-independent pixels.
        colour: of its lines.
        ratio: pixels of the screen to one of these.

    Raises:
        KeyError: there is no icon of that name.
    """
    pixmap = QPixmap.fromImage(_drawn(name, round(size * ratio), colour.name(QColor.NameFormat.HexRgb)))
    pixmap.setDevicePixelRatio(ratio)
    return pixmap


def app_icon() -> QIcon:
    """The icon of the application itself, of windows and of the task bar; GUI thread only."""
    try:
        path = resources.files("vipose.assets") / "icon.svg"
    except ModuleNotFoundError:
        return icon("skeleton")
    found = QIcon(str(path))
    return found if not found.isNull() else icon("skeleton")


class _Engine(QIconEngine):
    """Paints a drawing when asked, so that nothing has to be told of another theme."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        ratio = painter.device().devicePixelRatioF()
        pixmap = self.pixmap((QSizeF(rect.size()) * ratio).toSize(), mode, state)
        pixmap.setDevicePixelRatio(ratio)
        painter.drawPixmap(rect, pixmap)

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        # In pixels of the screen; QIcon tells the pixmap their ratio.
        side = max(min(size.width(), size.height()), 1)
        image = _drawn(self._name, side, _colour(mode).name(QColor.NameFormat.HexRgb))
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.drawImage((size.width() - side) // 2, (size.height() - side) // 2, image)
        painter.end()
        return pixmap

    def clone(self) -> QIconEngine:
        return _Engine(self._name)

    def key(self) -> str:
        return f"vipose-{self._name}"

    def isNull(self) -> bool:
        return False


def _colour(mode: QIcon.Mode) -> QColor:
    palette = QGuiApplication.palette()
    if mode == QIcon.Mode.Disabled:
        return palette.color(QPalette.ColorGroup.Disabled, QPalette.ColorRole.ButtonText)
    if mode == QIcon.Mode.Selected:
        return palette.color(QPalette.ColorRole.HighlightedText)
    return palette.color(QPalette.ColorRole.ButtonText)


@lru_cache(maxsize=512)
def _drawn(name: str, side: int, colour: str) -> QImage:
    """A square picture of an icon, ``side`` pixels of the screen wide."""
    image = QImage(side, side, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    svg = _SVG.format(colour=colour, drawing=DRAWINGS[name])
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(0, 0, side, side))
    painter.end()
    return image
