"""Recordings of a session: what is in the files, and how they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.fixtures import clips
from tests.fixtures.people import frame_result, standing
from vipose.app.core.recording import Recording, RecordingPhase, RecordingPlan
from vipose.app.core.recording_names import free_base, recording_name
from vipose.app.core.recording_status import may_follow
from vipose.app.core.timeline import Timeline
from vipose.runtime.errors import OutputError
from vipose.runtime.media.writer import VideoWriter
from vipose.runtime.options import RunOptions
from vipose.runtime.recording import FrameRecorder
from vipose.runtime.results.convert import convert
from vipose.runtime.results.native import read_native
from vipose.runtime.skeleton import COCO17, MPII16
from vipose.runtime.types import Counters, Frame, FrameResult, SourceInfo

SIZE = (96, 64)
CAMERA = SourceInfo("HD Webcam", "camera", SIZE, fps=25.0, live=True)
FILE = SourceInfo("clips/dance.mp4", "video", SIZE, fps=25.0, frames=500, audio=True)
NOON = datetime(2026, 11, 21, 12, 0, 5)


def moment(number: int, *, index: int | None = None, time_s: float | None = None, size: tuple[int, int] = SIZE, **fields: Any) -> tuple[Frame, FrameResult]:
    """A frame that shows ``number``, with one person on it."""
    index = 100 + 2 * number if index is None else index  # every second one was dropped
    time_s = index / 25 if time_s is None else time_s
    image = clips.picture(number % 64, size)
    image.flags.writeable = False
    people = fields.pop("people", (standing(1, (30, 10, 60, 60)),))
    counters = fields.pop("counters", Counters(decoded=number + 1, dropped=number))
    result = frame_result(*people, size=size, index=index, time_s=time_s, counters=counters)
    return Frame(index, time_s, image, "camera"), result


class Bench:
    """Makes recordings and closes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "Videos" / "vipose"
        self.made: list[Recording] = []
        self.changes = 0

    def begin(self, source: SourceInfo = CAMERA, *, now: Callable[[], datetime] = lambda: NOON, **plan: Any) -> Recording:
        recording = Recording(RecordingPlan(plan.pop("folder", self.folder), source, **plan), self.changed, now=now)
        self.made.append(recording)
        return recording

    def changed(self) -> None:
        self.changes += 1

    @staticmethod
    def give(recording: Recording, *moments: tuple[Frame, FrameResult]) -> None:
        for frame, result in moments:
            recording(frame, result, COCO17, 0.02)

    def record(self, *moments: tuple[Frame, FrameResult], **plan: Any) -> Recording:
        """A whole recording of these frames."""
        recording = self.begin(**plan)
        self.give(recording, *moments)
        recording.finish()
        wait(lambda: not recording.status.phase.active)
        return recording


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for recording in bench.made:
        recording.close()
    assert not [t for t in threading.enumerate() if t.name == "vipose-recording" and t.is_alive()]


def wait(good: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not good():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)


