"""Frozen descriptions of networks: what every family shares, JSON there and back, and a hash that names one.

A description is all that is needed to build a network (:func:`vipose.models.networks.registry.build`), to extract its
weights from a super-network and to write it into a graph's metadata.
"""

from __future__ import annotations

import hashlib
import json
import types
import typing
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, ClassVar, Literal, Self

__all__ = ["Architecture", "Fusion", "Operator", "Output", "architecture_hash"]

Operator = Literal["add", "mul", "cat"]
Output = Literal["logits", "heatmaps"]


@dataclass(frozen=True)
class Fusion:
    """Where and how a T-ViPNet takes in the heatmaps: stage 1..4 (F1..F4 of the paper) and add, mul or cat."""

    stage: int = 1
    operator: Operator = "add"

    def __post_init__(self) -> None:
        if self.stage not in (1, 2, 3, 4) or self.operator not in ("add", "mul", "cat"):
            raise ValueError(f"fusion {self.operator!r} at stage {self.stage}: want add|mul|cat at 1..4")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Base of every family's description; ``to_json`` and ``from_json`` are inverse.

    Attributes:
        joints: heatmaps.
        fusion: None for a spatial network.
        output: ``heatmaps``: regressed Gaussians (mean squared error, as in the papers); ``logits``: a softmax over
            positions follows (cross-entropy), which belongs to the graph but not to the network.
    """

    family: ClassVar[str]
    takes_fusion: ClassVar[bool] = True
    """Whether ``fusion`` may be set; False for families of single frames."""

    joints: int = 17
    fusion: Fusion | None = None
    output: Output = "heatmaps"

    def to_json(self) -> dict[str, Any]:
        return {"family": self.family, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuild a description; raises ValueError for another family, unknown fields or wrong types."""
        if data.get("family") != cls.family:
            raise ValueError(f"architecture family {data.get('family')!r}: want {cls.family!r}")
        made = _decode(cls, {k: v for k, v in data.items() if k != "family"})
        assert isinstance(made, cls)
        return made


def architecture_hash(arch: Architecture) -> str:
    """12 hex digits of the SHA-256 of the description's canonical JSON."""
    text = json.dumps(arch.to_json(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _decode(hint: Any, value: Any) -> Any:
    """A JSON value as the annotated type: dataclasses, tuples, optionals and plain values."""
    if is_dataclass(hint):
        assert isinstance(hint, type)
        hints, known = typing.get_type_hints(hint), {f.name for f in fields(hint)}
        if not isinstance(value, dict) or set(value) - known:
            raise ValueError(f"{hint.__name__}: cannot be read from {value!r}; fields are {sorted(known)}")
        needed = {f.name for f in fields(hint) if f.default is MISSING and f.default_factory is MISSING and f.init}
        if needed - set(value):
            raise ValueError(f"{hint.__name__}: {', '.join(sorted(needed - set(value)))} missing in {value!r}")
        return hint(**{name: _field(name, hints[name], inner) for name, inner in value.items()})
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if not isinstance(value, list | tuple) or (arguments[-1] is not Ellipsis and len(value) != len(arguments)):
            want = "a list" if arguments[-1] is Ellipsis else f"a list of {len(arguments)}"
            raise ValueError(f"{value!r}: want {want}")
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_decode(h, v) for h, v in zip(inner, value, strict=True))
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _decode(next(a for a in arguments if a is not type(None)), value)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{value!r} is none of {', '.join(map(repr, arguments))}")
    elif not isinstance(value, (int, float) if hint is float else hint):
        raise ValueError(f"{value!r} is no {hint}")
    return value


def _field(name: str, hint: Any, value: Any) -> Any:
    """A field of a description; errors say which one."""
    try:
        return _decode(hint, value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
