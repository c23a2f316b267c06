"""Many sources, one after the other, through graphs that are loaded once. A bad one is reported and the rest is done."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vipose.runtime.detect import DetectorConfig
from vipose.runtime.errors import InputError, OutputError, ViposeError
from vipose.runtime.identity import content_sha256, run_identity
from vipose.runtime.job import Job, run_job
from vipose.runtime.media.images import list_images
from vipose.runtime.media.sources import SourceSpec, expand_sources
from vipose.runtime.modes import Mode, load_mode
from vipose.runtime.options import RunOptions
from vipose.runtime.outputs import Targets, Wanted, check_writable, plan_targets
from vipose.runtime.progress import Reporter
from vipose.runtime.report import BatchReport, SourceReport, read_report, write_report
from vipose.runtime.results.formats import format_class, output_path
from vipose.runtime.show import Window

__all__ = ["load_networks", "run_batch"]


def run_batch(
    texts: Sequence[str],
    options: RunOptions,
    *,
    reporter: Reporter,
    stop: threading.Event,
    window: Window | None = None,
) -> BatchReport:
    """Run every source.

    Args:
        texts: sources as the user names them: files, globs, folders, list files, cameras, URLs.
        options: of the run.
        reporter: told how it goes.
        stop: set it from anywhere to end the batch; outputs are valid then.
        window: shows annotated frames.

    Raises:
        UsageError: options contradict each other or do not fit the sources.
        ModelError: the networks cannot be loaded.
        InputError: no source was named.
    """
    items = _expand(texts, options)
    found = [item for item in items if isinstance(item, SourceSpec)]
    targets = plan_targets([_wanted(spec) for spec in found], options.output, video=options.video)
    if not found:
        return BatchReport(tuple(item for item in items if isinstance(item, SourceReport)))
    mode = load_networks(options)
    if mode.provider.fell_back:
        reporter.say(f"running on {mode.provider}")
    batch = _Batch(mode, options, reporter, stop, window)
    reports: list[SourceReport] = []
    try:
        for item in items:
            if isinstance(item, SourceReport):
                reporter.end(f"{item.source}: {item.line()}")
                reports.append(item)
            elif stop.is_set():
                reports.append(SourceReport(_shown(item.text), "interrupted", "not begun"))
            else:
                position = found.index(item)
                reports.append(batch.one(item, targets[position], position + 1, len(found)))
    finally:
        mode.close()
    return BatchReport(tuple(reports))


def load_networks(options: RunOptions) -> Mode:
    """The networks that the options name; raises UsageError or ModelError."""
    return load_mode(
        options.mode,
        detector=options.detector,
        device=options.device,  # type: ignore[arg-type]  # the table of options has checked it
        threads=options.threads,
        period=options.period,
        precision=options.precision,
        # The tracker goes on with detections half as sure as those that begin a track.
        detector_config=DetectorConfig(score=options.score_threshold / 2),
    )


def _expand(texts: Sequence[str], options: RunOptions) -> list[SourceSpec | SourceReport]:
    """In the order named: sources, each once, and a report for each text that names none."""
    items: list[SourceSpec | SourceReport] = []
    seen: set[str] = set()
    for text in texts:
        lines: list[InputError] = []
        try:
            specs = expand_sources([text], recursive=options.recursive, failed=lines)
        except InputError as error:
            lines, specs = [error], []
        items += [SourceReport(_shown(text), "failed", str(error)) for error in lines]
        for spec in specs:
            key = spec.text if spec.path is None else str(spec.path.resolve())
            if key not in seen:
                seen.add(key)
                items.append(spec)
    return items


def _wanted(spec: SourceSpec) -> Wanted:
    if spec.path is None:
        return Wanted(_safe(spec.text), None)
    if spec.kind != "images":
        return Wanted(spec.path.stem, spec.path)
    if spec.path.is_dir():
        return Wanted(spec.path.resolve().name or "pictures", spec.path, "folder")
    return Wanted(spec.path.stem, spec.path, "picture")


def _shown(text: str) -> str:
    """A source as people may see it: an address without user and password."""
    return re.sub(r"(?<=://)[^/@]*@", "", text)


def _safe(text: str) -> str:
    """A camera or an address as a file name."""
    return re.sub(r"[^\w.-]+", "-", _shown(text)).strip("-.")[:80] or "source"


def _files(path: Path) -> list[Path]:
    """The files that make up a source."""
    return list_images(path) if path.is_dir() else [path]


@dataclass(frozen=True)
class _Batch:
    mode: Mode
    options: RunOptions
    reporter: Reporter
    stop: threading.Event
    window: Window | None

    def one(self, spec: SourceSpec, targets: Targets, position: int, total: int) -> SourceReport:
        """One source; what goes wrong is in the report."""
        report = self._guarded(spec, targets, position, total)
        self.reporter.end(report.line())
        return report

    def _guarded(self, spec: SourceSpec, targets: Targets, position: int, total: int) -> SourceReport:
        try:
            job = Job(_shown(spec.text), spec, targets, self._identity(spec), position, total)
            if reason := self._reason_to_skip(job):
                return SourceReport(_shown(spec.text), "skipped", reason, identity=job.identity)
            check_writable(targets)
            targets.report.unlink(missing_ok=True)  # what it says holds no longer from here on
            report = run_job(
                job, self.mode, self.options, reporter=self.reporter, stop=self.stop, window=self.window
            )
            return _recorded(targets.report, report)
        except ViposeError as error:
            return SourceReport(_shown(spec.text), "failed", str(error))
        except OSError as error:
            return SourceReport(_shown(spec.text), "failed", f"{error.strerror or error}; check folders and permissions")

    def _identity(self, spec: SourceSpec) -> str:
        """"" for cameras and URLs, whose content is another one each time."""
        if spec.path is None:
            return ""
        return run_identity(content_sha256(_files(spec.path)), self.mode.graphs, self.options.shaping())

    def _reason_to_skip(self, job: Job) -> str:
        """Why this source need not be done, "" where it must; raises OutputError where outputs may not be replaced."""
        policy = self.options.existing
        expected = expected_outputs(job.targets, self.options)
        if policy == "fail":
            there = [path for path in expected if path.exists()]
            if there:
                raise OutputError(f"'{there[0]}' exists already; choose another -o, or --existing overwrite")
        if policy == "skip" and all(path.exists() for path in expected):
            return "its outputs exist"
        if policy == "resume" and job.identity:
            before = read_report(job.targets.report)
            finished = before.get("status") == "done" and before.get("identity") == job.identity
            if finished and all(Path(path).exists() for path in (*before.get("outputs", ()), *expected)):
                return "done already with the same input, graphs and options"
        return ""


def _recorded(path: Path, report: SourceReport) -> SourceReport:
    """Write the report beside the outputs; where that fails, what it says of the run stays true."""
    try:
        write_report(path, report)
    except OutputError as error:
        if report.status == "done":
            return replace(report, status="partial", message=str(error))
        return replace(report, notes=(*report.notes, str(error)))
    return report


def expected_outputs(targets: Targets, options: RunOptions) -> list[Path]:
    """Files and folders that a run writes, as far as they are known beforehand."""
    paths = [path for path in (targets.video, targets.picture, targets.folder) if path is not None]
    for name in options.save:
        paths += format_class(name).targets(output_path(name, targets.base))
    return paths
