"""The pictures that belong to stored results: which video they are in, and which picture goes with which result."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from vipose.app.core.stored import StoredResults
from vipose.runtime.errors import InputError
from vipose.runtime.media.base import Rotate
from vipose.runtime.media.images import IMAGE_SUFFIXES
from vipose.runtime.media.pixels import resized
from vipose.runtime.media.seek import FrameReader
from vipose.runtime.media.sources import VIDEO_SUFFIXES
from vipose.runtime.privacy import BlurConfig, HeadBlur
from vipose.runtime.results.formats import FORMATS
from vipose.runtime.types import Frame, FrameResult, SourceInfo

__all__ = ["Footage", "HeadsAt", "find_video", "results_beside", "results_name"]

Image = npt.NDArray[np.uint8]
_SAME_S = 0.002  # containers that count milliseconds round a time by less


def results_name(path: Path) -> str:
    """The name that a run gives all its outputs: without the suffix of any format."""
    name = path.name.removesuffix(".part")
    for suffix in sorted((writer.suffix for writer in FORMATS.values()), key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(name).stem


def find_video(stored: StoredResults) -> tuple[Path | None, bool]:
    """The video, picture or folder of pictures that results were made from.

    It is looked for under the name in the header (as it is, beside the results, in the folder above, from the working
    folder), then under the same file name beside the results, then under the results' own name beside them: a recording, or
    the video that a run wrote.

    Returns:
        Its path or None, and whether it is the source itself.
    """
    source, folder = stored.header.source, stored.path.parent
    if source.kind in ("video", "images") and source.name:
        named = Path(os.path.expanduser(source.name))  # pathlib raises for a user that is not known
        for candidate in (folder / named, folder.parent / named, named, folder / named.name):
            if candidate != stored.path and not _was_drawn(stored, candidate) and _is_footage(candidate):
                return candidate, True
    base = results_name(stored.path)
    for suffix in sorted(VIDEO_SUFFIXES, key=lambda suffix: (suffix != ".mp4", suffix)):
        if (folder / f"{base}{suffix}").is_file():
            return folder / f"{base}{suffix}", False
    return None, False


def _was_drawn(stored: StoredResults, path: Path) -> bool:
    """Whether the run that made the results drew this video: it has their name, also where the source was called the same."""
    beside = path.parent == stored.path.parent and path.stem == results_name(stored.path)
    return beside and stored.header.settings.get("video") is True


def _is_footage(path: Path) -> bool:
    if path.is_dir():
        return any(inside.suffix.lower() in IMAGE_SUFFIXES for inside in path.iterdir())
    return path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES


def results_beside(video: Path) -> Path | None:
    """The native results beside a video, under its name; None where there are none."""
    beside = video.with_suffix(".jsonl")
    return beside if beside.is_file() else None


class Footage:
    """Pictures for stored results. Not for two threads at once.

    Args:
        stored: the results.
        path: video, picture or folder; None gives black pictures.
        cancelled: asked while a file is listed; see :class:`~vipose.runtime.media.seek.FrameReader`.

    Attributes:
        path: as given.
        note: one line where the pictures may not be the right ones, else "".
        info: of the video; None without one.
        audio_fits: whether the video's own clock is that of the results, so that its sound can go with them.
        missing: pictures that could not be read so far; they were black.

    Raises:
        InputError: the file cannot be opened.
    """

    def __init__(self, stored: StoredResults, path: Path | None, cancelled: Callable[[], bool] = lambda: False) -> None:
        self.path, self.note, self.missing = path, "", 0
        self._stored = stored
        self._reader: FrameReader | None = None
        self._by: Literal["index", "order"] = "index"
        if path is not None:
            self._reader = self._open(path, cancelled, thorough=False)
            self._pair(path, cancelled)
        self.info: SourceInfo | None = None if self._reader is None else self._reader.info
        mirror = stored.header.settings.get("mirror") is True
        self._mirrored = path is not None and mirror and _was_drawn(stored, path)  # results never are
        self.audio_fits = self.info is not None and self.info.audio and self._same_clock()

    def _open(self, path: Path, cancelled: Callable[[], bool], *, thorough: bool) -> FrameReader:
        return FrameReader(path, _rotation(self._stored), cancelled=cancelled, thorough=thorough)

    def _pair(self, path: Path, cancelled: Callable[[], bool]) -> None:
        """Decide which picture goes with which result; times tell whether indices mean the same."""
        if self._reader is None or self._same_clock() or any(note.startswith("times:") for note in self._stored.notes):
            return  # some formats hold no times; their indices are all there is
        if len(self._reader) == len(self._stored):  # a recording, or what a run wrote: it holds just these frames
            self._by = "order"
            return
        if _same_file_name(self._stored, path) and self._reader.info.kind != "images":
            self._reader.close()  # it may hold less than its container says
            self._reader = self._open(path, cancelled, thorough=True)
        if not self._same_clock():
            self.note = f"{path.name} may be another video: its times are not those of the results."

    def _same_clock(self) -> bool:
        """Whether every result has the time of the picture with its index."""
        if self._reader is None:
            return False
        indices = np.asarray(self._stored.indices, np.int64)
        if indices.min() < 0 or indices.max() >= len(self._reader):
            return False
        return bool(np.abs(self._reader.times_s[indices] - self._stored.times_s).max() <= _SAME_S)

    def sized(self, result: FrameResult) -> FrameResult:
        """The result with the size of its frame, where the file does not tell it."""
        if min(result.size) > 0:
            return result
        known = self.info.size if self.info is not None else self._stored.size
        return replace(result, size=known)

    def frame(self, position: int, result: FrameResult) -> Frame:
        """The picture of a result whose size is known, in that size; black where there is none."""
        image = self._image(position)
        width, height = result.size
        if image is None:
            image = np.zeros((height, width, 3), np.uint8)
        elif image.shape[:2] != (height, width):
            image = resized(image, (width, height))
        image.flags.writeable = False
        return Frame(result.index, result.time_s, image, self._stored.header.source.name)

    def _image(self, position: int) -> Image | None:
        if self._reader is None:
            return None
        index = position if self._by == "order" else self._stored.indices[position]
        try:
            image = self._reader.frame(index).image
        except InputError:
            self.missing += 1
            return None
        return np.ascontiguousarray(image[:, ::-1]) if self._mirrored else image

    def close(self) -> None:
        """Free the video; may be called more than once."""
        if self._reader is not None:
            self._reader.close()


def _rotation(stored: StoredResults) -> Rotate:
    """How the run turned the picture."""
    said = str(stored.header.settings.get("rotate", "auto"))
    return cast(Rotate, int(said)) if said in ("0", "90", "180", "270") else "auto"


def _same_file_name(stored: StoredResults, path: Path) -> bool:
    return Path(stored.header.source.name).name == path.name


class HeadsAt:
    """Head blur for results in any order: what was seen just before a position is taken in first."""

    def __init__(self, stored: StoredResults, config: BlurConfig) -> None:
        self._stored, self.config = stored, config
        self._blur = HeadBlur(stored.header.joints, config)
        self._next = -1

    def hide(self, image: Image, position: int, result: FrameResult) -> Image:
        """A picture [H, W, 3] without recognisable heads; ``result`` is the whole one of this position."""
        for before in self._unseen(position):
            self._blur.update(self._stored.result(before))
        self._next = position + 1
        return self._blur.apply(image, result)

    def _unseen(self, position: int) -> Iterator[int]:
        first = self._stored.position_at(float(self._stored.times_s[position]) - self.config.keep_s)
        if not first <= self._next <= position:
            self._blur = HeadBlur(self._stored.header.joints, self.config)
            self._next = first
        return iter(range(self._next, position))
