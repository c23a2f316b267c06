"""PoseNAS (Bao et al., ACM MM 2020): an encoder of searched cells, and a decoder of searched fusion cells that runs twice.

Wiring, keys and genotypes are those of the released code (for-code0216/PoseNAS at 743c062), with what it really computes: its
lists of features are shared, so the first stage's features take the place of the encoder's, and what looks like ``e + u``
is ``2 u``. One thing differs, in training only: the released code runs ``reduce_channel_prev`` twice on the same input, and
so moves its running statistics twice a step; here it runs once, which gives the same outputs and gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork, conv_bn
from vipose.models.networks.cells import Cell, CellModule, CellPlace, GenotypeCell, relu_conv_bn

__all__ = [
    "POSENAS_L18_C48", "POSENAS_L18_C48_MPII", "POSENAS_L18_C64", "POSENAS_L18_C64_MPII", "POSENAS_SMALL", "POSENAS_TINY",
    "CellMaker", "PoseNAS", "PoseNASArch",
]  # fmt: skip

Depths = tuple[int, int, int, int]
SCALES = 4

NORMAL = Cell.of(
    "std_conv_3x3:1 std_conv_3x3:0", "std_conv_3x3:2 std_conv_3x3:1", "std_conv_3x3:3 std_conv_3x3:2",
    "std_conv_3x3:4 std_conv_3x3:3",
)  # fmt: skip
REDUCTION = Cell.of(
    "std_conv_3x3:1 std_conv_3x3:0", "dil_conv_3x3_2:2 std_conv_3x3:1", "dil_conv_3x3_2:3 std_conv_3x3:0",
    "dil_conv_3x3_2:4 std_conv_3x3:1",
)  # fmt: skip
FUSION = (
    Cell.of(
        "std_conv_3x3:0 se_connect:1", "se_connect:1 std_conv_3x3:0", "std_conv_3x3:0 std_conv_3x3:2",
        "std_conv_3x3:0 std_conv_3x3:2",
    ),
    Cell.of(
        "std_conv_3x3:0 se_connect:1", "se_connect:1 std_conv_3x3:0", "std_conv_3x3:2 se_connect:1",
        "se_connect:1 std_conv_3x3:2",
    ),
    Cell.of(
        "se_connect:0 se_connect:1", "avg_pool_3x3:0 se_connect:2", "se_connect:0 dil_conv_3x3_2:1",
        "se_connect:0 se_connect:1",
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PoseNASArch(Architecture):
    """A frozen description of one network; ``fusion`` is not possible, the family takes single frames.

    Attributes:
        channels: C: the encoder's features have 2 C, 4 C, 8 C and 16 C channels at strides 4, 8, 16 and 32.
        stem: channels of the first convolution; the other two put out twice as many. None = C, as published.
        cells: encoder cells at strides 4, 8, 16, 32. The first of all but the first stride is a reduction cell.
        refine: the same for the cells between the two decoder stages; () = there is one stage only.
        refine_width: of the refine cells at stride 4; it doubles with every stride.
        project_first: fusion cells convolve coarse features before they up-sample them: the same function for fewer MACs.
        normal, reduction: genotypes of the encoder's and the refine cells.
        fusion_cells: genotypes of the decoder's cells from stride 32 to 16, 16 to 8 and 8 to 4, in both stages.
    """

    family = "posenas"
    takes_fusion = False

    channels: int = 48
    stem: int | None = None
    cells: Depths = (3, 5, 7, 3)
    refine: tuple[int, ...] = (3, 3, 3, 3)
    refine_width: int = 16
    project_first: bool = False
    normal: Cell = NORMAL
    reduction: Cell = REDUCTION
    fusion_cells: tuple[Cell, Cell, Cell] = FUSION

    def __post_init__(self) -> None:
        if self.fusion is not None:
            raise ValueError("PoseNAS networks take single frames; leave 'fusion' out")
        if self.channels < 2 or self.channels % 2 or self.stem_width < 1 or self.refine_width < 1:
            raise ValueError(
                f"PoseNAS of {self.channels} channels, stem {self.stem_width} and refine cells of {self.refine_width}: "
                "channels must be even, and all of them positive"
            )
        if len(self.cells) != SCALES or min(self.cells) < 1:
            raise ValueError(f"encoder cells {self.cells}: want at least one at each of {SCALES} strides")
        if self.refine and (len(self.refine) != SCALES or min(self.refine) < 1):
            raise ValueError(
                f"refine cells {self.refine}: want at least one at each of {SCALES} strides, or none at all"
            )
        if any(e.operation == "se_connect" and e.source < 2 for e in self.reduction.edges):
            raise ValueError(
                "reduction cell: 'se_connect' on an input cannot halve the resolution; choose another operation"
            )

    @property
    def stem_width(self) -> int:
        """Channels of the first convolution."""
        return self.channels if self.stem is None else self.stem

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels of the encoder's features at strides 4, 8, 16 and 32."""
        c = self.channels
        return 2 * c, 4 * c, 8 * c, 16 * c

    def genotype(self, place: CellPlace) -> Cell:
        """Of the cell that stands at a place."""
        if place.kind == "fusion":
            return self.fusion_cells[place.level]
        return self.normal if place.kind == "normal" else self.reduction


