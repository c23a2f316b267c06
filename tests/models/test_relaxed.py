"""Networks with probabilities: what runs, by which weight, where gradients go, what it costs, and what is derived."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from tests.fixtures.relaxed import TOY, ByKernel
from vipose.models.networks.efficientpose import MBConv
from vipose.models.search.parts import part_of, trace
from vipose.models.search.relaxed import ChoiceCosts, MixedOperation, RelaxedNetwork
from vipose.models.search.relaxed_efficientpose import RelaxedEfficientPose
from vipose.models.search.space import Choice
from vipose.models.search.spaces import SPACES


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


def make(**options: object) -> RelaxedEfficientPose:
    torch.manual_seed(0)
    return RelaxedEfficientPose(TOY, **options)  # type: ignore[arg-type]


@torch.no_grad()
def choose(network: RelaxedNetwork, choice: Choice, strength: float = 1e3) -> None:
    """Probabilities of 0 and 1, in floats too."""
    for name, value in choice.items():
        network.alpha(name).fill_(-strength)
        network.alpha(name)[network.choices[name].index(str(value))] = strength


IMAGE = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_a_mixture_is_the_sum_of_what_runs_by_weight() -> None:
    mixed = MixedOperation({"a": Scale(1.0), "b": Scale(10.0), "c": Scale(100.0)})
    x = torch.ones(2, 3)
    assert torch.allclose(mixed(x, torch.tensor([0.5, 0.25, 0.25]), [0, 1, 2]), torch.full((2, 3), 28.0))
    assert torch.allclose(mixed(x, torch.tensor([0.1, 0.9]), [0, 2]), torch.full((2, 3), 90.1))
    assert torch.equal(mixed(x, torch.tensor([1.0]), [1]), 10 * x)


def test_probabilities_are_the_softmax_of_the_architecture_parameters() -> None:
    network = make()
    assert [len(p) for p in network.probabilities().values()] == [2, 3, 2, 2]
    with torch.no_grad():
        network.alpha("layer1").copy_(torch.log(torch.tensor([1.0, 2.0, 5.0])))
    assert network.probabilities()["layer1"].tolist() == pytest.approx([0.125, 0.25, 0.625])
    near = [p.tolist() for name, p in make().probabilities().items() if name != "layer1"]
    assert np.allclose(near, 0.5, atol=0.01)  # undecided at first
    own = {id(p) for p in network.architecture.parameters()}
    assert len(own) == 4 and own.isdisjoint(map(id, network.weights()))
    assert len(own) + len(list(network.weights())) == len(list(network.parameters()))


def test_what_runs_is_drawn_by_probability_without_replacement() -> None:
    network, rng = make(), np.random.default_rng(0)
    with torch.no_grad():
        network.alpha("layer1").copy_(torch.log(torch.tensor([0.6, 0.3, 0.1])))
    drawn: Counter[tuple[int, ...]] = Counter()
    for _ in range(4000):
        network.draw(1, rng)
        drawn[tuple(network._active["layer1"])] += 1
    assert [drawn[(n,)] / 4000 for n in range(3)] == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    pairs: Counter[tuple[int, ...]] = Counter()
    for _ in range(4000):
        network.draw(2, rng)
        pairs[tuple(network._active["layer1"])] += 1
    first_then = 0.6 * 0.3 / 0.4 + 0.3 * 0.6 / 0.7  # by hand: 0 then 1, or 1 then 0
    assert pairs[(0, 1)] / 4000 == pytest.approx(first_then, abs=0.03)
    network.draw(9, rng)
    assert network._active["layer1"] == [0, 1, 2]


def test_weights_of_what_runs_sum_to_one_and_only_it_gets_gradients() -> None:
    network, rng = make().eval(), np.random.default_rng(3)
    with torch.no_grad():
        network.alpha("layer1").copy_(torch.log(torch.tensor([0.5, 0.3, 0.2])))
    seen: list[tuple[torch.Tensor, list[int]]] = []
    layer = network.layers[1]
    forward = layer.forward
    layer.forward = lambda x, weights, active: (seen.append((weights, list(active))), forward(x, weights, active))[1]
    network.draw(2, rng)
    network(IMAGE)[0].square().sum().backward()
    weights, active = seen[0]
    probability = np.array([0.5, 0.3, 0.2])[active]
    assert len(active) == 2 and weights.tolist() == pytest.approx(probability / probability.sum())
    gradient = network.alpha("layer1").grad
    assert gradient is not None and [n for n in range(3) if gradient[n] != 0] == active
    idle = [c for n, c in enumerate(layer.candidates.values()) if n not in active]
    assert all(p.grad is None for c in idle for p in c.parameters())


def test_a_step_teaches_weights_or_architecture_and_never_both() -> None:
    network = make().train()
    with network.learning(architecture=True):
        network(IMAGE)[0].square().mean().backward()
    assert all(p.grad is not None for p in network.architecture.parameters())
    assert all(p.grad is None and p.requires_grad for p in network.weights())
    network.zero_grad()
    with network.learning(architecture=False):
        network(IMAGE)[0].square().mean().backward()
    assert all(p.grad is None and p.requires_grad for p in network.architecture.parameters())
    assert all(p.grad is not None for p in network.weights())


def test_expected_cost_and_its_gradient_by_hand() -> None:
    costs = ChoiceCosts("ms", 2.0, {"a": (1.0, 3.0), "b": (10.0, 20.0, 40.0)})
    alphas = {"a": torch.zeros(2, requires_grad=True), "b": torch.tensor([0.0, 0.0, 2.0]).log1p().requires_grad_()}
    probabilities = {name: torch.softmax(alpha, 0) for name, alpha in alphas.items()}
    cost = costs.expected(probabilities)
    assert cost.item() == pytest.approx(2 + 2 + (10 + 20 + 3 * 40) / 5)
    torch.autograd.backward(cost)
    assert alphas["a"].grad is not None and alphas["b"].grad is not None
    # d cost / d alpha_i = p_i (c_i - mean of the choice)
    assert alphas["a"].grad.tolist() == pytest.approx([0.5 * (1 - 2), 0.5 * (3 - 2)])
    assert alphas["b"].grad.tolist() == pytest.approx([0.2 * (10 - 30), 0.2 * (20 - 30), 0.6 * (40 - 30)])


@pytest.mark.parametrize("second", ["skip", "k7_e3"])
def test_what_is_extracted_is_the_relaxed_network_with_sure_probabilities(second: str) -> None:
    network = make(output="logits", joints=16)
    network.train()(IMAGE)  # statistics that are not the first ones
    choice: Choice = {"layer0": "k3_e3", "layer1": second, "layer2": "k7_e3", "layer3": "k3_e3"}
    choose(network, choice)
    network.eval()
    assert network.derive() == choice
    derived = network.extract()
    assert derived.arch == replace(TOY.architecture(choice), output="logits", joints=16)
    with torch.inference_mode():
        assert torch.allclose(derived(IMAGE), network(IMAGE)[0], atol=1e-5)
    network.draw(1, np.random.default_rng(0))
    with torch.inference_mode():
        assert torch.equal(derived(IMAGE), network(IMAGE)[0])


def test_the_lookup_table_adds_up_to_what_is_derived() -> None:
    network, prices = make(), ByKernel({3: 2.0, 7: 5.0})
    costs = network.costs(prices, "ms", (64, 64))
    assert costs.by_choice == {"layer0": (2.0, 5.0), "layer1": (0.0, 2.0, 5.0), "layer2": (2.0, 5.0), "layer3": (2.0, 5.0)}
    for choice in (TOY.smallest, TOY.biggest):
        choose(network, choice)
        assert costs.expected(network.probabilities()).item() == pytest.approx(prices.network(TOY.architecture(choice)))


def test_candidates_are_priced_as_the_very_parts_of_derived_networks() -> None:
    """Or a table of 'vipose search profile' would serve nothing."""
    network, found = make(), set()

    def note(module: nn.Module, shapes: tuple[tuple[int, ...], ...]) -> float:
        found.add(part_of(module, shapes).signature)
        return 0.0

    network.costs(note, "ms", (64, 64))
    for choice in (TOY.smallest, TOY.biggest):
        assert {part.signature for part in trace(TOY.architecture(choice), (64, 64))} <= found


@pytest.mark.parametrize("name", ["paper-efficientpose-small", "paper-efficientpose-large"])
def test_the_spaces_of_the_paper(name: str) -> None:
    with torch.device("meta"):
        network = copy.copy(RelaxedEfficientPose(SPACES[name]))
    layers = [d.choices for d in SPACES[name]]
    assert [len(c) for c in network.choices.values()] == [len(c) for c in layers]
    assert sum("skip" in c for c in layers) == len(layers) - 4  # the first layer of a stage is never skipped
    places = list(network.mb_layers())
    assert len(places) == 6 * len(layers) and {stage for stage, _, _ in places} == {1, 2, 3, 4}
    assert all(isinstance(layer, MBConv) for _, _, layer in places)
