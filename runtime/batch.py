"""Many sources, one after the other, through graphs that are loaded once. A bad one is reported and the rest is done."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vipose.runtime.errors import InputError, OutputError, ViposeError
from vipose.runtime.identity import content_sha256, run_identity
from vipose.runtime.job import Job, detector_config, run_job
from vipose.runtime.media.images import list_images
from vipose.runtime.media.sources import SourceSpec, expand_sources, without_password
from vipose.runtime.modes import Mode, load_mode
from vipose.runtime.options import RunOptions
from vipose.runtime.outputs import Targets, Wanted, check_writable, plan_targets
from vipose.runtime.progress import Reporter
from vipose.runtime.providers import ProviderReport
from vipose.runtime.report import BatchReport, SourceReport, read_report, write_report
from vipose.runtime.results.formats import format_class, output_path
from vipose.runtime.show import Window

__all__ = [
    "Batch",
    "beside_videos",
    "expected_outputs",
    "find_sources",
    "load_networks",
    "run_batch",
    "shown_name",
    "source_key",
    "wanted_names",
]


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
    """
    items = find_sources(texts, recursive=options.recursive)
    found = [item for item in items if isinstance(item, SourceSpec)]
    items += beside_videos(texts, found)
    targets = plan_targets([wanted_names(spec) for spec in found], options.output, video=options.video)
    if not found:
        return BatchReport(tuple(item for item in items if isinstance(item, SourceReport)))
    reports: list[SourceReport] = []
    with Batch(options) as batch:
        if batch.provider.fell_back:
            reporter.say(f"running on {batch.provider}")
        for item in items:
            if isinstance(item, SourceReport):
                reporter.end(f"{item.source}: {item.line()}")
                reports.append(item)
            elif stop.is_set():
                reports.append(not_begun(item))
            else:
                at = found.index(item)
                reports.append(
                    batch.one(
                        item, targets[at], reporter=reporter, stop=stop, window=window, position=at + 1, total=len(found)
                    )
                )
    return BatchReport(tuple(reports))


class Batch:
    """Networks that are loaded once and run source after source: a bad one is reported, and the next may follow.

    Close it when done, or use it as a context manager. All calls from one thread.

    Args:
        options: of all sources; ``output`` has no meaning here, outputs are named by who calls :meth:`one`.

    Raises:
        UsageError: options do not fit the networks.
        ModelError: the networks cannot be loaded.
    """

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self._mode = load_networks(options)

    @property
    def provider(self) -> ProviderReport:
        """What runs the pose graphs."""
        return self._mode.provider

    def one(
        self,
        spec: SourceSpec,
        targets: Targets,
        *,
        reporter: Reporter,
        stop: threading.Event,
        window: Window | None = None,
        position: int = 1,
        total: int = 1,
    ) -> SourceReport:
        """Run one source to its end or until ``stop``; its outputs are valid then, and what goes wrong is in the report.

        Args:
            spec: the source.
            targets: its outputs, of :func:`plan_targets` or :class:`OutputNames`.
            reporter: told how it goes.
            stop: set it from anywhere to end this source.
            window: shows annotated frames.
            position, total: its place among others, for the reporter.
        """
        job = Job(shown_name(spec.text), spec, targets, position=position, total=total)
        try:
            report = self._run(job, reporter, stop, window)
        except ViposeError as error:
            report = SourceReport(job.name, "failed", str(error))
        except OSError as error:
            report = SourceReport(job.name, "failed", f"{error.strerror or error}; check folders and permissions")
        reporter.end(report.line())
        return report

    def close(self) -> None:
        """Free the networks; safe to call twice."""
        self._mode.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, job: Job, reporter: Reporter, stop: threading.Event, window: Window | None) -> SourceReport:
        job = replace(job, identity=self._identity(job.spec, stop))
        if stop.is_set():  # while a large file was read for its identity
            return not_begun(job.spec)
        if reason := self._reason_to_skip(job):
            return SourceReport(job.name, "skipped", reason, identity=job.identity)
        check_writable(job.targets)
        before = read_report(job.targets.report)
        job.targets.report.unlink(missing_ok=True)  # what it says holds no longer from here on
        report = run_job(job, self._mode, self.options, reporter=reporter, stop=stop, window=window)
        if report.status == "done":
            report = _without_stale(before, job.targets.base, self.options.save, report)
        return _recorded(job.targets.report, report)

    def _identity(self, spec: SourceSpec, stop: threading.Event) -> str:
        """"" for cameras and URLs, whose content is another one each time."""
        if spec.path is None:
            return ""
        return run_identity(content_sha256(_files(spec.path), stop), self._mode.graphs, self.options.shaping())

    def _reason_to_skip(self, job: Job) -> str:
        """Why this source need not be done, "" where it must; raises OutputError where outputs may not be replaced."""
        policy = self.options.existing
        expected = expected_outputs(job.targets, self.options)
        if policy == "fail":
            there = [path for path in expected if path.exists()]
            if there:
                raise OutputError(
                    f"'{there[0]}' exists already; choose another output folder, or let it be overwritten (--existing)"
                )
        if policy == "skip" and all(path.exists() for path in expected):
            return "its outputs exist"
        if policy == "resume" and job.identity:
            before = read_report(job.targets.report)
            finished = before.get("status") == "done" and before.get("identity") == job.identity
            if finished and all(Path(path).exists() for path in (*before.get("outputs", ()), *expected)):
                return "done already with the same input, graphs and options"
        return ""


