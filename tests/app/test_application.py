"""Starting and ending: the command, faults that nobody foresaw, Ctrl-C, and what Qt needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtGui import QImage

from vipose.app.application import wait_for_threads
from vipose.app.commands.app import check_screen
from vipose.runtime import cli
from vipose.runtime.errors import DeviceError


def run_script(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen", "VIPOSE_SETTINGS": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


PRELUDE = """
    import os, signal, sys, threading
    from PySide6.QtCore import QTimer
    from vipose.app import application
    from vipose.app.window import MainWindow

    class Window(MainWindow):
        def show(self):
            super().show()
            QTimer.singleShot(300, lambda: shown(self))
    application.MainWindow = Window
"""


def test_the_window_opens_shows_the_demo_and_ends_with_its_threads(tmp_path: Path) -> None:
    done = run_script(
        PRELUDE
        + """
    def shown(window):
        def painted(_):
            if window.live._shown is not None and window.live._shown.result.people and not window._closing:
                print("people", len(window.live._shown.result.people))
                window.close()
        window.live.canvas.painted.connect(painted)
    code = application.run_application("demo")
    print("left", [t.name for t in threading.enumerate() if t.name.startswith("vipose")])
    sys.exit(code)
    """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "people" in done.stdout and "left []" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "settings.json").is_file()


@pytest.mark.parametrize("where", ["raise RuntimeError('unforeseen')", "threading.Thread(target=lambda: 1 / 0).start()"])
def test_what_nobody_foresaw_becomes_a_dialog(tmp_path: Path, where: str) -> None:
    done = run_script(
        PRELUDE
        + f"""
    from vipose.app.widgets.problem_dialog import ProblemDialog
    def shown(window):
        def look():
            dialog = window.findChild(ProblemDialog)
            print("dialog", dialog is not None and dialog.problems[0].kind)
            window.close()
        QTimer.singleShot(300, look)
        {where}
    sys.exit(application.run_application())
    """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "dialog internal" in done.stdout, done.stdout + done.stderr
    assert "unforeseen" in done.stderr or "ZeroDivisionError" in done.stderr, "whoever started it in a terminal sees it"


@pytest.mark.skipif(os.name == "nt", reason="signals to oneself are another thing on Windows")
def test_ctrl_c_closes_the_window_in_order(tmp_path: Path) -> None:
    done = run_script(
        PRELUDE
        + """
    def shown(window):
        os.kill(os.getpid(), signal.SIGINT)
    sys.exit(application.run_application())
    """,
        tmp_path,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert signal.getsignal(signal.SIGINT) is not None


def test_without_qt_the_command_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find: Callable[[str], object] = lambda name: None if name == "PySide6" else object()
    monkeypatch.setattr(cli.util, "find_spec", find)
    assert cli.main(["app"]) == 3
    said = capsys.readouterr().err
    assert "PySide6" in said and "pip install 'vipose[app]'" in said and said.count("\n") == 1


def test_without_a_library_of_the_system_the_command_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "vipose.app.application", None)
    assert cli.main(["app"]) == 3
    said = capsys.readouterr().err
    assert "apt install" in said and "libxcb-cursor0" in said and said.count("\n") == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="screens of Linux")
def test_without_a_screen_there_is_a_line_and_no_core_dump() -> None:
    with pytest.raises(DeviceError, match="no screen"):
        check_screen({})
    for fine in ({"QT_QPA_PLATFORM": "offscreen"}, {"WAYLAND_DISPLAY": "wayland-0"}):
        check_screen(fine)


def test_qt_gives_no_reference_to_none_away() -> None:
    """PySide6 6.12 does with every call; before Python 3.12 the process aborts when none is left."""
    image = QImage(8, 8, QImage.Format.Format_RGB32)
    before = sys.getrefcount(None)
    for _ in range(1000):
        image.fill(0)
    assert sys.getrefcount(None) > before - 500


def test_the_end_waits_for_networks_that_are_still_being_loaded() -> None:
    done = threading.Event()
    threading.Thread(target=lambda: done.wait(0.2) or done.set(), name="vipose-loading", daemon=True).start()
    wait_for_threads()
    assert done.is_set()
