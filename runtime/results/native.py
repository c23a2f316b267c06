"""The native format: JSON Lines, a header and then a line a frame. It loses nothing; docs/formats.md describes each key."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.strict import (
    UNREADABLE,
    Malformed,
    listing,
    numbers,
    parse_json,
    real,
    reason,
    record,
    whole,
)
from vipose.runtime.results.writing import PartFile, Writer, WriterOptions
from vipose.runtime.types import Counters, FrameResult, Kind, PersonResult, Why

__all__ = ["NativeResults", "NativeWriter", "frame_dict", "parse_frame", "read_native"]

_KINDS, _WHYS = get_args(Kind), get_args(Why)
_COUNTERS = tuple(Counters.__dataclass_fields__)
_PIXELS, _SCORES, _SECONDS, _MILLISECONDS = 2, 3, 6, 3  # decimals


class NativeWriter(Writer):
    """Writes ``OUT.jsonl``. Positions are rounded to 0.01 px, scores to 0.001, times to 1e-6 s."""

    name: ClassVar[str] = "native"
    suffix: ClassVar[str] = ".jsonl"
    loses: ClassVar[str] = "nothing"

    def __init__(self, path: Path, header: ResultHeader, options: WriterOptions | None = None) -> None:
        super().__init__(path, header, options)
        self._parts = (PartFile(path, _line(header.to_dict())),)

    def _write(self, result: FrameResult) -> None:
        self._parts[0].append(_line(frame_dict(result, self.options.timings)))


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def frame_dict(result: FrameResult, timings: bool = True) -> dict[str, Any]:
    """A frame as JSON values, as it stands in a native file."""
    data: dict[str, Any] = {
        "index": int(result.index),
        "time_s": _number(result.time_s, _SECONDS) or 0.0,
        "size": [int(side) for side in result.size],
        "people": [_person_dict(person) for person in result.people],
    }
    if timings:
        data["timings"] = {name: _number(ms, _MILLISECONDS) for name, ms in result.timings.items()}
    counters = result.counters
    data["counters"] = {name: int(getattr(counters, name)) for name in _COUNTERS}
    data["provider"] = result.provider
    return data


def _person_dict(person: PersonResult) -> dict[str, Any]:
    box = np.round(person.box.astype(np.float64), _PIXELS) + 0.0
    return {
        "id": int(person.id),
        "box": box.tolist() if np.isfinite(box).all() else None,
        "score": _number(person.score, _SCORES),
        "kind": person.kind,
        "why": person.why,
        "phase": int(person.phase),
        "swapped": bool(person.swapped),
        "keypoints": _points_list(person.keypoints),
        "smoothed": _points_list(person.smoothed),
    }


def _points_list(keypoints: npt.NDArray[np.float32]) -> list[list[float] | None]:
    """[x, y, score] of each joint, None for one that is not finite. Adding 0.0 turns -0.0 into 0.0."""
    points = keypoints.astype(np.float64)
    good: list[bool] = np.all(np.isfinite(points), axis=-1).tolist()
    points[:, :2] = np.round(points[:, :2], _PIXELS) + 0.0
    points[:, 2] = np.round(points[:, 2], _SCORES) + 0.0
    return [triple if fine else None for triple, fine in zip(points.tolist(), good, strict=True)]


def _number(value: float, decimals: int) -> float | None:
    value = float(value)
    return round(value, decimals) + 0.0 if math.isfinite(value) else None


class NativeResults:
    """A native file, read as a stream: iterate over it for its frames, as often as you like.

    Attributes:
        header: of the file.
        format: ``native``.
        truncated: the last line is torn (the writer was killed); known once the frames have been read to the end.
    """

    format = "native"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.truncated = False
        self._frames = 0
        self.header = self._read_header()

    @property
    def message(self) -> str:
        """One line about a truncated file, "" for a whole one."""
        if not self.truncated:
            return ""
        return f"'{self.path}' ends in the middle of a line (its writer was killed); {self._frames} whole frames were read"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about this file, a line each."""
        return (self.message,) if self.truncated else ()

    def __iter__(self) -> Iterator[FrameResult]:
        """The frames in the order of the file; raises InputError with file and line for a malformed one."""
        joints = len(self.header.joints)
        frames = 0
        self.truncated = False
        for number, line in self._lines():
            if number == 1 or not line.strip():
                continue
            try:
                frame = parse_frame(line, joints)
            except UNREADABLE as error:
                if not line.endswith(b"\n"):  # only the last line of a file can lack its end
                    self.truncated = True
                    break
                raise InputError(f"'{self.path}', line {number}: {reason(error)}; write the results again") from error
            frames += 1
            self._frames = frames
            yield frame
        self._frames = frames

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            with self.path.open("rb") as file:
                yield from enumerate(file, 1)
        except OSError as error:
            raise InputError(f"'{self.path}' cannot be read ({error.strerror}); check the path and its permissions") from error

    def _read_header(self) -> ResultHeader:
        for _number, line in self._lines():
            try:
                return ResultHeader.from_dict(parse_json(line))
            except UNREADABLE as error:
                raise InputError(f"'{self.path}', line 1: {reason(error)}; is it a native result file?") from error
        raise InputError(f"'{self.path}' is empty; is it a native result file?")


