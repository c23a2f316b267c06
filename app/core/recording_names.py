"""Names of recordings and snapshots: what was recorded and when, never one that is taken."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

from vipose.runtime.errors import OutputError
from vipose.runtime.media.sources import without_password
from vipose.runtime.types import SourceInfo

__all__ = ["free_base", "recording_name"]

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]+')  # in names of files, on one system or another
_LONGEST = 80


def recording_name(source: SourceInfo, now: datetime) -> str:
    """A file name without suffix: ``HD Webcam 2026-11-21 14-03-05``."""
    text = without_password(source.name)
    if source.kind in ("video", "images"):
        text = Path(text).stem or Path(text).name
    else:
        text = text.partition("://")[2] or text
    cleaned = " ".join(_FORBIDDEN.sub(" ", text).split()).strip(" .")[:_LONGEST].strip(" .")
    return f"{cleaned or 'recording'} {now:%Y-%m-%d %H-%M-%S}"


def free_base(folder: Path, name: str) -> Path:
    """``folder / name``, or with a number behind it where any file or folder begins with that name.

    Raises:
        OutputError: the folder cannot be read.
    """
    try:
        taken = [entry.casefold() for entry in os.listdir(folder)]
    except OSError as error:
        raise OutputError(f"folder '{folder}' cannot be read ({error.strerror}); choose another output folder") from error
    number = 1
    while True:
        chosen = name if number == 1 else f"{name} ({number})"
        key = chosen.casefold()
        # Formats with one file a person, or a folder, go on behind "_".
        if not any(entry == key or entry.startswith((f"{key}.", f"{key}_")) for entry in taken):
            return folder / chosen
        number += 1
