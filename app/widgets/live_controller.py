"""Between the live session and the widgets: settings go in, status and frames come out on the screen's thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal

from vipose.app.core.phases import Phase
from vipose.app.core.recording import Recording, RecordingPlan
from vipose.app.core.recording_status import RecordingPhase, RecordingStatus
from vipose.app.core.session import LiveSession, SessionStatus
from vipose.app.core.settings import Settings, SettingsStore, whole_path
from vipose.app.core.snapshot import Snapshot, SnapshotWriter
from vipose.runtime.errors import UsageError, ViposeError
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.options import RunOptions, table

__all__ = ["LiveController"]

_CLOSE_S = 1.9
_OF_SOURCE = tuple(name for name, option in table().items() if option.applies == "source")
_NOTHING = "there is no picture yet; open a camera or a file first"


class LiveController(QObject):
    """Owns a session, at most one recording of it, and the writer of snapshots. Screen's thread only.

    Args:
        store: settings; a change there reaches the session at once.
        parent: as in Qt.
    """

    status_changed = Signal(object)
    """SessionStatus."""
    frame_arrived = Signal(object)
    """Shown."""
    recording_changed = Signal(object)
    """RecordingStatus."""
    snapshot_written = Signal(object)
    """Path of the picture."""
    settings_changed = Signal(object)
    """Settings."""
    problem = Signal(object)
    """ViposeError."""

    _session_moved = Signal()
    _recording_moved = Signal()
    _snapshot_done = Signal(object)
    _store_moved = Signal(object)

    def __init__(self, store: SettingsStore, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self._options = store.current.options
        self._status = SessionStatus()
        self._recording: Recording | None = None
        queued = Qt.ConnectionType.QueuedConnection
        self._session_moved.connect(self._pull, queued)
        self._recording_moved.connect(self._pull_recording, queued)
        self._snapshot_done.connect(self._on_snapshot, queued)
        self._store_moved.connect(self._follow)
        self._session = LiveSession(self._session_moved.emit, self.problem.emit)
        self._session.show_heat(store.current.view.heat)
        self._snapshots = SnapshotWriter(self._snapshot_done.emit)
        self._unsubscribe: Callable[[], None] = store.subscribe(self._store_moved.emit)

    @property
    def status(self) -> SessionStatus:
        """As it was last told."""
        return self._status

    @property
    def recording(self) -> RecordingStatus | None:
        """Of the present recording or the last one; None before the first."""
        return None if self._recording is None else self._recording.status

    @property
    def is_recording(self) -> bool:
        """Whether a recording takes frames or still writes them."""
        return self._recording is not None and self._recording.status.phase.active

    # What the user does

    def open(self, spec: SourceSpec) -> None:
        """Run this source, and remember it among the recent ones."""
        self.stop_recording()
        self._session.open(spec, self._store.current.options)

    def toggle(self) -> None:
        """Start, pause or go on."""
        if self._status.phase is Phase.RUNNING:
            self._session.pause()
        elif self._status.phase is Phase.PAUSED:
            self._session.resume()
        elif self._status.spec is not None and not self._status.phase.active:
            self.open(self._status.spec)

    def stop(self) -> None:
        """End the run; a recording is completed."""
        self.stop_recording()
        self._session.stop()

    def record(self) -> None:
        """Record what comes from now on."""
        if self.is_recording:
            return
        status, moment = self._status, self._session.moment
        if status.source is None or not status.phase.active:
            self.problem.emit(UsageError(_NOTHING))
            return
        settings = self._store.current
        plan = RecordingPlan(
            Path(whole_path(settings.results_folder)),
            status.source,
            settings.options,
            settings.formats,
            dict(status.graphs),
            status.provider,
            () if moment is None else (*moment.before, moment.result),
        )
        recording = Recording(plan, self._recording_moved.emit)
        self._recording = recording
        if not self._session.tap(recording):
            recording.finish()

    def stop_recording(self) -> None:
        """Take no more frames into the recording; its files are closed in the background."""
        if self._recording is not None and self._recording.status.phase.active:
            self._session.tap(None)
            self._recording.finish()

    def toggle_recording(self) -> None:
        """Begin to record, or end it."""
        if self.is_recording:
            self.stop_recording()
        else:
            self.record()

    def snapshot(self) -> None:
        """Write the present picture at its full size, annotated, and its people beside it."""
        status, moment = self._status, self._session.moment
        if status.source is None or moment is None:
            self.problem.emit(UsageError(_NOTHING))
            return
        settings = self._store.current
        self._snapshots.take(
            moment, Path(whole_path(settings.results_folder)), status.source, settings.options, dict(status.graphs)
        )

    def close(self) -> None:
        """End all threads; recordings are completed. Safe to call twice."""
        until_s = time.monotonic() + _CLOSE_S
        self._unsubscribe()
        self.stop_recording()
        self._session.close()
        if self._recording is not None:
            self._recording.close(max(0.1, until_s - time.monotonic()))
        self._snapshots.close()

    # What the threads say

    def _pull(self) -> None:
        status = self._session.status
        if status != self._status:
            self._status = status
            self.status_changed.emit(status)
            recording = self._recording
            if recording is not None and not status.tapped and recording.status.phase.active:
                recording.finish()  # the source has ended or gone away
        shown = self._session.take()
        if shown is not None:
            self.frame_arrived.emit(shown)

    def _pull_recording(self) -> None:
        if self._recording is None:
            return
        status = self._recording.status
        self.recording_changed.emit(status)
        if not status.phase.active and self._status.tapped:
            self._session.tap(None)
        if status.phase is RecordingPhase.FAILED:
            self.problem.emit(ViposeError(status.message))

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.error is not None:
            self.problem.emit(snapshot.error)
        elif snapshot.path is not None:
            self.snapshot_written.emit(snapshot.path)

    def _follow(self, settings: Settings) -> None:
        if settings.options != self._options:
            before, self._options = self._options, settings.options
            self._session.apply(settings.options)
            if self._recording is not None:
                self._recording.apply(settings.options)
            self._open_again(before)
        self._session.show_heat(settings.view.heat)
        self.settings_changed.emit(settings)

    def _open_again(self, before: RunOptions) -> None:
        """A camera that is asked for another resolution is opened anew; a file goes on, and a recording is not cut."""
        status = self._status
        asked = any(getattr(before, name) != getattr(self._options, name) for name in _OF_SOURCE)
        camera = status.source is not None and status.source.kind == "camera"
        if asked and camera and status.spec is not None and status.phase.active and not self.is_recording:
            self.open(status.spec)
