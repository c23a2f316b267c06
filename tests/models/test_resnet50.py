"""The ResNet-50 family: the published network to the digit, its place in the search space, its faster forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.fixtures.published import facts, golden_heatmaps, golden_input, golden_weights
from tests.fixtures.shared import needs_shared

torch = pytest.importorskip("torch")

from torch import nn

from vipose.models.networks.architecture import Fusion
from vipose.models.networks.attention import GlobalContext
from vipose.models.networks.initialise import initialise_as_published
from vipose.models.networks.registry import build
from vipose.models.networks.resnet50 import S_VIPNAS_RES50, ResNet50Arch
from vipose.models.search.parts import trace
from vipose.models.search.spaces_resnet50 import FAST_RESNET50, PAPER_RESNET50, resnet50_choice
from vipose.runtime.errors import InputError

NAME = "s-vipnas-res50"


@needs_shared
def test_published_network_has_the_keys_and_golden_heatmaps() -> None:
    network = build(S_VIPNAS_RES50).eval()
    assert {k: list(v.shape) for k, v in network.state_dict().items()} == facts(NAME)["state_dict"]
    assert sum(p.numel() for p in network.parameters()) == facts(NAME)["parameters"]
    network.load_state_dict({k: torch.as_tensor(v) for k, v in golden_weights(NAME).items()}, strict=True)
    with torch.inference_mode():
        heatmaps = network(torch.as_tensor(golden_input(NAME))).numpy()
    assert np.abs(heatmaps - golden_heatmaps(NAME)).max() < 1e-4


@pytest.mark.parametrize(("stage", "width", "ratio"), [(1, 80, 1), (2, 160, 2), (3, 304, 4), (4, 608, 8)])
def test_fusion_reads_the_heatmaps(stage: int, width: int, ratio: int) -> None:
    network = build(replace(S_VIPNAS_RES50, fusion=Fusion(stage, "mul"))).train()  # batch statistics keep untrained signals alive
    assert network.fusion_site(stage) == (width, ratio)
    image, prior = torch.randn(2, 3, 64, 64), torch.rand(2, 17, 16, 16)
    with torch.inference_mode():
        one, other = network(image, prior), network(image, torch.zeros_like(prior))
    assert one.shape == (2, 17, 16, 16) and not torch.equal(one, other)


def test_parts_hold_every_convolution_and_are_what_runs() -> None:
    network = build(S_VIPNAS_RES50)
    held = {id(m) for _, part in network.parts() for m in part.modules()}
    assert all(id(m) in held for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))
    assert len(trace(S_VIPNAS_RES50, (64, 64))) == len(network.parts()) == 1 + 20 + 4


def test_published_network_lies_in_the_table() -> None:
    choice = resnet50_choice(S_VIPNAS_RES50)
    assert choice["stage3.width"] == 304 and choice["head.groups"] == 16
    assert PAPER_RESNET50.architecture(choice) == S_VIPNAS_RES50
    with pytest.raises(InputError, match="outside of the space 'paper-resnet50'"):
        resnet50_choice(replace(S_VIPNAS_RES50, stem_kernel=5))
    with pytest.raises(InputError, match=r"stem\.width"):
        resnet50_choice(replace(S_VIPNAS_RES50, stem=50))


def test_choices_of_the_tables_make_networks() -> None:
    rng = np.random.default_rng(0)
    for space in (PAPER_RESNET50, FAST_RESNET50):
        for _ in range(30):
            arch = space.architecture(space.sample(rng))
            assert isinstance(arch, ResNet50Arch)
            assert all(stage.width % 16 == 0 and stage.width % stage.groups == 0 for stage in arch.stages)
            if space is FAST_RESNET50:
                assert all(s.groups == 1 or (s.width // s.groups) % 16 == 0 for s in arch.stages)
            else:
                assert all(16 <= stage.groups <= 64 for stage in arch.stages)


def test_groups_that_do_not_divide_are_outside_of_the_space() -> None:
    with pytest.raises(InputError, match="makes no network"):
        PAPER_RESNET50.architecture({**PAPER_RESNET50.smallest, "stage1.width": 80, "stage1.groups": 32})


def test_global_context_is_the_weighted_mean_through_two_layers() -> None:
    torch.manual_seed(0)
    block, x = GlobalContext(32).eval(), torch.randn(2, 32, 5, 4)
    weights = torch.softmax(block.conv_mask(x).reshape(2, -1), 1)
    context = torch.einsum("ncp,np->nc", x.reshape(2, 32, -1), weights)[..., None, None]
    assert torch.allclose(block(x), x + block.channel_add_conv(context), atol=1e-6)
    assert block.channel_add_conv[0].out_channels == 16 and GlobalContext(608).channel_add_conv[0].out_channels == 38


def test_initialisation_is_the_published_one() -> None:
    network = build(S_VIPNAS_RES50)
    initialise_as_published(network)
    deviations = [float(m.weight.detach().std()) for m in network.modules() if isinstance(m, nn.Conv2d) and m.weight.numel() > 2000]
    assert all(0.0009 < d < 0.0011 for d in deviations) and len(deviations) > 40
    assert all(not p.any() for n, p in network.named_parameters() if n.endswith("bias"))
