"""The HRNet family: the public network's keys and counts, what is decided beyond the papers, and its two spaces."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")

from vipose.models.networks.architecture import Fusion
from vipose.models.networks.elastic import skeleton
from vipose.models.networks.hrnet import HRNET_W32, Branch, HRNet, HRNetArch, Stage
from vipose.models.networks.registry import build
from vipose.models.search.spaces_hrnet import FAST_HRNET, PAPER_HRNET, hrnet_choice
from vipose.runtime.errors import InputError

SMALL = HRNetArch(
    stem=8,
    stages=(
        Stage(2, (Branch(8),)),
        Stage(4, (Branch(8, attention=True), Branch(16, groups=4))),
        Stage(5, (Branch(16), Branch(8), Branch(16))),
        Stage(1, (Branch(8), Branch(16), Branch(16, 16), Branch(32))),
    ),
)


def test_the_plain_network_has_the_public_keys_and_shapes() -> None:
    state = {key: tuple(value.shape) for key, value in skeleton(HRNET_W32).state_dict().items()}
    assert sum(p.numel() for p in skeleton(HRNET_W32).parameters()) == 28_536_113
    assert len(state) == 1754
    assert state["conv2.weight"] == (64, 64, 3, 3)
    assert state["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert state["layer1.3.conv3.weight"] == (256, 64, 1, 1)
    assert state["transition1.0.0.weight"] == (32, 256, 3, 3)
    assert state["transition1.1.0.0.weight"] == (64, 256, 3, 3)
    assert state["stage2.0.branches.1.3.bn2.running_var"] == (64,)
    assert state["transition2.2.0.0.weight"] == (128, 64, 3, 3)
    assert state["stage3.3.fuse_layers.2.0.0.0.weight"] == (32, 32, 3, 3)
    assert state["stage3.3.fuse_layers.2.0.1.0.weight"] == (128, 32, 3, 3)
    assert state["stage3.3.fuse_layers.0.2.0.weight"] == (32, 128, 1, 1)
    assert state["transition3.3.0.1.bias"] == (256,)
    assert state["stage4.2.fuse_layers.0.3.0.weight"] == (32, 256, 1, 1)
    assert not any(key.startswith("stage4.2.fuse_layers.1.") for key in state)
    assert state["final_layer.weight"] == (17, 32, 1, 1)


def test_a_shallower_network_loses_blocks_then_modules_from_the_end() -> None:
    first, second, third, fourth = HRNET_W32.stages
    stages = replace(first, depth=2), second, replace(third, depth=9), replace(fourth, depth=8)
    shallow = replace(HRNET_W32, stages=stages)
    whole, part = set(skeleton(HRNET_W32).state_dict()), set(skeleton(shallow).state_dict())
    assert part < whole
    modules = {".".join(key.split(".")[:2]) for key in part}
    assert {"layer1.1", "stage3.2", "stage4.1"} <= modules and not {"layer1.2", "stage3.3", "stage4.2"} & modules
    assert "stage3.2.branches.2.0.conv1.weight" in part and "stage3.2.branches.2.1.conv1.weight" not in part
    assert "stage3.2.fuse_layers.2.0.0.0.weight" in part and "stage4.1.fuse_layers.1.0.0.0.weight" not in part


def test_attention_gates_the_residual_and_not_the_shortcut() -> None:
    torch.manual_seed(0)
    block = build(SMALL).eval().get_submodule("stage2.0.branches.0.0")
    x = torch.rand(1, 8, 6, 5)
    with torch.no_grad():
        gate = block.get_submodule("se.conv2.conv")
        assert isinstance(gate, torch.nn.Conv2d) and gate.bias is not None
        gate.weight.zero_()
        gate.bias.fill_(-1)  # the gate is shut
        assert torch.equal(block(x), x)
        gate.bias.fill_(1)
        assert not torch.allclose(block(x), x)


def test_width_changes_between_stages_drop_channels_or_pad_them() -> None:
    network = build(SMALL).eval()
    module = network.get_submodule("stage2.0")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()  # blocks become their shortcuts, paths between resolutions nothing
        high, low = torch.rand(1, 8, 8, 8), torch.rand(1, 16, 4, 4)
        wider, narrower = module([high, low])
    assert torch.equal(wider[:, :8], high) and not wider[:, 8:].any() and wider.shape[1] == 16
    assert torch.equal(narrower, low[:, :8])


def _record_calls(network: HRNet) -> Iterator[list[tuple[str, int]]]:
    calls: list[tuple[str, int]] = []
    handles = [
        part.register_forward_pre_hook(lambda _, inputs, name=name: calls.append((name, len(inputs))))
        for name, part in network.parts()
    ]
    yield calls
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("fusion", [None, Fusion(1, "cat"), Fusion(2, "add"), Fusion(3, "mul"), Fusion(4)], ids=str)
def test_parts_hold_every_convolution_and_take_one_tensor(fusion: Fusion | None) -> None:
    network = build(replace(SMALL, fusion=fusion)).eval()
    assert isinstance(network, HRNet)
    inside = [m for _, part in network.parts() for m in part.modules() if isinstance(m, torch.nn.Conv2d)]
    every = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(inside) == len(every) and {id(m) for m in inside} == {id(m) for m in every}
    with contextmanager(_record_calls)(network) as calls, torch.inference_mode():
        heatmaps = network(torch.randn(1, 3, 64, 96), torch.rand(1, 17, 16, 24))
    assert heatmaps.shape == (1, 17, 16, 24)
    assert sorted(calls) == sorted((name, 2 if name == "fusion" else 1) for name, _ in network.parts())
    named = dict(network.named_modules())
    assert all(named[name] is part for name, part in network.parts())


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_heatmaps_are_fused_after_every_stage(stage: int) -> None:
    torch.manual_seed(0)
    network = build(replace(SMALL, fusion=Fusion(stage, "add"))).eval()
    image, prior = torch.randn(1, 3, 64, 64), torch.rand(1, 17, 16, 16)
    with torch.inference_mode():
        assert not torch.equal(network(image, prior), network(image, torch.zeros_like(prior)))
    width = {1: 32, 2: 16, 3: 8, 4: 8}[stage]
    assert network.fusion_site(stage) == (width, 1)


def test_gradients_reach_all_weights() -> None:
    network = build(replace(SMALL, fusion=Fusion(2, "mul"))).train()
    network(torch.randn(2, 3, 64, 64), torch.rand(2, 17, 16, 16)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_it_runs_the_same_in_onnx_runtime() -> None:
    network = build(SMALL).eval()
    image, buffer = torch.randn(2, 3, 64, 64), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"dynamo": False, "opset_version": 17, "input_names": ["image"]}
        torch.onnx.export(network, (image,), buffer, **options)  # type: ignore[arg-type]
    session = ort.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = network(image).numpy()
    np.testing.assert_allclose(session.run(None, {"image": image.numpy()})[0], expected, rtol=1e-4, atol=1e-5)


def test_descriptions_that_make_no_network_are_refused() -> None:
    with pytest.raises(ValueError, match="groups must divide"):
        Branch(24, groups=16)
    with pytest.raises(ValueError, match="kernel must be odd"):
        Branch(16, kernel=4)
    with pytest.raises(ValueError, match="stage 2 of an HRNet"):
        HRNetArch(stages=(Stage(4, (Branch(8),)), Stage(4, (Branch(8),)), SMALL.stages[2], SMALL.stages[3]))
    with pytest.raises(ValueError, match="stage 4 of an HRNet"):
        replace(SMALL, stages=(*SMALL.stages[:3], replace(SMALL.stages[3], depth=0)))


def test_the_plain_network_lies_in_the_paper_space() -> None:
    choice = hrnet_choice(HRNET_W32)
    assert PAPER_HRNET.architecture(choice) == HRNET_W32
    attention = {name: True for name in choice if name.endswith(".attention")}
    assert {**choice, **attention} == PAPER_HRNET.biggest
    with pytest.raises(InputError, match="outside of the space 'paper-hrnet'"):
        hrnet_choice(SMALL)
    rng = np.random.default_rng(0)
    for _ in range(20):
        arch = PAPER_HRNET.build(PAPER_HRNET.sample(rng))
        assert isinstance(arch, HRNetArch) and PAPER_HRNET.build(hrnet_choice(arch)) == arch


def test_the_fast_space_holds_what_runs_well() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        arch = FAST_HRNET.build(FAST_HRNET.sample(rng))
        assert isinstance(arch, HRNetArch)
        for stage in arch.stages:
            assert not stage.branches[0].attention
            for branch in stage.branches:
                assert branch.width % 16 == 0
                assert branch.groups == 1 or branch.width // branch.groups in (16, 32, 64)
        assert {stage.widths[0] for stage in arch.stages[1:]} == {arch.stages[3].widths[0]}
