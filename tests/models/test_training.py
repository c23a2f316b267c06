"""Trainings at the smallest scale: they learn, resume, export, and the export runs in the runtime."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.models.test_people import Teacher, crop_set
from vipose.models.data.pack import read_crops, write_pack
from vipose.models.export import pose_metadata, write_pose
from vipose.models.networks.fused import FusedArch, FusedPoseNet
from vipose.models.training import spatial
from vipose.models.training.checkpoint import load_checkpoint, save_checkpoint
from vipose.models.training.loop import EMA, Budget, cross_entropy
from vipose.models.training.session import Session
from vipose.models.training.start import from_checkpoint
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import ModelError
from vipose.runtime.graphs import PoseGraph

TINY = FusedArch(stem=8, widths=(8, 8, 16, 16), depths=(0, 0, 1, 0), head=16)


def tiny_pack(folder: Path) -> Path:
    from tests.models.test_people import JOINTS

    box = crop_set(folder, labelled=True)
    write_pack(read_crops(folder), folder / "pack", Teacher(JOINTS, box))  # type: ignore[arg-type]
    return folder / "pack"


def recipe(minutes: float) -> spatial.SpatialRecipe:
    return spatial.SpatialRecipe(
        arch=TINY, sizes=((96, 128), (96, 128)), minutes=(minutes, minutes), batches=(4, 4), rates=(5e-3, 1e-3)
    )


@pytest.mark.usefixtures("counting_clock")
def test_spatial_training_learns_resumes_and_exports(tmp_path: Path) -> None:
    pack, run = tiny_pack(tmp_path), tmp_path / "run"
    torch.manual_seed(0)
    spatial.train(recipe(0.02), [pack], run, Session(workers=0))
    state = torch.load(run / "last.pt", weights_only=False)
    assert state["stage"] == 2
    before = {k: v.clone() for k, v in state["model"].items()}
    spatial.train(recipe(0.02), [pack], run, Session(workers=0))  # finished: resuming changes nothing
    after = torch.load(run / "last.pt", weights_only=False)["model"]
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert vipose(["export", str(run / "best.pt"), "-o", str(tmp_path / "graphs"), "--name", "tiny"]) == 0
    graph = PoseGraph(tmp_path / "graphs" / "tiny.onnx")
    heatmaps = graph(np.zeros((3, 128, 96, 3), np.uint8))
    assert heatmaps.shape == (3, 17, 32, 24)
    card = json.loads((tmp_path / "graphs" / "tiny.json").read_text())
    assert card["files"]["fp16"]["max_difference"] < 2e-2


def test_a_larger_network_goes_on_from_a_smaller_one(tmp_path: Path) -> None:
    small = FusedPoseNet(TINY).eval()
    with torch.no_grad():
        small.final.weight.normal_()
    save_checkpoint(tmp_path / "small.pt", arch=TINY.to_json(), state_dict=small.state_dict())
    start = from_checkpoint(tmp_path / "small.pt")
    deeper, wider = FusedPoseNet(replace(TINY, depths=(0, 1, 3, 1))).eval(), FusedPoseNet(replace(TINY, head=32))
    start(deeper)
    image = torch.randn(1, 3, 128, 96)
    with torch.inference_mode():
        assert torch.equal(deeper(image), small(image))
    start(wider)
    assert torch.equal(wider.laterals[3][0].weight[:16], small.laterals[3][0].weight)
    for other in (replace(TINY, depths=(0, 0, 0, 0)), replace(TINY, joints=18), replace(TINY, widths=(8, 8, 8, 16))):
        with pytest.raises(ModelError, match="of another network"):
            start(FusedPoseNet(other))


def test_the_augmentation_of_a_run_is_chosen(tmp_path: Path) -> None:
    words = ["train", "s-vipnas", "--pack", str(tiny_pack(tmp_path)), "--out", str(tmp_path / "run"), "--size", "32x32", "32x32"]
    more = ["--augmentation", "strong", "--epochs", "0", "0.1", "--workers", "0", "--threads", "1", "--batch", "2"]
    assert vipose([*words, *more]) == 0
    assert load_checkpoint(tmp_path / "run" / "best.pt")["recipe"]["augmentation"]["paste"] > 0


def test_export_of_something_else_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vipose(["export", str(tmp_path / "no.pt"), "-o", str(tmp_path)]) == 3
    torch.save({"weights": 1}, tmp_path / "other.pt")
    assert vipose(["export", str(tmp_path / "other.pt"), "-o", str(tmp_path)]) == 3
    assert vipose(["train", "s-vipnas", "--pack", str(tmp_path / "no"), "--out", str(tmp_path / "r")]) == 3
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3 and all(line.startswith("vipose: ") for line in lines)


def test_fp16_storage_halves_the_file_and_barely_moves_the_output(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = FusedPoseNet(replace(TINY, widths=(16, 32, 64, 64)))
    write_pose(network, tmp_path, pose_metadata(network.arch, "net", (96, 128), {}))
    half, full = tmp_path / "net.onnx", tmp_path / "net.fp32.onnx"
    assert half.stat().st_size < 0.62 * full.stat().st_size
    crops = np.random.default_rng(0).integers(0, 256, (2, 128, 96, 3), np.uint8)
    assert np.abs(PoseGraph(half)(crops) - PoseGraph(full)(crops)).max() < 1e-2


def test_ema_follows_and_budget_ends() -> None:
    network = torch.nn.Linear(2, 2)
    ema = EMA(network, decay=0.5)
    with torch.no_grad():
        network.weight += 1
    for _ in range(30):
        ema.update(network)
    assert torch.allclose(ema.state["weight"], network.weight, atol=1e-3)
    budget = Budget(minutes=1, spent_s=61)
    assert budget.progress == 1 and budget.rate(1.0) == pytest.approx(0.01)


def test_cross_entropy_is_least_at_the_target_and_skips_weight_zero() -> None:
    target = torch.zeros(1, 2, 4, 4)
    target[:, :, 1, 2] = 1
    right = target * 20
    weight = torch.tensor([[1.0, 0.0]])
    assert cross_entropy(right, target, weight) < 1e-3
    wrong = right.clone()
    wrong[:, 1] = -wrong[:, 1]
    assert torch.equal(cross_entropy(wrong, target, weight), cross_entropy(right, target, weight))
