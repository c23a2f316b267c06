"""The network that the probabilities of a differentiable search stand for, and how it is made to land on a budget.

Without a budget every choice takes its most probable candidate, as in the paper. Probabilities that are not yet sure add up to
another cost than their largest ones, so with a budget the most probable of the networks that cost no more than it is taken. It is
found by Lagrangian relaxation: the largest log p - m * cost of every choice, with the multiplier m that lands nearest below
the budget. A multiplier of 0 is the paper's way; a negative one means that the most probable network was too cheap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from vipose.models.networks.architecture import architecture_hash
from vipose.models.search.cost import cost
from vipose.models.search.pricers import PriceList
from vipose.models.search.relaxed import ChoiceCosts, RelaxedNetwork
from vipose.models.search.space import Choice

__all__ = ["Chosen", "derive", "multiplier", "tilted"]

NEAR = 0.02
"""Share of the budget below it that is near enough."""
_FIRST, _DOUBLINGS, _HALVINGS = 0.25, 12, 14


@dataclass(frozen=True)
class Chosen:
    """The derived network.

    Attributes:
        choice: of the space.
        architecture: its description.
        hash: of the description.
        parameters: learnt numbers.
        costs: by unit, of the whole network: MACs always, and what the tables that were given say; None where a table is
            of another machine and lacks parts of it.
        expected: cost by the probabilities, in the unit of the search.
        multiplier: see the module; in shares of the budget.
    """

    choice: Choice
    architecture: dict[str, Any]
    hash: str
    parameters: int
    costs: dict[str, float | None]
    expected: float
    multiplier: float = 0.0


def derive(
    network: RelaxedNetwork, costs: ChoiceCosts, tables: Sequence[PriceList], budget: float | None = None
) -> Chosen:
    """The derived network, priced by every table; the first is that of the search, and of the budget."""
    m = 0.0 if budget is None else multiplier(network, costs, tables[0], budget)
    with tilted(network, costs, m, budget):
        choice = network.derive()
    arch = network.described(choice)
    return Chosen(
        choice,
        arch.to_json(),
        architecture_hash(arch),
        cost(arch, tables[0].size).parameters,
        {table.unit: table.network(arch) for table in tables},
        float(costs.expected(network.probabilities()).detach()),
        m,
    )


@contextmanager
@torch.no_grad()
def tilted(network: RelaxedNetwork, costs: ChoiceCosts, m: float, budget: float | None) -> Iterator[None]:
    """Inside, the architecture parameters are less by ``m`` times the candidates' costs in shares of the budget."""
    before = {name: network.alpha(name).detach().clone() for name in network.choices}
    try:
        if m and budget is not None:
            for name, alpha in before.items():
                network.alpha(name).sub_(alpha.new_tensor(costs.by_choice[name]) * (m / budget))
        yield
    finally:
        for name, alpha in before.items():
            network.alpha(name).copy_(alpha)


def multiplier(network: RelaxedNetwork, costs: ChoiceCosts, prices: PriceList, budget: float) -> float:
    """The multiplier whose derived network costs nearest below the budget; of the cheapest where none costs less.

    Args:
        network, costs: with the lookup table.
        prices: that the table was made by.
        budget: in the table's unit.
    """

    def total(m: float) -> float:
        with tilted(network, costs, m, budget):
            return _total(network, network.derive(), costs, prices)

    now = total(0.0)
    if (1 - NEAR) * budget <= now <= budget:
        return 0.0
    fits, exceeds = (0.0, None) if now <= budget else (None, 0.0)
    step = -_FIRST if exceeds is None else _FIRST
    for _ in range(_DOUBLINGS):
        if total(step) <= budget:
            fits = step
        else:
            exceeds = step
        if fits is not None and exceeds is not None:
            break
        step *= 2
    if fits is None or exceeds is None:  # the dearest network fits, or not even the cheapest does
        return step / 2
    for _ in range(_HALVINGS):
        middle = (fits + exceeds) / 2
        found = total(middle)
        if found > budget:
            exceeds = middle
            continue
        fits = middle
        if found >= (1 - NEAR) * budget:
            break
    return fits


def _total(network: RelaxedNetwork, choice: Choice, costs: ChoiceCosts, prices: PriceList) -> float:
    """What a derived network costs."""
    if choice.keys() == costs.by_choice.keys():  # the dimensions of the space are what is chosen: no need to build it
        return costs.fixed + sum(costs.by_choice[name][network.choices[name].index(str(c))] for name, c in choice.items())
    found = prices.network(network.described(choice))
    assert found is not None  # the search's own table knows every part
    return found
