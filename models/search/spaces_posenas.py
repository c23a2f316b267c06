"""``paper-posenas`` and ``fast-posenas`` (PoseNAS, Bao et al. 2020): genotypes of five cells on a fixed skeleton.

The cells are the encoder's normal and reduction cell and the three fusion cells of the decoder. Each has four nodes, and
each node two edges: which states they come from, and one operation each. So there are three dimensions a node:
``normal.2.sources`` with values like ``1,0``, ``normal.2.0`` and ``normal.2.1`` with operations in that order.

Networks of these spaces share no weights by slicing; they are searched by ``vipose search differentiable``. A genotype
that was found also stands on other skeletons: it is in the description, beside ``channels``, ``cells`` and ``refine``.

What the papers leave open:

- Which operations were searched is not published. Here: all of the released table that are described, but no
  ``se_connect`` in encoder cells, since it cannot halve the resolution; the released encoder cells hold none either.
- The released configuration searches with 12 cells of 32 channels. Where its reductions lie, and whether there are refine
  cells, is not said. Here: three cells a stride, as the released refine cells lie, and one refine cell a stride.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import permutations
from typing import cast

from vipose.models.networks.cells import NODES, OPERATIONS, Cell, CellOperation, Edge
from vipose.models.networks.posenas import POSENAS_SMALL, PoseNASArch
from vipose.models.search.space import Choice, Dimension, Space, Value

__all__ = ["CELLS", "FAST_POSENAS", "PAPER_POSENAS", "genotype_space", "posenas_choice"]

CELLS = ("normal", "reduction", "fusion0", "fusion1", "fusion2")
"""Names of the genotypes, as dimensions begin."""
_ENCODER = tuple(operation for operation in OPERATIONS if operation != "se_connect")
_FAST: tuple[CellOperation, ...] = ("skip_connect", "max_pool_3x3", "std_conv_1x1", "dil_conv_3x3_2", "std_conv_3x3")


def posenas_choice(arch: PoseNASArch, space: Space) -> Choice:
    """The choice of a space that makes a description's genotypes; its skeleton is not looked at.

    Raises:
        InputError: a genotype lies outside of the space.
    """
    choice: Choice = {}
    for name, cell in zip(CELLS, (arch.normal, arch.reduction, *arch.fusion_cells), strict=True):
        for number, edges in enumerate(cell.nodes, 2):
            choice[f"{name}.{number}.sources"] = ",".join(str(edge.source) for edge in edges)
            choice |= {f"{name}.{number}.{slot}": edge.operation for slot, edge in enumerate(edges)}
    space.check(choice)
    return choice


def _build(skeleton: PoseNASArch, choice: Mapping[str, Value]) -> PoseNASArch:
    normal, reduction, first, second, third = (_cell(choice, name) for name in CELLS)
    return replace(skeleton, normal=normal, reduction=reduction, fusion_cells=(first, second, third))


def _cell(choice: Mapping[str, Value], name: str) -> Cell:
    nodes = []
    for number in range(2, 2 + NODES):
        sources = str(choice[f"{name}.{number}.sources"]).split(",")
        operations = [cast(CellOperation, choice[f"{name}.{number}.{slot}"]) for slot in (0, 1)]
        one, other = (Edge(operation, int(source)) for operation, source in zip(operations, sources, strict=True))
        nodes.append((one, other))
    return Cell(tuple(nodes))


def _dimensions(name: str, operations: tuple[CellOperation, ...]) -> list[Dimension]:
    made = []
    for number in range(2, 2 + NODES):
        pairs = tuple(f"{one},{other}" for one, other in permutations(range(number), 2))
        made.append(Dimension(f"{name}.{number}.sources", pairs))
        made += [Dimension(f"{name}.{number}.{slot}", operations) for slot in (0, 1)]
    return made


def genotype_space(
    name: str, skeleton: PoseNASArch, encoder: tuple[CellOperation, ...], fusion: tuple[CellOperation, ...]
) -> Space:
    """All genotypes on a skeleton.

    Args:
        name: of the space.
        skeleton: what all its networks share; its own genotypes do not matter.
        encoder, fusion: operations of the encoder's cells and of the fusion cells, from the cheapest to the dearest.
    """
    kinds = [encoder if cell in ("normal", "reduction") else fusion for cell in CELLS]
    dimensions = [d for cell, operations in zip(CELLS, kinds, strict=True) for d in _dimensions(cell, operations)]
    return Space(name, tuple(dimensions), partial(_build, skeleton), elastic=False)


PAPER_POSENAS = genotype_space(
    "paper-posenas", PoseNASArch(channels=32, cells=(3, 3, 3, 3), refine=(1, 1, 1, 1)), _ENCODER, OPERATIONS
)
FAST_POSENAS = genotype_space("fast-posenas", POSENAS_SMALL, _FAST, _FAST)
"""On the skeleton of ``posenas-small``. Left out: gates, which are passes of their own in ONNX Runtime; average pooling, where
max pooling is known to stay in its blocked layout; dilation 4, which no released cell holds."""
