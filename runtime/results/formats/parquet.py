"""Parquet: the table of the csv format, typed. Needs pyarrow (extra ``parquet``)."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from vipose.runtime.errors import UsageError
from vipose.runtime.results.formats.csv import COLUMNS, CsvWriter
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.writing import Writer, WriterOptions, needs_folder, output_error
from vipose.runtime.types import FrameResult

__all__ = ["ParquetWriter"]

_ROWS_AT_ONCE = 20_000


class ParquetWriter(Writer):
    """Writes ``OUT.parquet``; a frame without people is a row with nulls from ``id`` on. The header lies in the metadata.

    Raises:
        UsageError: pyarrow is not installed.
    """

    name: ClassVar[str] = "parquet"
    suffix: ClassVar[str] = ".parquet"
    loses: ClassVar[str] = CsvWriter.loses.replace(", settings", "")

    def __init__(self, path: Path, header: ResultHeader, options: WriterOptions | None = None) -> None:
        super().__init__(path, header, options)
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise UsageError("parquet files need pyarrow, which is not installed; pip install 'vipose[parquet]'") from error
        needs_folder(path)
        self._done = False
        self._arrow, self._part = pyarrow, path.with_name(path.name + ".part")
        self._rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        types = (
            pyarrow.int64(), pyarrow.float64(), pyarrow.int64(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
            pyarrow.float32(), pyarrow.float32(), pyarrow.float32(),
        )  # fmt: skip
        told = {"vipose": json.dumps(header.to_dict(), allow_nan=False)}
        self._schema = pyarrow.schema(list(zip(COLUMNS, types, strict=True)), metadata=told)
        try:
            self._file = self._part.open("wb")
        except OSError as error:
            raise output_error(path, error) from error
        self._table = pyarrow.parquet.ParquetWriter(self._file, self._schema)

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.path,) if self._done else ()

    def _write(self, result: FrameResult) -> None:
        for person in result.people:
            for joint, (x, y, score) in zip(self.header.joints.joints, self.points(person).tolist(), strict=True):
                self._add(result.index, result.time_s, person.id, joint, round(x, 2), round(y, 2), round(score, 3))
        if not result.people:
            self._add(result.index, result.time_s, None, None, None, None, None)
        if len(self._rows["frame"]) >= _ROWS_AT_ONCE:
            try:
                self._flush()
            except OSError as error:
                raise output_error(self.path, error) from error

    def _add(self, *values: Any) -> None:
        for column, value in zip(self._rows.values(), values, strict=True):
            column.append(value)

    def _flush(self) -> None:
        """Write the waiting rows; raises OSError."""
        if self._rows["frame"]:
            self._table.write_table(self._arrow.table(self._rows, schema=self._schema))
        for column in self._rows.values():
            column.clear()

    def _close(self) -> None:
        try:
            self._flush()
            self._table.close()
            self._file.close()
            os.replace(self._part, self.path)
        except OSError as error:
            self._discard()  # without its last bytes a Parquet file is worth nothing
            raise output_error(self.path, error) from error
        self._done = True

    def _discard(self) -> None:
        self._table.is_open = False  # or its destructor would write the footer of a file that is gone
        with suppress(OSError):  # what is still buffered may find no room, but it is not wanted any more
            self._file.close()
        try:
            self._part.unlink(missing_ok=True)
        except OSError as error:
            raise output_error(self._part, error) from error
