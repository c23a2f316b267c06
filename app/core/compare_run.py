"""One comparison from opening its source to its end: both modes on each frame, other modes loaded beside them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from vipose.app.core.background import Background
from vipose.app.core.compare_picture import BothHeads
from vipose.app.core.compare_state import SIDES, Owner, Side, SideStatus
from vipose.app.core.contender import Choice, Contender
from vipose.app.core.costs import CompareFigures, CostWindow
from vipose.app.core.pacing import Paced
from vipose.app.core.phases import Phase
from vipose.app.core.shown import Shown
from vipose.runtime.drivers.capture import Capture
from vipose.runtime.drivers.common import Picture
from vipose.runtime.errors import ViposeError
from vipose.runtime.job import open_chosen
from vipose.runtime.media.base import Source
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.options import RunOptions
from vipose.runtime.progress import Rate
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import Frame, FrameResult

__all__ = ["CompareRun"]

_LOOK_S = 0.05  # so often it looks for wishes while no frame comes
_FIGURES_S = 0.25  # people cannot read figures that change faster
_JOIN_S = 0.5


@dataclass
class _Last:
    """The newest frame, when it was captured, how many were dropped up to it, and what both modes said of it."""

    frame: Frame
    captured_s: float
    dropped: int
    results: dict[Side, FrameResult]


class _Seat:
    """One side of a run: the mode that runs there and the one that is being loaded beside it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._load: Background[Contender] | None = None
        self._wanted: tuple[Choice, RunOptions] | None = None
        self._choice: Choice | None = None
        self._error: ViposeError | None = None
        self.contender: Contender | None = None

    @property
    def status(self) -> SideStatus:
        """As it is now."""
        wanted = None if self._wanted is None else self._wanted[0]
        facts = None if self.contender is None else self.contender.facts
        return SideStatus(self._choice or wanted, facts, self._load is not None, self._error)

    def want(self, choice: Choice, options: RunOptions) -> bool:
        """Take note of what is wanted; loads it beside what runs where that cannot do it. True where anything is new."""
        if self._wanted == (choice, options):
            return False
        self._wanted, self._error = (choice, options), None
        self._give_up_loading()
        if self.contender is not None and self.contender.serves(choice, options):
            self.contender.follow(choice, options)
            self._choice = choice
        else:
            self._load = Background(
                lambda: Contender(choice, options), Contender.close, self._wake, "vipose-compare-loading"
            )
        return True

    def settle(self) -> bool:
        """Seat the mode that was loaded, if one was. True where the status is another one now.

        Raises:
            ViposeError: it could not be loaded, and nobody sits here whom it would have replaced.
        """
        if self._load is None or not self._load.finished:
            return False
        load, self._load = self._load, None
        try:
            newcomer = load.result()
        except ViposeError as error:
            if self.contender is None:
                raise
            self._error = error
            return True
        if self.contender is not None:
            newcomer.take_over(self.contender)
            self.contender.close()
        self.contender = newcomer
        self._choice = None if self._wanted is None else self._wanted[0]
        return True

    def close(self) -> None:
        """Free the networks; those that are still being loaded are freed when they come."""
        self._give_up_loading()
        if self.contender is not None:
            self.contender.close()

    def _give_up_loading(self) -> None:
        if self._load is not None:
            self._load.abandon()
            self._load = None