POSENAS_L18_C48 = PoseNASArch()
"""As published: 22.2 M parameters (21.1 Mi), 4.35 GMACs at 256x192."""
POSENAS_L18_C64 = PoseNASArch(channels=64)
"""As published: 35.2 M parameters (33.6 Mi), 7.07 GMACs at 256x192."""
POSENAS_L18_C48_MPII = replace(POSENAS_L18_C48, joints=16)
POSENAS_L18_C64_MPII = replace(POSENAS_L18_C64, joints=16)

# Per ONNX Runtime dense 3x3 convolutions run at its peak, a shortcut is added inside the convolution that it meets, and
# gates are passes of their own (squeeze-excitation is left out). So: a chain of convolutions with shortcuts.
_FAST_NORMAL = Cell.of(
    "std_conv_3x3:1 skip_connect:0", "std_conv_3x3:2 skip_connect:1", "std_conv_3x3:3 skip_connect:2",
    "std_conv_3x3:4 skip_connect:3",
)  # fmt: skip
_FAST_REDUCTION = Cell.of(
    "std_conv_3x3:1 std_conv_3x3:0", "std_conv_3x3:2 std_conv_3x3:1", "std_conv_3x3:3 skip_connect:2",
    "std_conv_3x3:4 skip_connect:3",
)  # fmt: skip
_FAST_FUSION = Cell.of(
    "std_conv_3x3:0 skip_connect:1", "std_conv_3x3:2 skip_connect:0", "std_conv_3x3:3 skip_connect:2",
    "std_conv_3x3:4 skip_connect:3",
)  # fmt: skip

POSENAS_SMALL = PoseNASArch(
    channels=32,
    stem=16,
    cells=(1, 2, 3, 2),
    refine=(),
    project_first=True,
    normal=_FAST_NORMAL,
    reduction=_FAST_REDUCTION,
    fusion_cells=(_FAST_FUSION,) * 3,
    output="logits",
)
"""For real time, not of the paper: one decoder stage, states in multiples of 16 channels, only dense 3x3 and shortcuts."""
POSENAS_TINY = replace(POSENAS_SMALL, channels=16)
"""Half as wide: about a third of the MACs."""


CellMaker = Callable[[CellPlace], CellModule]
"""Makes the cell that stands at a place."""


