"""The spatial super-network's training: who runs in a batch, who teaches whom, resuming, recipes, the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.models.test_people import JOINTS, Teacher, crop_set
from tests.models.test_training import TINY
from vipose.models.data.pack import read_crops, write_pack
from vipose.models.data.targets import TargetSpec
from vipose.models.networks.architecture import architecture_hash
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.mobilenetv3 import S_VIPNAS_MBV3
from vipose.models.search.space import Dimension, Space, Value
from vipose.models.search.spaces import SPACES
from vipose.models.training import spatial, supernet
from vipose.models.training.losses import heatmap_loss, soft_targets
from vipose.models.training.schedule import Length
from vipose.models.training.session import Session
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import InputError, ModelError

HERE = Session(workers=0)


def _build(choice: Mapping[str, Value]) -> FusedArch:
    return replace(TINY, widths=(8, 8, 16, int(choice["width"])), depths=(0, 0, int(choice["depth"]), 0))


TINY_SPACE = Space("tiny", (Dimension("width", (8, 16, 24)), Dimension("depth", (0, 1, 2))), _build)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Fourteen times the same person, of whom two are held out; the pictures count as different."""
    box = crop_set(tmp_path, labelled=True)
    rows = (replace(person, picture_id=str(n)) for n in range(14) for person in read_crops(tmp_path))
    write_pack(rows, tmp_path / "pack", Teacher(JOINTS, box))  # type: ignore[arg-type]
    return tmp_path / "pack"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Space:
    monkeypatch.setitem(SPACES, "tiny", TINY_SPACE)
    return TINY_SPACE


def recipe(minutes: float) -> supernet.SupernetRecipe:
    return supernet.SupernetRecipe(space="tiny", sizes=((64, 64),), minutes=(minutes,), batches=(4,), rates=(5e-3,))


def test_a_batch_is_a_sandwich(tiny: Space) -> None:
    archs = supernet.sandwich(tiny, 2, np.random.default_rng(0))
    assert len(archs) == 4
    assert archs[0] == tiny.architecture(tiny.biggest) and archs[1] == tiny.architecture(tiny.smallest)
    many = {architecture_hash(a) for n in range(20) for a in supernet.sandwich(tiny, 2, np.random.default_rng(n))[2:]}
    assert len(many) > 4


def test_the_biggest_learns_from_labels_and_teaches_the_others(tiny: Space) -> None:
    torch.manual_seed(0)
    whole = SuperNetwork(tiny.architecture(tiny.biggest)).train()
    archs = supernet.sandwich(tiny, 1, np.random.default_rng(0))
    images, target = torch.randn(3, 3, 64, 64), torch.softmax(torch.randn(3, 17, 256), -1).view(3, 17, 16, 16)
    weight = torch.ones(3, 17)
    fp32 = replace(HERE.compute, bf16=False)
    loss = supernet.sandwich_backward(whole, archs, images, target, weight, 2 / 3, fp32)
    got = {k: p.grad.clone() for k, p in whole.named_parameters() if p.grad is not None}
    whole.zero_grad()
    outs = [whole(images, arch=a) for a in archs]
    soft = soft_targets(archs[0], outs[0], 2 / 3)
    by_hand = [heatmap_loss(archs[0], outs[0], target, weight, 2 / 3)]
    for arch, out in zip(archs[1:], outs[1:], strict=True):
        by_hand.append((heatmap_loss(arch, out, target, weight, 2 / 3) + heatmap_loss(arch, out, soft, weight, 2 / 3)) / 2)
    torch.autograd.backward(sum(by_hand[1:], by_hand[0]))
    assert abs(loss - by_hand[0].item()) < 1e-5
    for key, parameter in whole.named_parameters():
        assert parameter.grad is not None and torch.allclose(got[key], parameter.grad, atol=1e-5), key


@pytest.mark.usefixtures("counting_clock")
def test_training_lowers_the_loss_and_goes_on_where_it_stopped(tiny: Space, pack: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    supernet.train(recipe(0.25), [pack], run, HERE)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) >= 2 and losses[-1] < losses[0]
    state = torch.load(run / "best.pt")
    assert state["space"] == "tiny" and state["recipe"]["random"] == 2
    whole = SuperNetwork(tiny.architecture(tiny.biggest))
    whole.load_state_dict(state["state_dict"])
    before = torch.load(run / "last.pt")["model"]
    supernet.train(recipe(0.25), [pack], run, HERE)  # finished: nothing changes
    after = torch.load(run / "last.pt")["model"]
    assert all(torch.equal(before[k], after[k]) for k in before)


