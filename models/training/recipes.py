"""How single networks are trained, by family: a recipe of our own and the published ones.

Ours spends its minutes at small crops first and learns distributions by cross-entropy, which learns from the first step
where mean squared error needs thousands. The published ones are those of the papers' code, as far as it tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from vipose.models.data.augment import AUGMENTATIONS
from vipose.models.data.targets import TargetSpec
from vipose.models.networks.architecture import Architecture, Output
from vipose.models.networks.fused import FusedArch
from vipose.models.training.recipe import PAPER_SOURCES, StagedRecipe
from vipose.models.training.schedule import EFFICIENTPOSE_COCO, EFFICIENTPOSE_MPII, MMPOSE, POSENAS_ALL, Plan

__all__ = ["EFFICIENTPOSE", "POSENAS", "PUBLISHED", "S_VIPNAS", "Family", "SpatialRecipe", "family_of"]

SPATIAL = FusedArch(stem=16, widths=(32, 64, 128, 192), depths=(0, 1, 2, 2), head=64)


@dataclass(frozen=True, kw_only=True)
class SpatialRecipe(StagedRecipe):
    """Everything that decides a run.

    Attributes:
        arch: the network.
        held_out: leave out the people whom searches validate on.
        output: what the network is made to put out; None for what its description says.
        loss_factor: the loss is multiplied by it.
    """

    arch: Architecture = SPATIAL
    held_out: bool = False
    output: Output | None = None
    loss_factor: float = 1.0


def _published(plan: Plan, batch: int, augmentation: str, size: tuple[int, int] = (192, 256)) -> SpatialRecipe:
    """Gaussians in windows around rounded centres, Adam without weight decay, half of the mean squared error."""
    return SpatialRecipe(
        sizes=(size,),
        minutes=(600.0,),
        epochs=(plan.epochs,),
        batches=(batch,),
        rates=(plan.rate,),
        plan=plan,
        optimiser="adam",
        clip=math.inf,
        target=TargetSpec("gaussian", unbiased=False),
        sources=PAPER_SOURCES,
        augmentation=AUGMENTATIONS[augmentation],
        published_start=True,
        output="heatmaps",
        loss_factor=0.5,
    )


PUBLISHED = replace(_published(MMPOSE, 512, "mmpose"), output=None, loss_factor=1.0)
"""How mmpose trains the published S-ViPNAS networks (networks of other families and outputs too, where asked for)."""


@dataclass(frozen=True)
class Family:
    """What ``vipose train ENTRY`` trains.

    Attributes:
        entry: its name on the command line.
        arch: name of the network that is trained where nobody names one.
        recipes: by name; the first is the default.
        kinds: families of the registry that belong to it; empty for all.
        imagenet: whether it can begin with an ImageNet classifier.
    """

    entry: str
    arch: str
    recipes: Mapping[str, SpatialRecipe]
    kinds: tuple[str, ...] = ()
    imagenet: bool = False

    @property
    def default(self) -> SpatialRecipe:
        return next(iter(self.recipes.values()))

    def holds(self, arch: Architecture) -> bool:
        """Whether a network belongs to it."""
        return not self.kinds or arch.family in self.kinds


S_VIPNAS = Family("s-vipnas", "s-vipnas", {"vipose": SpatialRecipe(), "published": PUBLISHED})
EFFICIENTPOSE = Family(
    "efficientpose",
    "efficientpose-a",
    {
        "vipose": SpatialRecipe(output="logits"),
        "published-coco": _published(EFFICIENTPOSE_COCO, 128, "efficientpose-coco"),
        # The paper says 32; its configuration has 64 a GPU, of an unknown number.
        "published-mpii": _published(EFFICIENTPOSE_MPII, 32, "mpii", (256, 256)),
    },
    kinds=("efficientpose",),
    imagenet=True,
)
"""Zhang et al. 2020. Its networks began with remapped ImageNet weights; without them, as the code initialises them."""
POSENAS = Family(
    "posenas",
    "posenas-small",
    {
        "vipose": SpatialRecipe(output="logits"),
        "published-coco": _published(POSENAS_ALL, 32, "posenas-coco"),
        "published-mpii": _published(POSENAS_ALL, 32, "mpii", (256, 256)),
    },
    kinds=("posenas",),
)
"""Bao et al. 2020. The losses of both stages are added up; sigma is 3 at crops of 288x384."""


def family_of(arch: Architecture) -> Family:
    """Whose recipes a network is trained with."""
    return next((f for f in (EFFICIENTPOSE, POSENAS) if f.holds(arch)), S_VIPNAS)
