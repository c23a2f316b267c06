from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runtime.results.samples import FRAMES, write
from vipose.runtime.cli import main
from vipose.runtime.errors import EXIT_NOTHING, EXIT_OK, EXIT_USAGE, InputError, UsageError
from vipose.runtime.results.convert import convert, infer_format
from vipose.runtime.results.formats import FORMATS
from vipose.runtime.results.reading import READABLE, read_results
from vipose.runtime.results.writing import WriterOptions


@pytest.mark.parametrize("source", READABLE)
@pytest.mark.parametrize("target", FORMATS)
def test_every_readable_format_becomes_every_format(
    tmp_path: Path, source: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = write(source, tmp_path / "in")[0]
    wanted = tmp_path / f"new{FORMATS[target].suffix}"
    assert main(["convert", str(given), str(wanted)]) == EXIT_OK
    said = capsys.readouterr().out
    assert f"lost in {target}: {FORMATS[target].loses}\n" in said and "6 frames, 2 people" in said
    if target in READABLE:
        assert [(f.index, [p.id for p in f.people]) for f in read_results(wanted)] == [
            (f.index, [p.id for p in f.people]) for f in FRAMES
        ]


def test_native_to_native_is_the_same_file(tmp_path: Path) -> None:
    (given,) = write("native", tmp_path / "in")
    convert(given, tmp_path / "copy.jsonl")
    assert (tmp_path / "copy.jsonl").read_bytes() == given.read_bytes()


def test_raw_person_score_and_scale(tmp_path: Path) -> None:
    (given,) = write("native", tmp_path / "in")
    done = convert(given, tmp_path / "o.csv", options=WriterOptions(smoothed=False), people={3})
    assert (done.frames, done.people) == (6, 1)
    rows = [line.split(",") for line in (tmp_path / "o.csv").read_text().splitlines()[1:]]
    assert {row[0] for row in rows} == set("012345") and {row[2] for row in rows} == {"", "3"}
    raw = FRAMES[2].people[1].keypoints[0]
    assert [float(v) for v in rows[2][4:6]] == pytest.approx(raw[:2], abs=0.0051)
    convert(given, tmp_path / "o.trc", options=WriterOptions(metres_per_pixel=0.01))
    assert "\tm\t" in (tmp_path / "o_1.trc").read_text()


def test_json_quiet_and_fps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = write("openpose", tmp_path / "in")
    assert main(["convert", str(folder), str(tmp_path / "o.jsonl"), "--json", "--fps", "10"]) == EXIT_OK
    said = json.loads(capsys.readouterr().out)
    assert said["source"] == "openpose" and said["paths"] == [str(tmp_path / "o.jsonl")] and said["frames"] == 6
    assert [f.time_s for f in read_results(tmp_path / "o.jsonl")] == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert main(["convert", "-q", str(folder), str(tmp_path / "o.csv")]) == EXIT_OK
    assert capsys.readouterr() == ("", "")


def test_torn_input_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (given,) = write("native", tmp_path / "in")
    given.write_bytes(given.read_bytes()[:-20])
    assert main(["convert", str(given), str(tmp_path / "o.csv")]) == EXIT_OK
    assert "5 whole frames" in capsys.readouterr().out


def test_malformed_input_keeps_what_came_before(tmp_path: Path) -> None:
    (given,) = write("native", tmp_path / "in")
    lines = given.read_bytes().splitlines(keepends=True)
    lines[4] = b"{}\n"
    given.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match="line 5"):
        convert(given, tmp_path / "o.coco.json")
    assert [f.index for f in read_results(tmp_path / "o.coco.json")] == [0, 1, 2]


@pytest.mark.parametrize("name", READABLE)
def test_the_input_is_never_overwritten(tmp_path: Path, name: str) -> None:
    given = write(name, tmp_path / "in")[0]
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    (tmp_path / "link").symlink_to(given)
    for target in (given, tmp_path / "link", tmp_path / "." / given.name):
        with pytest.raises(UsageError, match="the input itself"):
            convert(given, target, to=name)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and not p.is_symlink()}.keys() >= before.keys()
    assert all(p.read_bytes() == data for p, data in before.items())


def test_a_part_file_can_be_saved_but_not_onto_itself(tmp_path: Path) -> None:
    (given,) = write("native", tmp_path / "in")
    part = given.rename(tmp_path / "in.jsonl.part")
    with pytest.raises(UsageError, match="the input itself"):
        convert(part, tmp_path / "in.jsonl")
    assert convert(part, tmp_path / "saved.jsonl").frames == 6


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl", "native"), ("a.coco.json", "coco"), ("a_openpose", "openpose"), ("a.POSETRACK.json", "posetrack"),
        ("a.csv", "csv"), ("a.angles.csv", "angles"), ("a.angles.mot", "angles-mot"), ("a.mot", "angles-mot"),
        ("a.mot.txt", "mot"), ("a.trc", "trc"), ("a.parquet", "parquet"),
    ],
)  # fmt: skip
def test_the_name_tells_the_format(name: str, expected: str) -> None:
    assert infer_format(Path(name)) == expected


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["IN", "o.xyz"], EXIT_USAGE, "native, coco, openpose, posetrack"),
        (["IN", "o.json"], EXIT_USAGE, "coco, posetrack"),
        (["IN", "o.csv", "--to", "bvh"], EXIT_USAGE, "'bvh' is no result format"),
        (["IN", "o.csv", "--person", "x"], EXIT_USAGE, "--person"),
        (["IN", "o.csv", "--person", "9"], EXIT_NOTHING, "none of the people 9"),
        (["IN", "o.csv", "--metres-per-pixel", "0.1"], EXIT_USAGE, "means nothing to csv"),
        (["IN", "o.trc", "--metres-per-pixel", "-1"], EXIT_USAGE, "above 0"),
        (["IN", "o.trc", "--metres-per-pixel", "nan"], EXIT_USAGE, "finite"),
        (["IN", "o.csv", "--fps", "0"], EXIT_USAGE, "--fps"),
        (["IN", "no/folder/o.csv"], EXIT_NOTHING, "there is no folder"),
        (["missing.jsonl", "o.csv"], EXIT_NOTHING, "cannot be read"),
        (["."], EXIT_USAGE, "OUT"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, arguments: list[str], code: int, why: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (given,) = write("native", tmp_path / "in")
    assert main(["convert", *(str(given) if a == "IN" else a for a in arguments)]) == code
    said = capsys.readouterr().err
    assert why in said and said.count("\n") == 1 and "Traceback" not in said
