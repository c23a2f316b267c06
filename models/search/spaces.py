"""The search spaces by name: ``paper-*`` as the papers print them, ``fast-*`` with choices that ONNX Runtime runs well."""

from __future__ import annotations

from vipose.models.search.space import Space
from vipose.models.search.spaces_fused import FAST_FUSED
from vipose.models.search.spaces_hrnet import FAST_HRNET, PAPER_HRNET
from vipose.models.search.spaces_mobilenetv3 import FAST_MOBILENETV3, PAPER_MOBILENETV3
from vipose.models.search.spaces_resnet50 import FAST_RESNET50, PAPER_RESNET50
from vipose.runtime.errors import InputError

__all__ = ["SPACES", "space"]

_ALL = (
    FAST_FUSED, FAST_HRNET, FAST_MOBILENETV3, FAST_RESNET50, PAPER_HRNET, PAPER_MOBILENETV3, PAPER_RESNET50
)  # fmt: skip
SPACES: dict[str, Space] = {s.name: s for s in _ALL}


def space(name: str) -> Space:
    """A space by name; raises InputError for an unknown one."""
    if name not in SPACES:
        raise InputError(f"there is no search space '{name}'; there are {', '.join(SPACES)}")
    return SPACES[name]
