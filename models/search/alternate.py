"""The architecture's half of a differentiable search: its loss, its steps beside those of the weights, and what came of them.

Weights and architecture parameters are optimised in turn, each on people of its own (EfficientPose, section 3.1 and 4.1). The
architecture's loss is that of the heatmaps plus a term for the expected cost (equation 6). The equation's text did not
survive; what the same authors write in DenseNAS and FNA is taken, lambda * log_tau(cost). With a budget the term is
lambda * |log_tau(cost / budget)|, which pulls from both sides (TuNAS, Bender et al., CVPR 2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from vipose.models.search.relaxed import ChoiceCosts, RelaxedNetwork
from vipose.models.training.distributed import ALONE, World
from vipose.models.training.stages import Companion

__all__ = ["AlternationConfig", "ArchitectureLearning", "CostTerm", "entropies"]

ENTRIES = 40
"""How many states of the probabilities are kept over a search."""


@dataclass(frozen=True)
class CostTerm:
    """What the expected cost adds to the loss.

    Attributes:
        costs: the lookup table.
        weight: lambda of equation 6.
        base: tau, the base of the logarithm: a cost of tau times another adds lambda.
        budget: the cost to end up at, in the table's unit; None: the less the better.
    """

    costs: ChoiceCosts
    weight: float
    base: float
    budget: float | None = None

    def __call__(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """A scalar that gradients flow through."""
        cost = self.costs.expected(probabilities)
        if self.budget is None:
            return self.weight * torch.log(cost) / math.log(self.base)
        return self.weight * torch.log(cost / self.budget).abs() / math.log(self.base)


@dataclass(frozen=True)
class AlternationConfig:
    """How the architecture learns.

    Attributes:
        stage: of the training from which on it does; before it, only the weights learn.
        every: steps of the weights for one of its own.
        paths: candidates of every choice that run in a step; None for all. At least two run in its own: one alone has a
            weight of 1 whatever its parameter, so that the heatmaps would teach it nothing.
        rate, betas, decay: of Adam.
    """

    stage: int = 1
    every: int = 4
    paths: int | None = None
    rate: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.999)
    decay: float = 0.0


class ArchitectureLearning(Companion):
    """Trains the architecture parameters of a relaxed network beside its weights.

    Args:
        network: on its device.
        config: see :class:`AlternationConfig`.
        term: of the cost.
        loss: of a batch, with the candidates that are drawn at that time.
        stream: batches for the architecture, by stage.
        rng: draws candidates; the weights' steps draw from the same.
        world: the processes that train together.
        watch: told (stage, progress) after every step of the weights.
        keep: told (stage, progress, averaged weights) after every checkpoint.

    Attributes:
        steps: of the architecture, so far.
        history: states of the search, see :meth:`_note`; plain JSON.
    """

    def __init__(
        self,
        network: RelaxedNetwork,
        config: AlternationConfig,
        term: CostTerm,
        loss: Callable[[Any], Tensor],
        stream: Callable[[int], IterableDataset[Any]],
        rng: np.random.Generator,
        world: World = ALONE,
        watch: Callable[[int, float], None] = lambda stage, progress: None,
        keep: Callable[[int, float, Mapping[str, Tensor]], None] = lambda stage, progress, averaged: None,
    ) -> None:
        self.network, self.config, self.term = network, config, term
        self._loss, self._stream, self._rng, self._world = loss, stream, rng, world
        self._watch, self._keep = watch, keep
        self._optimiser = torch.optim.Adam(
            network.architecture.parameters(), lr=config.rate, betas=config.betas, weight_decay=config.decay
        )
        self.steps, self._waited = 0, 0
        self.history: list[dict[str, Any]] = []
        self._losses: list[float] = []

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.network.architecture.parameters()

    def stream(self, stage: int) -> IterableDataset[Any] | None:
        return self._stream(stage) if stage >= self.config.stage else None

    def follow(self, stage: int, progress: float, batches: Iterator[Any] | None) -> None:
        if batches is not None:
            self._waited += 1
            if self._waited >= self.config.every:
                self._waited = 0
                self.step(next(batches))
            if progress * ENTRIES >= len(self.history):
                self._note(progress)
        self._watch(stage, progress)

    def step(self, batch: Any) -> float:
        """One step of the architecture parameters; returns the loss of the heatmaps."""
        paths = self.config.paths
        self.network.draw(None if paths is None else max(2, paths), self._rng)
        self._optimiser.zero_grad(set_to_none=True)
        with self.network.learning(architecture=True):
            loss = self._loss(batch)
            torch.autograd.backward(loss + self.term(self.network.probabilities()))
        self._world.average_gradients(self.network.architecture.parameters())
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.steps += 1
        self._losses.append(loss.item())
        return self._losses[-1]

    @torch.no_grad()
    def facts(self) -> dict[str, float]:
        if not self.steps:
            return {}
        probabilities = self.network.probabilities()
        expected, entropy = self.term.costs.expected(probabilities).item(), _mean(entropies(probabilities).values())
        recent = {"architecture_loss": _mean(self._losses)} if self._losses else {}
        return {"architecture_steps": self.steps, "expected_cost": expected, "entropy": entropy, **recent}

    def state(self) -> dict[str, Any]:
        return {
            "optimiser": self._optimiser.state_dict(), "steps": self.steps, "waited": self._waited,
            "history": self.history, "losses": self._losses,
        }  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        self._optimiser.load_state_dict(state["optimiser"])
        self.steps, self._waited = int(state["steps"]), int(state["waited"])
        self.history, self._losses = list(state["history"]), list(state["losses"])

    def saved(self, stage: int, progress: float, averaged: Mapping[str, Tensor]) -> None:
        self._keep(stage, progress, averaged)

    @torch.no_grad()
    def _note(self, progress: float) -> None:
        """One more state: how far, loss of the heatmaps since the last one, expected cost, entropy, probabilities."""
        probabilities = self.network.probabilities()
        self.history.append(
            {
                "progress": round(progress, 4),
                "steps": self.steps,
                "loss": _mean(self._losses) if self._losses else None,
                "expected": self.term.costs.expected(probabilities).item(),
                "entropy": _mean(entropies(probabilities).values()),
                "probabilities": {name: [round(v, 4) for v in p.tolist()] for name, p in probabilities.items()},
            }
        )
        self._losses = []


def entropies(probabilities: Mapping[str, Tensor]) -> dict[str, float]:
    """Of every choice, in nats; 0 is a decision."""
    return {name: float(torch.special.entr(p.detach()).sum()) for name, p in probabilities.items()}


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
