"""Open the desktop application.

SOURCE is opened at once: a video file, a folder of pictures, camera:0 or the name of a camera, an RTSP or HTTP address, or
'demo' for the clip that comes with vipose. Without one the first screen asks.

  vipose app
  vipose app holiday.mov
  vipose app camera:0
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
from collections.abc import Mapping

from vipose.runtime.errors import DeviceError

__all__ = ["LIBRARIES", "add_arguments", "check_screen", "run"]

LIBRARIES = (
    "libegl1 libgl1 libfontconfig1 libdbus-1-3 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 "
    "libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xkb1"
)
"""What Qt needs of a Debian or Ubuntu; most desktops have all of it but libxcb-cursor0."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A source, nothing else: the application keeps its own settings."""
    parser.usage = "vipose app [SOURCE]"
    parser.add_argument("source", nargs="?", default="", metavar="SOURCE", help="what to open at once")


def run(args: argparse.Namespace) -> int:
    """Show the window until it is closed; raises DeviceError where there is no screen or Qt lacks a library."""
    try:
        check_screen(os.environ)
        from vipose.app.application import run_application
    except (ImportError, OSError) as error:
        raise DeviceError(
            f"the window system cannot be loaded ({error}); on Debian and Ubuntu: sudo apt install {LIBRARIES}"
        ) from error
    return run_application(args.source)


def check_screen(environment: Mapping[str, str]) -> None:
    """Find out what Qt would abort for, with a core dump instead of a line.

    Raises:
        DeviceError: there is no screen.
        OSError: the plugin for X11 lacks a library.
    """
    if not sys.platform.startswith("linux") or environment.get("QT_QPA_PLATFORM"):
        return
    if environment.get("WAYLAND_DISPLAY"):
        return
    if not environment.get("DISPLAY"):
        raise DeviceError("there is no screen (DISPLAY is not set); start it in a desktop session, or use 'vipose run' here")
    from PySide6.QtCore import QLibraryInfo

    plugins = QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath)
    ctypes.CDLL(os.path.join(plugins, "platforms", "libqxcb.so"))
