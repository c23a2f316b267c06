"""Heads that bring features of stride 32 to heatmaps of stride 4: transposed convolutions, or nearest up-sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from vipose.models.networks.blocks import ConvBN

__all__ = ["DeconvHead", "Head", "NearestHead", "build_head"]


@dataclass(frozen=True, kw_only=True)
class Head:
    """A frozen description of a head. Every layer doubles height and width.

    Attributes:
        upsampling: ``deconv``: transposed convolutions, as published. ``nearest``: a 1x1 convolution, nearest
            up-sampling and a depthwise convolution, which ONNX Runtime runs several times faster.
        widths: channels of each layer.
        groups: of each transposed convolution; empty for ``nearest``.
        kernel: 2 or 4 for ``deconv``; of the depthwise convolution, odd, for ``nearest``.
    """

    upsampling: Literal["deconv", "nearest"] = "deconv"
    widths: tuple[int, ...]
    groups: tuple[int, ...] = ()
    kernel: int = 4

    def __post_init__(self) -> None:
        deconv = self.upsampling == "deconv"
        if len(self.groups) != (len(self.widths) if deconv else 0):
            raise ValueError(f"head of {len(self.widths)} layers ({self.upsampling}): {len(self.groups)} groups given")
        if self.kernel not in ((2, 4) if deconv else (3, 5, 7)):
            raise ValueError(f"head ({self.upsampling}): kernel {self.kernel} is not possible")

    def check(self, inputs: int) -> None:
        """Raise ValueError where this cannot stand on so many channels of stride 32."""
        if len(self.widths) != 3:
            raise ValueError(f"a head of {len(self.widths)} layers does not lead from stride 32 to 4; want 3")
        for before, width, groups in zip((inputs, *self.widths), self.widths, self.groups, strict=False):
            if before % groups or width % groups:
                raise ValueError(f"head: {groups} groups do not divide {before} and {width} channels")


def build_head(inputs: int, head: Head, joints: int) -> DeconvHead | NearestHead:
    """The head of a description; the last 1x1 convolution starts small, so that maps start flat."""
    made = (DeconvHead if head.upsampling == "deconv" else NearestHead)(inputs, head, joints)
    if made.final_layer.weight.device.type != "meta":
        nn.init.normal_(made.final_layer.weight, std=0.01)
    return made


class DeconvHead(nn.Module):
    """Transposed convolutions with batch norm and ReLU, then 1x1 to the heatmaps.

    Keys are those of the published checkpoints: ``deconv_layers.{0,3,6}`` convolutions, ``.{1,4,7}`` batch norms.
    """

    def __init__(self, inputs: int, head: Head, joints: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width, groups in zip((inputs, *head.widths), head.widths, head.groups, strict=False):
            padding = head.kernel // 2 - 1
            deconv = nn.ConvTranspose2d(before, width, head.kernel, 2, padding, groups=groups, bias=False)
            layers += [deconv, nn.BatchNorm2d(width), nn.ReLU()]
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(head.widths[-1], joints, 1)
        # Views on the flat list; in a tuple, so that they are not registered and bring no keys of their own.
        self._layers = tuple(nn.Sequential(*layers[i : i + 3]) for i in range(0, len(layers), 3))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self._layers:
            x = layer(x)
        out: Tensor = self.final_layer(x)
        return out

    def parts(self) -> list[tuple[str, nn.Module]]:
        """See :meth:`vipose.models.networks.base.PoseNetwork.parts`."""
        layers: list[tuple[str, nn.Module]] = [(f"deconv{n}", layer) for n, layer in enumerate(self._layers, 1)]
        return [*layers, ("final", self.final_layer)]


class NearestHead(nn.Module):
    """Layers of 1x1 convolution, nearest up-sampling and depthwise convolution, then 1x1 to the heatmaps."""

    def __init__(self, inputs: int, head: Head, joints: int) -> None:
        super().__init__()
        pairs = zip((inputs, *head.widths), head.widths, strict=False)
        self.layers = nn.ModuleList(_NearestLayer(before, width, head.kernel) for before, width in pairs)
        self.final_layer = nn.Conv2d(head.widths[-1], joints, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.final_layer(x)
        return out

    def parts(self) -> list[tuple[str, nn.Module]]:
        """See :meth:`vipose.models.networks.base.PoseNetwork.parts`."""
        layers = [(f"nearest{n}", layer) for n, layer in enumerate(self.layers, 1)]
        return [*layers, ("final", self.final_layer)]


class _NearestLayer(nn.Module):
    """The 1x1 convolution comes before the up-sampling: a quarter of the MACs."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.pointwise = ConvBN(inputs, outputs, 1, nn.ReLU())
        self.depthwise = ConvBN(outputs, outputs, kernel, nn.ReLU(), groups=outputs)

    def forward(self, x: Tensor) -> Tensor:
        up = functional.interpolate(self.pointwise(x), scale_factor=2.0, mode="nearest")
        out: Tensor = self.depthwise(up)
        return out
