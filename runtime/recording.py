"""Annotated pictures and what is written of them: the artist draws, the recorder writes videos, pictures and results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.draw import draw
from vipose.runtime.errors import OutputError, ViposeError
from vipose.runtime.media.writer import VideoWriter
from vipose.runtime.outputs import Targets
from vipose.runtime.overlay import OverlayStyle, Status, build_overlay
from vipose.runtime.privacy import BlurConfig, HeadBlur
from vipose.runtime.progress import Rate
from vipose.runtime.results.formats import open_writer
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import Frame, FrameResult

__all__ = ["Artist", "FrameRecorder", "Look", "PictureFolder", "as_png", "open_recorder"]

Picture = npt.NDArray[np.uint8]
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Look:
    """How annotated pictures look.

    Attributes:
        head_blur: how heads are hidden; None shows them.
        black: skeletons on black.
        mirror: as in a mirror; text stays readable.
        live: show the age of a frame.
        notice: a warning that stays on the picture.
    """

    head_blur: BlurConfig | None = None
    black: bool = False
    mirror: bool = False
    live: bool = False
    notice: str = ""


class Artist:
    """Draws the frames of one source, in order; call it with each frame, its result and its age in seconds.

    Args:
        skeleton: of the results.
        look: how pictures look.
        rate: of the whole run, kept up to date by somebody else: two-pass smoothing hands frames over in bursts.
        style: of the overlay.
    """

    def __init__(self, skeleton: Skeleton, look: Look, rate: Rate, style: OverlayStyle | None = None) -> None:
        self._skeleton, self._look, self._rate, self._style = skeleton, look, rate, style
        self._blur = None if look.head_blur is None else HeadBlur(skeleton, look.head_blur)

    def __call__(self, frame: Frame, result: FrameResult, age_s: float) -> Picture:
        """The annotated picture, [H, W, 3] uint8 RGB; ``frame.image`` is left alone."""
        image = frame.image if self._blur is None else self._blur.apply(frame.image, result)
        look = self._look
        status = Status(self._rate.fps or None, age_s * 1e3 if look.live else None, look.notice)
        overlay = build_overlay(result, self._skeleton, self._style, status)
        return draw(image, overlay, background="black" if look.black else "video", mirror=look.mirror)

    def remember(self, results: Iterable[FrameResult]) -> None:
        """Take in frames that were not drawn, oldest first, so that heads which were seen on them only are hidden, too."""
        if self._blur is not None:
            for result in results:
                self._blur.update(result)


class ResultWriter(Protocol):
    """The part of a result writer that the recorder uses."""

    @property
    def paths(self) -> tuple[Path, ...]: ...

    def write(self, result: FrameResult) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class PictureWriter(Protocol):
    """The part of a video writer that the recorder uses."""

    @property
    def warnings(self) -> list[str]: ...

    def write(self, image: Picture, time_s: float) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def hurry(self) -> None: ...


class PictureFolder:
    """Writes each annotated picture as a JPEG under the name of its frame.

    Args:
        folder: exists.
        names: stem of each frame's picture by frame index; others are numbered.
    """

    def __init__(self, folder: Path, names: Mapping[int, str] | None = None) -> None:
        self._folder, self._names = folder, names or {}
        self._last: Path | None = None
        self._written = 0

    def outputs(self) -> list[Path]:
        """The folder, or the picture where there is but one."""
        return [self._last] if self._written == 1 and self._last is not None else [self._folder] * bool(self._written)

    def write(self, image: Picture, index: int) -> None:
        """Write a picture; raises OutputError. A file of that name appears only when it is whole."""
        good, data = cv2.imencode(
            ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        )
        path = self._folder / f"{self._names.get(index, f'{index:06d}')}.jpg"
        if not good:
            raise OutputError(f"'{path}' cannot be encoded as JPEG ({image.shape[1]}x{image.shape[0]}); use --no-video")
        part = path.with_name(path.name + ".part")
        try:
            part.write_bytes(data.tobytes())
            os.replace(part, path)
            self._last, self._written = path, self._written + 1
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OutputError(f"'{path}' cannot be written ({error.strerror}); free some space or check the folder") from error


def as_png(image: Picture) -> bytes:
    """An RGB picture as a PNG file; raises OutputError where it is too large for one."""
    good, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not good:
        raise OutputError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be encoded as PNG; use a smaller one")
    return data.tobytes()


class FrameRecorder:
    """Writes one source's frames everywhere they go and counts them, so that nothing can be lost unseen.

    Args:
        writers: result writers by format.
        video: annotated video, or None.
        video_path: its final name.
        pictures: annotated pictures, or None.
    """

    def __init__(
        self,
        writers: Mapping[str, ResultWriter],
        video: PictureWriter | None = None,
        video_path: Path | None = None,
        pictures: PictureFolder | None = None,
    ) -> None:
        self._writers, self._video, self._pictures = dict(writers), video, pictures
        self._video_path = video_path
        self._complete: list[Path] = []
        self.counts: dict[str, int] = dict.fromkeys(self._writers, 0)
        if video is not None:
            self.counts["video"] = 0
        if pictures is not None:
            self.counts["pictures"] = 0

    def write(self, picture: Picture | None, result: FrameResult) -> None:
        """Write a frame; results first, since they are worth more than pictures when the disk fills up."""
        for name, writer in self._writers.items():
            writer.write(result)
            self.counts[name] += 1
        if picture is None:
            return
        if self._video is not None:
            self._video.write(picture, result.time_s)
            self.counts["video"] += 1
        if self._pictures is not None:
            self._pictures.write(picture, result.index)
            self.counts["pictures"] += 1

    @property
    def warnings(self) -> list[str]:
        """One line for each thing that could not be done as asked; after ``close``."""
        return [] if self._video is None else list(self._video.warnings)

    def outputs(self) -> tuple[Path, ...]:
        """Files and folders that are complete; after ``close``."""
        results = [path for writer in self._writers.values() for path in writer.paths]
        return (*self._complete, *results)

    def hurry(self) -> None:
        """Have a close that runs, or comes, leave out what only tidies; from any thread."""
        if self._video is not None:
            self._video.hurry()

    def close(self, *, whole: bool = True) -> None:
        """Complete every output, also when one of them fails; then raises the first error.

        Args:
            whole: every frame of the source was written; otherwise sound is cut to the pictures.
        """
        failed: ViposeError | None = None
        for writer in self._writers.values():
            failed = _closed(writer, whole) or failed
        if self._video is not None:
            trouble = _closed(self._video, whole)
            failed = failed or trouble
            if self.counts["video"] and self._video_path is not None and self._video_path.exists():
                self._complete.append(self._video_path)
        if self._pictures is not None:
            self._complete += self._pictures.outputs()
        if failed is not None:
            raise failed


def _closed(output: ResultWriter | PictureWriter, whole: bool) -> ViposeError | None:
    try:
        if whole:
            output.close()
        else:
            output.abort()
    except ViposeError as error:
        return error
    return None


def open_recorder(
    targets: Targets,
    header: ResultHeader,
    formats: Sequence[str],
    *,
    audio_from: Path | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    timings: bool = True,
    pictures: PictureFolder | None = None,
) -> FrameRecorder:
    """Open every output; where one cannot be opened, those before it are taken back.

    Args:
        targets: where outputs go; the folder of the results exists.
        header: of the results; its source says size and rate of the video.
        formats: of the results.
        audio_from, start_s, end_s: see :class:`VideoWriter`.
        timings: write measured times into native results.
        pictures: annotated pictures, or None.

    Raises:
        UsageError: a format is not known or its extra is not installed.
        OutputError: a file cannot be created.
    """
    with ExitStack() as undo:
        video = None
        if targets.video is not None:
            video = VideoWriter(
                targets.video, header.source.size, fps=header.source.fps, audio_from=audio_from, start_s=start_s, end_s=end_s
            )
            undo.callback(video.discard)
        writers = {}
        for name in formats:
            writers[name] = open_writer(name, targets.base, header, timings=timings)
            undo.callback(writers[name].discard)
        undo.pop_all()
    return FrameRecorder(writers, video, targets.video, pictures)
