"""Rules for tests of the application: no screen, no settings of the user's, and nothing of Qt left behind."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYTEST_QT_API", "pyside6")

LIBRARIES = "apt-get install -y libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0"

if find_spec("PySide6") is None:
    collect_ignore_glob = ["test_*.py"]  # said once, by tests/test_packaging.py
else:
    try:
        from PySide6.QtCore import QCoreApplication, QEvent, QTimer
        from PySide6.QtWidgets import QApplication, QWidget
    except ImportError as error:
        raise pytest.UsageError(f"Qt lacks a library of the system ({error}); on Debian and Ubuntu: {LIBRARIES}") from error


@pytest.fixture(scope="session", autouse=True)
def quick_collections() -> Iterator[None]:
    """What was imported stays: without it every search for leaks would go through all of it again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings are read from and written to a folder of the test's own."""
    folder = tmp_path / "settings"
    monkeypatch.setenv("VIPOSE_SETTINGS", str(folder))
    return folder


def _windows() -> set[int]:
    return {id(widget) for widget in QApplication.topLevelWidgets()} if QApplication.instance() else set()


def _running_timers() -> list[QTimer]:
    return [found for found in gc.get_objects() if type(found) is QTimer and _is_active(found)]


def _is_active(timer: QTimer) -> bool:
    try:
        return timer.isActive()
    except RuntimeError:  # its C++ half is gone already
        return False


def _settle() -> None:
    """Let Qt delete what waits to be deleted."""
    gc.collect()
    for _ in range(3):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        QCoreApplication.processEvents()


@pytest.fixture(autouse=True)
def nothing_of_qt_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every window that a test opens is gone after it, and every timer has stopped."""
    if "qtbot" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("qtbot")  # set up first, hence torn down after this one: widgets must be closed by qtbot
    windows, timers = _windows(), set(map(id, _running_timers()))
    yield
    bot_widgets = getattr(request.node, "qt_widgets", None) or []
    for entry in bot_widgets:
        widget = entry[0]() if isinstance(entry, tuple) else entry
        if widget is not None:
            widget.close()
            widget.deleteLater()
    request.node.qt_widgets = []
    _settle()
    left: list[QWidget] = [w for w in QApplication.topLevelWidgets() if id(w) not in windows]
    assert not left, f"windows are left: {', '.join(sorted(type(w).__name__ for w in left))}"
    running = [t for t in _running_timers() if id(t) not in timers]
    assert not running, f"timers still run: {', '.join(str(t.parent()) for t in running)}"
