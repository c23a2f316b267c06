"""Result files and clips for the tests of playback, export and the results page: small, with everything that matters on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.fixtures import clips
from vipose.runtime.results.formats import open_writer
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.skeleton import COCO17
from vipose.runtime.types import Counters, FrameResult, PersonResult, SourceInfo, Why

__all__ = ["FRAMES", "SIZE", "frame_result", "make_clip", "write_results"]

FRAMES = 40
SIZE = (192, 128)
FPS = 25.0
# Person 1 is there all the time, with early keys at 12 and 30; person 2 from 8 to 15 and from 25 to the end.
EARLY: dict[int, Why] = {12: "jump", 30: "score"}


def _present(identity: int, index: int) -> bool:
    return identity == 1 or 8 <= index <= 15 or index >= 25


def person(identity: int, index: int) -> PersonResult:
    """Somebody standing, moving right by a pixel a frame."""
    rows = np.linspace(20, 110, 17, dtype=np.float32)
    columns = np.full(17, 30 + 70 * (identity - 1) + index, np.float32) + np.arange(17) % 3 * 8
    points = np.stack([columns, rows, np.full(17, 0.9, np.float32)], 1)
    box = np.array([columns.min() - 5, 10, columns.max() + 5, 120], np.float32)
    why = EARLY.get(index, "") if identity == 1 else ""
    kind = "key" if why or index % 4 == 0 else "propagated"
    return PersonResult(identity, box, 0.5 + 0.1 * identity, points, points + np.float32([1, 0, 0]), kind,
                        why or ("due" if kind == "key" else ""), index % 4)  # type: ignore[arg-type]  # fmt: skip


def frame_result(index: int, time_s: float | None = None) -> FrameResult:
    """The result of one frame."""
    people = tuple(person(identity, index) for identity in (1, 2) if _present(identity, index))
    time_s = index / FPS if time_s is None else time_s
    return FrameResult(index, time_s, SIZE, people, {"total": 5.0, "spatial": 4.0}, Counters(decoded=index + 1))


def make_clip(path: Path, *, audio: str | None = None, times_s: Sequence[float] | None = None) -> Path:
    """The video that the results belong to: every picture shows its own index."""
    return clips.clip(path, frames=FRAMES, fps=FPS, size=SIZE, audio=audio, times_s=times_s, options={"g": "10", "bf": "2"}).path


def write_results(
    folder: Path, *, name: str = "walk", source: str = "walk.mp4", kind: str = "native", indices: Sequence[int] = range(FRAMES),
    source_kind: str = "video", settings: Mapping[str, object] | None = None,
) -> Path:  # fmt: skip
    """A result file of any format; returns its path."""
    info = SourceInfo(source, source_kind, SIZE, FPS, FRAMES)  # type: ignore[arg-type]
    header = ResultHeader(info, COCO17.name, settings={"mode": "t-vipnas", "period": None, **(settings or {})})
    with open_writer(kind, folder / name, header) as writer:
        for index in indices:
            writer.write(frame_result(index))
    return writer.paths[0]
