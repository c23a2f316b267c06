"""Made-up results for the tests of this package, by hand and by hypothesis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from vipose.runtime.results.formats import open_writer
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.skeleton import SKELETONS
from vipose.runtime.types import Counters, FrameResult, PersonResult, SourceInfo

SIZE = (640, 480)
KINDS = [("key", "new", 0), ("key", "score", 0), ("propagated", "", 2)]


def header(skeleton: str = "coco17", fps: float | None = 29.97) -> ResultHeader:
    source = SourceInfo("Vidéo 人.mp4", "video", SIZE, fps=fps, frames=None, rotation=90, audio=True)
    return ResultHeader(source, skeleton, {"s-vipnas": "ab" * 32}, {"period": 4, "roi": None})


def person(identity: int, seed: int = 0, joints: int = 17) -> PersonResult:
    """A person with full-precision numbers, so that rounding is seen."""
    random = np.random.default_rng([identity, seed])
    keypoints = np.column_stack([random.uniform(-20, 700, (joints, 2)), random.uniform(0.31, 1, joints)]).astype(np.float32)
    box = np.array([-10.123, 20.456, 130.789, 440.001]) + identity
    kind, why, phase = KINDS[(identity + seed) % 3]
    return PersonResult(identity, box, 0.87654, keypoints, keypoints + [0.5, -0.25, 0], kind, why, phase, seed % 2 == 1)  # type: ignore[arg-type]


def frame(index: int, ids: Iterable[int] = (), time_s: float | None = None, joints: int = 17) -> FrameResult:
    people = tuple(person(identity, index, joints) for identity in ids)
    counters = Counters(index + 1, 0, index, 1, 0, 0)
    return FrameResult(
        index, index / 29.97 if time_s is None else time_s, SIZE, people, {"detect": 1.23456, "spatial": 0.5}, counters
    )


FRAMES = (frame(0), frame(1, [1]), frame(2, [1, 3]), frame(3), frame(4, [3]), frame(5))
"""Empty frames at both ends and in between, a person who leaves and one who comes late."""


def write(name: str, base: Path, frames: Sequence[FrameResult] = FRAMES, head: ResultHeader | None = None, **options: object) -> tuple[Path, ...]:  # fmt: skip
    with open_writer(name, base, head or header(), **options) as writer:  # type: ignore[arg-type]
        for result in frames:
            writer.write(result)
    return writer.paths


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """Files cannot grow beyond ``size`` bytes, as on a disk that fills up: writes end early, then fail."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


_ODD = (math.nan, math.inf, -math.inf, -0.0, -1999.995, 1e6)


def _numbers(random: np.random.Generator, shape: tuple[int, ...], high: float) -> np.ndarray:
    """Random numbers, one in twenty of them odd."""
    plain = random.uniform(-0.1 * high, high, shape)
    return np.where(random.random(shape) < 0.05, random.choice(_ODD, shape), plain).astype(np.float32)


def _anyone(random: np.random.Generator, identity: int, joints: int) -> PersonResult:
    def points() -> np.ndarray:
        score = random.choice([0.0, 0.25, 0.5, 1.0, 1 / 3, math.nan], (joints, 1), p=[0.2, 0.2, 0.2, 0.2, 0.15, 0.05])
        return np.hstack([_numbers(random, (joints, 2), 3000), score]).astype(np.float32)

    kind, why, phase = KINDS[random.integers(3)]
    score = float(random.choice([0.12345, 1.0, math.nan]))
    return PersonResult(identity, _numbers(random, (4,), 3000), score, points(), points(), kind, why, phase, bool(random.integers(2)))  # type: ignore[arg-type]


@st.composite
def runs(draw: st.DrawFn) -> tuple[ResultHeader, list[FrameResult]]:
    """A header and up to four frames with up to three people, any number of them not finite.

    One seed stands for all keypoints: to draw each number on its own takes hypothesis seconds.
    """
    skeleton = draw(st.sampled_from(sorted(SKELETONS)))
    joints = len(SKELETONS[skeleton])
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    frames = []
    for index, ids in enumerate(draw(st.lists(st.sets(st.integers(1, 9), max_size=3), max_size=4))):
        found = tuple(_anyone(random, identity, joints) for identity in sorted(ids))
        time_s = draw(st.floats(-5, 1e6) | st.just(math.nan))
        timings = {"detect": float(random.choice([1.23456, math.nan]))}
        frames.append(FrameResult(index, time_s, SIZE, found, timings, Counters(index + 1)))
    return header(skeleton), frames


def cleaned(keypoints: np.ndarray) -> np.ndarray:
    """[K, 3] with keypoints that are not finite as zeros: what every format gives back at best."""
    good = np.isfinite(keypoints).all(-1, keepdims=True)
    return np.where(good, keypoints, 0)
