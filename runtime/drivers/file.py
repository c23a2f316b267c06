"""The file driver: decoder thread -> bounded queue -> pipeline (here) -> bounded queue -> encoder thread. Nothing is dropped.

Results do not depend on the sizes of the queues: each stage sees the same items in the same order.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace

from vipose.runtime.drivers.common import (
    Draw,
    Limits,
    Picture,
    Process,
    Ran,
    Recorder,
    Smoother,
    Source,
    Tally,
    Tick,
    close_recorder,
)
from vipose.runtime.drivers.queues import BoundedQueue, Cancelled, NewestSlot, naming
from vipose.runtime.errors import ViposeError
from vipose.runtime.show import Window
from vipose.runtime.types import Frame, FrameResult

__all__ = ["run_file"]

_JOIN_S = 10.0
_Drawn = tuple[Frame, FrameResult, float]


def run_file(
    source: Source,
    process: Process,
    smoother: Smoother,
    draw: Draw | None,
    recorder: Recorder,
    *,
    stop: threading.Event,
    limits: Limits | None = None,
    window: Window | None = None,
    tick: Tick | None = None,
) -> Ran:
    """Run every frame of a source through the pipeline, into the recorder.

    Args:
        source: frames; closed by the caller.
        process: :meth:`Pipeline.process`; called in this thread.
        smoother: of the results, may hold some back.
        draw: annotates a frame, in the encoder thread; None where no picture is wanted.
        recorder: written and closed here, whatever happens.
        stop: set it from anywhere to end the run early.
        limits: of each of the two queues.
        window: shows pictures as they are encoded; the run ends when the user closes it.
        tick: called after each frame, in this thread.

    Returns:
        How it ended. An error in any thread ends the run; frames processed before it are written.
    """
    limits = limits or Limits()
    began = time.monotonic()
    run = _FileRun(source, process, smoother, draw, recorder, stop, limits, window, tick)
    error = run.run()
    return Ran(run.tally, time.monotonic() - began, error, stop.is_set() and error is None)


class _FileRun:
    """State of one run: two threads, two queues, frames that wait for their smoothed result."""

    def __init__(
        self,
        source: Source,
        process: Process,
        smoother: Smoother,
        draw: Draw | None,
        recorder: Recorder,
        stop: threading.Event,
        limits: Limits,
        window: Window | None,
        tick: Tick | None,
    ) -> None:
        self._source, self._process, self._smoother = source, process, smoother
        self._draw, self._recorder, self._stop, self._window, self._tick = draw, recorder, stop, window, tick
        self.tally = Tally()
        self._inbound = BoundedQueue[tuple[Frame, float]](stop, limits.frames, limits.size_bytes)
        # What was processed is written even when the run is stopped: the way out has an event of its own.
        self._outbound = BoundedQueue[_Drawn](threading.Event(), limits.frames, limits.size_bytes)
        self._screen = NewestSlot[Picture](threading.Event())
        self._waiting: deque[tuple[Frame, float]] = deque()

    def run(self) -> ViposeError | None:
        decoder = threading.Thread(target=self._decode, name="vipose-decoder", daemon=True)
        encoder = threading.Thread(target=self._encode, name="vipose-encoder", daemon=True)
        decoder.start()
        encoder.start()
        error = self._collect()
        self._inbound.leave()
        self._outbound.close()
        encoder.join()
        decoder.join(_JOIN_S)  # it may sit in a read that takes long; nobody needs it any more
        whole = error is None and not self._stop.is_set()
        closing = close_recorder(self._recorder, self._outbound.reader_error, whole=whole)
        return error or closing

    def _collect(self) -> ViposeError | None:
        """The pipeline's loop; gives back what ended it early."""
        try:
            for frame, since in self._inbound:
                with naming("the pipeline"):
                    result = self._process(frame)
                self._waiting.append((frame if self._draw else _without_image(frame), since))
                self.tally.add(result)
                self._hand_on(self._smoother.push(result))
                self._show()
                if self._tick is not None:
                    self._tick(self.tally)
        except Cancelled:
            return None
        except KeyboardInterrupt:
            self._stop.set()
        except ViposeError as error:
            self._flush()
            return error
        return self._flush()

    def _flush(self) -> ViposeError | None:
        """Write what the smoother held back."""
        if self._outbound.reader_error is not None:
            return None
        try:
            with naming("smoothing"):
                self._hand_on(self._smoother.finish())
        except Cancelled:
            return None
        except ViposeError as error:
            return error
        return None

    def _show(self) -> None:
        """The newest encoded picture, if there is one; windows want to be fed from this thread."""
        if self._window is None:
            return
        picture = self._screen.take()
        if not (self._window.poll() if picture is None else self._window.show(picture)):
            self._stop.set()

    def _hand_on(self, results: list[FrameResult]) -> None:
        for result in results:
            frame, since = self._waiting.popleft()
            if frame.index != result.index:
                raise ViposeError(f"result {result.index} came back for frame {frame.index}; this is a fault of vipose")
            self._outbound.put((frame, result, since), frame.image.nbytes)

    def _decode(self) -> None:
        with self._inbound.producing(), naming("reading the source"):
            for frame in self._source:
                self.tally.delivered += 1
                self._inbound.put((frame, time.monotonic()), frame.image.nbytes)

    def _encode(self) -> None:
        with self._outbound.consuming(), naming("writing the outputs"):
            for frame, result, since in self._outbound:
                age_s = time.monotonic() - since
                picture = None if self._draw is None else self._draw(frame, result, age_s)
                if self._window is not None and picture is not None:
                    self._screen.put(picture)
                self._recorder.write(picture, result)
                self.tally.written += 1
                self.tally.age_s = age_s


def _without_image(frame: Frame) -> Frame:
    """So that frames which wait for the smoother take no memory where nothing is drawn."""
    return replace(frame, image=frame.image[:0, :0].copy())
