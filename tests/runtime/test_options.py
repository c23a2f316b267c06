"""The table of options: the command line, the settings page and the documentation come from it, and bad values are named."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

import pytest

from vipose.runtime.errors import UsageError
from vipose.runtime.options import RESULT_FORMATS, RunOptions, add_options, as_markdown, from_arguments, table

DOCS = Path(__file__).resolve().parents[2] / "docs" / "options.md"


def parse(*argv: str) -> RunOptions:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return from_arguments(parser.parse_args(list(argv)))


def test_defaults() -> None:
    assert parse() == RunOptions()


def test_every_option_reaches_its_field() -> None:
    given = parse(
        "-m", "s-vipnas", "--detector", "d.onnx", "--detector-pixels", "90000", "--period", "2", "--twice", "--precision", "fp32", "--device", "cpu", "--threads", "3",
        "--max-people", "4", "--score-threshold", "0.5", "--detect-every", "7", "--max-lost", "2", "--max-keys", "1",
        "--roi", "1,2,30.5,40", "--smoothing", "live", "--smoothing-strength", "2", "--no-swap", "--start", "1", "--end", "2.5",
        "--every", "3", "--rotate", "90", "--recursive", "--timeout", "5", "--head-blur", "--black-background", "--mirror",
        "-o", "x", "--save", "CSV, native,csv", "--no-video", "--existing", "fail", "--show", "--queue-frames", "5",
        "--queue-mb", "8", "-q", "--json", "--no-timings", "--camera-size", "1280x720", "--camera-fps", "60", "--joint-threshold", "0.4",
    )  # fmt: skip
    wanted = RunOptions(
        mode="s-vipnas", detector="d.onnx", detector_pixels=90_000, period=2, twice=True, precision="fp32", device="cpu", threads=3, max_people=4,
        score_threshold=0.5, detect_every=7, max_lost=2.0, max_keys=1, roi=(1.0, 2.0, 30.5, 40.0), smoothing="live",
        smoothing_strength=2.0, swap=False, start=1.0, end=2.5, every=3, rotate="90", recursive=True, timeout=5.0,
        head_blur=True, black_background=True, mirror=True, output="x", save=("csv", "native"), video=False,
        existing="fail", show=True, queue_frames=5, queue_mb=8.0, quiet=True, json=True, timings=False,
        camera_size=(1280, 720), camera_fps=60.0, joint_threshold=0.4,
    )  # fmt: skip
    assert given == wanted
    default = RunOptions()
    same = [f.name for f in fields(RunOptions) if getattr(wanted, f.name) == getattr(default, f.name)]
    assert not same, f"this test forgets {same}"


def test_shortcuts() -> None:
    assert parse("--skip-existing").existing == "skip"
    assert parse("--resume").existing == "resume"
    assert parse("--save", "none").save == ()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--period", "0"), "--period: 0 is not allowed (1 to 5 frames)"),
        (("--period", "six"), "--period: 'six' is not allowed"),
        (("--score-threshold", "nan"), "--score-threshold: nan is not allowed (0 to 1)"),
        (("--score-threshold", "-0.1"), "0 to 1"),
        (("--end", "inf"), "--end"),
        (("--start", "-3"), "--start: -3.0 is not allowed (0 or more seconds)"),
        (("--start", "5", "--end", "4"), "--end: 4 is not after the start"),
        (("--end", "0"), "not after the start"),
        (("--every", "0"), "--every"),
        (("--threads", "-1"), "--threads"),
        (("--max-people", "0"), "--max-people"),
        (("--smoothing", "yes"), "auto, off, live, file"),
        (("--rotate", "45"), "auto, 0, 90, 180, 270"),
        (("--device", "tpu"), "auto, cpu, cuda"),
        (("--roi", "1,2,3"), "X0,Y0,X1,Y1"),
        (("--roi", "10,0,5,5"), "holds no pixel"),
        (("--roi", "nan,0,5,5"), "holds no pixel"),
        (("--save", "native,xls"), "'xls' is no format; choose from native"),
        (("--save", "none", "--no-video"), "nothing to do"),
        (("--timeout", "0"), "--timeout"),
        (("--camera-size", "big"), "WIDTHxHEIGHT"),
        (("--camera-size", "0x720"), "no resolution"),
        (("--joint-threshold", "2"), "0 to 1"),
        (("--queue-frames", "0"), "--queue-frames"),
    ],
)
def test_absurd_values_name_value_range_and_remedy(argv: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*argv)
    message = str(caught.value)
    assert said in message and "\n" not in message


def test_values_are_checked_without_a_command_line_too() -> None:
    with pytest.raises(UsageError):
        RunOptions(detect_every=-1)
    with pytest.raises(UsageError):
        RunOptions(smoothing_strength=float("nan"))


def test_formats_are_those_of_the_registry() -> None:
    from vipose.runtime.results.formats import FORMATS

    assert set(RESULT_FORMATS) == set(FORMATS)


def test_what_shapes_the_output() -> None:
    base = RunOptions().shaping()
    for change in ({"period": 2}, {"head_blur": True}, {"save": ("csv",)}, {"roi": (0.0, 0.0, 9.0, 9.0)}):
        assert RunOptions(**change).shaping() != base
    for change in ({"threads": 2}, {"queue_frames": 1}, {"output": "x"}, {"quiet": True}, {"existing": "resume"}):
        assert RunOptions(**change).shaping() == base


def test_flags_are_unique() -> None:
    flags = [
        flag for option in table().values() for flag in (option.short, option.flag, *(shortcut[0] for shortcut in option.shortcuts)) if flag
    ]
    assert len(flags) == len(set(flags))


def test_documentation_is_the_table() -> None:
    assert DOCS.read_text("utf-8") == as_markdown(), "python -m vipose.runtime.options > docs/options.md"
