"""What is shown while nothing is open: the ways to begin, and what was open lately."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QMimeData, QSize, Qt, Signal
from PySide6.QtGui import (
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vipose.app.core.demo import demo_clip
from vipose.app.core.settings import Settings, SettingsStore
from vipose.app.widgets.big_button import BigButton
from vipose.app.widgets.icons import app_icon, icon, icon_pixmap
from vipose.app.widgets.theme import GAP, SPACING, heading_font, set_role
from vipose.runtime.media.camera import CameraInfo

__all__ = ["Welcome", "dropped_sources"]

_RECENT = 6
_COLUMN = 920
_NO_CAMERA = "None is found. Plug one in, it appears here."


def dropped_sources(data: QMimeData) -> list[str]:
    """The files, folders and addresses among what is dragged, as texts that the runtime takes for sources."""
    urls = [url.toLocalFile() if url.isLocalFile() else url.toString() for url in data.urls()]
    return [text for text in urls if text]


class Welcome(QWidget):
    """The first-run screen, and the page of whoever has nothing open.

    Args:
        store: recent sources come from it.

    Signals:
        demo_asked: the demo clip shall run.
        open_asked: a file dialog shall open.
        camera_asked: a :class:`CameraInfo`, or None where no camera is known.
        recent_asked: a source of ``Settings.recent``, as text.
        dropped: list of texts, what was dropped here.
    """

    problem = Signal(object)
    demo_asked = Signal()
    open_asked = Signal()
    camera_asked = Signal(object)
    recent_asked = Signal(str)
    dropped = Signal(object)
    _settings_changed = Signal()

    def __init__(self, store: SettingsStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self._cameras: tuple[CameraInfo, ...] = ()
        self._recent: tuple[str, ...] | None = None
        self.setAcceptDrops(True)
        self._build()
        self._show_recent()
        self._settings_changed.connect(self._show_recent)  # queued: the store may be changed by any thread
        self._unsubscribe = store.subscribe(self._on_settings)

    def set_cameras(self, cameras: Sequence[CameraInfo]) -> None:
        """Offer these cameras; one is taken at once, several are asked for by a menu."""
        self._cameras = tuple(cameras)
        names = [camera.name for camera in self._cameras]
        text = _NO_CAMERA if not names else names[0] if len(names) == 1 else f"{len(names)} cameras: {', '.join(names)}"
        self.camera_button.set_hint(text)

    def busy(self) -> str:
        """Nothing runs here."""
        return ""

    def close_down(self) -> None:
        """Stop watching the settings; safe twice."""
        self._unsubscribe()
        self._unsubscribe = _nothing

    def _build(self) -> None:
        column = QWidget()
        column.setMaximumWidth(_COLUMN)
        column.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        rows = QVBoxLayout(column)
        rows.setContentsMargins(24, 20, 24, 20)
        rows.setSpacing(0)
        rows.addStretch(3)
        rows.addLayout(self._head())
        rows.addSpacing(GAP + 4)
        rows.addWidget(self._ways())
        rows.addSpacing(GAP)
        rows.addLayout(self._promise())
        rows.addSpacing(GAP)
        rows.addWidget(self._recent_part())
        rows.addStretch(4)

        middle = QWidget()
        across = QHBoxLayout(middle)
        across.setContentsMargins(0, 0, 0, 0)
        across.addStretch(1)
        across.addWidget(column, 1000)
        across.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(middle)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scroll)

    def _head(self) -> QHBoxLayout:
        picture = QLabel()
        picture.setPixmap(app_icon().pixmap(QSize(76, 76), self.devicePixelRatioF()))
        name = QLabel("vipose")
        name.setFont(heading_font(2.2))
        sentence = QLabel("See how people move: skeletons in any video or camera, at once, with the numbers behind them.")
        sentence.setWordWrap(True)
        words = QVBoxLayout()
        words.setSpacing(4)
        words.addStretch(1)
        words.addWidget(name)
        words.addWidget(sentence)
        words.addStretch(1)
        head = QHBoxLayout()
        head.setSpacing(GAP)
        head.addWidget(picture)
        head.addLayout(words, 1)
        return head

    def _ways(self) -> QWidget:
        self.demo_button = BigButton("play", "Try the demo clip", "Two people and a somersault, in eight seconds.", first=True)
        self.open_button = BigButton("open", "Open a video…", "A file of yours, or a folder of pictures.")
        self.camera_button = BigButton("camera", "Use a camera", _NO_CAMERA)
        self.demo_button.clicked.connect(self.demo_asked)
        self.open_button.clicked.connect(self.open_asked)
        self.camera_button.clicked.connect(self._ask_camera)
        if demo_clip() is None:
            self.demo_button.setEnabled(False)
            self.demo_button.set_hint("This installation has no demo clip.")
        self._target = _DropTarget()
        buttons = QHBoxLayout()
        buttons.setSpacing(SPACING)
        for button in (self.demo_button, self.open_button, self.camera_button):
            buttons.addWidget(button, 1)
        rows = QVBoxLayout(self._target)
        rows.setContentsMargins(12, 12, 12, 10)
        rows.setSpacing(SPACING)
        rows.addLayout(buttons)
        rows.addWidget(self._target.words, 0, Qt.AlignmentFlag.AlignHCenter)
        return self._target

    def _promise(self) -> QHBoxLayout:
        self._promise_text = QLabel("All of it runs on this machine. Nothing is uploaded.")
        set_role(self._promise_text, "hint")
        line = QHBoxLayout()
        line.setSpacing(SPACING)
        line.addStretch(1)
        line.addWidget(_Mark("check"))
        line.addWidget(self._promise_text)
        line.addStretch(1)
        return line

    def _recent_part(self) -> QWidget:
        self._recent_box = QWidget()
        box = QVBoxLayout(self._recent_box)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(SPACING // 2)
        title = QLabel("Opened lately")
        set_role(title, "title")
        box.addWidget(title)
        self._recent_grid = QGridLayout()
        self._recent_grid.setSpacing(2)
        self._recent_grid.setColumnStretch(0, 1)
        self._recent_grid.setColumnStretch(1, 1)
        box.addLayout(self._recent_grid)
        return self._recent_box

    def _on_settings(self, _settings: Settings) -> None:
        self._settings_changed.emit()

    def _show_recent(self) -> None:
        recent = self._store.current.recent[:_RECENT]
        if recent == self._recent:
            return
        self._recent = recent
        while (old := self._recent_grid.takeAt(0)) is not None:
            widget = old.widget()
            if widget is not None:
                widget.deleteLater()
        for place, text in enumerate(recent):
            button = _RecentButton(text)
            button.clicked.connect(lambda _checked=False, chosen=text: self.recent_asked.emit(chosen))
            self._recent_grid.addWidget(button, place // 2, place % 2)
        self._recent_box.setVisible(bool(recent))

    def _ask_camera(self) -> None:
        if len(self._cameras) < 2:
            self.camera_asked.emit(self._cameras[0] if self._cameras else None)
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for camera in self._cameras:
            menu.addAction(icon("camera"), camera.name, lambda chosen=camera: self.camera_asked.emit(chosen))
        menu.popup(self.camera_button.mapToGlobal(self.camera_button.rect().bottomLeft()))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        (self.demo_button if self.demo_button.isEnabled() else self.open_button).setFocus(Qt.FocusReason.OtherFocusReason)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_sources(event.mimeData()):
            self._target.light(True)
            event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._target.light(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self._target.light(False)
        texts = dropped_sources(event.mimeData())
        if texts:
            event.acceptProposedAction()
            self.dropped.emit(texts)


def _nothing() -> None:
    return None


class _Mark(QLabel):
    """A small icon in the colour of hints, whatever the theme."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.setFixedSize(16, 16)

    def paintEvent(self, event: QPaintEvent) -> None:
        colour = self.palette().color(QPalette.ColorRole.PlaceholderText)
        QPainter(self).drawPixmap(0, 0, icon_pixmap(self._name, 16, colour, self.devicePixelRatioF()))


