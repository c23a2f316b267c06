"""The sheet of two result files of one clip: where they agree and where they differ, worst first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.evaluate.against import AgainstReport
from vipose.runtime.evaluate.moments import APART_S, Moment, rank_moments, spread_places
from vipose.runtime.evaluate.ranks import choose_rows
from vipose.runtime.evaluate.sheet import Legend, Tile, cut, draw_sheet
from vipose.runtime.media.base import Rotate
from vipose.runtime.media.seek import FrameReader
from vipose.runtime.metrics.agreement import SURE
from vipose.runtime.overlay import person_mark
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.types import FrameResult, PersonResult

__all__ = ["AgainstSheet", "draw_against"]

Image = npt.NDArray[np.uint8]
Grounds = dict[tuple[int, int], Image]
"""Crops by frame and id of the reference person."""
_SAME_S = 0.002  # containers that count milliseconds round a time by less


@dataclass(frozen=True)
class AgainstSheet:
    """A sheet.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        shown: people on frames that are on it.
        people: those that it was chosen from.
    """

    image: Image
    shown: int
    people: int


def draw_against(report: AgainstReport, clip: Path | None) -> AgainstSheet:
    """Draw people as the reference and as the result have them, from the worst pair to the best.

    Args:
        report: of the two files.
        clip: what both were made from (video, folder of pictures or one picture); None for skeletons on black.

    Raises:
        InputError: nobody is matched, or the clip cannot be read or does not fit the results.
    """
    people = rank_moments(report.runs)
    if not people:
        raise InputError(
            f"nobody in '{report.result}' pairs with somebody in '{report.reference}', so there is nothing to show; leave out --sheet"
        )
    rows = choose_rows(people, spread_places)
    shown = [moment for row in rows for moment in row.people]
    grounds = {} if clip is None else _cut_all(shown, clip, report)
    tiles = [row.shown_as(lambda moment: _tile(moment, grounds, report.raw)) for row in rows]
    return AgainstSheet(
        draw_sheet(tiles, report.reference_header.joints, _legend(report, people)), len(shown), len(people)
    )


def _tile(moment: Moment, grounds: Grounds, raw: bool) -> Tile:
    ids = str(moment.reference.id)
    if moment.result.id != moment.reference.id:
        ids += f" as {moment.result.id}"
    return Tile(
        moment.reference.box.astype(np.float64), _points(moment.reference, raw), _points(moment.result, raw), moment.oks,
        f"frame {moment.index}, {moment.time_s:.2f} s", f", id {ids}, {person_mark(moment.result)}",
        grounds.get((moment.index, moment.reference.id)),
    )  # fmt: skip


def _points(person: PersonResult, raw: bool) -> npt.NDArray[np.float32]:
    """What was compared. The scores are those of the raw joints in both cases: they decide which joints count."""
    points = (person.keypoints if raw else person.smoothed).copy()
    # A joint that was not finite comes back from a file with score 0, and lies nowhere.
    points[:, 2] = np.where(person.keypoints[:, 2] > 0, person.keypoints[:, 2], np.nan)
    return points


def _legend(report: AgainstReport, people: Sequence[Moment]) -> Legend:
    """How the two files were made, the figure, and how to read the tiles."""
    frames = report.runs.frames
    result = _run_name(report.result_header, report.result, (frame.result for frame in frames))
    reference = _run_name(report.reference_header, report.reference, (frame.reference for frame in frames))
    clip = Path(report.result_header.source.name).name or "clip"
    propagated = people[0].result.kind == "propagated"
    mean = sum(moment.oks for moment in people) / len(people)
    who = "propagated people" if propagated else "people"
    return Legend(
        f"{clip}: {result} against {reference}, mean OKS {mean:.2f} of {len(people)} {who} on frames"
        + (" (raw joints)" if report.raw else ""),
        "left the reference, right the result",
        f"Near evenly spaced ranks by OKS (joints of the reference from {SURE:g} on count), in a row {APART_S:g} s apart where "
        "possible. K: key frame, P2: two frames after it. 3 as 2: id 3 of the reference is 2 of the result.",
        SURE,
    )


def _run_name(header: ResultHeader, path: str, frames: Iterable[FrameResult]) -> str:
    """The mode and its period; of graphs, folders and files without where they lie, since sheets are published."""
    mode, period = header.settings.get("mode"), header.settings.get("period")
    name = Path(mode).name if isinstance(mode, str) and mode else Path(path).name
    if not isinstance(period, int):  # the mode's own: the people show it
        period = 1 + max((person.phase for frame in frames for person in frame.people), default=0)
    return f"{name} period {period}" if period > 1 else name


# The clip


def _cut_all(moments: Sequence[Moment], clip: Path, report: AgainstReport) -> Grounds:
    """The crop of every moment; frames are read in the order of the clip, each once."""
    by_frame: dict[int, list[Moment]] = {}
    for moment in moments:
        by_frame.setdefault(moment.index, []).append(moment)
    grounds: Grounds = {}
    with _open_clip(clip, report) as reader:
        for index in sorted(by_frame):
            picture = reader.frame(index).image
            for moment in by_frame[index]:
                grounds[index, moment.reference.id] = cut(picture, moment.reference.box)
    return grounds


def _open_clip(path: Path, report: AgainstReport) -> FrameReader:
    """The clip, once it is known to fit; raises InputError."""
    said = str(report.result_header.settings.get("rotate", "auto"))
    rotate = cast(Rotate, int(said)) if said in ("0", "90", "180", "270") else "auto"
    for thorough in (False, True):  # a video may hold less than its container says
        reader = FrameReader(path, rotate, thorough=thorough)
        misfit = _misfit(reader, report)
        if not misfit:
            return reader
        reader.close()
        if reader.info.kind != "video":
            break
    raise InputError(f"'{path}' {misfit}; give the clip that the results were made from")


def _misfit(reader: FrameReader, report: AgainstReport) -> str:
    """What is different about a clip, "" where nothing is."""
    frames = [frame.result for frame in report.runs.frames]
    size, count, source = frames[0].size, len(reader), report.result_header.source
    if reader.info.size != size:
        return f"has frames of {_by(reader.info.size)} but the results are of {_by(size)}"
    if frames[-1].index >= count:
        return f"has {count} frames but the results go up to frame {frames[-1].index}"
    if source.frames is not None and count > source.frames:
        return f"has {count} frames but the results' source had {source.frames}"
    indices, times = np.array([frame.index for frame in frames]), np.array([frame.time_s for frame in frames])
    off = np.abs(reader.times_s[indices] - times) > _SAME_S
    if off.any():
        first = int(off.argmax())
        index = int(indices[first])
        return f"has frame {index} at {reader.times_s[index]:.3f} s but the results have it at {times[first]:.3f} s"
    return ""


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
