"""Super-networks: extracted sub-networks are bit-equal, gradients reach the shared weights, spaces draw what they promise."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vipose.models.networks.architecture import Architecture, Fusion, architecture_hash
from vipose.models.networks.elastic import SuperNetwork, cut
from vipose.models.networks.registry import architecture_from_json, build
from vipose.models.search.space import Space
from vipose.models.search.spaces import SPACES
from vipose.runtime.errors import InputError

EVERY_SPACE = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
ELASTIC = {name: space for name, space in SPACES.items() if space.elastic}


def _arrange(network: torch.nn.Module) -> None:
    """Weights and statistics that are not all alike, or a wrong slice would go unnoticed."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(noise + 0.5 if "var" in name or tensor.ndim == 1 else (noise - 0.5) / tensor[0].numel() ** 0.5)


@pytest.mark.parametrize("space", ELASTIC.values(), ids=ELASTIC.keys())
def test_extracted_sub_networks_are_bit_equal(space: Space) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    whole = SuperNetwork(space.architecture(space.biggest)).eval()
    _arrange(whole)
    image = torch.randn(1, 3, 64, 64)
    for choice in (space.smallest, space.biggest, space.sample(rng), space.sample(rng)):
        arch = space.architecture(choice)
        with torch.inference_mode():
            inside, outside = whole(image, arch=arch), whole.extract(arch)(image)
        assert torch.equal(inside, outside) and inside.shape == (1, 17, 16, 16)


@EVERY_SPACE
def test_choices_survive_json_and_their_hash_names_them(space: Space) -> None:
    rng = np.random.default_rng(3)
    seen = {}
    for _ in range(10):
        choice = json.loads(json.dumps(space.sample(rng)))
        arch = space.architecture(choice)
        again = architecture_from_json(json.loads(json.dumps(arch.to_json())))
        assert again == arch and architecture_hash(again) == architecture_hash(arch)
        seen[architecture_hash(arch)] = arch
    assert len(set(seen.values())) == len(seen) > 1


@EVERY_SPACE
def test_mutations_and_crossings_stay_inside(space: Space) -> None:
    rng = np.random.default_rng(4)
    one, other = space.sample(rng), space.sample(rng)
    for _ in range(20):
        child = space.mutate(space.cross(one, other, rng), 0.2, rng)
        space.check(child)
    part = space.within(one)
    for _ in range(5):
        small = part.sample(rng)
        assert all(d.choices.index(small[d.name]) <= d.choices.index(one[d.name]) for d in space)


def test_temporal_sub_networks_are_bit_equal_whatever_the_fusion() -> None:
    space = SPACES["fast-fused"]
    whole = SuperNetwork(space.architecture(space.biggest), temporal=True).eval()
    _arrange(whole)
    image, previous = torch.randn(1, 3, 64, 64), torch.rand(1, 17, 16, 16)
    rng = np.random.default_rng(0)
    for stage in (1, 2, 3, 4):
        for operator in ("add", "mul", "cat"):
            arch = replace(space.architecture(space.sample(rng)), fusion=Fusion(stage, operator))  # type: ignore[arg-type]
            with torch.inference_mode():
                inside, outside = whole(image, previous, arch=arch), whole.extract(arch)(image, previous)
                unled = whole(image, torch.zeros_like(previous), arch=arch)
            assert torch.equal(inside, outside) and not torch.equal(inside, unled)


def test_embedding_a_network_makes_it_a_sub_network() -> None:
    space = SPACES["fast-fused"]
    arch = replace(space.architecture(space.smallest), fusion=Fusion(2, "cat"))
    network = build(arch).eval()
    _arrange(network)
    whole = SuperNetwork(space.architecture(space.biggest), temporal=True).eval()
    _arrange(whole)
    whole.embed(network)
    image, previous = torch.randn(1, 3, 64, 64), torch.rand(1, 17, 16, 16)
    with torch.inference_mode():
        assert torch.equal(whole(image, previous, arch=arch), network(image, previous))


def test_gradients_reach_only_the_weights_that_a_sub_network_uses() -> None:
    space = SPACES["fast-fused"]
    whole = SuperNetwork(space.architecture(space.biggest)).train()
    before = {k: v.clone() for k, v in whole.named_buffers()}
    whole(torch.randn(2, 3, 64, 64), arch=space.architecture(space.smallest)).square().mean().backward()
    weight = dict(whole.network.named_parameters())["stages.0.0.0.weight"]
    width = int(space.smallest["stage1.width"])
    assert weight.grad is not None
    assert weight.grad[:width].abs().sum() > 0 and weight.grad[width:].abs().sum() == 0
    assert all(torch.equal(v, before[k]) for k, v in whole.named_buffers())


def test_cut_takes_centres_of_kernels_and_starts_of_channels() -> None:
    kernel = torch.arange(2 * 4 * 5 * 5).reshape(2, 4, 5, 5)
    assert torch.equal(cut(kernel, (1, 2, 3, 3)), kernel[:1, :2, 1:4, 1:4])
    assert torch.equal(cut(kernel, (2, 2, 5, 5), segments=2), kernel[:, [0, 2]])
    with pytest.raises(ValueError, match="cannot cut"):
        cut(kernel, (3, 4, 5, 5))


def test_a_foreign_network_is_refused() -> None:
    space = SPACES["fast-fused"]
    whole = SuperNetwork(space.architecture(space.smallest))
    big: Architecture = space.architecture(space.biggest)
    with pytest.raises(ValueError, match="cannot cut|outside"):
        whole.extract(big)
    with pytest.raises(InputError, match="space 'fast-fused'"):
        space.architecture({**space.biggest, "stem.width": 17})
    with pytest.raises(InputError, match="space 'fast-fused'"):
        space.architecture({**space.biggest, "colour": 1})
