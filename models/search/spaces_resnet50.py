"""``paper-resnet50`` (ViPNAS, table A2) and ``fast-resnet50`` (what ONNX Runtime runs well)."""

from __future__ import annotations

from collections.abc import Mapping

from vipose.models.networks.heads import Head
from vipose.models.networks.resnet50 import ResNet50Arch, ResNetStage
from vipose.models.search.space import Choice, Dimension, Space, Value
from vipose.runtime.errors import InputError

__all__ = ["FAST_RESNET50", "PAPER_RESNET50", "resnet50_choice"]

_STAGES = (1, 2, 3, 4)
_DENSE = "dense"


def _groups(choice: Mapping[str, Value], number: int) -> int:
    """Groups of a stage's middle convolution: chosen as such (paper), or by channels a group (fast)."""
    name = f"stage{number}"
    if f"{name}.groups" in choice:
        return int(choice[f"{name}.groups"])
    width = choice[f"{name}.group_width"]
    return 1 if width == _DENSE else int(choice[f"{name}.width"]) // int(width)


def _stage(choice: Mapping[str, Value], number: int) -> ResNetStage:
    name = f"stage{number}"
    return ResNetStage(
        depth=int(choice[f"{name}.depth"]),
        width=int(choice[f"{name}.width"]),
        kernel=int(choice[f"{name}.kernel"]),
        groups=_groups(choice, number),
        attention=bool(choice[f"{name}.attention"]),
        stride=1 if number == 1 else 2,
    )


def _paper(choice: Mapping[str, Value]) -> ResNet50Arch:
    width, groups = int(choice["head.width"]), int(choice["head.groups"])
    return ResNet50Arch(
        stem=int(choice["stem.width"]),
        stages=(_stage(choice, 1), _stage(choice, 2), _stage(choice, 3), _stage(choice, 4)),
        head=Head(widths=(width,) * 3, groups=(groups,) * 3),
    )


def _paper_valid(choice: Mapping[str, Value]) -> bool:
    """Groups divide the channels, of the head those that come in too."""
    head = int(choice["head.groups"])
    if int(choice["head.width"]) % head or int(choice["stage4.width"]) % head:
        return False
    return all(int(choice[f"stage{n}.width"]) % int(choice[f"stage{n}.groups"]) == 0 for n in _STAGES)


def resnet50_choice(arch: ResNet50Arch) -> Choice:
    """The choice in ``paper-resnet50`` that makes a description: inverse of the space's ``build``.

    The published network (:data:`vipose.models.networks.resnet50.S_VIPNAS_RES50`) has one.

    Raises:
        InputError: the description lies outside of table A2.
    """
    groups = arch.head.groups[0] if arch.head.groups else 0
    choice: Choice = {"stem.width": arch.stem, "head.width": arch.head.widths[0], "head.groups": groups}
    for number, stage in enumerate(arch.stages, 1):
        choice |= {f"stage{number}.{d}": getattr(stage, d) for d in ("depth", "width", "kernel", "groups", "attention")}
    PAPER_RESNET50.check(choice)
    made = _paper(choice)
    if (made.stages, made.stem_kernel, made.head) != (arch.stages, arch.stem_kernel, arch.head):
        raise InputError("network outside of the space 'paper-resnet50': its stem, a stage or the head differs")
    return choice


def _steps(least: int, most: int) -> tuple[int, ...]:
    """Steps of 16, as the paper says for this backbone's widths and groups."""
    return tuple(range(least, most + 1, 16))


_PAPER_DEPTHS = ((3, 4), (4, 5, 6), (6, 7, 8), (3, 4))
_PAPER_WIDTHS = (_steps(64, 80), _steps(128, 160), _steps(256, 320), _steps(512, 640))
_PAPER_GROUPS = _steps(16, 64)[::-1]

PAPER_RESNET50 = Space(
    "paper-resnet50",
    (
        Dimension("stem.width", _steps(32, 64)),
        *(
            dimension
            for n in _STAGES
            for dimension in (
                Dimension(f"stage{n}.depth", _PAPER_DEPTHS[n - 1]),
                Dimension(f"stage{n}.width", _PAPER_WIDTHS[n - 1]),
                Dimension(f"stage{n}.kernel", (3, 5)),
                Dimension(f"stage{n}.groups", _PAPER_GROUPS),
                Dimension(f"stage{n}.attention", (False, True)),
            )
        ),
        Dimension("head.width", _steps(64, 256)),
        Dimension("head.groups", _PAPER_GROUPS),
    ),
    _paper,
    _paper_valid,
)


def _fast(choice: Mapping[str, Value]) -> ResNet50Arch:
    widths = (int(choice["head.width1"]), int(choice["head.width2"]), int(choice["head.width3"]))
    return ResNet50Arch(
        stem=int(choice["stem.width"]),
        stem_kernel=int(choice["stem.kernel"]),
        stages=(_stage(choice, 1), _stage(choice, 2), _stage(choice, 3), _stage(choice, 4)),
        head=Head(upsampling="nearest", widths=widths, kernel=int(choice["head.kernel"])),
        output="logits",
    )


def _fast_valid(choice: Mapping[str, Value]) -> bool:
    chosen = [(int(choice[f"stage{n}.width"]), choice[f"stage{n}.group_width"]) for n in _STAGES]
    return all(group_width == _DENSE or width % int(group_width) == 0 for width, group_width in chosen)


_FAST_DEPTHS = ((1, 2, 3), (1, 2, 3, 4), (1, 2, 3, 4, 6), (1, 2, 3))
_FAST_WIDTHS = ((32, 48, 64), (64, 96, 128), (96, 128, 160, 192), (128, 192, 256, 320))

FAST_RESNET50 = Space(
    "fast-resnet50",
    (
        Dimension("stem.width", (16, 32, 48)),
        Dimension("stem.kernel", (3, 5, 7)),
        *(
            dimension
            for n in _STAGES
            for dimension in (
                Dimension(f"stage{n}.depth", _FAST_DEPTHS[n - 1]),
                Dimension(f"stage{n}.width", _FAST_WIDTHS[n - 1]),
                Dimension(f"stage{n}.kernel", (3, 5)),
                Dimension(f"stage{n}.group_width", (16, 32, _DENSE)),
                Dimension(f"stage{n}.attention", (False, True)),
            )
        ),
        Dimension("head.width1", (48, 64, 96, 128)),
        Dimension("head.width2", (32, 48, 64, 96)),
        Dimension("head.width3", (32, 48, 64)),
        Dimension("head.kernel", (3, 5)),
    ),
    _fast,
    _fast_valid,
)
"""Groups of 16 or 32 channels or none, widths in multiples of 16, a head that up-samples by copying."""
