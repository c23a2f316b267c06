"""Random and evolutionary search: budgets hold, streams repeat, evolution pays, impossible budgets are said plainly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from vipose.models.networks.fused import FusedArch
from vipose.models.search.explore import (
    Evolution,
    Problem,
    Proposal,
    Sampler,
    cheapest,
    evolutionary_search,
    random_search,
    spatial_problem,
)
from vipose.models.search.space import Dimension, Space
from vipose.models.search.spaces_fused import FAST_FUSED
from vipose.runtime.errors import InputError, UsageError

Point = tuple[int, ...]
SIDES, HEIGHT = 12, 6


def toy(valid: Any = lambda choice: True) -> Space:
    """Twelve numbers from 0 to 5; no networks."""
    dimensions = tuple(Dimension(f"d{n}", tuple(range(HEIGHT))) for n in range(SIDES))
    return Space("toy", dimensions, lambda choice: FusedArch(), valid)


def point(choice: Mapping[str, Any]) -> Point:
    return tuple(int(choice[f"d{n}"]) for n in range(SIDES))


def problem(limit: float, at_least: float = 0.8, space: Space | None = None) -> Problem[Point]:
    return Problem(space or toy(), point, lambda p: float(sum(p)), limit, at_least)


def near_a_goal(seed: int) -> Any:
    """An objective with one best point that lies under the budget of 30."""
    goal = np.random.default_rng([seed, 99]).permutation([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    return lambda proposal: (-float(np.abs(np.array(proposal.described) - goal).sum()),)


SEARCHES = pytest.mark.parametrize("search", [random_search, evolutionary_search])


@SEARCHES
def test_nothing_is_looked_at_twice_or_outside_of_the_bounds(search: Any) -> None:
    done = search(problem(20), near_a_goal(0), 120, seed=3)
    points = [s.proposal.described for s in done]
    assert len(set(points)) == len(points) == 120
    assert all(16 <= s.proposal.cost <= 20 for s in done)
    assert all(point(s.proposal.choice) == s.proposal.described for s in done)


@SEARCHES
def test_the_same_seed_gives_the_same_stream_and_another_seed_another(search: Any) -> None:
    streams = [[s.proposal.described for s in search(problem(30), near_a_goal(0), 80, seed=n)] for n in (1, 1, 2)]
    assert streams[0] == streams[1] != streams[2]


@SEARCHES
def test_fewer_samples_are_the_beginning_of_more(search: Any) -> None:
    short, long = (search(problem(30), near_a_goal(0), n, seed=1) for n in (30, 90))
    assert long[:30] == short


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_evolution_finds_more_than_chance_with_as_many_evaluations(seed: int) -> None:
    best = [max(s.rank for s in f(problem(30), near_a_goal(seed), 150, seed)) for f in (random_search, evolutionary_search)]
    assert best[1] > best[0]


def test_evolution_is_random_before_it_has_a_population() -> None:
    plan = Evolution(population=40)
    evolved = evolutionary_search(problem(30), near_a_goal(0), 40, 5, plan)
    assert evolved == random_search(problem(30), near_a_goal(0), 40, 5)


def test_a_tight_budget_neither_hangs_nor_leaves_the_bounds() -> None:
    """One choice in about 10^7 costs so little; costs are spread over the band and reach its top."""
    counted: list[Point] = []
    tight = Problem(toy(), point, lambda p: float(counted.append(p) or sum(p)), 6, 0.5)  # type: ignore[func-returns-value]
    done = random_search(tight, lambda p: (0.0,), 60, seed=0)
    costs = {s.proposal.cost for s in done}
    assert len(done) == 60 and costs == {3, 4, 5, 6}
    assert len(counted) < 60 * 30


def test_climbing_passes_over_choices_that_make_no_network() -> None:
    def valid(choice: Mapping[str, Any]) -> bool:
        return sum(point(choice)) % 3 == 0

    done = random_search(problem(9, 0.0, toy(valid)), lambda p: (0.0,), 40, seed=0)
    assert len(done) == 40 and {s.proposal.cost for s in done} <= {0, 3, 6, 9}


def test_a_budget_above_everything_looks_at_the_dearest() -> None:
    done = random_search(problem(1000), lambda p: (0.0,), 20, seed=0)
    assert all(48 <= s.proposal.cost <= 60 for s in done)


def test_at_least_zero_is_the_papers_rejection_sampling() -> None:
    rng, again = np.random.default_rng(7), np.random.default_rng(7)
    sampler, space = Sampler(problem(1000, 0.0), rng), toy()
    assert [sampler.draw().choice for _ in range(10)] == [space.sample(again) for _ in range(10)]


def test_a_small_space_ends_the_search_early() -> None:
    small = Space("small", (Dimension("d", (0, 1, 2)),), lambda choice: FusedArch())
    few = Problem(small, lambda choice: int(choice["d"]), float, 2, 0.0)
    for search in (random_search, evolutionary_search):
        assert sorted(s.proposal.described for s in search(few, lambda p: (0.0,), 50, 0)) == [0, 1, 2]


def test_an_impossible_budget_names_the_cheapest() -> None:
    space = toy()
    dear = Problem(space, point, lambda p: 10.0 + sum(p), 9, 0.8, lambda cost: f"{cost:g} ms")
    with pytest.raises(InputError, match="no network of the space 'toy' meets 9 ms: the cheapest found costs 10 ms"):
        random_search(dear, lambda p: (0.0,), 5)
    with pytest.raises(InputError, match="the cheapest found costs 10 ms"):
        evolutionary_search(dear, lambda p: (0.0,), 5)


def test_the_cheapest_is_found_where_it_is_not_the_smallest() -> None:
    def cost(p: Point) -> float:
        return 10.0 + sum(p[2:]) + abs(p[0] - 3) + (p[1] - 5) ** 2

    odd = Problem(toy(), point, cost, 10.5, 0.0)
    assert cheapest(odd).cost == 10 and cheapest(odd).described[:2] == (3, 5)
    found = random_search(odd, lambda p: (0.0,), 3, seed=0)
    assert found and all(s.proposal.cost <= 10.5 for s in found)


def test_a_share_outside_of_zero_to_one_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1.2"):
        problem(10, 1.2)


def test_descriptions_of_a_real_space_cost_what_is_said() -> None:
    searched = spatial_problem(FAST_FUSED, lambda arch: float(sum(arch.widths)), 300)  # type: ignore[attr-defined]
    seen: list[Proposal[Any]] = []
    random_search(searched, lambda p: (float(seen.append(p) or 0),), 10)  # type: ignore[func-returns-value]
    assert all(p.described == FAST_FUSED.architecture(p.choice) and 240 <= p.cost <= 300 for p in seen)
    with pytest.raises(InputError, match="fast-fused"):
        random_search(replace(searched, limit=100), lambda p: (0.0,), 1)
