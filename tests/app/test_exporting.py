"""Exports without Qt: every format, drawn videos and pictures, people chosen, cancelling, and inputs that stay as they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.app.stored_results import FRAMES, SIZE, frame_result, make_clip, write_results
from tests.fixtures import clips
from vipose.app.core import export_jobs
from vipose.app.core.export_plan import PICTURES, VIDEO, ExportPlan, check_plan, completed, loses, replaced, suggested
from vipose.app.core.exporting import Exporter, ExportPhase, ExportStatus, export_may_follow
from vipose.app.core.stored import StoredResults, load_stored
from vipose.runtime.errors import InputError, OutputError, UsageError
from vipose.runtime.media.video import VideoSource
from vipose.runtime.overlay import OverlayStyle
from vipose.runtime.privacy import BlurConfig
from vipose.runtime.results.formats import FORMATS
from vipose.runtime.results.native import read_native
from vipose.runtime.results.writing import WriterOptions

WAIT_S = 30.0
HIDDEN = OverlayStyle(boxes=False, ids=False, status=False, threshold=1.0)


class Run:
    """An exporter and its end."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.exporter = Exporter(self._event.set)

    def until(self, good: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not good():
            if time.monotonic() > end:
                pytest.fail(f"it did not happen; {self.exporter.status}")
            self._event.wait(0.5)
            self._event.clear()

    def __call__(self, plan: ExportPlan) -> ExportStatus:
        self.exporter.start(plan)
        self.until(lambda: not self.exporter.status.phase.active)
        return self.exporter.status


@pytest.fixture
def run() -> Iterator[Run]:
    made = Run()
    yield made
    made.exporter.close()
    assert not [t for t in threading.enumerate() if t.name == "vipose-export"]


@pytest.fixture
def stored(tmp_path: Path) -> StoredResults:
    make_clip(tmp_path / "walk.mp4", audio="aac")
    return load_stored(write_results(tmp_path))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_written(run: Run, stored: StoredResults, tmp_path: Path, kind: str) -> None:
    if kind == "parquet" and find_spec("pyarrow") is None:
        pytest.skip("its extra is not installed")
    folder = tmp_path / "out"
    folder.mkdir()
    plan = ExportPlan(stored, kind, suggested(stored, kind, folder))
    assert replaced(plan) == ()
    status = run(plan)
    assert (status.phase, status.done, status.total, status.error) == (ExportPhase.DONE, FRAMES, FRAMES, None)
    assert status.outputs
    assert all(path.exists() for path in status.outputs)
    assert not [path for path in folder.iterdir() if path.name.endswith(".part")]
    assert set(status.outputs) <= set(replaced(plan))  # the second time it asks
    assert loses(kind)


def test_people_are_chosen_and_frames_stay(run: Run, stored: StoredResults, tmp_path: Path) -> None:
    target = tmp_path / "two.jsonl"
    assert run(ExportPlan(stored, "native", target, frozenset({2}))).phase is ExportPhase.DONE
    frames = list(read_native(target))
    assert len(frames) == FRAMES
    assert {person.id for frame in frames for person in frame.people} == {2}
    assert read_native(target).header == stored.header
    with pytest.raises(UsageError, match="nobody"):
        ExportPlan(stored, "native", target, frozenset())


def test_a_drawn_video_has_all_frames_times_and_sound(run: Run, stored: StoredResults, tmp_path: Path) -> None:
    target = tmp_path / "drawn.mp4"
    status = run(ExportPlan(stored, VIDEO, target, video=tmp_path / "walk.mp4", style=HIDDEN))
    assert status.phase is ExportPhase.DONE
    assert status.outputs == (target,)
    with VideoSource(target) as source:
        frames = list(source)
        assert source.info.audio
    assert [clips.read_index(frame.image) for frame in frames] == list(range(FRAMES))
    assert np.allclose([frame.time_s for frame in frames], stored.times_s, atol=1e-3)


def drawn(run: Run, plan: ExportPlan) -> list[np.ndarray]:
    assert run(plan).phase is ExportPhase.DONE
    return [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in sorted(plan.target.iterdir())]


def test_pictures_show_the_skeletons_of_those_chosen(run: Run, stored: StoredResults, tmp_path: Path) -> None:
    style = OverlayStyle(boxes=False, ids=False, status=False)
    plan = ExportPlan(stored, PICTURES, tmp_path / "a", frozenset({1}), tmp_path / "walk.mp4", style=style, black=True)
    pictures = drawn(run, plan)
    assert len(pictures) == FRAMES
    assert names(plan.target) == {f"{i:06d}.jpg" for i in range(FRAMES)}
    assert pictures[30][:, :80].max() > 100  # person 1 is drawn
    assert pictures[30][:, 115:].max() < 40  # person 2 is not
    mirrored = drawn(run, replace(plan, target=tmp_path / "b", mirror=True))
    assert mirrored[30][:, -80:].max() > 100
    assert mirrored[30][:, :70].max() < 40


def test_heads_of_everybody_are_blurred_also_of_those_not_chosen(run: Run, stored: StoredResults, tmp_path: Path) -> None:
    video = tmp_path / "walk.mp4"
    plain = drawn(run, ExportPlan(stored, PICTURES, tmp_path / "a", frozenset({1}), video, style=HIDDEN))
    plan = ExportPlan(stored, PICTURES, tmp_path / "b", frozenset({1}), video, style=HIDDEN, head_blur=BlurConfig())
    hidden = drawn(run, plan)
    change = np.abs(plain[30].astype(int) - hidden[30]).max(2)
    for person in frame_result(30).people:
        x, y = person.keypoints[0, :2]
        around = change[max(int(y) - 20, 0) : int(y) + 45, int(x) - 12 : int(x) + 25]
        assert around.max() > 30, f"the head of person {person.id} is as it was"


def test_without_a_video_it_draws_on_black(run: Run, stored: StoredResults, tmp_path: Path) -> None:
    pictures = drawn(run, ExportPlan(stored, PICTURES, tmp_path / "a", style=HIDDEN))
    assert pictures[0].shape == (SIZE[1], SIZE[0], 3)
    assert not any(picture.any() for picture in pictures)


@pytest.mark.parametrize("kind", ["native", "coco", "openpose", "trc", VIDEO, PICTURES])
def test_cancelling_leaves_nothing_and_keeps_what_was_there(
    run: Run, stored: StoredResults, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    plan = ExportPlan(stored, kind, suggested(stored, kind, folder), video=tmp_path / "walk.mp4")
    assert run(plan).phase is ExportPhase.DONE
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    halfway, go_on = threading.Event(), threading.Event()
    fetch = stored.result

    def held(position: int) -> object:
        if position == FRAMES // 2:
            halfway.set()
            go_on.wait(WAIT_S)
        return fetch(position)

    monkeypatch.setattr(stored, "result", held)
    run.exporter.start(plan)
    assert halfway.wait(WAIT_S)
    run.exporter.cancel()
    assert run.exporter.status.phase is ExportPhase.CANCELLING
    go_on.set()
    run.until(lambda: run.exporter.status.phase is ExportPhase.CANCELLED)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not [path for path in folder.rglob("*") if ".part" in path.name]


def test_progress_and_time_left_are_told(run: Run, stored: StoredResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipose.app.core.exporting._TELL_S", 0.0)
    told: list[ExportStatus] = []
    advance = Exporter._advance

    def noted(self: Exporter, done: int) -> None:
        advance(self, done)
        told.append(self.status)

    monkeypatch.setattr(Exporter, "_advance", noted)
    run(ExportPlan(stored, "csv", tmp_path / "a.csv"))
    assert [status.done for status in told] == list(range(FRAMES + 1))
    assert all(status.left_s is not None and status.left_s >= 0 for status in told[1:])
    assert told[-1].left_s == 0


@pytest.mark.parametrize("kind", ["native", VIDEO])
def test_the_input_is_never_replaced(run: Run, stored: StoredResults, tmp_path: Path, kind: str) -> None:
    video = tmp_path / "walk.mp4"
    target = stored.path if kind == "native" else video
    before = target.read_bytes()
    plan = ExportPlan(stored, kind, target, video=video)
    with pytest.raises(UsageError, match="exported from"):
        check_plan(plan)
    with pytest.raises(UsageError):
        run.exporter.start(plan)
    assert run.exporter.status.phase is ExportPhase.IDLE
    assert target.read_bytes() == before
    linked = tmp_path / f"link{target.suffix}"
    linked.symlink_to(target)
    with pytest.raises(UsageError):
        check_plan(replace(plan, target=linked))


def test_suggested_names_spare_the_input(stored: StoredResults, tmp_path: Path) -> None:
    assert suggested(stored, "native") == tmp_path / "walk-copy.jsonl"
    assert suggested(stored, "coco") == tmp_path / "walk.coco.json"
    assert suggested(stored, VIDEO) == tmp_path / "walk-annotated.mp4"
    for kind in (*FORMATS, VIDEO, PICTURES):
        check_plan(ExportPlan(stored, kind, suggested(stored, kind), video=tmp_path / "walk.mp4"))


def test_files_of_each_person_are_seen_before_they_are_replaced(run: Run, stored: StoredResults, tmp_path: Path) -> None:
    (tmp_path / "walk_2.trc").write_text("old")
    plan = ExportPlan(stored, "trc", tmp_path / "walk.trc")
    assert replaced(plan) == (tmp_path / "walk_2.trc",)
    assert replaced(replace(plan, people=frozenset({1}))) == ()


def test_a_folder_that_is_missing_fails_in_one_line(run: Run, stored: StoredResults, tmp_path: Path) -> None:
    for kind in ("native", PICTURES):
        status = run(ExportPlan(stored, kind, tmp_path / "gone" / "a"))
        assert status.phase is ExportPhase.FAILED
        assert isinstance(status.error, OutputError)
        assert "\n" not in str(status.error)


def test_an_unknown_video_type_fails(run: Run, stored: StoredResults, tmp_path: Path) -> None:
    status = run(ExportPlan(stored, VIDEO, tmp_path / "a.txt", video=tmp_path / "walk.mp4"))
    assert status.phase is ExportPhase.FAILED
    assert "no video type" in str(status.error)


def test_results_that_changed_on_the_way_leave_nothing(run: Run, stored: StoredResults, tmp_path: Path) -> None:
    data = stored.path.read_bytes()
    stored.path.write_bytes(data[: len(data) // 2])
    status = run(ExportPlan(stored, "coco", tmp_path / "a.coco.json"))
    assert status.phase is ExportPhase.FAILED
    assert isinstance(status.error, InputError)
    assert names(tmp_path) == {"walk.mp4", "walk.jsonl"}


def test_a_video_with_too_few_frames_is_said(run: Run, stored: StoredResults, tmp_path: Path) -> None:
    short = clips.clip(tmp_path / "short.mp4", frames=30, size=SIZE).path
    status = run(ExportPlan(stored, PICTURES, tmp_path / "a", video=short))
    assert status.phase is ExportPhase.DONE
    assert any("10 pictures could not be read" in note for note in status.notes)


def test_options_reach_the_writer(run: Run, stored: StoredResults, tmp_path: Path) -> None:
    run(ExportPlan(stored, "csv", tmp_path / "smooth.csv"))
    run(ExportPlan(stored, "csv", tmp_path / "raw.csv", options=WriterOptions(smoothed=False)))
    assert (tmp_path / "smooth.csv").read_text() != (tmp_path / "raw.csv").read_text()


def test_closing_ends_a_running_export(stored: StoredResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, begun = Run(), threading.Event()
    drawn_anew = export_jobs._drawn

    def endless(*arguments: object) -> object:
        begun.set()
        while True:
            yield from drawn_anew(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(export_jobs, "_drawn", endless)
    run.exporter.start(ExportPlan(stored, VIDEO, tmp_path / "a.mp4", video=tmp_path / "walk.mp4"))
    assert begun.wait(WAIT_S)
    with pytest.raises(RuntimeError):
        run.exporter.start(ExportPlan(stored, "csv", tmp_path / "a.csv"))
    run.exporter.close()
    run.exporter.close()
    assert run.exporter.status.phase is ExportPhase.CANCELLED
    assert names(tmp_path) == {"walk.mp4", "walk.jsonl"}


def test_sound_goes_with_the_stretch_that_has_results(run: Run, stored: StoredResults, tmp_path: Path) -> None:
    part = load_stored(write_results(tmp_path, name="part", indices=range(10, 20)))
    run(ExportPlan(part, VIDEO, tmp_path / "part.mkv", video=tmp_path / "walk.mp4"))
    with av.open(str(tmp_path / "part.mkv")) as made:
        ends = [float((p.pts + p.duration) * p.time_base) for p in made.demux(audio=0) if p.size and p.pts is not None]
        assert 0.2 < max(ends) < 0.6


def test_phases_follow_a_table() -> None:
    assert export_may_follow(ExportPhase.RUNNING, ExportPhase.CANCELLING)
    assert export_may_follow(ExportPhase.DONE, ExportPhase.RUNNING)
    assert not export_may_follow(ExportPhase.IDLE, ExportPhase.DONE)
    assert not export_may_follow(ExportPhase.CANCELLED, ExportPhase.DONE)


@pytest.mark.parametrize(("kind", "name", "whole"), [
    ("native", "walk", "walk.jsonl"), ("csv", "walk", "walk.csv"), (VIDEO, "walk", "walk.mp4"), (VIDEO, "walk.mkv", "walk.mkv"),
    (PICTURES, "walk", "walk"), ("openpose", "walk", "walk"), ("csv", "walk.txt", "walk.txt"),
])  # fmt: skip
def test_a_name_without_an_ending_gets_that_of_its_kind(tmp_path: Path, kind: str, name: str, whole: str) -> None:
    assert completed(kind, tmp_path / name) == tmp_path / whole
    (tmp_path / "there").mkdir()
    assert completed(kind, tmp_path / "there") == tmp_path / "there"  # the writer says that it is a folder
