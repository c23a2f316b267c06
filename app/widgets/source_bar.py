"""Choosing a source: cameras by name, files, folders of pictures, addresses, recent ones and the demo clip."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QMimeData, Qt, QUrl, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from vipose.app.core.addresses import AddressBook, is_address, read_address
from vipose.app.core.cameras import CameraWatch, camera_spec
from vipose.app.core.demo import demo_clip
from vipose.app.core.drop import Drop, pictures_in, sort_out
from vipose.app.core.finding import Answer, Asking
from vipose.app.core.settings import Settings, SettingsStore
from vipose.app.widgets.editor_base import OptionEditor
from vipose.app.widgets.icons import icon
from vipose.app.widgets.option_editors import option_editor
from vipose.app.widgets.source_menu import SourceMenu, camera_there, source_title
from vipose.app.widgets.theme import SPACING, set_role
from vipose.app.widgets.url_dialog import UrlDialog
from vipose.runtime.errors import DeviceError, InputError, ViposeError
from vipose.runtime.media.camera import CameraInfo
from vipose.runtime.media.images import IMAGE_SUFFIXES
from vipose.runtime.media.sources import VIDEO_SUFFIXES, SourceSpec, without_password
from vipose.runtime.types import SourceInfo

__all__ = ["SourceBar", "asked_and_got", "dropped_texts"]

_NOTHING = "Choose a source"
_PICKER_WIDTH = 200
_ICONS = {"camera": "camera", "video": "open", "images": "folder", "stream": "url"}
_EDITORS = (("camera_size", "Resolution", 120), ("camera_fps", "Frame rate", 156))


class SourceBar(QWidget):
    """One row: the source, what a camera is asked for, and what it gave.

    Disks are asked in a thread; only then is something chosen. Sources that come this way are remembered in
    ``store.current.recent``, addresses without their passwords.

    Args:
        store: recent sources, folder of the file dialog, resolution and frame rate for cameras.
        watch: cameras; None for a watch of its own. It is not closed here unless it is its own.
    """

    chosen = Signal(object)
    """:class:`SourceSpec` that is to run now."""
    elsewhere = Signal(object)
    """:class:`Drop` that is no live source: many files, a result file, settings."""
    problem = Signal(object)
    _found = Signal(object)
    _cameras_moved = Signal()
    _store_moved = Signal(object)

    def __init__(self, store: SettingsStore, watch: CameraWatch | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self._own_watch = watch is None
        self._watch = watch or CameraWatch()
        self._spec: SourceSpec | None = None
        self._got: SourceInfo | None = None
        self._book = AddressBook()
        self._asking: Asking[Drop] = Asking(self._found.emit)
        self.menu = SourceMenu(store, self._watch, self)
        self.picker = QPushButton()
        self.editors: dict[str, OptionEditor] = {}
        self._camera_part = QWidget()
        self.got = QLabel()
        self._build()
        self._connect()
        self._show()

    @property
    def spec(self) -> SourceSpec | None:
        """The source that was chosen last, None for none yet."""
        return self._spec

    def set_spec(self, spec: SourceSpec | None) -> None:
        """Show another source that somebody else has chosen."""
        self._spec = self.menu.chosen = spec
        self._got = None
        self._show()

    def set_got(self, info: SourceInfo | None) -> None:
        """Show what the open source really gives; None while it is not open."""
        self._got = info
        self._show_got()

    def open_texts(self, texts: Sequence[str]) -> None:
        """Open what was dropped or named: emits ``chosen``, ``elsewhere`` or ``problem`` when it was looked at."""
        whole = tuple(self._book.whole(text) for text in texts)
        self._asking.ask(lambda: sort_out(whole))

    def open_text(self, text: str) -> None:
        """Open one path or address, as it stands in the recent ones."""
        self.open_texts((text,))

    def forget(self) -> None:
        """Choose nothing that is still being looked at: the user has chosen something else, or nothing, meanwhile."""
        self._asking.forget()

    def open_camera(self, camera: CameraInfo | None = None) -> None:
        """Open a camera; None takes the first one."""
        cameras = self._watch.cameras
        camera = camera or next(iter(cameras), None)
        if camera is None:
            self.problem.emit(DeviceError("no camera was found; plug one in, and check that you may use it"))
            return
        self.forget()
        self._choose(camera_spec(camera, cameras))

    def open_demo(self) -> None:
        """Open the clip that comes with vipose."""
        clip = demo_clip()
        if clip is None:
            self.problem.emit(InputError("the demo clip is not installed; open a video of yours"))
        else:
            self.forget()
            self._choose(SourceSpec(str(clip), "video", clip))

    def ask_for_file(self) -> None:
        """Let the user pick files."""
        dialog = self._dialog("Open a video or picture", QFileDialog.FileMode.ExistingFiles)
        suffixes = " ".join(f"*{suffix}" for suffix in sorted(VIDEO_SUFFIXES | IMAGE_SUFFIXES))
        dialog.setNameFilters([f"Videos and pictures ({suffixes})", "Results (*.jsonl *.json)", "All files (*)"])
        dialog.filesSelected.connect(self._picked)
        dialog.open()

    def ask_for_folder(self) -> None:
        """Let the user pick a folder of pictures."""
        dialog = self._dialog("Open a folder of pictures", QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(self._picked_folder)
        dialog.open()

    def ask_for_address(self) -> None:
        """Let the user type an address."""
        written = next((text for text in self._store.current.recent if is_address(text)), "")
        dialog = UrlDialog(self._book.last or written, self.window())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.address_given.connect(self._open_address)
        dialog.open()

    def busy(self) -> str:
        """Nothing runs here that closing would harm."""
        return ""

    def close_down(self) -> None:
        """End all threads, within two seconds; safe to call twice."""
        self._unsubscribe_cameras()
        self._unsubscribe_store()
        self._asking.close(0.5)
        self.menu.close_down()
        for editor in self.editors.values():
            editor.close_down()
        if self._own_watch:
            self._watch.close()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the name of the source into its button."""
        super().resizeEvent(event)
        self._show_picker()

    # How it is built

    def _build(self) -> None:
        self.picker.setMenu(self.menu)
        self.picker.setMinimumWidth(_PICKER_WIDTH)
        self.picker.setMaximumWidth(2 * _PICKER_WIDTH)
        self.picker.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.picker.setStyleSheet("text-align: left; padding: 4px 8px;")
        asked = QHBoxLayout(self._camera_part)
        asked.setContentsMargins(0, 0, 0, 0)
        asked.setSpacing(SPACING)
        for name, title, width in _EDITORS:
            editor = self.editors[name] = option_editor(name)
            editor.setFixedWidth(width)
            label = QLabel(title)
            label.setToolTip(editor.toolTip())
            label.setBuddy(editor)
            asked.addWidget(label)
            asked.addWidget(editor)
        set_role(self.got, "hint")
        self.got.setAccessibleName("What the source gives")
        self.got.setWordWrap(True)  # in a narrow window it takes two lines
        self.got.setMinimumWidth(80)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACING * 2)
        row.addWidget(self.picker, 1)
        row.addWidget(self._camera_part)
        row.addWidget(self.got, 2)

    def _connect(self) -> None:
        self.menu.camera_chosen.connect(self.open_camera)
        self.menu.file_asked.connect(self.ask_for_file)
        self.menu.folder_asked.connect(self.ask_for_folder)
        self.menu.address_asked.connect(self.ask_for_address)
        self.menu.demo_asked.connect(self.open_demo)
        self.menu.recent_chosen.connect(self.open_text)
        for name, editor in self.editors.items():
            editor.changed.connect(partial(self._set_option, name))
        self._found.connect(self._take)
        self._cameras_moved.connect(self._follow_cameras)
        self._store_moved.connect(self._follow)
        self._unsubscribe_cameras = self._watch.subscribe(self._cameras_moved.emit)
        self._unsubscribe_store = self._store.subscribe(self._store_moved.emit)
        self._follow(self._store.current)

    def _dialog(self, title: str, mode: QFileDialog.FileMode) -> QFileDialog:
        dialog = QFileDialog(self.window(), title, self._store.current.folder)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(mode)
        return dialog

    # What comes in

    def _picked(self, paths: list[str]) -> None:
        self._store.change(folder=str(Path(paths[0]).parent))
        self.open_texts(paths)

    def _picked_folder(self, folder: str) -> None:
        self._store.change(folder=str(Path(folder).parent))
        self._asking.ask(lambda: Drop("live", (folder,), spec=pictures_in(folder)))

    def _open_address(self, text: str) -> None:
        try:
            spec = read_address(text)
        except ViposeError as error:
            self.problem.emit(error)
        else:
            self.forget()
            self._choose(spec, spec.text)

    def _take(self, answer: Answer[Drop]) -> None:
        if answer.error is not None:
            self.problem.emit(answer.error)
        elif answer.value is not None and answer.value.spec is not None:
            spec = answer.value.spec
            self._choose(spec, "" if spec.kind == "camera" else spec.text)
        elif answer.value is not None:
            self.elsewhere.emit(answer.value)

    def _choose(self, spec: SourceSpec, remember: str = "") -> None:
        """Take a source, write it down where it is worth it, and tell."""
        if remember:
            written = self._book.remember(remember) if spec.kind == "stream" else str(Path(remember).absolute())
            self._store.change(recent=self._store.current.recent_with(written))
        self.set_spec(spec)
        self.chosen.emit(spec)

    def _set_option(self, name: str, value: object) -> None:
        self._store.change_options(**{name: value})

    def _follow(self, settings: Settings) -> None:
        for name, editor in self.editors.items():
            value = getattr(settings.options, name)
            if editor.value() != value:
                editor.set_value(value)
        self._show_got()

    def _follow_cameras(self) -> None:
        self.menu.follow_cameras()
        self._show_picker()

    # What is shown

    def _show(self) -> None:
        self._camera_part.setVisible(self._spec is not None and self._spec.kind == "camera")
        self._show_picker()
        self._show_got()

    def _show_picker(self) -> None:
        spec = self._spec
        name = _NOTHING if spec is None else without_password(source_title(spec))
        away = spec is not None and spec.kind == "camera" and self._watch.looked
        gone = away and spec is not None and not camera_there(spec, self._watch.cameras)
        title = f"{name} (unplugged)" if gone else name
        room = self.picker.width() - 64  # icon, arrow and margins
        fitted = self.picker.fontMetrics().elidedText(title, Qt.TextElideMode.ElideMiddle, max(room, 80))
        self.picker.setText(fitted.replace("&", "&&"))
        self.picker.setIcon(icon("warning" if gone else "open" if spec is None else _ICONS[spec.kind]))
        self.picker.setAccessibleName(f"Source: {title}")
        about = "" if spec is None else f"\n{without_password(spec.text)}"
        self.picker.setToolTip(f"Camera, file, pictures or address{about}")

    def _show_got(self) -> None:
        camera = self._spec is not None and self._spec.kind == "camera"
        options = self._store.current.options
        text = asked_and_got(options.camera_size, options.camera_fps, self._got) if camera else _described(self._got)
        self.got.setText(text)
        self.got.setToolTip(text)


