from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.runtime.results.samples import FRAMES, write
from vipose.runtime.errors import InputError
from vipose.runtime.results.reading import READABLE, read_results

_KEYS = st.sampled_from(
    ["images", "annotations", "people", "keypoints", "image_id", "score", "id", "track_id", "categories", "info", "vipose",
     "schema", "scores", "bbox", "pose_keypoints_2d", "person_id", "width", "time_s"]
)  # fmt: skip
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4)
_JSON = st.recursive(
    _LEAVES | st.just([1.0] * 51), lambda x: st.lists(x, max_size=4) | st.dictionaries(_KEYS, x, max_size=5), max_leaves=8
)


def _read_all(path: Path) -> None:
    """Reads everything or raises InputError in one line; anything else fails the test."""
    try:
        list(read_results(path))
    except InputError as error:
        assert "\n" not in str(error) and str(path.name) in str(error)


@given(st.binary(max_size=300))
@example(b"")
@example(b"[" * 50_000)
@example(b"1" * 5000)
@example(b"\xef\xbb\xbf[]")
@example(b'[{"image_id":0,"keypoints":[NaN,0,0],"score":1}]')
@example(b"\x00\xff\xfe")
def test_any_bytes_give_results_or_one_clear_line(data: bytes) -> None:
    for name in ("x.json", "x.jsonl", "x.txt"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            _read_all(path)


@given(st.lists(_JSON, max_size=3) | st.dictionaries(_KEYS, _JSON, max_size=6))
@settings(max_examples=60)
def test_any_json_gives_results_or_one_clear_line(data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.json"
        path.write_text(json.dumps(data))
        _read_all(path)
        frame = Path(folder) / "o" / "x_000000000001_keypoints.json"
        frame.parent.mkdir()
        frame.write_text(json.dumps({"people": data}))
        _read_all(frame.parent)


@given(st.sampled_from(READABLE), st.data())
@settings(max_examples=50)
def test_mutated_files_give_results_or_one_clear_line(name: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(name, Path(folder) / "out", FRAMES[:3])[0]
        victim = sorted(path.iterdir())[1] if path.is_dir() else path
        content = bytearray(victim.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        victim.write_bytes(content)
        try:
            list(read_results(path))
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"people": []}', "one frame of an OpenPose folder"),
        ('{"people": 3, "source": "a.mp4"}', "in no format that can be read"),  # the report of a run
        ('{"images": []}', "only the table of images"),
        ('{"a": 1}', "in no format that can be read"),
        ("[1]", "result 0 is no JSON object"),
        ('[{"image_id": 0, "keypoints": [1, 2], "score": 1}]', "2 numbers are not x, y, score"),
        ('[{"image_id": 0, "keypoints": [1, 2, 3], "score": 1}]', "1 keypoints a person are of no known skeleton"),
        ('[{"image_id": "a.jpg", "keypoints": [1, 2, 3], "score": 1}]', "image_id is no whole number"),
        ('{"images": [], "annotations": [{"image_id": 4, "keypoints": ' + str([0] * 51) + "}]}", "image 4"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": [{"keypoints": ["tail"]}]}', "of a known skeleton"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(InputError, match=why):
        read_results(path)


@pytest.mark.parametrize("name", ["x.csv", "x_1.trc", "x.mot.txt", "x.parquet"])
def test_formats_that_are_only_written_say_so(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("frame,time_s\n")
    with pytest.raises(InputError, match="written but not read back; give native"):
        read_results(tmp_path / name)


def test_missing_file_empty_folder_and_doubled_frame(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.json", tmp_path / "a\0b", tmp_path / ("n" * 5000)):
        with pytest.raises(InputError):
            read_results(path)
    with pytest.raises(InputError, match="no '\\*_keypoints.json' files"):
        read_results(tmp_path)
    for name in ("a_01_keypoints.json", "b_1_keypoints.json"):
        (tmp_path / name).write_text('{"people": []}')
    with pytest.raises(InputError, match="holds frame 1 twice"):
        read_results(tmp_path)


def test_torn_table_of_images_is_no_traceback(tmp_path: Path) -> None:
    path, table = write("coco", tmp_path / "out")
    for content in (b"{", b"[]", b'{"info": {}}', b'{"info": 3, "images": []}'):
        table.write_bytes(content)
        with pytest.raises(InputError):
            read_results(path)
    table.unlink()
    assert [f.index for f in read_results(path)] == [1, 2, 4]
