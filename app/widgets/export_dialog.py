"""The export dialog: what, where to and how; progress; and what was written."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vipose.app.core.batch_words import count_of, duration
from vipose.app.core.export_plan import PICTURES, VIDEO, ExportPlan, check_plan, completed, loses, replaced, suggested
from vipose.app.core.exporting import Exporter, ExportPhase, ExportStatus
from vipose.app.core.settings import SettingsStore, whole_path
from vipose.app.core.stored import StoredResults
from vipose.app.widgets.icons import icon
from vipose.app.widgets.results_export_options import DrawingOptions, FormatOptions
from vipose.app.widgets.theme import GAP, MARGIN, SPACING, set_role
from vipose.runtime.errors import UsageError, ViposeError
from vipose.runtime.results.formats import FORMATS

__all__ = ["ExportDialog"]

_NAMES = {
    VIDEO: "Annotated video",
    PICTURES: "Annotated pictures (JPEG)",
    "native": "vipose results (JSON Lines)",
    "coco": "COCO keypoints (JSON)",
    "openpose": "OpenPose folder (BODY_25)",
    "posetrack": "PoseTrack (JSON)",
    "csv": "Table of joints (CSV)",
    "angles": "Joint angles (CSV)",
    "angles-mot": "Joint angles (OpenSim, a file a person)",
    "mot": "Boxes and ids (MOTChallenge)",
    "trc": "Marker tracks (TRC, a file a person)",
    "parquet": "Table of joints (Parquet)",
}
_FOLDERS = (PICTURES, "openpose")
_WIDTH = 560
_LISTED = 6  # files that are named before they are replaced


class ExportDialog(QDialog):
    """Exports the results that are open. Once it is closed and nothing runs any more it deletes itself.

    Args:
        store: settings: last folder, and how pictures are drawn.
        stored: the results.
        video: whose pictures are drawn on; None for none.
        people: ids that are exported.
    """

    _changed = Signal()

    def __init__(
        self, store: SettingsStore, stored: StoredResults, video: Path | None, people: frozenset[int], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._store, self._stored, self._video = store, stored, video
        everybody = {person.id for person in stored.people}
        self._people = None if people >= everybody else people
        self._typed = self._dismissed = False
        self.exporter = Exporter(self._changed.emit)
        self.setWindowTitle("Export")
        self.setMinimumWidth(_WIDTH)
        self._make_fields(len(everybody), len(people & everybody))
        self._make_progress()
        self._lay_out()
        self._changed.connect(self._show, Qt.ConnectionType.QueuedConnection)
        self._choose_kind()
        self._show()

    def _make_fields(self, everybody: int, ticked: int) -> None:
        self.kind = QComboBox()
        for kind in (VIDEO, PICTURES, *FORMATS):
            self.kind.addItem(_NAMES.get(kind, kind), kind)
        self.kind.insertSeparator(2)
        self.kind.setAccessibleName("What to export")
        self.kind.setToolTip("A video or pictures drawn anew, or the results in another format")
        self.kind.currentIndexChanged.connect(self._choose_kind)
        self._loses = QLabel()
        self._loses.setWordWrap(True)
        set_role(self._loses, "hint")
        self.target = QLineEdit()
        self.target.setAccessibleName("File or folder to write")
        self.target.setToolTip("Where it is written")
        self.target.textEdited.connect(self._edited)
        self._browse = QToolButton()
        self._browse.setIcon(icon("folder"))
        self._browse.setAccessibleName("Choose a file or folder")
        self._browse.setToolTip("Choose where it is written")
        self._browse.clicked.connect(self._ask_where)
        all_of_them = f"everybody ({everybody})" if everybody != 1 else "the one who is there"
        self._who = QLabel(all_of_them if self._people is None else f"{ticked} of {everybody}, as ticked in the list")
        self.format_options, self.drawing = FormatOptions(), DrawingOptions(self._store.current, video=self._video is not None)
        self._options = QStackedWidget()
        self._options.addWidget(self.drawing)
        self._options.addWidget(self.format_options)

    def _make_progress(self) -> None:
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName("Progress of the export")
        self.shown = ExportStatus()
        self._said = QLabel()
        self._said.setWordWrap(True)
        self._said.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.buttons = QDialogButtonBox()
        self.start = QPushButton(icon("export"), "Export")
        self.start.setDefault(True)
        self.start.clicked.connect(self._start)
        self.cancel = QPushButton(icon("cancel"), "Cancel export")
        self.cancel.setToolTip("Stop; nothing of it is left behind")
        self.cancel.clicked.connect(self.exporter.cancel)
        self.show_folder = QPushButton(icon("folder"), "Show folder")
        self.show_folder.clicked.connect(self._show_folder)
        self._close = QPushButton("Close")
        self._close.clicked.connect(self.close)
        for button, role in (
            (self.show_folder, QDialogButtonBox.ButtonRole.ActionRole),
            (self.start, QDialogButtonBox.ButtonRole.AcceptRole),
            (self.cancel, QDialogButtonBox.ButtonRole.ActionRole),
            (self._close, QDialogButtonBox.ButtonRole.RejectRole),
        ):
            button.setAutoDefault(button is self.start)
            self.buttons.addButton(button, role)

    def _lay_out(self) -> None:
        where = QHBoxLayout()
        where.setSpacing(SPACING)
        where.addWidget(self.target, 1)
        where.addWidget(self._browse)
        self._form = QWidget()
        form = QFormLayout(self._form)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(SPACING)
        form.setHorizontalSpacing(GAP)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Export", self.kind)
        form.addRow("", self._loses)
        form.addRow("Write to", where)
        form.addRow("People", self._who)
        form.addRow("Options", self._options)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(MARGIN)
        column.addWidget(self._form)
        column.addStretch(1)
        column.addWidget(self._bar)
        column.addWidget(self._said)
        column.addWidget(self.buttons)

    # Choosing.

    def _choose_kind(self) -> None:
        kind = self.kind.currentData()
        drawn = kind in (VIDEO, PICTURES)
        lost = loses(kind)
        holds = "Holds what is drawn, nothing else." if drawn else "Holds everything."
        self._loses.setText(holds if drawn or lost == "nothing" else f"Does not hold: {lost}.")
        self._options.setCurrentIndex(0 if drawn else 1)
        self._options.setVisible(kind not in ("native", "mot"))
        self._form.layout().labelForField(self._options).setVisible(self._options.isVisibleTo(self._form))  # type: ignore[union-attr]
        if not drawn:
            self.format_options.set_kind(kind)
        folder = Path(self.target.text()).parent if self._typed else None
        self.target.setText(str(suggested(self._stored, kind, folder)))
        self._say("", None)
        self.show_folder.hide()

    def _edited(self) -> None:
        self._typed = True
        self._say("", None)

    def _ask_where(self) -> None:
        dialog = QFileDialog(self, "Export to", self.target.text())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite)  # asked once, for all files, when it begins
        dialog.selectFile(Path(self.target.text()).name)
        dialog.fileSelected.connect(self._take_target)
        dialog.open()

    def _take_target(self, path: str) -> None:
        self._typed = True
        self.target.setText(path)
        self._store.change(folder=str(Path(path).parent))

    def plan(self) -> ExportPlan:
        """What the fields say; raises UsageError."""
        kind, text = self.kind.currentData(), self.target.text().strip()
        if not text:
            raise UsageError("no name is given; choose where it is written")
        drawing = self.drawing
        return ExportPlan(
            self._stored, kind, completed(kind, Path(whole_path(text))), self._people, self._video, self.format_options.options(),
            drawing.overlay(), drawing.head_blur(), drawing.black.isChecked(), drawing.mirror.isChecked(),
        )  # fmt: skip

    # Exporting.

    def _start(self) -> None:
        try:
            plan = self.plan()
            check_plan(plan)
            there = replaced(plan)
        except (ViposeError, OSError) as error:
            self._say(str(getattr(error, "strerror", "") or error), "warning")
            return
        if there:
            self._ask_to_replace(plan, there)
        else:
            self._begin(plan)

    def _ask_to_replace(self, plan: ExportPlan, there: tuple[Path, ...]) -> None:
        names = "\n".join(path.name for path in there[:_LISTED]) + ("\n..." if len(there) > _LISTED else "")
        box = QMessageBox(
            QMessageBox.Icon.Question, "Replace?", f"{count_of(len(there), 'output')} of this name exist already:\n\n{names}", parent=self
        )
        if len(there) == 1:
            box.setText(f"{there[0].name} exists already.")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        yes = box.addButton("Replace", QMessageBox.ButtonRole.AcceptRole)
        box.setDefaultButton(box.addButton("Keep", QMessageBox.ButtonRole.RejectRole))
        box.finished.connect(lambda _: self._begin(plan) if box.clickedButton() is yes else None)
        box.open()

    def _begin(self, plan: ExportPlan) -> None:
        try:
            self.exporter.start(plan)
        except UsageError as error:
            self._say(str(error), "warning")

    def _show(self) -> None:
        """Pull the exporter's status and show it."""
        self.shown = status = self.exporter.status
        active = status.phase.active
        if self._dismissed and not active:
            self.exporter.close()  # its thread has said its last word; it must not say it to a deleted object
            self.deleteLater()
            return
        self._form.setEnabled(not active)
        self.start.setVisible(not active)
        self.cancel.setVisible(active)
        self.cancel.setEnabled(status.phase is ExportPhase.RUNNING)
        self._bar.setVisible(active)
        self._bar.setRange(0, max(status.total, 1))
        self._bar.setValue(status.done)
        self.show_folder.setVisible(status.phase is ExportPhase.DONE)
        if status.phase is not ExportPhase.IDLE:
            self._say(_words(status), "warning" if status.error is not None else None)

    def _say(self, text: str, role: str | None) -> None:
        set_role(self._said, "warning" if role == "warning" else "hint")
        self._said.setText(text)
        self._said.setVisible(bool(text))

    def _show_folder(self) -> None:
        outputs = self.exporter.status.outputs
        if outputs:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(outputs[0].parent)))

    def busy(self) -> str:
        """What closing would cut off, "" for nothing."""
        return "an export" if self.exporter.status.phase.active else ""

    def close_down(self) -> None:
        """End the thread within two seconds; safe to call twice."""
        self.exporter.close()

    def reject(self) -> None:
        """Esc and Close: a running export is cancelled, without waiting for its end."""
        self._dismissed = True
        self.exporter.cancel()
        super().reject()
        self._show()


def _words(status: ExportStatus) -> str:
    """What an export is doing or did."""
    if status.error is not None:
        return str(status.error)
    if status.phase is ExportPhase.DONE:
        names = ", ".join(path.name for path in status.outputs[:_LISTED]) + (" ..." if len(status.outputs) > _LISTED else "")
        wrote = f"Written: {names}" if status.outputs else "Nothing was written: nobody was seen."
        return "\n".join((wrote, *status.notes))
    if status.phase is ExportPhase.CANCELLED:
        return "Cancelled; nothing was written."
    if status.phase is ExportPhase.CANCELLING:
        return "Cancelling ..."
    if status.done == 0:
        return "Getting ready ..."
    if status.done >= status.total:
        return "Finishing the file ..."
    left = "" if status.left_s is None else f", {duration(status.left_s)} left"
    return f"{status.done} of {count_of(status.total, 'frame')}{left}"