def load_networks(options: RunOptions) -> Mode:
    """The networks that the options name; raises UsageError or ModelError."""
    return load_mode(
        options.mode,
        detector=options.detector,
        device=options.device,  # type: ignore[arg-type]  # the table of options has checked it
        threads=options.threads,
        period=options.period,
        precision=options.precision,
        detector_config=detector_config(options),
    )


def find_sources(texts: Sequence[str], *, recursive: bool) -> list[SourceSpec | SourceReport]:
    """In the order named: sources, each once, and a report for each text that names none.

    Args:
        texts: as the user names them.
        recursive: look into folders inside folders.

    Videos that an earlier run wrote and that lie among the sources of a folder, a pattern or a list are reported as skipped.

    Raises:
        UsageError: a text is empty.
    """
    items: list[SourceSpec | SourceReport] = []
    seen: set[str] = set()
    for text in texts:
        lines: list[InputError] = []
        try:
            specs = expand_sources([text], recursive=recursive, failed=lines)
        except InputError as error:
            lines, specs = [error], []
        items += [SourceReport(shown_name(text), "failed", str(error)) for error in lines]
        for spec in specs:
            if source_key(spec) in seen:
                continue
            seen.add(source_key(spec))
            written = spec.text != text and _is_own_output(spec.path)
            items.append(SourceReport(shown_name(spec.text), "skipped", "vipose wrote it; name it to run it") if written else spec)
    return items


def beside_videos(texts: Sequence[str], specs: Sequence[SourceSpec]) -> list[SourceReport]:
    """A report, skipped, for every folder among ``texts`` whose pictures are no source, since there are videos too.

    Args:
        texts: as the user names them.
        specs: what they came to.
    """
    named = [Path(text).expanduser() for text in texts]
    roots = [path for path in named if path.is_dir()]
    videos = [spec.path.parent for spec in specs if spec.kind == "video" and spec.path is not None and spec.path not in named]
    folders = dict.fromkeys(folder for folder in videos if any(folder.is_relative_to(root) for root in roots))
    taken = {source_key(spec) for spec in specs}
    counts = {
        folder: sum(str(picture.resolve()) not in taken and not _is_own_output(picture) for picture in list_images(folder))
        for folder in folders
    }
    return [
        SourceReport(
            f"{count} {'picture' if count == 1 else 'pictures'} in {folder}", "skipped",
            f"of a folder with videos only these are taken; name pictures to run them, as '{folder / '*.jpg'}' does",
        )
        for folder, count in counts.items() if count
    ]  # fmt: skip


def _is_own_output(path: Path | None) -> bool:
    """Whether the record of a run beside a file lists it: found in a folder, it is nobody's clip to be annotated again."""
    if path is None or path.is_dir():
        return False
    listed = read_report(Targets(path.with_suffix("")).report).get("outputs")
    return isinstance(listed, list) and path.name in (Path(str(each)).name for each in listed)


def source_key(spec: SourceSpec) -> str:
    """The same for two spellings of one source."""
    return spec.text if spec.path is None else str(spec.path.resolve())


def not_begun(spec: SourceSpec) -> SourceReport:
    """What is said of a source that was not reached before the stop."""
    return SourceReport(shown_name(spec.text), "interrupted", "not begun")


def wanted_names(spec: SourceSpec) -> Wanted:
    """A source, as far as naming its outputs goes."""
    if spec.path is None:
        return Wanted(_safe(spec.text), None)
    if spec.kind != "images":
        return Wanted(spec.path.stem, spec.path)
    if spec.path.is_dir():
        return Wanted(spec.path.resolve().name or "pictures", spec.path, "folder")
    return Wanted(spec.path.stem, spec.path, "picture")


def shown_name(text: str) -> str:
    """A source as people may see it: an address without user and password."""
    return without_password(text)


def _safe(text: str) -> str:
    """A camera or an address as a file name."""
    return re.sub(r"[^\w.-]+", "-", shown_name(text)).strip("-.")[:80] or "source"


def _files(path: Path) -> list[Path]:
    """The files that make up a source."""
    return list_images(path) if path.is_dir() else [path]


def _without_stale(
    before: Mapping[str, Any], base: Path, formats: Sequence[str], report: SourceReport
) -> SourceReport:
    """Delete files of single people that an earlier run wrote here and this one did not: its people are others.

    Returns the report, with a note on each that cannot be deleted.

    Args:
        before: record of the earlier run.
        base: path of the outputs without suffix.
        formats: that were written now; files of others stay.
        report: of this run.
    """
    kinds = [format_class(name) for name in formats]
    suffixes = [re.escape(kind.suffix) for kind in kinds if not kind.targets(base)]  # one file a person
    ours = re.compile(rf"{re.escape(base.name)}_\d+({'|'.join(suffixes)})")
    written = {Path(path).name for path in report.outputs}
    listed = before.get("outputs")
    for path in listed if suffixes and isinstance(listed, list) else ():
        name = Path(str(path)).name
        if ours.fullmatch(name) and name not in written:
            try:
                base.with_name(name).unlink(missing_ok=True)
            except OSError as error:
                note = f"'{base.with_name(name)}' is of an earlier run and cannot be deleted ({error.strerror})"
                report = replace(report, notes=(*report.notes, note))
    return report


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
