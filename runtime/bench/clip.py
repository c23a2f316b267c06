"""A whole clip: decoding alone, with the pipeline, and with drawing and encoding; memory from frame to frame.

The file driver of ``vipose run`` does the work, so that threads overlap as they do there.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vipose.runtime.bench.machine import resident_mb
from vipose.runtime.draw import draw
from vipose.runtime.drivers.common import Picture, Tally
from vipose.runtime.drivers.file import run_file
from vipose.runtime.errors import InputError
from vipose.runtime.media.sources import SourceSpec, expand_sources, open_source
from vipose.runtime.modes import Mode
from vipose.runtime.overlay import build_overlay
from vipose.runtime.pipeline import Pipeline, PipelineConfig
from vipose.runtime.smooth import ZeroPhase
from vipose.runtime.types import Frame, FrameResult, SourceInfo

__all__ = ["ClipRow", "Memory", "bench_clip", "memory_slope"]

_GAP_S = 1.0  # between two passes over the clip: more than any frame's duration, so that it reads as a jump in time


@dataclass(frozen=True)
class Memory:
    """Resident memory of the process, MB.

    Attributes:
        before, after: the run.
        slope_kb_per_1000_frames: straight line through the second half of the run, when caches are full; None with fewer
            than 20 samples there.
    """

    before: float
    after: float
    slope_kb_per_1000_frames: float | None


@dataclass(frozen=True)
class ClipRow:
    """One way to run the clip.

    Attributes:
        what: ``decode``, ``pipeline`` or ``pipeline + encode``.
        frames, seconds: run, wall clock.
        cpu_s: processor time of all threads.
        people: mean on a frame; None for decoding alone.
        memory: None where the system does not tell.
    """

    what: str
    frames: int
    seconds: float
    cpu_s: float
    people: float | None
    memory: Memory | None

    @property
    def frames_per_s(self) -> float:
        """Of wall clock."""
        return self.frames / max(self.seconds, 1e-9)


class _Repeated:
    """A clip over and over until enough frames came; index and time go on."""

    clock_origin: float | None = None

    def __init__(self, spec: SourceSpec, frames: int | None) -> None:
        self._spec, self._frames = spec, frames
        with open_source(spec) as source:
            self.info: SourceInfo = source.info

    def __iter__(self) -> Iterator[Frame]:
        count, offset_s, last_s = 0, 0.0, 0.0
        while True:
            before = count
            with open_source(self._spec) as source:
                for frame in source:
                    if self._frames is not None and count >= self._frames:
                        return
                    last_s = frame.time_s + offset_s
                    yield replace(frame, index=count, time_s=last_s)
                    count += 1
            if self._frames is None or count == before:
                return
            offset_s = last_s + _GAP_S


class _Recorder:
    """Encodes pictures, or throws results away; counts people."""

    def __init__(self, video: Path | None, info: SourceInfo) -> None:
        self.people = 0
        self._video = None
        if video is not None:
            from vipose.runtime.media.writer import VideoWriter

            self._video = VideoWriter(video, info.size, fps=info.fps)

    def write(self, picture: Picture | None, result: FrameResult) -> None:
        self.people += len(result.people)
        if self._video is not None and picture is not None:
            self._video.write(picture, result.time_s)

    def close(self, *, whole: bool) -> None:
        if self._video is not None and whole:
            self._video.close()
        elif self._video is not None:
            self._video.abort()


def bench_clip(
    clip: str,
    mode: Mode,
    *,
    config: PipelineConfig | None = None,
    frames: int | None = None,
    encode: bool = True,
    tick: Callable[[int], None] | None = None,
) -> list[ClipRow]:
    """Run a clip.

    Args:
        clip: a file or URL.
        mode: networks with a detector.
        config: of the pipeline, but for its smoothing.
        frames: how many; the clip is repeated until there are so many. None: the clip once.
        encode: also with drawing and H.264 encoding (into a temporary file).
        tick: told how many frames of the present run are done.

    Raises:
        InputError: no such clip, or one without a frame.
    """
    specs = expand_sources([clip])
    if len(specs) != 1:
        raise InputError(f"'{clip}' stands for {len(specs)} sources; give one clip")
    rows = [_decode(specs[0], frames, tick)]
    if rows[0].frames == 0:
        raise InputError(f"'{clip}' has no frame that can be decoded; give another clip")
    config = replace(config or PipelineConfig(), smoothing=False)
    rows.append(_run(specs[0], mode, config, frames, None, tick))
    if encode:
        with tempfile.TemporaryDirectory(prefix="vipose-bench-") as folder:
            rows.append(_run(specs[0], mode, config, frames, Path(folder) / "bench.mp4", tick))
    return rows


def _decode(spec: SourceSpec, frames: int | None, tick: Callable[[int], None] | None) -> ClipRow:
    sampler, count = _Sampler(), 0
    for _ in _Repeated(spec, frames):
        count += 1
        sampler.tick(count)
        if tick is not None:
            tick(count)
    return sampler.row("decode", count, None)


def _run(
    spec: SourceSpec,
    mode: Mode,
    config: PipelineConfig,
    frames: int | None,
    video: Path | None,
    tick: Callable[[int], None] | None,
) -> ClipRow:
    source = _Repeated(spec, frames)
    recorder = _Recorder(video, source.info)
    pipeline = Pipeline(mode, config)

    def annotate(frame: Frame, result: FrameResult, age_s: float) -> Picture:
        return draw(frame.image, build_overlay(result, mode.skeleton))

    sampler = _Sampler()

    def sample(tally: Tally) -> None:
        sampler.tick(tally.processed)
        if tick is not None:
            tick(tally.processed)

    ran = run_file(
        source, pipeline.process, ZeroPhase(), annotate if video else None, recorder, stop=threading.Event(), tick=sample
    )
    if ran.error is not None:
        raise ran.error
    if ran.interrupted:
        raise KeyboardInterrupt
    done = ran.tally.processed
    return sampler.row("pipeline + encode" if video else "pipeline", done, recorder.people / max(done, 1))


class _Sampler:
    """Wall clock, processor time and memory of one run."""

    def __init__(self) -> None:
        self._before = resident_mb()
        self._points: list[tuple[int, float]] = []
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def tick(self, frames: int) -> None:
        if frames % 10 == 0 and (now := resident_mb()) is not None:
            self._points.append((frames, now))

    def row(self, what: str, frames: int, people: float | None) -> ClipRow:
        seconds, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        after = resident_mb()
        memory = None
        if self._before is not None and after is not None:
            memory = Memory(self._before, after, memory_slope(self._points))
        return ClipRow(what, frames, seconds, cpu, people, memory)


def memory_slope(points: list[tuple[int, float]]) -> float | None:
    """Growth in KB per 1000 frames of (frame, MB) points: least squares over their second half."""
    late = np.array(points[len(points) // 2:], np.float64)
    if len(late) < 20:
        return None
    return float(np.polyfit(late[:, 0], late[:, 1], 1)[0] * 1e3 * 1e3)
