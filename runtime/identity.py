"""Identity of a run: a hash of the input's content, the graphs and the options that shape outputs. Resume compares it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vipose.runtime.errors import InputError
from vipose.runtime.installed import version

__all__ = ["content_sha256", "run_identity"]

_CHUNK = 1 << 20


def content_sha256(paths: list[Path], stop: threading.Event | None = None) -> str:
    """SHA-256 over the size and content of files in their order, read in pieces; "" where ``stop`` was set meanwhile.

    Names are left out, so that moving or renaming an input does not redo it. Raises InputError.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                digest.update(b"%d\n" % path.stat().st_size)
                while piece := file.read(_CHUNK):
                    if stop is not None and stop.is_set():
                        return ""
                    digest.update(piece)
        except OSError as error:
            raise InputError(f"'{path}' cannot be read ({error.strerror}); check the path and its permissions") from error
    return digest.hexdigest()


def run_identity(content: str, graphs: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """The identity of a run.

    Args:
        content: of :func:`content_sha256`.
        graphs: name -> SHA-256 of each graph file.
        options: :meth:`RunOptions.shaping`.

    Returns:
        Hexadecimal SHA-256; it also covers the version of vipose, since another one may compute other results.
    """
    told = {"content": content, "graphs": dict(graphs), "options": dict(options), "vipose": version()}
    return hashlib.sha256(json.dumps(told, sort_keys=True, allow_nan=False).encode()).hexdigest()
