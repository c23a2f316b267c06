"""``paper-hrnet`` (ViPNAS, table A3) and ``fast-hrnet`` (what ONNX Runtime runs well).

Depth is chosen by stage; width, groups and attention by stage and branch. The biggest network of both is the plain
HRNet-W32 with attention on all that may have it.

What table A3 leaves open is decided so that every combination makes a network. Widths go in quarters of the widest.
Groups are powers of two that divide every width of the branch, or ``depthwise``, which is as many groups as channels
and so the table's upper bound at the full width.
"""

from __future__ import annotations

from collections.abc import Mapping

from vipose.models.networks.hrnet import Branch, HRNetArch, Stage
from vipose.models.search.space import Choice, Dimension, Space, Value

__all__ = ["FAST_HRNET", "PAPER_HRNET", "hrnet_choice"]

_BRANCHES = ((2, 1), (2, 2), (3, 1), (3, 2), (3, 3), (4, 1), (4, 2), (4, 3), (4, 4))
"""(stage, branch) of the multi-resolution stages."""
_BOTH: tuple[Value, ...] = (False, True)


def _paper_groups(branch: int) -> tuple[Value, ...]:
    """From depthwise to dense; the narrowest branches have 8, 16, 32, 64 channels."""
    return ("depthwise", *(2**n for n in reversed(range(branch + 3))))


def _paper_branch(choice: Mapping[str, Value], place: str) -> Branch:
    width, groups = int(choice[f"{place}.width"]), choice[f"{place}.groups"]
    attention = bool(choice[f"{place}.attention"])
    return Branch(width, width if groups == "depthwise" else int(groups), attention=attention)


def _paper(choice: Mapping[str, Value]) -> HRNetArch:
    first = Stage(int(choice["stage1.depth"]), (_paper_branch(choice, "stage1"),))
    second, third, fourth = (
        Stage(
            int(choice[f"stage{s}.depth"]), tuple(_paper_branch(choice, f"stage{s}.branch{b}") for b in range(1, s + 1))
        )
        for s in (2, 3, 4)
    )
    return HRNetArch(stem=int(choice["stem.width"]), stages=(first, second, third, fourth))


PAPER_HRNET = Space(
    "paper-hrnet",
    (
        Dimension("stem.width", (16, 32, 48, 64)),
        Dimension("stage1.depth", (2, 3, 4)),
        Dimension("stage1.width", (16, 32, 48, 64)),
        Dimension("stage1.groups", (16, 8, 4, 2, 1)),
        Dimension("stage1.attention", _BOTH),
        Dimension("stage2.depth", (4,)),
        Dimension("stage3.depth", tuple(range(8, 17))),
        Dimension("stage4.depth", tuple(range(8, 13))),
        *(Dimension(f"stage{s}.branch{b}.width", tuple(2 ** (b + 2) * n for n in (1, 2, 3, 4))) for s, b in _BRANCHES),
        *(Dimension(f"stage{s}.branch{b}.groups", _paper_groups(b)) for s, b in _BRANCHES),
        *(Dimension(f"stage{s}.branch{b}.attention", _BOTH) for s, b in _BRANCHES),
    ),
    _paper,
)


def hrnet_choice(arch: HRNetArch) -> Choice:
    """The choice in ``paper-hrnet`` that makes a description: inverse of the space's ``build``.

    Raises:
        InputError: the description lies outside of the space.
    """
    choice: Choice = {"stem.width": arch.stem}
    for s, stage in enumerate(arch.stages, 1):
        choice[f"stage{s}.depth"] = stage.depth
        for b, branch in enumerate(stage.branches, 1):
            place = "stage1" if s == 1 else f"stage{s}.branch{b}"
            choice |= {f"{place}.width": branch.width, f"{place}.attention": branch.attention}
            depthwise = s > 1 and branch.groups == branch.width
            choice[f"{place}.groups"] = "depthwise" if depthwise else branch.groups
    PAPER_HRNET.check(choice)
    return choice


# Channels per group: whole blocks of 16, in which ONNX Runtime's kernels keep channels, and divisors of every width.
_FAST_GROUPS: dict[int, tuple[Value, ...]] = {
    1: (16, "dense"),
    2: (16, "dense"),
    3: (16, 32, "dense"),
    4: (16, 32, 64, "dense"),
}


def _fast_branch(choice: Mapping[str, Value], stage: int, branch: int) -> Branch:
    width, per_group = int(choice[f"branch{branch}.width"]), choice[f"stage{stage}.branch{branch}.group_width"]
    attention = branch > 1 and bool(choice[f"stage{stage}.branch{branch}.attention"])
    return Branch(width, 1 if per_group == "dense" else width // int(per_group), attention=attention)


def _fast(choice: Mapping[str, Value]) -> HRNetArch:
    width, per_group = int(choice["stage1.width"]), choice["stage1.group_width"]
    first = Stage(int(choice["stage1.depth"]), (Branch(width, 1 if per_group == "dense" else width // int(per_group)),))
    second, third, fourth = (
        Stage(int(choice[f"stage{s}.depth"]), tuple(_fast_branch(choice, s, b) for b in range(1, s + 1)))
        for s in (2, 3, 4)
    )
    return HRNetArch(stem=int(choice["stem.width"]), stages=(first, second, third, fourth))


FAST_HRNET = Space(
    "fast-hrnet",
    (
        Dimension("stem.width", (16, 32, 48, 64)),
        Dimension("stage1.depth", (1, 2, 3, 4)),
        Dimension("stage1.width", (16, 32, 48, 64)),
        Dimension("stage1.group_width", (16, "dense")),
        # Fuse layers cost the same after one block as after four, so modules are full or there is only one. The least
        # depths lie below table A3, for budgets of a few milliseconds.
        Dimension("stage2.depth", (1, 2, 4)),
        Dimension("stage3.depth", (2, 4, 8, 12, 16)),
        Dimension("stage4.depth", (2, 4, 8, 12)),
        # One width for a branch in all stages, so that no channels are dropped or padded on the way.
        Dimension("branch1.width", (16, 32)),
        Dimension("branch2.width", (16, 32, 48, 64)),
        Dimension("branch3.width", (32, 64, 96, 128)),
        Dimension("branch4.width", (64, 128, 192, 256)),
        *(Dimension(f"stage{s}.branch{b}.group_width", _FAST_GROUPS[b]) for s, b in _BRANCHES),
        # At 1/4 a gate costs the most and is left out.
        *(Dimension(f"stage{s}.branch{b}.attention", _BOTH) for s, b in _BRANCHES if b > 1),
    ),
    _fast,
)