def pictures(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def test_a_camera_is_recorded_on_the_clock_of_its_video(bench: Bench) -> None:
    recording = bench.record(*(moment(n) for n in range(12)), formats=("native", "csv", "trc"))
    status = recording.status
    assert status.phase is RecordingPhase.DONE and status.message == ""
    assert status.frames == 12 and status.seconds == pytest.approx(22 / 25)
    assert status.path == bench.folder / "HD Webcam 2026-11-21 12-00-05.mp4"
    assert status.results == bench.folder / "HD Webcam 2026-11-21 12-00-05.jsonl"
    assert status.size_bytes == sum(path.stat().st_size for path in status.outputs)
    shown, results = pictures(status.path), list(read_native(status.results))
    assert [t for t, _ in shown] == pytest.approx([r.time_s for r in results], abs=1e-4)
    assert [r.time_s for r in results] == pytest.approx([2 * n / 25 for n in range(12)], abs=1e-6)
    assert [r.index for r in results] == list(range(12))
    assert [r.counters.dropped for r in results] == list(range(12))
    assert {p.name for p in bench.folder.iterdir()} == {p.name for p in status.outputs}
    header = read_native(status.results).header
    assert header.source == replace(CAMERA, frames=None)
    assert header.settings["recorded_from"] == {"index": 100, "time_s": 4.0}
    assert header.settings["save"] == ["native", "csv", "trc"]


def test_the_results_of_a_recording_convert(bench: Bench, tmp_path: Path) -> None:
    status = bench.record(*(moment(n) for n in range(3))).status
    assert status.results is not None
    convert(status.results, tmp_path / "out.csv")
    assert len((tmp_path / "out.csv").read_text("utf-8").splitlines()) == 1 + 3 * 17


def test_results_of_a_file_point_at_the_frames_of_that_file(bench: Bench) -> None:
    status = bench.record(*(moment(n) for n in range(3)), source=FILE).status
    assert status.path is not None and status.path.name == "dance 2026-11-21 12-00-05.mp4"
    assert status.results is not None
    results = list(read_native(status.results))
    assert [r.index for r in results] == [100, 102, 104]
    assert [r.time_s for r in results] == pytest.approx([4.0, 4.08, 4.16])
    assert [t for t, _ in pictures(status.path)] == pytest.approx([0, 0.08, 0.16], abs=1e-4)
    header = read_native(status.results).header
    assert header.source.name == "clips/dance.mp4" and header.source.frames is None and not header.source.audio


def test_a_recording_says_where_it_stands(bench: Bench) -> None:
    recording = bench.begin()
    assert recording.status.phase is RecordingPhase.STARTING and recording.status.path is None
    bench.give(recording, moment(0))
    wait(lambda: recording.status.frames == 1)
    assert recording.status.phase is RecordingPhase.RECORDING
    assert recording.status.path is not None and bench.changes > 0
    recording.finish()
    recording.finish()
    bench.give(recording, moment(1))  # too late: not recorded, no error
    wait(lambda: recording.status.phase is RecordingPhase.DONE)
    assert recording.status.frames == 1


def test_phases_end_where_they_should() -> None:
    ends = [phase for phase in RecordingPhase if not any(may_follow(phase, then) for then in RecordingPhase)]
    assert ends == [phase for phase in RecordingPhase if not phase.active]
    assert all(may_follow(RecordingPhase.FINISHING, end) for end in ends)


def test_without_a_frame_there_is_no_file(bench: Bench) -> None:
    status = bench.record().status
    assert status.phase is RecordingPhase.DONE and status.path is None
    assert "no frame" in status.message
    assert not bench.folder.exists()


def test_nothing_is_overwritten(bench: Bench) -> None:
    first = bench.begin()
    second = bench.begin()
    bench.give(first, moment(0))
    bench.give(second, moment(0))
    for recording in (first, second):
        recording.finish()
        wait(lambda recording=recording: not recording.status.phase.active)
    third = bench.record(moment(0))
    names = sorted(r.status.path.name for r in (first, second, third) if r.status.path is not None)
    base = "HD Webcam 2026-11-21 12-00-05"
    assert names == [f"{base} (2).mp4", f"{base} (3).mp4", f"{base}.mp4"]


def test_another_size_ends_the_recording_with_valid_files(bench: Bench) -> None:
    recording = bench.begin()
    bench.give(recording, moment(0), moment(1), moment(2, size=(64, 96)), moment(3))
    wait(lambda: not recording.status.phase.active)
    status = recording.status
    assert status.phase is RecordingPhase.DONE and status.frames == 2
    assert "96x64 to 64x96" in status.message
    assert status.path is not None and len(pictures(status.path)) == 2


def test_another_skeleton_ends_the_recording(bench: Bench) -> None:
    recording = bench.begin()
    bench.give(recording, moment(0))
    frame, result = moment(1, people=())
    recording(frame, result, MPII16, 0.0)
    wait(lambda: not recording.status.phase.active)
    assert "joints" in recording.status.message and recording.status.frames == 1


def test_a_file_that_begins_again_ends_the_recording(bench: Bench) -> None:
    recording = bench.begin(FILE)
    bench.give(recording, moment(0), moment(1), moment(2, index=0))
    wait(lambda: not recording.status.phase.active)
    assert "began again" in recording.status.message and recording.status.frames == 2


def test_a_camera_that_comes_back_goes_on_with_new_ids() -> None:
    line = Timeline(own=True)
    two = (standing(1), standing(4))
    placed = [
        line.place(moment(0, index=50, time_s=9.0, people=two)[1], 100.0),
        line.place(moment(1, index=51, time_s=9.1, people=())[1], 100.1),
        line.place(moment(0, index=0, time_s=0.0, people=two)[1], 103.0),
        line.place(moment(1, index=2, time_s=0.5, people=two)[1], 103.5),
        line.place(moment(0, index=3, time_s=0.6, people=two)[1], 103.6),  # another pipeline, the same clock
    ]
    results = [r for r in placed if r is not None]
    assert [r.index for r in results] == [0, 1, 2, 3, 4]
    assert [r.time_s for r in results] == pytest.approx([0, 0.1, 3.0, 3.5, 3.6])
    assert [[p.id for p in r.people] for r in results] == [[1, 4], [], [5, 8], [5, 8], [9, 12]]


def test_ids_go_on_where_a_file_gets_another_pipeline() -> None:
    line = Timeline(own=False)
    first = line.place(moment(5, index=5, people=(standing(3),))[1], 0.0)
    second = line.place(moment(0, index=6, people=(standing(1),))[1], 0.1)
    assert first is not None and second is not None
    assert [p.id for r in (first, second) for p in r.people] == [3, 4] and second.index == 6


def test_a_disk_that_is_full_ends_it_with_one_line_and_keeps_what_was_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = VideoWriter.write

    def full(self: VideoWriter, image: Any, time_s: float) -> None:
        if self.frames == 3:
            raise OutputError("cannot write it (No space left on device); make room on the disk")
        write(self, image, time_s)

    monkeypatch.setattr(VideoWriter, "write", full)
    recording = bench.begin()
    for n in range(50):  # the session goes on, whatever happens to the recording
        bench.give(recording, moment(n))
    wait(lambda: not recording.status.phase.active)
    status = recording.status
    assert status.phase is RecordingPhase.FAILED and "No space left" in status.message and "\n" not in status.message
    assert status.path is not None and len(pictures(status.path)) == 3
    assert status.results is not None and len(list(read_native(status.results))) == 4  # results come first


def test_a_folder_that_cannot_be_is_one_line(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    recording = bench.begin(folder=tmp_path / "file" / "inside")
    bench.give(recording, moment(0))
    wait(lambda: not recording.status.phase.active)
    bench.give(recording, moment(1))
    status = recording.status
    assert status.phase is RecordingPhase.FAILED and status.path is None and status.outputs == ()
    assert "cannot be written" in status.message and "\n" not in status.message


class Gate:
    """Holds the recorder's writing back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        write = FrameRecorder.write

        def held(recorder: FrameRecorder, picture: Any, result: FrameResult) -> None:
            self.reached.set()
            self.open.wait(20)
            write(recorder, picture, result)

        monkeypatch.setattr(FrameRecorder, "write", held)


def test_a_disk_that_cannot_keep_up_holds_the_session_and_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    recording = bench.begin(options=RunOptions(queue_frames=2))
    given: list[int] = []

    def session() -> None:
        for n in range(6):
            bench.give(recording, moment(n))
            given.append(n)

    thread = threading.Thread(target=session)
    thread.start()
    assert gate.reached.wait(20)
    wait(lambda: len(given) == 3)  # one is being written, two wait
    time.sleep(0.2)
    assert given == [0, 1, 2]
    assert recording.status.slow and recording.status.waiting == 2
    gate.open.set()
    thread.join(20)
    recording.finish()
    wait(lambda: not recording.status.phase.active)
    assert recording.status.frames == 6 and not recording.status.slow


def test_closing_does_not_wait_for_a_disk_that_hangs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    recording = bench.begin()
    bench.give(recording, *(moment(n) for n in range(5)))
    assert gate.reached.wait(20)
    recording.close(0.4)
    assert recording.status.phase is RecordingPhase.FINISHING
    gate.open.set()
    wait(lambda: not recording.status.phase.active)
    status = recording.status
    assert "The last 4 frames were not written" in status.message
    assert status.path is not None and len(pictures(status.path)) == 1


def test_other_options_change_the_picture_from_the_next_frame_on(bench: Bench) -> None:
    recording = bench.begin()
    bench.give(recording, moment(0, people=()))
    recording.apply(RunOptions(black_background=True))
    bench.give(recording, moment(1, people=()))
    recording.apply(RunOptions(mirror=True))
    bench.give(recording, moment(2, people=()))
    recording.finish()
    wait(lambda: not recording.status.phase.active)
    assert recording.status.path is not None
    below = [image[-20:] for _, image in pictures(recording.status.path)]  # below the status strip
    assert below[0].mean() > 60 and below[1].mean() < 30
    assert np.abs(below[2][:, ::-1].astype(int) - below[0]).mean() < 12


@pytest.mark.parametrize("late", [False, True])
def test_heads_that_were_seen_before_stay_hidden(bench: Bench, late: bool) -> None:
    size = (192, 256)
    noise = np.random.default_rng(0).integers(0, 2, (256, 192, 3), np.uint8) * 255
    noise.flags.writeable = False
    person = standing(1, (60, 90, 140, 250))
    seen = frame_result(person, size=size, index=10, time_s=0.4)
    missed = frame_result(size=size, index=11, time_s=0.44)
    options = RunOptions(head_blur=True)
    if late:  # switched on while it records: the head was on an earlier frame only
        recording = bench.begin(replace(CAMERA, size=size), options=RunOptions())
        recording(Frame(10, 0.4, noise), seen, COCO17, 0.0)
        recording.apply(options)
    else:
        recording = bench.begin(replace(CAMERA, size=size), options=options, before=(seen,))
    recording(Frame(11, 0.44, noise), missed, COCO17, 0.0)
    recording.finish()
    wait(lambda: not recording.status.phase.active)
    assert recording.status.path is not None
    image = pictures(recording.status.path)[-1][1].astype(float)
    assert image[96:108, 95:105].std() < 0.5 * image[200:220, 150:180].std()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (SourceInfo("a/b/walk.two.mp4", "video", SIZE), "walk.two"),
        (SourceInfo('Cam: "C:/x" | 2?', "camera", SIZE), "Cam C x 2"),
        (SourceInfo("rtsp://me:secret@cam.local:554/live", "stream", SIZE), "cam.local 554 live"),
        (SourceInfo("  ...  ", "camera", SIZE), "recording"),
        (SourceInfo("x" * 200, "camera", SIZE), "x" * 80),
    ],
)
def test_names_suit_every_file_system(source: SourceInfo, name: str) -> None:
    assert recording_name(source, NOON) == f"{name} 2026-11-21 12-00-05"


@pytest.mark.parametrize("taken", ["take.MP4", "Take", "take.jsonl.part", "take_1.trc", "take_openpose"])
def test_a_name_is_taken_by_whatever_begins_with_it(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).touch()
    (tmp_path / "takeaway.mp4").touch()
    assert free_base(tmp_path, "take") == tmp_path / "take (2)"


def test_secrets_of_an_address_reach_no_file(bench: Bench) -> None:
    stream = SourceInfo("rtsp://me:secret@cam.local/live", "stream", SIZE, live=True)
    status = bench.record(moment(0), source=stream).status
    assert status.results is not None and b"secret" not in status.results.read_bytes()
    assert all("secret" not in path.name for path in status.outputs)
