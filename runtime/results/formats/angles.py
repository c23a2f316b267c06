"""Joint angles as a long CSV table and as OpenSim motion files (``.mot``); what they mean: ``results/angles.py``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

import numpy as np

from vipose.runtime.results.angles import ANGLES, Array, Unwrap, joint_angles
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.people import PersonTables, TableLayout
from vipose.runtime.results.writing import PartFile, Writer, WriterOptions
from vipose.runtime.types import FrameResult

__all__ = ["AnglesCsvWriter", "AnglesMotWriter"]


class _AnglesWriter(Writer):
    """Computes the angles of a frame; unwrapping follows each person over time."""

    loses: ClassVar[str] = "joints, boxes, scores, key or propagated, raw or smoothed (one is chosen), settings"

    def __init__(self, path: Path, header: ResultHeader, options: WriterOptions | None = None) -> None:
        super().__init__(path, header, options)
        self._unwrap = Unwrap()

    def _angles(self, result: FrameResult) -> Array:
        """[N, len(ANGLES)] degrees."""
        skeleton = self.header.joints
        points = [self.points(person) for person in result.people]
        keypoints = np.stack(points) if points else np.zeros((0, len(skeleton), 3))
        keypoints[..., 2][keypoints[..., 2] <= 0] = -1.0  # never sure, even with a threshold of 0
        angles = joint_angles(keypoints, skeleton, min_score=self.options.min_score)
        return self._unwrap([person.id for person in result.people], result.time_s, angles)


class AnglesCsvWriter(_AnglesWriter):
    """Writes ``OUT.angles.csv``: ``frame, time_s, id, angle, degrees``.

    A frame without people has its frame and time only; an angle that cannot be told has an empty last cell.
    """

    name: ClassVar[str] = "angles"
    suffix: ClassVar[str] = ".angles.csv"

    def __init__(self, path: Path, header: ResultHeader, options: WriterOptions | None = None) -> None:
        super().__init__(path, header, options)
        self._parts = (PartFile(path, b"frame,time_s,id,angle,degrees\n"),)

    def _write(self, result: FrameResult) -> None:
        lead = f"{result.index},{result.time_s:.6f},"
        rows = [
            f"{lead}{person.id},{name},{_degrees(angle, '')}\n"
            for person, angles in zip(result.people, self._angles(result).tolist(), strict=True)
            for name, angle in zip(ANGLES, angles, strict=True)
        ]
        self._parts[0].append("".join(rows or [f"{lead},,\n"]).encode())


class AnglesMotWriter(_AnglesWriter):
    """Writes ``OUT_ID.angles.mot``, one OpenSim motion file a person; ``nan`` where an angle cannot be told."""

    name: ClassVar[str] = "angles-mot"
    suffix: ClassVar[str] = ".angles.mot"

    def __init__(self, path: Path, header: ResultHeader, options: WriterOptions | None = None) -> None:
        super().__init__(path, header, options)
        layout = TableLayout(_motion_header, lambda _index, time_s: f"{time_s:.6f}", "\tnan" * len(ANGLES))
        self._tables = PersonTables(path, self.suffix, layout, header.source.fps)

    @classmethod
    def targets(cls, path: Path) -> tuple[Path, ...]:
        return ()

    @property
    def paths(self) -> tuple[Path, ...]:
        return self._tables.paths

    def _write(self, result: FrameResult) -> None:
        rows = self._angles(result).tolist()
        cells = {
            person.id: "".join(f"\t{_degrees(angle, 'nan')}" for angle in angles)
            for person, angles in zip(result.people, rows, strict=True)
        }
        self._tables.add(result.index, result.time_s, cells)

    def _close(self) -> None:
        self._tables.finish()

    def _discard(self) -> None:
        self._tables.discard()


def _degrees(angle: float, missing: str) -> str:
    return f"{round(angle, 2) + 0.0:.2f}" if math.isfinite(angle) else missing  # + 0.0: no "-0.00"


def _motion_header(name: str, rows: int, _rate: float) -> str:
    facts = f"version=1\nnRows={rows}\nnColumns={len(ANGLES) + 1}\ninDegrees=yes\nendheader\n"
    return f"{name}\n{facts}" + "\t".join(("time", *ANGLES)) + "\n"
