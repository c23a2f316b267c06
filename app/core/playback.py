"""Plays stored results: a thread that reads, waits and fetches pictures, and hands over the newest frame only.

Commands may come from any thread. They set what is wanted and wake the thread; of several wishes the newest counts, so
that dragging a slider never queues anything up. One picture is fetched at a time.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vipose.app.core.footage import Footage
from vipose.app.core.playback_frames import FrameMaker, open_footage
from vipose.app.core.playback_state import SPEEDS, PlaybackStatus, PlayClock, PlayPhase, play_may_follow
from vipose.app.core.shown import Shown
from vipose.app.core.stored import LoadingStopped, load_stored
from vipose.runtime.drivers.queues import naming
from vipose.runtime.errors import UsageError, ViposeError
from vipose.runtime.media.seek import Interrupted
from vipose.runtime.privacy import BlurConfig

__all__ = ["Playback"]

_TELL_S = 0.1  # between two words about the progress of loading
_LATE_S = 0.25  # pictures that come later than this move the clock: a slow decoder must not race after it
_HOLE_S = 2.0  # a longer step between two frames is a hole, not something to wait for
_JOIN_S = 2.0


class Playback:
    """One result file at a time, with its pictures.

    Args:
        on_change: called from the playback's thread whenever :attr:`status` changed or a frame can be taken.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._status = PlaybackStatus()
        self._shown: Shown | None = None
        self._wanted_path: Path | None = None
        self._wanted_video: tuple[Path | None] | None = None
        self._wanted_position: int | None = None
        self._blur: BlurConfig | None = None
        self._clock = PlayClock(0.0, 1.0)
        self._frames: FrameMaker | None = None  # only the thread touches it

    @property
    def status(self) -> PlaybackStatus:
        """A snapshot; any thread may ask."""
        with self._changed:
            return self._status

    def take(self) -> Shown | None:
        """The newest frame, once; None where there is no newer one."""
        with self._changed:
            shown, self._shown = self._shown, None
            return shown

    def open(self, path: str | Path) -> None:
        """Open a result file or an OpenPose folder; what was open is closed. Errors arrive in ``status``."""
        with self._changed:
            if self._closing:
                return
            self._enter(PlayPhase.LOADING, path=Path(path), progress=0.0, stored=None, video=None, notices=(), position=0, error=None)
            self._wanted_path, self._wanted_video, self._wanted_position, self._shown = Path(path), None, None, None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="vipose-playback", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def choose_video(self, path: Path | None) -> None:
        """Show the pictures of another video, or None of any. One that cannot be opened leaves things as they are."""
        with self._changed:
            if self._status.phase.ready:
                self._wanted_video = (path,)
                self._changed.notify_all()

    def hide_heads(self, blur: BlurConfig | None) -> None:
        """Blur heads from now on, or show them."""
        with self._changed:
            if blur != self._blur:
                self._blur, self._shown = blur, None
                self._ask_again()

    def play(self) -> None:
        """Play on; from the beginning where the end was reached."""
        with self._changed:
            if self._status.phase is not PlayPhase.PAUSED:
                return
            self._enter(PlayPhase.PLAYING)
            at = self._status.position if self._wanted_position is None else self._wanted_position
            if at >= self._status.count - 1:
                at = self._wanted_position = 0
            self._start_clock(at)
            self._changed.notify_all()
        self._on_change()

    def pause(self) -> None:
        """Stay at the present frame."""
        with self._changed:
            if self._status.phase is not PlayPhase.PLAYING:
                return
            self._enter(PlayPhase.PAUSED)
            self._changed.notify_all()
        self._on_change()

    def toggle(self) -> None:
        """Play or pause."""
        if self.status.phase is PlayPhase.PLAYING:
            self.pause()
        else:
            self.play()

    def set_speed(self, speed: float) -> None:
        """Play at this speed; raises UsageError outside of 0.1 to 2."""
        if not SPEEDS[0] <= speed <= SPEEDS[-1]:
            raise UsageError(f"speed is {speed:g}; give {SPEEDS[0]:g} to {SPEEDS[-1]:g}")
        with self._changed:
            self._status = replace(self._status, speed=speed)
            self._clock.speed = speed
            self._start_clock(self._status.position)
            self._changed.notify_all()
        self._on_change()

    def seek(self, position: int) -> None:
        """Show the frame at a position, held within the file. The newest wish wins."""
        with self._changed:
            if self._status.phase.ready:
                self._wanted_position = min(max(position, 0), self._status.count - 1)
                self._start_clock(self._wanted_position)
                self._changed.notify_all()

    def step(self, frames: int) -> None:
        """Go so many frames on (or back) and pause."""
        self.pause()
        with self._changed:
            self.seek(self._here() + frames)

    def jump(self, seconds: float) -> None:
        """Go so many seconds on or back, at least one frame."""
        with self._changed:
            stored, here = self._status.stored, self._here()
            if stored is None:
                return
            there = stored.position_at(float(stored.times_s[here]) + seconds + 1e-6)
            self.seek(max(there, here + 1) if seconds > 0 else min(there, here - 1))

    def to_early(self, direction: int) -> bool:
        """Go to the next (1) or previous (-1) frame with an early key person; False where there is none."""
        with self._changed:
            stored = self._status.stored
            return stored is not None and self._to_mark(stored.early, direction)

    def to_appearance(self, direction: int, person: int | None = None) -> bool:
        """Go to where somebody (or this person) next comes in, or last came in; False where there is no such frame."""
        with self._changed:
            stored = self._status.stored
            if stored is None:
                return False
            marks = sorted({at for at, who in stored.appearances if person is None or who == person})
            return self._to_mark(tuple(marks), direction)

    def _to_mark(self, marks: tuple[int, ...], direction: int) -> bool:
        here = self._here()
        place = bisect_right(marks, here) if direction > 0 else bisect_left(marks, here) - 1
        if not 0 <= place < len(marks):
            return False
        self.seek(marks[place])
        return True

    def close(self) -> None:
        """End the thread and free the files; safe to call twice. Waits two seconds at most."""
        with self._changed:
            self._closing = True
            self._shown = None
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def _here(self) -> int:
        """Where the newest wish leads, else what is shown: steps add up also when they come faster than pictures."""
        return self._status.position if self._wanted_position is None else self._wanted_position

    def _start_clock(self, position: int) -> None:
        if self._status.stored is not None:
            self._clock.start(float(self._status.stored.times_s[position]))

    def _enter(self, phase: PlayPhase, **changes: object) -> None:
        """Under the lock: the next phase."""
        now = self._status.phase
        if not play_may_follow(now, phase):
            raise AssertionError(f"{phase} cannot follow {now}")
        self._status = replace(self._status, phase=phase, **changes)  # type: ignore[arg-type]

    def _ask_again(self) -> None:
        """Under the lock: the picture that is shown has to be made anew."""
        if self._status.phase.ready and self._wanted_position is None:
            self._wanted_position = self._status.position
            self._changed.notify_all()

    # What follows runs in the thread.

    def _run(self) -> None:
        try:
            while True:
                work = self._next_work()
                if work is None:
                    return
                try:
                    with naming("playback"):
                        self._do(work)
                except ViposeError as error:
                    self._fail(error)
                self._on_change()
        finally:
            self._let_go()
            with self._changed:
                self._enter(PlayPhase.CLOSED, stored=None)

    @staticmethod
    def _do(work: Callable[[], None]) -> None:
        try:
            work()
        except (LoadingStopped, Interrupted):
            return  # something newer is wanted

    def _next_work(self) -> Callable[[], None] | None:
        """Wait for something to do; None when it is time to end."""
        with self._changed:
            while not self._closing:
                if self._wanted_path is not None:
                    return self._load
                if self._wanted_video is not None:
                    return self._change_video
                if self._wanted_position is not None:
                    return self._show_wanted
                if self._status.phase is not PlayPhase.PLAYING:
                    self._changed.wait()
                    continue
                wait_s = self._until_next()
                if wait_s <= 0:
                    return self._play_on
                self._changed.wait(wait_s)
            return None

    def _until_next(self) -> float:
        """Under the lock: seconds until the next frame is due."""
        stored, following = self._status.stored, self._status.position + 1
        if stored is None or following >= len(stored):
            return 0.0
        due_s = self._clock.due_s(float(stored.times_s[following])) - time.monotonic()
        if due_s > _HOLE_S / self._clock.speed:
            self._clock.start(float(stored.times_s[following]))
            return 0.0
        return due_s

    def _stopped(self) -> bool:
        return self._closing or self._wanted_path is not None

    def _load(self) -> None:
        with self._changed:
            path, self._wanted_path = self._wanted_path, None
        if path is None:
            return
        self._let_go()
        stored = load_stored(path, self._tell_progress())
        footage, notices = open_footage(stored, self._stopped)
        self._frames = FrameMaker(stored, footage)
        with self._changed:
            if self._stopped():
                return
            notices = (*stored.warnings, *notices)
            self._enter(PlayPhase.PAUSED, stored=stored, video=footage.path, notices=notices, progress=1.0)
            self._wanted_position = 0

    def _tell_progress(self) -> Callable[[float], bool]:
        last_s = time.monotonic()

        def told(share: float) -> bool:
            nonlocal last_s
            if time.monotonic() - last_s > _TELL_S:
                last_s = time.monotonic()
                with self._changed:
                    self._status = replace(self._status, progress=share)
                self._on_change()
            return not self._stopped()

        return told

    def _change_video(self) -> None:
        with self._changed:
            wanted, self._wanted_video = self._wanted_video, None
            stored = self._status.stored
        if wanted is None or stored is None:
            return
        footage = Footage(stored, wanted[0], self._stopped)
        self._let_go()
        self._frames = FrameMaker(stored, footage)
        notices = (*stored.warnings, *((footage.note,) if footage.note else ()))
        with self._changed:
            self._status = replace(self._status, video=wanted[0], notices=notices, error=None)
            self._ask_again()

    def _show_wanted(self) -> None:
        with self._changed:
            position, self._wanted_position = self._wanted_position, None
        if position is not None:
            self._show(position)

    def _play_on(self) -> None:
        """Show what is due, or stop at the end."""
        with self._changed:
            stored, here = self._status.stored, self._status.position
            if stored is None or self._status.phase is not PlayPhase.PLAYING:
                return
            if here + 1 >= len(stored):
                self._enter(PlayPhase.PAUSED)
                return
            position = max(here + 1, stored.position_at(self._clock.now_s()))
        self._show(position)
        with self._changed:
            late_s = time.monotonic() - self._clock.due_s(float(stored.times_s[position]))
            if late_s > _LATE_S and self._wanted_position is None:
                self._start_clock(position)

    def _show(self, position: int) -> None:
        with self._changed:
            stored, blur = self._status.stored, self._blur
            playing = self._status.phase is PlayPhase.PLAYING
        if stored is None or self._frames is None:
            return
        due_s = self._clock.due_s(float(stored.times_s[position])) if playing else None
        shown = self._frames.make(position, blur, due_s)
        with self._changed:
            if self._stopped():
                return
            self._shown = shown
            self._status = replace(self._status, position=position)

    def _fail(self, error: ViposeError) -> None:
        """A file that cannot be read ends in FAILED; anything later leaves the last frame on the screen."""
        with self._changed:
            if self._stopped():
                return
            if self._status.phase is PlayPhase.LOADING:
                self._enter(PlayPhase.FAILED, error=error)
                return
            if self._status.phase is PlayPhase.PLAYING:
                self._enter(PlayPhase.PAUSED)
            self._status = replace(self._status, error=error)

    def _let_go(self) -> None:
        if self._frames is not None:
            self._frames.close()
        self._frames = None
