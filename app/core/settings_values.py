"""Fields of flat dataclasses as JSON values, and back: each value alone, so that a bad one costs no other."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vipose.runtime.errors import UsageError

__all__ = ["differing", "from_json", "read_fields"]

Part = TypeVar("Part")


def from_json(hint: Any, raw: object) -> Any:
    """A JSON value as a value of a type: bool, int, float, str, None, tuples, unions and literals of these.

    Raises:
        ValueError: it is of another type.
    """
    origin = get_origin(hint)
    if origin is Literal:
        if raw in get_args(hint):
            return raw
    elif origin in (Union, types.UnionType):
        return _one_of(get_args(hint), raw)
    elif origin is tuple:
        return _tuple(get_args(hint), raw)
    elif hint is float:
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            return float(raw)
    elif hint is str:
        if isinstance(raw, str) and "\0" not in raw:  # no path holds one, and no system takes it
            return raw
    elif isinstance(raw, hint) and (hint is bool or not isinstance(raw, bool)):
        return raw
    raise ValueError(raw)


def _one_of(hints: Sequence[Any], raw: object) -> Any:
    for hint in hints:
        try:
            return from_json(hint, raw)
        except ValueError:
            continue
    raise ValueError(raw)


def _tuple(hints: Sequence[Any], raw: object) -> tuple[Any, ...]:
    if isinstance(raw, list):
        each = [hints[0]] * len(raw) if hints[-1] is Ellipsis else hints
        return tuple(from_json(hint, item) for hint, item in zip(each, raw, strict=True))
    raise ValueError(raw)


def differing(part: object, usual: object, names: Sequence[str]) -> dict[str, Any]:
    """The fields that differ from the usual ones, as JSON values."""
    values = {name: getattr(part, name) for name in names if getattr(part, name) != getattr(usual, name)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def read_fields(part: Part, raw: Mapping[str, Any], names: Sequence[str]) -> tuple[Part, list[str]]:
    """A frozen dataclass with the values of a JSON object, as far as they are usable.

    Args:
        part: gives the type, and the values of what is not there or not usable.
        raw: JSON object.
        names: fields that may be read; anything else is dropped.

    Returns:
        The dataclass, and a note for every value that was dropped.
    """
    hints = get_type_hints(type(part))
    notes = []
    for name, value in raw.items():
        if name not in names:
            notes.append(f"'{name}' is not known")
            continue
        try:
            part = replace(part, **{name: from_json(hints[name], value)})  # type: ignore[type-var]  # a dataclass
        except UsageError as error:
            notes.append(str(error).split(";")[0].removeprefix("--"))
        except (ValueError, OverflowError):
            notes.append(f"{name}: {_short(value)} is not allowed")
    return part, notes


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 40 else f"{said[:37]}..."
