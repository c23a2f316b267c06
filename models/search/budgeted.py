"""What searches of single networks under a budget share: one candidate after another, each written when it is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vipose.models.networks.architecture import Architecture, architecture_hash
from vipose.models.search.cost import cost
from vipose.models.search.evaluate import Accuracy
from vipose.models.search.explore import Evaluate, Problem, Proposal, Rank, spatial_problem
from vipose.models.search.latency import LatencyTable
from vipose.models.search.report import watched
from vipose.models.search.result import Candidate, SearchResult, save_result, show_cost
from vipose.models.search.space import Choice, Space

__all__ = ["BudgetedSearch"]

Method = Callable[[Problem[Architecture], Evaluate[Architecture], int, int], object]
"""Looks at so many candidates, from a seed: see :mod:`vipose.models.search.explore`."""


@dataclass
class BudgetedSearch(ABC):
    """A search with everything it needs; :meth:`look` goes on from what ``result`` holds.

    Attributes:
        result: settings, and candidates so far.
        path: where it is written after every candidate.
        table: predicts milliseconds; None for a budget in MACs without a table.
    """

    result: SearchResult
    path: Path
    table: LatencyTable | None

    @abstractmethod
    def accuracy(self, arch: Architecture) -> Accuracy:
        """How good a network is."""

    def cost(self, arch: Architecture) -> float:
        """In the unit of the budget."""
        if self.result.budget.unit == "MACs":
            return cost(arch, self.result.cost_size).macs
        assert self.table is not None  # checked where it was read
        return self.table.predict(arch, measure_missing=True)

    def measure(self, choice: Choice, arch: Architecture) -> Candidate:
        """A candidate with its accuracy and costs."""
        accuracy, costs = self.accuracy(arch), cost(arch, self.result.cost_size)
        ms = None if self.table is None else self.table.predict(arch, measure_missing=True)
        digest = architecture_hash(arch)
        return Candidate(
            choice, digest, ms, costs.macs, costs.parameters, accuracy.ap, accuracy.oks, accuracy.by_source
        )

    def evaluate(self, proposal: Proposal[Architecture]) -> Rank:
        """Rank of a proposal; one that the result holds already is not measured again."""
        candidate = self.result.found(architecture_hash(proposal.described))
        if candidate is None:
            candidate = self.measure(proposal.choice, proposal.described)
            self.keep(self.result.adding(candidate))
        return candidate.rank

    def look(self, space: Space, method: Method, quiet: bool = False) -> None:
        """Go on until there are as many candidates as were asked for, with progress unless quiet."""
        asked = self.result
        problem = spatial_problem(
            space, self.cost, asked.budget.limit, asked.at_least, lambda c: show_cost(c, asked.budget.unit)
        )
        with watched(asked, quiet) as tick:

            def evaluate(proposal: Proposal[Architecture]) -> Rank:
                rank = self.evaluate(proposal)
                tick(self.result)
                return rank

            method(problem, evaluate, asked.samples, asked.seed)

    def keep(self, result: SearchResult) -> None:
        """Go on with a result, and write it."""
        self.result = result
        save_result(self.path, result)