class CompareRun:
    """See the module.

    Args:
        spec: the source.
        owner: says what is wanted and hears what happens.
    """

    def __init__(self, spec: SourceSpec, owner: Owner) -> None:
        self._spec, self._owner = spec, owner
        self._seats = {side: _Seat(owner.wake) for side in SIDES}
        self._window = CostWindow()
        self._heads = BothHeads()
        self._rate = Rate()
        self._processed = self._dropped = 0
        self._figured_s = 0.0
        self._last: _Last | None = None

    def run(self) -> None:
        """From opening to the end of the source or until it is stopped.

        Raises:
            ViposeError: source or networks cannot be opened, or break.
        """
        with ExitStack() as networks:
            for seat in self._seats.values():
                networks.callback(seat.close)
            while self._play():
                self._begin_again()

    def _play(self) -> bool:
        """One pass over the source. True where it came to its end and shall be played again."""
        with ExitStack() as things:
            source = self._open(things)
            if source is None:
                return False
            paced = None if source.info.live else Paced(source)
            capture = Capture(paced or source)
            things.callback(capture.close, _JOIN_S)
            things.callback(source.close)
            if paced is not None:
                things.callback(paced.close)
            capture.start()
            self._owner.tell(phase=Phase.RUNNING, source=source.info, message="")
            self._loop(capture, paced)
            self._dropped += capture.dropped
        wishes = self._owner.wishes()
        return wishes.repeat and not wishes.stop and paced is not None and self._last is not None

    def _begin_again(self) -> None:
        for side in SIDES:
            self._contender(side).begin_again()
        self._heads = BothHeads()
        self._last = None

    def _open(self, things: ExitStack) -> Source | None:
        """The source, once the networks are there too; None where it was stopped before."""
        options = self._owner.wishes().options
        opening = Background(
            lambda: open_chosen(self._spec, options), Source.close, self._owner.wake, "vipose-compare-opening"
        )
        undo = things.enter_context(ExitStack())
        undo.callback(opening.abandon)
        while not self._owner.wishes().stop:
            self._meet_wishes()
            if opening.finished:
                source = opening.result()
                if all(seat.contender is not None for seat in self._seats.values()):
                    undo.pop_all()
                    return source
            self._owner.wait(_LOOK_S)
        return None

    def _meet_wishes(self) -> tuple[bool, set[Side]]:
        """Let both seats follow what is wanted: whether anything is new, and which sides have another mode now."""
        wishes = self._owner.wishes()
        before = {side: self._seats[side].contender for side in SIDES}
        new = [self._seats[side].want(wishes.choice(side), wishes.options) for side in SIDES]
        settled = [seat.settle() for seat in self._seats.values()]
        if not any(new) and not any(settled):
            return False, set()
        self._window.clear()  # figures of both sides are over the same frames, always
        self._owner.tell(**{side: self._seats[side].status for side in SIDES})
        return True, {side for side in SIDES if self._seats[side].contender is not before[side]}

    def _loop(self, capture: Capture, paced: Paced | None) -> None:
        paused = False
        while not (wishes := self._owner.wishes()).stop:
            new, changed = self._meet_wishes()
            if wishes.paused != paused:
                paused = wishes.paused
                self._pause(capture, paced, paused)
            if paused:
                if new and self._last is not None:
                    self._again(self._last, changed)
                self._owner.wait(_LOOK_S)
                continue
            item = capture.take(_LOOK_S)
            if item is not None:
                self._both(*item, self._dropped + capture.dropped)
            elif capture.ended:
                if self._last is not None:
                    self._publish(self._last, self._figures())
                return

    def _pause(self, capture: Capture, paced: Paced | None, on: bool) -> None:
        if paced is None:
            capture.hold(on)
        elif on:
            paced.pause()
        else:
            paced.resume()
        self._owner.tell(phase=Phase.PAUSED if on else Phase.RUNNING)

    def _both(self, frame: Frame, captured_s: float, dropped: int) -> None:
        """Both modes on one frame, by turns the left one first and the right one first."""
        order = SIDES if self._processed % 2 == 0 else reversed(SIDES)
        results = {side: self._contender(side).process(frame) for side in order}
        self._last = _Last(frame, captured_s, dropped, results)
        self._processed += 1
        self._rate.update(self._processed)
        now = time.monotonic()
        self._window.add(results["left"], results["right"], self._common_joints(), now)
        figures = None
        if now - self._figured_s >= _FIGURES_S:
            self._figured_s, figures = now, self._figures()
        self._publish(self._last, figures)

    def _again(self, last: _Last, changed: set[Side]) -> None:
        """The frame that stands still, as the modes see it that are others now: a held picture follows too."""
        for side in changed:
            last.results[side] = self._contender(side).process(last.frame)
        self._publish(last, self._figures())

    def _publish(self, last: _Last, figures: CompareFigures | None) -> None:
        options = self._owner.wishes().options
        self._heads.see({side: (self._contender(side).skeleton, last.results[side]) for side in SIDES}, options)
        picture = self._heads.picture(last.frame, options)
        self._owner.publish((self._shown("left", last, picture), self._shown("right", last, picture)), figures)

    def _shown(self, side: Side, last: _Last, picture: Picture) -> Shown:
        result, contender = last.results[side], self._contender(side)
        counted = replace(result, counters=replace(result.counters, dropped=last.dropped))
        return Shown(picture, counted, contender.skeleton, last.captured_s, self._rate.fps, mode=contender.name)

    def _figures(self) -> CompareFigures:
        """The figures now; totals go into the status as often."""
        dropped = 0 if self._last is None else self._last.dropped
        self._owner.tell(processed=self._processed, dropped=dropped, fps=self._rate.fps)
        return self._window.figures()

    def _common_joints(self) -> Skeleton | None:
        left, right = (self._contender(side).skeleton for side in SIDES)
        return left if left == right else None

    def _contender(self, side: Side) -> Contender:
        contender = self._seats[side].contender
        assert contender is not None  # _open waits for both
        return contender
