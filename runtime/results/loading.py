"""What the readers of foreign formats share: loaded results, and filling in what a format does not hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.strict import Malformed, parse_json, real, reason
from vipose.runtime.skeleton import SKELETONS, Skeleton
from vipose.runtime.types import FrameResult, PersonResult, SourceInfo

__all__ = [
    "DEFAULT_FPS",
    "Clock",
    "LoadedResults",
    "Points",
    "foreign_header",
    "load_json",
    "make_person",
    "number_people",
    "skeleton_of_length",
]

Points = npt.NDArray[np.float32]
DEFAULT_FPS = 30.0


@dataclass(frozen=True)
class LoadedResults:
    """Results read from a foreign format.

    Attributes:
        format: name of the format.
        header: made up where the format has none.
        frames: in the order of their index.
        notes: what the format does not hold and what was put in its place, a line each.
    """

    format: str
    header: ResultHeader
    frames: tuple[FrameResult, ...]
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[FrameResult]:
        return iter(self.frames)


@dataclass
class Clock:
    """Times of frames that carry none: index / fps. ``used`` tells whether it was needed."""

    fps: float | None
    used: bool = False

    def time_s(self, index: int, told: Any = None) -> float:
        """The time told by the file, else index / fps."""
        if told is not None:
            return real(told, "time_s")
        self.used = True
        return index / (self.fps or DEFAULT_FPS)

    def note(self) -> tuple[str, ...]:
        """What to say about it."""
        if not self.used:
            return ()
        rate = f"{self.fps:g} frames a second" if self.fps else f"{DEFAULT_FPS:g} frames a second assumed (--fps changes it)"
        return (f"times: the input has none, {rate}",)


def load_json(path: Path) -> Any:
    """A whole JSON file; raises InputError in one line."""
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror}); check the path and its permissions") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not valid JSON ({reason(error)}); give a whole result file") from error


def skeleton_of_length(joints: int) -> Skeleton:
    """The skeleton with so many joints; raises Malformed."""
    for skeleton in SKELETONS.values():
        if len(skeleton) == joints:
            return skeleton
    known = ", ".join(f"{len(skeleton)} ({name})" for name, skeleton in SKELETONS.items())
    raise Malformed(f"{joints} keypoints a person are of no known skeleton ({known})")


def make_person(identity: int, keypoints: Points, *, score: float | None = None, box: Sequence[float] | None = None) -> PersonResult:
    """A person from what a format holds.

    Args:
        identity: track id.
        keypoints: [K, 3] x, y, score; used as raw and smoothed ones.
        score: of the person; None takes the mean of the joints that have a score.
        box: x0 y0 x1 y1; None takes the tight box around the joints that have a score.
    """
    seen = keypoints[keypoints[:, 2] > 0]
    if score is None:
        score = float(seen[:, 2].mean()) if len(seen) else 0.0
    if box is None:
        box = [*seen[:, :2].min(0).tolist(), *seen[:, :2].max(0).tolist()] if len(seen) else [0.0] * 4
    return PersonResult(identity, np.array(box, np.float32), score, keypoints, keypoints)


def number_people(people: Iterable[PersonResult], identities: Sequence[int | None]) -> tuple[tuple[PersonResult, ...], bool]:
    """People of one frame with unique ids, sorted by id, and whether they had such ids.

    Where one lacks an id or two share one, all people of the frame are numbered 1, 2, … in their order.
    """
    told = [identity for identity in identities if identity is not None]
    had = len(told) == len(identities) == len(set(told))
    numbered = [
        replace(person, id=identity if had and identity is not None else place)
        for place, (person, identity) in enumerate(zip(people, identities, strict=True), 1)
    ]
    return tuple(sorted(numbered, key=lambda person: person.id)), had


def foreign_header(
    path: Path, skeleton: Skeleton, frames: int, *, fps: float | None = None, size: tuple[int, int] = (0, 0)
) -> ResultHeader:
    """The header of a file that has none of its own."""
    rate = fps if fps is not None and math.isfinite(fps) else None
    source = SourceInfo(path.name, "images", size, fps=rate, frames=frames)
    return ResultHeader(source, skeleton.name, provider="unknown")
