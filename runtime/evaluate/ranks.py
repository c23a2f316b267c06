"""Rows of people from the worst to the best: stretches of the ranks by OKS, and who is shown of each.

Nobody is picked by hand: the same people always give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

__all__ = ["PEOPLE_A_ROW", "Ranked", "RankedRow", "choose_rows", "even_places"]

PEOPLE_A_ROW = 8
_TENTHS = (
    ("Worst tenth", 0.0, 0.1), ("Around the 25 % quantile", 0.2, 0.3), ("Around the median", 0.45, 0.55),
    ("Around the 75 % quantile", 0.7, 0.8), ("Best tenth", 0.9, 1.0),
)  # fmt: skip
_FIFTHS = (
    ("Worst fifth", 0.0, 0.2), ("Second fifth", 0.2, 0.4), ("Middle fifth", 0.4, 0.6), ("Fourth fifth", 0.6, 0.8),
    ("Best fifth", 0.8, 1.0),
)  # fmt: skip


class Ranked(Protocol):
    """Somebody with an OKS."""

    @property
    def oks(self) -> float: ...


Person = TypeVar("Person", bound=Ranked)
Other = TypeVar("Other", bound=Ranked)


@dataclass(frozen=True)
class RankedRow(Generic[Person]):
    """People of one stretch of the ranks, worst first; ``title`` names the stretch, the ranks and their OKS."""

    title: str
    people: tuple[Person, ...]

    def shown_as(self, tile: Callable[[Person], Other]) -> RankedRow[Other]:
        """The same row with something else for each of its people."""
        return RankedRow(self.title, tuple(tile(person) for person in self.people))


def even_places(band: Sequence[Ranked]) -> list[int]:
    """At most :data:`PEOPLE_A_ROW` evenly spaced places of a stretch, rising, its first and last among them."""
    return [int(place) for place in np.linspace(0, len(band) - 1, min(PEOPLE_A_ROW, len(band))).round()]


def choose_rows(
    people: Sequence[Person], places: Callable[[Sequence[Person]], Sequence[int]] = even_places
) -> list[RankedRow[Person]]:
    """Five rows, from the worst to the best.

    Rows are tenths of all people about the quantiles. Where a tenth would not fill a row they are fifths; nobody is
    shown twice, and rows without anybody are left out.

    Args:
        people: ranked, worst first.
        places: which places of a stretch are shown.
    """
    count = len(people)
    bands = _TENTHS if count >= 10 * PEOPLE_A_ROW else _FIFTHS
    rows = []
    for title, low, high in bands:
        first, end = round(low * count), round(high * count)
        if first == end:
            continue
        band = people[first:end]
        rows.append(RankedRow(_title(title, first, band, count), tuple(band[place] for place in places(band))))
    return rows


def _title(title: str, first: int, band: Sequence[Ranked], count: int) -> str:
    if len(band) == 1:
        return f"{title}: person {first + 1} of {count} by OKS, {band[0].oks:.2f}"
    ranks = f"people {first + 1} to {first + len(band)} of {count} by OKS"
    return f"{title}: {ranks}, {band[0].oks:.2f} to {band[-1].oks:.2f}"
