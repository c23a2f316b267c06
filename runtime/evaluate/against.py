"""``vipose evaluate RESULT.jsonl --against REFERENCE.jsonl``: two native result files of one clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vipose.runtime.errors import InputError
from vipose.runtime.metrics.agreement import Agreement, RunMatch, compare_matched, match_runs
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.native import NativeResults, read_native

__all__ = ["AgainstReport", "evaluate_against"]


@dataclass(frozen=True)
class AgainstReport:
    """The comparison, the two files and what the user should know.

    Attributes:
        result, reference: paths.
        raw: keypoints as decoded were compared, not smoothed ones.
        agreement: the figures.
        notes: what the user should know, a line each.
        runs: the frames and who pairs with whom on them.
        result_header, reference_header: of the files.
    """

    result: str
    reference: str
    raw: bool
    agreement: Agreement
    notes: tuple[str, ...]
    runs: RunMatch
    result_header: ResultHeader
    reference_header: ResultHeader

    @property
    def total_ratio(self) -> float | None:
        """Mean time of a frame, result over reference; None without timings in both files."""
        return _ratio(self.agreement.result.total_ms, self.agreement.reference.total_ms)

    @property
    def pose_ratio(self) -> float | None:
        """The same for the time in pose graphs for each person."""
        return _ratio(self.agreement.result.pose_ms_per_person, self.agreement.reference.pose_ms_per_person)


def _ratio(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None


def evaluate_against(result: Path, reference: Path, *, raw: bool = False) -> AgainstReport:
    """Compare two native files.

    Args:
        result, reference: paths.
        raw: keypoints as decoded instead of smoothed.

    Raises:
        InputError: a file cannot be read, they have other skeletons or frame sizes, or no frame in common.
    """
    ours, theirs = read_native(reference), read_native(result)
    _check_fit(ours, theirs)
    runs = match_runs(ours, theirs, ours.header.joints, raw=raw)
    if not runs.frames:
        raise InputError(f"'{result}' and '{reference}' have no frame in common; give two results of one clip")
    agreement = compare_matched(runs)
    return AgainstReport(
        str(result), str(reference), raw, agreement, _notes(ours, theirs, agreement), runs, theirs.header, ours.header
    )


def _check_fit(reference: NativeResults, result: NativeResults) -> None:
    for what, ours, theirs in (
        ("skeleton", reference.header.skeleton, result.header.skeleton),
        ("frame size", reference.header.source.size, result.header.source.size),
    ):
        if ours != theirs:
            raise InputError(
                f"'{result.path}' has {what} {theirs} but '{reference.path}' has {ours}; give two results of one clip"
            )


def _notes(reference: NativeResults, result: NativeResults, agreement: Agreement) -> tuple[str, ...]:
    notes = [*reference.notes, *result.notes]
    names = Path(reference.header.source.name).name, Path(result.header.source.name).name
    if names[0] != names[1]:
        notes.append(f"the sources have different names ('{names[0]}', '{names[1]}'); is it the same clip?")
    if agreement.reference.total_ms is None or agreement.result.total_ms is None:
        notes.append("no cost ratio: at least one file holds no timings")
    return tuple(notes)
