"""Parsed JSON looked at with suspicion: each check returns the value or raises :class:`Malformed` in a few words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

__all__ = ["UNREADABLE", "Malformed", "listing", "numbers", "parse_json", "real", "reason", "record", "whole"]

_LARGEST = float(np.finfo(np.float32).max)


class Malformed(ValueError):
    """Something in a file is not as its format wants; the reader adds the name of the file."""


UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What foreign bytes can raise on their way through json and the checks."""


def parse_json(data: bytes) -> Any:
    """JSON in UTF-8 without NaN and infinity; raises ValueError or RecursionError."""
    return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)


def _refuse(constant: str) -> float:
    raise Malformed(f"{constant} is not JSON")


def reason(error: Exception) -> str:
    """What went wrong, in words and on one line."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return " ".join(str(error).split()) or type(error).__name__


def record(value: Any, what: str) -> dict[str, Any]:
    """The value as a JSON object."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} is no JSON object")
    return value


def listing(value: Any, what: str, count: int | None = None) -> list[Any]:
    """The value as a list, of ``count`` items if told."""
    if not isinstance(value, list) or (count is not None and len(value) != count):
        raise Malformed(f"{what} is no list" + (f" of {count}" if count is not None else ""))
    return value


def whole(value: Any, what: str, low: int = 0) -> int:
    """The value as a whole number from ``low`` to 2^62."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**62:
        raise Malformed(f"{what} is no whole number of {low} or more")
    return value


def real(value: Any, what: str) -> float:
    """The value as a finite number that fits float32."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise Malformed(f"{what} is no number")
    return float(value)


def numbers(value: Any, what: str, count: int | None = None) -> list[float]:
    """The value as a list of finite numbers."""
    return [real(item, what) for item in listing(value, what, count)]
