"""The search spaces by name: ``paper-*`` as the papers print them, ``fast-*`` with choices that ONNX Runtime runs well."""

from __future__ import annotations

from vipose.models.search.space import Space
from vipose.models.search.spaces_efficientpose import PAPER_EFFICIENTPOSE_LARGE, PAPER_EFFICIENTPOSE_SMALL
from vipose.models.search.spaces_fused import FAST_FUSED
from vipose.models.search.spaces_hrnet import FAST_HRNET, PAPER_HRNET
from vipose.models.search.spaces_lite0 import FAST_LITE0
from vipose.models.search.spaces_mobilenetv3 import FAST_MOBILENETV3, PAPER_MOBILENETV3
from vipose.models.search.spaces_posenas import FAST_POSENAS, PAPER_POSENAS
from vipose.models.search.spaces_resnet50 import FAST_RESNET50, PAPER_RESNET50
from vipose.runtime.errors import InputError

__all__ = ["SPACES", "elastic_space", "space"]

_ALL = (
    FAST_FUSED, FAST_HRNET, FAST_LITE0, FAST_MOBILENETV3, FAST_POSENAS, FAST_RESNET50, PAPER_EFFICIENTPOSE_LARGE,
    PAPER_EFFICIENTPOSE_SMALL, PAPER_HRNET, PAPER_MOBILENETV3, PAPER_POSENAS, PAPER_RESNET50
)  # fmt: skip
SPACES: dict[str, Space] = {s.name: s for s in _ALL}


def space(name: str) -> Space:
    """A space by name; raises InputError for an unknown one."""
    if name not in SPACES:
        raise InputError(f"there is no search space '{name}'; there are {', '.join(SPACES)}")
    return SPACES[name]


def elastic_space(name: str) -> Space:
    """A space whose networks share weights by slicing, for super-networks.

    Raises:
        InputError: the space is unknown, or its networks do not.
    """
    found = space(name)
    if not found.elastic:
        raise InputError(
            f"networks of the search space '{name}' share no weights by slicing, so there is no super-network of them; "
            "search it with 'vipose search differentiable'"
        )
    return found
