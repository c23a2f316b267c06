"""The live session: its phases, its frames, what changes while it runs, and that nothing of it is left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.app.live import FakeSource, people_picture, wait_until
from vipose.app.core import session_run
from vipose.app.core.phases import Phase
from vipose.app.core.session import LiveSession
from vipose.app.core.shown import Shown
from vipose.runtime.errors import DeviceError, OutputError, ViposeError
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.options import RunOptions
from vipose.runtime.types import Frame, FrameResult

SPEC = SourceSpec("camera:0", "camera", device=0)
OPTIONS = RunOptions(threads=1)
PICTURE = people_picture()


class Bench:
    """A session, the sources it opens, and everything it says."""

    def __init__(self) -> None:
        self.sources: list[FakeSource] = []
        self.make: Callable[[], FakeSource] = lambda: FakeSource(PICTURE)
        self.problems: list[ViposeError] = []
        self.changes = 0
        self.session = LiveSession(self._changed, self.problems.append)

    def _changed(self) -> None:
        self.changes += 1

    def open_source(self, spec: SourceSpec, options: RunOptions) -> FakeSource:
        self.sources.append(self.make())
        return self.sources[-1]

    def run(self, options: RunOptions = OPTIONS) -> None:
        self.session.open(SPEC, options)
        wait_until(lambda: self.phase is Phase.RUNNING)

    @property
    def phase(self) -> Phase:
        return self.session.status.phase

    def next(self, good: Callable[[Shown], object] = lambda shown: True) -> Shown:
        """The next frame of which ``good`` holds."""
        found: list[Shown] = []

        def look() -> bool:
            shown = self.session.take()
            if shown is not None and good(shown):
                found.append(shown)
            return bool(found)

        wait_until(look)
        return found[0]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench()
    monkeypatch.setattr(session_run, "open_chosen", bench.open_source)
    monkeypatch.setattr(session_run, "_RETRY_S", 0.02)
    yield bench
    bench.session.close()


def test_frames_come_with_people_and_what_the_pipeline_said(bench: Bench) -> None:
    bench.run()
    shown = bench.next(lambda s: s.result.people)
    assert shown.picture.shape == PICTURE.shape and not shown.picture.flags.writeable
    assert shown.mode == "t-vipnas" and shown.skeleton.name == "coco17" and shown.result.timings["total"] > 0
    status = bench.session.status
    assert status.source is not None and status.provider is not None and dict(status.graphs)["s-vipnas"]


def test_each_frame_is_taken_once_and_only_the_newest(bench: Bench) -> None:
    bench.run()
    first = bench.next()
    wait_until(lambda: bench.session.status.dropped >= 0 and bench.sources[0].decoded > 10)
    second = bench.next()
    assert second.result.index > first.result.index
    bench.session.pause()
    wait_until(lambda: bench.phase is Phase.PAUSED)


def test_what_nobody_could_take_is_counted(bench: Bench) -> None:
    bench.make = lambda: FakeSource(PICTURE, fps=2000)
    bench.run()
    shown = bench.next(lambda s: s.result.counters.dropped > 3)
    assert shown.result.counters.decoded + shown.result.counters.dropped <= bench.sources[0].decoded
    wait_until(lambda: bench.session.status.dropped > 3)


def test_pause_holds_a_file_and_goes_on_with_its_next_frame(bench: Bench) -> None:
    bench.make = lambda: FakeSource(PICTURE, live=False, fps=20)
    bench.run()
    bench.next()
    bench.session.pause()
    assert bench.phase is Phase.PAUSED
    read = bench.sources[0].decoded
    last = -1
    while (shown := bench.session.take()) is not None:
        last = shown.result.index
    threading.Event().wait(0.2)
    assert bench.sources[0].decoded <= read + 1
    bench.session.resume()
    assert bench.next(lambda s: s.result.index > last).result.index <= read + 2


def test_a_paused_camera_is_read_on_and_its_frames_are_not_drops(bench: Bench) -> None:
    bench.run()
    bench.next()
    bench.session.pause()
    dropped, read = bench.session.status.dropped, bench.sources[0].decoded
    wait_until(lambda: bench.sources[0].decoded > read + 10)
    bench.session.resume()
    shown = bench.next(lambda s: s.result.index > read + 5)
    assert shown.result.counters.dropped - dropped < 10


def test_a_file_comes_to_its_end_and_can_be_played_again(bench: Bench) -> None:
    bench.make = lambda: FakeSource(PICTURE, live=False, frames=5, fps=100)
    for _ in range(2):
        bench.session.open(SPEC, OPTIONS)
        wait_until(lambda: bench.phase is Phase.ENDED)
        assert bench.session.take() is not None
    assert len(bench.sources) == 2 and all(source.closed.is_set() for source in bench.sources)
    bench.session.stop()
    assert bench.phase is Phase.IDLE


def test_stop_frees_the_source_and_keeps_the_networks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    real = session_run.load

    def load(options: RunOptions) -> object:
        loads.append(options.mode)
        return real(options)

    monkeypatch.setattr(session_run, "load", load)
    for _ in range(2):
        bench.run()
        bench.session.stop()
        wait_until(lambda: bench.phase is Phase.IDLE)
        assert bench.session.take() is None and bench.sources[-1].closed.is_set()
    assert loads == ["t-vipnas"]


def test_another_source_replaces_the_one_that_runs(bench: Bench) -> None:
    bench.run()
    bench.run()
    assert len(bench.sources) == 2
    wait_until(lambda: bench.sources[0].closed.is_set())
    bench.next(lambda s: s.result.people)


def test_the_period_changes_at_once_and_people_keep_their_ids(bench: Bench) -> None:
    bench.run()
    before = bench.next(lambda s: any(p.kind == "propagated" for p in s.result.people))
    bench.session.apply(replace(OPTIONS, period=1))
    after = bench.next(lambda s: s.result.people and all(p.why == "every" for p in s.result.people))
    assert {p.id for p in after.result.people} & {p.id for p in before.result.people}
    assert after.result.counters.decoded > before.result.counters.decoded, "the counters went on"


def test_another_mode_is_loaded_beside_and_people_keep_their_ids(bench: Bench) -> None:
    bench.run()
    before = bench.next(lambda s: s.result.people)
    bench.session.apply(replace(OPTIONS, mode="efficientpose-a", period=3))
    after = bench.next(lambda s: s.mode == "efficientpose-a" and s.result.people)
    assert {p.id for p in after.result.people} & {p.id for p in before.result.people}
    assert bench.session.status.mode == "efficientpose-a" and not bench.session.status.loading
    assert len(bench.sources) == 1, "the source was not opened again"


def test_a_mode_that_cannot_be_loaded_is_said_and_the_old_one_goes_on(bench: Bench) -> None:
    bench.run()
    bench.session.apply(replace(OPTIONS, mode="no-such-mode"))
    wait_until(lambda: bench.problems)
    assert "no-such-mode" in str(bench.problems[0])
    seen = bench.next().result.index
    assert bench.next(lambda s: s.result.index > seen).mode == "t-vipnas"


def test_heads_are_blurred_also_on_a_picture_that_is_paused(bench: Bench) -> None:
    bench.run()
    sharp = bench.next(lambda s: s.result.people)
    assert np.array_equal(sharp.picture, PICTURE)
    bench.session.pause()
    while bench.session.take() is not None:
        pass
    bench.session.apply(replace(OPTIONS, head_blur=True))
    # A frame that was on its way when the pause began may still arrive, as it was made.
    assert bench.next(lambda s: not np.array_equal(s.picture, PICTURE)).result.people


def test_heatmaps_come_when_they_are_asked_for(bench: Bench) -> None:
    bench.run()
    assert bench.next(lambda s: s.result.people).heat == ()
    bench.session.show_heat("nose")
    shown = bench.next(lambda s: s.heat)
    assert {patch.person for patch in shown.heat} == {person.id for person in shown.result.people}


def test_an_unplugged_camera_is_tried_again_with_new_people(bench: Bench) -> None:
    bench.run()
    bench.next(lambda s: s.result.people)
    gone = threading.Event()
    bench.make = lambda: FakeSource(PICTURE) if gone.is_set() else _refuse()
    bench.session.tap(lambda *_: None)
    assert bench.session.status.tapped
    bench.sources[0].unplug()
    wait_until(lambda: bench.phase is Phase.RECONNECTING)
    status = bench.session.status
    assert "unplugged" in status.message and not status.tapped
    gone.set()
    wait_until(lambda: bench.phase is Phase.RUNNING)
    shown = bench.next(lambda s: s.result.people)
    assert shown.result.counters.decoded < 100 and bench.session.status.message == ""


def _refuse() -> FakeSource:
    raise DeviceError("camera:0 does not open; it is missing, in use or forbidden")


def test_reconnecting_can_be_stopped(bench: Bench) -> None:
    bench.run()
    bench.make = _refuse
    bench.sources[0].unplug()
    wait_until(lambda: bench.phase is Phase.RECONNECTING)
    bench.session.stop()
    wait_until(lambda: bench.phase is Phase.IDLE)


def test_a_source_that_does_not_open_is_a_failure_with_its_reason(bench: Bench) -> None:
    bench.make = _refuse
    bench.session.open(SPEC, OPTIONS)
    wait_until(lambda: bench.phase is Phase.FAILED)
    status = bench.session.status
    assert isinstance(status.error, DeviceError) and "in use" in status.message
    bench.make = lambda: FakeSource(PICTURE)
    bench.run()


def test_opening_that_hangs_can_be_left(bench: Bench) -> None:
    waiting, source = threading.Event(), FakeSource(PICTURE)

    def slow() -> FakeSource:
        waiting.wait(20)
        return source

    bench.make = slow
    bench.session.open(SPEC, OPTIONS)
    bench.session.stop()
    wait_until(lambda: bench.phase is Phase.IDLE, 5)
    waiting.set()
    wait_until(source.closed.is_set)


def test_a_sink_gets_every_frame_unblurred_and_one_that_fails_is_let_go(bench: Bench) -> None:
    got: list[tuple[Frame, FrameResult]] = []
    bench.run(replace(OPTIONS, head_blur=True))
    assert bench.session.tap(lambda frame, result, skeleton, age_s: got.append((frame, result)))
    wait_until(lambda: len(got) > 5)
    assert all(np.array_equal(frame.image, PICTURE) and frame.index == result.index for frame, result in got)
    counted = [result.counters.decoded for _, result in got]
    assert counted == list(range(counted[0], counted[0] + len(counted)))

    def full(*_: object) -> None:
        raise OutputError("the disk is full; free some space")

    bench.session.tap(full)
    wait_until(lambda: bench.problems and not bench.session.status.tapped)
    bench.next()


def test_there_is_nothing_to_tap_when_nothing_runs(bench: Bench) -> None:
    assert not bench.session.tap(lambda *_: None) and not bench.session.status.tapped


def test_large_pictures_are_scaled_down_for_the_screen(bench: Bench) -> None:
    large = np.repeat(np.repeat(PICTURE, 4, 0), 4, 1)
    bench.make = lambda: FakeSource(large)
    bench.run()
    shown = bench.next()
    assert max(shown.picture.shape) == 1920 and shown.result.size == (large.shape[1], large.shape[0])


@pytest.mark.parametrize("when", ["opening", "running", "paused"])
def test_closing_ends_everything(bench: Bench, when: str) -> None:
    bench.session.open(SPEC, OPTIONS)
    if when != "opening":
        wait_until(lambda: bench.phase is Phase.RUNNING)
    if when == "paused":
        bench.session.pause()
    bench.session.close()
    bench.session.close()
    bench.session.open(SPEC, OPTIONS)
    assert not [t for t in threading.enumerate() if t.name == "vipose-session"]
