"""Stand-ins for the tests of the comparison: modes that answer at once and say what they were asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vipose.app.core.contender import Choice, ModeFacts
from vipose.runtime.errors import ModelError
from vipose.runtime.options import RunOptions
from vipose.runtime.providers import ProviderReport
from vipose.runtime.skeleton import COCO17, MPII16, Skeleton
from vipose.runtime.types import Counters, Frame, FrameResult, PersonResult, Why

__all__ = ["FakeContender", "Faults", "person", "result", "until"]

WAIT_S = 20.0


def until(true: Callable[[], bool]) -> None:
    """Wait until something holds; fails after a long time."""
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def person(
    track: int = 1, *, x: float = 20.0, why: Why = "every", skeleton: Skeleton = COCO17, shift: float = 0.0
) -> PersonResult:
    """Somebody whose box begins at ``x``, 24 pixels wide and 48 high; joints lie in it, ``shift`` pixels to the right."""
    count = len(skeleton)
    points = np.stack([
        x + 4 + np.arange(count) % 4 * 5 + shift, 8 + np.arange(count) * 40 / count, np.full(count, 0.9)
    ], axis=1).astype(np.float32)  # fmt: skip
    kind = "key" if why else "propagated"
    return PersonResult(track, np.array([x, 4, x + 24, 52], np.float32), 0.9, points, points, kind, why)


def result(
    index: int = 0, *people: PersonResult, total: float = 10.0, spatial: float = 0.0, temporal: float = 0.0
) -> FrameResult:
    """Of one frame of 96 x 64 pixels; times in ms."""
    timings = {"total": total, "spatial": spatial, "temporal": temporal}
    return FrameResult(index, index / 25, (96, 64), people, timings, Counters(decoded=index + 1))


class Faults:
    """What the fakes shall do, and what they were asked; by name of the mode."""

    def __init__(self) -> None:
        self.order: list[tuple[str, int]] = []
        self.loading: list[str] = []
        self.followed: list[tuple[Choice, RunOptions]] = []
        self.closed: list[str] = []
        self.took_over: list[tuple[str, str]] = []
        self.began_again: list[str] = []
        self.slow_s: dict[str, float] = {}
        self.at_x: dict[str, float] = {}
        self.hold: dict[str, threading.Event] = {}


class FakeContender:
    """Finds one person on each frame. A mode called ``missing...`` cannot be loaded; ``mpii...`` has other joints."""

    faults = Faults()

    def __init__(self, choice: Choice, options: RunOptions) -> None:
        self.faults.loading.append(choice.mode)
        if choice.mode in self.faults.hold:
            self.faults.hold[choice.mode].wait(WAIT_S)
        if Path(choice.mode).name.startswith("missing"):
            raise ModelError(f"there is no mode '{choice.mode}'; choose another one")
        self.name = choice.mode
        self.skeleton = MPII16 if choice.mode.startswith("mpii") else COCO17
        self._choice = choice

    @property
    def facts(self) -> ModeFacts:
        period = self._choice.period or 4
        return ModeFacts(period, 4, period, period * 1_000_000, period * 2_000_000, ProviderReport("auto", "cpu"))

    def serves(self, choice: Choice, options: RunOptions) -> bool:
        return choice.mode == self.name

    def follow(self, choice: Choice, options: RunOptions) -> None:
        self._choice = choice
        self.faults.followed.append((choice, options))

    def take_over(self, other: FakeContender) -> bool:
        self.faults.took_over.append((other.name, self.name))
        return other.skeleton == self.skeleton

    def begin_again(self) -> None:
        self.faults.began_again.append(self.name)

    def process(self, frame: Frame) -> FrameResult:
        self.faults.order.append((self.name, frame.index))
        time.sleep(self.faults.slow_s.get(self.name, 0.0))
        somebody = person(x=self.faults.at_x.get(self.name, 20.0), skeleton=self.skeleton)
        return result(frame.index, somebody, total=5.0, spatial=2.0)

    def close(self) -> None:
        self.faults.closed.append(self.name)
