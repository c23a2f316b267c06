"""One option of a run: what is known about it beside its name and default, how its values are checked, read and written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from vipose.runtime.errors import UsageError

__all__ = ["Applies", "Option", "names", "number", "region", "resolution", "write_region", "write_resolution"]

Applies = Literal["", "now", "networks", "source"]


@dataclass(frozen=True)
class Option:
    """What is known about one option beside its name and default.

    Attributes:
        flag: long flag; for a switch the one that changes its default (``--no-swap``).
        help: one sentence.
        group: heading under which it is listed.
        kind: str, int, float, bool, or a function from text to value for composite ones.
        short: short flag or "".
        metavar: how the value is written; "" takes it from ``choices`` or ``kind``.
        unit: of a number, for people.
        choices: allowed texts.
        low, high: allowed range of a number, both included.
        shortcuts: further flags: flag, the value it stands for, help.
        shapes_output: whether outputs differ when it does; these options are part of a run's identity (resume).
        applies: when a change takes effect while a live session runs: ``now``, with other ``networks`` (loaded beside the
            ones in use), when the ``source`` is opened again, or "" where the application has no use for it.
        label: name for people; "" makes it from the field's name, see :func:`table`.
        about: ``help`` for a page of settings, where no flag stands beside it; "" where ``help`` does as it is.
        special: word for None, or for 0 where that stands for no number; "" where there is no such value.
        step: how far one click changes a number.
        written: a value as text that ``kind`` reads.
    """

    flag: str
    help: str
    group: str
    kind: Callable[[str], Any] = str
    short: str = ""
    metavar: str = ""
    unit: str = ""
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    shortcuts: tuple[tuple[str, Any, str], ...] = ()
    shapes_output: bool = True
    applies: Applies = ""
    label: str = ""
    about: str = ""
    special: str = ""
    step: float = 1
    written: Callable[[Any], str] = str

    def allowed(self) -> str:
        """The allowed values in words, "" where anything goes."""
        if self.choices:
            return ", ".join(self.choices)
        unit = f" {self.unit}" if self.unit else ""
        if math.isinf(self.low) and math.isinf(self.high):
            return ""
        if math.isinf(self.high):
            return f"{number(self.low)} or more{unit}"
        return f"{number(self.low)} to {number(self.high)}{unit}"

    def refuse(self, value: object) -> NoReturn:
        """Raise UsageError for a value outside the allowed ones."""
        wanted = self.allowed() or f"expected {self.metavar or 'a value'}"
        said = f"'{value}'" if isinstance(value, str) else value
        raise UsageError(f"{self.flag}: {said} is not allowed ({wanted}); change it or leave the option out")

    def convert(self, text: str) -> Any:
        """A value from the command line; raises UsageError."""
        if self.choices and self.kind is str:
            return self.check(text)
        try:
            value = self.kind(text)
        except ValueError:
            self.refuse(text)
        return self.check(value)

    def check(self, value: Any) -> Any:
        """The value itself where it is allowed; raises UsageError."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float) and not self.low <= value <= self.high:
            self.refuse(value)
        if isinstance(value, float) and not math.isfinite(value):
            self.refuse(value)
        if self.choices and isinstance(value, str) and value not in self.choices:
            self.refuse(value)
        return value


def number(value: float) -> str:
    """A number as people write it."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:g}"


def region(text: str) -> tuple[float, float, float, float]:
    """``X0,Y0,X1,Y1`` in pixels; raises ValueError."""
    values = tuple(float(part) for part in text.split(","))
    if len(values) != 4:
        raise ValueError(text)
    return values


def write_region(corners: tuple[float, float, float, float]) -> str:
    """What :func:`region` reads."""
    return ",".join(number(value) for value in corners)


def resolution(text: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` in pixels; raises ValueError."""
    width, height = (int(part) for part in text.lower().split("x"))
    return width, height


def write_resolution(size: tuple[int, int]) -> str:
    """What :func:`resolution` reads."""
    return "x".join(map(str, size))


def names(text: str) -> tuple[str, ...]:
    """Words between commas, small, each once; ``none`` is no word."""
    words = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    return () if words == ("none",) else words
