"""Counting on the meta device: the table of reference figures exactly, and what real runs of real networks visit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn

from vipose.models.networks.architecture import Architecture, Fusion
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.hrnet import HRNET_W32
from vipose.models.networks.mobilenetv3 import S_VIPNAS_MBV3
from vipose.models.networks.registry import build
from vipose.models.networks.resnet50 import S_VIPNAS_RES50
from vipose.models.search.cost import Cost, cost, count
from vipose.models.search.space import Space
from vipose.models.search.spaces import SPACES

EVERY_SPACE = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())


@pytest.mark.parametrize(
    ("arch", "parameters", "macs", "gflops"),
    [
        (S_VIPNAS_RES50, 7_286_772, 1_462_930_272, 1.430),
        (S_VIPNAS_MBV3, 5_895_725, 734_151_936, 0.691),
        (HRNET_W32, 28_536_113, 7_645_003_776, 7.120),
    ],
    ids=["res50", "mbv3", "hrnet-w32"],
)
def test_published_networks_cost_what_their_code_costs(
    arch: Architecture, parameters: int, macs: int, gflops: float
) -> None:
    counted = cost(arch)
    assert (counted.parameters, counted.macs, round(counted.paper_gflops, 3)) == (parameters, macs, gflops)


def _visited(network: nn.Module, *inputs: Tensor) -> Cost:
    """The slow way: real tensors, hooks, and the definition of each layer."""
    total = {"macs": 0, "outputs": 0}

    def hook(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        weight = module.get_parameter("weight").numel()
        here, there = given[0][0, 0].numel(), out[0, 0].numel()
        total["macs"] += weight * (here if isinstance(module, nn.ConvTranspose2d) else there)
        total["outputs"] += weight * there

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(hook)
    with torch.inference_mode():
        network.eval()(*inputs)
    return Cost(sum(p.numel() for p in network.parameters()), total["macs"], total["outputs"] / 2**30)


@EVERY_SPACE
def test_counts_agree_with_real_runs(space: Space) -> None:
    arch = space.architecture(space.sample(np.random.default_rng(2)))
    if arch.takes_fusion:
        arch = replace(arch, fusion=Fusion(3, "cat"))
    inputs = torch.randn(1, 3, 64, 96), torch.rand(1, 17, 16, 24)
    assert cost(arch, (96, 64)) == _visited(build(arch), *inputs)


@EVERY_SPACE
def test_the_smallest_network_costs_least(space: Space) -> None:
    small, big = (cost(space.architecture(choice), (64, 64)) for choice in (space.smallest, space.biggest))
    assert small.parameters < big.parameters and small.macs < big.macs and small.paper_gflops < big.paper_gflops


def test_fusion_costs() -> None:
    plain, fused = cost(FusedArch()), cost(FusedArch(fusion=Fusion(1, "cat")))
    width = FusedArch().widths[0]
    assert fused.macs - plain.macs == 64 * 48 * (17 * width + 2 * width * width)
    assert fused.parameters - plain.parameters == 17 * width + 2 * width * width + 4 * width


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 8, (3, 5), (2, 1), (1, 2), groups=2, bias=False),
        nn.Conv2d(6, 8, 3, padding=4, dilation=3),
        nn.ConvTranspose2d(6, 8, 4, 2, 1, groups=2, bias=False),
        nn.ConvTranspose2d(6, 8, 3, 2, 1, output_padding=1),
    ],
    ids=str,
)
def test_layers_are_answered_with_their_true_shapes(layer: nn.Module) -> None:
    true = tuple(layer(torch.randn(2, 6, 9, 11)).shape)
    seen: list[tuple[int, ...]] = []

    class Probe(nn.Module):
        def forward(self, x: Tensor) -> None:
            seen.append(tuple(layer(x).shape))

    count(Probe, (2, 6, 9, 11))
    assert seen == [true]


def test_linear_layers_count_by_row() -> None:
    assert count(lambda: nn.Linear(5, 7), (3, 4, 5)) == Cost(42, 3 * 4 * 35, 3 * 4 * 35 / 2**30)


def test_only_what_runs_is_counted_and_nothing_else_is_changed() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 4, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.used(self.used(x))
            return out

    counted = count(Twice, (1, 4, 3, 3))
    assert counted.macs == 2 * 16 * 9 and counted.parameters == 32
    assert nn.Conv2d(1, 1, 1).weight.device.type == "cpu" and bool(torch.ones(2).fill_(3).eq(3).all())


def test_costs_are_cached() -> None:
    arch = FusedArch(stem=16)
    assert cost(arch, (64, 64)) is cost(FusedArch(stem=16), (64, 64))


@pytest.mark.parametrize("size", [(192, 250), (0, 64), (-32, 64), (30, 64)])
def test_sizes_that_no_network_takes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        cost(FusedArch(), size)


def test_padding_by_name_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="padding 'same'"):
        count(lambda: nn.Conv2d(3, 3, 3, padding="same"), (1, 3, 8, 8))
