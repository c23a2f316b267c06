"""What a result file says once, before its frames: source, skeleton, graphs, settings. Keys are fixed by docs/formats.md."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from vipose.runtime.installed import version as installed_version
from vipose.runtime.skeleton import SKELETONS, Skeleton
from vipose.runtime.types import SourceInfo

__all__ = ["CLOCK", "KIND", "SCHEMA", "ResultHeader"]

KIND = "results"
SCHEMA = 1
CLOCK = "presentation time of the source in seconds"
_SOURCE_KINDS = ("video", "images", "camera", "stream")


@dataclass(frozen=True)
class ResultHeader:
    """The header of a result file.

    It holds no date and no machine, so that the same input and options give the same bytes.

    Attributes:
        source: what was read; ``size`` is width, height of the upright frame, (0, 0) where unknown.
        skeleton: key in ``SKELETONS``.
        graphs: name of each graph that ran -> SHA-256 of its file.
        settings: the options that shaped the results, as JSON values.
        provider: what really ran the pose graphs.
        clock: what ``time_s`` of a frame means.
        version: of vipose.
        schema: version of the file layout.

    Raises:
        ValueError: the skeleton is not known.
    """

    source: SourceInfo
    skeleton: str = "coco17"
    graphs: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    provider: str = "cpu"
    clock: str = CLOCK
    version: str = field(default_factory=installed_version)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.skeleton not in SKELETONS:
            raise ValueError(f"skeleton '{self.skeleton}' is not known ({', '.join(SKELETONS)})")
        object.__setattr__(self, "graphs", MappingProxyType(dict(self.graphs)))
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    @property
    def joints(self) -> Skeleton:
        """The skeleton itself."""
        return SKELETONS[self.skeleton]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values with stable keys; numbers that are not finite become null."""
        return {
            "vipose": KIND,
            "schema": self.schema,
            "version": self.version,
            "source": _plain(asdict(self.source)),
            "skeleton": self.skeleton,
            "joints": list(self.joints.joints),
            "graphs": _plain(self.graphs),
            "settings": _plain(self.settings),
            "provider": self.provider,
            "clock": self.clock,
        }

    @classmethod
    def from_dict(cls, data: Any) -> ResultHeader:
        """The header in a parsed JSON object; raises ValueError, TypeError or KeyError for anything else."""
        if not isinstance(data, dict) or data.get("vipose") != KIND:
            raise ValueError('it is no header of vipose results (no "vipose": "results")')
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']!r} is not the one this version reads ({SCHEMA})")
        header = cls(
            source=_source(data["source"]),
            skeleton=str(data["skeleton"]),
            graphs={str(name): str(digest) for name, digest in data["graphs"].items()},
            settings={str(name): value for name, value in data["settings"].items()},
            provider=str(data["provider"]),
            clock=str(data["clock"]),
            version=str(data["version"]),
        )
        if data["joints"] != list(header.joints.joints):
            raise ValueError(f"its joints are not those of skeleton '{header.skeleton}'")
        return header


def _source(data: Mapping[str, Any]) -> SourceInfo:
    kind = data["kind"]
    if kind not in _SOURCE_KINDS:
        raise ValueError(f"source kind {kind!r} is not one of {', '.join(_SOURCE_KINDS)}")
    width, height = (int(side) for side in data["size"])
    return SourceInfo(
        name=str(data["name"]),
        kind=kind,
        size=(width, height),
        fps=None if data["fps"] is None else float(data["fps"]),
        frames=None if data["frames"] is None else int(data["frames"]),
        rotation=int(data["rotation"]),
        audio=bool(data["audio"]),
        live=bool(data["live"]),
    )


def _plain(value: Any) -> Any:
    """JSON values only: tuples become lists, paths text, anything unknown its ``str``, NaN and infinity None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.as_posix() if isinstance(value, PurePath) else str(value)
