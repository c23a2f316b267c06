"""The MobileNetV3 family: the published network to the digit, its faster forms, its place in the search space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.fixtures.published import facts, golden_heatmaps, golden_input, golden_weights
from tests.fixtures.shared import needs_shared

torch = pytest.importorskip("torch")

from torch import nn

from vipose.models.networks.architecture import Fusion
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.networks.heads import Head
from vipose.models.networks.initialise import initialise_as_published
from vipose.models.networks.mobilenetv3 import S_VIPNAS_MBV3, MobileNetV3Arch, MobileNetV3PoseNet
from vipose.models.networks.registry import build
from vipose.models.search.parts import trace
from vipose.models.search.space import Choice
from vipose.models.search.spaces_mobilenetv3 import FAST_MOBILENETV3, PAPER_MOBILENETV3, mobilenetv3_choice
from vipose.runtime.errors import InputError

NAME = "s-vipnas-mbv3"
TABLE_HEAD = Head(widths=(256, 256, 256), groups=(32, 64, 64))


@needs_shared
def test_published_network_has_the_keys_and_golden_heatmaps() -> None:
    network = build(S_VIPNAS_MBV3).eval()
    assert {k: list(v.shape) for k, v in network.state_dict().items()} == facts(NAME)["state_dict"]
    assert sum(p.numel() for p in network.parameters()) == facts(NAME)["parameters"]
    network.load_state_dict({k: torch.as_tensor(v) for k, v in golden_weights(NAME).items()}, strict=True)
    with torch.inference_mode():
        heatmaps = network(torch.as_tensor(golden_input(NAME))).numpy()
    assert np.abs(heatmaps - golden_heatmaps(NAME)).max() < 1e-4


def test_keys_name_the_same_block_in_networks_of_any_depth() -> None:
    shallow = replace(S_VIPNAS_MBV3.stages[1], depth=2)
    network = build(replace(S_VIPNAS_MBV3, stages=(S_VIPNAS_MBV3.stages[0], shallow, *S_VIPNAS_MBV3.stages[2:])))
    whole = build(S_VIPNAS_MBV3)
    assert network.canonical("backbone.layer4.se.conv1.conv.weight") == "backbone.stage3.0.se.conv1.conv.weight"
    assert whole.canonical("backbone.layer6.se.conv1.conv.weight") == "backbone.stage3.0.se.conv1.conv.weight"
    assert whole.canonical("head.final_layer.bias") == "head.final_layer.bias"
    canonical = [whole.canonical(k) for k in whole.state_dict()]
    assert len(set(canonical)) == len(canonical)
    assert {network.canonical(k) for k in network.state_dict()} < set(canonical)


@pytest.mark.parametrize(("stage", "width", "ratio"), [(1, 24, 1), (2, 40, 2), (3, 112, 4), (4, 160, 8)])
def test_fusion_takes_the_last_stage_of_each_stride(stage: int, width: int, ratio: int) -> None:
    network = build(replace(S_VIPNAS_MBV3, fusion=Fusion(stage, "cat"))).train()  # batch statistics keep untrained signals alive
    assert network.fusion_site(stage) == (width, ratio)
    image, prior = torch.randn(2, 3, 64, 64), torch.rand(2, 17, 16, 16)
    with torch.inference_mode():
        one, other = network(image, prior), network(image, torch.zeros_like(prior))
    assert one.shape == (2, 17, 16, 16) and not torch.equal(one, other)


@pytest.mark.parametrize("arch", [S_VIPNAS_MBV3, FAST_MOBILENETV3.architecture(FAST_MOBILENETV3.biggest)], ids=["published", "fast"])
def test_parts_hold_every_convolution_and_are_what_runs(arch: MobileNetV3Arch) -> None:
    arch = replace(arch, fusion=Fusion(3, "add"))
    network = build(arch)
    held = {id(m) for _, part in network.parts() for m in part.modules()}
    assert all(id(m) in held for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))
    assert len(trace(arch, (64, 64))) == len(network.parts())


def test_fast_networks_are_depthwise_with_attention_on_the_output() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        network = build(FAST_MOBILENETV3.architecture(FAST_MOBILENETV3.sample(rng)))
        convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        assert not any(isinstance(m, nn.ConvTranspose2d) for m in network.modules())
        assert all(m.groups in (1, m.in_channels) for m in convolutions)
        assert all(m.out_channels % 16 == 0 for m in convolutions if m.groups > 1)
        squeezed = [m.in_channels for n, m in network.named_modules() if n.endswith("se.conv1.conv")]
        assert all(width <= 192 for width in squeezed)
    assert network.arch.output == "logits"


def test_groups_stay_in_the_printed_ranges() -> None:
    rng = np.random.default_rng(0)
    ranges = ((2, 16), (9, 144), (15, 240), (30, 480), (42, 672), (60, 960))
    seen: dict[int, set[int]] = {n: set() for n in range(6)}
    for _ in range(300):
        arch = PAPER_MOBILENETV3.architecture(PAPER_MOBILENETV3.sample(rng))
        assert isinstance(arch, MobileNetV3Arch)
        for n, (stage, (least, most)) in enumerate(zip(arch.stages, ranges, strict=True)):
            assert least <= stage.groups <= most and stage.hidden % stage.groups == 0
            seen[n].add(stage.groups)
    assert all({least, most} <= seen[n] for n, (least, most) in enumerate(ranges))


def test_published_backbone_lies_in_the_table_and_its_head_does_not() -> None:
    with pytest.raises(InputError, match="head.groups"):
        mobilenetv3_choice(S_VIPNAS_MBV3)
    inside = replace(S_VIPNAS_MBV3, head=TABLE_HEAD)
    choice = mobilenetv3_choice(inside)
    assert choice["stage6.group_width"] == 4 and choice["stage3.attention"] is False
    assert PAPER_MOBILENETV3.architecture(choice) == inside
    with pytest.raises(InputError, match="outside of the space 'paper-mobilenetv3'"):
        mobilenetv3_choice(replace(inside, stem_hswish=True, attention_on="output"))


def test_sub_networks_of_the_published_form_are_found_whatever_their_depth() -> None:
    whole = SuperNetwork(PAPER_MOBILENETV3.architecture(PAPER_MOBILENETV3.biggest))
    shallow: Choice = {**PAPER_MOBILENETV3.biggest, "stage2.depth": 2}
    network = whole.extract(PAPER_MOBILENETV3.architecture(shallow))
    mine, theirs = network.state_dict(), whole.network.state_dict()
    assert torch.equal(mine["backbone.layer4.linear_conv.conv.weight"], theirs["backbone.layer6.linear_conv.conv.weight"])


def test_initialisation_is_the_published_one() -> None:
    network = build(replace(S_VIPNAS_MBV3, fusion=Fusion(1, "add")))
    assert isinstance(network, MobileNetV3PoseNet) and network.fusion is not None
    merge = network.fusion.merge[0].weight.clone()
    initialise_as_published(network)
    stem, other = network.first_convolution().weight, network.head.final_layer
    assert 0.09 < float(stem.detach().std()) < 0.15  # He-normal: 0.118
    assert 0.0008 < float(other.weight.detach().std()) < 0.0012 and not other.bias.any()
    assert torch.equal(network.fusion.merge[0].weight, merge)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"groups": 7}, "7 groups do not divide"),
        ({"stride": 1}, "strides"),
        ({"depth": 0}, "no block"),
        ({"expansion": 1, "groups": 1}, "expansion 1"),
    ],
)
def test_impossible_descriptions_are_refused(change: dict[str, int], reason: str) -> None:
    stages = (*S_VIPNAS_MBV3.stages[:2], replace(S_VIPNAS_MBV3.stages[2], **change), *S_VIPNAS_MBV3.stages[3:])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=reason):
        replace(S_VIPNAS_MBV3, stages=stages)


def test_impossible_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="groups given"):
        Head(widths=(64, 64, 64))
    with pytest.raises(ValueError, match="kernel 4"):
        Head(upsampling="nearest", widths=(64, 64, 64), kernel=4)
    with pytest.raises(ValueError, match="stride 32 to 4"):
        replace(S_VIPNAS_MBV3, head=Head(widths=(160,), groups=(160,)))
    with pytest.raises(ValueError, match="do not divide 160"):
        replace(S_VIPNAS_MBV3, head=Head(widths=(256,) * 3, groups=(256,) * 3))
