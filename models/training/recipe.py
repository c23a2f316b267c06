"""What a training in stages is made of: sizes, rates, optimiser, samples. Every recipe here extends one dataclass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from vipose.models.data.augment import Augmentation
from vipose.models.data.targets import TargetSpec
from vipose.models.training.schedule import VIPNAS_S_TUNING, Length, Plan
from vipose.runtime.codec import sigma_at

__all__ = ["PAPER_SOURCES", "SOURCES", "StagedRecipe", "last_size"]

SOURCES = {"coco": 3.0, "lspe": 0.45, "sports": 0.8, "voc2012": 1.5, "human": 1.5, "clip": 0.4}
"""How often people of a source are drawn; sources that are not named count 1."""
PAPER_SOURCES: dict[str, float] = {}
"""Every person alike."""


@dataclass(frozen=True, kw_only=True)
class StagedRecipe:
    """Everything that decides a run, kept in its checkpoint and in the card.

    Attributes:
        sizes: of the crops, width and height, multiples of 32; one entry a stage here and in the next three.
        minutes: wall clock, where the length of a run is not given in epochs.
        batches: samples a step, of all processes together.
        rates: largest learning rates.
        epochs: length of the stages in passes over the data instead; None for minutes.
        plan: shape of the learning rate where the length is given in epochs, of every stage alike; minutes have a shape of
            their own.
        optimiser: AdamW, or Adam or SGD (momentum 0.9) as the papers have them.
        weight_decay: of AdamW, on matrices and kernels; of SGD, on everything.
        clip: largest norm of the gradient.
        sigma: of the targets at crops of 256 pixels of height, cells.
        target: kind of the targets; its sigma is ``sigma``.
        sources: how often people of a source are drawn.
        augmentation: of pictures and boxes.
        published_start: begin with the papers' initialisation instead of PyTorch's.
        seed: of weights and samples.
    """

    sizes: tuple[tuple[int, int], ...] = ((96, 128), (192, 256))
    minutes: tuple[float, ...] = (37.0, 70.0)
    epochs: tuple[float, ...] | None = None
    batches: tuple[int, ...] = (64, 32)
    rates: tuple[float, ...] = (2e-3, 1e-3)
    plan: Plan = VIPNAS_S_TUNING
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    weight_decay: float = 0.02
    clip: float = 5.0
    sigma: float = 2.0
    target: TargetSpec = field(default_factory=TargetSpec)
    sources: dict[str, float] = field(default_factory=lambda: dict(SOURCES))
    augmentation: Augmentation = field(default_factory=Augmentation)
    published_start: bool = False
    seed: int = 0

    def plan_at(self, stage: int) -> Plan:
        """Shape of a stage's learning rate where the length is given in epochs."""
        return self.plan

    @property
    def length(self) -> Length:
        """What a run takes where nobody says otherwise."""
        return Length("minutes", self.minutes) if self.epochs is None else Length("epochs", self.epochs)

    def lasting(self, length: Length | None) -> Self:
        """The same recipe with another length."""
        if length is None:
            return self
        if length.unit == "minutes":
            return replace(self, minutes=length.amounts, epochs=None)
        return replace(self, epochs=length.amounts)

    def stages(self, which: slice) -> Self:
        """The recipe of some of the stages."""
        names = ("sizes", "minutes", "batches", "rates", *(("epochs",) if self.epochs is not None else ()))
        return replace(self, **{name: getattr(self, name)[which] for name in names})

    def with_batch(self, samples: int | None) -> Self:
        """The same recipe with so many samples a step in every stage; None leaves it."""
        return self if samples is None else replace(self, batches=(samples,) * len(self.batches))

    def with_rate(self, rate: float | None) -> Self:
        """The same recipe with another largest learning rate in every stage; None leaves them."""
        return self if rate is None else replace(self, rates=(rate,) * len(self.rates))

    def sigma_at(self, stage: int) -> float:
        """Sigma of a stage's targets in cells: the same spread on the person at every size."""
        return sigma_at(self.sigma, self.sizes[stage][1])

    def target_at(self, stage: int) -> tuple[TargetSpec, float]:
        """Targets of a stage, and what they are multiplied by to become distributions (Gaussians have peaks of 1)."""
        sigma = self.sigma_at(stage)
        spec = TargetSpec(self.target.kind, sigma, self.target.unbiased)
        return spec, 1.0 if spec.kind == "distribution" else 1 / (2 * math.pi * sigma**2)


def last_size(recipe: Mapping[str, Any]) -> tuple[int, int]:
    """Width, height of the crops that a network saw last: of the last stage with a length.

    Args:
        recipe: as a checkpoint keeps it: ``sizes`` at least.

    Raises:
        KeyError, TypeError, ValueError: that is no recipe.
    """
    lengths = recipe.get("epochs") or recipe.get("minutes") or [1] * len(recipe["sizes"])
    trained = [size for size, length in zip(recipe["sizes"], lengths, strict=True) if length]
    width, height = (trained or recipe["sizes"])[-1]
    return int(width), int(height)
