"""Which people are held out of training, so that a search has something to look at that no network has seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vipose.models.data.people import PackedPeople
from vipose.runtime.errors import InputError

__all__ = ["training_probability", "validation_rows"]

EVERY, OTHERS = {"coco": 12, "lspe": 40}, 20
"""One labelled person in so many, by source, and in other sources: ordinary pictures count most."""


def validation_rows(people: PackedPeople) -> npt.NDArray[np.intp]:
    """Rows of people with labels by hand (at least five joints) that searches validate on; the same for the same packs.

    Tracks (``posetrack:…``, ``clip:…``) are left out: a frame that is held out has neighbours that show the same.
    """
    labelled = (people.gt[:, :, 2] > 0).sum(1) >= 5
    stills = [name for name in np.unique(people.source).tolist() if ":" not in name]
    rows = [np.flatnonzero(labelled & (people.source == name))[:: EVERY.get(name, OTHERS)] for name in stills]
    return np.sort(np.concatenate([np.zeros(0, np.intp), *rows]))


def training_probability(people: PackedPeople, by_source: dict[str, float]) -> npt.NDArray[np.float64]:
    """Sampling probability [N] by source, zero for people who are held out and for others on their pictures.

    Raises:
        InputError: no one is left.
    """
    probability = people.weights(by_source)
    held_out = validation_rows(people)
    probability[held_out] = 0
    # Crops of neighbours overlap: a person next to a held-out one would show it.
    pictures = np.char.add(np.char.add(people.source.astype(str), "/"), people.picture_id.astype(str))
    known = people.picture_id != ""
    probability[known & np.isin(pictures, pictures[held_out])] = 0
    if not probability.any():
        raise InputError(f"all {len(people)} people of the packs are held out, no one is left to train on; add a pack")
    return np.asarray(probability / probability.sum())
