"""The menu of sources: cameras, what can be opened, and what was opened before."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QWidget

from vipose.app.core.addresses import is_address
from vipose.app.core.cameras import CameraWatch, camera_spec, camera_titles
from vipose.app.core.finding import Answer, Asking
from vipose.app.core.settings import SettingsStore
from vipose.app.widgets.icons import icon
from vipose.runtime.media.camera import CameraInfo
from vipose.runtime.media.sources import SourceSpec

__all__ = ["SourceMenu", "camera_there", "source_title"]

_MOST_RECENT = 10
_LONGEST = 60


class SourceMenu(QMenu):
    """Built anew whenever it opens. Recent files that are missing are greyed out: that is found out in a thread.

    Args:
        store: recent sources come from it.
        watch: cameras come from it.
        missing: tells texts that name files which are not there; called in a thread.
    """

    camera_chosen = Signal(object)
    """:class:`CameraInfo`."""
    file_asked = Signal()
    folder_asked = Signal()
    address_asked = Signal()
    demo_asked = Signal()
    recent_chosen = Signal(str)
    _looked = Signal(object)

    def __init__(
        self,
        store: SettingsStore,
        watch: CameraWatch,
        parent: QWidget | None = None,
        *,
        missing: Callable[[tuple[str, ...]], frozenset[str]] | None = None,
    ) -> None:
        super().__init__(parent)
        self._store, self._watch = store, watch
        self._missing = missing or missing_files
        self._recent: dict[str, QAction] = {}
        self._gone: frozenset[str] = frozenset()
        self.chosen: SourceSpec | None = None
        self._asking: Asking[frozenset[str]] = Asking(self._looked.emit)
        self._looked.connect(self._grey_out)
        self.setToolTipsVisible(True)
        self.aboutToShow.connect(self.rebuild)

    def close_down(self) -> None:
        """End what runs in the background; safe to call twice."""
        self._asking.close()

    def rebuild(self) -> None:
        """Fill the menu with what there is now."""
        self.clear()
        self._recent = {}
        self._add_cameras()
        self.addSeparator()
        self._entry("Open &file…", "open", self.file_asked)
        self._entry("Open folder of &pictures…", "folder", self.folder_asked)
        self._entry("&Address (URL)…", "url", self.address_asked)
        self._entry("&Demo clip", "play", self.demo_asked)
        self._add_recent()

    def follow_cameras(self) -> None:
        """Cameras came or went: an open menu shows it at once."""
        if self.isVisible():
            self.rebuild()

    def _entry(self, text: str, icon_name: str, signal: object) -> QAction:
        action = self.addAction(icon(icon_name), text)
        action.triggered.connect(signal)
        return action

    def _add_cameras(self) -> None:
        cameras = self._watch.cameras
        self.addSection("Cameras")
        chosen = self.chosen if self.chosen is not None and self.chosen.kind == "camera" else None
        for camera, title in zip(cameras, camera_titles(cameras), strict=True):
            action = self.addAction(icon("camera"), _escaped(title))
            action.setToolTip(camera.path or f"camera:{camera.index}")
            action.setCheckable(True)
            action.setChecked(chosen is not None and chosen.device == camera_spec(camera, cameras).device)
            action.triggered.connect(lambda _on=False, camera=camera: self.camera_chosen.emit(camera))
        if chosen is not None and not camera_there(chosen, cameras):
            self._note(f"{_escaped(chosen.text)} (unplugged)", "It is used again as soon as it is back")
        elif not cameras:
            self._note(*self._no_camera())

    def _no_camera(self) -> tuple[str, str]:
        if not self._watch.looked:
            return "Looking for cameras…", "This takes a moment"
        if self._watch.problem:
            return "Cameras cannot be listed", self._watch.problem
        return "No camera found", "Plug one in; it appears here. On Linux you may have to be in the group 'video'."

    def _note(self, text: str, hint: str) -> None:
        action = self.addAction(icon("camera"), text)
        action.setToolTip(hint)
        action.setEnabled(False)

    def _add_recent(self) -> None:
        recent = self._store.current.recent[:_MOST_RECENT]
        if not recent:
            return
        self.addSection("Recent")
        for text in recent:
            action = self.addAction(icon("url" if is_address(text) else "open"), _escaped(short_title(text)))
            action.setToolTip(text)
            action.triggered.connect(lambda _on=False, text=text: self.recent_chosen.emit(text))
            self._recent[text] = action
        clear = self.addAction("&Clear the recent ones")
        clear.triggered.connect(lambda: self._store.change(recent=()))
        self._show_gone()
        self._asking.ask(lambda: self._missing(recent))

    def _grey_out(self, answer: Answer[frozenset[str]]) -> None:
        if answer.value is not None:
            self._gone = answer.value
            self._show_gone()

    def _show_gone(self) -> None:
        for text, action in self._recent.items():
            gone = text in self._gone
            action.setEnabled(not gone)
            action.setToolTip(f"{text} is not there any more" if gone else text)


def missing_files(texts: tuple[str, ...]) -> frozenset[str]:
    """Those of the texts that name files or folders which are not there. It asks the disk: not for the GUI thread."""
    return frozenset(text for text in texts if not is_address(text) and not os.path.exists(text))


def camera_there(spec: SourceSpec, cameras: tuple[CameraInfo, ...]) -> bool:
    """Whether the camera of a source is among these."""
    if isinstance(spec.device, str):
        return any(camera.name.casefold() == spec.device.casefold() for camera in cameras)
    return any(camera.index == spec.device for camera in cameras)


def source_title(spec: SourceSpec) -> str:
    """A source in few words: name of a file or camera, address without its password."""
    return spec.path.name or str(spec.path) if spec.path is not None else spec.text


def short_title(text: str) -> str:
    """A recent source in a menu: the name and the folder it lies in; an address as it is."""
    if is_address(text):
        title = text
    else:
        path = Path(text)
        title = f"{path.name}  —  {path.parent.name}" if path.parent.name else path.name or text
    return title if len(title) <= _LONGEST else f"{title[: _LONGEST // 2]}…{title[-_LONGEST // 2 :]}"


def _escaped(text: str) -> str:
    return text.replace("&", "&&")
