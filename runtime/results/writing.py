"""What all result writers share: the protocol, their options, and files that stay valid when the disk fills up.

A file is written as ``NAME.part`` and gets its name when it is complete. Each frame goes to the operating system at once
(one write a frame, far below a millisecond), so that a killed process loses at most the frame it was writing.
"""

from __future__ import annotations

import errno
import io
import math
import os
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import OutputError, UsageError
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.types import FrameResult, PersonResult

__all__ = ["PartFile", "Points", "ResultWriter", "Writer", "WriterOptions", "needs_folder", "output_error"]

Points = npt.NDArray[np.float64]
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class WriterOptions:
    """Choices of a writer; each format takes those that mean something to it.

    Attributes:
        smoothed: write smoothed keypoints (else raw ones) where a format holds one kind only.
        metres_per_pixel: scale of TRC files; None writes pixels.
        min_score: joints that score less are left out of TRC files and angles.
        timings: write ms per stage into native files; without them the same run gives the same bytes.

    Raises:
        UsageError: a value is out of range.
    """

    smoothed: bool = True
    metres_per_pixel: float | None = None
    min_score: float = 0.3
    timings: bool = True

    def __post_init__(self) -> None:
        scale = self.metres_per_pixel
        if scale is not None and not (math.isfinite(scale) and scale > 0):
            raise UsageError(f"metres per pixel: {scale:g} is not allowed; give a number above 0, for example 0.004")
        if not 0 <= self.min_score <= 1:
            raise UsageError(f"lowest joint score: {self.min_score:g} is not allowed; give 0 to 1")


class ResultWriter(Protocol):
    """Writes the frames of one source in one format.

    Attributes:
        name: key in ``FORMATS``.
        suffix: what follows the base name, for example ``.coco.json``.
        loses: in words, what this format does not hold.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    loses: ClassVar[str]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files or folders that carry their final name by now; empty before ``close``."""

    def write(self, result: FrameResult) -> None:
        """Add a frame. Raises OutputError; what was written before is then complete under its final name."""

    def close(self) -> None:
        """Complete the output and give it its name. Raises OutputError. A second call does nothing."""

    def abort(self) -> None:
        """End early (Ctrl-C, an error elsewhere): what was written so far becomes a valid output."""

    def discard(self) -> None:
        """Leave nothing behind (another output could not be opened); an earlier output of that name stays."""


def output_error(path: Path, error: OSError) -> OutputError:
    """One line for a failed file operation."""
    if error.errno in _FULL:
        return OutputError(f"'{path}' cannot be written: the disk is full; free some space and run again")
    why = error.strerror or str(error)
    return OutputError(f"'{path}' cannot be written ({why}); check the folder and its permissions")


def needs_folder(path: Path) -> None:
    """Raise OutputError unless the folder that is to hold ``path`` exists."""
    if not os.path.isdir(path.parent):  # False, not an error, for a folder that may not be looked into
        raise OutputError(f"'{path}' cannot be written: there is no folder '{path.parent}'; create it first")


Head = Callable[[int], bytes]
Tail = Callable[[int], Iterable[bytes]]


def _nothing(_records: int) -> Iterable[bytes]:
    return ()


