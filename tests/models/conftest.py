"""Trainings end by the clock; in tests the clock counts, so that a slow machine takes as many steps as a fast one."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import pytest


@pytest.fixture
def counting_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock of a training is 10 ms after the last."""
    schedule = pytest.importorskip("vipose.models.training.schedule")
    ticks = count()
    monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: next(ticks) / 100))
