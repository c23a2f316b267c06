"""Settings survive runs, bad files and bad values; nothing of the user's is ever lost or torn."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from vipose.app.core import settings_file
from vipose.app.core.settings import (
    KEPT_OPTIONS,
    MIGRATIONS,
    SCHEMA,
    Settings,
    SettingsStore,
    default_path,
    whole_path,
)
from vipose.app.core.settings_file import MARK, Saver
from vipose.app.core.viewstate import ViewState
from vipose.runtime.atomic import write_atomically
from vipose.runtime.errors import InputError, OutputError, UsageError
from vipose.runtime.options import RunOptions, table

OTHER_OPTIONS: dict[str, Any] = {
    "mode": "s-vipnas", "detector": "d.onnx", "detector_pixels": 123_456, "period": 2, "twice": True, "precision": "fp32",
    "device": "cpu", "threads": 2, "max_people": 5,
    "score_threshold": 0.4, "detect_every": 3, "max_lost": 2.5, "max_keys": 4, "roi": (1.0, 2.0, 30.0, 40.5), "smoothing": "live",
    "smoothing_strength": 2.0, "swap": False, "every": 2, "rotate": "90", "timeout": 5.0, "camera_size": (1280, 720),
    "camera_fps": 30.0, "head_blur": True, "black_background": True, "joint_threshold": 0.5, "mirror": True,
}  # fmt: skip


@pytest.fixture
def path(own_settings: Path) -> Path:
    own_settings.mkdir()
    return own_settings / "settings.json"


def write(path: Path, **content: object) -> str:
    text = json.dumps({"file": MARK, "schema": SCHEMA, **content})
    path.write_text(text, "utf-8")
    return text


def files(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


def test_file_lies_where_the_environment_says(own_settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_path() == own_settings / "settings.json" == SettingsStore().path
    monkeypatch.delenv("VIPOSE_SETTINGS")
    assert default_path().name == "settings.json" and "vipose" in default_path().parts


def test_first_run_has_the_defaults_and_writes_nothing(path: Path) -> None:
    store = SettingsStore()
    assert store.current == Settings() and not store.problem and not files(path)
    assert Path(store.current.results_folder).name == "vipose"


def test_everything_survives_a_run(path: Path) -> None:
    wanted = Settings(
        options=RunOptions(**OTHER_OPTIONS),
        view=ViewState(skeletons=False, boxes=False, labels=False, angles=True, smoothed=False, heat="left wrist"),
        theme="dark", recent=("a.mp4", "camera:0"), folder="/videos", results_folder="/out", formats=("native", "csv"),
        window="AAEC", layout="AwQ=",
    )  # fmt: skip
    same = [f.name for f in fields(Settings) if getattr(wanted, f.name) == getattr(Settings(), f.name)]
    assert not same and set(OTHER_OPTIONS) == set(KEPT_OPTIONS), "this test forgets something"
    assert not [n for n in KEPT_OPTIONS if OTHER_OPTIONS[n] == getattr(RunOptions(), n)]
    store = SettingsStore()
    store.change(**{f.name: getattr(wanted, f.name) for f in fields(Settings)})
    store.close()
    again = SettingsStore()
    assert again.current == wanted and not again.problem
    assert files(path) == ["settings.json"]


def test_what_belongs_to_one_run_is_not_kept(path: Path) -> None:
    kept = set(KEPT_OPTIONS)
    assert not kept & {"output", "show", "quiet", "json", "start", "end", "save", "recursive"}
    assert kept == {name for name, option in table().items() if option.applies} - {"start", "end"}
    store = SettingsStore()
    store.change(options=replace(RunOptions(), start=3.0, quiet=True), view=ViewState(followed=4))
    store.close()
    assert SettingsStore().current == Settings()


def test_only_what_differs_is_written(path: Path) -> None:
    store = SettingsStore()
    store.change_options(period=2)
    store.close()
    assert json.loads(path.read_text("utf-8")) == {"file": MARK, "schema": SCHEMA, "options": {"period": 2}}


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("options", "max_people", 999), ("options", "max_people", "5"), ("options", "max_people", 5.5),
        ("options", "max_people", True), ("options", "max_people", None), ("options", "period", 0),
        ("options", "score_threshold", "x"), ("options", "score_threshold", 10**400), ("options", "camera_fps", -1),
        ("options", "head_blur", 1), ("options", "device", "tpu"), ("options", "mode", 3), ("options", "roi", [1, 2, 3]),
        ("options", "roi", [10, 0, 5, 5]), ("options", "roi", "1,2,3,4"), ("options", "camera_size", [0, 720]),
        ("options", "camera_size", [1280.5, 720]), ("view", "boxes", "no"), ("view", "heat", None),
        ("", "theme", "pink"), ("", "theme", ["dark"]), ("", "formats", ["native", "xls"]), ("", "formats", "native"),
        ("", "recent", [1]), ("", "layout", {}), ("", "window", 7),
    ],
)  # fmt: skip
def test_a_bad_value_costs_only_itself(path: Path, part: str, name: str, value: object) -> None:
    content: dict[str, Any] = {"options": {"detect_every": 7}, "view": {"labels": False}, "folder": "/here"}
    (content.setdefault(part, {}) if part else content)[name] = value
    write(path, **content)
    store = SettingsStore()
    current = store.current
    holder = getattr(current, part) if part else current
    assert getattr(holder, name) == getattr(getattr(Settings(), part) if part else Settings(), name)
    assert (current.options.detect_every, current.view.labels, current.folder) == (7, False, "/here")
    assert name.replace("_", "-") in store.problem.replace("_", "-") and "\n" not in store.problem
    assert files(path) == ["settings.json"]


def test_unknown_keys_are_dropped_with_a_note(path: Path) -> None:
    write(path, junk=1, options={"output": "x", "period": 2}, view={"followed": 3})
    store = SettingsStore()
    assert store.current == replace(Settings(), options=RunOptions(period=2))
    assert all(f"'{name}' is not known" in store.problem for name in ("junk", "output", "followed"))


def test_a_part_of_the_wrong_shape_costs_only_itself(path: Path) -> None:
    write(path, options=[1], view="x", theme="dark")
    store = SettingsStore()
    assert store.current == Settings(theme="dark")
    assert "'options' holds no values" in store.problem


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"\xff\xfe\x00", b"[" * 100_000, b'{"schema": 1}', b'{"file": "other", "schema": 1}',
        b'{"file": "vipose settings"}', b'{"file": "vipose settings", "schema": "1"}',
        b'{"file": "vipose settings", "schema": 0}', b'{"file": "vipose settings", "schema": true}',
        b'{"file": "vipose settings", "schema": 99, "theme": "dark"}',
    ],
)  # fmt: skip
def test_an_unusable_file_is_set_aside(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    store = SettingsStore()
    assert store.current == Settings()
    assert files(path) == ["settings.json.bad-1"] and path.with_name("settings.json.bad-1").read_bytes() == content
    assert "settings.json.bad-1" in store.problem and "\n" not in store.problem
    store.change(theme="dark")
    store.close()
    assert SettingsStore().current.theme == "dark"


def test_a_file_that_was_set_aside_is_never_overwritten(path: Path) -> None:
    for number in range(3):
        path.write_text(f"bad {number}", "utf-8")
        SettingsStore()
    kept = [path.with_name(f"settings.json.bad-{number + 1}").read_text("utf-8") for number in range(3)]
    assert kept == ["bad 0", "bad 1", "bad 2"]


def test_a_newer_file_says_so(path: Path) -> None:
    path.write_text(json.dumps({"file": MARK, "schema": SCHEMA + 1}), "utf-8")
    assert "newer vipose" in SettingsStore().problem


def test_migrations_run_in_order(path: Path) -> None:
    def first(content: dict[str, Any]) -> dict[str, Any]:
        return {"colours": content.pop("look"), **content}

    def second(content: dict[str, Any]) -> dict[str, Any]:
        return {"theme": content.pop("colours"), **content}

    steps = {1: first, 2: second}
    path.write_text(json.dumps({"file": MARK, "schema": 1, "look": "dark", "folder": "/x"}), "utf-8")
    store = SettingsStore(schema=3, migrations=steps)
    assert (store.current.theme, store.current.folder, store.problem) == ("dark", "/x", "")
    store.change(folder="/f")
    store.close()
    assert json.loads(path.read_text("utf-8"))["schema"] == 3
    assert SettingsStore(schema=3, migrations=steps).current == store.current


def test_content_that_a_migration_cannot_take_is_set_aside(path: Path) -> None:
    path.write_text(json.dumps({"file": MARK, "schema": 1}), "utf-8")
    store = SettingsStore(schema=2, migrations={1: lambda content: {"theme": content["look"]}})
    assert store.current == Settings() and files(path) == ["settings.json.bad-1"]


def test_there_is_a_way_from_every_schema() -> None:
    assert set(MIGRATIONS) == set(range(1, SCHEMA))


def test_a_failed_write_leaves_the_old_file_and_no_part(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(settings_file.os, "fsync", fail)
    with pytest.raises(OutputError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text("utf-8") == "old" and files(path) == ["settings.json"]


def test_two_writers_never_tear_the_file(path: Path) -> None:
    texts = {letter * 200_000 for letter in "ab"}
    write_atomically(path, "a" * 200_000)

    def many(text: str) -> None:
        for _ in range(15):
            write_atomically(path, text)

    threads = [threading.Thread(target=many, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert path.read_text("utf-8") in texts
    for thread in threads:
        thread.join()
    assert files(path) == ["settings.json"]


def test_who_saves_last_wins(path: Path) -> None:
    first, second = SettingsStore(), SettingsStore()
    first.change(theme="dark")
    first.close()
    second.change(folder="/f")
    second.close()
    assert SettingsStore().current == Settings(folder="/f")


def test_saving_does_not_wait_for_the_disk_and_keeps_the_newest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, written = threading.Event(), []

    def slow(_path: Path, text: str) -> None:
        assert gate.wait(20)
        written.append(text)

    monkeypatch.setattr(settings_file, "write_atomically", slow)
    saver = Saver(path)
    for text in ("1", "2", "3", "4"):
        saver.save(text)  # returns though the disk hangs
    assert not saver.wait(0.01)
    gate.set()
    assert saver.wait(20)
    assert written[-1] == "4" and len(written) <= 2
    assert not [t for t in threading.enumerate() if t.name == "vipose-settings"]


def test_without_a_folder_it_goes_on_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", "utf-8")
    store = SettingsStore(tmp_path / "file" / "settings.json")
    assert "Settings are not saved" in store.problem and "\n" not in store.problem
    said = store.problem
    assert store.change(theme="dark").theme == "dark" == store.current.theme
    store.close()
    assert store.problem == said


def test_a_full_disk_is_said_and_does_not_end_saving(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SettingsStore()
    with monkeypatch.context() as patch:
        patch.setattr(settings_file.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        store.change(theme="dark")
        store.flush()
    assert "No space left" in store.problem
    store.change(folder="/f")
    store.close()
    assert SettingsStore().current == Settings(theme="dark", folder="/f")


def test_a_file_that_cannot_be_read_is_not_replaced(path: Path) -> None:
    path.mkdir()  # reading fails, whoever the user is
    store = SettingsStore()
    store.change(theme="dark")
    store.close()
    assert "cannot be read" in store.problem and path.is_dir() and files(path) == ["settings.json"]


def test_a_value_that_is_not_allowed_changes_nothing(path: Path) -> None:
    store, told = SettingsStore(), []
    store.subscribe(told.append)
    for change in ({"theme": "pink"}, {"formats": ("xls",)}):
        with pytest.raises(UsageError):
            store.change(**change)
    with pytest.raises(UsageError):
        store.change_options(max_people=0)
    store.close()
    assert store.current == Settings() and not told and not files(path)


def test_subscribers_hear_of_changes_until_they_leave(path: Path) -> None:
    store, told = SettingsStore(), []
    leave = store.subscribe(told.append)
    store.change(theme="dark")
    store.change(theme="dark")  # nothing new
    leave()
    leave()
    store.change(theme="light")
    store.close()
    assert [settings.theme for settings in told] == ["dark"]


def test_reset_of_one_group_and_of_all(path: Path) -> None:
    store = SettingsStore()
    store.change(theme="dark", recent=("a.mp4",), window="AA==", formats=("csv",), results_folder="/out")
    store.change_options(period=2, max_people=3)
    store.reset("Networks")
    assert (store.current.options.period, store.current.options.max_people, store.current.theme) == (None, 3, "dark")
    store.reset()
    store.close()
    assert store.current == Settings(recent=("a.mp4",), window="AA==")


def test_export_and_import(path: Path, tmp_path: Path) -> None:
    store = SettingsStore()
    store.change(theme="dark", recent=("secret.mp4",), folder="/secret", formats=("csv",), window="AA==")
    store.change_options(roi=(1.0, 2.0, 3.0, 4.0))
    file = tmp_path / "mine.json"
    store.export(file)
    assert "secret" not in file.read_text("utf-8")
    other = SettingsStore(tmp_path / "other" / "settings.json")
    other.change(recent=("b.mp4",), window="BB==", formats=("mot",))
    other.change_options(period=3)
    assert other.load_from(file) == ()
    wanted = Settings(theme="dark", formats=("csv",), options=RunOptions(roi=(1.0, 2.0, 3.0, 4.0)))
    assert other.current == replace(wanted, recent=("b.mp4",), window="BB==")
    store.close()
    other.close()


def test_import_checks_values_and_leaves_this_machine_alone(path: Path, tmp_path: Path) -> None:
    store = SettingsStore()
    file = tmp_path / "mine.json"
    write(file, theme="dark", results_folder="/elsewhere", options={"max_people": 0, "period": 2})
    notes = store.load_from(file)
    store.close()
    assert len(notes) == 1 and "max-people" in notes[0]
    assert store.current == Settings(theme="dark", options=RunOptions(period=2))


@pytest.mark.parametrize("content", ["{", "[]", '{"keypoints": []}', '{"file": "vipose settings", "schema": 99}'])
def test_import_of_what_is_no_settings_file_changes_nothing(path: Path, tmp_path: Path, content: str) -> None:
    store = SettingsStore()
    store.change(theme="dark")
    file = tmp_path / "other.json"
    file.write_text(content, "utf-8")
    with pytest.raises(UsageError) as caught:
        store.load_from(file)
    assert "other.json" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="there is no file"):
        store.load_from(tmp_path / "none.json")
    with pytest.raises(OutputError):
        store.export(tmp_path)
    store.close()
    assert store.current == Settings(theme="dark") and file.read_text("utf-8") == content


def test_recent_sources() -> None:
    settings = Settings(recent=("a", "b"))
    assert settings.recent_with("b") == ("b", "a")
    for number in range(50):
        settings = replace(settings, recent=settings.recent_with(str(number)))
    assert settings.recent[0] == "49" and len(settings.recent) == 12


def test_a_name_that_is_no_utf8_is_kept_and_does_not_end_saving(path: Path) -> None:
    name = os.fsdecode(b"/videos/lat\xe9in.mp4")
    store = SettingsStore()
    store.change(recent=(name,))
    assert store.flush(10.0)
    store.change(folder="/later")
    assert store.flush(10.0) and not store.problem
    again = SettingsStore()
    assert again.current.recent == (name,) and again.current.folder == "/later"


def test_a_file_that_an_editor_marked_as_utf8_is_read(path: Path) -> None:
    text = write(path, theme="dark")
    path.write_text(text, "utf-8-sig")
    store = SettingsStore()
    assert store.current.theme == "dark" and not store.problem and files(path) == ["settings.json"]


@pytest.mark.parametrize("folder", ["", " ", "a\0b"])
def test_results_always_have_a_folder(path: Path, folder: str) -> None:
    write(path, results_folder=folder)
    store = SettingsStore()
    assert store.current.results_folder == Settings().results_folder and "folder" in store.problem


def test_paths_as_they_are_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert whole_path("~/out") == str(tmp_path / "out") == whole_path("out") and whole_path("") == ""
    assert whole_path("~nobody-of-that-name/out") == str(tmp_path / "~nobody-of-that-name" / "out")
