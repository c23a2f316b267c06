"""One source from opening to its report: the pipeline, the driver that suits it, the outputs, and the counts compared."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Literal

from vipose.runtime.detect import DetectorConfig
from vipose.runtime.drivers.common import Limits, Ran, Smoother, Tally
from vipose.runtime.drivers.file import run_file
from vipose.runtime.drivers.live import run_live
from vipose.runtime.errors import ViposeError
from vipose.runtime.media.base import Rotate, Source
from vipose.runtime.media.images import ImagesSource
from vipose.runtime.media.sources import SourceSpec, open_source
from vipose.runtime.modes import Mode
from vipose.runtime.options import RunOptions
from vipose.runtime.outputs import Targets
from vipose.runtime.overlay import OverlayStyle
from vipose.runtime.pipeline import Pipeline, PipelineConfig
from vipose.runtime.privacy import BlurConfig
from vipose.runtime.progress import Rate, Reporter
from vipose.runtime.recording import Artist, FrameRecorder, Look, PictureFolder, open_recorder
from vipose.runtime.report import SourceReport
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.show import Window
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.smooth import SmoothConfig, ZeroPhase
from vipose.runtime.types import FrameResult, SourceInfo

__all__ = [
    "Job",
    "artist_for",
    "blur_config",
    "count_errors",
    "detector_config",
    "expected_frames",
    "open_chosen",
    "pipeline_config",
    "run_job",
]

_ROTATIONS: Mapping[str, Rotate] = {"auto": "auto", "0": 0, "90": 90, "180": 180, "270": 270}


@dataclass(frozen=True)
class Job:
    """A source and where its outputs go.

    Attributes:
        name: what messages and the report call the source.
        spec: the source.
        targets: its outputs.
        identity: hash of input, graphs and options, "" where there is none.
        position, total: its place in the batch.
    """

    name: str
    spec: SourceSpec
    targets: Targets
    identity: str = ""
    position: int = 1
    total: int = 1


class _AsTheyCome:
    """No smoothing after the pipeline: each result goes on at once."""

    def push(self, result: FrameResult) -> list[FrameResult]:
        return [result]

    def finish(self) -> list[FrameResult]:
        return []


def run_job(
    job: Job,
    mode: Mode,
    options: RunOptions,
    *,
    reporter: Reporter,
    stop: threading.Event,
    window: Window | None = None,
) -> SourceReport:
    """Run one source to its end, or until ``stop``; outputs are valid in every case.

    Raises:
        ViposeError: it could not be begun; failures after that are in the report.
    """
    with ExitStack() as open_things:
        source = open_chosen(job.spec, options)
        open_things.callback(source.close)
        info = source.info
        reporter.begin(job.name, job.position, job.total, expected_frames(info, options))
        recorder = _open_recorder(job, mode, options, source)
        pipeline = Pipeline(mode, pipeline_config(options, live=info.live))
        rate = Rate()
        drawn = options.video or window is not None
        artist = artist_for(options, mode.skeleton, rate, live=info.live, notice=mode.provider.reason) if drawn else None
        tick = _Tick(reporter, rate, info.live)
        limits = Limits(options.queue_frames, options.queue_mb * 1e6)
        if info.live:
            ran = run_live(
                source, pipeline.process, artist, recorder,
                stop=stop, limits=limits, end_s=options.end, window=window, tick=tick,
            )  # fmt: skip
        else:
            ran = run_file(
                source, pipeline.process, _smoother(options), artist, recorder,
                stop=stop, limits=limits, window=window, tick=tick,
            )  # fmt: skip
        source.close()
        return _report(job, mode, source, recorder, ran)


def expected_frames(info: SourceInfo, options: RunOptions) -> int | None:
    """About how many frames will be processed, for the bar; None where nobody knows."""
    if info.live or info.frames is None:
        return None
    frames = float(info.frames)
    if info.fps:
        end = frames / info.fps if options.end is None else min(options.end, frames / info.fps)
        frames = (end - (options.start or 0.0)) * info.fps
    return max(1, round(frames / options.every))


def _smoothing(options: RunOptions, live: bool) -> Literal["off", "live", "file"]:
    """What is smoothed where: two passes need what comes later, which a live source does not have yet."""
    if options.smoothing == "off":
        return "off"
    return "live" if live or options.smoothing == "live" else "file"


def _smoother(options: RunOptions) -> Smoother:
    if _smoothing(options, live=False) == "file":
        return ZeroPhase(SmoothConfig(strength=options.smoothing_strength))
    return _AsTheyCome()


def open_chosen(spec: SourceSpec, options: RunOptions) -> Source:
    """Open a source as the options say; see :func:`vipose.runtime.media.sources.open_source` for what is raised."""
    return open_source(
        spec,
        rotate=_ROTATIONS[options.rotate],
        start_s=options.start,
        end_s=options.end,
        every=options.every,
        timeout_s=options.timeout,
        camera_size=options.camera_size,
        camera_fps=options.camera_fps,
    )


def blur_config(options: RunOptions) -> BlurConfig | None:
    """How heads are hidden, None where they are shown; a head stays hidden for as long as its track may come back."""
    return BlurConfig(keep_s=max(BlurConfig.keep_s, options.max_lost)) if options.head_blur else None


def artist_for(options: RunOptions, skeleton: Skeleton, rate: Rate, *, live: bool, notice: str) -> Artist:
    """Who draws as the options say; see :class:`Look` for ``live`` and ``notice``."""
    look = Look(blur_config(options), options.black_background, options.mirror, live, notice)
    return Artist(skeleton, look, rate, OverlayStyle(threshold=options.joint_threshold))


def pipeline_config(options: RunOptions, *, live: bool) -> PipelineConfig:
    """What the options say to the pipeline; ``live``: results are wanted at once, so smoothing must be causal."""
    return PipelineConfig(
        period=options.period,
        max_keys=options.max_keys,
        max_people=options.max_people,
        score_threshold=options.score_threshold,
        detect_every=options.detect_every,
        roi=options.roi,
        max_lost_s=options.max_lost,
        twice=options.twice,
        swap=options.swap,
        smoothing=_smoothing(options, live) == "live",
        smoothing_strength=options.smoothing_strength,
    )


def detector_config(options: RunOptions) -> DetectorConfig:
    """What the options say to the detector."""
    # The tracker goes on with detections half as sure as those that begin a track.
    return DetectorConfig(score=options.score_threshold / 2, pixels=options.detector_pixels or 0)


def _open_recorder(job: Job, mode: Mode, options: RunOptions, source: Source) -> FrameRecorder:
    info = source.info
    header = ResultHeader(
        source=info,
        skeleton=mode.skeleton.name,
        graphs=mode.graphs,
        settings=options.shaping() | {"identity": job.identity},
        provider=mode.provider.running,
    )
    return open_recorder(
        job.targets, header, options.save, audio_from=job.spec.path if info.audio else None,
        start_s=options.start or 0.0, end_s=options.end, timings=options.timings, pictures=_picture_folder(job.targets, source),
    )  # fmt: skip


def _picture_folder(targets: Targets, source: Source) -> PictureFolder | None:
    """Where annotated pictures go, under the names of the pictures that were read."""
    if targets.picture is not None:
        return PictureFolder(targets.picture.parent, {0: targets.picture.stem})
    if targets.folder is None:
        return None
    paths = source.paths if isinstance(source, ImagesSource) else ()
    stems = Counter(path.stem.casefold() for path in paths)
    names = {i: path.stem if stems[path.stem.casefold()] == 1 else path.name for i, path in enumerate(paths)}
    return PictureFolder(targets.folder, names)


class _Tick:
    """Tells the reporter how far the run is, and the artist how fast."""

    def __init__(self, reporter: Reporter, rate: Rate, live: bool) -> None:
        self._reporter, self._rate, self._live = reporter, rate, live

    def __call__(self, tally: Tally) -> None:
        self._rate.update(tally.processed)
        people = 0 if tally.last is None else len(tally.last.people)
        note = f"{people} {'person' if people == 1 else 'people'}"
        if self._live:
            note += f", age {tally.age_s * 1e3:.0f} ms, dropped {tally.dropped}"
        self._reporter.advance(tally.processed, note)


def count_errors(
    ran: Ran, *, source: Source, recorder: FrameRecorder, live: bool
) -> list[str]:
    """Compare the driver's own counts with what source, pipeline and outputs claim; a line for each that differs.

    A run that was stopped or failed has frames on their way; what left the pipeline must be in the outputs even then.
    """
    tally = ran.tally
    pairs: list[tuple[str, int, str, int]] = []
    if ran.error is None:
        pairs += [("processed", tally.processed, "written", tally.written)]
        pairs += [("processed", tally.processed, name, count) for name, count in recorder.counts.items()]
        if not ran.interrupted and not live:
            pairs += [
                ("handed out by the source", source.decoded - source.skipped, "received", tally.delivered),
                ("received", tally.delivered, "processed", tally.processed),
            ]
    if tally.last is not None:
        counters = tally.last.counters
        for name in ("key", "propagated", "forced", "swapped"):
            pairs.append((f"{name} as counted", getattr(tally, name), "by the pipeline", getattr(counters, name)))
    return [f"{a} {x}, {b} {y}" for a, x, b, y in pairs if x != y]


def _report(
    job: Job, mode: Mode, source: Source, recorder: FrameRecorder, ran: Ran
) -> SourceReport:
    tally, live = ran.tally, source.info.live
    error: ViposeError | None = ran.error
    wrong = count_errors(ran, source=source, recorder=recorder, live=live)
    if wrong and error is None:
        error = ViposeError(f"counts differ ({'; '.join(wrong)}); this is a fault of vipose, please report it")
    report = SourceReport(
        source=job.name,
        status="done",
        decoded=source.decoded,
        processed=tally.processed,
        written=tally.written,
        dropped=tally.dropped,
        people=len(tally.ids),
        key=tally.key,
        propagated=tally.propagated,
        forced=tally.forced,
        swapped=tally.swapped,
        seconds=round(ran.seconds, 3),
        fps=round(tally.processed / ran.seconds, 2) if ran.seconds > 0 else 0.0,
        age_ms=round(tally.age_s * 1e3, 1) if live else None,
        provider=str(mode.provider),
        outputs=tuple(str(path) for path in recorder.outputs()),
        identity=job.identity,
        notes=(*source.warnings, *recorder.warnings),
        path="" if job.spec.path is None else str(job.spec.path.resolve()),
    )
    if error is not None:
        return replace(report, status="partial" if tally.written else "failed", message=str(error))
    if ran.interrupted:
        return replace(report, status="interrupted", message="stopped by the user; files are valid up to here")
    return report
