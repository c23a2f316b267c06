"""Where the demo clip lies that travels with vipose."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

__all__ = ["demo_clip"]


def demo_clip() -> Path | None:
    """The clip as a plain file; None where this installation has none."""
    try:
        path = Path(str(resources.files("vipose.assets") / "demo.mp4"))
    except ModuleNotFoundError:
        return None
    return path if path.is_file() else None
