"""Writers, one module a format, and their registry: format name -> class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from vipose.runtime.errors import UsageError
from vipose.runtime.results.formats.angles import AnglesCsvWriter, AnglesMotWriter
from vipose.runtime.results.formats.coco import CocoWriter
from vipose.runtime.results.formats.csv import CsvWriter
from vipose.runtime.results.formats.mot import MotWriter
from vipose.runtime.results.formats.openpose import OpenPoseWriter
from vipose.runtime.results.formats.parquet import ParquetWriter
from vipose.runtime.results.formats.posetrack import PoseTrackWriter
from vipose.runtime.results.formats.trc import TrcWriter
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.native import NativeWriter
from vipose.runtime.results.writing import Writer, WriterOptions

__all__ = ["FORMATS", "format_class", "open_writer", "output_path"]

_WRITERS: tuple[type[Writer], ...] = (
    NativeWriter, CocoWriter, OpenPoseWriter, PoseTrackWriter, CsvWriter, AnglesCsvWriter, AnglesMotWriter, MotWriter,
    TrcWriter, ParquetWriter,
)  # fmt: skip
FORMATS: Mapping[str, type[Writer]] = MappingProxyType({writer.name: writer for writer in _WRITERS})
"""Format name -> writer; a new format is a new line above."""


def format_class(name: str) -> type[Writer]:
    """The writer of a format; raises UsageError that lists the formats."""
    if name not in FORMATS:
        raise UsageError(f"'{name}' is no result format; choose from {', '.join(FORMATS)}")
    return FORMATS[name]


def output_path(name: str, base: Path) -> Path:
    """Where a format goes beside a video: ``OUT`` -> ``OUT.coco.json``. One file a person: ``OUT_ID.trc`` for ``OUT.trc``."""
    return base.with_name(base.name + format_class(name).suffix)


def open_writer(
    name: str,
    base: str | Path,
    header: ResultHeader,
    *,
    smoothed: bool = True,
    metres_per_pixel: float | None = None,
    min_score: float = 0.3,
    timings: bool = True,
) -> Writer:
    """Open a writer that lays its output beside the video.

    Args:
        name: key in :data:`FORMATS`.
        base: path of the video without its suffix; the format adds its own.
        header: of the results.
        smoothed: smoothed or raw keypoints, where a format holds one kind only.
        metres_per_pixel, min_score, timings: see :class:`WriterOptions`.

    Raises:
        UsageError: unknown format or option out of range, or its extra is not installed.
        OutputError: the folder is missing or not writable.
    """
    options = WriterOptions(smoothed, metres_per_pixel, min_score, timings)
    return format_class(name)(output_path(name, Path(base)), header, options)
