"""Two modes side by side on one source: which frames they see, what they cost, how far they agree.

One thread (``vipose-compare``) runs both modes on each frame, one after the other, so that neither disturbs the other's times;
which of them goes first changes from frame to frame. The source is read in a thread of its own, and opening a source and loading
networks happen in threads that can be left behind. Every method here may be called from the screen's thread and returns at once,
but for :meth:`Comparison.close`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from vipose.app.core.compare_run import CompareRun
from vipose.app.core.compare_state import SIDES, CompareStatus, SideStatus, Wishes
from vipose.app.core.contender import Choice
from vipose.app.core.costs import CompareFigures
from vipose.app.core.phases import Phase, may_follow
from vipose.app.core.shown import Shown
from vipose.runtime.drivers.queues import naming
from vipose.runtime.errors import ViposeError
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.options import RunOptions

__all__ = ["Choice", "CompareStatus", "Comparison", "SideStatus"]

CLOSE_S = 1.8


@dataclass(frozen=True)
class _Request:
    spec: SourceSpec
    wishes: Wishes


class Comparison:
    """Runs comparisons, one at a time.

    Args:
        on_change: called, from any thread, when there is something new to :meth:`take` or in :attr:`status`; must return soon.

    Example:
        >>> comparison = Comparison(window.changed.emit)  # doctest: +SKIP
        >>> comparison.open(spec, Choice("s-vipnas"), Choice("t-vipnas"), RunOptions())  # doctest: +SKIP
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._changed = threading.Condition()
        self._status = CompareStatus()
        self._figures = CompareFigures()
        self._pair: tuple[Shown, Shown] | None = None
        self._next: _Request | None = None
        self._wishes: Wishes | None = None
        self._closing = self._stirred = False
        self._thread: threading.Thread | None = None

    # For the screen

    @property
    def status(self) -> CompareStatus:
        """Where it stands; a frozen snapshot."""
        return self._status

    def snapshot(self) -> CompareFigures:
        """Costs of both modes over the last seconds; kept after the end of a run."""
        return self._figures

    def take(self) -> tuple[Shown, Shown] | None:
        """Left and right view of the newest frame, each pair once; None where there is no newer one."""
        with self._changed:
            pair, self._pair = self._pair, None
            return pair

    def open(
        self, spec: SourceSpec, left: Choice, right: Choice, options: RunOptions, *, repeat: bool = False
    ) -> None:
        """Compare two modes on a source, after what runs now has been stopped; ``repeat``: see :meth:`repeat`.

        What goes wrong is in :attr:`status` (phase ``failed``).
        """
        with self._changed:
            if self._closing:
                return
            self._next = _Request(spec, Wishes(left, right, options, repeat))
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="vipose-compare", daemon=True)
                self._thread.start()
            if self._wishes is None:
                self._status = _opening(self._next)
            self._end_run()
        self._announce()

    def pause(self) -> None:
        """Show nothing new until :meth:`resume`; a camera stays open."""
        self._wish(paused=True)

    def resume(self) -> None:
        """Go on: a file with the very next frame, a camera with the newest."""
        self._wish(paused=False)

    def stop(self) -> None:
        """End the run; the last picture and its figures stay."""
        with self._changed:
            if self._next is not None and self._wishes is None:  # it has not begun
                self._status = CompareStatus()
            self._next = None
            self._end_run()
        self._announce()

    def change(self, *, left: Choice | None = None, right: Choice | None = None) -> None:
        """Choose another mode for one side or both; what runs goes on until the new networks are loaded."""
        chosen = {name: choice for name, choice in (("left", left), ("right", right)) if choice is not None}
        self._wish(**chosen)

    def repeat(self, on: bool) -> None:
        """Whether a file begins again at its end; its people are new people then, and the figures go on."""
        self._wish(repeat=on)

    def apply(self, options: RunOptions) -> None:
        """Other options: what can change while it runs does; the rest with the next :meth:`open`."""
        self._wish(options=options)

    def close(self) -> None:
        """End every thread within two seconds; safe to call twice."""
        with self._changed:
            self._closing, self._next = True, None
            thread = self._thread
            self._end_run()
        if thread is not None:
            thread.join(CLOSE_S)

    def _wish(self, **wanted: object) -> None:
        with self._changed:
            if self._wishes is not None and not self._wishes.stop:
                self._wishes = replace(self._wishes, **wanted)  # type: ignore[arg-type]
            if self._next is not None:
                self._next = replace(self._next, wishes=replace(self._next.wishes, **wanted))  # type: ignore[arg-type]
            self._stir()

    def _end_run(self) -> None:
        """Let the run that is under way end; its thread says when it has. Called under the lock."""
        if self._wishes is not None and not self._wishes.stop:
            self._wishes = replace(self._wishes, stop=True)
            self._status = replace(self._status, phase=Phase.STOPPING, message="Stopping…")
        self._stir()

    def _stir(self) -> None:
        """Let nobody sleep on. Called under the lock."""
        self._stirred = True
        self._changed.notify_all()

    def _announce(self) -> None:
        if not self._closing:  # nobody listens to the end any more
            self._on_change()

    # In the thread

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._next is not None)
                if self._closing:
                    return
                request, self._next = self._next, None
                assert request is not None  # waited for above
                self._wishes = request.wishes
                self._figures, self._pair = CompareFigures(), None
                self._status = _opening(request)
            self._announce()
            self._one(request)

    def _one(self, request: _Request) -> None:
        error: ViposeError | None = None
        try:
            with naming("the comparison"):
                CompareRun(request.spec, self).run()
        except ViposeError as failure:
            error = failure
        with self._changed:
            stopped = self._wishes is None or self._wishes.stop
            self._wishes = None
        sides = {side: replace(getattr(self._status, side), loading=False) for side in SIDES}
        if error is not None:
            self.tell(phase=Phase.FAILED, message=str(error), error=error, **sides)
        else:
            self.tell(phase=Phase.IDLE if stopped else Phase.ENDED, message="", **sides)

    # For the run

    def wishes(self) -> Wishes:
        """What the user wants now."""
        with self._changed:
            assert self._wishes is not None  # there is a run, or nobody would ask
            return self._wishes

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until something has changed since the last wait, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._stirred, timeout_s)
            self._stirred = False

    def wake(self) -> None:
        """End :meth:`wait`."""
        with self._changed:
            self._stir()

    def tell(self, **changes: object) -> None:
        """Change fields of the status; a phase that may not follow the present one is a fault.

        A run that is being stopped stays so, whatever it still has to say.
        """
        with self._changed:
            before = self._status.phase
            phase = changes.get("phase", before)
            assert isinstance(phase, Phase)
            if before == Phase.STOPPING and phase in (Phase.RUNNING, Phase.PAUSED):
                del changes["phase"]
            elif phase != before and not may_follow(before, phase):
                raise ViposeError(f"a comparison cannot go from {before} to {phase}; this is a fault of vipose, please report it")
            self._status = replace(self._status, **changes)  # type: ignore[arg-type]
        self._announce()

    def publish(self, pair: tuple[Shown, Shown], figures: CompareFigures | None = None) -> None:
        """Hand over the newest frame; one that nobody took is replaced."""
        with self._changed:
            self._pair = pair
            self._figures = figures or self._figures
        self._announce()


def _opening(request: _Request) -> CompareStatus:
    """The status while a source and its modes are being opened."""
    wishes = request.wishes
    return CompareStatus(
        Phase.OPENING,
        message=f"Opening {request.spec.text}…",
        left=SideStatus(wishes.left, loading=True),
        right=SideStatus(wishes.right, loading=True),
    )
