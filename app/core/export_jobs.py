"""The work of an export: results in another format, or pictures drawn anew, whole under their names or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from vipose.app.core.export_plan import PICTURES, VIDEO, ExportPlan
from vipose.app.core.footage import Footage, HeadsAt
from vipose.runtime.errors import OutputError
from vipose.runtime.media.decode import reason
from vipose.runtime.media.writer import VideoWriter
from vipose.runtime.progress import Rate
from vipose.runtime.recording import Artist, Look, Picture, PictureFolder
from vipose.runtime.results.formats import format_class
from vipose.runtime.types import Frame, FrameResult

__all__ = ["Advance", "export"]

Advance = Callable[[int], None]
"""Told how many frames are done; raises :class:`~vipose.runtime.media.seek.Interrupted` to cancel."""
Exported = tuple[tuple[Path, ...], tuple[str, ...]]
"""Paths that were written, and notes, a line each."""
_USUAL_FPS = 25.0


def export(plan: ExportPlan, advance: Advance, cancelled: Callable[[], bool]) -> Exported:
    """Do it.

    Raises:
        Interrupted: it was cancelled; nothing of it is left, and what had the name before is still there.
        InputError: the results cannot be read; as for cancelling.
        OutputError: it cannot be written; what the format can keep valid is kept.
        UsageError: an option means nothing, or the extra of a format is not installed.
    """
    if plan.kind == VIDEO:
        return _video(plan, advance, cancelled)
    if plan.kind == PICTURES:
        return _pictures(plan, advance, cancelled)
    return _results(plan, advance)


def _results(plan: ExportPlan, advance: Advance) -> Exported:
    writer = format_class(plan.kind)(plan.target, plan.stored.header, plan.options)
    try:
        for position in range(len(plan.stored)):
            advance(position)
            writer.write(plan.chosen(plan.stored.result(position)))
        advance(len(plan.stored))
    except OutputError:
        raise  # the writer has completed what it could
    except BaseException:
        writer.discard()
        raise
    writer.close()
    return writer.paths, plan.stored.warnings


def _video(plan: ExportPlan, advance: Advance, cancelled: Callable[[], bool]) -> Exported:
    with closing(Footage(plan.stored, plan.video, cancelled)) as footage:
        size = footage.sized(plan.stored.result(0)).size
        start_s, end_s = _sound(plan, footage)
        writer = VideoWriter(
            plan.target, size, fps=_rate(plan, footage), audio_from=plan.video if footage.audio_fits else None,
            start_s=start_s, end_s=end_s,
        )  # fmt: skip
        try:
            for picture, result in _drawn(plan, footage, advance):
                writer.write(picture, result.time_s)
        except OutputError:
            writer.abort()
            raise
        except BaseException:
            writer.discard()
            raise
        writer.close()
        return (plan.target,), (*_footage_notes(plan, footage), *writer.warnings)


def _pictures(plan: ExportPlan, advance: Advance, cancelled: Callable[[], bool]) -> Exported:
    """Into a folder beside the final one first, so that a cancelled export leaves nothing behind."""
    part = plan.target.with_name(plan.target.name + ".part")
    with closing(Footage(plan.stored, plan.video, cancelled)) as footage:
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            folder = PictureFolder(part)
            for picture, result in _drawn(plan, footage, advance):
                folder.write(picture, result.index)
            _move_in(part, plan.target)
        except OSError as error:
            raise OutputError(f"'{plan.target}' cannot be written ({reason(error)}); choose another folder") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return (plan.target,), _footage_notes(plan, footage)


def _move_in(part: Path, target: Path) -> None:
    """Give a finished folder its name; of one that exists, files of the same names are replaced."""
    if not target.exists():
        os.replace(part, target)
        return
    for file in sorted(part.iterdir()):
        os.replace(file, target / file.name)


def _drawn(plan: ExportPlan, footage: Footage, advance: Advance) -> Iterator[tuple[Picture, FrameResult]]:
    """Each annotated picture with its result; tells how far it is."""
    look = Look(black=plan.black, mirror=plan.mirror)
    artist = Artist(plan.stored.header.joints, look, Rate(), plan.style)
    heads = None if plan.head_blur is None else HeadsAt(plan.stored, plan.head_blur)
    for position in range(len(plan.stored)):
        advance(position)
        result = footage.sized(plan.stored.result(position))
        if plan.black:  # nothing of the video is seen: it need not be decoded
            width, height = result.size
            frame = Frame(result.index, result.time_s, np.zeros((height, width, 3), np.uint8))
        else:
            frame = footage.frame(position, result)
            if heads is not None:
                frame = replace(frame, image=heads.hide(frame.image, position, result))
        yield artist(frame, plan.chosen(result), 0.0), result
    advance(len(plan.stored))


def _footage_notes(plan: ExportPlan, footage: Footage) -> tuple[str, ...]:
    """What the user should know about the pictures, a line each."""
    notes = [*plan.stored.warnings, footage.note]
    if footage.missing:
        notes.append(f"{footage.missing} pictures could not be read from the video; they are black")
    return tuple(note for note in notes if note)


def _rate(plan: ExportPlan, footage: Footage) -> float:
    """Nominal frames a second of the output, for rate control."""
    times = plan.stored.times_s
    if len(times) > 1 and times[-1] > times[0]:
        return float((len(times) - 1) / (times[-1] - times[0]))
    return (footage.info.fps if footage.info is not None else None) or _USUAL_FPS


def _sound(plan: ExportPlan, footage: Footage) -> tuple[float, float | None]:
    """The stretch of sound that goes with the results: all of it where they cover the video."""
    stored, info = plan.stored, footage.info
    start_s = float(stored.times_s[0]) if stored.indices[0] > 0 else 0.0
    if info is None or info.frames is None or stored.indices[-1] >= info.frames - 1:
        return start_s, None
    return start_s, float(stored.times_s[-1]) + 1 / _rate(plan, footage)
