"""How differentiable searches are run, by family of networks: a recipe of our own, in minutes, and those of the papers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from vipose.models.data.augment import AUGMENTATIONS
from vipose.models.data.targets import TargetSpec
from vipose.models.networks.architecture import Output
from vipose.models.training.recipe import PAPER_SOURCES, StagedRecipe
from vipose.models.training.schedule import Plan

__all__ = ["RECIPES", "DifferentiableRecipe"]


@dataclass(frozen=True, kw_only=True)
class DifferentiableRecipe(StagedRecipe):
    """Everything that decides a search but the costs; stage 1 trains the weights alone, stage 2 the architecture too.

    Attributes:
        space: name.
        output: of the networks in the search.
        share: of the pictures that teach the architecture. Its steps come in the same proportion: 0.2 is one for four of
            the weights, as an epoch over 20 % is beside one over 80 %.
        paths: candidates of every choice that run in a step; None for all.
        weight, tau: lambda and the base of the logarithm in the cost term.
        alpha_rate, alpha_betas, alpha_decay: of Adam on the architecture parameters.
        plans: of each stage, where they differ.
    """

    space: str = "paper-efficientpose-small"
    output: Output = "logits"
    sizes: tuple[tuple[int, int], ...] = ((96, 128), (96, 128))
    minutes: tuple[float, ...] = (10.0, 20.0)
    batches: tuple[int, ...] = (32, 32)
    rates: tuple[float, ...] = (2e-3, 1e-3)
    share: float = 0.2
    paths: int | None = 1
    weight: float = 1.0
    tau: float = 15.0
    alpha_rate: float = 0.05
    alpha_betas: tuple[float, float] = (0.9, 0.999)
    alpha_decay: float = 0.0
    plans: tuple[Plan, ...] | None = None

    def plan_at(self, stage: int) -> Plan:
        return self.plan if self.plans is None else self.plans[stage]

    @property
    def every(self) -> int:
        """Steps of the weights for one of the architecture."""
        return max(1, round((1 - self.share) / self.share))


OURS = DifferentiableRecipe()
"""Cross-entropy over positions at small crops, which learns from the first step. The architecture learns far faster than in the
papers, as it has hundreds of steps instead of ten thousands: in 12 minutes a rate of 0.01 and a weight of 0.3 left the
probabilities almost even (entropy 1.81 of 1.95) and the cost 17 % above its budget, 0.05 and 1 decided many layers (1.33) on it."""

EFFICIENTPOSE_PAPER = DifferentiableRecipe(
    output="heatmaps",
    sizes=((192, 256), (192, 256)),
    minutes=(600.0, 1500.0),
    epochs=(60.0, 150.0),
    batches=(32, 32),
    rates=(0.05, 0.05),
    plan=Plan(rate=0.05, epochs=150, cosine=True),
    optimiser="sgd",
    weight_decay=1e-4,
    clip=math.inf,
    target=TargetSpec("gaussian", unbiased=False),
    sources=PAPER_SOURCES,
    augmentation=AUGMENTATIONS["mpii"],
    paths=2,
    weight=1e-4,
    alpha_rate=3e-4,
)
"""EfficientPose (Zhang et al. 2020), section 4.1. It searches on MPII (crops of 256x256; give --size). Not printed, so ours: the
learning rate of the warm-up (a cosine of its own), lambda and tau, and how many paths are kept."""

POSENAS_PAPER = DifferentiableRecipe(
    output="heatmaps",
    sizes=((192, 256), (192, 256)),
    minutes=(600.0, 1800.0),
    epochs=(10.0, 30.0),
    batches=(32, 32),
    rates=(1e-3, 1e-3),
    plan=Plan(rate=1e-3, epochs=30),
    plans=(Plan(rate=1e-3, epochs=10), Plan(rate=1e-3, epochs=30, milestones=(10, 20), factor=0.2)),
    optimiser="adam",
    clip=math.inf,
    target=TargetSpec("gaussian", unbiased=False),
    sources=PAPER_SOURCES,
    augmentation=AUGMENTATIONS["posenas-coco"],
    share=0.5,
    paths=None,
    weight=0.0,
    alpha_rate=4e-4,
    alpha_betas=(0.5, 0.999),
    alpha_decay=1e-4,
)
"""PoseNAS (Bao et al. 2020), from the configurations that were released: 40 epochs, the architecture from epoch 10 on, one step of
it for one of the weights, rates times 0.2 at epochs 20 and 30. The betas are those of DARTS; a cost term is not mentioned."""

RECIPES: Mapping[str, Mapping[str, DifferentiableRecipe]] = {
    "efficientpose": {"vipose": OURS, "paper": EFFICIENTPOSE_PAPER},
    "posenas": {"vipose": OURS, "paper": POSENAS_PAPER},
}
"""By family of networks, then by name; the first is the default."""