def read_native(path: str | Path) -> NativeResults:
    """Open a native result file (also a ``*.part`` one).

    A torn last line is accepted and said (``truncated``, ``message``).

    Raises:
        InputError: the file cannot be read, or its header is malformed; iterating raises it for malformed frames.
    """
    return NativeResults(Path(path))


def parse_frame(line: bytes, joints: int) -> FrameResult:
    """The frame in one line of a native file whose skeleton has so many joints; raises one of ``strict.UNREADABLE``."""
    return _frame(parse_json(line), joints)


def _frame(data: Any, joints: int) -> FrameResult:
    frame = record(data, "it")
    width, height = (whole(side, "size") for side in listing(frame["size"], "size", 2))
    people = tuple(_person(person, joints) for person in listing(frame["people"], "people"))
    if len({person.id for person in people}) < len(people):
        raise Malformed("two people have the same id")
    timings = record(frame.get("timings", {}), "timings")
    counters = record(frame["counters"], "counters")
    return FrameResult(
        index=whole(frame["index"], "index"),
        time_s=real(frame["time_s"], "time_s"),
        size=(width, height),
        people=people,
        timings={name: real(ms, "a timing") for name, ms in timings.items() if ms is not None},
        counters=Counters(**{name: whole(counters.get(name, 0), name) for name in _COUNTERS}),
        provider=str(frame["provider"]),
    )


def _person(data: Any, joints: int) -> PersonResult:
    person = record(data, "a person")
    kind, why = person["kind"], person["why"]
    if kind not in _KINDS:
        raise Malformed(f"kind {kind!r} is not known")
    if why not in _WHYS:
        raise Malformed(f"why {why!r} is not known")
    box, score = person["box"], person["score"]
    return PersonResult(
        id=whole(person["id"], "id"),
        box=np.array([0.0] * 4 if box is None else numbers(box, "box", 4), np.float32),
        score=0.0 if score is None else real(score, "score"),
        keypoints=_points(person["keypoints"], "keypoints", joints),
        smoothed=_points(person["smoothed"], "smoothed", joints),
        kind=kind,
        why=why,
        phase=whole(person["phase"], "phase"),
        swapped=person["swapped"] is True,
    )


def _points(value: Any, what: str, joints: int) -> npt.NDArray[np.float32]:
    """[K, 3]; a joint that is null (it was not finite) is 0, 0 with score 0."""
    triples = listing(value, what, joints)
    return np.array([[0.0] * 3 if triple is None else numbers(triple, what, 3) for triple in triples], np.float32)
