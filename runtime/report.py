"""What a batch says at its end: a record a source, as a table or as JSON, and the exit code."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vipose.runtime.errors import EXIT_INTERRUPTED, EXIT_NOTHING, EXIT_OK, EXIT_SOME_FAILED, OutputError

__all__ = ["BatchReport", "SourceReport", "Status", "as_table", "read_report", "write_report"]

Status = Literal["done", "partial", "failed", "skipped", "interrupted"]
"""``partial``: it failed midway and what came before is kept; ``skipped``: nothing to do; ``interrupted``: stopped by the user."""


@dataclass(frozen=True)
class SourceReport:
    """What became of one source.

    Attributes:
        source: as the user named it.
        path: the file or folder itself, absolute; "" for cameras and URLs.
        status: see :data:`Status`.
        message: why, where it is not done.
        decoded: frames that the decoder gave, before ``every`` and ``start`` left any out.
        processed, written: frames through the pipeline, and into every output.
        dropped: frames never processed (live sources only).
        people: different track ids.
        key, propagated, forced, swapped: people on frames; forced ones are early key frames, part of ``key``.
        seconds, fps: wall clock, and frames processed in a second of it.
        age_ms: live sources: age of the last picture when it was shown.
        provider: what ran the pose graphs.
        outputs: files and folders that are complete.
        identity: hash of input, graphs and options; "" where an input has none (cameras, URLs).
        notes: what the user should know besides.
    """

    source: str
    status: Status
    message: str = ""
    decoded: int = 0
    processed: int = 0
    written: int = 0
    dropped: int = 0
    people: int = 0
    key: int = 0
    propagated: int = 0
    forced: int = 0
    swapped: int = 0
    seconds: float = 0.0
    fps: float = 0.0
    age_ms: float | None = None
    provider: str = ""
    outputs: tuple[str, ...] = ()
    identity: str = ""
    notes: tuple[str, ...] = field(default=())
    path: str = ""

    def counts(self) -> str:
        """The counts in one line."""
        return (
            f"decoded {self.decoded}, key {self.key}, propagated {self.propagated}, forced {self.forced}, "
            f"dropped {self.dropped}, written {self.written}"
        )

    def line(self) -> str:
        """One line for the end of this source."""
        if self.status in ("skipped", "failed"):
            return f"{self.status}: {self.message}"
        age = "" if self.age_ms is None else f", age {self.age_ms:.0f} ms"
        why = f"; {self.message}" if self.message else ""
        return f"{self.status}: {self.counts()} ({self.fps:.1f} fps{age}, {self.provider}){why}"


@dataclass(frozen=True)
class BatchReport:
    """All sources of a run, in order."""

    sources: tuple[SourceReport, ...]

    @property
    def exit_code(self) -> int:
        """130 interrupted, 0 all done, 3 nothing done, else 1."""
        statuses = [source.status for source in self.sources]
        if "interrupted" in statuses:
            return EXIT_INTERRUPTED
        if all(status in ("done", "skipped") for status in statuses):
            return EXIT_OK
        return EXIT_NOTHING if all(status == "failed" for status in statuses) else EXIT_SOME_FAILED

    def to_json(self) -> str:
        """One JSON object."""
        data = {"exit_code": self.exit_code, "sources": [asdict(source) for source in self.sources]}
        return json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False)


def as_table(reports: Sequence[SourceReport]) -> str:
    """A table for people; the outputs of each source follow below its row."""
    head = ("source", "status", "frames", "people", "key", "propagated", "forced", "dropped", "fps")
    rows = [
        (
            _shortened(r.source), r.status, str(r.written), str(r.people), str(r.key), str(r.propagated), str(r.forced),
            str(r.dropped), f"{r.fps:.1f}",
        )
        for r in reports
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def laid_out(row: Sequence[str]) -> str:
        cells = [text.ljust(w) if column < 2 else text.rjust(w) for column, (text, w) in enumerate(zip(row, widths, strict=True))]
        return "  ".join(cells).rstrip()

    lines = [laid_out(head), "  ".join("-" * width for width in widths)]
    for row, report in zip(rows, reports, strict=True):
        lines.append(laid_out(row))
        lines += [f"    {output}" for output in report.outputs]
        lines += [f"    {report.message}"] if report.message else []
        lines += [f"    note: {note}" for note in report.notes]
    return "\n".join(lines)


def _shortened(text: str, most: int = 40) -> str:
    return text if len(text) <= most else "…" + text[-most + 1 :]


def write_report(path: Path, report: SourceReport) -> None:
    """Write a source's record; raises OutputError."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(asdict(report), indent=1, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(f"'{path}' cannot be written ({error.strerror}); free some space or check the folder") from error


def read_report(path: Path) -> dict[str, Any]:
    """A record as JSON values, {} where there is none that can be read: then the source is done again."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
