"""Cells of PoseNAS (Bao et al., ACM MM 2020): what a genotype is, the operations on its edges, and the module that runs one.

A cell has two input states and four nodes. Every node adds up two operations, each on an earlier state; the output is the
concatenation of the nodes. Operations and keys are those of the released code (for-code0216/PoseNAS at 743c062).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "NODES", "OPERATIONS", "Cell", "CellModule", "CellOperation", "CellPlace", "Edge", "FactorizedReduce", "GenotypeCell",
    "make_operation", "preprocessing", "relu_conv_bn",
]  # fmt: skip

CellOperation = Literal[
    "skip_connect", "max_pool_3x3", "avg_pool_3x3", "se_connect", "std_conv_1x1", "dil_conv_3x3_4", "dil_conv_3x3_2",
    "std_conv_3x3",
]  # fmt: skip
"""The released operation table from the cheapest to the dearest, without two of its entries: ``none``, which a derived cell
never holds, and ``spatial_wise``, which is not described anywhere."""
OPERATIONS: tuple[CellOperation, ...] = get_args(CellOperation)
NODES = 4
Kind = Literal["normal", "reduction", "fusion"]


@dataclass(frozen=True)
class Edge:
    """One operation of a cell, on state ``source``: 0 and 1 are the inputs, 2 to 4 the nodes before."""

    operation: CellOperation
    source: int

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise ValueError(f"cell operation {self.operation!r} is unknown; there are {', '.join(OPERATIONS)}")


@dataclass(frozen=True)
class Cell:
    """The genotype of a cell: the two edges of each of its nodes, which are states 2 to 5."""

    nodes: tuple[tuple[Edge, Edge], ...]

    def __post_init__(self) -> None:
        if len(self.nodes) != NODES:
            raise ValueError(f"a cell of {len(self.nodes)} nodes; want {NODES}")
        for number, edges in enumerate(self.nodes, 2):
            for edge in edges:
                if not 0 <= edge.source < number:
                    raise ValueError(
                        f"node {number} of a cell takes state {edge.source}; want one of 0 to {number - 1}"
                    )

    @classmethod
    def of(cls, *nodes: str) -> Cell:
        """From one text a node, as in ``Cell.of("std_conv_3x3:1 skip_connect:0", ...)``.

        Raises:
            ValueError: an unknown operation, an impossible source, or not two edges in each of four nodes.
        """
        made = []
        for text in nodes:
            edges = [_edge(word) for word in text.split()]
            if len(edges) != 2:
                raise ValueError(f"cell node '{text}' has {len(edges)} edges; want 2")
            made.append((edges[0], edges[1]))
        return cls(tuple(made))

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All eight, node by node: the order of the released ``_ops``."""
        return tuple(edge for node in self.nodes for edge in node)


@dataclass(frozen=True)
class CellPlace:
    """Where a cell stands in a network.

    Attributes:
        kind: ``normal`` and ``reduction`` (half the resolution) in an encoder, ``fusion`` in a decoder.
        inputs: channels of the two inputs. Of an encoder cell: outputs of the last cell but one and of the last; of a
            fusion cell: the coarse features, at half the resolution, and the fine ones.
        width: channels of its states; it puts out four times as many.
        after_reduction: the last cell halved the resolution, so that the first input is twice as large as the second.
        level: of a fusion cell: 0, 1, 2 from stride 32 to 16, 16 to 8, 8 to 4.
        project_first: a fusion cell convolves the coarse features before it up-samples them.
    """

    kind: Kind
    inputs: tuple[int, int]
    width: int
    after_reduction: bool = False
    level: int = 0
    project_first: bool = False

    @property
    def name(self) -> str:
        """Of the genotype that stands there: ``normal``, ``reduction``, ``fusion0``, ``fusion1`` or ``fusion2``."""
        return f"fusion{self.level}" if self.kind == "fusion" else self.kind

    def stride(self, source: int) -> int:
        """Of an operation on this state: a reduction cell reads its inputs in strides of 2."""
        return 2 if self.kind == "reduction" and source < 2 else 1


class CellModule(nn.Module, ABC):
    """What stands at a place of a network: two tensors to [N, 4 x width, h, w]."""

    def __init__(self, place: CellPlace) -> None:
        super().__init__()
        self.place = place
        self.preprocess0, self.preprocess1 = preprocessing(place)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        states = [self.preprocess0(first), self.preprocess1(second)]
        for number in range(2, 2 + NODES):
            states.append(self.node(number, states))
        return torch.cat(states[2:], 1)

    @abstractmethod
    def node(self, number: int, states: list[Tensor]) -> Tensor:
        """State ``number``, 2 to 5, from those before it."""

    def parts(self) -> list[tuple[str, nn.Module]]:
        """See :meth:`vipose.models.networks.base.PoseNetwork.parts`; sums and concatenations are in none of them."""
        return [("preprocess0", self.preprocess0), ("preprocess1", self.preprocess1)]