class DecoderStage(nn.Module):
    """Fusion cells from the coarsest features to the finest, and a 1x1 convolution to heatmaps."""

    def __init__(self, arch: PoseNASArch, make: CellMaker) -> None:
        super().__init__()
        cells = []
        for number, (coarse, fine) in enumerate(zip(arch.widths[:0:-1], arch.widths[-2::-1], strict=True)):
            place = CellPlace("fusion", (coarse, fine), fine // 4, level=number, project_first=arch.project_first)
            cells.append(make(place))
        self.upsamples = nn.ModuleList(cells)
        self.final_layer = nn.Conv2d(arch.widths[0], arch.joints, 1)
        if not self.final_layer.weight.is_meta:  # drawing on the meta device imports half of PyTorch's compiler
            nn.init.normal_(self.final_layer.weight, std=0.01)

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Features at strides 4, 8, 16, 32 to fused ones (the coarsest as it was), and heatmaps of the finest."""
        fused = list(features)
        for number, cell in enumerate(self.upsamples):
            target = SCALES - 2 - number
            fused[target] = cell(fused[target + 1], fused[target])
        fused[0] = functional.relu(fused[0])
        return fused, self.final_layer(fused[0])


class PoseNAS(PoseNetwork):
    """Crops to heatmaps or logits [N, K, H / 4, W / 4].

    Args:
        arch: the description.
        make: what makes the cells; those of the description's genotypes by default. A search puts others there.
    """

    arch: PoseNASArch

    def __init__(self, arch: PoseNASArch, make: CellMaker | None = None) -> None:
        super().__init__(arch)
        make = make or (lambda place: GenotypeCell(arch.genotype(place), place))
        stem, c = arch.stem_width, arch.channels
        self.stem0 = conv_bn(3, stem, 3, 2)
        self.stem1 = conv_bn(stem, 2 * stem, 3, 2)
        self.stem2 = conv_bn(2 * stem, 2 * stem, relu=False)
        self.cells = _encoder(arch.cells, 2 * stem, c // 2, make)
        self.stage1 = DecoderStage(arch, make)
        if arch.refine:
            w = 4 * arch.refine_width
            self.reduce_channel_prev = relu_conv_bn(arch.widths[0], w)
            self.refine_cells = _encoder(arch.refine, w, arch.refine_width, make)
            for scale, width in enumerate(arch.widths):
                self.add_module(f"reduce_channel{scale}", relu_conv_bn(w << scale, width))
            self.stage2 = DecoderStage(arch, make)

    def fusion_site(self, stage: int) -> tuple[int, int]:
        """Raises ValueError: there is none."""
        raise ValueError("PoseNAS networks take single frames and have no place for the heatmaps of the last")

    def parts(self) -> list[tuple[str, nn.Module]]:
        """Stem, final and reducing convolutions, and inside the cells: preprocessing and the operation of every edge."""
        whole = ["stem0", "stem1", "stem2", "stage1.final_layer"]
        groups = ["cells", "stage1.upsamples"]
        if self.arch.refine:
            whole += ["reduce_channel_prev", *(f"reduce_channel{n}" for n in range(SCALES)), "stage2.final_layer"]
            groups += ["refine_cells", "stage2.upsamples"]
        named = [(name, self.get_submodule(name)) for name in whole]
        for group in groups:
            for number, cell in self.get_submodule(group).named_children():
                named += [(f"{group}.{number}.{name}", part) for name, part in cast(CellModule, cell).parts()]
        return named

    def forward(self, image: Tensor, previous: Tensor | None = None) -> Tensor:
        return self.outputs(image, previous)[-1]

    def outputs(self, image: Tensor, previous: Tensor | None = None) -> list[Tensor]:
        """Heatmaps of both decoder stages, the second's last; of the only stage where there are no refine cells."""
        early = self.stem1(self.stem0(image))
        features = _chain(self.cells, self.arch.cells, early, self.stem2(early))
        fused, first = self.stage1(features)
        if not self.arch.refine:
            return [first]
        _, second = self.stage2(self._refine(fused))
        return [first, second]

    def _refine(self, fused: list[Tensor]) -> list[Tensor]:
        """Fused features of the first stage, enhanced for the second."""
        start = self.reduce_channel_prev(fused[0])
        deeper = _chain(self.refine_cells, self.arch.refine, start, 2 * start)
        *changed, kept = [self.get_submodule(f"reduce_channel{n}")(x) for n, x in enumerate(deeper)]
        # The first stage left the coarsest features as they were, so they are added once.
        return [*(2 * u + x for u, x in zip(fused, changed, strict=False)), fused[-1] + kept]


def _encoder(depths: tuple[int, ...], inputs: int, width: int, make: CellMaker) -> nn.ModuleList:
    """A chain of cells: ``width`` at stride 4, doubled by every reduction, with which all but the first stride begin."""
    cells, before, last, after_reduction = [], inputs, inputs, False
    for scale, depth in enumerate(depths):
        for number in range(depth):
            reduction = scale > 0 and number == 0
            place = CellPlace("reduction" if reduction else "normal", (before, last), width << scale, after_reduction)
            cells.append(make(place))
            before, last, after_reduction = last, 4 * place.width, reduction
    return nn.ModuleList(cells)


def _chain(cells: nn.ModuleList, depths: tuple[int, ...], first: Tensor, second: Tensor) -> list[Tensor]:
    """Features at strides 4, 8, 16, 32: what the last cell of each stride puts out."""
    features, row = [], iter(cells)
    for depth in depths:
        for _ in range(depth):
            first, second = second, next(row)(first, second)
        features.append(second)
    return features
