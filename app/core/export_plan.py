"""What is to be exported and where to: names of outputs, what they would replace, and what must be left alone."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from vipose.app.core.footage import results_name
from vipose.app.core.stored import StoredResults
from vipose.runtime.errors import UsageError
from vipose.runtime.overlay import OverlayStyle
from vipose.runtime.privacy import BlurConfig
from vipose.runtime.results.formats import FORMATS, format_class
from vipose.runtime.results.writing import WriterOptions
from vipose.runtime.types import FrameResult

__all__ = ["PICTURES", "VIDEO", "ExportPlan", "check_plan", "completed", "loses", "replaced", "suggested"]

VIDEO, PICTURES = "video", "pictures"
"""Kinds of export beside the names in ``FORMATS``."""


@dataclass(frozen=True)
class ExportPlan:
    """One export.

    Attributes:
        stored: the results.
        kind: a result format, :data:`VIDEO` or :data:`PICTURES`.
        target: file, or folder for pictures and OpenPose; formats with a file a person put the id before its suffix.
        people: ids to keep; None for all. Frames stay, empty ones too.
        video: whose pictures are drawn on; None for black.
        options: of a result format.
        style: of drawn pictures.
        head_blur: how heads are hidden, of everybody and not only of the people kept; None shows them.
        black, mirror: as for a run.

    Raises:
        UsageError: the kind is not known, or nobody is kept.
    """

    stored: StoredResults
    kind: str
    target: Path
    people: frozenset[int] | None = None
    video: Path | None = None
    options: WriterOptions = field(default_factory=WriterOptions)
    style: OverlayStyle = field(default_factory=OverlayStyle)
    head_blur: BlurConfig | None = None
    black: bool = False
    mirror: bool = False

    def __post_init__(self) -> None:
        if self.kind not in (VIDEO, PICTURES):
            format_class(self.kind)
        if self.people is not None and not self.people and self.stored.people:
            raise UsageError("nobody is chosen; tick at least one person")

    def chosen(self, result: FrameResult) -> FrameResult:
        """The result with the people who are kept."""
        if self.people is None:
            return result
        return replace(result, people=tuple(person for person in result.people if person.id in self.people))


def loses(kind: str) -> str:
    """What an output of this kind does not hold, in words."""
    return FORMATS[kind].loses if kind in FORMATS else "everything but what is drawn"


def suggested(stored: StoredResults, kind: str, folder: Path | None = None) -> Path:
    """A name for an export that is free of the input, beside it or in a folder."""
    folder, base = folder or stored.path.parent, results_name(stored.path)
    if kind == VIDEO:
        return folder / f"{base}-annotated.mp4"
    if kind == PICTURES:
        return folder / f"{base}-pictures"
    suffix = format_class(kind).suffix
    path = folder / f"{base}{suffix}"
    return folder / f"{base}-copy{suffix}" if _same(path, stored.path) else path


def completed(kind: str, target: Path) -> Path:
    """A name that was typed without an ending, with the one of its kind: without it nothing would open the file again."""
    ending = ".mp4" if kind == VIDEO else "" if kind == PICTURES else format_class(kind).suffix
    return target if target.suffix or not ending.startswith(".") or target.is_dir() else target.with_name(target.name + ending)


def replaced(plan: ExportPlan) -> tuple[Path, ...]:
    """Files and folders that exist and would be replaced, in whole or in part."""
    return tuple(path for path in _targets(plan) if _holds_something(path))


def check_plan(plan: ExportPlan) -> None:
    """Raise UsageError where an output would replace its own input."""
    inputs = [path for path in (plan.stored.path, plan.video) if path is not None]
    for target in _targets(plan):
        for path in (target, target.with_name(target.name + ".part")):
            if any(_same(path, given) for given in inputs):
                raise UsageError(f"'{path}' is what is exported from; give the output another name")


def _targets(plan: ExportPlan) -> tuple[Path, ...]:
    if plan.kind in (VIDEO, PICTURES):
        return (plan.target,)
    writer = format_class(plan.kind)
    targets = writer.targets(plan.target)
    if targets:
        return targets
    suffix = writer.suffix if plan.target.name.endswith(writer.suffix) else plan.target.suffix
    stem = plan.target.name.removesuffix(suffix)
    ids = [person.id for person in plan.stored.people if plan.people is None or person.id in plan.people]
    return tuple(plan.target.with_name(f"{stem}_{identity}{suffix}") for identity in ids)


def _holds_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and os.path.samefile(one, other)
