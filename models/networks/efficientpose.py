"""EfficientPose (Zhang et al. 2020): a chain of inverted residuals down to stride 16 and a slim transposed head.

State-dict keys, shapes and results are those of the published code (hustvl/EfficientPose at 2be99fe): layers are
``blocks.stages.x<index>_ir_k<kernel>_e<expansion>``, and a skipped layer has no keys but keeps its index.

The three styles of transposed convolutions are those of the paper's table 8, which prints 669, 469 and 600 MFLOPs for
EfficientPose-A on 256x256 crops. In its counting (``paper_gflops`` of :class:`vipose.models.search.cost.Cost`, x 1000)
they are 669.0, 469.3 and, with an expansion of 6 in the inverted residuals, 601.2 (600.1 without SIC); expansion 5 gives
576.0. The text's "decreases by 181M" fits neither its own table (200) nor this count (199.7). Table 7 counts the two
transposed convolutions alone, in decimal millions: 234.9, 369.1 and 755.0 here, where 264 (a misprint), 369 and 755 are
printed.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.blocks import ConvBN

__all__ = [
    "EFFICIENTPOSE_A",
    "EFFICIENTPOSE_B",
    "EFFICIENTPOSE_C",
    "EfficientPose",
    "EfficientPoseArch",
    "MBConv",
    "MBLayer",
    "Operation",
    "SlimHead",
    "build_stem",
    "kernel_and_expansion",
]

Operation = Literal["skip", "k3_e3", "k5_e3", "k7_e3", "k3_e6", "k5_e6", "k7_e6"]
_OPERATION = re.compile(r"k(\d)_e(\d)")
_LAYER_KEY = re.compile(r"blocks\.stages\.(x\d+)_ir_k\d_e\d\.")


def kernel_and_expansion(operation: Operation) -> tuple[int, int]:
    """(kernel, expansion) of an operation that is no skip, e.g. (5, 3) of ``k5_e3``."""
    found = _OPERATION.fullmatch(operation)
    if found is None:
        raise ValueError(f"operation {operation!r} has neither kernel nor expansion")
    return int(found[1]), int(found[2])


@dataclass(frozen=True)
class MBLayer:
    """One place in the chain.

    Attributes:
        operation: kernel and expansion of an inverted residual, or ``skip``: the identity.
        width: channels out of it.
        stride: 1 or 2.
    """

    operation: Operation
    width: int
    stride: int = 1


@dataclass(frozen=True)
class SlimHead:
    """Two transposed convolutions from stride 16 to 4.

    Attributes:
        widths: channels of each; the paper's table 7 has 64/32, 64/64 and 96/96.
        style: ``plain``: dense 4x4 (published). ``mbv1``: depthwise 4x4, then 1x1 (MobileNetV1's separable convolution).
            ``mbv2``: 1x1 to ``expansion`` times the inputs, depthwise 4x4, 1x1 (MobileNetV2's inverted residual).
        correction: the SIC module, a depthwise 3x3 convolution after them against checkerboard patterns.
        expansion: of ``mbv2``; the paper does not print it, 6 agrees best with its count.
    """

    widths: tuple[int, int] = (64, 32)
    style: Literal["plain", "mbv1", "mbv2"] = "plain"
    correction: bool = True
    expansion: int = 6


@dataclass(frozen=True, kw_only=True)
class EfficientPoseArch(Architecture):
    """A frozen description of one network; ``fusion`` is not possible, the family takes single frames.

    Attributes:
        stem: channels after the first 3x3 convolution (stride 2).
        separable: channels after the separable convolution that follows it ("S").
        layers: in order; their strides multiply to 8.
        head: from stride 16 to 4.
    """

    family = "efficientpose"
    takes_fusion = False

    stem: int = 32
    separable: int = 16
    layers: tuple[MBLayer, ...]
    head: SlimHead = field(default_factory=SlimHead)

    def __post_init__(self) -> None:
        if self.fusion is not None:
            raise ValueError("EfficientPose takes single frames: it has no place for the last frame's heatmaps")
        inputs, stride = self.separable, 2
        for number, layer in enumerate(self.layers):
            if layer.operation == "skip" and (layer.stride != 1 or layer.width != inputs):
                raise ValueError(f"layer {number} is skipped but changes {inputs} channels or the stride")
            inputs, stride = layer.width, stride * layer.stride
        if stride != 16:
            raise ValueError(f"layers down to stride {stride}: want 16")

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """(stage, index in it) of every layer, skipped ones too; stages count from 1, indices from 0.

        A stage begins where the width or the stride changes, as in the paper's table 1.
        """
        places: list[tuple[int, int]] = []
        stage, index, width = 0, 0, 0
        for layer in self.layers:
            begins = layer.width != width or layer.stride > 1
            stage, index, width = stage + begins, 0 if begins else index + 1, layer.width
            places.append((stage, index))
        return tuple(places)


class MBConv(nn.Module):
    """Expand 1x1, depthwise, project 1x1; identity shortcut where shapes allow (MobileNetV2's inverted residual, ReLU)."""

    def __init__(self, inputs: int, width: int, kernel: int, expansion: int, stride: int = 1) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.pw = ConvBN(inputs, hidden, 1, nn.ReLU())
        self.dw = ConvBN(hidden, hidden, kernel, nn.ReLU(), stride, groups=hidden)
        self.pwl = ConvBN(hidden, width, 1, None)
        self.residual = stride == 1 and inputs == width
        he_normal(self)

    def extra_repr(self) -> str:
        return f"residual={self.residual}"

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pwl(self.dw(self.pw(x)))
        return x + y if self.residual else y


def he_normal(module: nn.Module) -> None:
    """Start the convolutions of every :class:`ConvBN` in a module He-normal (fan-out), as the published code does."""
    for part in module.modules():
        if isinstance(part, ConvBN) and not part.conv.weight.is_meta:  # drawing there imports half of PyTorch's compiler
            nn.init.kaiming_normal_(part.conv.weight, mode="fan_out", nonlinearity="relu")


def build_stem(stem: int, separable: int) -> nn.Sequential:
    """Images [N, 3, H, W] to [N, separable, H / 2, W / 2]: 3x3 with stride 2, depthwise 3x3, linear 1x1."""
    made = nn.Sequential(
        ConvBN(3, stem, 3, nn.ReLU(), 2),
        ConvBN(stem, stem, 3, nn.ReLU(), groups=stem),
        nn.Conv2d(stem, separable, 1, bias=False),
        nn.BatchNorm2d(separable),
    )
    he_normal(made)
    return made


class _Blocks(nn.Module):
    """Holds the chain under its published name, ``blocks.stages``."""

    def __init__(self, arch: EfficientPoseArch) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        inputs = arch.separable
        for number, layer in enumerate(arch.layers):
            if layer.operation != "skip":
                kernel, expansion = kernel_and_expansion(layer.operation)
                name = f"x{number}_ir_{layer.operation}"
                layers[name] = MBConv(inputs, layer.width, kernel, expansion, layer.stride)
            inputs = layer.width
        self.stages = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.stages(x)
        return out


def _depthwise_up(width: int) -> list[nn.Module]:
    deconv = nn.ConvTranspose2d(width, width, 4, 2, 1, groups=width, bias=False)
    return [deconv, nn.BatchNorm2d(width), nn.ReLU()]


def _pointwise(inputs: int, width: int, relu: bool = True) -> list[nn.Module]:
    layers = [nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)]
    return [*layers, nn.ReLU()] if relu else layers


def _doubling(inputs: int, width: int, head: SlimHead) -> list[nn.Module]:
    """Layers that double height and width."""
    if head.style == "plain":
        return [nn.ConvTranspose2d(inputs, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    if head.style == "mbv1":
        return [*_depthwise_up(inputs), *_pointwise(inputs, width)]
    hidden = inputs * head.expansion
    return [*_pointwise(inputs, hidden), *_depthwise_up(hidden), *_pointwise(hidden, width, relu=False)]


class EfficientPose(PoseNetwork):
    """Normalised crops [N, 3, H, W], H and W multiples of 32, to heatmaps [N, K, H / 4, W / 4]."""

    arch: EfficientPoseArch

    def __init__(self, arch: EfficientPoseArch) -> None:
        super().__init__(arch)
        self.first = build_stem(arch.stem, arch.separable)
        self.blocks = _Blocks(arch)
        first, second = arch.head.widths
        one = _doubling(arch.layers[-1].width, first, arch.head)
        other = _doubling(first, second, arch.head)
        self.deconv_layers = nn.Sequential(*one, *other)
        # Without the correction the convolution that follows keeps its place and its keys.
        correction = nn.Conv2d(second, second, 3, 1, 1, groups=second, bias=False) if arch.head.correction else nn.Identity()
        self.final = nn.Sequential(correction, nn.ReLU(), nn.Conv2d(second, arch.joints, 1))
        # Views on the flat list; in a tuple, so that they are not registered and bring no keys of their own.
        self._doublings = (nn.Sequential(*one), nn.Sequential(*other))

    def fusion_site(self, stage: int) -> tuple[int, int]:
        raise ValueError("EfficientPose takes single frames: no stage fuses heatmaps")

    def mb_layers(self) -> Iterator[tuple[int, int, MBConv]]:
        """(stage, index in it, layer) of every inverted residual; see :attr:`EfficientPoseArch.places`."""
        kept = [place for place, layer in zip(self.arch.places, self.arch.layers, strict=True) if layer.operation != "skip"]
        for (stage, index), layer in zip(kept, self.blocks.stages, strict=True):
            assert isinstance(layer, MBConv)
            yield stage, index, layer

    def parts(self) -> list[tuple[str, nn.Module]]:
        layers = [(f"layers.{name}", layer) for name, layer in self.blocks.stages.named_children()]
        head = [(f"deconv{n}", layer) for n, layer in enumerate(self._doublings, 1)]
        return [("stem", self.first), *layers, *head, ("final", self.final)]

    def canonical(self, key: str) -> str:
        return _LAYER_KEY.sub(r"blocks.stages.\1.", key)

    def forward(self, image: Tensor, previous: Tensor | None = None) -> Tensor:
        x = self.blocks(self.first(image))
        for layer in self._doublings:
            x = layer(x)
        out: Tensor = self.final(x)
        return out


def _chain(*stages: tuple[int, int, str]) -> tuple[MBLayer, ...]:
    """Layers of stages (width, stride of the first layer, operations as in keys: ``36`` is k3_e6, ``-`` a skip)."""
    layers = []
    for width, stride, operations in stages:
        for index, word in enumerate(operations.split()):
            operation: str = "skip" if word == "-" else f"k{word[0]}_e{word[1]}"
            layers.append(MBLayer(operation, width, stride if index == 0 else 1))  # type: ignore[arg-type]
    return tuple(layers)


EFFICIENTPOSE_A = EfficientPoseArch(
    layers=_chain(
        (24, 2, "36 73 36 33"),
        (32, 2, "36 33 53 33 33 33"),
        (64, 2, "56 73 73 73 73 73 73 73"),
        (96, 1, "56 56 76 56 73 73 73 76"),
    ),
)
"""1.30 M parameters; 0.54 GMACs on 256x256 crops."""

EFFICIENTPOSE_B = EfficientPoseArch(
    separable=24,
    layers=_chain(
        (32, 2, "36 36 53 73 53 73"),
        (64, 2, "56 53 73 73 73 73 73 73"),
        (96, 2, "76 56 56 73 73 36 73 76 76 73"),
        (160, 1, "73 73 73 73 73 73 - 73 76 73"),
    ),
)
"""3.25 M parameters; 1.39 GMACs on 256x256 crops."""

EFFICIENTPOSE_C = EfficientPoseArch(
    separable=24,
    layers=_chain(
        (32, 2, "53 36 33 33 - 53"),
        (64, 2, "36 76 56 36 56 36 36 36"),
        (96, 2, "76 76 76 76 76 76 76 76 73 76"),
        (160, 1, "76 76 73 73 76 76 76 76 76 76"),
    ),
)
"""5.00 M parameters; 1.86 GMACs on 256x256 crops."""
