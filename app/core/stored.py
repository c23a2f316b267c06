"""Stored results for random access: a list of frames, and each frame's result when it is asked for.

A native file is read once, a line at a time; places of lines stay in memory, results do not: an hour of video takes a few
megabytes. Other formats have no lines, so they are loaded.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.overlay import FORCED
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.native import NativeResults, parse_frame
from vipose.runtime.results.reading import read_results
from vipose.runtime.results.strict import UNREADABLE, parse_json, reason
from vipose.runtime.types import FrameResult

__all__ = ["LoadingStopped", "PersonSummary", "StoredResults", "load_stored"]

Progress = Callable[[float], bool]
"""Told the share that is read, 0 to 1; False ends the reading with :class:`LoadingStopped`."""
_TELL_EVERY = 256  # frames
_MOST_A_SIDE, _MOST_PIXELS = 32_768, 2**27  # no camera has more; a black picture of that size would fill the memory
_FALLBACK_SIZE = (640, 480)  # of a file without sizes and without anybody on it


class LoadingStopped(Exception):
    """The caller asked to stop in the middle of reading."""


@dataclass(frozen=True)
class PersonSummary:
    """One person of a file.

    Attributes:
        id: track id.
        frames: on which the person was seen.
        mean_score: over these frames, 0..1.
    """

    id: int
    frames: int
    mean_score: float


class StoredResults:
    """The results of one file; made by :func:`load_stored`. Any thread may ask it.

    Positions count the stored frames from 0; ``indices`` are those of the source, which may have gaps.

    Attributes:
        path: of the file or folder.
        format: its name.
        header: of the file, made up where the format has none.
        warnings: what is wrong with the file, a line each: a torn last line.
        notes: what its format does not hold and what was put in its place, a line each.
        indices: index of each stored frame in its source.
        times_s: [n] float64, read-only: time of each, made rising where it is not.
        early: positions of frames on which somebody is an early key person, rising.
        appearances: (position, id) wherever somebody comes in or comes back, in order.
        people: by id.
        size: width, height of the frames, estimated where the file does not tell.
    """

    def __init__(self, path: Path, format_name: str, header: ResultHeader, seen: _Survey, fetch: Callable[[int], FrameResult],
                 *, warnings: tuple[str, ...] = (), notes: tuple[str, ...] = ()) -> None:  # fmt: skip
        self.path, self.format, self.header = path, format_name, header
        self.warnings, self.notes = warnings, notes
        self.indices: Sequence[int] = seen.indices
        self.times_s = seen.rising_times()
        self.early: tuple[int, ...] = tuple(seen.early)
        self.appearances: tuple[tuple[int, int], ...] = tuple(seen.appearances)
        self.people = seen.summaries()
        self.size = header.source.size if min(header.source.size) > 0 else seen.size()
        self._fetch = fetch

    def __len__(self) -> int:
        return len(self.indices)

    def result(self, position: int) -> FrameResult:
        """The result at a position, as it is stored.

        Raises:
            InputError: the file changed or cannot be read any more.
            IndexError: there is no such position.
        """
        if not 0 <= position < len(self):
            raise IndexError(position)
        return self._fetch(position)

    def position_at(self, time_s: float) -> int:
        """The last position at or before a time, 0 before the first."""
        return max(0, int(np.searchsorted(self.times_s, time_s, side="right")) - 1)


def load_stored(path: str | Path, progress: Progress = lambda share: True) -> StoredResults:
    """Read a result file or an OpenPose folder; one file of such a folder stands for the folder.

    Raises:
        InputError: it cannot be read, is malformed, or holds no frames.
        LoadingStopped: ``progress`` returned False.
    """
    path = Path(path)
    if path.name.endswith("_keypoints.json"):
        path = path.parent
    results = read_results(path)
    if isinstance(results, NativeResults):
        return _load_native(path, results.header, progress)
    frames: list[FrameResult] = []
    seen = _Survey()
    for frame in results:
        _tell(progress, len(frames), 0.5)
        seen.add(frame.index, frame.time_s, [(p.id, p.score, p.why) for p in frame.people])
        seen.widen(frame.size, (p.keypoints.tolist() for p in frame.people))
        frames.append(frame)
    _refuse_unusable(path, seen, results.header)
    return StoredResults(path, results.format, results.header, seen, frames.__getitem__, notes=results.notes)


def _load_native(path: Path, header: ResultHeader, progress: Progress) -> StoredResults:
    seen = _Survey()
    places = array("q")
    warnings: tuple[str, ...] = ()
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            place = len(file.readline())
            for number, line in enumerate(file, 2):
                _tell(progress, number, place / max(length, 1))
                if line.strip():
                    try:
                        _survey_line(seen, line)
                    except UNREADABLE as error:
                        if line.endswith(b"\n"):
                            raise InputError(f"'{path}', line {number}: {reason(error)}; write the results again") from error
                        torn = f"The file ends in the middle of a line: its writer was stopped. {len(places)} whole frames are shown."
                        warnings = (torn,)
                        break
                    places.append(place)
                place += len(line)
    except OSError as error:
        raise _unreadable(path, error) from error
    _refuse_unusable(path, seen, header)
    return StoredResults(path, "native", header, seen, _NativeLines(path, places, len(header.joints)), warnings=warnings)


def _survey_line(seen: _Survey, line: bytes) -> None:
    """Take from a line what lists need; the rest is checked when the frame is shown."""
    data: dict[str, Any] = parse_json(line)
    people = [(int(p["id"]), float(p["score"] or 0.0), str(p["why"])) for p in data["people"]]
    index, time_s = int(data["index"]), float(data["time_s"])
    seen.widen(data["size"], ((triple or (0, 0, 0) for triple in p["keypoints"]) for p in data["people"]))
    seen.add(index, time_s, people)


def _tell(progress: Progress, count: int, share: float) -> None:
    if count % _TELL_EVERY == 0 and not progress(share):
        raise LoadingStopped


def _refuse_unusable(path: Path, seen: _Survey, header: ResultHeader) -> None:
    if not seen.indices:
        raise InputError(f"'{path}' holds no frames; choose another result file")
    for width, height in (header.source.size, seen.size()):
        if max(width, height) > _MOST_A_SIDE or width * height > _MOST_PIXELS:
            raise InputError(f"'{path}' says that its frames have {width:.9g} x {height:.9g} pixels; choose another result file")


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"'{path}' cannot be read ({error.strerror}); check the path and its permissions")


@dataclass(frozen=True)
class _NativeLines:
    """Results of a native file, each parsed from its line."""

    path: Path
    places: array[int]
    joints: int

    def __call__(self, position: int) -> FrameResult:
        try:
            with self.path.open("rb") as file:
                file.seek(self.places[position])
                return parse_frame(file.readline(), self.joints)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        except UNREADABLE as error:
            raise InputError(f"'{self.path}', frame {position + 1}: {reason(error)}; was the file changed? Open it again") from error


class _Survey:
    """What is noted of every frame while a file is read."""

    def __init__(self) -> None:
        self.indices = array("q")
        self.early = array("q")
        self.appearances: list[tuple[int, int]] = []
        self._times = array("d")
        self._people: dict[int, tuple[int, float]] = {}
        self._present: frozenset[int] = frozenset()
        self._right = self._bottom = 0.0

    def add(self, index: int, time_s: float, people: Iterable[tuple[int, float, str]]) -> None:
        """A frame with (id, score, why) of its people."""
        position = len(self.indices)
        now = set()
        early = False
        for identity, score, why in people:
            count, total = self._people.get(identity, (0, 0.0))
            self._people[identity] = (count + 1, total + score)
            now.add(identity)
            early |= why in FORCED
            if identity not in self._present:
                self.appearances.append((position, identity))
        if early:
            self.early.append(position)
        self._present = frozenset(now)
        self.indices.append(index)
        self._times.append(time_s)

    def widen(self, size: Sequence[int], people: Iterable[Iterable[Sequence[float]]]) -> None:
        """Note the size of a frame, or how far its joints reach where it has none."""
        width, height = size
        if width > 0 and height > 0:
            self._right, self._bottom = max(self._right, width), max(self._bottom, height)
            return
        for joints in people:
            for x, y, score in joints:
                if score > 0:
                    self._right, self._bottom = max(self._right, x * 1.05), max(self._bottom, y * 1.05)

    def size(self) -> tuple[int, int]:
        """Width, height; even, since videos are written of it."""
        if self._right < 2 or self._bottom < 2:
            return _FALLBACK_SIZE
        return round(self._right / 2) * 2, round(self._bottom / 2) * 2

    def rising_times(self) -> npt.NDArray[np.float64]:
        times = np.maximum.accumulate(np.asarray(self._times, np.float64))
        times.flags.writeable = False
        return times

    def summaries(self) -> tuple[PersonSummary, ...]:
        return tuple(
            PersonSummary(identity, count, total / count) for identity, (count, total) in sorted(self._people.items())
        )
