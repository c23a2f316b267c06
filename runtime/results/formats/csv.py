"""CSV, long: a row for each joint of each person of each frame, and one for a frame without people."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.writing import PartFile, Writer, WriterOptions
from vipose.runtime.types import FrameResult

__all__ = ["COLUMNS", "CsvWriter"]

COLUMNS = ("frame", "time_s", "id", "joint", "x", "y", "score")


class CsvWriter(Writer):
    """Writes ``OUT.csv``, UTF-8, comma, point, ``\\n``. A frame without people has its frame and time only."""

    name: ClassVar[str] = "csv"
    suffix: ClassVar[str] = ".csv"
    loses: ClassVar[str] = "boxes, person scores, key or propagated, raw or smoothed (one is chosen), timings, settings"

    def __init__(self, path: Path, header: ResultHeader, options: WriterOptions | None = None) -> None:
        super().__init__(path, header, options)
        self._parts = (PartFile(path, (",".join(COLUMNS) + "\n").encode()),)

    def _write(self, result: FrameResult) -> None:
        joints = self.header.joints.joints
        lead = f"{result.index},{result.time_s:.6f},"
        rows = [
            f"{lead}{person.id},{joint},{x:.2f},{y:.2f},{score:.3f}\n"
            for person in result.people
            for joint, (x, y, score) in zip(joints, self.points(person).tolist(), strict=True)
        ]
        self._parts[0].append("".join(rows or [f"{lead},,,,\n"]).encode())
