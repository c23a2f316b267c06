"""Timing that survives a noisy machine: everything to be compared runs in turn, round after round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Timing", "interleaved", "paired_ratio"]


@dataclass(frozen=True)
class Timing:
    """Milliseconds of each round, in order."""

    samples_ms: tuple[float, ...]

    @property
    def p50(self) -> float:
        """Median, ms."""
        return float(np.percentile(self.samples_ms, 50))

    @property
    def p95(self) -> float:
        """95th percentile, ms."""
        return float(np.percentile(self.samples_ms, 95))


def interleaved(
    work: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
    tick: Callable[[int], None] | None = None,
) -> dict[str, Timing]:
    """Call every entry once a round and time it.

    What slows the machine down for a while slows all entries alike, so that their ratios hold. Every other round goes
    backward, since an entry pays for the caches that the one before it filled.

    Args:
        work: by name; at least one.
        rounds: timed rounds, 1 or more.
        warm_up: rounds before that are not timed (memory is allocated in the first runs).
        clock: seconds.
        tick: told how many rounds are done.
    """
    samples: dict[str, list[float]] = {name: [] for name in work}
    names = list(work)
    for turn in range(-warm_up, rounds):
        for name in names[::-1] if turn % 2 else names:
            began = clock()
            work[name]()
            if turn >= 0:
                samples[name].append((clock() - began) * 1e3)
        if tick is not None and turn >= 0:
            tick(turn + 1)
    return {name: Timing(tuple(values)) for name, values in samples.items()}


def paired_ratio(value: Timing, reference: Timing, *, items: int = 1) -> float:
    """Median over the rounds of value / items / reference; both come from one :func:`interleaved` call."""
    ratios = np.array(value.samples_ms) / items / np.maximum(np.array(reference.samples_ms), 1e-9)
    return float(np.median(ratios))
