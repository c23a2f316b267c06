"""PoseNAS: the released networks to the last key and figure, genotypes as JSON, small members, training of both stages."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.published import facts, golden_input, golden_stages, golden_weights
from tests.fixtures.shared import needs_shared

torch = pytest.importorskip("torch")

from vipose.models.networks.architecture import Fusion
from vipose.models.networks.elastic import skeleton
from vipose.models.networks.initialise import initialise_as_published
from vipose.models.networks.named import PUBLISHED_NETWORKS, read_architecture
from vipose.models.networks.posenas import (
    POSENAS_L18_C48,
    POSENAS_L18_C64,
    POSENAS_SMALL,
    POSENAS_TINY,
    PoseNAS,
    PoseNASArch,
)
from vipose.models.networks.registry import build
from vipose.models.search.cost import cost
from vipose.models.training.losses import heatmap_loss
from vipose.runtime.errors import InputError

RELEASED = {"posenas-l18-c48": POSENAS_L18_C48, "posenas-l18-c64": POSENAS_L18_C64}
SMALL = PoseNASArch(channels=8, stem=6, cells=(1, 1, 2, 1), refine=(1, 1, 1, 1), refine_width=2)


@needs_shared
@pytest.mark.parametrize("name", RELEASED)
def test_keys_shapes_and_counts_are_the_released_ones(name: str) -> None:
    known, arch = facts(name), RELEASED[name]
    assert PUBLISHED_NETWORKS[name] == arch
    state = {key: list(value.shape) for key, value in skeleton(arch).state_dict().items()}
    assert state == known["state_dict"] and list(state) == list(known["state_dict"])
    for size, figures in (((192, 256), known), ((288, 384), known["other_inputs"][0])):
        counted = cost(arch, size)
        # The released code runs this convolution twice on the same input.
        twice = 2 * arch.channels * 64 * size[0] * size[1] // 16
        assert counted.parameters == known["parameters"]
        assert counted.macs + twice == figures["macs"]
        assert round(counted.paper_gflops + twice / 2**30, 4) == figures["gflops_paper_convention"]


@needs_shared
@pytest.mark.parametrize("name", RELEASED)
def test_outputs_of_both_stages_are_the_released_ones(name: str) -> None:
    network = build(RELEASED[name]).eval()
    network.load_state_dict({k: torch.as_tensor(v) for k, v in golden_weights(name).items()}, strict=True)
    for size, step in (((256, 192), 1), ((384, 288), 4)):
        image = torch.from_numpy(golden_input(name, size))
        with torch.inference_mode():
            outputs = network.outputs(image)
        for number, (got, expected) in enumerate(zip(outputs, golden_stages(name, size), strict=True), 1):
            assert got.shape == (1, 17, size[0] // 4, size[1] // 4)
            assert np.abs(got.numpy()[:, :, ::step, ::step] - expected).max() < 1e-4, f"stage {number} at {size}"


def test_networks_of_mpii_have_16_joints() -> None:
    for name, arch in RELEASED.items():
        assert PUBLISHED_NETWORKS[f"{name}-mpii"] == replace(arch, joints=16)


@pytest.mark.parametrize("arch", [SMALL, replace(SMALL, refine=())], ids=["two stages", "one stage"])
def test_the_last_of_the_outputs_is_the_answer(arch: PoseNASArch) -> None:
    torch.manual_seed(0)
    network = build(arch).eval()
    image = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        outputs, answer = network.outputs(image), network(image)
    assert len(outputs) == (2 if arch.refine else 1) and torch.equal(outputs[-1], answer)
    assert all(out.shape == (2, 17, 16, 24) for out in outputs)
    second = {"stage2", "refine_cells", "reduce_channel_prev", "reduce_channel3"}
    children = {name for name, _ in network.named_children()}
    assert second <= children if arch.refine else not second & children


@pytest.mark.parametrize("output", ["heatmaps", "logits"])
def test_the_loss_of_every_stage_reaches_its_weights(output: Any) -> None:
    torch.manual_seed(0)
    network = build(replace(SMALL, output=output)).train()
    image, target = torch.randn(2, 3, 64, 64), torch.full((2, 17, 16, 16), 1 / 256)
    target[:, :, 3, 4] += 1
    outputs = network.outputs(image)

    def reached(losses: list[torch.Tensor]) -> dict[str, bool]:
        network.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward(retain_graph=True)
        return {name: p.grad is not None and bool(p.grad.any()) for name, p in network.named_parameters()}

    losses = [heatmap_loss(network.arch, out, target, torch.ones(2, 17), 2.0) for out in outputs]
    both = reached(losses)
    finals = {"stage1.final_layer.weight", "stage2.final_layer.weight"}
    assert all(hit for name, hit in both.items() if "conv" in name or "stem" in name or name in finals)
    first, second = reached(losses[:1]), reached(losses[1:])
    assert first["stage1.final_layer.weight"] and not any(
        hit for name, hit in first.items() if "stage2" in name or "refine" in name
    )
    assert second["stage2.final_layer.weight"] and not second["stage1.final_layer.weight"]
    assert first["cells.0._ops.0.net.1.weight"] and second["cells.0._ops.0.net.1.weight"]


def test_statistics_move_once_a_step() -> None:
    network = build(SMALL).train()
    network(torch.randn(2, 3, 64, 64))
    counts = {int(value) for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
    assert counts == {1}


def test_the_first_stage_takes_the_place_of_the_encoder() -> None:
    """With nothing from the refine cells, the second stage sees twice what the first made, and the encoder's coarsest."""
    torch.manual_seed(0)
    network = build(SMALL).eval()
    assert isinstance(network, PoseNAS)
    with torch.no_grad():
        for scale in range(4):
            norm = network.get_submodule(f"reduce_channel{scale}.2")
            assert isinstance(norm, torch.nn.BatchNorm2d)
            norm.weight.zero_()
            norm.bias.zero_()
    seen: list[list[torch.Tensor]] = []
    fused: list[list[torch.Tensor]] = []
    network.stage2.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.stage1.register_forward_hook(lambda module, inputs, out: fused.append([*out[0], inputs[0][3]]))
    with torch.inference_mode():
        network(torch.randn(1, 3, 64, 64))
    *made, encoded = fused[0]
    assert all(torch.equal(x, 2 * u) for x, u in zip(seen[0][:3], made, strict=False))
    assert torch.equal(seen[0][3], encoded) and bool((made[0] >= 0).all())


