"""Which options tuning sets, and which of them still apply beside what the user gives."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["TYPES", "under"]

TYPES: Mapping[str, tuple[type, ...]] = {
    "mode": (str,), "period": (int, type(None)), "threads": (int,), "detect_every": (int,), "precision": (str,),
    "twice": (bool,),
}  # fmt: skip
"""Fields of ``RunOptions`` that tuning sets, and the types of their values."""
_TOGETHER = ("mode", "period", "precision", "twice")  # the others fit the mode for which they were chosen


def under(given: Collection[str], tuned: Mapping[str, Any]) -> dict[str, Any]:
    """The tuned options that still apply where the user gives others, by name.

    Whoever names a network, a period, a precision or two looks means it as it is by itself: then none of the four is tuned.
    """
    dropped = {*given, *(_TOGETHER if any(name in given for name in _TOGETHER) else ())}
    return {name: value for name, value in tuned.items() if name not in dropped}
