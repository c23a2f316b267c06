"""TRC (Track Row Column), one file a person, for OpenSim, Sports2D, Pose2Sim and friends.

Rows follow OpenSim's own reader and writer: tabs, frames from 1, a tab at the end of each row (the reader drops the last
cell of a row when it is empty), and empty cells for a marker that was not seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.people import PersonTables, TableLayout
from vipose.runtime.results.writing import Writer, WriterOptions
from vipose.runtime.types import FrameResult, PersonResult

__all__ = ["TrcWriter"]

_KEYS = (
    "DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate", "OrigDataStartFrame", "OrigNumFrames",
)  # fmt: skip


class TrcWriter(Writer):
    """Writes ``OUT_ID.trc``.

    Without a scale: pixels of the frame, y down. With ``metres_per_pixel``: metres, y up from the lower edge of the
    frame (from its upper edge, so negative, where its height is not known). z is 0. Joints below ``min_score`` are blank.
    """

    name: ClassVar[str] = "trc"
    suffix: ClassVar[str] = ".trc"
    loses: ClassVar[str] = "scores, boxes, unsure joints, key or propagated, raw or smoothed (one is chosen), settings"

    def __init__(self, path: Path, header: ResultHeader, options: WriterOptions | None = None) -> None:
        super().__init__(path, header, options)
        layout = TableLayout(self._header, lambda index, time_s: f"{index + 1}\t{time_s:.6f}\t", self._blank())
        self._tables = PersonTables(path, self.suffix, layout, header.source.fps)

    @classmethod
    def targets(cls, path: Path) -> tuple[Path, ...]:
        return ()

    @property
    def paths(self) -> tuple[Path, ...]:
        return self._tables.paths

    def _write(self, result: FrameResult) -> None:
        self._tables.add(result.index, result.time_s, {person.id: self._cells(person) for person in result.people})

    def _close(self) -> None:
        self._tables.finish()

    def _discard(self) -> None:
        self._tables.discard()

    def _blank(self) -> str:
        return "\t\t\t" * len(self.header.joints)

    def _header(self, name: str, rows: int, rate: float) -> str:
        joints = self.header.joints.joints
        unit = "px" if self.options.metres_per_pixel is None else "m"
        said = f"{rate:.3f}"
        values = (said, said, str(rows), str(len(joints)), unit, said, "1", str(rows))
        numbers = "".join(f"X{i}\tY{i}\tZ{i}\t" for i in range(1, len(joints) + 1))
        return "\n".join(
            (
                f"PathFileType\t4\t(X/Y/Z)\t{name}",
                "\t".join(_KEYS),
                "\t".join(values),
                "Frame#\tTime\t" + "".join(f"{joint}\t\t\t" for joint in joints),
                "\t\t" + numbers,
                "\n",
            )
        )

    def _cells(self, person: PersonResult) -> str:
        points = self.points(person)
        good = (points[:, 2] >= self.options.min_score) & (points[:, 2] > 0)
        scale, decimals = self.options.metres_per_pixel, 2
        x, y = points[:, 0], points[:, 1]
        if scale is not None:
            height = self.header.source.size[1]
            x, y, decimals = x * scale, (max(height - 1, 0) - y) * scale, 5
        cells = np.column_stack([x, y]).tolist()
        return "".join(
            f"{px:.{decimals}f}\t{py:.{decimals}f}\t{0:.{decimals}f}\t" if seen else "\t\t\t"
            for (px, py), seen in zip(cells, good.tolist(), strict=True)
        )
