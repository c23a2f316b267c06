"""How long settings take for a frame: the real pipeline over frames that are held in memory, all settings in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vipose.runtime.bench.timing import interleaved
from vipose.runtime.errors import InputError
from vipose.runtime.job import pipeline_config
from vipose.runtime.media.sources import expand_sources, open_source
from vipose.runtime.modes import Mode
from vipose.runtime.options import RunOptions
from vipose.runtime.pipeline import Pipeline
from vipose.runtime.tune.candidates import Network, Setting
from vipose.runtime.types import Frame

__all__ = ["BLOCK", "Measured", "Runner", "demo_clip", "measure", "read_frames", "screen"]

Image = npt.NDArray[np.uint8]
BLOCK = 12
"""Frames that a setting runs before the next one takes its turn: caches are warm as in a run of its own."""
_CLIP_S, _CLIP_BYTES = 4.0, 256e6
_HOPELESS = 3.0
_LEAST_LEFT = 3


@dataclass(frozen=True)
class Measured:
    """What one setting took for a frame, without decoding and drawing.

    Attributes:
        setting: it.
        network: its networks.
        median_ms, p95_ms, mean_ms: of the whole pipeline, a frame.
        frames: that were timed.
        people: mean on a frame.
    """

    setting: Setting
    network: Network
    median_ms: float
    p95_ms: float
    mean_ms: float
    frames: int
    people: float

    @property
    def accuracy(self) -> float | None:
        """AP, None where nothing is known."""
        return self.network.accuracy(self.setting.period)

    @property
    def fps(self) -> float:
        """Frames a second that it does on average."""
        return 1e3 / max(self.mean_ms, 1e-6)


def demo_clip() -> Path:
    """The clip that travels with vipose; raises InputError where it is missing."""
    path = Path(str(resources.files("vipose.assets") / "demo.mp4"))
    if not path.is_file():
        raise InputError("the demo clip is missing from this installation; give a clip with people as --clip FILE")
    return path


def read_frames(clip: str | Path, fps: float) -> list[Image]:
    """The first seconds of a clip as a source of ``fps`` frames a second would give them, [H, W, 3] uint8 RGB each.

    A frame comes more than once where the clip has fewer of them, and some are left out where it has more.

    Raises:
        InputError: it cannot be read, or holds no frame.
    """
    specs = expand_sources([str(clip)])
    if len(specs) != 1 or specs[0].path is None:
        raise InputError(f"'{clip}' is not one file; give one clip with people as --clip FILE")
    times: list[float] = []
    images: list[Image] = []
    held = 0
    with open_source(specs[0]) as source:
        for frame in source:
            if images and (frame.time_s - times[0] >= _CLIP_S or held + frame.image.nbytes > _CLIP_BYTES):
                break
            times.append(frame.time_s)
            images.append(frame.image)
            held += frame.image.nbytes
    if not images:
        raise InputError(f"'{clip}' has no frame that can be decoded; give another clip")
    seen_s = np.array(times) - times[0]
    wanted_s = np.arange(max(1, int(seen_s[-1] * fps) + 1)) / fps
    return [images[at] for at in np.searchsorted(seen_s, wanted_s + 1e-6, side="right") - 1]


class Runner:
    """One setting that goes over the frames, forward and backward: an end that meets the beginning would be a cut.

    Args:
        setting: how.
        network: its networks.
        mode: the same, loaded with the longest period.
        images: frames.
        fps: at which they come.
        clock: seconds.
    """

    def __init__(
        self, setting: Setting, network: Network, mode: Mode, images: Sequence[Image], fps: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:  # fmt: skip
        self.setting, self.network = setting, network
        self._pipeline = Pipeline(mode, pipeline_config(RunOptions(**setting.options(mode.period)), live=True))
        self._images, self._fps, self._clock = images, fps, clock
        self._path = [*range(len(images)), *range(len(images) - 2, 0, -1)]
        self._done = 0
        self._ms: list[float] = []
        self._people: list[int] = []

    @property
    def fresh(self) -> bool:
        """Whether it has not run yet."""
        return self._done == 0

    def block(self) -> None:
        """Run :data:`BLOCK` frames."""
        for _ in range(BLOCK):
            image = self._images[self._path[self._done % len(self._path)]]
            frame = Frame(self._done, self._done / self._fps, image)
            began = self._clock()
            result = self._pipeline.process(frame)
            self._ms.append((self._clock() - began) * 1e3)
            self._people.append(len(result.people))
            self._done += 1

    def measured(self) -> Measured:
        """What it took so far, without the first block, whose runs allocate memory, where there are more."""
        skip = BLOCK if self._done > BLOCK else 1
        ms = np.array(self._ms[skip:])
        return Measured(
            self.setting, self.network, float(np.median(ms)), float(np.percentile(ms, 95)), float(ms.mean()), len(ms),
            float(np.mean(self._people[skip:])),
        )  # fmt: skip


def screen(runners: Sequence[Runner], budget_ms: float) -> tuple[list[Runner], list[Measured]]:
    """A first block of each: the runners that are worth more time, and what the hopeless ones took.

    Args:
        runners: fresh ones.
        budget_ms: time that a frame may take.
    """
    worth: list[Runner] = []
    hopeless: list[Measured] = []
    for runner in runners:
        runner.block()
    for place, runner in enumerate(sorted(runners, key=lambda runner: runner.measured().median_ms)):
        row = runner.measured()
        if place < _LEAST_LEFT or row.median_ms <= _HOPELESS * budget_ms:
            worth.append(runner)
        else:
            hopeless.append(row)
    return worth, hopeless


def measure(
    runners: Sequence[Runner], *, seconds: float, least_rounds: int, tick: Callable[[float], None] | None = None
) -> list[Measured]:
    """Run all in turn, block after block, so that what slows the machine down slows all of them alike.

    Args:
        runners: at least one.
        seconds: about how long, above 0.
        least_rounds: blocks that each runs at least after its first, however long it takes.
        tick: told the share that is done, 0..1.
    """
    for runner in runners:
        if runner.fresh:
            runner.block()
    work = {str(number): runner.block for number, runner in enumerate(runners)}
    began, rounds = time.perf_counter(), 0
    while rounds < least_rounds or time.perf_counter() - began < seconds:
        interleaved(work, 2, warm_up=0)  # there and back
        rounds += 2
        if tick is not None:
            tick(min(1.0, (time.perf_counter() - began) / seconds))
    return [runner.measured() for runner in runners]
