"""Random and evolutionary search under a budget: which choices are looked at, in which order.

Nothing is written here and no network is known: a :class:`Problem` says what a choice describes and costs, a function that is
passed in says how good it is. The same seed and the same answers give the same stream of proposals, so an interrupted search
goes on by running again with the answers that are there already.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from vipose.models.networks.architecture import Architecture
from vipose.models.search.space import Choice, Space, Value
from vipose.runtime.errors import InputError, UsageError

__all__ = [
    "Evaluate",
    "Evolution",
    "Problem",
    "Proposal",
    "Rank",
    "Sampler",
    "Scored",
    "cheapest",
    "evolutionary_search",
    "random_search",
    "spatial_problem",
]

D = TypeVar("D", bound=Hashable)
Rank = tuple[float, ...]
"""How good a proposal is, compared from the first number on; higher is better."""
UNIFORM_TRIES, TRIAL, WORTH = 16, 64, 0.03
"""Uniform draws before a sampler climbs: the paper's rejection sampling. After a trial of so many draws it is given up where
fewer than this share fit, since costs take milliseconds each."""
CLIMBS = 8
CHILD_TRIES = 50
PATIENCE = 200
"""So many proposals in a row that were there before end a search: the space holds hardly any others."""


@dataclass(frozen=True)
class Problem(Generic[D]):
    """What is searched, and what limits it.

    Attributes:
        space: the choices.
        describe: a choice to what it stands for: one description, or those of several frames. Equal ones are looked at once.
        cost: of that, in any unit.
        limit: the most it may cost.
        at_least: share of the limit (or of the biggest network, where that costs less) below which nothing is looked at,
            since a network far below the budget cannot win; 0 as in the paper.
        show: a cost as text, for messages.
    """

    space: Space
    describe: Callable[[Mapping[str, Value]], D]
    cost: Callable[[D], float]
    limit: float
    at_least: float = 0.8
    show: Callable[[float], str] = field(default="{:.4g}".format)

    def __post_init__(self) -> None:
        if not 0 <= self.at_least < 1:
            raise UsageError(f"at least {self.at_least:g} of the budget: give a share from 0 to below 1")

    def propose(self, choice: Mapping[str, Value]) -> Proposal[D]:
        """A choice with what it describes and costs."""
        described = self.describe(choice)
        return Proposal(dict(choice), described, self.cost(described))


@dataclass(frozen=True)
class Proposal(Generic[D]):
    """One choice that could be evaluated."""

    choice: Choice
    described: D
    cost: float


@dataclass(frozen=True)
class Scored(Generic[D]):
    """One that was."""

    proposal: Proposal[D]
    rank: Rank


Evaluate = Callable[[Proposal[D]], Rank]


@dataclass(frozen=True)
class Evolution:
    """How evolution breeds.

    Attributes:
        population: proposals drawn at random at the beginning.
        parents: the best of all so far that breed.
        crossover: probability that a child has two parents; it is then mutated half of the time.
        mutation: probability of each dimension to be drawn again.
    """

    population: int = 50
    parents: int = 12
    crossover: float = 0.5
    mutation: float = 0.12


def spatial_problem(
    space: Space,
    cost: Callable[[Architecture], float],
    limit: float,
    at_least: float = 0.8,
    show: Callable[[float], str] = "{:.4g}".format,
) -> Problem[Architecture]:
    """The problem of one network; see :class:`Problem`."""
    return Problem(space, space.architecture, cost, limit, at_least, show)


def cheapest(problem: Problem[D]) -> Proposal[D]:
    """The cheapest that is found from the smallest on, changing one dimension after the other.

    That is the smallest itself where no dimension makes a network cheaper by growing, as with MACs. Milliseconds can fall
    with fewer groups, say.
    """
    best = problem.propose(problem.space.smallest)
    while True:
        before = best
        for dimension in problem.space:
            for value in dimension.choices:
                choice = {**best.choice, dimension.name: value}
                if choice != best.choice and problem.space.valid(choice):
                    best = min(best, problem.propose(choice), key=lambda p: p.cost)
        if best is before:
            return best


class Sampler(Generic[D]):
    """Draws proposals between ``at_least`` of the budget and the budget.

    Args:
        problem: what is drawn from.
        rng: source of chance.

    Raises:
        InputError: nothing meets the limit; the message names the cheapest that was found.
    """

    def __init__(self, problem: Problem[D], rng: np.random.Generator) -> None:
        self.problem, self.rng = problem, rng
        self._base = problem.propose(problem.space.smallest)
        if self._base.cost > problem.limit:
            self._base = cheapest(problem)
        if self._base.cost > problem.limit:
            raise InputError(
                f"no network of the space '{problem.space.name}' meets {problem.show(problem.limit)}: the cheapest found "
                f"costs {problem.show(self._base.cost)}; raise the budget"
            )
        self._ceiling = min(problem.limit, problem.propose(problem.space.biggest).cost)
        self._floor = problem.at_least * self._ceiling
        self._tried = self._fitted = 0

    def fits(self, proposal: Proposal[D]) -> bool:
        """Whether its cost lies within the bounds."""
        return self._floor <= proposal.cost <= self.problem.limit

    def draw(self) -> Proposal[D]:
        """One proposal: uniform over the space if such ones fit now and then, else by climbing up to the budget."""
        for _ in range(UNIFORM_TRIES):
            if self._tried >= TRIAL and self._fitted < WORTH * self._tried:
                break
            proposal = self.problem.propose(self.problem.space.sample(self.rng))
            self._tried += 1
            if self.fits(proposal):
                self._fitted += 1
                return proposal
        climbed = [self._climb()]
        while not self.fits(climbed[-1]) and len(climbed) < CLIMBS:
            climbed.append(self._climb())
        # Big steps can leap over the bounds; then the nearest below the limit has to do.
        return max(climbed, key=lambda p: p.cost)

    def _climb(self) -> Proposal[D]:
        """Grow the cheapest step by step towards a random network, and on to the biggest, as far as a random cost allows.

        The step on the way that comes nearest to it is found by bisection, which takes a handful of looks at costs. Where a
        cost does not grow with every step, what is found is still within the budget.
        """
        space = self.problem.space
        cost = self.rng.uniform(max(self._floor, self._base.cost), max(self._ceiling, self._base.cost))
        goal = space.sample(self.rng)
        way = [*self._steps(self._base.choice, goal), *self._steps(goal, space.biggest)]
        seen, low, high = [self._base], -1, len(way)
        while high - low > 1:
            middle = (low + high) // 2
            seen.append(self.problem.propose(way[middle]))
            low, high = (middle, high) if seen[-1].cost <= cost else (low, middle)
        return min((p for p in seen if p.cost <= self.problem.limit), key=lambda p: abs(p.cost - cost))

    def _steps(self, start: Mapping[str, Value], end: Mapping[str, Value]) -> list[Choice]:
        """Valid choices from one to another, a step of one dimension at a time, in random order."""
        names = [d.name for d in self.problem.space]
        places = {d.name: (d.choices.index(start[d.name]), d.choices.index(end[d.name])) for d in self.problem.space}
        choices = {d.name: d.choices for d in self.problem.space}
        moves = [name for name in names for _ in range(abs(places[name][1] - places[name][0]))]
        current, way = dict(start), []
        for number in self.rng.permutation(len(moves)):
            name = moves[number]
            step = 1 if places[name][1] > places[name][0] else -1
            current[name] = choices[name][choices[name].index(current[name]) + step]
            if self.problem.space.valid(current):
                way.append(dict(current))
        return way


def random_search(problem: Problem[D], evaluate: Evaluate[D], samples: int = 500, seed: int = 0) -> list[Scored[D]]:
    """Evaluate random proposals under the budget (ViPNAS, section 4.2: 500), in order; none twice.

    Args:
        problem: what is searched.
        evaluate: how good one is.
        samples: how many; fewer where the space holds no more.
        seed: of the stream.

    Raises:
        InputError: nothing meets the limit.
    """
    sampler = Sampler(problem, np.random.default_rng(seed))
    done: dict[D, Scored[D]] = {}
    _extend(done, sampler.draw, evaluate, samples)
    return list(done.values())


def evolutionary_search(
    problem: Problem[D], evaluate: Evaluate[D], samples: int = 500, seed: int = 0, plan: Evolution | None = None
) -> list[Scored[D]]:
    """Evaluate a random population, then children of the best so far, in order; none twice.

    Args, Raises: see :func:`random_search`; ``plan`` says how it breeds.
    """
    plan = plan or Evolution()
    rng = np.random.default_rng(seed)
    sampler = Sampler(problem, rng)
    done: dict[D, Scored[D]] = {}
    _extend(done, sampler.draw, evaluate, min(plan.population, samples))

    def breed() -> Proposal[D]:
        # Sorting is stable: of equals, the one that was there first stays ahead.
        parents = sorted(done.values(), key=lambda s: s.rank, reverse=True)[: plan.parents]
        for _ in range(CHILD_TRIES):
            proposal = problem.propose(_child(problem.space, parents, plan, rng))
            if sampler.fits(proposal) and proposal.described not in done:
                return proposal
        return sampler.draw()

    _extend(done, breed, evaluate, samples)
    return list(done.values())


def _extend(
    done: dict[D, Scored[D]], propose: Callable[[], Proposal[D]], evaluate: Evaluate[D], samples: int
) -> None:
    """Evaluate until there are ``samples``, or nothing new has come for a long time."""
    idle = 0
    while len(done) < samples and idle < PATIENCE:
        proposal = propose()
        if proposal.described in done:
            idle += 1
            continue
        done[proposal.described] = Scored(proposal, tuple(evaluate(proposal)))
        idle = 0


def _child(space: Space, parents: list[Scored[D]], plan: Evolution, rng: np.random.Generator) -> Choice:
    one, other = (parents[int(i)].proposal.choice for i in rng.integers(len(parents), size=2))
    if rng.random() < plan.crossover:
        child = space.cross(one, other, rng)
        return space.mutate(child, plan.mutation, rng) if rng.random() < 0.5 else child
    return space.mutate(one, plan.mutation, rng)
