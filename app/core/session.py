"""The live session as the screen sees it: commands that return at once, a status, and the newest frame.

A run (``session_run``) does the work in threads of its own, one run for each source that is opened.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from vipose.app.core.networks import same_networks
from vipose.app.core.phases import Phase, may_follow
from vipose.app.core.session_run import Run, Sink
from vipose.app.core.shown import Shown
from vipose.app.core.snapshot import Moment
from vipose.runtime.errors import ViposeError
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.modes import Mode
from vipose.runtime.options import RunOptions
from vipose.runtime.providers import ProviderReport
from vipose.runtime.types import SourceInfo

__all__ = ["LiveSession", "SessionStatus"]

_CLOSE_S = 1.2


@dataclass(frozen=True)
class SessionStatus:
    """What the screen may know of a session at one moment.

    Attributes:
        phase: where it stands.
        run: 1, 2, … of the sources that were opened: with another one everything begins anew.
        spec: the source that was asked for, None before the first one.
        source: what was got, None until it is open.
        message: a line for the user: why it failed, what it waits for.
        error: what ended it, None unless the phase is failed.
        mode: name of the mode in use, "" before it is loaded.
        graphs: SHA-256 of the graphs in use, by name.
        loading: other networks are being loaded.
        provider: what runs the networks, None before they are loaded.
        dropped: frames that were never processed.
        tapped: a sink gets every processed frame (see :meth:`LiveSession.tap`).
    """

    phase: Phase = Phase.IDLE
    run: int = 0
    spec: SourceSpec | None = None
    source: SourceInfo | None = None
    message: str = ""
    error: ViposeError | None = None
    mode: str = ""
    graphs: tuple[tuple[str, str], ...] = ()
    loading: bool = False
    provider: ProviderReport | None = None
    dropped: int = 0
    tapped: bool = False


class LiveSession:
    """Runs one source at a time.

    Args:
        on_change: called from worker threads when there is a new status or frame; it must return at once. It says only
            that there is something to look at: several changes may be one call.
        on_problem: called from worker threads with what went wrong without ending the session.
    """

    def __init__(self, on_change: Callable[[], None], on_problem: Callable[[ViposeError], None]) -> None:
        self._on_change, self._on_problem = on_change, on_problem
        self._lock = threading.RLock()
        self._status = SessionStatus()
        self._shown: Shown | None = None
        self._run: Run | None = None
        self._kept: tuple[RunOptions, Mode] | None = None
        self._heat = ""
        self._closed = False

    # What the screen asks

    @property
    def status(self) -> SessionStatus:
        """The present status."""
        with self._lock:
            return self._status

    def take(self) -> Shown | None:
        """The newest frame, each once; None where there is none since the last call."""
        with self._lock:
            shown, self._shown = self._shown, None
            return shown

    @property
    def moment(self) -> Moment | None:
        """The newest frame of the present source, whole and with heads not blurred, and the results before it; or None."""
        with self._lock:
            return None if self._run is None else self._run.moment

    # What the user wants

    def open(self, spec: SourceSpec, options: RunOptions) -> None:
        """Leave what is running, and run this source."""
        with self._lock:
            if self._closed:
                return
            before = self._leave()
            if self._status.phase is not Phase.IDLE:
                self._enter(Phase.IDLE)
            self._shown = None
            run = self._run = Run(self, spec, options, self._heat, before)
            self._status = SessionStatus(run=self._status.run + 1, spec=spec)
            self._enter(Phase.OPENING)
        run.start()
        self._on_change()

    def pause(self) -> None:
        """Hold the picture; does nothing unless it runs."""
        with self._lock:
            if self._status.phase is not Phase.RUNNING or self._run is None:
                return
            self._run.pause(True)
            self._enter(Phase.PAUSED)
        self._on_change()

    def resume(self) -> None:
        """Go on; a file goes on with the very next frame."""
        with self._lock:
            if self._status.phase is not Phase.PAUSED or self._run is None:
                return
            self._run.pause(False)
            self._enter(Phase.RUNNING)
        self._on_change()

    def stop(self) -> None:
        """End the run and free camera or file; the networks stay loaded."""
        with self._lock:
            if self._status.phase in (Phase.ENDED, Phase.FAILED):
                self._enter(Phase.IDLE)
            self._leave()
            self._shown = None
        self._on_change()

    def apply(self, options: RunOptions) -> None:
        """Go on with other options: at once, or as soon as other networks are loaded (see ``Option.applies``)."""
        with self._lock:
            if self._run is not None:
                self._run.apply(options)

    def show_heat(self, heat: str) -> None:
        """Send heatmaps along with frames: "" for none, ``viewstate.HEAT_ALL`` or the name of a joint."""
        with self._lock:
            self._heat = heat
            if self._run is not None:
                self._run.show_heat(heat)

    def tap(self, sink: Sink | None) -> bool:
        """Give every frame that is processed from now on to a sink, in the session's thread; None ends that.

        The sink is let go when the source goes away, since ids begin anew after it; ``status.tapped`` tells.

        Returns:
            False where nothing runs, so that there is nothing to tap.
        """
        with self._lock:
            alive = self._run is not None and self._status.phase in (Phase.RUNNING, Phase.PAUSED)
            if self._run is not None:
                self._run.tap(sink if alive else None)
            self._status = replace(self._status, tapped=alive and sink is not None)
        self._on_change()
        return alive

    def close(self) -> None:
        """End everything; a thread that hangs in a driver is left behind after 1.2 s. Safe to call twice."""
        with self._lock:
            self._closed = True
            run = self._leave()
        if run is not None:
            run.join(_CLOSE_S)
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is not None:
            kept[1].close()

    # What the run says; ``run`` tells a present one from one that was left

    def report(self, run: Run, phase: Phase | None = None, **changes: Any) -> None:
        """Change the status on behalf of a run; one that was left is not listened to any more."""
        with self._lock:
            if run is not self._run:
                return
            self._status = replace(self._status, **changes)
            if phase is not None and phase is not self._status.phase:
                self._enter(phase)
        self._on_change()

    def publish(self, run: Run, shown: Shown) -> None:
        """Put the newest frame where the screen finds it."""
        with self._lock:
            if run is not self._run or self._status.phase is Phase.STOPPING:
                return
            waiting, self._shown = self._shown is not None, shown
        if not waiting:
            self._on_change()

    def problem(self, run: Run, error: ViposeError) -> None:
        """Something went wrong, and the run goes on."""
        if run is self._run:
            self._on_problem(error)

    def ended(self, run: Run) -> None:
        """The run's thread is about to end after it was stopped."""
        with self._lock:
            if run is self._run and self._status.phase is Phase.STOPPING:
                self._enter(Phase.IDLE)
                self._run = None
        self._on_change()

    def take_networks(self, options: RunOptions) -> Mode | None:
        """Networks that are loaded already, where they are the ones wanted."""
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is None:
            return None
        if same_networks(kept[0], options):
            return kept[1]
        kept[1].close()
        return None

    def keep_networks(self, options: RunOptions, mode: Mode) -> None:
        """Keep networks for the next run."""
        with self._lock:
            late = self._closed or self._kept is not None
            if not late:
                self._kept = options, mode
        if late:
            mode.close()

    # Inside the lock

    def _leave(self) -> Run | None:
        """Tell the present run to end; gives it back, so that somebody can wait for it."""
        run = self._run
        if run is None:
            return None
        run.stop()
        if self._status.phase.active:
            if self._status.phase is not Phase.STOPPING:
                self._enter(Phase.STOPPING)
        else:
            self._run = None
        self._status = replace(self._status, tapped=False)
        return run

    def _enter(self, phase: Phase) -> None:
        now = self._status.phase
        if not may_follow(now, phase):
            raise RuntimeError(f"a live session cannot go from {now} to {phase}")
        self._status = replace(self._status, phase=phase)
