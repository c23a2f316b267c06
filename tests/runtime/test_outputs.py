"""Names of outputs: none twice, none over an input, and a folder that is tried before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipose.runtime.errors import OutputError, UsageError
from vipose.runtime.outputs import OutputNames, Targets, Wanted, check_writable, plan_targets
from vipose.runtime.report import SourceReport, write_report


def wanted(text: str) -> Wanted:
    return Wanted(Path(text).stem, Path(text))


def test_one_source_to_a_file() -> None:
    [target] = plan_targets([wanted("in/clip.v2.mp4")], "out/x.take1.mp4", video=True)
    assert target == Targets(Path("out/x.take1"), Path("out/x.take1.mp4"))
    [target] = plan_targets([wanted("in/clip.mp4")], "out/x.mp4", video=False)
    assert target == Targets(Path("out/x"))


def test_default_folder_and_names() -> None:
    [target] = plan_targets([wanted("in/my.clip.mov")], None, video=True)
    assert target.video == Path("vipose-out/my.clip.mp4") and target.report == Path("vipose-out/my.clip.run.json")


def test_same_names_do_not_collide() -> None:
    sources = [wanted(text) for text in ("a/x.mp4", "b/x.mp4", "b/X.avi", "c/x.mp4", "c/x.mp4")]
    names = [target.base.name for target in plan_targets(sources, "out", video=True)]
    assert len({name.casefold() for name in names}) == len(sources) and names[:2] == ["x", "x_mp4"]


def test_pictures() -> None:
    sources = [Wanted("shots", Path("shots"), "folder"), Wanted("me", Path("me.png"), "picture")]
    folder, single = plan_targets(sources, "out", video=True)
    assert folder.folder == Path("out/shots") and folder.video is None
    assert single.picture == Path("out/me.jpg")
    [video] = plan_targets(sources[:1], "shots.mp4", video=True)
    assert video.video == Path("shots.mp4")


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    clip.touch()
    [target] = plan_targets([wanted(str(clip))], str(tmp_path), video=True)
    assert target.video == tmp_path / "a_vipose.mp4"
    with pytest.raises(UsageError, match="is the input itself"):
        plan_targets([wanted(str(clip))], str(tmp_path / "." / "a.mp4"), video=True)
    with pytest.raises(UsageError, match="there are 2 sources; give a folder"):
        plan_targets([wanted("a.mp4"), wanted("b.mp4")], "out.mp4", video=True)
    with pytest.raises(UsageError, match="is no video file"):
        plan_targets([wanted("a.mp4")], "out.jsonl", video=True)


def test_a_name_that_is_too_long_is_one_line() -> None:
    with pytest.raises(UsageError, match="cannot be a name here"):
        plan_targets([wanted("a.mp4")], "n" * 5000 + ".mp4", video=True)
    with pytest.raises(UsageError, match="is no name"):
        plan_targets([wanted("a.mp4")], "", video=True)


def test_a_folder_may_look_like_a_file(tmp_path: Path) -> None:
    (tmp_path / "run.mp4").mkdir()
    [target] = plan_targets([wanted("a.mp4")], str(tmp_path / "run.mp4"), video=True)
    assert target.video == tmp_path / "run.mp4" / "a.mp4"


@given(st.lists(st.sampled_from(["a/x.mp4", "a/X.mp4", "b/x.mp4", "x.avi", "a/a_x.mp4", "out/x.mp4", "out/x_mp4.mp4"])))
def test_names_never_collide(texts: list[str]) -> None:
    targets = plan_targets([wanted(text) for text in texts], "out", video=True)
    names = [str(target.video).casefold() for target in targets]
    assert len(set(names)) == len(names)
    assert not set(names) & {text.casefold() for text in texts}


def test_names_for_a_queue_that_grows(tmp_path: Path) -> None:
    names, out = OutputNames(), tmp_path / "out"
    first = names.plan("first", wanted("a/x.mp4"), out, video=True)
    second = names.plan("second", wanted("b/X.mp4"), out, video=True)
    assert first.base == out / "x" and second.base.name.casefold() != "x"
    assert names.plan("first", wanted("a/x.mp4"), out, video=False) == Targets(first.base)  # once more: the same name
    assert names.plan("second", wanted("b/X.mp4"), tmp_path / "other", video=True).base == tmp_path / "other" / "X"
    names.protect(Wanted("y", out / "y.mp4"))  # an input that lies where outputs go
    assert names.plan("third", wanted("c/y.mov"), out, video=True).video == out / "y_vipose.mp4"


def test_what_another_source_has_left_is_not_replaced(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "clip.mp4", tmp_path / "b" / "clip.mp4"
    for path in (first, second):
        path.parent.mkdir()
        path.touch()
    out = tmp_path / "out"
    out.mkdir()

    def planned(source: Path | None) -> str:
        return OutputNames().plan("me", Wanted("clip", source), out, video=True).base.name

    assert planned(second) == "clip"  # there is no record yet
    write_report(out / "clip.run.json", SourceReport("a/clip.mp4", "done", path=str(first)))
    assert planned(first) == "clip" and planned(second) == "clip_mp4" and planned(None) == "clip_2"
    write_report(out / "clip_mp4.run.json", SourceReport("b/clip.mp4", "done", path=str(second)))
    assert planned(second) == "clip_mp4" and planned(first) == "clip"
    first.unlink()  # it was moved, perhaps to where we are now
    assert planned(second) == "clip"
    (out / "clip.run.json").write_text('{"path": 3}', "utf-8")
    assert planned(second) == "clip"


def test_unwritable_folder_is_found_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        check_writable(Targets(tmp_path / "file" / "x"))
    check_writable(Targets(tmp_path / "new" / "deep" / "x"))
    assert list((tmp_path / "new" / "deep").iterdir()) == []
