"""The latency panel: how fast, how old, where the time goes, who was key and why, what was dropped, what runs.

It is drawn at most ten times a second, only while it can be seen and only when there is something new; no timer runs
otherwise.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QHideEvent, QIcon, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QApplication,
    QBoxLayout,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vipose.app.core.figures import as_text, save_csv
from vipose.app.core.latency import Columns, Summary
from vipose.app.core.phases import Phase
from vipose.app.core.shown import Shown
from vipose.app.core.statistics import Statistics
from vipose.app.widgets.figure_tiles import FigureTiles
from vipose.app.widgets.icons import icon
from vipose.app.widgets.latency_rows import people_rows, people_rows_of, stage_rows, stage_rows_of, tiles
from vipose.app.widgets.legend import Legend
from vipose.app.widgets.stage_plot import StagePlot, frame_title
from vipose.app.widgets.theme import SPACING, set_role, theme_watch
from vipose.app.widgets.timeline import Timeline
from vipose.runtime.errors import ViposeError

if TYPE_CHECKING:
    from vipose.app.core.session import SessionStatus

__all__ = ["LatencyPanel"]

_REDRAW_MS = 100
_WIDE = 640  # from this width on, figures, plots and legends stand side by side
_JOIN_S = 2.0


class LatencyPanel(QWidget):
    """Figures, plots and legends of the running session. GUI thread only.

    Feed it with :meth:`add` and :meth:`frame_painted`; tell it of the session with :meth:`set_status`.
    """

    problem = Signal(object)
    """A ViposeError: the table could not be written."""
    _saved = Signal(object, object)

    def __init__(self, parent: QWidget | None = None, statistics: Statistics | None = None) -> None:
        super().__init__(parent)
        self.statistics = statistics or Statistics()
        self.redraws = 0  # how often it was drawn, for tests
        self.folder = Path.home()  # where the dialog for the table begins
        self._phase = Phase.IDLE
        self._reason = ""
        self._new = False
        self._pointed: int | None = None
        self._drawn_s = 0.0
        self._writer: threading.Thread | None = None
        self._redraw = self._single_shot(self._refresh)
        self._stale = self._single_shot(self._refresh)
        self._said = self._single_shot(self._say_window)
        self._build()
        self._saved.connect(self._tell_saved)
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        theme_watch(app).changed.connect(self._repaint)
        self._refresh()

    # What the session says

    def add(self, shown: Shown) -> None:
        """A frame that is about to be shown."""
        if self.statistics.add(shown, time.monotonic()):
            self._schedule()

    def frame_painted(self, shown: Shown, painted_s: float) -> None:
        """The canvas painted a frame at this time of ``time.monotonic()``; painting it again does not count."""
        if self.statistics.painted(shown, painted_s):
            self._schedule()

    def set_status(self, status: SessionStatus) -> None:
        """Where the session stands and what runs it."""
        reason = status.provider.reason if status.provider is not None else ""
        if status.phase == self._phase and reason == self._reason:
            return
        if status.phase == Phase.RUNNING and self._phase != Phase.RUNNING:
            self.statistics.resume()
        elif status.phase != Phase.RUNNING:
            self.statistics.pause()
        self._phase, self._reason = status.phase, reason
        self._show_reason()
        self._schedule()

    def clear(self) -> None:
        """Forget everything: another source is opened."""
        self.statistics.clear()
        self._pointed = None
        self._schedule()

    # What the user does

    def copy(self) -> None:
        """Put the figures on the clipboard as text."""
        QGuiApplication.clipboard().setText(as_text(self._summary(), self._reason))
        self._say("Copied")

    def ask_where_to_save(self) -> QFileDialog:
        """Ask for a file and write the table there; returns the open dialog."""
        dialog = QFileDialog(self, "Save figures", str(self.folder / "vipose-figures.csv"), "Table (*.csv)")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.fileSelected.connect(lambda path: self.save(Path(path)))
        dialog.open()
        return dialog

    def save(self, path: Path) -> None:
        """Write one line a frame, of all frames that are kept, in a thread of its own."""
        if self._writer is not None and self._writer.is_alive():
            self._say("Still saving the last table")
            return
        columns = self.statistics.columns(everything=True)
        self._writer = threading.Thread(target=self._write, args=(path, columns), name="vipose-figures", daemon=True)
        self._writer.start()

    def close_down(self) -> None:
        """End everything that runs; safe to call twice."""
        for timer in (self._redraw, self._stale, self._said):
            timer.stop()
        if self._writer is not None:
            self._writer.join(_JOIN_S)

    # Qt

    def sizeHint(self) -> QSize:
        return QSize(330, 560)

    def minimumSizeHint(self) -> QSize:
        return QSize(280, 150)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange(self.width() >= _WIDE)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._new:
            self._refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        for timer in (self._redraw, self._stale, self._said):
            timer.stop()
        self._say_window()
        self._pointed = None
        self._new = True  # drawn anew when it is seen again
        super().hideEvent(event)

    # Drawing

    def _schedule(self) -> None:
        """Draw soon: at once where the last time lies back, else when it is time again."""
        self._new = True
        if self.isVisible() and not self._redraw.isActive():
            since_ms = (time.monotonic() - self._drawn_s) * 1e3
            self._redraw.start(max(int(_REDRAW_MS - since_ms), 0))

    def _refresh(self) -> None:
        self._redraw.stop()
        self._new = False
        self._drawn_s = time.monotonic()
        self.redraws += 1
        summary = self._summary()
        self._tiles.set_tiles(tiles(summary, self._reason, self._phase, brief=not self._wide))
        if self._pointed is None:  # while somebody points at a frame, plots and legends stand still
            self._stages.set_columns(columns := self.statistics.columns())
            self._people.set_columns(columns)
            self._show_window(summary)
        if summary.fps is not None and self.isVisible():
            self._stale.start(round(self.statistics.recent_s * 1e3) + 100)  # without frames there is no rate

    def _repaint(self) -> None:
        """Colours changed."""
        self._pointed = None
        self._schedule()

    def _show_window(self, summary: Summary) -> None:
        self._stage_legend.set_rows(stage_rows(summary))
        self._people_legend.set_rows(people_rows(summary))
        self._stages.set_note(f"median of {summary.recent_s:g} s")
        self._people.set_note(f"counts of {summary.window_s:g} s")

    def _point(self, position: int | None) -> None:
        """Somebody points at a frame: its figures instead of those of the last seconds."""
        if position is None:
            self._pointed = None
            self._refresh()
            return
        self._pointed = position
        columns = self._stages.columns
        if columns is None:
            return
        for plot in (self._stages, self._people):
            plot.set_cursor(position)
            plot.set_note(frame_title(columns, position))
        self._stage_legend.set_rows(stage_rows_of(columns, position))
        self._people_legend.set_rows(people_rows_of(columns, position))

    def _summary(self) -> Summary:
        return self.statistics.summary(time.monotonic())

    # Saving

    def _write(self, path: Path, columns: Columns) -> None:
        """In the writer's thread."""
        try:
            save_csv(path, columns)
        except ViposeError as error:
            self._saved.emit(path, error)
        else:
            self._saved.emit(path, None)

    def _tell_saved(self, path: Path, error: ViposeError | None) -> None:
        if error is None:
            self._say(f"Saved {path.name}")
        else:
            self.problem.emit(error)

    def _show_reason(self) -> None:
        """Why something else runs than could be expected; a low, wide place has room for it in the figures only."""
        sentence = self._reason[:1].upper() + self._reason[1:] + "." if self._reason else ""
        self._fallback.setText(sentence)
        self._fallback.setVisible(bool(sentence) and not self._wide)

    def _say(self, text: str) -> None:
        """A word in the bottom line, for a while."""
        self._hint.setText(text)
        if self.isVisible():
            self._said.start(3000)

    def _say_window(self) -> None:
        figures = self.statistics
        self._hint.setText(f"Median of {figures.recent_s:g} s, p95 of {figures.window_s:g} s; % of frames")

    # Building

    def _single_shot(self, work: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(work)
        return timer

    def _build(self) -> None:
        self._tiles = FigureTiles()
        self._fallback = QLabel()
        self._fallback.setWordWrap(True)
        set_role(self._fallback, "warning")
        self._fallback.hide()
        self._stages, self._people = StagePlot(), Timeline()
        self._stage_legend, self._people_legend = Legend("Milliseconds by stage"), Legend("Key and propagated people")
        self._stages.pointed.connect(self._point)
        self._people.pointed.connect(self._point)
        self._foot = self._footer()
        # Three groups: below each other in a narrow place, side by side in a wide one.
        self._groups = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self._groups.setContentsMargins(SPACING, SPACING, SPACING, SPACING)
        self._groups.addWidget(_group((self._tiles, 0), (self._fallback, 0), (None, 0)))
        self._groups.addWidget(_group((self._stages, 3), (self._people, 2)), 1)
        self._groups.addWidget(_group((self._stage_legend, 0), (self._people_legend, 0), (None, 1), (self._foot, 0)))
        body = QWidget()
        body.setLayout(self._groups)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(body)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._scroll)
        self._wide: bool | None = None
        self._arrange(False)

    def _footer(self) -> QWidget:
        foot = QWidget()
        row = QHBoxLayout(foot)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        self._hint = QLabel()
        set_role(self._hint, "hint")
        self._hint.setWordWrap(True)
        self._hint.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._say_window()
        self._copy = _button("Copy", icon("copy"), "Copy the figures as text, for a report of a fault")
        self._copy.clicked.connect(self.copy)
        self._save = _button("CSV", icon("export"), "Save a table with one line a frame")
        self._save.setAccessibleName("Save CSV")
        self._save.clicked.connect(self.ask_where_to_save)
        row.addWidget(self._hint, 1)
        row.addWidget(self._copy)
        row.addWidget(self._save)
        return foot

    def _arrange(self, wide: bool) -> None:
        """Side by side in a low, wide place; below each other in a narrow one."""
        if wide == self._wide:
            return
        self._wide = wide
        self._tiles.set_columns(2 if wide else 3)
        directions = QBoxLayout.Direction
        self._groups.setDirection(directions.LeftToRight if wide else directions.TopToBottom)
        self._groups.setSpacing(2 * SPACING if wide else SPACING)
        self._show_reason()
        self._schedule()


def _group(*parts: tuple[QWidget | None, int]) -> QWidget:
    """Widgets below each other with their stretch; None is free room."""
    group = QWidget()
    column = QVBoxLayout(group)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(SPACING // 2)
    for part, stretch in parts:
        if part is None:
            column.addStretch(stretch)
        else:
            column.addWidget(part, stretch)
    return group


def _button(text: str, picture: QIcon, tip: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setIcon(picture)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setAutoRaise(True)
    button.setToolTip(tip)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return button