def asked_and_got(size: tuple[int, int] | None, fps: float | None, got: SourceInfo | None) -> str:
    """What a camera was asked for and what it gives, in a few words; "" while it is not open."""
    if got is None:
        return ""
    wanted = " ".join(part for part in (_size(size), "" if fps is None else f"at {_rate(fps)}") if part)
    return f"asked {wanted}, got {_described(got)}" if wanted else f"got {_described(got)}"


def _described(got: SourceInfo | None) -> str:
    if got is None:
        return ""
    return _size(got.size) + ("" if got.fps is None else f" at {_rate(got.fps)}")


def _size(size: tuple[int, int] | None) -> str:
    return "" if size is None else f"{size[0]}x{size[1]}"


def _rate(fps: float) -> str:
    return f"{round(fps, 2):g}"


def dropped_texts(data: QMimeData) -> tuple[str, ...]:
    """What was dropped as paths and addresses, for :meth:`SourceBar.open_texts`; empty where it is nothing of the kind."""
    if data.hasUrls():
        return tuple(_text_of(url) for url in data.urls())
    text = data.text().strip() if data.hasText() else ""
    return (text,) if is_address(text) and "\n" not in text else ()


def _text_of(url: QUrl) -> str:
    return url.toLocalFile() if url.isLocalFile() else url.toString()
