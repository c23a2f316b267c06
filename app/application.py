"""Starts the application: Qt, look, settings, window, and what happens to errors that nobody foresaw."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from types import TracebackType

from PySide6.QtCore import QObject, QSocketNotifier, Qt, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication

from vipose.app.core.measuring import tuned_line
from vipose.app.core.settings import SettingsStore
from vipose.app.widgets.theme import apply_theme
from vipose.app.window import MainWindow
from vipose.runtime.tune.store import read_tuned

__all__ = ["make_application", "run_application", "wait_for_threads"]


def make_application(arguments: list[str]) -> QApplication:
    """The one QApplication of this process, named and with its icon."""
    QApplication.setHighDpiScaleFactorRoundingPolicy(Qt.HighDpiScaleFactorRoundingPolicy.PassThrough)
    app = QApplication(arguments)
    app.setApplicationName("vipose")
    app.setApplicationDisplayName("vipose")
    app.setDesktopFileName("vipose")
    app.setWindowIcon(QIcon(str(files("vipose.assets") / "icon.svg")))
    return app


def run_application(source: str = "") -> int:
    """Show the window until the user closes it.

    Args:
        source: opened at once, as in ``vipose run``; "" shows the first screen.

    Returns:
        The exit code.
    """
    app = make_application(sys.argv[:1])
    store = _settings()
    apply_theme(app, store.current.theme)
    window = MainWindow(store)
    faults = _Faults()
    faults.happened.connect(window.show_problem, Qt.ConnectionType.QueuedConnection)
    with faults.caught(), _quit_on_ctrl_c(window.close):
        window.show()
        if source:
            window.open_text(source)
        window.prepare()
        code = app.exec()
    store.close()
    wait_for_threads()
    return code


def _settings() -> SettingsStore:
    """The user's settings over what 'vipose tune' has measured on this machine."""
    kept = read_tuned()
    return SettingsStore(tuned=kept.options, tuned_note=tuned_line(kept))


def wait_for_threads(timeout_s: float = 2.0) -> None:
    """Wait for what was left behind, at most so long: Python must not end under networks that are still being loaded."""
    until_s = time.monotonic() + timeout_s
    for thread in threading.enumerate():
        if thread.name.startswith("vipose-"):
            thread.join(max(0.0, until_s - time.monotonic()))


class _Faults(QObject):
    """Errors that nobody foresaw, from any thread: the user sees a dialog instead of a window that hangs."""

    happened = Signal(object)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Send them here while the body runs; they are printed as well, for whoever started it from a terminal."""
        before, before_threads = sys.excepthook, threading.excepthook
        sys.excepthook = self._on_error
        threading.excepthook = self._on_thread_error
        try:
            yield
        finally:
            sys.excepthook, threading.excepthook = before, before_threads

    def _on_error(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, trace)
        if not issubclass(kind, KeyboardInterrupt):
            self.happened.emit(error)

    def _on_thread_error(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            self._on_error(args.exc_type, args.exc_value, args.exc_traceback)


@contextmanager
def _quit_on_ctrl_c(close: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C in the terminal closes the window as its button would: recordings are completed.

    Python runs signal handlers between two of its own instructions, and Qt's event loop has none; a byte on a socket wakes it.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    descriptor = signal.set_wakeup_fd(writing.fileno())
    notifier = QSocketNotifier(reading.fileno(), QSocketNotifier.Type.Read)

    def woken() -> None:
        reading.recv(64)
        close()

    notifier.activated.connect(woken)
    try:
        yield
    finally:
        notifier.setEnabled(False)
        signal.set_wakeup_fd(descriptor)
        signal.signal(signal.SIGINT, before)
        reading.close()
        writing.close()
