"""What becomes of things that are dropped, of addresses, and of questions to disks."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.fixtures import clips
from vipose.app.core.addresses import AddressBook, is_address, read_address
from vipose.app.core.drop import pictures_in, sort_out
from vipose.app.core.finding import Answer, Asking
from vipose.app.core.settings import SettingsStore
from vipose.runtime.errors import InputError, UsageError, ViposeError


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return clips.clip(tmp_path / "one.mp4", frames=2).path


def test_one_video_runs_live(video: Path) -> None:
    drop = sort_out([str(video)])
    assert drop.kind == "live"
    assert drop.spec is not None and drop.spec.path == video and drop.spec.kind == "video"


def test_a_folder_of_pictures_runs_live(tmp_path: Path) -> None:
    folder = clips.still_folder(tmp_path / "stills").path
    drop = sort_out([str(folder)])
    assert drop.kind == "live"
    assert drop.spec is not None and drop.spec.kind == "images"


def test_several_files_and_folders_of_videos_are_a_batch(video: Path, tmp_path: Path) -> None:
    other = clips.clip(tmp_path / "two.mp4", frames=2).path
    assert sort_out([str(video), str(other)]).texts == (str(video), str(other))
    assert sort_out([str(video), str(other)]).kind == "batch"
    assert sort_out([str(tmp_path)]).kind == "batch"
    assert sort_out([str(video), str(video)]).kind == "live"  # twice the same is one


def test_a_list_is_a_batch_however_short(video: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("one.mp4\n", "utf-8")
    assert sort_out([str(listed)]).kind == "batch"


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.part", "OUT.JSONL", "out.coco.json"])
def test_result_files_are_opened_as_results(tmp_path: Path, video: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("[]", "utf-8")
    for texts in ([str(path)], [str(video), str(path)]):
        drop = sort_out(texts)
        assert (drop.kind, drop.path) == ("results", path)


def test_a_folder_of_openpose_files_is_results(tmp_path: Path) -> None:
    (tmp_path / "a_000000000000_keypoints.json").write_text("{}", "utf-8")
    assert sort_out([str(tmp_path)]).kind == "results"


def test_exported_settings_are_known_by_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    store = SettingsStore(tmp_path / "s" / "settings.json")
    store.export(path)
    drop = sort_out([str(path)])
    assert (drop.kind, drop.path) == ("settings", path)
    with pytest.raises(UsageError, match="alone"):
        sort_out([str(path), "camera:0"])


def test_cameras_and_addresses_run_live() -> None:
    assert sort_out(["camera:3"]).spec is not None
    drop = sort_out(["rtsp://me:secret@cam.local/one"])
    assert drop.spec is not None and drop.spec.kind == "stream"


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], "nothing"),
        (["   "], "nothing"),
        (["nowhere.mp4"], "does not exist"),
        (["gopher://old"], "unknown scheme"),
        (["http://"], "no computer"),
    ],
)
def test_what_cannot_be_opened_is_one_line(texts: list[str], words: str) -> None:
    with pytest.raises((UsageError, InputError), match=words) as caught:
        sort_out(texts)
    assert "\n" not in str(caught.value)


def test_things_that_do_not_go_together_are_refused(tmp_path: Path, video: Path) -> None:
    results = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path in results:
        path.write_text("", "utf-8")
    with pytest.raises(UsageError, match="several result files"):
        sort_out([str(path) for path in results])
    other = clips.clip(tmp_path / "two.mp4", frames=2).path
    with pytest.raises(UsageError, match="together"):
        sort_out([str(results[0]), str(video), str(other)])


def test_pictures_of_a_folder_that_holds_videos_too(tmp_path: Path, video: Path) -> None:
    with pytest.raises(InputError, match="no pictures"):
        pictures_in(str(tmp_path))
    with pytest.raises(InputError, match="no pictures"):
        pictures_in(str(tmp_path / "missing"))
    clips.still_folder(tmp_path / "s")
    for picture in (tmp_path / "s").iterdir():
        picture.rename(tmp_path / picture.name)
    assert pictures_in(str(tmp_path)).kind == "images"


@pytest.mark.parametrize(
    ("text", "words"), [("cam.local", "begins with"), ("rtsp://", "no computer"), ("http://[::1", "bracket"), ("file:///a", "file address")]
)
def test_addresses_that_cannot_be_tried(text: str, words: str) -> None:
    with pytest.raises(ViposeError, match=words):
        read_address(text)


def test_passwords_are_used_and_never_written_down() -> None:
    book = AddressBook()
    address = "rtsp://me:p@ss@cam.local:554/live?x=1"
    written = book.remember(read_address(f" {address} ").text)
    assert written == "rtsp://cam.local:554/live?x=1"
    assert book.whole(written) == address == book.last
    assert AddressBook().whole(written) == written
    assert is_address(written) and not is_address("C:/clips/a.mp4")


def test_the_newest_question_is_the_one_that_is_answered() -> None:
    gate, answers, done = threading.Event(), [], threading.Event()

    def heard(answer: Answer[str]) -> None:
        answers.append(answer)
        done.set()

    def slow() -> str:
        gate.wait(10)
        return "old"

    asking = Asking(heard)
    asking.ask(slow)
    asking.ask(lambda: "new")
    assert done.wait(10)
    gate.set()
    asking.close(5)
    asking.ask(lambda: "too late")
    assert answers == [Answer("new")]
    assert "vipose-finding" not in {thread.name for thread in threading.enumerate()}


def test_a_question_that_fails_is_an_error_in_one_line() -> None:
    answers: list[Answer[object]] = []
    done = threading.Event()
    asking: Asking[object] = Asking(lambda answer: (answers.append(answer), done.set()))
    asking.ask(lambda: json.loads("{"))
    assert done.wait(10)
    asking.close()
    assert isinstance(answers[0].error, ViposeError) and "\n" not in str(answers[0].error)
