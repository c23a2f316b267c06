"""The figures of a session as text for a report of a fault, and as a table."""

from __future__ import annotations

import csv
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from vipose.app.core.latency import EARLY_REASONS, OTHER, REASONS, STAGES, Columns, Spread, Summary
from vipose.runtime.errors import OutputError
from vipose.runtime.installed import version

__all__ = ["UNKNOWN", "as_text", "number", "save_csv"]

UNKNOWN = "-"
"""Stands for every figure that is not known."""


def number(value: float | None, digits: int = 1, unit: str = "") -> str:
    """A figure for the screen: ``-`` where it is not known."""
    if value is None or not np.isfinite(value):
        return UNKNOWN
    return f"{value:.{digits}f}{unit}"


def as_text(summary: Summary, provider_reason: str = "") -> str:
    """A summary in a few lines, for the clipboard.

    Args:
        summary: of :class:`~vipose.app.core.statistics.Statistics`.
        provider_reason: why something that was asked for does not run; "" where all is as asked.
    """
    runs = summary.provider.upper() or UNKNOWN
    lines = [
        f"vipose {version()}, mode {summary.mode or UNKNOWN}, runs on {runs}"
        + (f" ({provider_reason})" if provider_reason else ""),
        f"medians of the last {summary.recent_s:g} s; p95: 95 % of frames in {summary.window_s:g} s are below it",
        f"processed frames a second: {number(summary.fps)}",
        f"age of the shown frame: {_spread(summary.age_ms)}",
        f"pipeline a frame: {_spread(summary.total_ms)}",
    ]
    lines += [
        f"  {figure.stage}: {_spread(figure.ms)}, ran on {number(_percent(figure.share), 0, ' %')} of frames"
        for figure in summary.stages
    ]
    dropped = UNKNOWN if summary.dropped is None else str(summary.dropped)
    lines.append(f"dropped frames: {dropped} in all, {number(summary.drop_rate, 1, ' a second')}")
    lines.append(
        f"people now: {_count(summary.people)} "
        f"({_count(summary.people_key)} key, {_count(summary.people_propagated)} propagated)"
    )
    reasons = ", ".join(f"{reason} {summary.reasons[reason]}" for reason in REASONS if summary.reasons[reason])
    lines.append(
        f"people on the last {summary.frames} shown frames: {summary.key} key, {summary.propagated} propagated, "
        f"{summary.forced} of them early key" + (f"; by reason: {reasons}" if reasons else "")
    )
    if summary.unseen:
        lines.append(f"frames processed but not shown in that time: {summary.unseen}")
    if summary.totals is not None:
        all_of = summary.totals
        lines.append(
            f"since the start: {all_of.decoded} frames processed, {all_of.dropped} dropped; people on frames: "
            f"{all_of.key} key ({all_of.forced} early), {all_of.propagated} propagated, {all_of.swapped} swapped"
        )
    return "\n".join(lines)


def save_csv(path: Path, columns: Columns) -> None:
    """Write one line a frame; takes a fraction of a second, and any thread may call it.

    The file appears at once and whole: it is written beside its place and then renamed.

    Args:
        path: of the file, with its suffix.
        columns: what to write; times are counted from their first frame.

    Raises:
        OutputError: the file cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_HEADER)
            writer.writerows(_lines(columns))
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written ({error.strerror or error}); choose another folder") from error


_HEADER = (
    "frame", "time_s", "seen_s", "run", "age_ms", "total_ms", *(f"{stage}_ms" for stage in (*STAGES, OTHER)),
    "people", "key", "propagated", "early", *(f"key_{reason}" for reason in REASONS), "processed", "dropped",
)  # fmt: skip


def _lines(columns: Columns) -> list[list[str]]:
    early = columns.reasons[:, : len(EARLY_REASONS)].sum(axis=1)
    first = columns.seen_s[0] if len(columns) else 0.0
    whole = np.column_stack(
        [columns.people, columns.key, columns.propagated, early, columns.reasons, columns.processed, columns.dropped]
    )
    lines = []
    for n in range(len(columns)):
        times = [columns.age_ms[n], columns.total_ms[n], *columns.stages_ms[n]]
        lines.append([
            f"{columns.index[n]:.0f}", f"{columns.time_s[n]:.3f}", f"{columns.seen_s[n] - first:.3f}",
            f"{columns.segment[n]:.0f}", *("" if np.isnan(value) else f"{value:.3f}" for value in times),
            *(f"{value:.0f}" for value in whole[n]),
        ])  # fmt: skip
    return lines


def _spread(spread: Spread | None) -> str:
    return UNKNOWN if spread is None else f"{spread.median:.1f} ms, p95 {spread.p95:.1f} ms"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)
