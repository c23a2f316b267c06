"""Files that are replaced as a whole: whoever reads one, and whatever breaks, there is the old text or the new one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from vipose.runtime.errors import OutputError

__all__ = ["write_atomically"]


def write_atomically(path: Path, text: str, *, remedy: str = "check the folder's permissions") -> None:
    """Replace a file by this text, UTF-8; its folder is made where it is missing.

    Args:
        path: of the file.
        text: its new content.
        remedy: what the user can do where it cannot be written.

    Raises:
        OutputError: it cannot be written; what was there before is still there.
    """
    part = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own for each writer: two processes never write into one part.
        handle, part = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        if part:
            Path(part).unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written ({error.strerror}); {remedy}") from error
