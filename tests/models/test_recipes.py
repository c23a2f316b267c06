"""Recipes of single networks by family, and ``vipose train efficientpose`` and ``posenas`` from the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.fixtures.packs import drawn_pack
from vipose.models.commands.train import RECIPES
from vipose.models.data.augment import AUGMENTATIONS, Camera
from vipose.models.data.people import PackedPeople
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.efficientpose import EfficientPoseArch, MBLayer
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.initialise import initialise_as_published
from vipose.models.networks.named import PUBLISHED_NETWORKS
from vipose.models.networks.posenas import PoseNASArch
from vipose.models.networks.registry import build
from vipose.models.training import spatial
from vipose.models.training.recipes import EFFICIENTPOSE, POSENAS, S_VIPNAS, family_of
from vipose.models.training.schedule import Length
from vipose.models.training.session import Session
from vipose.models.training.start import load_network
from vipose.runtime.cli import main as vipose
from vipose.runtime.skeleton import MPII16

SLIM = EfficientPoseArch(
    stem=8, separable=8, layers=(MBLayer("k3_e3", 8, 2), MBLayer("k5_e3", 16, 2), MBLayer("k3_e3", 16, 2))
)
CELLS = PoseNASArch(channels=8, cells=(1, 1, 1, 1), refine=(1, 1, 1, 1), refine_width=4)


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packs")
    drawn_pack(folder / "coco", 16)
    drawn_pack(folder / "mpii", 16, source="mpii", skeleton=MPII16)
    return folder


def described(folder: Path, arch: Architecture) -> str:
    path = folder / "arch.json"
    path.write_text(json.dumps(arch.to_json()))
    return str(path)


def go(entry: str, pack: Path, out: Path, *more: str) -> int:
    words = ["train", entry, "--pack", str(pack), "--out", str(out), "--batch", "4"]
    return vipose([*words, "--workers", "0", "--threads", "1", "--device", "cpu", *more])


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("vipose: ")
    return lines[0]


def test_published_recipes_are_those_of_the_papers() -> None:
    coco, mpii = EFFICIENTPOSE.recipes["published-coco"], EFFICIENTPOSE.recipes["published-mpii"]
    assert (coco.sizes, coco.batches, coco.rates, coco.optimiser) == (((192, 256),), (128,), (1e-3,), "adam")
    steps = 149_813 // 128
    assert [round(m * steps, -3) for m in coco.plan.milestones] == [200_000, 240_000] and coco.length == Length("epochs", (240.0,))
    assert coco.plan.share(0, steps) == pytest.approx(0.002) and coco.plan.share(499, steps) == 1
    assert (mpii.sizes, mpii.batches, mpii.plan.milestones, mpii.sigma_at(0)) == (((256, 256),), (32,), (150, 170), 2.0)
    for recipe in (coco, mpii, *list(POSENAS.recipes.values())[1:]):
        assert recipe.target_at(0)[0].kind == "gaussian" and not recipe.target_at(0)[0].unbiased
        assert recipe.loss_factor == 0.5 and recipe.clip == float("inf") and recipe.output == "heatmaps"
    large = replace(POSENAS.recipes["published-coco"], sizes=((288, 384),))
    assert large.sigma_at(0) == 3 and large.plan.milestones == (170, 200) and large.batches == (32,)
    assert S_VIPNAS.recipes["published"].loss_factor == 1 and S_VIPNAS.default.output is None


@pytest.mark.parametrize(
    ("name", "rotate", "scale", "half"),
    [("efficientpose-coco", 45, 0.35, 0.3), ("posenas-coco", 40, 0.3, 0.3), ("mpii", 30, 0.25, 0.0)],
)
def test_augmentation_is_that_of_the_papers(name: str, rotate: float, scale: float, half: float) -> None:
    strength, rng = AUGMENTATIONS[name], np.random.default_rng(0)
    drawn = [Camera.draw(strength, rng) for _ in range(4000)]
    turns, scales = np.array([c.rotation for c in drawn]), np.array([c.scale for c in drawn])
    assert np.abs(turns).max() == 2 * rotate and abs((turns != 0).mean() - 0.6) < 0.03
    assert np.std(turns[turns != 0]) == pytest.approx(rotate, rel=0.08)
    assert (scales.min(), scales.max()) == pytest.approx((1 - scale, 1 + scale))
    assert (scales == scales.max()).mean() == pytest.approx(0.159, abs=0.03)  # a normal law beyond one deviation
    assert all(c.shift == (0.0, 0.0) for c in drawn) and strength.half_body == half and strength.colour == 0


def test_a_family_trains_its_own_networks() -> None:
    for name, arch in PUBLISHED_NETWORKS.items():
        assert name.startswith(family_of(arch).entry) or family_of(arch) is S_VIPNAS
    assert {family.entry for family in (EFFICIENTPOSE, POSENAS, S_VIPNAS)} <= RECIPES.keys()
    for family in (EFFICIENTPOSE, POSENAS):
        assert family.holds(PUBLISHED_NETWORKS[family.arch])


@pytest.mark.parametrize("entry", ["s-vipnas", "efficientpose", "posenas"])
def test_help_is_that_of_the_family(entry: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert vipose(["train", entry, "--recipe", "published" if entry == "s-vipnas" else "published-coco", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    batch = {"s-vipnas": 512, "efficientpose": 128, "posenas": 32}[entry]
    assert f"vipose train {entry} --" in text and f"together ({batch})" in text and "height (192x256)" in text
    assert ("--imagenet" in text) == (entry == "efficientpose")


@pytest.mark.parametrize(("entry", "arch"), [("efficientpose", SLIM), ("posenas", CELLS)])
def test_our_recipe_makes_logits_and_resumes(entry: str, arch: Architecture, packs: Path, tmp_path: Path) -> None:
    words = ["--arch", described(tmp_path, arch), "--size", "64x64", "64x96", "--epochs", "0", "0.5"]
    assert go(entry, packs / "coco", tmp_path / "run", *words) == 0
    trained = load_network(tmp_path / "run" / "best.pt")
    assert trained.arch == replace(arch, output="logits")
    last = torch.load(tmp_path / "run" / "last.pt")
    assert last["steps"] == 2 and torch.load(tmp_path / "run" / "best.pt")["skeleton"] == "coco17"
    assert go(entry, packs / "coco", tmp_path / "run", *words) == 0
    assert torch.load(tmp_path / "run" / "last.pt")["steps"] == 2
    more = ["--start", str(tmp_path / "run" / "best.pt"), "--output", "heatmaps", *words[2:]]
    assert go(entry, packs / "coco", tmp_path / "again", *more) == 0
    assert load_network(tmp_path / "again" / "best.pt").arch == arch


def test_a_finish_has_a_rate_of_its_own(packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--arch", described(tmp_path, SLIM), "--size", "64x64", "64x96", "--epochs", "0", "0.5"]
    assert go("efficientpose", packs / "coco", tmp_path / "run", *words, "--rate", "0.0003") == 0
    recipe = torch.load(tmp_path / "run" / "best.pt")["recipe"]
    assert tuple(recipe["rates"]) == (3e-4, 3e-4)
    capsys.readouterr()
    assert go("efficientpose", packs / "coco", tmp_path / "no", *words, "--rate", "-1") == 2
    assert "want a number above 0" in error_line(capsys)


def test_published_recipes_run_on_both_skeletons(packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spatial, "read_architecture", lambda name: (name, SLIM))
    words = ["--recipe", "published-mpii", "--size", "64x64", "--epochs", "0.25"]
    assert go("efficientpose", packs / "mpii", tmp_path / "run", *words) == 0
    best = torch.load(tmp_path / "run" / "best.pt")
    assert load_network(tmp_path / "run" / "best.pt").arch == replace(SLIM, joints=16) and best["skeleton"] == "mpii16"
    assert best["recipe"]["loss_factor"] == 0.5 and best["recipe"]["augmentation"]["rotate"] == 30


def test_the_loss_is_halved_and_stages_are_added_up(packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []

    def stages(recipe: Any, model: Any, backward: Any, stream: Any, *rest: Any) -> None:
        model.train()
        losses.append(backward(next(iter(stream(0)))))

    monkeypatch.setattr(spatial, "train_stages", stages)
    whole = replace(POSENAS.recipes["published-coco"], arch=CELLS, sizes=((64, 64),), batches=(4,), loss_factor=1.0)
    people = PackedPeople([packs / "coco"])
    for recipe in (whole, replace(whole, loss_factor=0.5)):
        spatial.train_network(recipe, people, tmp_path / "x", Session(workers=0))
    assert losses[1] == pytest.approx(losses[0] / 2, rel=1e-3)
    seen: list[int] = []
    real = spatial.heatmap_loss
    monkeypatch.setattr(spatial, "heatmap_loss", lambda *args: seen.append(1) or real(*args))
    spatial.train_network(whole, people, tmp_path / "x", Session(workers=0))
    assert len(seen) == 2


def test_published_initialisation() -> None:
    torch.manual_seed(0)
    network = build(SLIM)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    initialise_as_published(network)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    hidden = network.get_submodule("blocks.stages.x1_ir_k5_e3").dw.conv.weight  # type: ignore[union-attr]
    assert float(hidden.detach().std()) == pytest.approx((2 / (25 * len(hidden))) ** 0.5, rel=0.15)  # fan-out
    cells = build(CELLS)
    initialise_as_published(cells)
    kernels = torch.cat([p.detach().flatten() for p in cells.parameters() if p.ndim == 4])
    assert float(kernels.std()) == pytest.approx(0.001, rel=0.05)


@pytest.mark.parametrize(
    ("entry", "words", "said"),
    [
        ("posenas", ["--imagenet"], "--imagenet is for EfficientPose networks"),
        ("s-vipnas", ["--imagenet"], "--imagenet is for EfficientPose networks"),
        ("efficientpose", ["--imagenet", "efficientnet-lite9"], "no ImageNet weights 'efficientnet-lite9'"),
        ("efficientpose", ["--arch", "posenas-small"], "'posenas-small' is no efficientpose network"),
        ("efficientpose", ["--arch", "nothing"], "neither a JSON file nor a network with a name"),
        ("efficientpose", ["--recipe", "published-coco", "--output", "logits"], "puts out logits"),
        ("posenas", ["--size", "100x128", "192x256"], "multiples of 32"),
        ("posenas", ["--recipe", "published"], "invalid choice"),
        ("efficientpose", ["--start", "no.pt", "--imagenet"], "not allowed with"),
    ],
)
def test_mistakes_are_one_line(
    entry: str, words: list[str], said: str, packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go(entry, packs / "coco", tmp_path / "run", *words) in (2, 3)
    assert said in error_line(capsys)


def test_packs_of_other_joints_are_refused(packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go("efficientpose", packs / "mpii", tmp_path / "run", "--arch", "efficientpose-a") == 3
    line = error_line(capsys)
    assert "labelled with mpii16, 16 joints" in line and line.endswith("take efficientpose-a-mpii")
    assert go("posenas", packs / "coco", tmp_path / "run", "--arch", "posenas-l18-c48-mpii") == 3
    assert error_line(capsys).endswith("take posenas-l18-c48")
    other = described(tmp_path, FusedArch(joints=3))
    assert go("s-vipnas", packs / "coco", tmp_path / "run", "--arch", other) == 3
    assert error_line(capsys).endswith("take a network of 17 joints")
