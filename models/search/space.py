"""Search spaces: named dimensions with ordered choices, and how a choice becomes a description of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from vipose.models.networks.architecture import Architecture
from vipose.runtime.errors import InputError

__all__ = ["Choice", "Dimension", "Space", "Value"]

Value = int | str | bool
Choice = dict[str, Value]
"""One value for every dimension of a space: plain JSON."""


@dataclass(frozen=True)
class Dimension:
    """One thing that can be chosen; ``choices`` run from the smallest network to the biggest."""

    name: str
    choices: tuple[Value, ...]


def _anything(choice: Mapping[str, Value]) -> bool:
    return True


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        name: e.g. ``fast-fused`` or ``paper-mobilenetv3``.
        dimensions: what can be chosen.
        build: a choice to a description.
        valid: whether a choice makes a network (groups must divide channels).
        size: width, height of the crops it was made for, pixels.
        elastic: whether its networks share weights by slicing (:class:`vipose.models.networks.elastic.SuperNetwork`).
    """

    name: str
    dimensions: tuple[Dimension, ...]
    build: Callable[[Mapping[str, Value]], Architecture]
    valid: Callable[[Mapping[str, Value]], bool] = field(default=_anything)
    size: tuple[int, int] = (192, 256)
    elastic: bool = True

    @cached_property
    def combinations(self) -> int:
        """Number of choices, valid or not."""
        return math.prod(len(d.choices) for d in self.dimensions)

    @property
    def smallest(self) -> Choice:
        return {d.name: d.choices[0] for d in self.dimensions}

    @property
    def biggest(self) -> Choice:
        return {d.name: d.choices[-1] for d in self.dimensions}

    def architecture(self, choice: Mapping[str, Value]) -> Architecture:
        """The description of a choice; raises InputError for one that is not of this space."""
        self.check(choice)
        return self.build(choice)

    def check(self, choice: Mapping[str, Value]) -> None:
        """Raise InputError for a choice that is not of this space."""
        wrong = {d.name: choice.get(d.name) for d in self.dimensions if choice.get(d.name) not in d.choices}
        extra = sorted(set(choice) - {d.name for d in self.dimensions})
        if wrong or extra or not self.valid(choice):
            what = f"{wrong or extra or 'a combination that makes no network'}"
            raise InputError(f"choice outside of the space '{self.name}': {what}; 'vipose search spaces' shows what it holds")

    def sample(self, rng: np.random.Generator) -> Choice:
        """A valid choice, every dimension uniformly and independently."""
        while True:
            choice = {d.name: d.choices[int(rng.integers(len(d.choices)))] for d in self.dimensions}
            if self.valid(choice):
                return choice

    def mutate(self, choice: Mapping[str, Value], probability: float, rng: np.random.Generator) -> Choice:
        """A valid neighbour: every dimension is drawn again with this probability, at least one is."""
        while True:
            again = rng.random(len(self.dimensions)) < probability
            again[int(rng.integers(len(again)))] = True
            drawn = self.sample(rng)
            mixed = {d.name: drawn[d.name] if a else choice[d.name] for d, a in zip(self.dimensions, again, strict=True)}
            if self.valid(mixed):
                return mixed

    def cross(self, one: Mapping[str, Value], other: Mapping[str, Value], rng: np.random.Generator) -> Choice:
        """A valid child of two choices; ``one`` itself where their mixtures are not valid."""
        for _ in range(20):
            heads = rng.random(len(self.dimensions)) < 0.5
            child = {d.name: (one if h else other)[d.name] for d, h in zip(self.dimensions, heads, strict=True)}
            if self.valid(child):
                return child
        return dict(one)

    def within(self, choice: Mapping[str, Value]) -> Space:
        """The part of this space whose networks are no bigger than a choice in any dimension (ViPNAS, 3.4.2)."""
        kept = tuple(replace(d, choices=d.choices[: d.choices.index(choice[d.name]) + 1]) for d in self.dimensions)
        return replace(self, dimensions=kept)

    def __iter__(self) -> Iterator[Dimension]:
        return iter(self.dimensions)
