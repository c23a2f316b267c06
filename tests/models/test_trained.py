"""Networks that are trained one by one: the random-search baseline and the ablations of heads, from the command line."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.fixtures.packs import drawn_pack
from vipose.models.networks.architecture import architecture_hash
from vipose.models.networks.efficientpose import EfficientPoseArch, MBLayer, SlimHead
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.named import read_architecture
from vipose.models.search import heads
from vipose.models.search.cost import cost
from vipose.models.search.result import architecture, load_result
from vipose.models.search.space import Dimension, Space
from vipose.models.search.spaces import SPACES
from vipose.models.search.trained import one_stage
from vipose.models.training import spatial
from vipose.models.training.recipes import EFFICIENTPOSE
from vipose.models.training.start import load_network
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import EXIT_INTERRUPTED

SLIM = EfficientPoseArch(
    stem=8, separable=8, layers=(MBLayer("k3_e3", 8, 2), MBLayer("k5_e3", 16, 2), MBLayer("k3_e3", 16, 2))
)


def _build(choice: Any) -> FusedArch:
    widths = (8, 8, int(choice["w2"]), int(choice["w3"]))
    return FusedArch(stem=8, widths=widths, depths=(0, 0, int(choice["depth"]), 0), head=16)


TINY = Space(
    "tiny",
    (Dimension("w2", (8, 16)), Dimension("w3", (8, 16)), Dimension("depth", (0, 1))),
    _build,
    size=(64, 64),
    elastic=False,
)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_pack(tmp_path_factory.mktemp("drawn") / "pack", 40)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPACES, "tiny", TINY)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Counts the steps of all trainings; a step of number ``kill`` is interrupted."""
    counted = {"steps": 0, "kill": 0}
    real = spatial.heatmap_loss

    def loss(*args: Any) -> Any:
        counted["steps"] += 1
        if counted["steps"] == counted["kill"]:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)

    monkeypatch.setattr(spatial, "heatmap_loss", loss)
    yield counted


COMMON = ["--epochs", "0.4", "--size", "64x64", "--batch", "8", "--workers", "0", "--threads", "1", "--device", "cpu"]
STEPS = 2
"""Of a network: 40 people, batches of 8, 0.4 epochs."""


def baseline(pack: Path, out: Path, *more: str, networks: int = 3) -> list[str]:
    words = ["search", "baseline", "--space", "tiny", "--pack", str(pack), "--budget", "4M", "--at-least", "0"]
    return [*words, "--networks", str(networks), "--out", str(out), *COMMON, *more]


def ablations(pack: Path, out: Path, arch: Path, *more: str) -> list[str]:
    return ["search", "heads", *more, "--pack", str(pack), "--arch", str(arch), "--out", str(out), *COMMON]


def interrupted(words: list[str]) -> None:
    assert vipose(words) == EXIT_INTERRUPTED


@pytest.fixture
def slim(tmp_path: Path) -> Path:
    path = tmp_path / "slim.json"
    path.write_text(json.dumps(SLIM.to_json()))
    return path


