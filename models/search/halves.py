"""Who teaches the weights and who the architecture: the people of packs, split at random (EfficientPose, section 4.1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vipose.models.data.people import PackedPeople
from vipose.models.data.split import training_probability
from vipose.models.training.recipe import StagedRecipe
from vipose.models.training.spatial import PeopleStream
from vipose.runtime.errors import InputError

__all__ = ["HalfStream", "Halves", "split_people"]


@dataclass(frozen=True)
class Halves:
    """Rows of people by what they teach; those of the validation split teach neither.

    Attributes:
        weights, architecture: [N] bool.
        digest: tells two splits apart.
    """

    weights: npt.NDArray[np.bool_]
    architecture: npt.NDArray[np.bool_]
    digest: str

    def describe(self) -> dict[str, Any]:
        """Plain JSON."""
        weights, architecture = int(self.weights.sum()), int(self.architecture.sum())
        held_out = len(self.weights) - weights - architecture
        return {"weights": weights, "architecture": architecture, "held_out": held_out, "digest": self.digest}


def split_people(people: PackedPeople, share: float, seed: int) -> Halves:
    """Split people at random by picture; a clip is one picture, since its frames look alike.

    Where a picture goes depends on its name and the seed only, so it stays there when packs are added. People whose picture
    is not known go by their place in the packs.

    Args:
        people: of the packs.
        share: of the pictures that teach the architecture, about.
        seed: of the split.

    Raises:
        InputError: one of the two would have nobody.
    """
    usable = training_probability(people, {}) > 0
    clip = np.char.find(people.source.astype(str), ":") >= 0
    picture = np.where(people.picture_id != "", people.picture_id.astype(str), np.arange(len(people)).astype(str))
    names = np.char.add(np.char.add(people.source.astype(str), "/"), np.where(clip, "", picture))
    unique, inverse = np.unique(names, return_inverse=True)
    drawn = np.array([_uniform(f"{seed}/{name}") for name in unique.tolist()])[inverse]
    architecture = usable & (drawn < share)
    weights = usable & ~architecture
    if not weights.any() or not architecture.any():
        raise InputError(
            f"{int(usable.sum())} people cannot be split into {1 - share:.0%} and {share:.0%} by picture; add a pack"
        )
    sides = sorted(f"{name} {int(w)}{int(a)}" for name, w, a in zip(names.tolist(), weights, architecture, strict=True))
    return Halves(weights, architecture, hashlib.sha256("\n".join(sides).encode()).hexdigest()[:12])


class HalfStream(PeopleStream):
    """Endless batches of one half.

    Args:
        people, recipe, stage, share: see :class:`PeopleStream`.
        rows: [N] bool, who belongs to the half.
    """

    def __init__(
        self, people: PackedPeople, recipe: StagedRecipe, stage: int, rows: npt.NDArray[np.bool_], share: int = 1
    ) -> None:
        super().__init__(people, recipe, stage, held_out=True, share=share)
        kept = np.where(rows, self.probability, 0.0)
        self.probability = kept / kept.sum()


def _uniform(text: str) -> float:
    """0..1, the same for the same text everywhere."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
