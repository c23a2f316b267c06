"""Networks whose choices are probabilities: what a differentiable search trains, prices and derives a network from.

Every choice (a layer of EfficientPose, an edge of a PoseNAS cell) has one architecture parameter a candidate. The softmax of
them is the probability of each candidate (EfficientPose, equation 2), the output is the weighted sum of the candidates'
outputs (equation 3), and the expected cost is the sum of the looked-up costs by probability (equations 4 and 5). With path
dropping only some candidates of a choice run in a step, drawn by probability, and their weights are made to sum to 1 again
(Cai et al., ProxylessNAS, 2019), which costs a fraction of the time and memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from vipose.models.networks.architecture import Architecture, Output
from vipose.models.networks.base import PoseNetwork
from vipose.models.search.parts import Shape
from vipose.models.search.space import Choice, Space

__all__ = ["ChoiceCosts", "MixedOperation", "Pricer", "RelaxedNetwork"]

Pricer = Callable[[nn.Module, tuple[Shape, ...]], float]
"""What a module costs on inputs of these shapes [1, C, H, W], in any unit."""


@dataclass(frozen=True)
class ChoiceCosts:
    """The lookup table of a relaxed network.

    Attributes:
        unit: ``MACs``, ``ms`` or ``GPU ms``.
        fixed: of everything that is not chosen.
        by_choice: cost of each candidate of each choice, in the order of the candidates.
    """

    unit: str
    fixed: float
    by_choice: Mapping[str, tuple[float, ...]]

    def expected(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """Equations 4 and 5: a scalar that gradients flow through."""
        parts = [(p * p.new_tensor(self.by_choice[name])).sum() for name, p in probabilities.items()]
        return torch.stack(parts).sum() + self.fixed


class MixedOperation(nn.Module):
    """The candidates of one choice at one place of a network; places may share architecture parameters, never weights."""

    def __init__(self, candidates: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.candidates = nn.ModuleDict(candidates)

    def forward(self, x: Tensor, weights: Tensor, active: Sequence[int]) -> Tensor:
        """Sum of the active candidates' outputs by weight.

        Args:
            x: features.
            weights: [len(active)], which sum to 1; one alone is not looked at.
            active: indices of the candidates that run.
        """
        modules = list(self.candidates.values())
        first: Tensor = modules[active[0]](x)
        if len(active) == 1:
            return first
        mixed = weights[0] * first
        for weight, index in zip(weights[1:], active[1:], strict=True):
            y = modules[index](x)
            mixed = torch.addcmul(mixed, y, weight.to(y.dtype))  # one pass over memory where + and * take two
        return mixed


class RelaxedNetwork(nn.Module, ABC):
    """Base of relaxed networks. A family's class is made by ``Class(space, output=..., joints=...)``.

    Args:
        space: what is searched; a derived network is one of its choices.
        choices: names of the candidates of every choice.
        output: what it puts out, and derived networks too, whatever the space says.
        joints: heatmaps.
        start: standard deviation of the first architecture parameters.

    Attributes:
        arch: any network of the space: what all of them share.
    """

    def __init__(
        self,
        space: Space,
        choices: Mapping[str, Sequence[str]],
        *,
        output: Output = "heatmaps",
        joints: int = 17,
        start: float = 1e-3,
    ) -> None:
        super().__init__()
        self.space, self.output, self.joints = space, output, joints
        self.arch = self.described(space.sample(np.random.default_rng(0)))
        self.choices = {name: tuple(candidates) for name, candidates in choices.items()}
        # ParameterDict forbids dots in names.
        made = {_key(n): nn.Parameter(start * torch.randn(len(c))) for n, c in self.choices.items()}
        self.architecture = nn.ParameterDict(made)
        self._active: dict[str, list[int]] = {}
        self.draw(None)

    @abstractmethod
    def forward(self, image: Tensor) -> list[Tensor]:
        """Normalised crops [N, 3, H, W] to everything that is supervised (see ``PoseNetwork.outputs``)."""

    @abstractmethod
    def costs(self, price: Pricer, unit: str, size: tuple[int, int]) -> ChoiceCosts:
        """The lookup table for crops of a size (width, height).

        Prices are of the modules that a derived network has, so that its cost is the sum of its choices' costs.
        """

    @abstractmethod
    def derive(self) -> Choice:
        """The choice of the space that the probabilities stand for."""

    @abstractmethod
    def extract(self) -> PoseNetwork:
        """The derived network with the weights that its candidates have here."""

    def described(self, choice: Choice) -> Architecture:
        """The description of a choice, with the output and the joints of this."""
        return replace(self.space.architecture(choice), output=self.output, joints=self.joints)

    def alpha(self, name: str) -> Tensor:
        """Architecture parameters [candidates] of a choice."""
        found: Tensor = self.architecture[_key(name)]
        return found

    def probabilities(self) -> dict[str, Tensor]:
        """Of every choice: [candidates], which sum to 1 (equation 2)."""
        return {name: torch.softmax(self.alpha(name), 0) for name in self.choices}

    def weights(self) -> Iterator[nn.Parameter]:
        """Every parameter that is no architecture parameter."""
        own = {id(p) for p in self.architecture.parameters()}
        return (p for p in self.parameters() if id(p) not in own)

    @contextmanager
    def learning(self, architecture: bool) -> Iterator[None]:
        """Inside, gradients reach either the architecture parameters alone or all others alone: the step is cheaper so."""
        mine = {id(p) for p in self.architecture.parameters()}
        still = [p for p in self.parameters() if (id(p) in mine) != architecture and p.requires_grad]
        for parameter in still:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in still:
                parameter.requires_grad_(True)

    def draw(self, paths: int | None, rng: np.random.Generator | None = None) -> None:
        """Decide which candidates run in the next passes.

        Args:
            paths: so many of every choice, drawn by probability without replacement; None for all.
            rng: of the draw; not needed for all.
        """
        if paths is None:
            self._active = {name: list(range(len(candidates))) for name, candidates in self.choices.items()}
            return
        assert rng is not None
        whole = torch.cat([self.alpha(name) for name in self.choices]).detach().double().cpu().numpy()
        ends = np.cumsum([len(candidates) for candidates in self.choices.values()])
        for name, alpha in zip(self.choices, np.split(whole, ends[:-1]), strict=True):
            # The largest of log p plus Gumbel noise are a draw without replacement, also where some p is 0 in floats.
            keys = alpha + rng.gumbel(size=len(alpha))
            self._active[name] = sorted(np.argsort(-keys)[:paths].tolist())

    def mix(self, name: str, operation: MixedOperation, x: Tensor) -> Tensor:
        """One place of a choice: the candidates that :meth:`draw` left, weighted by their probabilities among each other."""
        active = self._active[name]
        weights = torch.softmax(self.alpha(name)[active], 0)
        out: Tensor = operation(x, weights, active)
        return out


def _key(name: str) -> str:
    return name.replace(".", "/")
