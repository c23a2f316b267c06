"""What is kept of a tuning: the choice as options, what it holds for, and the figures of everything that was measured."""

from __future__ import annotations

from typing import Any

from vipose.runtime.tune.measure import Measured
from vipose.runtime.tune.store import Tuned, fingerprint, graph_hashes
from vipose.runtime.tune.tuning import Tuning

__all__ = ["figures", "tuned_by"]


def tuned_by(tuning: Tuning) -> Tuned:
    """What :func:`vipose.runtime.tune.store.write_tuned` keeps; raises UsageError or ModelError where networks have gone."""
    setting = tuning.choice.row.setting
    return Tuned(
        fps=tuning.fps,
        holds=tuning.choice.holds,
        setting=str(setting),
        options=setting.options(tuning.choice.row.network.longest),
        machine=fingerprint(),
        graphs=graph_hashes(setting.mode, setting.precision),
        measured=tuple(figures(row) for row in tuning.rows),
    )


def figures(row: Measured) -> dict[str, Any]:
    """One setting with its rounded figures, as JSON has it."""
    one = row.setting
    return {
        "mode": one.mode, "period": one.period, "threads": one.threads, "detect_every": one.detect_every,
        "precision": one.precision, "twice": one.twice, "ap": None if row.accuracy is None else round(row.accuracy, 4),
        "median_ms": round(row.median_ms, 3), "p95_ms": round(row.p95_ms, 3), "fps": round(row.fps, 1),
        "frames": row.frames, "people": round(row.people, 2),
    }  # fmt: skip
