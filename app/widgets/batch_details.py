"""What is known of the selected file of the batch: its figures, its whole message and its outputs."""

from __future__ import annotations

from html import escape
from pathlib import Path

from PySide6.QtCore import Qt, Signal, SignalInstance
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from vipose.app.core.batch_items import BatchItem, ItemState, Totals
from vipose.app.core.batch_words import count_of, duration, sentence
from vipose.app.widgets.icons import icon
from vipose.app.widgets.theme import GAP, MARGIN, SPACING, set_role
from vipose.runtime.report import SourceReport

__all__ = ["BatchDetails"]

_FIGURES = (
    ("frames", "Frames", "Frames in every output"),
    ("people", "People", "Different track ids"),
    ("key", "Key", "People on frames that the key-frame network estimated"),
    ("propagated", "Propagated", "People on frames that were carried on from the frame before"),
    ("early", "Early", "Key frames that came before they were due, since propagation was doubtful; part of Key"),
    ("dropped", "Dropped", "Frames that were never processed; none for files"),
    ("time", "Time", "Seconds from opening the file to closing its outputs"),
    ("speed", "FPS", "Frames processed a second"),
)
_HINTS = (
    "Replay the file with its results (Enter)",
    "Open the annotated video in your player",
    "Show the folder of the outputs",
)
_LINES = 4


class BatchDetails(QFrame):
    """Shows one item, or the sum of several."""

    results_asked = Signal()
    video_asked = Signal()
    folder_asked = Signal()
    output_asked = Signal(object)
    """Path of an output whose name was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_role(self, "card")
        self._paths: tuple[Path, ...] = ()
        self._title = QLabel()
        set_role(self._title, "title")
        self._title.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._values = {name: QLabel("-") for name, _, _ in _FIGURES}
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.RichText)
        self._text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self._text.setMinimumHeight(_LINES * self.fontMetrics().lineSpacing())  # so that the table above does not jump
        self._text.linkActivated.connect(lambda link: self.output_asked.emit(self._paths[int(link)]))
        self.open_results = self._button("Open results", "results", _HINTS[0], self.results_asked)
        self.open_video = self._button("Play video", "play", _HINTS[1], self.video_asked)
        self.open_folder = self._button("Show folder", "folder", _HINTS[2], self.folder_asked)
        self._lay_out()
        self.show_items([])

    def _button(self, text: str, symbol: str, hint: str, asked: SignalInstance) -> QPushButton:
        button = QPushButton(icon(symbol), text)
        button.setToolTip(hint)
        button.setAutoDefault(False)
        button.clicked.connect(asked)
        return button

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(SPACING)
        head.addWidget(self._title, 1)
        for button in (self.open_results, self.open_video, self.open_folder):
            head.addWidget(button)
        figures = QGridLayout()
        figures.setHorizontalSpacing(2 * GAP)
        figures.setVerticalSpacing(0)
        for place, (name, text, hint) in enumerate(_FIGURES):
            label = QLabel(text)
            set_role(label, "hint")
            set_role(self._values[name], "title")
            for row, widget in enumerate((label, self._values[name])):
                widget.setToolTip(hint)
                figures.addWidget(widget, row, place)
            self._values[name].setAccessibleName(text)
        figures.setColumnStretch(len(_FIGURES), 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, SPACING, MARGIN, MARGIN)
        column.setSpacing(SPACING)
        column.addLayout(head)
        column.addLayout(figures)
        column.addWidget(self._text, 1)

    def show_items(self, items: list[BatchItem]) -> None:
        """Show these; an empty list invites to select one."""
        one = items[0] if len(items) == 1 else None
        self._show_figures(_of_report(one.report) if one else _of_totals(items))
        self._paths = one.outputs if one else ()
        if one:
            self._title.setText(one.name)
            self._title.setToolTip(one.text)
        else:
            self._title.setText(f"{count_of(len(items), 'file')} together" if items else "Select a file for its figures")
            self._title.setToolTip("")
        text = _about(one) if one else ""
        if text != self._text.text():
            self._text.setText(text)
        self.open_results.setEnabled(one is not None and one.results is not None)
        self.open_video.setEnabled(one is not None and one.video is not None)
        self.open_folder.setEnabled(bool(self._paths))

    def _show_figures(self, figures: dict[str, str]) -> None:
        for name, label in self._values.items():
            label.setText(figures.get(name, "-"))


def _of_report(report: SourceReport | None) -> dict[str, str]:
    if report is None or not report.processed:
        return {}
    return {
        "frames": f"{report.written:,}", "people": f"{report.people:,}", "key": f"{report.key:,}",
        "propagated": f"{report.propagated:,}", "early": f"{report.forced:,}", "dropped": f"{report.dropped:,}",
        "time": duration(report.seconds), "speed": f"{report.fps:.1f}",
    }  # fmt: skip


def _of_totals(items: list[BatchItem]) -> dict[str, str]:
    """Sums; people of different files are different people, so that they are not added up."""
    totals = Totals.of(items)
    if not totals.frames:
        return {}
    return {
        "frames": f"{totals.frames:,}", "key": f"{totals.key:,}", "propagated": f"{totals.propagated:,}",
        "early": f"{totals.early:,}", "dropped": f"{totals.dropped:,}",
    }  # fmt: skip


def _about(item: BatchItem) -> str:
    """Message, notes, provider and outputs as rich text."""
    lines = []
    if item.message and item.state is not ItemState.DONE:
        lines.append(escape(sentence(item.message, item.text)))
    if item.report is not None:
        lines += [escape(note) for note in item.report.notes]
        if item.report.provider:
            lines.append(f"Ran on {escape(item.report.provider)}")
    if item.outputs:
        links = [f'<a href="{at}">{escape(path.name)}</a>' for at, path in enumerate(item.outputs)]
        lines.append(f"Outputs: {', '.join(links)} in {escape(str(item.outputs[0].parent))}")
    return "<br>".join(lines)