class PartFile:
    """A file made of a head, whole records and a tail, written beside its name as ``*.part``.

    Whatever happens, ``finish`` leaves whole records only: after a failed write the torn record is cut off, and where
    even the tail finds no room the last records make way for it. ``done`` tells that the file carries its final name.

    Args:
        path: final name.
        head: first bytes; ``finish`` may replace them by others of the same length.

    Raises:
        OutputError: the folder is missing or the file cannot be created.
    """

    def __init__(self, path: Path, head: bytes = b"") -> None:
        needs_folder(path)
        if os.path.isdir(path):
            raise OutputError(f"'{path}' cannot be written: it is a folder; give another name")
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.done = False
        self._file: io.FileIO | None = None
        self._ends = array("q", [len(head)])
        try:
            self._file = io.FileIO(self.part, "w+")
            _write_all(self._file, head)
        except OSError as error:
            if self._file is not None:
                self.discard()
            raise output_error(path, error) from error

    @property
    def records(self) -> int:
        """Whole records written so far."""
        return len(self._ends) - 1

    def append(self, *records: bytes) -> None:
        """Add records in one write; raises OutputError when they cannot be written whole."""
        try:
            file = self._open()
            file.seek(self._ends[-1])
            _write_all(file, b"".join(records))
        except OSError as error:
            raise output_error(self.path, error) from error
        for record in records:
            self._ends.append(self._ends[-1] + len(record))

    def release(self) -> None:
        """Give the file handle back until the next record: there may be more files than handles."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def discard(self) -> None:
        """Take the ``*.part`` file away; raises OutputError."""
        self.release()
        try:
            self.part.unlink(missing_ok=True)
        except OSError as error:
            raise output_error(self.part, error) from error

    def finish(self, tail: Tail = _nothing, head: Head | None = None) -> int:
        """Write the tail, replace the head and rename.

        Args:
            tail: number of records -> last bytes.
            head: number of records -> first bytes, as long as those given at the start.

        Returns:
            Records in the file.

        Raises:
            OutputError: the file could not be completed, or only with fewer records (it is then valid all the same).
        """
        kept, step = self.records, 1
        trouble: OSError | None = None
        while True:
            try:
                self._complete(kept, tail, head)
                break
            except OSError as error:
                if error.errno not in _FULL or kept == 0:
                    self.release()
                    raise output_error(self.path, error) from error
                trouble = error
                kept, step = max(0, kept - step), step * 2
        if trouble is not None:
            raise OutputError(
                f"'{self.path}' holds {kept} of {self.records} frames only: the disk is full; free some space and run again"
            ) from trouble
        return kept

    def _complete(self, kept: int, tail: Tail, head: Head | None) -> None:
        file = self._open()
        file.truncate(self._ends[kept])
        file.seek(self._ends[kept])
        for piece in tail(kept):
            _write_all(file, piece)
        if head is not None:
            file.seek(0)
            _write_all(file, head(kept))
        self.release()
        os.replace(self.part, self.path)
        self.done = True

    def _open(self) -> io.FileIO:
        if self._file is None:
            self._file = io.FileIO(self.part, "r+")
        return self._file


def _write_all(file: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]


class Writer(ABC):
    """Base of the writers: state, clean numbers, and a valid file after every failure.

    Args:
        path: final name of the output; formats with one file a person put the id before the suffix.
        header: of the results.
        options: choices.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    loses: ClassVar[str]

    def __init__(self, path: Path, header: ResultHeader, options: WriterOptions | None = None) -> None:
        self.path = path
        self.header = header
        self.options = options or WriterOptions()
        self._closed = False
        self._parts: tuple[PartFile, ...] = ()
        self._time_s = 0.0

    @classmethod
    def targets(cls, path: Path) -> tuple[Path, ...]:
        """Files and folders that writing to ``path`` replaces; none for formats with one file a person: ids come later."""
        return (path,)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files or folders that carry their final name by now; empty before ``close``."""
        return tuple(part.path for part in self._parts if part.done)

    def write(self, result: FrameResult) -> None:
        """Add a frame. Raises OutputError; what was written before is then complete under its final name."""
        if self._closed:
            raise OutputError(f"'{self.path}' is closed already; open another writer for more frames")
        if not math.isfinite(result.time_s):
            result = replace(result, time_s=self._time_s)
        self._time_s = result.time_s
        try:
            self._write(result)
        except OutputError as error:
            self._salvage(error)
            raise

    def close(self) -> None:
        """Complete the output and give it its name. Raises OutputError. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._close()

    def abort(self) -> None:
        """End early (Ctrl-C, an error elsewhere): what was written so far becomes a valid output."""
        self.close()

    def discard(self) -> None:
        """Leave nothing behind (another output could not be opened); an earlier output of that name stays."""
        if not self._closed:
            self._closed = True
            self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def points(self, person: PersonResult) -> Points:
        """[K, 3] float64: the chosen keypoints; those that are not finite are 0, 0 with score 0."""
        return _finite(person.smoothed if self.options.smoothed else person.keypoints)

    def _salvage(self, first: OutputError) -> None:
        try:
            self.close()
        except OutputError as second:
            if str(second) != str(first):
                raise OutputError(f"{first}; besides, {second}") from first

    @abstractmethod
    def _write(self, result: FrameResult) -> None: ...

    def _close(self) -> None:
        for part in self._parts:
            part.finish()

    def _discard(self) -> None:
        for part in self._parts:
            part.discard()


def _finite(keypoints: npt.NDArray[np.float32]) -> Points:
    """[K, 3] float64 in which a keypoint that is not finite is all zeros."""
    points = np.asarray(keypoints, np.float64)
    return np.where(np.isfinite(points).all(-1, keepdims=True), points, 0.0)
