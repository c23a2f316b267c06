"""Super-networks: sub-networks share weights by slicing (ViPNAS, section 3.2 and appendix A.1).

The biggest network holds all weights. A sub-network is an ordinary network whose parameters are views into it: the first
output and input channels (width, expansion, groups: a filter keeps its first C / G input slices), the centre of a kernel,
the first blocks of a stage (depth), and no attention keys where attention is off. So one rule serves every family, and an
extracted sub-network computes bit for bit what it computed inside the super-network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vipose.models.networks.architecture import Architecture, Operator
from vipose.models.networks.base import HeatmapFusion, PoseNetwork
from vipose.models.networks.registry import build

__all__ = ["SuperNetwork", "cut", "skeleton"]

OPERATORS: tuple[Operator, ...] = ("add", "mul", "cat")


@lru_cache(maxsize=512)
def skeleton(arch: Architecture) -> PoseNetwork:
    """The network of a description without weights (on the meta device), in training mode; cached, do not change it."""
    with torch.device("meta"):
        return build(arch).train()


def cut(tensor: Tensor, shape: tuple[int, ...], segments: int = 1) -> Tensor:
    """The part of a super-network's tensor that a sub-network uses, as a view where possible.

    Args:
        tensor: a parameter or buffer of the super-network.
        shape: of the sub-network's; kernels (the last two of four axes) are taken from the centre, the rest from the start.
        segments: equal parts of the input channels that are each cut for themselves (a convolution on a concatenation).

    Raises:
        ValueError: the sub-network's tensor is larger, or has other axes.
    """
    if tensor.ndim != len(shape) or any(n < m for n, m in zip(tensor.shape, shape, strict=True)):
        raise ValueError(f"cannot cut {shape} out of {tuple(tensor.shape)}")
    if tuple(tensor.shape) == shape:
        return tensor
    for axis, (whole, part) in enumerate(zip(tensor.shape, shape, strict=True)):
        if whole == part:
            continue
        if segments > 1 and axis == 1:
            pieces = tensor.chunk(segments, 1)
            tensor = torch.cat([piece[:, : part // segments] for piece in pieces], 1)
        else:
            tensor = tensor.narrow(axis, (whole - part) // 2 if axis >= 2 and tensor.ndim == 4 else 0, part)
    return tensor


class SuperNetwork(nn.Module):
    """All weights of a space, and how to run or extract any of its sub-networks.

    Args:
        biggest: description that contains every sub-network.
        temporal: also hold one fusion module for every stage and operator, so that sub-networks may have ``fusion``.
    """

    def __init__(self, biggest: Architecture, temporal: bool = False) -> None:
        super().__init__()
        self.biggest = replace(biggest, fusion=None)
        self.network = build(self.biggest)
        self.fusions = nn.ModuleDict()
        if temporal:
            for stage in (1, 2, 3, 4):
                width, ratio = self.network.fusion_site(stage)
                for operator in OPERATORS:
                    self.fusions[f"{stage}-{operator}"] = HeatmapFusion(biggest.joints, width, ratio, operator)

    def forward(self, image: Tensor, previous: Tensor | None = None, *, arch: Architecture) -> Tensor:
        """Run one sub-network; in training mode batch norms use the batch, and only the biggest keeps statistics."""
        network = skeleton(arch)
        network.train(self.training)
        state = dict(self._slices(arch, network))
        if self.training and arch != self.biggest:
            # Statistics of different widths do not mix; they are estimated again for what a search looks at.
            buffers = {name for name, _ in network.named_buffers()}
            state = {k: v.clone() if k in buffers else v for k, v in state.items()}
        out: Tensor = functional_call(network, state, (image, previous))
        return out

    def extract(self, arch: Architecture) -> PoseNetwork:
        """A sub-network with weights of its own."""
        network = build(arch)
        with torch.no_grad():
            network.load_state_dict({k: v.clone() for k, v in self._slices(arch, network)})
        return network.train(self.training)

    @torch.no_grad()
    def embed(self, network: PoseNetwork) -> None:
        """Copy a trained sub-network's weights into their place; the rest stays as it is.

        Raises:
            ValueError: the network is not one of this super-network's.
        """
        own, mine = network.state_dict(), self._index()
        for key, name, segments in self._places(network.arch, network):
            whole = mine[name].chunk(segments, 1) if segments > 1 else (mine[name],)
            parts = own[key].chunk(segments, 1) if segments > 1 else (own[key],)
            for target, part in zip(whole, parts, strict=True):
                cut(target, tuple(part.shape)).copy_(part)

    def _slices(self, arch: Architecture, network: PoseNetwork) -> Iterator[tuple[str, Tensor]]:
        """(key, tensor) of every parameter and buffer of a sub-network, cut out of this one's."""
        mine = self._index()
        shapes = {k: tuple(v.shape) for k, v in [*network.named_parameters(), *network.named_buffers()]}
        for key, name, segments in self._places(arch, network):
            yield key, cut(mine[name], shapes[key], segments)

    def _places(self, arch: Architecture, network: PoseNetwork) -> Iterator[tuple[str, str, int]]:
        """(key in the sub-network, name in this one's index, segments of its input) of every parameter and buffer."""
        mine, segments = self._index(), _segments(arch)
        for key in (k for k, _ in [*network.named_parameters(), *network.named_buffers()]):
            if arch.fusion is not None and key.startswith("fusion."):
                name = f"fusions.{arch.fusion.stage}-{arch.fusion.operator}.{key.removeprefix('fusion.')}"
            else:
                name = network.canonical(key)
            if name not in mine:
                raise ValueError(f"'{key}' is not part of the super-network: the description lies outside of it")
            yield key, name, segments.get(key, 1)

    def _index(self) -> dict[str, Tensor]:
        """Tensors by canonical key; fusion modules by their place."""
        named = [*self.network.named_parameters(), *self.network.named_buffers()]
        index = {self.network.canonical(key): tensor for key, tensor in named}
        for key, tensor in [*self.fusions.named_parameters(), *self.fusions.named_buffers()]:
            index[f"fusions.{key}"] = tensor
        return index


@lru_cache(maxsize=512)
def _segments(arch: Architecture) -> dict[str, int]:
    """Weights of convolutions on a concatenation, with the number of things concatenated."""
    found = {name: getattr(module, "input_segments", 1) for name, module in skeleton(arch).named_modules()}
    return {f"{name}.weight": int(n) for name, n in found.items() if n > 1}
