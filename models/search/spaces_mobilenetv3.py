"""``paper-mobilenetv3`` (ViPNAS, table A1) and ``fast-mobilenetv3`` (what ONNX Runtime runs well).

Both are spaces of one family. Groups are chosen as channels a group: hidden channels follow from the expansion, so that
a fixed number of groups would seldom divide them. Table A1 prints ranges of groups without steps; its lower bounds are
1/16 of its upper ones, and powers of two lead from one to the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd

from vipose.models.networks.heads import Head
from vipose.models.networks.mobilenetv3 import MobileNetV3Arch, MobileStage
from vipose.models.search.space import Choice, Dimension, Space, Value
from vipose.runtime.errors import InputError

__all__ = ["FAST_MOBILENETV3", "PAPER_MOBILENETV3", "mobilenetv3_choice"]

_WIDTHS = (16, 24, 40, 80, 112, 160)
_STRIDES = (1, 2, 2, 2, 1, 2)
_HSWISH = (False, False, False, True, True, True)
_GROUPS = ((2, 16), (9, 144), (15, 240), (30, 480), (42, 672), (60, 960))
"""As printed; bounds of the number of groups, stage by stage."""
_HEAD_WIDTH = 256


def _stage_values(choice: Mapping[str, Value], number: int) -> tuple[int, int, int, int, bool]:
    """depth, kernel, expansion, channels a group, attention."""
    if number == 1:
        return 1, 3, 1, int(choice["stage1.group_width"]), bool(choice["stage1.attention"])
    name = f"stage{number}"
    depth, kernel = int(choice[f"{name}.depth"]), int(choice[f"{name}.kernel"])
    expansion, group_width = int(choice[f"{name}.expansion"]), int(choice[f"{name}.group_width"])
    return depth, kernel, expansion, group_width, bool(choice[f"{name}.attention"])


def _paper(choice: Mapping[str, Value]) -> MobileNetV3Arch:
    stages = []
    for number, (width, stride, hswish) in enumerate(zip(_WIDTHS, _STRIDES, _HSWISH, strict=True), 1):
        depth, kernel, expansion, group_width, attention = _stage_values(choice, number)
        stages.append(
            MobileStage(
                depth=depth,
                width=width,
                expansion=expansion,
                kernel=kernel,
                groups=width * expansion // group_width,
                attention=attention,
                stride=stride,
                hswish=hswish,
            )
        )
    groups = int(choice["head.groups"])
    # The first layer also has to divide the 160 channels that it takes in.
    head = Head(widths=(_HEAD_WIDTH,) * 3, groups=(gcd(groups, _WIDTHS[-1]), groups, groups))
    return MobileNetV3Arch(stages=tuple(stages), head=head)


def _paper_valid(choice: Mapping[str, Value]) -> bool:
    """Channels a group divide the hidden channels, and the groups lie in the printed range."""
    for number, (width, (least, most)) in enumerate(zip(_WIDTHS, _GROUPS, strict=True), 1):
        _, _, expansion, group_width, _ = _stage_values(choice, number)
        groups, rest = divmod(width * expansion, group_width)
        if rest or not least <= groups <= most:
            return False
    return True


def mobilenetv3_choice(arch: MobileNetV3Arch) -> Choice:
    """The choice in ``paper-mobilenetv3`` that makes a description: inverse of the space's ``build``.

    The published network (:data:`vipose.models.networks.mobilenetv3.S_VIPNAS_MBV3`) has none: its head is 160 wide in
    160 groups, while table A1 prints a width of 256 and 32 to 256 groups. Its backbone lies inside; with
    ``replace(S_VIPNAS_MBV3, head=...)`` and a head of the table it has a choice.

    Raises:
        InputError: the description lies outside of table A1.
    """
    choice: Choice = {"head.groups": arch.head.groups[-1] if arch.head.groups else 0}
    for number, stage in enumerate(arch.stages, 1):
        name = f"stage{number}"
        choice |= {f"{name}.group_width": stage.hidden // stage.groups, f"{name}.attention": stage.attention}
        if number > 1:
            choice |= {f"{name}.{d}": getattr(stage, d) for d in ("depth", "kernel", "expansion")}
    PAPER_MOBILENETV3.check(choice)
    made = _paper(choice)
    if (made.stages, made.stem, made.head, made.attention_on) != (arch.stages, arch.stem, arch.head, arch.attention_on):
        raise InputError("network outside of the space 'paper-mobilenetv3': its stem, a stage or the head differs")
    return choice


def _attention(number: int) -> Dimension:
    return Dimension(f"stage{number}.attention", (False, True))


PAPER_MOBILENETV3 = Space(
    "paper-mobilenetv3",
    (
        Dimension("stage1.group_width", (1, 2, 4, 8)),
        _attention(1),
        *(
            dimension
            for n in (2, 3, 4, 5, 6)
            for dimension in (
                Dimension(f"stage{n}.depth", (2, 3, 4)),
                Dimension(f"stage{n}.kernel", (3, 5, 7)),
                Dimension(f"stage{n}.expansion", (3, 4, 5, 6)),
                Dimension(f"stage{n}.group_width", (1, 2, 4, 8, 16)),
                _attention(n),
            )
        ),
        Dimension("head.groups", (256, 128, 64, 32)),
    ),
    _paper,
    _paper_valid,
)

_FAST_WIDTHS = ((16,), (16, 32, 48), (32, 48, 64), (48, 64, 80, 96), (80, 96, 112, 128), (96, 128, 160, 192))


def _fast(choice: Mapping[str, Value]) -> MobileNetV3Arch:
    depth = int(choice["stage1.depth"])
    stages = [MobileStage(depth=depth, width=16, expansion=1, kernel=3, groups=16, attention=False, stride=1)]
    for number in (2, 3, 4, 5, 6):
        name = f"stage{number}"
        width, expansion = int(choice[f"{name}.width"]), int(choice[f"{name}.expansion"])
        stages.append(
            MobileStage(
                depth=int(choice[f"{name}.depth"]),
                width=width,
                expansion=expansion,
                kernel=int(choice[f"{name}.kernel"]),
                groups=width * expansion,
                attention=number > 2 and bool(choice[f"{name}.attention"]),
                stride=_STRIDES[number - 1],
                fused_entry=number == 2,
            )
        )
    widths = (int(choice["head.width1"]), int(choice["head.width2"]), int(choice["head.width3"]))
    return MobileNetV3Arch(
        stem_hswish=False,
        stages=tuple(stages),
        attention_on="output",
        head=Head(upsampling="nearest", widths=widths, kernel=int(choice["head.kernel"])),
        output="logits",
    )


FAST_MOBILENETV3 = Space(
    "fast-mobilenetv3",
    (
        Dimension("stage1.depth", (0, 1)),
        *(
            dimension
            for n in (2, 3, 4, 5, 6)
            for dimension in (
                Dimension(f"stage{n}.depth", (1, 2, 3, 4)),
                Dimension(f"stage{n}.width", _FAST_WIDTHS[n - 1]),
                Dimension(f"stage{n}.expansion", (2, 3, 4, 6)),
                Dimension(f"stage{n}.kernel", (3, 5)),
                *((_attention(n),) if n > 2 else ()),
            )
        ),
        Dimension("head.width1", (48, 64, 96, 128)),
        Dimension("head.width2", (32, 48, 64, 96)),
        Dimension("head.width3", (32, 48, 64)),
        Dimension("head.kernel", (3, 5)),
    ),
    _fast,
)
"""Depthwise only, widths in multiples of 16, ReLU, squeeze-excitation on outputs (from stride 8 on), a dense 3x3 entry
into stride 4 and a head that up-samples by copying. Kernels of 7 are left out: on AVX2 they cost five times a kernel of 3.
"""