def test_a_baseline_trains_each_network_alike_and_keeps_the_best(
    pack: Path, tmp_path: Path, steps: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b"
    assert vipose(baseline(pack, out)) == 0
    assert "3 networks of tiny within 4 M MACs" in capsys.readouterr().out
    result = load_result(out / "baseline.json")
    assert len({c.hash for c in result.candidates}) == 3 and steps["steps"] == 3 * STEPS
    for candidate in result.candidates:
        spent = cost(architecture(result, candidate), (64, 64))
        assert (candidate.macs, candidate.parameters) == (spent.macs, spent.parameters) and candidate.macs <= 4e6
    assert result.training["length"] == {"unit": "epochs", "amounts": [0.4]} and result.training["recipe"]["sizes"] == [[64, 64]]
    best = load_network(out / "best.pt")
    assert best.arch == architecture(result) == read_architecture(str(out / "baseline.json"))[1]
    assert not list(out.glob("runs/*/*.pt"))
    assert vipose(baseline(pack, out, networks=4)) == 0 and steps["steps"] == 4 * STEPS  # one more


def test_an_interrupted_baseline_goes_on_inside_a_network(
    pack: Path, tmp_path: Path, steps: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "b"
    assert vipose(baseline(pack, whole, "-q")) == 0
    steps.update(steps=0, kill=STEPS + 1)
    interrupted(baseline(pack, out, "-q"))
    assert "the same command goes on" in capsys.readouterr().err
    assert len(load_result(out / "baseline.json").candidates) == 1
    assert vipose(baseline(pack, out, "-q")) == 0 and steps["steps"] == 3 * STEPS
    wanted, found = (load_result(folder / "baseline.json").candidates for folder in (whole, out))
    assert [c.hash for c in found] == [c.hash for c in wanted] and found[0] == wanted[0]


def test_what_an_interruption_left_undone_is_done_later(pack: Path, tmp_path: Path, steps: dict[str, int]) -> None:
    """Figures are written before weights are moved."""
    out = tmp_path / "b"
    assert vipose(baseline(pack, out, "-q")) == 0
    chosen = load_result(out / "baseline.json").chosen
    assert chosen is not None
    os.replace(out / "best.pt", out / "runs" / chosen.hash / "best.pt")
    assert vipose(baseline(pack, out, "-q")) == 0 and steps["steps"] == 3 * STEPS
    assert (out / "best.pt").exists() and not list(out.glob("runs/*/*.pt"))


def test_heads_are_compared_on_one_backbone(
    pack: Path, tmp_path: Path, slim: Path, steps: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "h"
    steps["kill"] = STEPS + 1
    interrupted(ablations(pack, out, slim, "sic", "upsampling"))
    assert vipose(ablations(pack, out, slim, "sic", "upsampling")) == 0
    assert steps["steps"] == 4 * STEPS  # the published head once, no correction, mbv1, mbv2
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("sic ") for line in lines) == 2 and any(line.endswith(" 87.91") for line in lines)
    rows = {row["hash"]: row for row in json.loads((out / "heads.json").read_text())["rows"]}
    assert len(rows) == 4 and len({row["backbone_macs"] for row in rows.values()}) == 1
    without = replace(SLIM, head=SlimHead(correction=False))
    row = rows[architecture_hash(without)]
    assert row["backbone_macs"] + row["head_macs"] == cost(without, (64, 64)).macs
    assert rows[architecture_hash(SLIM)]["head_macs"] - row["head_macs"] == 32 * 9 * 16 * 16
    assert load_network(out / "runs" / row["hash"] / "best.pt").arch.output == "logits"
    assert vipose(ablations(pack, out, slim, "widths")) == 0 and steps["steps"] == 6 * STEPS


def test_variants_begin_alike(pack: Path, tmp_path: Path, slim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same backbone and same samples, whatever the head takes from the random numbers."""
    seen: list[Any] = []

    def stages(recipe: Any, model: Any, backward: Any, stream: Any, out: Path, *rest: Any) -> None:
        seen.append((model.blocks.stages[0].pw.conv.weight.detach().clone(), next(iter(stream(0)))[0]))
        raise KeyboardInterrupt

    monkeypatch.setattr(spatial, "train_stages", stages)
    for head in (SlimHead(), SlimHead((64, 64), "mbv2", correction=False)):
        arch = replace(SLIM, head=head)
        slim.write_text(json.dumps(arch.to_json()))
        recipe = one_stage(EFFICIENTPOSE.default, (64, 64))
        with pytest.raises(KeyboardInterrupt):
            people = spatial.PackedPeople([pack])
            spatial.train_network(replace(recipe, arch=arch, batches=(3,)), people, tmp_path / "x", spatial.Session(workers=0))
    assert all(torch.equal(one, other) for one, other in zip(*seen, strict=True))


def test_the_stage_of_a_recipe_that_fits_the_crops() -> None:
    both = EFFICIENTPOSE.default
    assert one_stage(both, (128, 128)).rates == both.rates[:1]
    big = one_stage(both, (256, 256))
    assert big.rates == both.rates[1:] and big.sizes == ((256, 256),) and len(big.minutes) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--budget", "4ms"], "needs --table"),
        (["--budget", "1K"], "no network of the space 'tiny' meets"),
        (["--imagenet"], "--imagenet is for EfficientPose"),
        (["--size", "60x64"], "multiples of 32"),
        (["--networks", "0"], "want 1 or more"),
        (["--space", "nothing"], "invalid choice"),
    ],
)
def test_mistakes_in_a_baseline_are_one_line(
    pack: Path, tmp_path: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = vipose(baseline(pack, tmp_path / "b", *more))
    lines = capsys.readouterr().err.strip().splitlines()
    assert code in (2, 3) and len(lines) == 1 and lines[0].startswith("vipose: ") and said in lines[0]


def test_another_baseline_or_network_is_refused(
    pack: Path, tmp_path: Path, slim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vipose(baseline(pack, tmp_path / "b", "-q", networks=1)) == 0
    assert vipose(ablations(pack, tmp_path / "h", slim, "sic")) == 0
    capsys.readouterr()
    assert vipose(baseline(pack, tmp_path / "b", "--epochs", "3", networks=1)) == 3
    assert "baseline.json is of another baseline (training differ)" in capsys.readouterr().err
    assert vipose([*ablations(pack, tmp_path / "h", slim, "sic"), "--seed", "5"]) == 3
    assert "heads.json is of other settings (training differ)" in capsys.readouterr().err
    assert vipose(["search", "spatial", "--from", str(tmp_path / "b" / "baseline.json"), "--extract", str(tmp_path / "x.pt")]) == 3
    assert "were trained one by one" in capsys.readouterr().err
    assert vipose(ablations(pack, tmp_path / "n", slim, "colour")) == 2
    assert "no ablation 'colour'" in capsys.readouterr().err
    fused = tmp_path / "fused.json"
    fused.write_text(json.dumps(_build({"w2": 8, "w3": 8, "depth": 0}).to_json()))
    assert vipose(ablations(pack, tmp_path / "n", fused)) == 2
    assert "is of family 'fused'" in capsys.readouterr().err
    (tmp_path / "h" / "heads.json").write_text("{")
    assert vipose(ablations(pack, tmp_path / "h", slim)) == 3
    assert "cut off" in capsys.readouterr().err


def test_every_printed_variant_is_there() -> None:
    assert [v.printed for v in heads.ABLATIONS["widths"]] == [88.1, 88.095, 87.918]
