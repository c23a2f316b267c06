"""``--show``: a window for annotated frames.

``opencv-python-headless`` has no window. Where the installed OpenCV has one it is used, else tkinter, which comes with
Python. Both want to be fed from the main thread.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import DeviceError

__all__ = ["Window", "open_window"]

_TITLE = "vipose"
_KEYS = (27, ord("q"))


class Window(Protocol):
    """A window; ``show`` returns False once the user has closed it or pressed Esc or q."""

    def show(self, image: npt.NDArray[np.uint8]) -> bool:
        """Show [H, W, 3] uint8 RGB."""

    def poll(self) -> bool:
        """Let the window react to the user between frames; False as for ``show``."""

    def close(self) -> None:
        """Take the window away."""


def open_window() -> Window:
    """Open a window; raises DeviceError with what to do where none can be opened."""
    if _opencv_has_windows():
        return _OpenCvWindow()
    try:
        import tkinter
    except ImportError as error:
        raise DeviceError("--show finds no window system: Python lacks tkinter (Debian: apt install python3-tk)") from error
    try:
        return _TkWindow()
    except tkinter.TclError as error:
        raise DeviceError(f"--show can open no window ({error}); run it in a desktop session or leave --show out") from error


def _opencv_has_windows() -> bool:
    line = next((row for row in cv2.getBuildInformation().splitlines() if row.strip().startswith("GUI:")), "")
    if not line or line.split(":", 1)[1].strip() == "NONE":
        return False
    try:
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)
    except cv2.error:
        return False
    return True


class _OpenCvWindow:
    def show(self, image: npt.NDArray[np.uint8]) -> bool:
        cv2.imshow(_TITLE, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        return self.poll()

    def poll(self) -> bool:
        key = cv2.waitKey(1) & 0xFF
        return key not in _KEYS and cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        cv2.destroyWindow(_TITLE)


class _TkWindow:
    """A label that shows binary PPM pictures: tkinter reads them without any other package."""

    def __init__(self) -> None:
        import tkinter

        self._tk = tkinter
        self._root = tkinter.Tk()
        self._root.title(_TITLE)
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._open = True
        self._root.protocol("WM_DELETE_WINDOW", self._leave)
        self._root.bind("<Escape>", self._leave)
        self._root.bind("q", self._leave)

    def _leave(self, _event: object = None) -> None:
        self._open = False

    def show(self, image: npt.NDArray[np.uint8]) -> bool:
        self._picture = self._tk.PhotoImage(data=as_ppm(self._fitted(image)), format="PPM")  # kept: Tk holds no reference
        self._label.configure(image=self._picture)
        return self.poll()

    def _fitted(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        height, width = image.shape[:2]
        room = 0.9 * min(self._root.winfo_screenwidth() / width, self._root.winfo_screenheight() / height)
        if room >= 1:
            return image
        size = (max(1, int(width * room)), max(1, int(height * room)))
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    def poll(self) -> bool:
        if self._open:
            self._root.update()
        return self._open

    def close(self) -> None:
        self._root.destroy()


def as_ppm(image: npt.NDArray[np.uint8]) -> bytes:
    """[H, W, 3] uint8 RGB as a binary PPM picture."""
    height, width = image.shape[:2]
    return b"P6 %d %d 255\n" % (width, height) + image.tobytes()
