"""MOTChallenge text: boxes and ids, ``frame, id, left, top, width, height, score, -1, -1, -1``.

Frames count from 1 (frame = index + 1), as that benchmark wants; boxes stay in the pixel convention of vipose.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.writing import PartFile, Writer, WriterOptions
from vipose.runtime.types import FrameResult

__all__ = ["MotWriter"]


class MotWriter(Writer):
    """Writes ``OUT.mot.txt``. A frame without people leaves no line: the format knows none."""

    name: ClassVar[str] = "mot"
    suffix: ClassVar[str] = ".mot.txt"
    loses: ClassVar[str] = "joints, times, frames without people, key or propagated, timings, settings"

    def __init__(self, path: Path, header: ResultHeader, options: WriterOptions | None = None) -> None:
        super().__init__(path, header, options)
        self._parts = (PartFile(path),)

    def _write(self, result: FrameResult) -> None:
        lines = []
        for person in result.people:
            x0, y0, x1, y1 = np.nan_to_num(person.box.astype(np.float64), nan=0, posinf=0, neginf=0).tolist()
            score = person.score if np.isfinite(person.score) else 0.0
            numbers = f"{x0:.2f},{y0:.2f},{x1 - x0:.2f},{y1 - y0:.2f},{score:.3f}"
            lines.append(f"{result.index + 1},{person.id},{numbers},-1,-1,-1\n")
        self._parts[0].append("".join(lines).encode())
