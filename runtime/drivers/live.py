"""The live driver: capture thread -> newest-frame slot -> pipeline and view (here) -> queue -> recorder thread.

Frames that come while the pipeline is busy replace each other: the newest wins, the others are counted as dropped, and the
delay stays that of one frame however long the run lasts.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from vipose.runtime.drivers.capture import Capture
from vipose.runtime.drivers.common import (
    Draw,
    Limits,
    Picture,
    Process,
    Ran,
    Recorder,
    Source,
    Tally,
    Tick,
    close_recorder,
)
from vipose.runtime.drivers.queues import BoundedQueue, Cancelled, naming
from vipose.runtime.errors import ViposeError
from vipose.runtime.show import Window
from vipose.runtime.types import Frame, FrameResult

__all__ = ["run_live"]

_LOOK_S = 0.02  # a window without new frames still reacts to the user this often


def run_live(
    source: Source,
    process: Process,
    draw: Draw | None,
    recorder: Recorder | None,
    *,
    stop: threading.Event,
    limits: Limits | None = None,
    end_s: float | None = None,
    window: Window | None = None,
    tick: Tick | None = None,
) -> Ran:
    """Run the newest frame of a live source through the pipeline, onto a window and into the recorder.

    Args:
        source: frames; closed by the caller. It is read in a thread of its own.
        process: :meth:`Pipeline.process`, with causal smoothing; called in this thread.
        draw: annotates a frame, in this thread; None where no picture is wanted.
        recorder: written in a thread of its own and closed here; None records nothing.
        stop: set it from anywhere to end the run.
        limits: of the queue before the recorder; where that cannot keep up, frames are dropped, and counted.
        end_s: end after so many seconds of capture.
        window: shows each picture; the run ends when the user closes it.
        tick: called after each frame, in this thread.

    Returns:
        How it ended. A camera that goes away ends the run with its error; what was recorded is kept.
    """
    run = _LiveRun(source, process, draw, recorder, stop, limits or Limits(), window, tick)
    began = time.monotonic()
    error = run.run(None if end_s is None else began + end_s)
    return Ran(run.tally, time.monotonic() - began, error, stop.is_set() and error is None)


class _LiveRun:
    def __init__(
        self,
        source: Source,
        process: Process,
        draw: Draw | None,
        recorder: Recorder | None,
        stop: threading.Event,
        limits: Limits,
        window: Window | None,
        tick: Tick | None,
    ) -> None:
        self._process, self._draw, self._recorder = process, draw, recorder
        self._stop, self._window, self._tick = stop, window, tick
        self.tally = Tally()
        self._capture = Capture(source)
        self._outbound = BoundedQueue[tuple[Picture | None, FrameResult]](
            threading.Event(), limits.frames, limits.size_bytes
        )

    def run(self, deadline: float | None) -> ViposeError | None:
        record = threading.Thread(target=self._record, name="vipose-recorder", daemon=True)
        self._capture.start()
        record.start()
        error = self._loop(deadline)
        self._outbound.close()
        record.join()
        self._capture.close()
        self.tally.delivered, self.tally.dropped = self._capture.delivered, self._capture.dropped
        whole = error is None and not self._stop.is_set()
        closing = close_recorder(self._recorder, self._outbound.reader_error, whole=whole)
        return error or closing

    def _loop(self, deadline: float | None) -> ViposeError | None:
        try:
            while not self._stop.is_set() and (deadline is None or time.monotonic() < deadline):
                item = self._capture.take(_LOOK_S)
                if item is not None:
                    self._one(*item)
                elif self._capture.ended:
                    return None
                if self._window is not None and not self._window.poll():
                    return None
        except Cancelled:
            return None
        except KeyboardInterrupt:
            self._stop.set()
        except ViposeError as error:
            return error
        return None

    def _one(self, frame: Frame, captured: float) -> None:
        with naming("the pipeline"):
            result = self._process(frame)
        self.tally.delivered, self.tally.dropped = self._capture.delivered, self._capture.dropped
        result = replace(result, counters=replace(result.counters, dropped=self.tally.dropped))
        self.tally.add(result)
        picture = None
        if self._draw is not None:
            self.tally.age_s = time.monotonic() - captured
            with naming("drawing"):
                picture = self._draw(frame, result, self.tally.age_s)
        if self._window is not None and picture is not None:
            self._window.show(picture)
        self.tally.age_s = time.monotonic() - captured
        if self._recorder is not None:
            self._outbound.put((picture, result), 0 if picture is None else picture.nbytes)
        if self._tick is not None:
            self._tick(self.tally)

    def _record(self) -> None:
        with self._outbound.consuming(), naming("writing the outputs"):
            for picture, result in self._outbound:
                if self._recorder is not None:
                    self._recorder.write(picture, result)
                    self.tally.written += 1
