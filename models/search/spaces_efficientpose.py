"""``paper-efficientpose-small`` and ``-large`` (EfficientPose, Zhang et al. 2020, table 1): one operation for every layer.

A layer is an inverted residual with a kernel of 3, 5 or 7 and an expansion of 3 or 6, or is skipped where it keeps the
width and the stride. Widths, strides and the head are fixed. Stage 4 of the large space is printed with stride 2; the
paper makes four down-samplings only, and the published code has stride 1 there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

from vipose.models.networks.efficientpose import EfficientPoseArch, MBLayer, Operation
from vipose.models.search.space import Choice, Dimension, Space, Value
from vipose.runtime.errors import InputError

__all__ = ["PAPER_EFFICIENTPOSE_LARGE", "PAPER_EFFICIENTPOSE_SMALL", "efficientpose_choice"]

Table = tuple[tuple[int, int, int], ...]
"""(width, stride of the first layer, layers) of the four stages."""

_SMALL: Table = ((24, 2, 4), (32, 2, 6), (64, 2, 10), (96, 1, 8))
_LARGE: Table = ((32, 2, 6), (64, 2, 8), (96, 2, 10), (160, 1, 10))
_OPERATIONS: tuple[Operation, ...] = ("skip", "k3_e3", "k5_e3", "k7_e3", "k3_e6", "k5_e6", "k7_e6")


def _build(separable: int, table: Table, choice: Mapping[str, Value]) -> EfficientPoseArch:
    layers: list[MBLayer] = []
    for width, stride, depth in table:
        for index in range(depth):
            operation = cast(Operation, choice[f"layer{len(layers)}"])
            layers.append(MBLayer(operation, width, stride if index == 0 else 1))
    return EfficientPoseArch(separable=separable, layers=tuple(layers))


def _space(name: str, separable: int, table: Table) -> Space:
    firsts = [index == 0 for _, _, depth in table for index in range(depth)]
    dimensions = [Dimension(f"layer{n}", _OPERATIONS[1:] if first else _OPERATIONS) for n, first in enumerate(firsts)]
    return Space(name, tuple(dimensions), partial(_build, separable, table))


PAPER_EFFICIENTPOSE_SMALL = _space("paper-efficientpose-small", 16, _SMALL)
"""What EfficientPose-A was found in."""
PAPER_EFFICIENTPOSE_LARGE = _space("paper-efficientpose-large", 24, _LARGE)
"""What EfficientPose-B and -C were found in."""


def efficientpose_choice(arch: EfficientPoseArch, space: Space) -> Choice:
    """The choice of a space that makes a description, up to its skips, joints and head.

    A stage with fewer layers than the space's is filled up with skips at its end: EfficientPose-A writes none, and has
    two layers less than the space that it was found in.

    Raises:
        InputError: the description lies outside of the space.
    """
    biggest = space.build(space.biggest)
    assert isinstance(biggest, EfficientPoseArch)
    chosen = {place: layer for place, layer in zip(arch.places, arch.layers, strict=True)}
    made: list[Value] = []
    for place, widest in zip(biggest.places, biggest.layers, strict=True):
        layer = chosen.pop(place, MBLayer("skip", widest.width))
        if (layer.width, layer.stride) != (widest.width, widest.stride):
            raise InputError(f"network outside of the space '{space.name}': stage {place[0]} has other widths or strides")
        made.append(layer.operation)
    if chosen or arch.separable != biggest.separable or arch.stem != biggest.stem:
        raise InputError(f"network outside of the space '{space.name}': its stem or the number of layers differs")
    choice = {f"layer{n}": operation for n, operation in enumerate(made)}
    space.check(choice)
    return choice
