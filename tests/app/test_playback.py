"""Playback without Qt: exact frames, states, marks, missing and wrong videos, and an end in time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.app.stored_results import EARLY, FRAMES, SIZE, frame_result, make_clip, write_results
from tests.fixtures import clips
from vipose.app.core import playback as playback_module
from vipose.app.core.footage import Footage, HeadsAt, find_video
from vipose.app.core.playback import Playback
from vipose.app.core.playback_frames import FrameMaker
from vipose.app.core.playback_state import PlayPhase, play_may_follow
from vipose.app.core.shown import Shown
from vipose.app.core.stored import LoadingStopped, load_stored
from vipose.runtime.errors import InputError, UsageError
from vipose.runtime.privacy import BlurConfig, HeadBlur
from vipose.runtime.skeleton import COCO17

WAIT_S = 20.0


class Watcher:
    """Waits for what a playback does, as a view would: told that something changed, it pulls."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.playback = Playback(self._event.set)
        self.seen: list[Shown] = []

    def until(self, good: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            self._event.clear()
            shown = self.playback.take()
            if shown is not None:
                self.seen.append(shown)
            if good():
                return
            self._event.wait(0.5)
        pytest.fail(f"it did not happen; {self.playback.status}")

    def show(self, position: int) -> Shown:
        """Wait until a position is shown and taken."""
        self.until(lambda: self.playback.status.position == position and bool(self.seen) and self.seen[-1].result.index == self.index(position))
        return self.seen[-1]

    def index(self, position: int) -> int:
        stored = self.playback.status.stored
        assert stored is not None
        return stored.indices[position]

    def open(self, path: Path) -> Shown:
        self.seen.clear()
        self.playback.open(path)
        self.until(lambda: self.playback.status.phase.ready)
        return self.show(0)


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    made = Watcher()
    yield made
    made.playback.close()
    assert not [t for t in threading.enumerate() if t.name == "vipose-playback"]


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    make_clip(tmp_path / "walk.mp4")
    return write_results(tmp_path)


def test_opening_shows_the_first_frame_with_its_picture(watcher: Watcher, walk: Path) -> None:
    shown = watcher.open(walk)
    status = watcher.playback.status
    assert status.phase is PlayPhase.PAUSED
    assert (status.count, status.video, status.notices) == (FRAMES, walk.with_suffix(".mp4"), ())
    assert shown.mode == "t-vipnas"
    assert shown.picture.shape == (SIZE[1], SIZE[0], 3)
    assert not shown.picture.flags.writeable
    assert [p.id for p in shown.result.people] == [1]


@pytest.mark.parametrize("position", [39, 0, 17, 16, 8])
def test_every_position_shows_its_own_picture(watcher: Watcher, walk: Path, position: int) -> None:
    watcher.open(walk)
    watcher.playback.seek(position)
    shown = watcher.show(position)
    assert clips.read_index(shown.picture) == position == shown.result.index
    assert np.allclose(shown.result.people[0].keypoints, frame_result(position).people[0].keypoints, atol=0.01)


def test_the_newest_of_many_wishes_wins(watcher: Watcher, walk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher.open(walk)
    made, gate = [], threading.Event()
    make = FrameMaker.make

    def slow(self: FrameMaker, *arguments: object) -> Shown:
        gate.wait(WAIT_S)
        made.append(arguments[0])
        return make(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(FrameMaker, "make", slow)
    for position in range(1, 36):
        watcher.playback.seek(position)
    gate.set()
    watcher.show(35)
    assert made[-1] == 35
    assert len(made) <= 2  # the one that was in flight, and the newest


def test_steps_add_up_and_stay_within_the_file(watcher: Watcher, walk: Path) -> None:
    watcher.open(walk)
    for _ in range(5):
        watcher.playback.step(1)
    watcher.show(5)
    watcher.playback.step(-1)
    watcher.show(4)
    watcher.playback.step(-100)
    watcher.show(0)
    watcher.playback.step(1000)
    watcher.show(FRAMES - 1)


def test_jumps_go_by_time(watcher: Watcher, walk: Path) -> None:
    watcher.open(walk)
    watcher.playback.jump(1.0)
    watcher.show(25)
    watcher.playback.jump(-0.2)
    watcher.show(20)
    watcher.playback.jump(-0.001)
    watcher.show(19)


def test_early_key_frames_and_appearances_are_found(watcher: Watcher, walk: Path) -> None:
    watcher.open(walk)
    playback = watcher.playback
    assert playback.status.stored is not None
    assert playback.status.stored.early == tuple(EARLY)
    assert playback.to_early(1)
    watcher.show(12)
    assert playback.to_early(1)
    watcher.show(30)
    assert not playback.to_early(1)
    assert playback.to_early(-1)
    watcher.show(12)
    assert playback.to_appearance(1)
    watcher.show(25)
    assert playback.to_appearance(-1, 2)
    watcher.show(8)
    assert playback.to_appearance(-1, 1)
    watcher.show(0)
    assert not playback.to_appearance(1, 7)


def test_it_plays_to_the_end_in_order_and_pauses(watcher: Watcher, walk: Path) -> None:
    watcher.open(walk)
    watcher.playback.set_speed(2.0)
    watcher.playback.play()
    assert watcher.playback.status.phase is PlayPhase.PLAYING
    watcher.until(lambda: watcher.playback.status.phase is PlayPhase.PAUSED)
    indices = [shown.result.index for shown in watcher.seen]
    assert indices == sorted(set(indices))
    assert watcher.playback.status.position == FRAMES - 1
    for shown in watcher.seen:
        assert clips.read_index(shown.picture) == shown.result.index
    watcher.playback.play()  # from the beginning again
    watcher.until(lambda: watcher.seen[-1].result.index < FRAMES - 1)
    watcher.playback.pause()
    assert watcher.playback.status.phase is PlayPhase.PAUSED


def test_speed_has_limits(watcher: Watcher, walk: Path) -> None:
    watcher.open(walk)
    with pytest.raises(UsageError):
        watcher.playback.set_speed(3)
    watcher.playback.set_speed(0.1)
    assert watcher.playback.status.speed == 0.1


def test_a_slow_decoder_drops_frames_instead_of_racing(watcher: Watcher, walk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher.open(walk)
    make = FrameMaker.make

    def slow(self: FrameMaker, *arguments: object) -> Shown:
        time.sleep(0.1)
        return make(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(FrameMaker, "make", slow)
    watcher.playback.play()
    watcher.until(lambda: watcher.playback.status.phase is PlayPhase.PAUSED)
    indices = [shown.result.index for shown in watcher.seen]
    assert len(indices) < FRAMES
    assert indices == sorted(set(indices))


def test_without_a_video_there_is_black(watcher: Watcher, tmp_path: Path) -> None:
    shown = watcher.open(write_results(tmp_path))
    assert shown.picture.shape == (SIZE[1], SIZE[0], 3)
    assert not shown.picture.any()
    assert watcher.playback.status.video is None
    assert "not found" in watcher.playback.status.notices[0]
    video = make_clip(tmp_path / "elsewhere.mkv")
    watcher.playback.choose_video(video)
    watcher.until(lambda: watcher.playback.status.video == video and watcher.seen[-1].picture.any())
    assert watcher.playback.status.notices == ()
    watcher.playback.choose_video(None)
    watcher.until(lambda: watcher.playback.status.video is None and not watcher.seen[-1].picture.any())


def test_a_video_that_cannot_be_opened_changes_nothing(watcher: Watcher, walk: Path) -> None:
    watcher.open(walk)
    watcher.playback.choose_video(walk)  # no video at all
    watcher.until(lambda: watcher.playback.status.error is not None)
    assert isinstance(watcher.playback.status.error, InputError)
    assert watcher.playback.status.video == walk.with_suffix(".mp4")
    watcher.playback.seek(3)
    assert clips.read_index(watcher.show(3).picture) == 3


def test_another_video_is_noticed(watcher: Watcher, walk: Path) -> None:
    watcher.open(walk)
    other = clips.clip(walk.with_name("other.mp4"), frames=50, fps=10).path
    watcher.playback.choose_video(other)
    watcher.until(lambda: watcher.playback.status.video == other)
    assert "may be another video" in watcher.playback.status.notices[0]


def test_a_recording_is_matched_by_order(tmp_path: Path) -> None:
    """A live run drops frames: its video holds the recorded ones only, and its clock starts at 0."""
    indices = [i * 2 + 5 for i in range(FRAMES // 2)]
    results = write_results(tmp_path, name="session", source="camera:0", source_kind="camera", indices=indices)
    clips.clip(tmp_path / "session.mp4", frames=len(indices), size=SIZE)
    stored = load_stored(results)
    path, is_source = find_video(stored)
    assert (path, is_source) == (tmp_path / "session.mp4", False)
    footage = Footage(stored, path)
    for position in (7, 0, 19):
        frame = footage.frame(position, stored.result(position))
        assert (clips.read_index(frame.image), frame.index) == (position, indices[position])
    assert not footage.audio_fits
    footage.close()


def test_every_second_frame_is_matched_by_index(tmp_path: Path) -> None:
    make_clip(tmp_path / "walk.mp4", audio="aac")
    stored = load_stored(write_results(tmp_path, indices=range(1, FRAMES, 2)))
    footage = Footage(stored, tmp_path / "walk.mp4")
    assert clips.read_index(footage.frame(4, stored.result(4)).image) == 9
    assert footage.audio_fits
    footage.close()


def test_the_source_is_found_where_it_moved_with_the_results(tmp_path: Path) -> None:
    make_clip(tmp_path / "walk.mp4")
    stored = load_stored(write_results(tmp_path, name="out", source="/gone/walk.mp4"))
    assert find_video(stored) == (tmp_path / "walk.mp4", True)


@pytest.mark.parametrize("size", [[10**6, 10**6], [30_000, 30_000], [10**30, 1]])
def test_frames_that_no_memory_holds_are_refused(tmp_path: Path, size: list[int]) -> None:
    head, *frames = write_results(tmp_path).read_text("utf-8").splitlines()
    told = json.loads(head)
    told["source"]["size"] = size
    path = tmp_path / "huge.jsonl"
    path.write_text("\n".join([json.dumps(told), *frames]) + "\n", "utf-8")
    with pytest.raises(InputError, match="says that its frames have"):
        load_stored(path)
    path.write_text("\n".join([head, json.dumps(json.loads(frames[0]) | {"size": size}), *frames[1:]]) + "\n", "utf-8")
    with pytest.raises(InputError, match="says that its frames have"):
        load_stored(path)


def test_a_source_in_the_home_of_nobody_is_only_missing(tmp_path: Path) -> None:
    stored = load_stored(write_results(tmp_path, source="~nobody-of-that-name/walk.mov"))
    assert find_video(stored) == (None, False)


def test_the_video_that_a_run_drew_is_not_taken_for_its_source(tmp_path: Path) -> None:
    """A run from the folder above writes ``vipose-out/walk.mp4``, drawn on, beside ``walk.jsonl``."""
    folder = tmp_path / "vipose-out"
    folder.mkdir()
    drawn = make_clip(folder / "walk.mp4")
    stored = load_stored(write_results(folder, settings={"video": True, "mirror": True}))
    assert find_video(stored) == (drawn, False)
    source = make_clip(tmp_path / "walk.mp4")
    assert find_video(stored) == (source, True)
    for path, upright in ((source, True), (drawn, False)):  # the drawn one is mirrored, results never are
        footage = Footage(stored, path)
        image = footage.frame(3, stored.result(3)).image
        assert clips.read_index(image if upright else image[:, ::-1]) == 3
        footage.close()
    stored = load_stored(write_results(folder, settings={"video": False}))
    source.unlink()
    assert find_video(stored) == (drawn, True)  # nothing was drawn: it is the source


@pytest.mark.parametrize("kind", ["coco", "posetrack", "openpose"])
def test_other_formats_play_too(watcher: Watcher, tmp_path: Path, kind: str) -> None:
    make_clip(tmp_path / "walk.mp4")
    path = write_results(tmp_path, kind=kind)
    watcher.open(path)
    assert watcher.playback.status.video == tmp_path / "walk.mp4"
    watcher.playback.seek(21)
    shown = watcher.show(21)
    assert clips.read_index(shown.picture) == 21
    assert shown.result.size == SIZE


def test_a_torn_last_line_is_said(watcher: Watcher, walk: Path) -> None:
    data = walk.read_bytes()
    walk.write_bytes(data[:-40])
    watcher.open(walk)
    assert watcher.playback.status.count == FRAMES - 1
    assert "middle of a line" in watcher.playback.status.notices[0]


@pytest.mark.parametrize(
    "content", [b"", b"{}\n", b"no json\n", b'{"vipose":"results"}\n'], ids=["empty", "object", "text", "header"]
)
def test_a_file_that_is_none_fails_in_one_line(watcher: Watcher, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    watcher.playback.open(path)
    watcher.until(lambda: watcher.playback.status.phase is PlayPhase.FAILED)
    assert isinstance(watcher.playback.status.error, InputError)
    assert "\n" not in str(watcher.playback.status.error)


def test_a_header_alone_holds_no_frames(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no frames"):
        load_stored(write_results(tmp_path, indices=()))


def test_a_bad_line_is_named(walk: Path) -> None:
    lines = walk.read_bytes().splitlines(keepends=True)
    lines[5] = b'{"index": 4}\n'
    walk.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match="line 6"):
        load_stored(walk)


def test_another_file_can_be_opened_after_a_failure(watcher: Watcher, walk: Path) -> None:
    watcher.playback.open(walk.with_name("missing.jsonl"))
    watcher.until(lambda: watcher.playback.status.phase is PlayPhase.FAILED)
    assert watcher.open(walk).result.index == 0


def test_people_are_summed_up(walk: Path) -> None:
    first, second = load_stored(walk).people
    assert (first.id, first.frames, second.id, second.frames) == (1, FRAMES, 2, 23)
    assert first.mean_score == pytest.approx(0.6)
    assert second.mean_score == pytest.approx(0.7)


def test_a_native_file_is_not_held_in_memory(walk: Path) -> None:
    stored = load_stored(walk)
    walk.write_bytes(b"other\n")
    with pytest.raises(InputError, match="open it again|Open it again"):
        stored.result(3)
    with pytest.raises(IndexError):
        stored.result(FRAMES)


def test_reading_can_be_stopped(walk: Path) -> None:
    data = walk.read_bytes().splitlines(keepends=True)
    walk.write_bytes(b"".join([data[0], *data[1:] * 20]))
    with pytest.raises(LoadingStopped):
        load_stored(walk, lambda share: False)


def test_heads_are_the_same_in_any_order(walk: Path) -> None:
    """After a jump, whoever was seen shortly before is taken in as if the file had been played."""
    stored = load_stored(walk)
    image = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    played, config = HeadBlur(COCO17), BlurConfig()
    expected = [played.apply(image, stored.result(i)) for i in range(FRAMES)]
    heads = HeadsAt(stored, config)
    for position in (20, 21, 24, 5, 39, 16, 16):
        assert np.array_equal(heads.hide(image, position, stored.result(position)), expected[position])
    assert not np.array_equal(expected[18], image)


def test_heads_are_blurred_at_once_where_asked(watcher: Watcher, walk: Path) -> None:
    plain = watcher.open(walk).picture
    watcher.playback.hide_heads(BlurConfig())
    watcher.until(lambda: not np.array_equal(watcher.seen[-1].picture, plain))
    watcher.playback.hide_heads(None)
    watcher.until(lambda: np.array_equal(watcher.seen[-1].picture, plain))


def test_closing_ends_it_while_it_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loading = threading.Event()

    def endless(path: Path, progress: Callable[[float], bool]) -> None:
        loading.set()
        while progress(0.5):
            time.sleep(0.01)
        raise LoadingStopped

    monkeypatch.setattr(playback_module, "load_stored", endless)
    playback = Playback(lambda: None)
    playback.open(tmp_path / "a.jsonl")
    assert loading.wait(WAIT_S)
    playback.close()
    playback.close()
    assert playback.status.phase is PlayPhase.CLOSED
    playback.open(tmp_path / "b.jsonl")  # after the end nothing starts again
    assert playback.status.phase is PlayPhase.CLOSED


def test_commands_before_a_file_is_open_do_nothing() -> None:
    playback = Playback(lambda: None)
    playback.play()
    playback.step(1)
    playback.seek(3)
    playback.jump(1)
    playback.choose_video(None)
    assert not playback.to_early(1)
    assert not playback.to_appearance(1)
    assert playback.take() is None
    assert playback.status.phase is PlayPhase.CLOSED
    playback.close()


def test_phases_follow_a_table() -> None:
    assert play_may_follow(PlayPhase.LOADING, PlayPhase.PAUSED)
    assert not play_may_follow(PlayPhase.CLOSED, PlayPhase.PLAYING)
    assert not play_may_follow(PlayPhase.FAILED, PlayPhase.PLAYING)
