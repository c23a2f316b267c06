"""Drivers: order, bounds, stopping, and errors in each of the threads. None of it may hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from vipose.runtime.drivers.common import Limits, Ran
from vipose.runtime.drivers.file import run_file
from vipose.runtime.drivers.live import run_live
from vipose.runtime.drivers.queues import BoundedQueue, Cancelled, NewestSlot
from vipose.runtime.errors import DeviceError, InputError, OutputError
from vipose.runtime.smooth import ZeroPhase
from vipose.runtime.types import Frame, FrameResult, PersonResult, SourceInfo

pytestmark = pytest.mark.timeout(120)
SIZE = (32, 24)


class Source:
    """Numbered frames; fails after ``fail_after`` of them, waits ``pause_s`` before each."""

    clock_origin: float | None = None

    def __init__(self, frames: int, *, fail_after: int | None = None, pause_s: float = 0.0, error: Exception | None = None):
        self.info = SourceInfo("test", "video", SIZE)
        self.frames, self.fail_after, self.pause_s = frames, fail_after, pause_s
        self.error = error or InputError("the camera was unplugged; plug it in")

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.frames):
            if index == self.fail_after:
                raise self.error
            time.sleep(self.pause_s)
            yield Frame(index, index / 25, np.full((SIZE[1], SIZE[0], 3), index % 256, np.uint8))


class Recorder:
    """Remembers what it is given; raises at frame ``fail_at`` or when closed."""

    def __init__(self, *, fail_at: int | None = None, fail_close: bool = False, error: Exception | None = None) -> None:
        self.results: list[FrameResult] = []
        self.pictures: list[int] = []
        self.closed = 0
        self.fail_at, self.fail_close = fail_at, fail_close
        self.error = error or OutputError("the disk is full; free some space")

    def write(self, picture: np.ndarray | None, result: FrameResult) -> None:
        if len(self.results) == self.fail_at:
            raise self.error
        self.results.append(result)
        self.pictures.append(-1 if picture is None else int(picture[0, 0, 0]))

    def close(self, *, whole: bool) -> None:
        self.closed += 1
        self.whole = whole
        if self.fail_close:
            raise OutputError("cannot be closed; check the folder")


def process(frame: Frame) -> FrameResult:
    keypoints = np.full((17, 3), 0.5, np.float32) + frame.index
    person = PersonResult(1, np.array([0, 0, 20, 20], np.float32), 0.9, keypoints, keypoints, why="due")
    return FrameResult(frame.index, frame.time_s, SIZE, (person,))


def draw(frame: Frame, result: FrameResult, age_s: float) -> np.ndarray:
    assert frame.index == result.index and age_s >= 0
    return frame.image


def run(source: Source, recorder: Recorder, work: Callable[[Frame], FrameResult] = process, **more: object) -> Ran:
    stop = more.pop("stop", None) or threading.Event()
    return run_file(source, work, ZeroPhase(), draw, recorder, stop=stop, **more)  # type: ignore[arg-type]


def test_every_frame_once_in_order_with_its_own_picture() -> None:
    recorder = Recorder()
    ran = run(Source(200), recorder, limits=Limits(3))
    assert ran.error is None and not ran.interrupted and recorder.closed == 1 and recorder.whole
    assert [r.index for r in recorder.results] == list(range(200)) == [p for p in recorder.pictures]
    tally = ran.tally
    assert (tally.delivered, tally.processed, tally.written, tally.dropped) == (200, 200, 200, 0)
    assert (tally.key, tally.propagated, tally.ids) == (200, 0, {1})


@pytest.mark.parametrize("limits", [Limits(1), Limits(64), Limits(64, 1)])
def test_results_do_not_depend_on_queue_sizes(limits: Limits) -> None:
    plain, other = Recorder(), Recorder()
    run(Source(70), plain)
    run(Source(70), other, limits=limits)
    assert len(plain.results) == 70
    for a, b in zip(plain.results, other.results, strict=True):
        assert a.index == b.index and np.array_equal(a.people[0].smoothed, b.people[0].smoothed)


def test_without_pictures_nothing_is_drawn() -> None:
    recorder = Recorder()
    run_file(Source(40), process, ZeroPhase(), None, recorder, stop=threading.Event())
    assert recorder.pictures == [-1] * 40


def test_source_error_keeps_what_came_before() -> None:
    recorder = Recorder()
    ran = run(Source(100, fail_after=50), recorder)
    assert isinstance(ran.error, InputError) and "unplugged" in str(ran.error)
    assert len(recorder.results) == 50 and recorder.closed == 1


def test_pipeline_error_keeps_what_came_before() -> None:
    def broken(frame: Frame) -> FrameResult:
        if frame.index == 30:
            raise RuntimeError("boom")
        return process(frame)

    recorder = Recorder()
    ran = run(Source(10_000), recorder, broken, limits=Limits(2))
    assert "the pipeline failed (RuntimeError: boom)" in str(ran.error) and "\n" not in str(ran.error)
    assert len(recorder.results) == 30 and recorder.closed == 1


@pytest.mark.parametrize("error", [OutputError("the disk is full; free some space"), ZeroDivisionError("x")])
def test_writer_error_ends_the_run(error: Exception) -> None:
    recorder = Recorder(fail_at=20, error=error)
    ran = run(Source(100_000), recorder, limits=Limits(2))
    assert ran.error is not None and (str(error) in str(ran.error))
    assert len(recorder.results) == 20 and recorder.closed == 1
    assert ran.tally.delivered < 1000


def test_writer_error_on_the_last_frame_is_not_lost() -> None:
    ran = run(Source(5), Recorder(fail_at=4))
    assert isinstance(ran.error, OutputError)


def test_closing_error_is_reported_but_not_over_the_first() -> None:
    assert "cannot be closed" in str(run(Source(5), Recorder(fail_close=True)).error)
    assert "disk is full" in str(run(Source(5), Recorder(fail_at=1, fail_close=True)).error)


def test_result_of_another_frame_is_a_fault() -> None:
    ran = run(Source(5), Recorder(), lambda frame: replace(process(frame), index=frame.index + 1))
    assert "result 1 came back for frame 0" in str(ran.error)


def test_stop_writes_what_was_processed() -> None:
    stop = threading.Event()
    recorder = Recorder()

    def until_forty(frame: Frame) -> FrameResult:
        if frame.index == 40:
            stop.set()
        return process(frame)

    ran = run(Source(100_000), recorder, until_forty, stop=stop)
    assert ran.interrupted and ran.error is None and recorder.closed == 1 and not recorder.whole
    assert [r.index for r in recorder.results] == list(range(41))


def test_keyboard_interrupt_in_the_pipeline_is_a_stop() -> None:
    def interrupted(frame: Frame) -> FrameResult:
        if frame.index == 7:
            raise KeyboardInterrupt
        return process(frame)

    recorder = Recorder()
    ran = run(Source(1000), recorder, interrupted)
    assert ran.interrupted and len(recorder.results) == 7 and recorder.closed == 1


def test_no_threads_are_left() -> None:
    before = threading.active_count()
    run(Source(100_000), Recorder(fail_at=3))
    run(Source(100, fail_after=3), Recorder())
    assert threading.active_count() == before


class Window:
    """Closes after ``pictures`` pictures."""

    def __init__(self, pictures: int) -> None:
        self.left = pictures

    def show(self, image: np.ndarray) -> bool:
        self.left -= 1
        return self.poll()

    def poll(self) -> bool:
        return self.left > 0

    def close(self) -> None:
        pass


def test_closing_the_window_ends_a_file_run() -> None:
    recorder = Recorder()
    ran = run(Source(100_000), recorder, limits=Limits(2), window=Window(3))
    assert ran.interrupted and recorder.closed == 1 and 0 < len(recorder.results) < 100_000


def live(source: Source, recorder: Recorder | None, work: Callable[[Frame], FrameResult] = process, **more: object) -> Ran:
    stop = more.pop("stop", None) or threading.Event()
    return run_live(source, work, draw, recorder, stop=stop, **more)  # type: ignore[arg-type]


def test_live_takes_the_newest_and_counts_the_rest() -> None:
    def slow(frame: Frame) -> FrameResult:
        time.sleep(0.02)
        return process(frame)

    recorder = Recorder()
    ran = live(Source(100, pause_s=0.002), recorder, slow)
    tally = ran.tally
    indices = [r.index for r in recorder.results]
    assert ran.error is None and tally.dropped > 20
    assert tally.processed + tally.dropped == tally.delivered == 100
    assert indices == sorted(set(indices)) and indices[-1] == 99
    assert recorder.results[-1].counters.dropped == tally.dropped > recorder.results[0].counters.dropped
    assert tally.written == tally.processed and recorder.closed == 1


def test_live_age_counts_from_capture() -> None:
    source = Source(3, pause_s=0.01)
    source.clock_origin = time.monotonic() - 5
    ran = live(source, None)
    assert ran.tally.age_s > 4


def test_live_age_is_never_negative() -> None:
    source = Source(5, pause_s=0.01)
    source.clock_origin = time.monotonic() + 60  # opening took long: the first frame was late
    ran = live(source, None)
    assert 0 <= ran.tally.age_s < 30


def test_live_camera_unplugged_keeps_the_recording() -> None:
    recorder = Recorder()
    ran = live(Source(100, fail_after=10, pause_s=0.005, error=DeviceError("camera 0 went away; plug it in")), recorder)
    assert isinstance(ran.error, DeviceError) and recorder.closed == 1 and recorder.results


def test_live_ends_by_time_stop_and_window() -> None:
    assert live(Source(10_000, pause_s=0.002), Recorder(), end_s=0.1).error is None
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    assert live(Source(10_000, pause_s=0.002), Recorder(), stop=stop).interrupted
    closed = live(Source(10_000, pause_s=0.002), Recorder(), window=Window(2))
    assert closed.error is None and not closed.interrupted and closed.tally.processed < 100


def test_live_writer_error_ends_the_run() -> None:
    ran = live(Source(100_000, pause_s=0.001), Recorder(fail_at=3))
    assert isinstance(ran.error, OutputError)


def test_queue_is_bounded_by_count_and_bytes() -> None:
    queue = BoundedQueue[int](threading.Event(), 2, 100)
    most = 0

    def write() -> None:
        nonlocal most
        with queue.producing():
            for item in range(50):
                queue.put(item, 60)  # two of them would exceed the bytes
                most = max(most, len(queue))

    thread = threading.Thread(target=write)
    thread.start()
    assert list(queue) == list(range(50))
    thread.join()
    assert most <= 1


def test_queue_lets_an_item_through_that_alone_exceeds_the_bytes() -> None:
    queue = BoundedQueue[int](threading.Event(), 2, 10)
    queue.put(1, 1000)
    queue.close()
    assert list(queue) == [1]


def test_queue_writer_is_freed_when_the_reader_leaves_or_the_run_stops() -> None:
    stop = threading.Event()
    for free in (lambda q: q.leave(), lambda q: stop.set()):
        queue = BoundedQueue[int](stop, 1, 100)
        queue.put(1)
        threading.Timer(0.05, free, [queue]).start()
        with pytest.raises(Cancelled):
            queue.put(2)


def test_slot_gives_the_last_item_before_the_error() -> None:
    slot = NewestSlot[int](threading.Event())
    with slot.producing():
        slot.put(1)
        slot.put(2)
        raise InputError("gone; look")
    assert slot.dropped == 1 and slot.take() == 2
    with pytest.raises(InputError):
        slot.take()
    assert slot.ended


