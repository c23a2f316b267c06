"""``fast-fused``: the dense family. Stage-wise width and depth, width of the head.

Its dense 3x3 convolutions run at ONNX Runtime's peak per MAC and train several times faster on a CPU than grouped ones;
widths are multiples of 16, the block in which its kernels keep channels.
"""

from __future__ import annotations

from collections.abc import Mapping

from vipose.models.networks.fused import FusedArch
from vipose.models.search.space import Choice, Dimension, Space, Value

__all__ = ["FAST_FUSED", "fused_choice"]

_WIDTHS = ((16, 24, 32, 48), (32, 48, 64, 80), (64, 96, 128, 160), (96, 128, 160, 192, 256))
_DEPTHS = ((0, 1), (0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3))


def _build(choice: Mapping[str, Value]) -> FusedArch:
    w = [int(choice[f"stage{n}.width"]) for n in (1, 2, 3, 4)]
    d = [int(choice[f"stage{n}.depth"]) for n in (1, 2, 3, 4)]
    return FusedArch(
        stem=int(choice["stem.width"]),
        widths=(w[0], w[1], w[2], w[3]),
        depths=(d[0], d[1], d[2], d[3]),
        head=int(choice["head.width"]),
    )


def fused_choice(arch: FusedArch) -> Choice:
    """The choice of a description: inverse of the space's ``build``."""
    choice: Choice = {"stem.width": arch.stem, "head.width": arch.head}
    for n in range(4):
        choice |= {f"stage{n + 1}.width": arch.widths[n], f"stage{n + 1}.depth": arch.depths[n]}
    return choice


FAST_FUSED = Space(
    "fast-fused",
    (
        Dimension("stem.width", (16,)),
        *(Dimension(f"stage{n}.width", _WIDTHS[n - 1]) for n in (1, 2, 3, 4)),
        *(Dimension(f"stage{n}.depth", _DEPTHS[n - 1]) for n in (1, 2, 3, 4)),
        Dimension("head.width", (32, 48, 64, 96)),
    ),
    _build,
)
