"""The window: pages behind a rail, problems, shortcuts, what is dropped, and an orderly end."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QMainWindow, QMessageBox, QStackedWidget, QWidget

from vipose.app.core.cameras import CameraWatch
from vipose.app.core.drop import Drop
from vipose.app.core.phases import Phase
from vipose.app.core.problems import Problem, Remedy, explain_provider, explain_settings
from vipose.app.core.session import SessionStatus
from vipose.app.core.settings import Settings, SettingsStore
from vipose.app.widgets.about import show_about
from vipose.app.widgets.keys import bind_keys
from vipose.app.widgets.live_page import LivePage
from vipose.app.widgets.problem_dialog import show_problem
from vipose.app.widgets.rail import Rail, RailEntry
from vipose.app.widgets.shortcuts_dialog import ShortcutsDialog
from vipose.app.widgets.theme import apply_theme, chosen_theme, is_dark
from vipose.app.widgets.welcome import dropped_sources
from vipose.runtime.errors import ViposeError
from vipose.runtime.providers import ProviderReport

__all__ = ["MainWindow"]

_ENTRIES = (
    RailEntry("Live", "camera", "Camera, file or address with skeletons, as it happens"),
    RailEntry("Results", "results", "Look through what was recorded, frame by frame, and export it"),
    RailEntry("Batch", "batch", "Many files, one after the other"),
    RailEntry("Compare", "compare", "Two networks side by side on the same source"),
    RailEntry("Settings", "settings", "Everything that can be set"),
)
LIVE, RESULTS, BATCH, COMPARE, SETTINGS = range(len(_ENTRIES))


class MainWindow(QMainWindow):
    """Everything. Pages other than the first are made by :meth:`prepare`, or when they are first wanted.

    Args:
        store: settings; saved by whoever made it.
        watch: cameras; None makes one.
    """

    _stored = Signal(object)

    def __init__(self, store: SettingsStore, watch: CameraWatch | None = None) -> None:
        super().__init__()
        self._store = store
        self._watch = watch or CameraWatch()
        self._closing = False
        self._provider: ProviderReport | None = None
        self.setWindowTitle("vipose")
        self.setMinimumSize(960, 600)
        self.resize(1360, 840)
        self.setAcceptDrops(True)
        self.live = LivePage(store, self._watch)
        self._pages: dict[int, Any] = {}
        self._rail = Rail(_ENTRIES)
        self._stack = QStackedWidget()
        for _ in _ENTRIES:
            self._stack.addWidget(QWidget())
        middle = QWidget()
        row = QHBoxLayout(middle)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self._rail)
        row.addWidget(self._stack, 1)
        self.setCentralWidget(middle)
        self._put(LIVE, self.live)
        self._wire()
        self._restore(store.current)
        self.show_page(LIVE)
        if store.problem:
            self.show_problem(explain_settings(store.problem))
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self.prepare)

    # Pages

    def page(self, number: int) -> Any:
        """A page by its number, made where it is not there yet."""
        if number not in self._pages:
            self._put(number, self._make(number))
        return self._pages[number]

    def show_page(self, number: int) -> None:
        """Bring a page to the front."""
        page = self.page(number)
        self._stack.setCurrentWidget(page)
        self._rail.choose(number)

    def _make(self, number: int) -> QWidget:
        if number == BATCH:
            from vipose.app.widgets.batch_page import BatchPage

            batch = BatchPage(self._store)
            batch.open_results_asked.connect(self.open_results)
            batch.settings_asked.connect(lambda: self.show_page(SETTINGS))
            batch.began.connect(self._end_measurement)
            return batch
        if number == RESULTS:
            from vipose.app.widgets.results_page import ResultsPage

            return ResultsPage(self._store)
        if number == COMPARE:
            from vipose.app.widgets.compare_page import ComparePage

            compare = ComparePage(self._store, self._watch)
            compare.began.connect(self._end_measurement)
            return compare
        from vipose.app.widgets.settings_page import SettingsPage

        return SettingsPage(self._store, at_once=False, make_quiet=self._make_quiet)

    def prepare(self) -> None:
        """Make the other pages, one a turn of the event loop, so that none has to be made while a picture moves."""
        missing = [number for number in range(len(_ENTRIES)) if number not in self._pages]
        if missing and not self._closing:
            self.page(missing[0])
            self._later.start(0)

    def _make_quiet(self) -> str:
        """End what runs, so that this computer can be measured; returns why not, where something would be lost."""
        reasons = self._busy()
        if not reasons:
            self.live.stop()
            if COMPARE in self._pages:
                self._pages[COMPARE].stop()
        return " ".join(reasons)

    def _busy(self) -> list[str]:
        """What would be cut off by ending everything."""
        return [said for page in self._pages.values() if (said := page.busy())]

    def _put(self, number: int, page: QWidget) -> None:
        empty = self._stack.widget(number)
        self._stack.insertWidget(number, page)
        if empty is not None:
            self._stack.removeWidget(empty)
            empty.deleteLater()
        self._pages[number] = page
        self._pages[number].problem.connect(self.show_problem)

    # What can be opened

    def open_text(self, text: str) -> None:
        """Open what a text names, as ``vipose run`` does; ``demo`` is the clip that comes with vipose."""
        if text == "demo":
            self.live.source_bar.open_demo()
        else:
            self.live.source_bar.open_text(text)

    def open_results(self, path: object) -> None:
        """Open a result file in the results browser."""
        self.page(RESULTS).open_results(Path(str(path)))
        self.show_page(RESULTS)

    def _take_drop(self, drop: Drop) -> None:
        """What was dropped or chosen, and is no live source."""
        if drop.kind == "batch":
            self.show_page(BATCH)
            self.page(BATCH).add_sources(list(drop.texts))
        elif drop.kind == "results" and drop.path is not None:
            self.open_results(drop.path)
        elif drop.kind == "settings" and drop.path is not None:
            self.show_page(SETTINGS)
            self.page(SETTINGS).import_from(drop.path)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_sources(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        texts = dropped_sources(event.mimeData())
        if texts:
            event.acceptProposedAction()
            self.live.source_bar.open_texts(texts)

    # Problems and help

    def show_problem(self, problem: object) -> None:
        """A dialog that says what is wrong and what to do; it does not wait.

        Args:
            problem: an error, a Problem, or a line of text.
        """
        known = problem if isinstance(problem, BaseException | Problem) else ViposeError(str(problem))
        live = self.live
        actions = {
            Remedy.RETRY: self._on_live(live.controller.toggle),
            Remedy.CHOOSE: self._on_live(live.source_bar.ask_for_file),
            Remedy.SETTINGS: lambda: self.show_page(SETTINGS),
        }
        show_problem(self, known, actions)

    def _say_provider(self, status: SessionStatus) -> None:
        """Once a run: where a graphics card was asked for and does not run."""
        if status.provider is None or status.provider == self._provider:
            return
        self._provider = status.provider
        notice = explain_provider(status.provider)
        if notice is not None:
            self.show_problem(notice)

    def _follow_live(self, status: SessionStatus) -> None:
        if status.phase is Phase.OPENING:
            self._end_measurement()

    def _end_measurement(self) -> None:
        """What runs while this computer is measured would spoil the figures; whoever starts it wants it more."""
        if SETTINGS in self._pages:
            self._pages[SETTINGS].tuning.cancel()

    def show_about(self) -> None:
        """Versions and licences."""
        show_about(self)

    def show_shortcuts(self) -> None:
        """The keys."""
        dialog = ShortcutsDialog(self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    # Wiring

    def _wire(self) -> None:
        queued = Qt.ConnectionType.QueuedConnection
        self._rail.chosen.connect(self.show_page)
        self._rail.shortcuts_asked.connect(self.show_shortcuts)
        self._rail.about_asked.connect(self.show_about)
        self._stored.connect(self._follow, queued)
        self._unsubscribe = self._store.subscribe(self._stored.emit)
        self.live.controller.status_changed.connect(self._say_provider)
        self.live.controller.status_changed.connect(self._follow_live)
        self.live.settings_asked.connect(lambda: self.show_page(SETTINGS))
        self.live.open_results_asked.connect(self.open_results)
        self.live.source_bar.elsewhere.connect(self._take_drop)
        self.live.source_bar.chosen.connect(lambda _spec: self.show_page(LIVE))
        bind_keys(self, self._actions(), window=True)

    def _actions(self) -> dict[str, Callable[[], object]]:
        """What the keys of the window do; pages have keys of their own."""
        live = self.live
        pages: dict[str, Callable[[], object]] = {
            f"page_{entry.title.lower()}": partial(self.show_page, number) for number, entry in enumerate(_ENTRIES)
        }
        return pages | {
            "open": self._ask_for_file,
            "open_url": self._on_live(live.source_bar.ask_for_address),
            "open_results": self._ask_for_results,
            "theme": self._toggle_theme,
            "full_screen": self._toggle_full_screen,
            "shortcuts": self.show_shortcuts,
            "quit": self.close,
        }

    def _ask_for_file(self) -> None:
        """On the batch page files are added, on all others one is run."""
        if self._stack.currentIndex() == BATCH:
            self.page(BATCH).ask_for_files()
        else:
            self._on_live(self.live.source_bar.ask_for_file)()

    def _ask_for_results(self) -> None:
        self.show_page(RESULTS)
        self.page(RESULTS).ask_for_results()

    def _toggle_theme(self) -> None:
        self._store.change(theme="light" if is_dark() else "dark")

    def _on_live(self, action: Callable[[], object]) -> Callable[[], None]:
        def act() -> None:
            self.show_page(LIVE)
            action()

        return act

    def _toggle_full_screen(self) -> None:
        self.showNormal() if self.isFullScreen() else self.showFullScreen()

    def _follow(self, settings: Settings) -> None:
        app = QApplication.instance()
        if isinstance(app, QApplication) and settings.theme != chosen_theme(app):
            apply_theme(app, settings.theme)

    # Beginning and end

    def _restore(self, settings: Settings) -> None:
        self.live.restore_layout(settings.layout)
        if settings.window:
            with suppress(ValueError):  # no geometry is lost that anybody would miss
                self.restoreGeometry(QByteArray(base64.b64decode(settings.window, validate=True)))

    def closeEvent(self, event: QCloseEvent) -> None:
        """End every thread; asks first where that would end a recording or a batch."""
        reasons = self._busy()
        if reasons and not self._closing and not self._may_close(reasons):
            event.ignore()
            return
        self._closing = True
        self._unsubscribe()
        geometry = base64.b64encode(bytes(self.saveGeometry().data())).decode("ascii")
        self._store.change(window=geometry, layout=self.live.layout_state() or self._store.current.layout)
        for page in self._pages.values():
            page.close_down()
        self._later.stop()
        self._watch.close()
        super().closeEvent(event)

    def _may_close(self, reasons: list[str]) -> bool:
        answer = QMessageBox.question(
            self,
            "Close vipose?",
            "\n".join([*reasons, "", "Close anyway? Files stay valid up to here."]),
            QMessageBox.StandardButton.Close | QMessageBox.StandardButton.Cancel,
            QMessageBox.StandardButton.Cancel,
        )
        return answer == QMessageBox.StandardButton.Close
