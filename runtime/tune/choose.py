"""Which setting is kept: the most accurate one that holds the asked frame rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vipose.runtime.tune.measure import Measured

__all__ = ["HEADROOM", "Choice", "allowed_ms", "choose", "finalists", "holds", "ranked"]

HEADROOM = 0.2
"""Share of a frame's time that stays free for decoding, drawing and other programs."""
_ALIKE = 0.05  # speeds that differ by less are the same: one run of the same program differs from the next as much
_FINALISTS = 3
_NEARLY = 1.5  # a few frames that were slow for another reason must not throw a setting out


@dataclass(frozen=True)
class Choice:
    """What is kept, and whether it holds the frame rate."""

    row: Measured
    holds: bool


def allowed_ms(fps: float) -> float:
    """Time that 95 of 100 frames may take at a frame rate."""
    return (1 - HEADROOM) * 1e3 / fps


def holds(row: Measured, fps: float) -> bool:
    """Whether a setting holds a frame rate with :data:`HEADROOM` to spare."""
    return row.p95_ms <= allowed_ms(fps)


def ranked(rows: Sequence[Measured]) -> list[Measured]:
    """Best first: accuracy (nothing known comes last), then the shorter interval of the detector, then speed."""
    return sorted(rows, key=lambda row: (*_worse(row), row.mean_ms))


def choose(rows: Sequence[Measured], fps: float) -> Choice:
    """The most accurate setting that holds the frame rate, the fastest where none does.

    Of settings that are as accurate the faster one is taken; where they are as fast as well, the one that uses all cores,
    since another picture may show more people.

    Args:
        rows: at least one; each setting once.
        fps: frames a second.
    """
    good = ranked([row for row in rows if holds(row, fps)])
    if not good:
        return Choice(min(rows, key=lambda row: row.mean_ms), False)
    alike = [row for row in good if _worse(row) == _worse(good[0]) and row.mean_ms <= good[0].mean_ms * (1 + _ALIKE)]
    return Choice(min(alike, key=lambda row: (row.setting.threads != 0, row.mean_ms)), True)


def finalists(rows: Sequence[Measured], fps: float) -> list[Measured]:
    """Of a short measurement, the settings that deserve a longer one.

    The most accurate that may hold the rate, the most accurate that holds it with little doubt, and where there is none, the
    fastest. A noisy moment must not throw a setting out that is measured well later.
    """
    most = allowed_ms(fps)
    maybe = _best([row for row in rows if row.median_ms <= _NEARLY * most], _FINALISTS)
    sure = _best([row for row in rows if row.median_ms <= most and row.p95_ms <= _NEARLY * most], 1)
    if not sure:
        sure = [min(rows, key=lambda row: row.mean_ms)]
    return list(dict.fromkeys(maybe + sure))


def _best(rows: Sequence[Measured], count: int) -> list[Measured]:
    """The rows of the most accurate networks and periods; with another number of cores only where that is not slower."""
    kept: dict[tuple[str, int, str, bool], list[Measured]] = {}
    for row in ranked(rows):
        key = (row.setting.mode, row.setting.period, row.setting.precision, row.setting.twice)
        if key in kept or len(kept) < count:
            kept.setdefault(key, []).append(row)
    return [row for same in kept.values() for row in same if row.mean_ms <= same[0].mean_ms * (1 + _ALIKE)]


def _worse(row: Measured) -> tuple[float, int]:
    accuracy = -math.inf if row.accuracy is None else round(row.accuracy, 4)
    return -accuracy, row.setting.detect_every
