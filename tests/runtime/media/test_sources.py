"""From what the user types to sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures import clips
from vipose.runtime.errors import InputError, UsageError
from vipose.runtime.media import camera
from vipose.runtime.media.camera import CameraInfo
from vipose.runtime.media.images import ImagesSource
from vipose.runtime.media.sources import SourceSpec, expand_sources, open_source
from vipose.runtime.media.video import VideoSource


@pytest.fixture(autouse=True)
def one_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "list_cameras", lambda: [CameraInfo(2, "HD Webcam")])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Videos, pictures, an empty folder and things that are neither."""
    for name in ("b10.mp4", "b2.MP4", "a.mkv", "notes.md", ".hidden.mp4", "out.mp4.part"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "c.mov").write_bytes(b"x")
    clips.still_folder(tmp_path / "deep" / "er" / "stills")
    (tmp_path / "empty").mkdir()
    return tmp_path


def names(*texts: object, recursive: bool = False) -> list[str]:
    specs = expand_sources([str(t) for t in texts], recursive=recursive)
    return [s.path.name if s.path else s.text for s in specs]


def test_folders(tree: Path) -> None:
    assert names(tree) == ["a.mkv", "b2.MP4", "b10.mp4"]
    assert names(tree, recursive=True) == ["a.mkv", "b2.MP4", "b10.mp4", "c.mov", "stills"]
    (spec,) = expand_sources([str(tree / "deep" / "er" / "stills")])
    assert (spec.kind, spec.path) == ("images", tree / "deep" / "er" / "stills")


def test_files_and_order(tree: Path) -> None:
    picture = tree / "deep" / "er" / "stills" / "img1.png"
    specs = expand_sources([str(tree / "b10.mp4"), str(picture), str(tree / "a.mkv")])
    assert [s.kind for s in specs] == ["video", "images", "video"]
    assert names(tree / "a.mkv", tree / "*.mkv", tree / "a.mkv") == ["a.mkv"]  # none twice


def test_a_file_with_an_unknown_suffix_is_tried_as_video(tree: Path) -> None:
    assert expand_sources([str(tree / "notes.md")])[0].kind == "video"


def test_patterns(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(tree / "b*") == ["b2.MP4", "b10.mp4"]
    assert names(tree / "*") == ["a.mkv", "b2.MP4", "b10.mp4", "c.mov"]  # folders that match count too
    assert names(tree / "**" / "*.mov") == ["c.mov"]
    monkeypatch.chdir(tree)
    assert [s.text for s in expand_sources(["b?.MP4"])] == ["b2.MP4"]
    (tree / "x[1].mp4").write_bytes(b"x")
    assert names(tree / "x[1].mp4") == ["x[1].mp4"]


def test_list_files(tree: Path) -> None:
    listing = tree / "list ü.txt"
    listing.write_text(
        f"\ufeff# clips\n\na.mkv\n  deep/*.mov  \n{tree / 'b2.MP4'}\nrtsp://host/x\ncamera:1\n", encoding="utf-8"
    )
    assert names(listing) == ["a.mkv", "c.mov", "b2.MP4", "rtsp://host/x", "camera:1"]


def test_cameras() -> None:
    assert expand_sources(["camera:0", "camera:hd webcam", "HD WEBCAM"]) == [
        SourceSpec("camera:0", "camera", device=0),
        SourceSpec("camera:hd webcam", "camera", device="hd webcam"),
        SourceSpec("HD WEBCAM", "camera", device="HD WEBCAM"),
    ]


@pytest.mark.parametrize("url", ["rtsp://u:p@host/x", "http://host/a.mp4?x=[1]*", "HTTPS://host/a", "srt://h:1"])
def test_addresses(url: str) -> None:
    assert expand_sources([url]) == [SourceSpec(url, "stream")]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("missing.mp4", "does not exist"),
        ("empty", "holds no videos or pictures"),
        ("*.avi", "matches nothing"),
        ("*.txtx", "matches nothing"),
        ("foo://x", "unknown scheme"),
        ("file:///x.mp4", "plain path"),
        ("blank.txt", "names no source"),
        ("bad.txt", "in the list"),
        ("binary.txt", "cannot be read"),
    ],
)
def test_what_is_not_there_is_one_line(tree: Path, monkeypatch: pytest.MonkeyPatch, text: str, part: str) -> None:
    monkeypatch.chdir(tree)
    (tree / "blank.txt").write_text("# nothing\n")
    (tree / "bad.txt").write_text("gone.mp4\n")
    (tree / "binary.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError) as caught:
        expand_sources([text])
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("texts", [[], [""], ["camera:"], ["camera:-1"]])
def test_absurd_texts_are_usage_errors(texts: list[str]) -> None:
    with pytest.raises(UsageError):
        expand_sources(texts)


def test_open_source_passes_everything_on(tmp_path: Path) -> None:
    made = clips.clip(tmp_path / "clip.mp4", frames=20)
    (spec,) = expand_sources([str(made.path)])
    with open_source(spec, rotate=90, start_s=0.2, end_s=0.6, every=3) as source:
        assert isinstance(source, VideoSource)
        frames = list(source)
    assert [f.index for f in frames] == [6, 9, 12]
    assert source.info.rotation == 90
    assert source.info.name == spec.text
    stills = clips.still_folder(tmp_path / "stills")
    with open_source(expand_sources([str(stills.path)])[0]) as source:
        assert isinstance(source, ImagesSource)


@pytest.mark.parametrize("values", [{"rotate": 45}, {"every": 0}, {"start_s": -1}, {"timeout_s": 0}])
def test_absurd_options_are_usage_errors(tmp_path: Path, values: dict[str, float]) -> None:
    (spec,) = expand_sources([str(clips.clip(tmp_path / "clip.mp4").path)])
    with pytest.raises(UsageError):
        open_source(spec, **values)  # type: ignore[arg-type]


def test_a_bad_line_of_a_list_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "good.mp4").touch()
    listing = tmp_path / "list.txt"
    listing.write_text("missing.mp4\ngood.mp4\n", encoding="utf-8")
    failed: list[InputError] = []
    assert [s.path for s in expand_sources([str(listing)], failed=failed)] == [tmp_path / "good.mp4"]
    assert len(failed) == 1 and "missing.mp4" in str(failed[0]) and "list.txt" in str(failed[0])
    with pytest.raises(InputError, match=r"missing\.mp4"):
        expand_sources([str(listing)])


@pytest.mark.parametrize(("lines", "count"), [(3, 3), (4, 1), (500, 1)])
def test_a_text_that_is_no_list_is_one_line(tmp_path: Path, lines: int, count: int) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("".join(f"line {n}\n" for n in range(lines)), encoding="utf-8")
    failed: list[InputError] = []
    assert expand_sources([str(text)], failed=failed) == [] and len(failed) == count
    assert "line 0" in str(failed[0]) and "notes.txt" in str(failed[0]) and (str(lines) in str(failed[0]) or count > 1)


def test_a_home_of_nobody_is_a_path_that_does_not_exist() -> None:
    with pytest.raises(InputError, match="does not exist"):
        expand_sources(["~nobody-of-this-name/clip.mp4"])
