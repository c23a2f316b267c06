"""What crosses module borders cannot be changed behind anybody's back."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from vipose.runtime.types import Counters, FrameResult, PersonResult, readonly


def _person() -> PersonResult:
    points = np.ones((17, 3))
    return PersonResult(1, np.zeros(4), 0.5, points, points)


def test_arrays_are_float32_and_read_only() -> None:
    person = _person()
    for array in (person.box, person.keypoints, person.smoothed):
        assert array.dtype == np.float32
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_the_callers_arrays_stay_its_own() -> None:
    points = np.ones((17, 3), np.float32)
    person = PersonResult(1, np.zeros(4, np.float32), 0.5, points, points)
    points[0, 0] = 99
    assert person.keypoints[0, 0] == 1 and points.flags.writeable


def test_read_only_arrays_are_not_copied() -> None:
    array = readonly(np.ones(3))
    assert readonly(array) is array


def test_results_are_frozen() -> None:
    result = FrameResult(0, 0.0, (4, 3), (_person(),), {"detect": 1.0})
    with pytest.raises(FrozenInstanceError):
        result.index = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        result.timings["detect"] = 2.0  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        result.counters.key = 1  # type: ignore[misc]


def test_timings_are_copied() -> None:
    timings = {"detect": 1.0}
    result = FrameResult(0, 0.0, (4, 3), timings=timings)
    timings["detect"] = 9.0
    assert result.timings["detect"] == 1.0 and result.counters == Counters()
