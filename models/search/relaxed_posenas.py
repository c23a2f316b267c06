"""PoseNAS with probabilities instead of genotypes: encoder, fusion and decoder searched at once (Bao et al. 2020).

Every state of a cell takes all earlier ones, by edges whose operations are mixed (DARTS, Liu et al. 2019): 14 edges a cell. All
normal cells share one set of architecture parameters, all reduction cells another, and each of the three fusion cells has
one for both decoder stages; refine cells are normal and reduction cells too. Weights are never shared.

Candidates are the space's operations and ``none``, which makes edges compete, and which a derived cell never holds. Batch
norms inside candidates have no scale and no bias, or the architecture parameters would mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from vipose.models.networks.architecture import Output
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.cells import NODES, CellModule, CellOperation, CellPlace, GenotypeCell, make_operation
from vipose.models.networks.posenas import PoseNAS, PoseNASArch
from vipose.models.search.parts import Shape
from vipose.models.search.relaxed import ChoiceCosts, MixedOperation, Pricer, RelaxedNetwork
from vipose.models.search.space import Choice, Space
from vipose.models.search.spaces_posenas import CELLS

__all__ = ["NONE", "CellCosts", "RelaxedPoseNAS"]

NONE = "none"
EDGES = tuple((source, number) for number in range(2, 2 + NODES) for source in range(number))
"""(from, to) of all 14 edges of a cell."""
Priced = list[tuple[nn.Module, Shape]]


def _choice(cell: str, source: int, number: int) -> str:
    """Name of the choice of an edge; cells of one genotype share it."""
    return f"{cell}.{source}-{number}"


@dataclass(frozen=True)
class CellCosts(ChoiceCosts):
    """A lookup table of edges, of which a derived network keeps two a node, and none that is ``none``."""

    def expected(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """About what a derived network costs: every edge by how likely it is kept, and its operations by their share.

        The plain sum over all 14 edges would be that of a network nobody derives: about twice as dear. Gradients flow.
        """
        parts = []
        for cell in CELLS:
            for number in range(2, 2 + NODES):
                names = [_choice(cell, source, number) for source in range(number)]
                operations = [probabilities[name][1:].clamp_min(1e-20) for name in names]  # 0 is none
                strengths = torch.stack([p.amax() for p in operations])
                kept = (2 * strengths / strengths.sum()).clamp_max(1.0)
                costs = [p.new_tensor(self.by_choice[name][1:]) for p, name in zip(operations, names, strict=True)]
                parts.append(
                    kept @ torch.stack([(p * c).sum() / p.sum() for p, c in zip(operations, costs, strict=True)])
                )
        return torch.stack(parts).sum() + self.fixed


class MixedEdge(MixedOperation):
    """The candidates of one edge of one cell.

    Attributes:
        width: channels in and out.
        stride: 2 where a reduction cell reads an input.
    """

    def __init__(self, candidates: tuple[str, ...], width: int, stride: int) -> None:
        super().__init__({name: _candidate(name, width, stride) for name in candidates})
        self.width, self.stride = width, stride


Mix = Callable[[str, MixedEdge, Tensor], Tensor]


class MixedCell(CellModule):
    """A cell before its genotype is known.

    Args:
        place: where it stands.
        choices: candidates by the name of the choice.
        mix: what an edge gives: choice, candidates and state to a tensor.
    """

    def __init__(self, place: CellPlace, choices: Mapping[str, tuple[str, ...]], mix: Mix) -> None:
        super().__init__(place)
        self._mix = mix
        self.edges = nn.ModuleDict(
            {
                f"{source}-{number}": MixedEdge(
                    choices[_choice(place.name, source, number)], place.width, place.stride(source)
                )
                for source, number in EDGES
            }
        )

    def edge(self, source: int, number: int) -> MixedEdge:
        """From one state to another."""
        return cast(MixedEdge, self.edges[f"{source}-{number}"])

    def node(self, number: int, states: list[Tensor]) -> Tensor:
        total = None
        for source, state in enumerate(states):
            term = self._mix(_choice(self.place.name, source, number), self.edge(source, number), state)
            total = term if total is None else total + term
        assert total is not None
        return total


class RelaxedPoseNAS(RelaxedNetwork):
    """All networks of a space of genotypes (:mod:`vipose.models.search.spaces_posenas`)."""

    arch: PoseNASArch

    def __init__(self, space: Space, *, output: Output = "heatmaps", joints: int = 17) -> None:
        operations = {cell: _operations(space, cell) for cell in CELLS}
        choices = {_choice(cell, *edge): (NONE, *operations[cell]) for cell in CELLS for edge in EDGES}
        super().__init__(space, choices, output=output, joints=joints)
        self.network = PoseNAS(self.arch, lambda place: MixedCell(place, self.choices, self.mix))

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.network.outputs(image)

    def costs(self, price: Pricer, unit: str, size: tuple[int, int]) -> CellCosts:
        fixed, edges = self._walk(size)

        @cache
        def known(operation: CellOperation, width: int, stride: int, shape: Shape) -> float:
            module = make_operation(operation, width, stride)
            return 0.0 if isinstance(module, nn.Identity) else price(module, (shape,))

        by_choice = {name: [0.0] * len(candidates) for name, candidates in self.choices.items()}
        for name, edge, shape in edges:
            for number, operation in enumerate(self.choices[name]):
                if operation != NONE:
                    by_choice[name][number] += known(cast(CellOperation, operation), edge.width, edge.stride, shape)
        total = sum(price(module, (shape,)) for module, shape in fixed)
        return CellCosts(unit, total, {name: tuple(costs) for name, costs in by_choice.items()})

    def derive(self) -> Choice:
        """As in DARTS: an edge's operation is its most probable one but ``none``, and a node keeps its two surest edges."""
        probabilities = {name: p.detach().cpu() for name, p in self.probabilities().items()}
        choice: Choice = {}
        for cell in CELLS:
            for number in range(2, 2 + NODES):
                rows = [probabilities[_choice(cell, source, number)][1:] for source in range(number)]  # 0 is none
                surest = sorted(range(number), key=lambda source, rows=rows: -float(rows[source].max()))[:2]  # type: ignore[misc]
                choice[f"{cell}.{number}.sources"] = ",".join(map(str, surest))
                for slot, source in enumerate(surest):
                    candidates = self.choices[_choice(cell, source, number)]
                    choice[f"{cell}.{number}.{slot}"] = candidates[1 + int(rows[source].argmax())]
        return choice

    def extract(self) -> PoseNetwork:
        """See :class:`RelaxedNetwork`; batch norms of operations get a scale of 1 and a bias of 0, which they did not have."""
        arch = self.described(self.derive())
        assert isinstance(arch, PoseNASArch)
        network = PoseNAS(arch)
        kept = dict(self.network.parts())
        for name, part in network.parts():
            if name in kept:
                part.load_state_dict(kept[name].state_dict())
        for candidate, operation in self._operations(network):
            missing, unexpected = operation.load_state_dict(candidate.state_dict(), strict=False)
            assert not unexpected and all(key.endswith((".weight", ".bias")) for key in missing), (missing, unexpected)
        return network.train(self.training)

    def _operations(self, network: PoseNAS) -> Iterator[tuple[nn.Module, nn.Module]]:
        """(candidate here, operation there) of every edge of a derived network."""
        for path, cell in network.named_modules():
            if isinstance(cell, GenotypeCell):
                mixed = cast(MixedCell, self.network.get_submodule(path))
                for slot, (edge, operation) in enumerate(zip(cell.genotype.edges, cell.operations(), strict=True)):
                    yield mixed.edge(edge.source, 2 + slot // 2).candidates[edge.operation], operation

    def _walk(self, size: tuple[int, int]) -> tuple[Priced, list[tuple[str, MixedEdge, Shape]]]:
        """What is not chosen and every mixed edge, each with the shape of its input, for crops of a size (width, height)."""
        edges: list[tuple[str, MixedEdge, Shape]] = []
        fixed: Priced = []

        def note(name: str, edge: MixedEdge, x: Tensor) -> Tensor:
            edges.append((name, edge, tuple(x.shape)))
            return x[:, :, :: edge.stride, :: edge.stride]

        with torch.device("meta"):
            network = PoseNAS(self.arch, lambda place: MixedCell(place, self.choices, note)).eval()
        hooks = [
            part.register_forward_pre_hook(lambda part, inputs: fixed.append((part, tuple(inputs[0].shape))))
            for _, part in network.parts()
        ]
        with torch.no_grad():
            network(torch.empty(1, 3, size[1], size[0], device="meta"))
        for hook in hooks:
            hook.remove()
        return fixed, edges


class _Nothing(nn.Module):
    """Zeros in the place of an operation."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


def _candidate(name: str, width: int, stride: int) -> nn.Module:
    return _Nothing(stride) if name == NONE else make_operation(cast(CellOperation, name), width, stride, affine=False)


def _operations(space: Space, cell: str) -> tuple[str, ...]:
    """What an edge of a cell may be; the same for all of its edges."""
    return next(tuple(map(str, d.choices)) for d in space if d.name == f"{cell}.2.0")
