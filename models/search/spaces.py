"""The search spaces by name: ``paper-*`` as the papers print them, ``fast-*`` with choices that ONNX Runtime runs well."""

from __future__ import annotations

from vipose.models.search.space import Space
from vipose.models.search.spaces_fused import FAST_FUSED
from vipose.runtime.errors import InputError

__all__ = ["SPACES", "space"]

SPACES: dict[str, Space] = {s.name: s for s in (FAST_FUSED,)}


def space(name: str) -> Space:
    """A space by name; raises InputError for an unknown one."""
    if name not in SPACES:
        raise InputError(f"there is no search space '{name}'; there are {', '.join(SPACES)}")
    return SPACES[name]
