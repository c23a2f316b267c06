"""What may be done with things that were dropped on the window, or named when it was started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vipose.app.core.addresses import is_address, read_address
from vipose.app.core.settings_file import MARK
from vipose.runtime.errors import InputError, UsageError
from vipose.runtime.media.images import IMAGE_SUFFIXES, list_images
from vipose.runtime.media.sources import SourceSpec, expand_sources

__all__ = ["Drop", "pictures_in", "sort_out"]

_HEAD = 4096  # characters in which a settings file says what it is
_RESULT_ENDINGS = (".jsonl", ".jsonl.part")


@dataclass(frozen=True)
class Drop:
    """What is to be done.

    Attributes:
        kind: ``live`` runs one source, ``batch`` queues many, ``results`` opens a result file, ``settings`` loads settings.
        texts: what was dropped, in order; for ``batch`` the sources.
        spec: the source of ``live``.
        path: the file of ``results`` and ``settings``.
    """

    kind: Literal["live", "batch", "results", "settings"]
    texts: tuple[str, ...]
    spec: SourceSpec | None = None
    path: Path | None = None


def sort_out(texts: Sequence[str]) -> Drop:
    """Look at what was dropped. It reads folders and beginnings of files: not for the GUI thread.

    One video, picture, folder of pictures, address or camera runs live. Several of them, a folder of videos and a list file are
    a batch. A result file, with or without its video, is opened as results.

    Args:
        texts: paths, addresses or cameras.

    Raises:
        UsageError: nothing was dropped, or things that do not go together.
        InputError: something is missing or of no use.
    """
    texts = tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))
    if not texts:
        raise UsageError("nothing that can be opened was dropped; drop videos, pictures, folders or result files")
    files = {text: kind for text in texts if (kind := _file_kind(text))}
    if "settings" in files.values():
        return _settings(texts)
    if files:
        return _results(texts, files)
    specs = [spec for text in texts for spec in expand_sources([text])]
    listed = len(texts) == 1 and Path(texts[0]).suffix.lower() == ".txt" and specs[0].text != texts[0]
    if len(specs) == 1 and not listed:
        return Drop("live", texts, spec=_checked(specs[0]))
    return Drop("batch", texts)


def pictures_in(folder: str) -> SourceSpec:
    """The pictures of a folder as one source, also where it holds videos. It reads the folder: not for the GUI thread.

    Raises:
        InputError: it is no folder that can be read, or holds no pictures.
    """
    path = Path(folder)
    try:
        found = path.is_dir() and bool(list_images(path))
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read ({error.strerror}); check its permissions") from error
    if not found:
        raise InputError(f"the folder {folder} holds no pictures; choose another one")
    return SourceSpec(str(path), "images", path)


def _checked(spec: SourceSpec) -> SourceSpec:
    return read_address(spec.text) if spec.kind == "stream" else spec


def _settings(texts: tuple[str, ...]) -> Drop:
    if len(texts) > 1:
        raise UsageError("a settings file was dropped among other things; drop it alone")
    return Drop("settings", texts, path=Path(texts[0]))


def _results(texts: tuple[str, ...], files: dict[str, str]) -> Drop:
    """One result file; a single other file beside it is taken for its video, which the results name themselves."""
    if len(files) > 1:
        raise UsageError("several result files were dropped; drop one at a time to open it")
    if len(texts) > 2:
        raise UsageError("results and sources were dropped together; drop either a result file or videos and pictures")
    return Drop("results", texts, path=Path(next(iter(files))))


def _file_kind(text: str) -> str:
    """``results`` or ``settings`` for such files and for folders of result files, "" for everything else."""
    if is_address(text):
        return ""
    path = Path(text)
    try:
        if path.is_dir():
            return "results" if _holds_openpose(path) else ""
        if not path.is_file():
            return ""
        if path.name.lower().endswith(_RESULT_ENDINGS):
            return "results"
        if path.suffix.lower() != ".json":
            return ""
        with path.open(encoding="utf-8", errors="replace") as file:
            return "settings" if MARK in file.read(_HEAD) else "results"
    except OSError as error:
        raise InputError(f"{text} cannot be read ({error.strerror}); check its permissions") from error


def _holds_openpose(folder: Path) -> bool:
    """Whether a folder holds OpenPose's files, and nothing that could be a source."""
    if not any(folder.glob("*_keypoints.json")):
        return False
    return not any(p.suffix.lower() in IMAGE_SUFFIXES for p in folder.iterdir())
