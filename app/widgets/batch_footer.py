"""The foot of the batch page: progress of the whole queue, how it stands in words, and the time that is left."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QWidget

from vipose.app.core.batch_items import BatchPhase, BatchStatus
from vipose.app.core.batch_words import headline, time_left
from vipose.app.widgets.theme import MARGIN

__all__ = ["BatchFooter"]

_STEPS = 1000
_BAR_WIDTH = 180


class BatchFooter(QWidget):
    """Shows the queue as a whole."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bar = QProgressBar()
        self._bar.setRange(0, _STEPS)
        self._bar.setTextVisible(False)
        self._bar.setFixedWidth(_BAR_WIDTH)
        self._bar.setAccessibleName("Progress of the whole queue")
        keep = self._bar.sizePolicy()
        keep.setRetainSizeWhenHidden(True)  # else the page would jump when a run begins
        self._bar.setSizePolicy(keep)
        self.words, self.left = QLabel(), QLabel()
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(MARGIN)
        row.addWidget(self._bar)
        row.addWidget(self.words, 1)
        row.addWidget(self.left)

    def show_status(self, status: BatchStatus) -> None:
        """Show this moment."""
        share = status.share()
        self._bar.setVisible(share is not None and (status.active or status.run > 0))
        self._bar.setValue(round(_STEPS * (share or 0.0)))
        looking = status.looking and not status.active
        self.words.setText("Looking at files ..." if looking else headline(status))
        self.words.setToolTip(self.words.text())
        running = status.phase is BatchPhase.RUNNING
        self.left.setText(f"Time left: {time_left(status.left())}" if running else "")
