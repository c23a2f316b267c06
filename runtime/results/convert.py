"""Turns a result file into another format, frame by frame."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vipose.runtime.errors import InputError, UsageError
from vipose.runtime.results.formats import FORMATS, format_class
from vipose.runtime.results.reading import Results, read_results
from vipose.runtime.results.writing import WriterOptions
from vipose.runtime.types import FrameResult

__all__ = ["Conversion", "convert", "infer_format"]

_EXTRA_SUFFIXES = {".mot": "angles-mot"}
_AMBIGUOUS = {".json": ("coco", "posetrack")}


@dataclass(frozen=True)
class Conversion:
    """What a conversion did.

    Attributes:
        source, target: names of the formats.
        paths: files and folders that were written.
        frames, people: how many; people are counted by id.
        loses: what the target format does not hold.
        notes: what the input did not hold, or was torn, a line each.
    """

    source: str
    target: str
    paths: tuple[Path, ...]
    frames: int
    people: int
    loses: str
    notes: tuple[str, ...]


def infer_format(path: Path) -> str:
    """The format that a name of an output stands for (``OUT.coco.json``, ``OUT_openpose``, …); raises UsageError."""
    name = path.name.lower()
    for format_name, writer in sorted(FORMATS.items(), key=lambda item: -len(item[1].suffix)):
        if name.endswith(writer.suffix):
            return format_name
    suffix = path.suffix.lower()
    if suffix in _EXTRA_SUFFIXES:
        return _EXTRA_SUFFIXES[suffix]
    choices = _AMBIGUOUS.get(suffix, tuple(FORMATS))
    raise UsageError(f"'{path}' does not tell its format; add --to with one of {', '.join(choices)}")


def convert(
    source: Path,
    target: Path,
    *,
    to: str | None = None,
    options: WriterOptions | None = None,
    people: Collection[int] = (),
    fps: float | None = None,
) -> Conversion:
    """Read ``source`` (native, coco, posetrack, openpose) and write ``target``.

    Args:
        source: a file, or a folder for OpenPose.
        target: the output's name; formats with one file a person put the id before its suffix.
        to: name of the format; None takes it from ``target``.
        options: of the writer.
        people: ids to keep; none means all. Frames stay, empty ones too.
        fps: for inputs without times.

    Raises:
        UsageError: unknown format, an option that means nothing to it, an output that is the input.
        InputError: the input cannot be read. What was written up to the malformed line is kept.
        OutputError: the output cannot be written.
    """
    writer_class = format_class(to) if to else FORMATS[infer_format(target)]
    if options is not None and options.metres_per_pixel is not None and writer_class.name != "trc":
        raise UsageError(f"--metres-per-pixel means nothing to {writer_class.name} files; leave it out or write trc")
    results = read_results(source, fps=fps)
    _spare_input(source, writer_class.targets(target))
    seen: set[int] = set()
    frames = 0
    with writer_class(target, results.header, options) as writer:
        for frame in _chosen(results, people):
            writer.write(frame)
            frames += 1
            seen.update(person.id for person in frame.people)
    if people and not seen:
        raise InputError(f"'{source}' holds none of the people {', '.join(map(str, sorted(people)))}; check --person")
    return Conversion(results.format, writer_class.name, writer.paths, frames, len(seen), writer_class.loses, results.notes)


def _chosen(results: Results, people: Collection[int]) -> Iterator[FrameResult]:
    for frame in results:
        yield replace(frame, people=tuple(p for p in frame.people if p.id in people)) if people else frame


def _spare_input(source: Path, targets: tuple[Path, ...]) -> None:
    """Raise UsageError where an output would replace the input."""
    for target in targets:
        part = target.with_name(target.name + ".part")
        for path in (target, part):
            if os.path.exists(path) and os.path.samefile(source, path):
                raise UsageError(f"'{path}' is the input itself; give the output another name")