class _RecentButton(QToolButton):
    """A source that was open; a long name is cut, the tip has all of it."""

    def __init__(self, source: str) -> None:
        super().__init__(autoRaise=True)
        kind = "camera" if source.startswith("camera:") else "url" if "://" in source else "file"
        self._name = source if kind != "file" else Path(source).name or source
        self.setIcon(icon(kind))
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setToolTip(source)
        self.setAccessibleName(f"Open {source}")
        self.setText(self._name)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def resizeEvent(self, event: QResizeEvent) -> None:
        room = event.size().width() - self.iconSize().width() - 24
        self.setText(self.fontMetrics().elidedText(self._name, Qt.TextElideMode.ElideMiddle, max(room, 40)))
        super().resizeEvent(event)


class _DropTarget(QFrame):
    """A dashed frame around the ways to begin, lit while something is dragged over the page."""

    def __init__(self) -> None:
        super().__init__()
        self._lit = False
        self.words = QLabel()
        set_role(self.words, "hint")
        self.light(False)

    @property
    def lit(self) -> bool:
        """Whether something is being dragged over the page."""
        return self._lit

    def light(self, lit: bool) -> None:
        """Show whether what is dragged would be taken."""
        self._lit = lit
        self.words.setText("Let go to open it" if lit else "or drop videos, folders or pictures here")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        role = QPalette.ColorRole
        edge = self.palette().color(role.Highlight if self._lit else role.PlaceholderText)
        edge.setAlpha(255 if self._lit else 110)
        pen = QPen(edge, 2 if self._lit else 1, Qt.PenStyle.CustomDashLine)
        pen.setDashPattern([4, 4])
        painter.setPen(pen)
        ground = self.palette().color(role.Highlight)
        ground.setAlpha(34 if self._lit else 0)
        painter.setBrush(ground)
        painter.drawRoundedRect(self.rect().adjusted(1, 1, -1, -1), 14, 14)
