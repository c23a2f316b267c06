"""One text table a person, a row for every frame: what TRC and OpenSim's motion files have in common.

A person who is away on a frame has a blank row there. Blank rows are written when the person comes back or at the end,
so a frame costs only those who are on it; what stays in memory is 16 bytes a frame and 8 a row.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vipose.runtime.errors import OutputError
from vipose.runtime.results.writing import PartFile, needs_folder

__all__ = ["PersonTables", "TableLayout", "rising"]

_OPEN_FILES = 64
_ROWS_AT_ONCE = 4096
_STEP_S = 1e-6
_USUAL_FPS, _MOST_FPS = 30.0, 1e6


@dataclass(frozen=True)
class TableLayout:
    """How a table is written.

    Attributes:
        header: name of the table, rows, frames a second -> all lines before the rows; the name ends the first line.
        lead: frame index, seconds -> the first cells of a row.
        blank: the other cells of a row whose person is away.
    """

    header: Callable[[str, int, float], str]
    lead: Callable[[int, float], str]
    blank: str


def rising(time_s: float, before_s: float | None) -> float:
    """The time, moved 1e-6 s behind its predecessor where it repeats or falls back: OpenSim refuses such times."""
    return time_s if before_s is None else max(time_s, before_s + _STEP_S)


class PersonTables:
    """Tables ``STEM_ID.SUFFIX`` beside ``path`` = ``STEM.SUFFIX``; nothing is written where nobody was seen.

    Args:
        path: where the tables go.
        suffix: what ``path`` ends in.
        layout: of the tables.
        fps: of the source; used for the header where the times do not tell.

    Raises:
        OutputError: the folder is missing or a file cannot be written.
    """

    def __init__(self, path: Path, suffix: str, layout: TableLayout, fps: float | None) -> None:
        needs_folder(path)
        self._path = path
        self._ending = suffix if path.name.endswith(suffix) else path.suffix
        self._layout = layout
        self._fps = fps or _USUAL_FPS
        self._frames, self._times = array("q"), array("d")
        self._files: dict[int, PartFile] = {}
        self._open: OrderedDict[int, PartFile] = OrderedDict()  # the most recently used one last

    def add(self, index: int, time_s: float, cells: Mapping[int, str]) -> None:
        """Add a frame: person id -> cells of the row after its lead."""
        self._times.append(rising(time_s, self._times[-1] if self._times else None))
        self._frames.append(index)
        for person, text in cells.items():
            file = self._file(person)
            self._fill(file, len(self._frames) - 1)
            file.append(self._row(len(self._frames) - 1, text))

    def finish(self) -> tuple[Path, ...]:
        """Complete the tables and return their paths; raises OutputError after having completed what could be."""
        troubles = []
        for person, file in sorted(self._files.items()):
            try:
                self._fill(file, len(self._frames))
            except OutputError as error:
                troubles.append(error)
            try:
                file.finish(head=lambda rows, person=person: self._header(person, rows))  # type: ignore[misc]
            except OutputError as error:
                troubles.append(error)
        if troubles:
            raise troubles[0]
        return self.paths

    def discard(self) -> None:
        """Take all tables away; raises OutputError."""
        for file in self._files.values():
            file.discard()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The tables that carry their final name, by person id."""
        return tuple(file.path for _, file in sorted(self._files.items()) if file.done)

    def _file(self, person: int) -> PartFile:
        if person not in self._files:
            self._files[person] = PartFile(self._path.with_name(self._name(person)), self._header(person, 0))
        self._open[person] = self._files[person]
        self._open.move_to_end(person)
        if len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].release()
        return self._files[person]

    def _name(self, person: int) -> str:
        return f"{self._path.name.removesuffix(self._ending)}_{person}{self._ending}"

    def _fill(self, file: PartFile, rows: int) -> None:
        """Blank rows up to ``rows``."""
        while file.records < rows:
            upto = min(rows, file.records + _ROWS_AT_ONCE)
            file.append(*(self._row(row, self._layout.blank) for row in range(file.records, upto)))

    def _row(self, row: int, text: str) -> bytes:
        return f"{self._layout.lead(self._frames[row], self._times[row])}{text}\n".encode()

    def _header(self, person: int, rows: int) -> bytes:
        """The header, always of the same length: blanks at the end of its first line make up for short numbers."""
        name = " ".join(self._name(person).replace("=", "-").split())
        room = len(self._layout.header(name, 10**12, _MOST_FPS).encode("utf-8", "replace"))
        text = self._layout.header(name, rows, self._rate(rows)).encode("utf-8", "replace")
        first, rest = text.split(b"\n", 1)
        return first + b" " * (room - len(text)) + b"\n" + rest

    def _rate(self, rows: int) -> float:
        span = self._times[rows - 1] - self._times[0] if rows > 1 else 0.0
        return min((rows - 1) / span if span > 0 else self._fps, _MOST_FPS)
