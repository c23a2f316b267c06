"""Pose networks on the detector's trunk: what they share with it, what they begin with, and that they train and export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.models.test_detector import TINY as TINY_DETECTOR
from tests.models.test_training import tiny_pack
from vipose.models.networks.architecture import Fusion
from vipose.models.networks.detector import Detector
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.networks.fused import FusedPoseNet
from vipose.models.networks.lite0 import FusedLite0
from vipose.models.networks.lite0_pose import Lite0PoseArch, Lite0PoseNet
from vipose.models.networks.registry import architecture_from_json, build
from vipose.models.training import start as starts
from vipose.models.training.checkpoint import load_checkpoint, save_checkpoint
from vipose.models.training.start import from_trunk
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import InputError, ModelError, UsageError
from vipose.runtime.graphs import PoseGraph

SMALL = Lite0PoseArch(blocks=(5, 8, 11), head=16)


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """A detector's checkpoint with blocks 5, 6, 8, 11."""
    torch.manual_seed(0)
    arch = replace(TINY_DETECTOR, blocks=(5, 6, 8, 11))
    path = tmp_path / "detector.pt"
    save_checkpoint(path, arch=arch.to_json(), average=Detector(arch).state_dict())
    return path


def test_the_trunk_gives_the_detectors_features_and_maps_of_a_quarter() -> None:
    network = Lite0PoseNet(SMALL).eval()
    image = torch.randn(2, 3, 64, 96)
    assert network(image).shape == (2, 17, 16, 24)
    eighth = network.backbone.stem(image)[1]
    sixteenth = network.backbone.sixteenth(eighth)
    for one, other in zip(network.backbone(image), (eighth, sixteenth, network.backbone.thirty_second(sixteenth)), strict=True):
        assert torch.equal(one, other)
    assert architecture_from_json(json.loads(json.dumps(SMALL.to_json()))) == SMALL
    assert isinstance(build(SMALL), Lite0PoseNet) and Lite0PoseArch().blocks == tuple(range(5, 15))


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_heatmaps_can_be_fused_at_every_stage(stage: int) -> None:
    torch.manual_seed(0)
    network = Lite0PoseNet(replace(SMALL, fusion=Fusion(stage, "cat"))).eval()
    image, prior = torch.randn(1, 3, 64, 64), torch.rand(1, 17, 16, 16)
    assert not torch.allclose(network(image, prior), network(image, torch.zeros_like(prior)))


def test_parts_hold_every_convolution_once() -> None:
    network = Lite0PoseNet(replace(SMALL, fusion=Fusion(1, "add")))
    inside = [id(m) for _, part in network.parts() for m in part.modules() if isinstance(m, torch.nn.Conv2d)]
    assert sorted(inside) == sorted(id(m) for m in network.modules() if isinstance(m, torch.nn.Conv2d))


def test_fewer_blocks_and_a_narrower_head_are_a_part_of_the_whole() -> None:
    torch.manual_seed(0)
    whole = SuperNetwork(replace(SMALL, blocks=(5, 6, 8, 9, 11), head=32)).eval()
    image = torch.randn(1, 3, 64, 64)
    part = whole.extract(SMALL).eval()
    assert torch.equal(part(image), whole(image, arch=SMALL))


def test_a_run_begins_with_a_detectors_trunk(detector: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pretend(trunk: FusedLite0) -> None:
        for parameter in trunk.parameters():
            torch.nn.init.constant_(parameter, 7)

    monkeypatch.setattr(starts, "load_imagenet", pretend)
    learned: dict[str, Any] = load_checkpoint(detector)["average"]  # type: ignore[index]
    same, more = Lite0PoseNet(SMALL), Lite0PoseNet(replace(SMALL, blocks=(5, 8, 9, 11)))
    before = more.final.weight.clone()
    for network in (same, more):
        from_trunk(detector)(network)
        assert torch.equal(network.backbone.stem.first.weight, learned["backbone.stem.quarter.0.0.weight"])
    assert (more.backbone.middle["9"]._project_conv.weight == 7).all()  # the detector has no such block
    assert torch.equal(more.final.weight, before)


def test_what_is_no_trunk_is_one_clear_line(detector: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; give detector.pt"):
        from_trunk(tmp_path / "none.pt")
    save_checkpoint(tmp_path / "other.pt", average={"stem": torch.zeros(1)})
    with pytest.raises(ModelError, match="holds no detector"):
        from_trunk(tmp_path / "other.pt")
    from tests.models.test_training import TINY

    with pytest.raises(UsageError, match="--trunk is for networks of family 'lite0', this one is of family 'fused'"):
        from_trunk(detector)(FusedPoseNet(TINY))


def test_it_trains_from_the_command_line_and_exports(detector: Path, tmp_path: Path) -> None:
    (tmp_path / "small.json").write_text(json.dumps(SMALL.to_json()))
    words = ["--pack", str(tiny_pack(tmp_path)), "--epochs", "0", "2", "--workers", "0", "--threads", "1", "--batch", "2"]
    run = ["--trunk", str(detector), "--arch", str(tmp_path / "small.json"), "--out", str(tmp_path / "run")]
    assert vipose(["train", "s-vipnas", *words, *run]) == 0
    assert vipose(["export", str(tmp_path / "run" / "best.pt"), "-o", str(tmp_path / "graphs"), "--name", "small"]) == 0
    heatmaps = PoseGraph(tmp_path / "graphs" / "small.onnx")(np.zeros((2, 256, 192, 3), np.uint8))
    assert heatmaps.shape == (2, 17, 64, 48)
