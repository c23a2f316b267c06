"""``fast-lite0``: pose networks on the person detector's trunk. How many of Lite0's blocks every width keeps, and the head.

Their widths are Lite0's, since its ImageNet weights are what these networks are for.
"""

from __future__ import annotations

from collections.abc import Mapping

from vipose.models.networks.lite0_pose import Lite0PoseArch
from vipose.models.search.space import Dimension, Space, Value

__all__ = ["FAST_LITE0"]

_FIRST = {80: 5, 112: 8, 192: 11}
"""Width -> the first block of it: the one that changes shapes and is always there."""


def _build(choice: Mapping[str, Value]) -> Lite0PoseArch:
    blocks = [block for width, first in _FIRST.items() for block in range(first, first + int(choice[f"width{width}.depth"]))]
    return Lite0PoseArch(blocks=tuple(blocks), head=int(choice["head.width"]))


FAST_LITE0 = Space(
    "fast-lite0",
    (
        Dimension("width80.depth", (1, 2, 3)),
        Dimension("width112.depth", (1, 2, 3)),
        Dimension("width192.depth", (1, 2, 3, 4)),
        Dimension("head.width", (32, 48, 64, 96)),
    ),
    _build,
)
