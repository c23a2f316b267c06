"""What a result file says about itself: its source, how it was made, by which version."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFormLayout, QLabel, QScrollArea, QWidget

from vipose.app.core.playback_state import PlaybackStatus
from vipose.app.core.stored import StoredResults
from vipose.app.widgets.theme import SPACING, set_role

__all__ = ["ResultsInfo", "info_rows"]

_SETTINGS = (
    ("mode", "Mode"),
    ("period", "Key frame every"),
    ("twice", "Looks twice on key frames"),
    ("detector", "Detector"),
    ("detector_pixels", "Its pixels"),
    ("precision", "Precision"),
    ("smoothing", "Smoothing"),
    ("max_people", "Most people"),
    ("score_threshold", "Person threshold"),
)
_NONE = {"period": "as the mode has it", "detector_pixels": "as the detector has them"}


class ResultsInfo(QScrollArea):
    """Rows of names and values; values can be selected and copied."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("About this file")
        self._said: tuple[StoredResults | None, Path | None] = (None, None)

    def show_status(self, status: PlaybackStatus) -> None:
        """Show the file that is open."""
        said = status.stored, status.video
        if said == self._said:
            return
        self._said = said
        inside = QWidget()
        form = QFormLayout(inside)
        form.setContentsMargins(0, 0, SPACING, 0)
        form.setVerticalSpacing(SPACING // 2)
        form.setHorizontalSpacing(SPACING + SPACING // 2)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        if status.stored is not None:
            for name, value, hint in info_rows(status.stored, status.video):
                form.addRow(self._name(name), self._value(value, hint))
        self.setWidget(inside)

    @staticmethod
    def _name(text: str) -> QLabel:
        label = QLabel(text)
        set_role(label, "hint")
        return label

    @staticmethod
    def _value(text: str, hint: str) -> QLabel:
        label = QLabel(text)
        label.setWordWrap(True)
        label.setToolTip(hint)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return label


def _shown(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def info_rows(stored: StoredResults, video: Path | None) -> list[tuple[str, str, str]]:
    """Name, value and more about the value, a row each; what a file does not say has no row."""
    header, source = stored.header, stored.header.source
    width, height = source.size
    rows = [
        ("File", stored.path.name, str(stored.path)),
        ("Format", stored.format, ""),
        ("Source", Path(source.name).name or source.name, source.name),
        ("Shown with", video.name if video else "no pictures", str(video or "")),
        ("Frames", str(len(stored)), ""),
        ("Length", f"{stored.times_s[-1] - stored.times_s[0]:.2f} s", "From the first to the last stored frame"),
    ]
    if min(source.size) > 0:
        rows.append(("Size", f"{width} x {height}", "Pixels of the upright picture"))
    if source.fps:
        rows.append(("Frame rate", f"{source.fps:g} a second", "Mean rate that the source names"))
    for key, name in _SETTINGS:
        if key in header.settings:
            value = header.settings[key]
            text = _NONE.get(key, "none") if value is None else _shown(value)
            rows.append((name, f"{text} frames" if key == "period" and value is not None else text, ""))
    rows.append(("Skeleton", f"{header.skeleton}, {len(header.joints)} joints", ", ".join(header.joints.joints)))
    if header.graphs:
        hashes = "\n".join(f"{name}: {digest[:16]}" for name, digest in header.graphs.items())
        rows.append(("Networks", ", ".join(header.graphs), f"SHA-256 of each begins with\n{hashes}"))
    if header.provider != "unknown":
        rows.append(("Ran on", header.provider, ""))
    if stored.format == "native":
        rows.append(("Made by", f"vipose {header.version}", ""))
    for note in stored.notes:
        what, _, how = note.removesuffix(" (--fps changes it)").partition(": ")
        rows.append((what.capitalize(), how, "The format does not hold this"))
    return rows
