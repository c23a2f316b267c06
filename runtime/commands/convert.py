"""Turn a result file into another format.

Reads native (OUT.jsonl), coco, posetrack and openpose (a folder); writes any format. What the new format does not hold
is said. Formats with one file a person (trc, angles-mot) put the id before the suffix: OUT_1.trc.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vipose.runtime.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from vipose.runtime.results.convert import Conversion

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``vipose convert``."""
    from vipose.runtime.results.formats import FORMATS

    names = ", ".join(FORMATS)
    parser.add_argument("input", metavar="IN", help="result file, or OpenPose folder")
    parser.add_argument("output", metavar="OUT", help="file (or folder, for openpose) to write")
    parser.add_argument("--to", metavar="NAME", help=f"format of OUT; default: from its name ({names})")
    parser.add_argument("--raw", action="store_true", help="raw instead of smoothed keypoints")
    parser.add_argument("--person", metavar="ID", type=_identity, action="append", default=[],
                        help="keep this person only (may be given several times)")  # fmt: skip
    parser.add_argument("--metres-per-pixel", metavar="X", type=_number, help="scale of trc files; default: pixels")
    parser.add_argument("--min-score", metavar="S", type=_number, default=0.3,
                        help="leave joints below this score out of trc files and angles (default 0.3)")  # fmt: skip
    parser.add_argument("--fps", metavar="F", type=_number,
                        help="frames a second of an input without times (default 30)")  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing, only errors")
    parser.add_argument("--json", action="store_true", help="say what was done as JSON")


def run(args: argparse.Namespace) -> int:
    """Convert; returns the exit code. Raises ViposeError."""
    from vipose.runtime.results.convert import convert
    from vipose.runtime.results.writing import WriterOptions

    if args.fps is not None and args.fps <= 0:
        raise UsageError(f"--fps: {args.fps:g} is not allowed; give a number above 0")
    options = WriterOptions(smoothed=not args.raw, metres_per_pixel=args.metres_per_pixel, min_score=args.min_score)
    done = convert(
        Path(args.input), Path(args.output), to=args.to, options=options, people=frozenset(args.person), fps=args.fps
    )
    if args.json:
        print(json.dumps(_as_dict(done), ensure_ascii=False))
    elif not args.quiet:
        print("\n".join(_lines(args.input, done)))
    return EXIT_OK


def _as_dict(done: Conversion) -> dict[str, object]:
    return {**asdict(done), "paths": [str(path) for path in done.paths]}


def _lines(source: str, done: Conversion) -> list[str]:
    written = ", ".join(map(str, done.paths[:3])) + (f" and {len(done.paths) - 3} more" if len(done.paths) > 3 else "")
    lines = [f"{source} ({done.source}): {done.frames} frames, {done.people} people -> {written or 'no file: nobody is there'}"]
    return [*lines, f"lost in {done.target}: {done.loses}", *(f"note: {note}" for note in done.notes)]


def _identity(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--person: '{text}' is no id; give a whole number as in the results")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise UsageError(f"'{text}' is no number; give one with a decimal point") from error
    if not math.isfinite(value):
        raise UsageError(f"'{text}' is not a finite number; give another one")
    return value