@pytest.mark.usefixtures("counting_clock")
def test_a_trained_network_inside_the_space_is_where_it_begins(tiny: Space, pack: Path, tmp_path: Path) -> None:
    arch = tiny.architecture({"width": 16, "depth": 1})
    small = spatial.SpatialRecipe(arch=arch, sizes=((64, 64),), minutes=(0.01,), batches=(4,), rates=(5e-3,))
    spatial.train(small, [pack], tmp_path / "s", HERE)
    whole = SuperNetwork(tiny.architecture(tiny.biggest))
    supernet.start_from(whole, tmp_path / "s" / "best.pt")
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(whole.eval()(image, arch=arch), spatial.load_network(tmp_path / "s" / "best.pt")(image))


def test_epochs_batches_and_published_targets_of_the_recipe(pack: Path, tmp_path: Path) -> None:
    arch = replace(TINY, output="heatmaps")
    short = replace(spatial.PUBLISHED, arch=arch, sizes=((64, 64),), batches=(7,)).lasting(Length("epochs", (2.0,)))
    spatial.train(short, [pack], tmp_path / "run", HERE)
    assert torch.load(tmp_path / "run" / "last.pt")["steps"] == 4  # 14 people, batches of 7, twice
    people = spatial.PackedPeople([pack])
    crops, target, weight = next(iter(spatial.PeopleStream(people, short, 0)))
    assert crops.shape == (7, 64, 64, 3) and set(weight.unique().tolist()) <= {0.0, 1.0}
    heatmaps = target * 2 * np.pi * short.sigma_at(0) ** 2
    assert abs(float(heatmaps.max()) - 1) < 1e-5  # a Gaussian whose centre is a cell
    assert spatial.PUBLISHED.target == TargetSpec("gaussian", unbiased=False)


def test_a_recipe_is_cut_by_stages_whatever_its_length_is_given_in() -> None:
    both = spatial.SpatialRecipe()
    assert both.stages(slice(1)).minutes == both.minutes[:1] and both.stages(slice(1)).epochs is None
    counted = both.lasting(Length("epochs", (3.0, 5.0))).stages(slice(1, None))
    assert counted.length == Length("epochs", (5.0,)) and counted.sizes == ((192, 256),) and counted.batches == (32,)
    assert counted.lasting(Length("minutes", (2.0,))).length == Length("minutes", (2.0,))


def test_mistakes_are_one_clear_line(tiny: Space, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"arch": S_VIPNAS_MBV3.to_json(), "state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match="another network"):
        spatial.load_network(tmp_path / "other.pt")
    with pytest.raises(InputError, match="does not exist"):
        spatial.load_network(tmp_path / "no.pt")
    rest = ["--pack", str(pack), "--out", str(tmp_path / "r")]
    assert vipose(["train", "supernet", "--space", "tiny", "--recipe", "paper", *rest]) != 0
    assert vipose(["train", "s-vipnas", "--recipe", "published", *rest]) != 0
    assert vipose(["train", "s-vipnas", "--arch", "nobody", *rest]) != 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3 and all(line.startswith("vipose: ") for line in lines)


@pytest.mark.usefixtures("counting_clock")
def test_the_command_line_trains_a_named_network(pack: Path, tmp_path: Path) -> None:
    described = tmp_path / "arch.json"
    described.write_text(json.dumps(TINY.to_json()))
    command = ["train", "s-vipnas", "--arch", str(described), "--pack", str(pack), "--out", str(tmp_path / "r")]
    assert vipose([*command, "--epochs", "0.01", "0", "--workers", "0", "--threads", "1", "--held-out", "--batch", "3"]) == 0
    assert torch.load(tmp_path / "r" / "best.pt")["recipe"]["batches"] == (3, 3)
    assert spatial.load_network(tmp_path / "r" / "best.pt").arch == TINY


def test_bench_prints_a_line_for_each_part(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vipose(["train", "bench", "--pack", str(pack), "--small", "--seconds", "0.01"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("loader, one process", "super-network step", "one search evaluation"))