class GenotypeCell(CellModule):
    """A cell with a genotype, under the released keys ``preprocess0``, ``preprocess1`` and ``_ops``."""

    def __init__(self, cell: Cell, place: CellPlace) -> None:
        super().__init__(place)
        made = [make_operation(e.operation, place.width, place.stride(e.source)) for e in cell.edges]
        self._ops = nn.ModuleList(made)
        self.genotype = cell

    def operations(self) -> list[nn.Module]:
        """Of all eight edges, node by node."""
        return list(self._ops)

    def node(self, number: int, states: list[Tensor]) -> Tensor:
        first = 2 * (number - 2)
        one, other = self.genotype.nodes[number - 2]
        out: Tensor = self._ops[first](states[one.source]) + self._ops[first + 1](states[other.source])
        return out

    def parts(self) -> list[tuple[str, nn.Module]]:
        operations = [(f"_ops.{n}", op) for n, op in enumerate(self._ops) if not isinstance(op, nn.Identity)]
        return [*super().parts(), *operations]


def preprocessing(place: CellPlace) -> tuple[nn.Module, nn.Module]:
    """What brings the two inputs of a cell to its width and resolution."""
    first, second = place.inputs
    if place.kind == "fusion":
        make = _ProjectThenUpsample if place.project_first else _UpsampleThenProject
        return make(first, place.width), ReluConvBN(second, place.width, 1)
    reduce = FactorizedReduce if place.after_reduction else ReluConvBN
    return reduce(first, place.width), ReluConvBN(second, place.width, 1)


def make_operation(name: CellOperation, width: int, stride: int = 1, affine: bool = True) -> nn.Module:
    """An operation of the table on ``width`` channels.

    Args:
        stride: 1 or 2; ``skip_connect`` with stride 2 is a :class:`FactorizedReduce`, as in DARTS (Liu et al. 2019).
        affine: whether its batch norm has a scale and a bias; in a search it has none (DARTS, section 3.1.1).

    Raises:
        ValueError: ``se_connect`` with a stride, which the released code does not have.
    """
    if name == "se_connect" and stride != 1:
        raise ValueError("cell operation 'se_connect' cannot halve the resolution; give it another source or operation")
    return _MAKERS[name](width, stride, affine)


def relu_conv_bn(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1, affine: bool = True
) -> nn.Sequential:
    """ReLU, which leaves its input as it is, dense convolution without bias, batch norm."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(outputs, affine=affine))


class ReluConvBN(nn.Module):
    """:func:`relu_conv_bn` under the released keys ``net.1`` and ``net.2``."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1, affine: bool = True
    ) -> None:
        super().__init__()
        self.net = relu_conv_bn(inputs, outputs, kernel, stride, dilation, affine)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class FactorizedReduce(nn.Module):
    """Half the resolution without a kernel: two strided 1x1 convolutions, one pixel apart, each to half of the channels."""

    def __init__(self, inputs: int, outputs: int, affine: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.conv2 = nn.Conv2d(inputs, outputs - outputs // 2, 1, 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(x)
        out: Tensor = self.bn(torch.cat([self.conv1(x), self.conv2(x[:, :, 1:, 1:])], 1))
        return out


class _Pool(nn.Module):
    """A 3x3 pooling and batch norm; at the border an average is over real pixels only."""

    def __init__(self, pool: nn.Module, width: int, affine: bool) -> None:
        super().__init__()
        self.pool, self.bn = pool, nn.BatchNorm2d(width, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.pool(x))
        return out


class _SqueezeExcite(nn.Module):
    """Channels weighted by a gate from their means, with as many hidden channels as there are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.fc1(functional.adaptive_avg_pool2d(x, 1)))
        return x * torch.sigmoid(self.fc2(hidden))


class _UpsampleThenProject(nn.Sequential):
    """Twice the resolution by copying, then ReLU, 1x1 convolution and batch norm (released keys ``1.net``)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Upsample(scale_factor=2.0, mode="nearest"), ReluConvBN(inputs, outputs))


class _ProjectThenUpsample(_UpsampleThenProject):
    """The same function under the same keys, in the order that takes a quarter of the MACs."""

    def forward(self, input: Tensor) -> Tensor:
        upsample, project = self
        out: Tensor = upsample(project(input))
        return out


def _conv(kernel: int, dilation: int = 1) -> Callable[[int, int, bool], nn.Module]:
    return lambda width, stride, affine: ReluConvBN(width, width, kernel, stride, dilation, affine)


def _skip(width: int, stride: int, affine: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(width, width, affine)


def _max_pool(width: int, stride: int, affine: bool) -> nn.Module:
    return _Pool(nn.MaxPool2d(3, stride, 1), width, affine)


def _avg_pool(width: int, stride: int, affine: bool) -> nn.Module:
    return _Pool(nn.AvgPool2d(3, stride, 1, count_include_pad=False), width, affine)


_MAKERS: dict[CellOperation, Callable[[int, int, bool], nn.Module]] = {
    "skip_connect": _skip,
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _avg_pool,
    "se_connect": lambda width, stride, affine: _SqueezeExcite(width),
    "std_conv_1x1": _conv(1),
    "dil_conv_3x3_4": _conv(3, 4),
    "dil_conv_3x3_2": _conv(3, 2),
    "std_conv_3x3": _conv(3),
}


def _edge(text: str) -> Edge:
    operation, _, source = text.partition(":")
    if not source.isdecimal():
        raise ValueError(f"cell edge '{text}' has no source; write it like std_conv_3x3:1")
    return Edge(operation, int(source))  # type: ignore[arg-type]  # checked there
