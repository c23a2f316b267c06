"""What the user typed, as sources: files, patterns, folders, list files, cameras and addresses."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vipose.runtime.errors import InputError, UsageError
from vipose.runtime.media.base import Rotate, Selection, Source
from vipose.runtime.media.images import IMAGE_SUFFIXES, ImagesSource, list_images, natural_key

__all__ = ["VIDEO_SUFFIXES", "SourceSpec", "expand_sources", "open_source", "without_password"]

VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".wmv", ".asf", ".flv", ".f4v", ".ogv"),
        *(".mpg", ".mpeg", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".mxf", ".dv", ".y4m", ".gif", ".mjpeg", ".mjpg"),
        *(".h264", ".264", ".h265", ".265", ".hevc"),
    )
)
_URL = re.compile(r"^([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_SCHEMES = frozenset(("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "rtp", "tcp"))
_LIST_SUFFIX = ".txt"
_FEW = 3  # where no line of a list is a source, so many are still named one by one


@dataclass(frozen=True)
class SourceSpec:
    """One source, found but not opened.

    Attributes:
        text: what messages call it: the path or address as the user would write it.
        kind: video, images, camera or stream.
        path: file or folder; None for cameras and streams.
        device: camera number or name; None for everything else.
    """

    text: str
    kind: Literal["video", "images", "camera", "stream"]
    path: Path | None = None
    device: int | str | None = None


def without_password(text: str) -> str:
    """A source as people may see it: an address without user and password; other texts as they are."""
    return re.sub(r"(?<=://)[^/?#]*@", "", text)


def expand_sources(
    texts: Sequence[str], *, recursive: bool = False, failed: list[InputError] | None = None
) -> list[SourceSpec]:
    """Turn what the user typed into sources, in order, none twice.

    A text is a video or picture file, a pattern (``*.mp4``, ``**`` too), a folder (its videos in natural order; where
    it has none, its pictures as one source), a ``.txt`` list (a source a line, ``#`` comments, paths relative to the
    list), ``camera:N``, ``camera:NAME``, a camera's bare name, or an address (rtsp, http, https, rtmp, srt, udp …).

    Args:
        texts: what the user typed.
        recursive: look into folders inside folders.
        failed: takes the errors of bad lines of a list file, whose other lines go on; None raises the first one.

    Raises:
        InputError: something is missing, empty or cannot be read.
        UsageError: nothing was given, or a camera number is no number.

    Example:
        >>> expand_sources(["camera:0"])
        [SourceSpec(text='camera:0', kind='camera', path=None, device=0)]
    """
    if not texts:
        raise UsageError("no source given; name a video, a folder, a list file, camera:0 or a URL")
    found = [spec for text in texts for spec in _expand(text, Path(), recursive, failed)]
    unique: dict[object, SourceSpec] = {}
    for spec in found:
        unique.setdefault(spec.path.resolve() if spec.path is not None else spec.text, spec)
    return list(unique.values())


def _expand(
    text: str, base: Path, recursive: bool, failed: list[InputError] | None, *, lists: bool = True
) -> Iterable[SourceSpec]:
    if not text.strip():
        raise UsageError("a source is an empty text; name a video, a folder, a list file, camera:0 or a URL")
    url = _URL.match(text)
    if url:
        return [_stream(text, url[1].lower())]
    if text.lower().startswith("camera:") and not (base / text).exists():
        return [_camera(text)]
    path = base / os.path.expanduser(text)  # that of pathlib raises for a user who is not there
    try:
        if path.is_dir():
            return _folder(path, recursive)
        if path.exists():
            if lists and path.suffix.lower() == _LIST_SUFFIX:
                return _list(path, recursive, failed)
            return [_file(path)]
    except OSError as error:
        raise InputError(f"cannot look at {text} ({error.strerror}); check its permissions") from error
    if glob.has_magic(text):
        return _pattern(path, text, recursive)
    if _is_camera_name(text):
        return [SourceSpec(text, "camera", device=text)]
    raise InputError(f"{text} does not exist: no file, folder or camera has this name; check the path")


def _stream(text: str, scheme: str) -> SourceSpec:
    if scheme == "file":
        raise InputError(f"{text} is a file address; give the plain path instead")
    if scheme not in _SCHEMES:
        raise InputError(f"{text} has the unknown scheme '{scheme}'; use one of {', '.join(sorted(_SCHEMES))}")
    return SourceSpec(text, "stream")


def _camera(text: str) -> SourceSpec:
    device = text.partition(":")[2].strip()
    if not device:
        raise UsageError("camera: needs a number or a name, as in camera:0; 'vipose cameras' lists them")
    if re.fullmatch(r"[+-]?\d+", device):
        if int(device) < 0:
            raise UsageError(f"{text} cannot be; cameras count from 0")
        return SourceSpec(text, "camera", device=int(device))
    return SourceSpec(text, "camera", device=device)


def _is_camera_name(text: str) -> bool:
    from vipose.runtime.media.camera import find_camera

    return find_camera(text) is not None


def _file(path: Path) -> SourceSpec:
    return SourceSpec(str(path), "images" if path.suffix.lower() in IMAGE_SUFFIXES else "video", path)


def _folder(folder: Path, recursive: bool) -> list[SourceSpec]:
    folders = [folder, *sorted((p for p in folder.rglob("*") if p.is_dir()), key=str)] if recursive else [folder]
    specs = [spec for one in folders for spec in _one_folder(one)]
    if not specs:
        hint = "choose another" if recursive else "choose another, or look into its sub-folders with --recursive"
        raise InputError(f"the folder {folder} holds no videos or pictures; {hint}")
    return specs


def _one_folder(folder: Path) -> list[SourceSpec]:
    videos = [
        p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith(".") and p.is_file()
    ]
    if videos:
        return [SourceSpec(str(p), "video", p) for p in sorted(videos, key=natural_key)]
    return [SourceSpec(str(folder), "images", folder)] if list_images(folder) else []


def _pattern(path: Path, text: str, recursive: bool) -> list[SourceSpec]:
    """Expand a pattern ourselves: not every shell does, and list files have no shell."""
    hits = sorted(
        (Path(p) for p in glob.glob(str(path), recursive=True)), key=lambda p: (str(p.parent), natural_key(p))
    )
    known = VIDEO_SUFFIXES | IMAGE_SUFFIXES
    suffixed = bool(Path(text).suffix) and not glob.has_magic(Path(text).suffix)
    specs: list[SourceSpec] = []
    for hit in hits:
        if hit.is_dir():
            specs += _one_folder(hit)
        elif suffixed or hit.suffix.lower() in known:  # `*` alone takes what is a video or picture by its name
            specs.append(_file(hit))
    if not specs:
        what = "no videos or pictures" if hits else "nothing"
        raise InputError(f"the pattern {text} matches {what}; check it, and put it in quotes")
    return specs


def _list(path: Path, recursive: bool, failed: list[InputError] | None) -> list[SourceSpec]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the list {path} cannot be read ({error}); write it as UTF-8 text, a source a line"
        ) from error
    texts = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not texts:
        raise InputError(f"the list {path} names no source; write one a line")
    specs: list[SourceSpec] = []
    bad: list[InputError] = []
    for text in texts:
        try:
            specs += _expand(text, path.parent, recursive, None, lists=False)
        except (InputError, UsageError) as error:
            bad.append(InputError(f"in the list {path}: {error}"))
            if failed is None:
                raise bad[0] from error
    if not specs and len(bad) > _FEW:  # some other text, most likely
        bad = [InputError(f"none of the {len(bad)} lines of the list {path} is a source that is there; write one a line ({bad[0]})")]
    if failed is not None:
        failed += bad
    return specs


def open_source(
    spec: SourceSpec,
    *,
    rotate: Rotate = "auto",
    start_s: float | None = None,
    end_s: float | None = None,
    every: int = 1,
    timeout_s: float = 10.0,
    camera_size: tuple[int, int] | None = None,
    camera_fps: float | None = None,
) -> Source:
    """Open a source; the first wanted frame is decoded already when it returns.

    Args:
        spec: from :func:`expand_sources`.
        rotate: ``auto`` follows the file; 0, 90, 180 or 270 clockwise degrees are used instead.
        start_s, end_s: window in the source's own seconds, the end excluded.
        every: N for frames whose index is a multiple of N.
        timeout_s: for cameras and streams: to open, and for each silence.
        camera_size, camera_fps: asked of a camera; it may choose others.

    Raises:
        InputError: the source cannot be read.
        DeviceError: the camera does not open.
        UsageError: a value is out of range.
    """
    if rotate not in ("auto", 0, 90, 180, 270):
        raise UsageError(f"rotate is {rotate!r}; use auto, 0, 90, 180 or 270")
    if not timeout_s > 0:
        raise UsageError(f"the time-out is {timeout_s} s; give a positive number of seconds")
    selection = Selection(start_s, end_s, every)
    if spec.kind == "images":
        return ImagesSource(_path(spec), name=spec.text, rotate=rotate, selection=selection)
    if spec.kind == "camera":
        from vipose.runtime.media.camera import CameraSource

        device = 0 if spec.device is None else spec.device
        return CameraSource(
            device,
            name=spec.text,
            size=camera_size,
            fps=camera_fps,
            rotate=rotate,
            selection=selection,
            timeout_s=timeout_s,
        )
    from vipose.runtime.media.video import StreamSource, VideoSource

    if spec.kind == "stream":
        return StreamSource(spec.text, rotate=rotate, selection=selection, timeout_s=timeout_s)
    return VideoSource(_path(spec), name=spec.text, rotate=rotate, selection=selection)


def _path(spec: SourceSpec) -> Path:
    if spec.path is None:
        raise UsageError(f"{spec.text} is a {spec.kind} source without a path; make it with expand_sources")
    return spec.path
