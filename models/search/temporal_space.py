"""The temporal search space: what one T-ViPNet may be, and T of them together (ViPNAS, sections 3.3 and 3.4.2).

A T-ViPNet is a part of the S-ViPNet that was found, with the fusion module at one of four stages and with one of three
operators. All frames share one space, and a joint choice holds one choice a frame: plain JSON, like any other choice, so
that whatever searches a space searches T networks at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from typing import Any

import numpy as np

from vipose.models.networks.architecture import Architecture, Fusion
from vipose.models.search.space import Choice, Dimension, Space, Value
from vipose.runtime.errors import InputError, UsageError

__all__ = ["JointSpace", "choice_of", "frame_space", "space_of", "with_random_fusion"]

STAGE, OPERATOR = "fusion.stage", "fusion.operator"
STAGES: tuple[Value, ...] = (1, 2, 3, 4)
OPERATORS: tuple[Value, ...] = ("add", "mul", "cat")


def frame_space(spatial: Space, found: Mapping[str, Value]) -> Space:
    """The space of one T-ViPNet: the part of the spatial one within the S-ViPNet's choice, and the fusion module.

    Args:
        spatial: the space in which the S-ViPNet lies.
        found: the S-ViPNet's choice.

    Raises:
        InputError: the choice is not of the space, or its networks take single frames only.
    """
    spatial.check(found)
    if not spatial.build(found).takes_fusion:
        raise InputError(
            f"networks of the space '{spatial.name}' take single frames and cannot become T-ViPNets; "
            "give an S-ViPNet of another family"
        )
    inner = spatial.within(found)

    def build(choice: Mapping[str, Value]) -> Architecture:
        fusion = Fusion(int(choice[STAGE]), choice[OPERATOR])  # type: ignore[arg-type]
        return replace(inner.build(_spatial(choice)), fusion=fusion)

    def valid(choice: Mapping[str, Value]) -> bool:
        return inner.valid(_spatial(choice))

    fusion = (Dimension(STAGE, STAGES), Dimension(OPERATOR, OPERATORS))
    return replace(inner, name=f"{spatial.name}-temporal", dimensions=(*inner.dimensions, *fusion), build=build, valid=valid)


def with_random_fusion(choice: Mapping[str, Value], rng: np.random.Generator) -> Choice:
    """The same CNN with a fusion stage and operator drawn at random."""
    stage, operator = STAGES[int(rng.integers(len(STAGES)))], OPERATORS[int(rng.integers(len(OPERATORS)))]
    return {**choice, STAGE: stage, OPERATOR: operator}


@dataclass(frozen=True)
class JointSpace(Space):
    """T choices as one: dimension ``NAME`` of frame t is called ``t.NAME``. Made by :meth:`of`.

    ``build`` is of no use here, since a joint choice makes T networks: :meth:`architectures`.

    Attributes:
        frame: the space of one T-ViPNet.
        T: propagated frames.
        shared: all frames have the same network; a choice is then simply one of ``frame``.
    """

    frame: Space = field(kw_only=True)
    T: int = field(kw_only=True)
    shared: bool = field(kw_only=True, default=False)

    @classmethod
    def of(cls, frame: Space, T: int, shared: bool = False) -> JointSpace:
        """The joint space of T frames; raises UsageError for T outside of 1..8."""
        if not 1 <= T <= 8:
            raise UsageError(f"T = {T} propagated frames: choose 1 to 8 (the paper has 2, 3 and 4)")
        if shared:
            dimensions, valid = frame.dimensions, frame.valid
        else:
            dimensions = tuple(replace(d, name=f"{t}.{d.name}") for t in range(1, T + 1) for d in frame.dimensions)

            def valid(choice: Mapping[str, Value]) -> bool:
                return all(frame.valid(part) for part in _split(choice, T))

        name = f"{frame.name}-{'shared' if shared else 'joint'}-{T}"
        return cls(name, dimensions, frame.build, valid, frame.size, frame=frame, T=T, shared=shared)

    def split(self, choice: Mapping[str, Value]) -> list[Choice]:
        """The choices of frames 1..T."""
        return [dict(choice)] * self.T if self.shared else _split(choice, self.T)

    def join(self, frames: Sequence[Mapping[str, Value]]) -> Choice:
        """The joint choice of choices of frames 1..T; with ``shared`` the first frame's counts."""
        if self.shared:
            return dict(frames[0])
        return {f"{t}.{name}": value for t, frame in enumerate(frames, 1) for name, value in frame.items()}

    def architectures(self, choice: Mapping[str, Value]) -> tuple[Architecture, ...]:
        """The descriptions of frames 1..T; raises InputError for a choice that is not of this space."""
        self.check(choice)
        return tuple(self.frame.build(part) for part in self.split(choice))

    def sample(self, rng: np.random.Generator) -> Choice:
        """Every frame by itself: drawing until T frames are valid together could take long."""
        return self.join([self.frame.sample(rng) for _ in range(1 if self.shared else self.T)])


def _split(choice: Mapping[str, Value], T: int) -> list[Choice]:
    frames: list[Choice] = [{} for _ in range(T)]
    for key, value in choice.items():
        number, name = key.split(".", 1)
        frames[int(number) - 1][name] = value
    return frames


def _spatial(choice: Mapping[str, Value]) -> Choice:
    return {name: value for name, value in choice.items() if name not in (STAGE, OPERATOR)}


def choice_of(spatial: Space, arch: Architecture) -> Choice:
    """The choice that makes a description: towards fewer differences, by one dimension at a time, or two where one is not enough.

    Args:
        spatial: any space.
        arch: of a network in it; its fusion does not count.

    Raises:
        InputError: it does not lie in the space.
    """
    wanted = dict(_leaves(replace(arch, fusion=None).to_json()))

    def differences(choice: Choice) -> int:
        try:
            made = dict(_leaves(spatial.build(choice).to_json()))
        except ValueError:  # no network
            return len(wanted) + 1
        return sum(made.get(key) != wanted.get(key) for key in made.keys() | wanted.keys())

    choice = spatial.biggest
    rest, before = differences(choice), -1
    while rest and rest != before:
        before = rest
        for together in (1, 2):
            for dimensions in combinations(spatial.dimensions, together):
                for values in product(*(d.choices for d in dimensions)):
                    near = {**choice, **{d.name: value for d, value in zip(dimensions, values, strict=True)}}
                    if (left := differences(near)) < rest:
                        choice, rest = near, left
            if rest < before:
                break  # one at a time is cheaper, as long as it helps
    if rest or not spatial.valid(choice):
        raise InputError(
            f"the network of family '{arch.family}' does not lie in the space '{spatial.name}'; "
            "give the space in which it was searched ('vipose search spaces')"
        )
    return choice


def space_of(arch: Architecture, spaces: Iterable[Space]) -> Space:
    """The first space in which a network lies.

    Raises:
        InputError: it lies in none of them.
    """
    same = [s for s in spaces if s.build(s.biggest).family == arch.family]
    for candidate in same:
        try:
            choice_of(candidate, arch)
        except InputError:
            continue
        return candidate
    names = ", ".join(s.name for s in same) or f"none for the family '{arch.family}'"
    raise InputError(f"this network lies in no search space (looked at: {names}); a super-network needs one that a search found")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, plain value) of nested JSON."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}.{number}")
    else:
        yield path, value
