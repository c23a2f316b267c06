"""A small single-class, anchor-free person detector: fused Lite0, a top-down neck, one tower shared by three levels.

Each cell of the levels at strides 8, 16 and 32 predicts a quality score (the IoU its box is going to have, as in
Generalized Focal Loss, Li et al. 2020) and the distances from its centre to the four sides of the box (FCOS, Tian et
al. 2019), as ``softplus(x) * stride``. Everything is convolution, ReLU and nearest up-sampling, which ONNX Runtime
keeps in its blocked layout.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vipose.models.networks.base import conv_bn
from vipose.models.networks.lite0 import IMAGENET_MEAN, IMAGENET_STD, FusedLite0

__all__ = ["STRIDES", "Detector", "DetectorArch", "DetectorGraph", "Tower", "cell_centres", "decode"]

STRIDES = (8, 16, 32)
_PRIOR = -4.0  # first score of every cell, as a logit: few cells hold a person


@dataclass(frozen=True)
class DetectorArch:
    """A frozen description of one detector; ``to_json`` and ``from_json`` are inverse.

    Attributes:
        blocks: which of Lite0's blocks 5 to 14 are kept after the fused stem.
        width: channels of the neck and the head.
        tower: 3x3 convolutions of the head before its outputs, shared by the levels.
    """

    blocks: tuple[int, ...] = (5, 6, 7, 8, 9, 11)
    width: int = 48
    tower: int = 1

    def to_json(self) -> dict[str, Any]:
        return {"family": "lite0-fcos", **asdict(self), "blocks": list(self.blocks)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DetectorArch:
        """Rebuild a description; raises ValueError for another family."""
        if data.get("family") != "lite0-fcos":
            raise ValueError(f"architecture family {data.get('family')!r}: want 'lite0-fcos'")
        fields = {k: v for k, v in data.items() if k != "family"}
        fields["blocks"] = tuple(fields["blocks"])
        return cls(**fields)


class Neck(nn.Module):
    """Top-down feature pyramid (Lin et al. 2017): 1x1 laterals, nearest x2, sum, one 3x3 a level."""

    def __init__(self, widths: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(conv_bn(w, width, 1, relu=False) for w in widths)
        self.smooth = nn.ModuleList(conv_bn(width, width) for _ in widths)

    def forward(self, features: tuple[Tensor, ...]) -> list[Tensor]:
        levels: list[Tensor] = []
        for level in (2, 1, 0):
            x = self.laterals[level](features[level])
            if levels:
                x = x + functional.interpolate(levels[0], scale_factor=2.0, mode="nearest")
            levels.insert(0, self.smooth[level](functional.relu(x)))
        return levels


class Tower(nn.Module):
    """3x3 convolutions shared by all levels, with batch norms of each level's own (RTMDet).

    One norm for all would be trained on each level's statistics and run on their mixture.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(nn.ModuleList(nn.BatchNorm2d(width) for _ in range(depth)) for _ in STRIDES)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        outputs = []
        for level, (norms, x) in enumerate(zip(self.norms, levels, strict=True)):
            for conv, norm in zip(self.convs_of(level), cast(nn.ModuleList, norms), strict=True):
                x = functional.relu(norm(conv(x)))
            outputs.append(x)
        return outputs

    def convs_of(self, level: int) -> nn.ModuleList:
        """The convolutions that a level goes through, finest level first: the same for all."""
        return self.convs


class Detector(nn.Module):
    """Normalised RGB [N, 3, H, W] to a map [N, 5, H / s, W / s] a level: score logit; l, t, r, b before softplus."""

    def __init__(self, arch: DetectorArch) -> None:
        super().__init__()
        self.arch = arch
        self.backbone = FusedLite0(arch.blocks)
        self.neck = Neck(FusedLite0.widths, arch.width)
        self.tower = Tower(arch.width, arch.tower)
        self.outputs = nn.ModuleList(nn.Conv2d(arch.width, 5, 1) for _ in STRIDES)
        for parameter in self.outputs.parameters():
            with torch.no_grad():
                if parameter.ndim == 1:
                    parameter.copy_(torch.tensor([_PRIOR, 1.5, 2.0, 1.5, 2.0]))
                else:
                    parameter.normal_(std=0.01)

    @torch.no_grad()
    def calibrate(self, slope: float, offset: float) -> None:
        """Replace every score logit x by slope * x + offset, in the weights of the outputs."""
        for output in self.outputs:
            weight, bias = output.get_parameter("weight"), output.get_parameter("bias")
            weight[0] *= slope
            bias[0] = slope * bias[0] + offset

    def forward(self, image: Tensor) -> list[Tensor]:
        levels = self.tower(self.neck(self.backbone(image)))
        return [output(x) for output, x in zip(self.outputs, levels, strict=True)]


def cell_centres(height: int, width: int, stride: int) -> Tensor:
    """[height * width, 2] x, y of the cells' centres in input pixels, row by row."""
    offset = (stride - 1) / 2
    xs = torch.arange(width) * float(stride) + offset
    ys = torch.arange(height) * float(stride) + offset
    grid_x = xs.unsqueeze(0) + torch.zeros_like(ys).unsqueeze(1)
    grid_y = ys.unsqueeze(1) + torch.zeros_like(xs).unsqueeze(0)
    return torch.stack([grid_x, grid_y], -1).reshape(-1, 2)


def decode(levels: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Maps of :class:`Detector` to boxes [N, M, 4] (x0 y0 x1 y1, input pixels) and score logits [N, M]."""
    boxes, logits = [], []
    for stride, level in zip(STRIDES, levels, strict=True):
        flat = level.flatten(2).transpose(1, 2)
        distance = functional.softplus(flat[..., 1:]) * stride
        centres = cell_centres(level.shape[2], level.shape[3], stride)
        boxes.append(torch.cat([centres - distance[..., :2], centres + distance[..., 2:]], -1))
        logits.append(flat[..., 0])
    return torch.cat(boxes, 1), torch.cat(logits, 1)


class DetectorGraph(nn.Module):
    """What is exported: uint8 RGB [N, H, W, 3] to boxes [N, M, 4] and scores [N, M] in [0, 1].

    Labels, and so :func:`decode`, measure from the outer edge of the first pixel; boxes that leave the graph have pixel
    centres at integers, half a pixel less. The detector's weights are changed, so give it a copy.

    Division by the standard deviation is folded into the first convolution; the mean is subtracted in the graph, since
    the padding of that convolution is zero only after it.
    """

    mean: Tensor

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1))
        with torch.no_grad():
            detector.backbone.stem.first.weight.div_(torch.tensor(IMAGENET_STD).reshape(1, 3, 1, 1))

    def maps(self, image: Tensor) -> list[Tensor]:
        """The detector's maps, before decoding."""
        return cast(list[Tensor], self.detector(image.permute(0, 3, 1, 2).float() - self.mean))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        boxes, logits = decode(self.maps(image))
        return boxes - 0.5, torch.sigmoid(logits)
