"""The batch queue without Qt: order, states, growing, cancelling, trying again, and the files that are left."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from tests.fixtures.clips import clip, still_folder
from tests.fixtures.figure import write_figures
from vipose.app.core.batch import BatchQueue
from vipose.app.core.batch_items import (
    BatchItem,
    BatchPhase,
    BatchStatus,
    ItemState,
    Left,
    item_may_follow,
    phase_may_follow,
)
from vipose.app.core.batch_list import ItemList
from vipose.app.core.batch_words import duration, headline, in_row, options_in_words, time_left
from vipose.runtime.batch import Batch
from vipose.runtime.errors import ModelError, OutputError
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.options import RunOptions
from vipose.runtime.pipeline import Pipeline
from vipose.runtime.report import SourceReport
from vipose.runtime.results.native import NativeWriter, read_native

pytestmark = pytest.mark.timeout(120)
WAIT_S = 30.0


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> RunOptions:
    """Tiny networks."""
    folder = write_figures(tmp_path_factory.mktemp("graphs") / "mode")
    return RunOptions(mode=str(folder), detector=str(folder / "tiny-detector.onnx"), threads=1)


@pytest.fixture
def queue() -> Iterator[BatchQueue]:
    made = BatchQueue(lambda: None)
    yield made
    assert made.close(WAIT_S)


def wait_for(queue: BatchQueue, ready: Callable[[BatchStatus], bool]) -> BatchStatus:
    until = time.monotonic() + WAIT_S
    while not ready(status := queue.status):
        assert time.monotonic() < until, f"waited in vain: {status}"
        time.sleep(0.005)
    return status


def at_rest(status: BatchStatus) -> bool:
    return not status.active and not status.looking


def states(queue: BatchQueue) -> dict[str, str]:
    return {item.name: item.state.value for item in queue.status.items}


def held(monkeypatch: pytest.MonkeyPatch, at: int = 3) -> tuple[threading.Event, threading.Event]:
    """Lets every file stop before a frame: events that say that one is there, and that it may go on."""
    there, go, real = threading.Event(), threading.Event(), Pipeline.process

    def process(self: Pipeline, frame: Any) -> Any:
        if frame.index == at:
            there.set()
            assert go.wait(WAIT_S)
        return real(self, frame)

    monkeypatch.setattr(Pipeline, "process", process)
    return there, go


def test_transitions() -> None:
    assert item_may_follow(ItemState.WAITING, ItemState.RUNNING) and item_may_follow(ItemState.RUNNING, ItemState.PARTIAL)
    assert item_may_follow(ItemState.FAILED, ItemState.WAITING) and not item_may_follow(ItemState.DONE, ItemState.RUNNING)
    assert not item_may_follow(ItemState.RUNNING, ItemState.WAITING)
    assert phase_may_follow(BatchPhase.RUNNING, BatchPhase.STOPPING) and not phase_may_follow(BatchPhase.STOPPING, BatchPhase.RUNNING)
    rows = ItemList()
    item = rows.add("a", "a.mp4", SourceSpec("a.mp4", "video", Path("a.mp4")))
    assert item is not None
    with pytest.raises(ValueError, match="done cannot follow waiting"):
        rows.update(item.id, state=ItemState.DONE)


def test_order_of_rows() -> None:
    rows = ItemList()
    for name in "abcde":
        rows.add(name, name, SourceSpec(name, "video", Path(name)))
    order = lambda: "".join(item.text for item in rows.all())
    ids = {item.text: item.id for item in rows.all()}
    rows.shift({ids["b"], ids["c"]}, -1)
    assert order() == "bcade"
    rows.shift({ids["b"], ids["c"]}, -1)
    assert order() == "bcade"
    rows.shift({ids["b"], ids["d"]}, 1)
    assert order() == "cbaed"
    rows.move({ids["d"], ids["c"]}, 2)
    assert order() == "bcdae"
    rows.move({ids["b"]}, 5)
    assert order() == "cdaeb"
    assert rows.add("a", "other spelling", None) is None
    rows.remove({ids["a"]})
    assert order() == "cdeb" and rows.add("a", "a", None) is not None


def test_all_files_of_a_folder_are_run_and_a_bad_one_is_reported(
    queue: BatchQueue, options: RunOptions, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    clip(folder / "a.mp4", frames=6)
    (folder / "b.mp4").write_bytes(b"no video" * 100)
    clip(folder / "deeper" / "c.mp4", frames=5)
    shots = still_folder(tmp_path / "shots").path
    out = folder / "out"
    queue.add([str(folder), str(shots), str(tmp_path / "gone.mp4")], options, out)
    status = wait_for(queue, lambda s: not s.looking and len(s.items) == 5)
    assert [item.frames for item in status.items] == [6, None, 5, 3, None]
    assert states(queue) == {"a.mp4": "waiting", "b.mp4": "failed", "c.mp4": "waiting", "shots": "waiting", "gone.mp4": "failed"}
    queue.start(options, out)
    status = wait_for(queue, at_rest)
    a, b, c, shots_item, gone = status.items
    assert [i.state for i in (a, c, shots_item)] == [ItemState.DONE] * 3
    assert "cannot open" in b.message and "does not exist" in gone.message and "\n" not in b.message
    assert in_row(b).startswith("Cannot open b.mp4 (") and in_row(gone).startswith("gone.mp4 does not exist")
    assert a.results == out / "a.jsonl" and a.video == out / "a.mp4" and shots_item.video == out / "shots"
    assert a.done == a.frames == len(list(read_native(a.results))) and a.report is not None and a.report.written == 6
    assert headline(status).startswith("Finished: 3 done, 2 failed. 14 frames in ")
    queue.add([str(folder)], options, out)  # results in the folder are not taken for new files
    status = wait_for(queue, lambda s: not s.looking)
    assert len(status.items) == 5 and "they lie in the results folder: 3 files" in status.notice
    assert "In the queue already: a.mp4, b.mp4, c.mp4." in status.notice
    assert "only these are taken" not in status.notice
    (folder / "photo.jpg").write_bytes((shots / min(p.name for p in shots.iterdir())).read_bytes())
    queue.add([str(folder)], options, out)
    status = wait_for(queue, lambda s: not s.looking)
    assert f"only these are taken: 1 picture in {folder}." in status.notice


def test_what_is_no_file_is_refused(queue: BatchQueue, options: RunOptions, tmp_path: Path) -> None:
    queue.add(["camera:0", "http://me:secret@localhost/x", ""], options, tmp_path / "out")
    status = wait_for(queue, lambda s: not s.looking)
    assert "No files: camera:0, http://localhost/x." in status.notice and "secret" not in status.notice
    assert [item.state for item in status.items] == [ItemState.FAILED]


def test_cancel_one_and_the_next_goes_on(
    queue: BatchQueue, options: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, go = held(monkeypatch, at=12)
    paths = [str(clip(tmp_path / f"{name}.mp4", frames=40).path) for name in "abc"]
    queue.add(paths, options, tmp_path / "out")
    wait_for(queue, lambda s: len(s.items) == 3 and not s.looking)
    queue.start(options, tmp_path / "out")
    assert there.wait(WAIT_S)
    a, b, c = queue.status.items
    assert (a.state, b.state, a.frames) == (ItemState.RUNNING, ItemState.WAITING, 40)
    queue.remove({a.id})
    queue.cancel({a.id, b.id})
    assert queue.status.items[0].note == "stopping" and queue.status.items[1].state is ItemState.CANCELLED
    go.set()
    a, b, c = wait_for(queue, at_rest).items
    assert (a.state, b.state, c.state) == (ItemState.CANCELLED, ItemState.CANCELLED, ItemState.DONE)
    assert a.report is not None and a.message == f"Stopped; its files are valid up to frame {a.report.written}"
    assert a.results is not None and a.video is not None and not list((tmp_path / "out").glob("*.part"))
    assert len(list(read_native(a.results))) == a.report.written >= 12
    with av.open(str(a.video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == a.report.written
    assert b.message == "Stopped before the first frame"
    queue.retry({a.id, b.id})
    queue.start(options, tmp_path / "out")
    a, b, c = wait_for(queue, at_rest).items
    assert (a.state, b.state) == (ItemState.DONE, ItemState.DONE) and a.done == 40
    assert a.results == tmp_path / "out" / "a.jsonl"  # it keeps its name
    queue.clear_finished()
    assert queue.status.items == ()


def test_the_queue_grows_and_changes_order_while_it_runs(
    queue: BatchQueue, options: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, go = held(monkeypatch)
    ran: list[str] = []
    real = Batch.one
    monkeypatch.setattr(Batch, "one", lambda self, spec, *a, **k: ran.append(spec.path.name) or real(self, spec, *a, **k))
    paths = [clip(tmp_path / folder / "x.mp4", frames=6).path for folder in _made(tmp_path, "pqr")]
    queue.add([str(path) for path in paths[:2]], options, tmp_path / "out")
    wait_for(queue, lambda s: len(s.items) == 2 and not s.looking)
    queue.start(options, tmp_path / "out")
    assert there.wait(WAIT_S)
    queue.add([str(paths[2]), str(tmp_path / "p" / ".." / "q" / "x.mp4")], options, tmp_path / "out")
    status = wait_for(queue, lambda s: len(s.items) == 3 and not s.looking)
    assert "In the queue already: x.mp4" in status.notice
    queue.shift({status.items[2].id}, -1)
    go.set()
    p, r, q = wait_for(queue, at_rest).items
    assert [Path(i.text).parent.name for i in (p, r, q)] == ["p", "r", "q"] and ran == ["x.mp4"] * 3
    results = [i.results for i in (p, r, q)]
    assert all(path is not None and path.exists() for path in results) and len({str(path).casefold() for path in results}) == 3
    headers = [json.loads(path.read_text().splitlines()[0])["source"]["name"] for path in results if path]
    assert [Path(name).parent.name for name in headers] == ["p", "r", "q"]


def _made(folder: Path, names: str) -> str:
    for name in names:
        (folder / name).mkdir()
    return names


def test_stop_all_and_start_again(
    queue: BatchQueue, options: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, go = held(monkeypatch)
    queue.add([str(clip(tmp_path / f"{name}.mp4", frames=9).path) for name in "ab"], options, tmp_path / "out")
    wait_for(queue, lambda s: len(s.items) == 2 and not s.looking)
    queue.start(options, tmp_path / "out")
    assert there.wait(WAIT_S)
    queue.stop()
    assert queue.status.phase is BatchPhase.STOPPING
    queue.start(options, tmp_path / "out")  # not before it has stopped
    go.set()
    status = wait_for(queue, at_rest)
    assert states(queue) == {"a.mp4": "cancelled", "b.mp4": "waiting"} and "1 still waiting" in headline(status)
    queue.start(options, tmp_path / "out")
    wait_for(queue, at_rest)
    assert states(queue) == {"a.mp4": "cancelled", "b.mp4": "done"}


def test_close_while_it_runs_leaves_valid_files(
    options: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, go = held(monkeypatch, at=20)
    queue = BatchQueue(lambda: None)
    queue.add([str(clip(tmp_path / "a.mp4", frames=60).path)], options, tmp_path / "out")
    wait_for(queue, lambda s: len(s.items) == 1)
    queue.start(options, tmp_path / "out")
    assert there.wait(WAIT_S)
    threading.Timer(0.05, go.set).start()
    assert queue.close(WAIT_S) and queue.close()
    [item] = queue.status.items
    assert item.state is ItemState.CANCELLED and item.results is not None
    assert len(list(read_native(item.results))) == item.done > 0
    queue.start(options, tmp_path / "out")
    queue.add([str(tmp_path / "a.mp4")], options, tmp_path / "out")
    assert not queue.status.active and not queue.status.looking


def test_a_full_disk_a_lost_file_and_a_folder_that_cannot_be_written(
    queue: BatchQueue, options: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = NativeWriter._write, [0]

    def full(self: NativeWriter, *args: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == 5:
            raise OutputError("x.jsonl cannot be written: the disk is full; free some space and run again")
        return real(self, *args, **more)

    monkeypatch.setattr(NativeWriter, "_write", full)
    paths = [clip(tmp_path / f"{name}.mp4", frames=8).path for name in "abc"]
    queue.add([str(path) for path in paths], options, tmp_path / "out")
    wait_for(queue, lambda s: len(s.items) == 3 and not s.looking)
    paths[1].unlink()
    queue.start(options, tmp_path / "out")
    a, b, c = wait_for(queue, at_rest).items
    assert a.state is ItemState.PARTIAL and "the disk is full" in a.message and a.results is not None
    assert b.state is ItemState.FAILED and "cannot be read" in b.message
    assert c.state is ItemState.DONE
    (tmp_path / "file").touch()
    queue.retry({a.id})
    queue.start(options, tmp_path / "file")
    a = wait_for(queue, at_rest).items[0]
    assert a.state is ItemState.FAILED and "cannot be written" in a.message and "choose another output folder" in a.message
    queue.retry({a.id})
    queue.start(options, tmp_path / "out")
    assert wait_for(queue, at_rest).items[0].state is ItemState.DONE


def test_a_lost_file_that_came_back_can_be_tried_again(queue: BatchQueue, options: RunOptions, tmp_path: Path) -> None:
    queue.add([str(tmp_path / "later.mp4")], options, tmp_path / "out")
    [item] = wait_for(queue, lambda s: not s.looking and len(s.items) == 1).items
    assert item.state is ItemState.FAILED
    clip(tmp_path / "later.mp4", frames=4)
    queue.retry({item.id})
    [item] = wait_for(queue, lambda s: not s.looking and len(s.items) == 1 and s.items[0].frames == 4).items
    assert item.state is ItemState.WAITING and item.message == ""


@pytest.mark.parametrize(
    ("policy", "state"), [("skip", "skipped"), ("resume", "skipped"), ("fail", "failed"), ("overwrite", "done")]
)
def test_existing_results(policy: str, state: str, queue: BatchQueue, options: RunOptions, tmp_path: Path) -> None:
    queue.add([str(clip(tmp_path / "a.mp4", frames=4).path)], options, tmp_path / "out")
    wait_for(queue, lambda s: len(s.items) == 1)
    for chosen in ("overwrite", policy):
        queue.retry({queue.status.items[0].id})
        queue.start(replace(options, existing=chosen), tmp_path / "out")
        wait_for(queue, at_rest)
    [item] = queue.status.items
    assert item.state.value == state
    if state == "skipped":
        assert item.results == tmp_path / "out" / "a.jsonl" and item.message  # they can be opened all the same


def test_networks_that_cannot_be_loaded(options: RunOptions, tmp_path: Path) -> None:
    def refuse(_: RunOptions) -> Batch:
        raise ModelError("no graph; import one")

    queue = BatchQueue(lambda: None, open_batch=refuse)
    queue.add([str(clip(tmp_path / "a.mp4", frames=4).path)], options, tmp_path / "out")
    wait_for(queue, lambda s: len(s.items) == 1)
    queue.start(options, tmp_path / "out")
    status = wait_for(queue, at_rest)
    assert isinstance(status.error, ModelError) and status.items[0].state is ItemState.WAITING
    assert queue.close()


def test_a_period_for_another_mode_is_no_obstacle(options: RunOptions, tmp_path: Path) -> None:
    """As on the live page: what was chosen for a mode with temporal graphs does not stop one without."""
    opened: list[RunOptions] = []

    def remember(chosen: RunOptions) -> Batch:
        opened.append(chosen)
        return Batch(chosen)

    queue = BatchQueue(lambda: None, open_batch=remember)
    queue.add([str(clip(tmp_path / "a.mp4", frames=4).path)], options, tmp_path / "out")
    wait_for(queue, lambda s: len(s.items) == 1)
    for mode, period in (("s-vipnas", None), ("t-vipnas", 4)):
        queue.retry({queue.status.items[0].id})
        queue.start(replace(options, mode=mode, period=4), tmp_path / "out")
        status = wait_for(queue, at_rest)
        assert status.error is None and status.items[0].state is ItemState.DONE
        assert opened[-1].period == period
    assert queue.close()


def test_a_fault_of_one_file_is_one_line_and_others_go_on(
    queue: BatchQueue, options: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Batch.one

    def broken(self: Batch, spec: SourceSpec, *args: Any, **more: Any) -> SourceReport:
        if spec.text.endswith("a.mp4"):
            raise RuntimeError("boom")
        return real(self, spec, *args, **more)

    monkeypatch.setattr(Batch, "one", broken)
    queue.add([str(clip(tmp_path / f"{name}.mp4", frames=4).path) for name in "ab"], options, tmp_path / "out")
    wait_for(queue, lambda s: len(s.items) == 2)
    queue.start(options, tmp_path / "out")
    a, b = wait_for(queue, at_rest).items
    assert a.state is ItemState.FAILED and "boom" in a.message and b.state is ItemState.DONE


def test_progress_is_told_now_and_then(options: RunOptions, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []

    def look() -> None:
        current = queue.status.current()
        if current is not None:
            seen.append((current.done, current.frames))

    queue = BatchQueue(look)
    queue.add([str(clip(tmp_path / "a.mp4", frames=60).path)], options, tmp_path / "out")
    wait_for(queue, lambda s: len(s.items) == 1 and not s.looking)
    queue.start(options, tmp_path / "out")
    wait_for(queue, at_rest)
    assert queue.close() and (0, 60) in seen and len(seen) < 60


def test_estimates() -> None:
    def item(number: int, state: ItemState, frames: int | None, done: int = 0, fps: float = 0.0) -> BatchItem:
        return BatchItem(number, str(number), f"{number}.mp4", None, state, frames, done, fps, run=1)

    running = item(1, ItemState.RUNNING, 100, 50, 10.0)
    assert running.eta_s == pytest.approx(5) and running.share == pytest.approx(0.5)
    assert item(2, ItemState.RUNNING, None, 50, 10.0).eta_s is None
    waiting, unknown = item(3, ItemState.WAITING, 150), item(4, ItemState.WAITING, None)
    status = BatchStatus(BatchPhase.RUNNING, (running, waiting), run=1, speed=20.0)
    assert status.left() == Left(10.0) and status.share() == pytest.approx(0.2)
    status = BatchStatus(BatchPhase.RUNNING, (running, waiting, unknown), run=1, speed=20.0)
    assert time_left(status.left()) == "10 s or more"
    assert time_left(BatchStatus(BatchPhase.RUNNING, (unknown,)).left()) == "-"
    assert [duration(s) for s in (0, 59.4, 61, 3725)] == ["0 s", "59 s", "1 min 1 s", "1 h 2 min"]


def test_options_in_words() -> None:
    assert options_in_words(RunOptions()) == "t-vipnas, device chosen automatically, period of the mode"
    words = options_in_words(RunOptions(device="cpu", period=4, swap=False, detect_every=5, roi=(0, 0, 10, 20), existing="skip"))
    assert words == "t-vipnas, cpu, period 4, detect every 5, roi 0 0 10 20, no swap"