def test_a_genotype_in_a_file_builds_the_network(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    path.write_text(json.dumps(POSENAS_TINY.to_json()), encoding="utf-8")
    name, arch = read_architecture(str(path))
    assert (name, arch) == ("found", POSENAS_TINY) and build(arch).arch == POSENAS_TINY
    # The genotype of one network on the skeleton of another.
    data = {
        **POSENAS_L18_C48.to_json(),
        **{k: POSENAS_TINY.to_json()[k] for k in ("normal", "reduction", "fusion_cells")},
    }
    path.write_text(json.dumps(data), encoding="utf-8")
    moved = read_architecture(str(path))[1]
    assert isinstance(moved, PoseNASArch) and moved.normal == POSENAS_TINY.normal and moved.cells == (3, 5, 7, 3)


def _edge(data: dict[str, Any], **fields: Any) -> None:
    data["normal"]["nodes"][0][1] |= fields


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "operation": (
        lambda d: _edge(d, operation="spatial_wise"),
        "normal: nodes: operation: 'spatial_wise' is none of 'skip_connect'",
    ),
    "source": (lambda d: _edge(d, source=2), "normal: node 2 of a cell takes state 2; want one of 0 to 1"),
    "nodes": (lambda d: d["reduction"]["nodes"].pop(), "reduction: a cell of 3 nodes; want 4"),
    "edges": (lambda d: d["normal"]["nodes"][3].pop(), "normal: nodes: .*: want a list of 2"),
    "cells": (lambda d: d["fusion_cells"].pop(), "fusion_cells: .*: want a list of 3"),
    "missing": (lambda d: d["normal"]["nodes"][0][0].pop("source"), "Edge: source missing"),
    "kind": (lambda d: d["normal"].update(nodes=4), "normal: nodes: 4: want a list"),
    "gate": (
        lambda d: d["reduction"]["nodes"][0][0].update(operation="se_connect"),
        "reduction cell: 'se_connect' on an input cannot halve",
    ),
    "depth": (lambda d: d.update(cells=[3, 0, 7, 3]), "at least one at each of 4 strides"),
    "refine": (lambda d: d.update(refine=[3, 3]), "or none at all"),
    "channels": (lambda d: d.update(channels=7), "channels must be even"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_descriptions_that_make_no_network_are_refused(fault: str, tmp_path: Path) -> None:
    spoil, text = FAULTS[fault]
    data = copy.deepcopy(json.loads(json.dumps(POSENAS_L18_C48.to_json())))
    spoil(data)
    with pytest.raises(ValueError, match=text) as caught:
        PoseNASArch.from_json(data)
    assert "\n" not in str(caught.value)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InputError, match="describes no network that is known here"):
        read_architecture(str(path))


def test_it_takes_single_frames() -> None:
    assert not PoseNASArch.takes_fusion
    with pytest.raises(ValueError, match="single frames"):
        replace(POSENAS_TINY, fusion=Fusion(1, "add"))
    with pytest.raises(ValueError, match="single frames"):
        skeleton(POSENAS_TINY).fusion_site(1)


def test_small_members_are_of_what_runs_fast() -> None:
    assert 0.3e9 < cost(POSENAS_SMALL).macs < 0.5e9 and cost(POSENAS_TINY).macs < 0.2e9
    assert PUBLISHED_NETWORKS["posenas-small"] == POSENAS_SMALL and PUBLISHED_NETWORKS["posenas-tiny"] == POSENAS_TINY
    convolutions = [m for m in skeleton(POSENAS_SMALL).modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(c.groups == 1 for c in convolutions)
    assert all(c.in_channels % 16 == 0 for c in convolutions[1:])
    cells = (POSENAS_SMALL.normal, POSENAS_SMALL.reduction, *POSENAS_SMALL.fusion_cells)
    assert {e.operation for cell in cells for e in cell.edges} == {"std_conv_3x3", "skip_connect"}


def test_parts_are_called_by_their_place() -> None:
    network = build(SMALL)
    named = dict(network.named_modules())
    parts = dict(network.parts())
    assert all(named[name] is part for name, part in parts.items())
    assert {
        "stem2",
        "cells.1.preprocess0",
        "cells.1._ops.7",
        "stage2.upsamples.2._ops.2",
        "reduce_channel3",
    } <= parts.keys()


def test_the_published_start() -> None:
    torch.manual_seed(0)
    network = build(SMALL)
    initialise_as_published(network)
    state = network.state_dict()
    assert 0.0005 < float(state["cells.0._ops.0.net.1.weight"].std()) < 0.002
    assert not state["stage1.upsamples.0._ops.1.fc1.bias"].any() and (state["cells.0._ops.0.net.2.weight"] == 1).all()


def test_the_small_member_runs_the_same_in_onnx_runtime(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from vipose.models.export import export_pose
    from vipose.models.networks.cells import GenotypeCell
    from vipose.runtime.graphs import PoseGraph
    from vipose.runtime.metadata import Codec, GraphMetadata, InputSpec
    from vipose.runtime.skeleton import COCO17

    torch.manual_seed(0)
    network = build(POSENAS_SMALL).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    assert any(isinstance(m, GenotypeCell) for m in network.modules())
    metadata = GraphMetadata(
        task="pose-spatial",
        network="posenas-small",
        input=InputSpec(64, 96, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        architecture=POSENAS_SMALL.to_json(),
        skeleton=COCO17.name,
        codec=Codec("udp", sigma=2.0, stride=4, blur=11),
        flip=COCO17.flip,
    )
    facts = export_pose(network, tmp_path / "small.onnx", metadata, "fp32")  # compares with torch
    assert facts["max_difference"] < 1e-4
    graph = PoseGraph(tmp_path / "small.onnx", device="cpu")
    assert graph.metadata.architecture == json.loads(json.dumps(POSENAS_SMALL.to_json()))
    assert graph(np.zeros((3, 96, 64, 3), np.uint8)).shape == (3, 17, 24, 16)
