"""Reads result files of any format that can be read back: native, coco, posetrack and openpose, told by their content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from vipose.runtime.errors import InputError
from vipose.runtime.results.formats.coco import read_coco
from vipose.runtime.results.formats.openpose import frame_files, read_openpose
from vipose.runtime.results.formats.posetrack import read_posetrack
from vipose.runtime.results.header import KIND, ResultHeader
from vipose.runtime.results.loading import LoadedResults, load_json
from vipose.runtime.results.native import read_native
from vipose.runtime.results.strict import Malformed, parse_json
from vipose.runtime.types import FrameResult

__all__ = ["READABLE", "Results", "read_results"]

READABLE = ("native", "coco", "posetrack", "openpose")


class Results(Protocol):
    """Results that were read: a header and, when iterated over, frames."""

    @property
    def format(self) -> str:
        """One of :data:`READABLE`."""

    @property
    def header(self) -> ResultHeader:
        """The header; made up where the format has none."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know, a line each; complete once the frames have been read."""

    def __iter__(self) -> Iterator[FrameResult]:
        """The frames; raises InputError for a malformed one."""


_WRITTEN_ONLY = (".csv", ".trc", ".mot", ".txt", ".parquet")


def read_results(path: str | Path, *, fps: float | None = None) -> Results:
    """Open a result file or an OpenPose folder.

    Args:
        path: of the file or folder.
        fps: frames a second, for formats without times; None assumes 30 and says so.

    Raises:
        InputError: it is missing, malformed or of no format that can be read.
    """
    path = Path(path)
    if os.path.isdir(path):
        if not frame_files(path):
            raise InputError(f"'{path}' holds no '*_keypoints.json' files; give an OpenPose folder or a result file")
        return read_openpose(path, fps)
    if _is_native(path):
        return read_native(path)
    if path.suffix.lower() in _WRITTEN_ONLY:
        raise InputError(f"'{path}': {path.suffix.lower()[1:]} files are written but not read back; give {', '.join(READABLE)}")
    data = load_json(path)
    try:
        return _from_json(path, data, fps)
    except Malformed as error:
        raise InputError(f"'{path}': {error}; give a whole result file") from error


def _from_json(path: Path, data: Any, fps: float | None) -> LoadedResults:
    if isinstance(data, list):
        return read_coco(path, data, fps)
    if isinstance(data, dict) and "annotations" in data and "images" in data:
        return read_posetrack(path, data, fps)
    if isinstance(data, dict) and isinstance(data.get("people"), list):
        raise InputError(f"'{path}' is one frame of an OpenPose folder; give the folder '{path.parent}'")
    if isinstance(data, dict) and "images" in data:
        raise InputError(f"'{path}' is only the table of images of coco results; give the file with the keypoints beside it")
    raise InputError(f"'{path}' is in no format that can be read ({', '.join(READABLE)}); give one of these")


def _is_native(path: Path) -> bool:
    """Whether the first line is a header of ours, or the name says so; raises InputError for an unreadable file."""
    try:
        with path.open("rb") as file:
            first = file.readline()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror}); check the path and its permissions") from error
    except ValueError as error:  # a path that the system cannot even look up
        raise InputError(f"{str(path)!r} is no path ({error}); check it") from error
    if path.name.endswith((".jsonl", ".jsonl.part")):
        return True
    try:
        data = parse_json(first)
    except (ValueError, RecursionError):
        return False  # not a header; whether it is a result file at all is seen next
    return isinstance(data, dict) and data.get("vipose") == KIND
