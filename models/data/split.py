"""Which people are held out of training, so that a search has something to look at that no network has seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vipose.models.data.people import PackedPeople

__all__ = ["training_probability", "validation_rows"]

EVERY = {"coco": 12, "lspe": 40}
"""One labelled person in so many, by source: ordinary pictures count most."""


def validation_rows(people: PackedPeople) -> npt.NDArray[np.intp]:
    """Rows of people with labels by hand (at least five joints) that searches validate on; the same for the same packs."""
    labelled = (people.gt[:, :, 2] > 0).sum(1) >= 5
    rows = [np.flatnonzero(labelled & (people.source == name))[::every] for name, every in EVERY.items()]
    return np.sort(np.concatenate(rows))


def training_probability(people: PackedPeople, by_source: dict[str, float]) -> npt.NDArray[np.float64]:
    """Sampling probability [N] by source, zero for people who are held out."""
    probability = people.weights(by_source)
    probability[validation_rows(people)] = 0
    return np.asarray(probability / probability.sum())
