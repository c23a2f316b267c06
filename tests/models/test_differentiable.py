"""Differentiable search: who learns from whom, budgets, resuming, starting from another's warm-up, results, bad input."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.fixtures.latency import FakeMeasurer
from tests.fixtures.packs import drawn_pack
from tests.fixtures.relaxed import TOY, ByKernel, toy
from tests.models.test_relaxed import choose
from vipose.models.data.people import PackedPeople
from vipose.models.networks.named import read_architecture
from vipose.models.networks.posenas import PoseNASArch
from vipose.models.search import differentiable
from vipose.models.search.alternate import AlternationConfig, ArchitectureLearning, CostTerm
from vipose.models.search.cost import cost
from vipose.models.search.derive import derive, multiplier, tilted
from vipose.models.search.differentiable_recipes import RECIPES, DifferentiableRecipe
from vipose.models.search.halves import HalfStream, split_people
from vipose.models.search.latency import LatencyTable
from vipose.models.search.pricers import Macs, PriceList, lookup
from vipose.models.search.relaxed import ChoiceCosts
from vipose.models.search.relaxed_efficientpose import RelaxedEfficientPose
from vipose.models.search.spaces import SPACES
from vipose.models.search.spaces_posenas import genotype_space
from vipose.models.training.checkpoint import load_checkpoint
from vipose.models.training.schedule import Length
from vipose.models.training.spatial import load_network
from vipose.runtime.cli import main
from vipose.runtime.errors import EXIT_INTERRUPTED, EXIT_USAGE, InputError

SIZE = (64, 64)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return drawn_pack(tmp_path / "pack", 30)


@pytest.fixture(autouse=True)
def _spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPACES, TOY.name, TOY)
    monkeypatch.setitem(SPACES, "other", toy("other"))


def go(pack: Path, out: Path, *more: str, epochs: tuple[str, str] = ("1", "1")) -> int:
    length = () if "--start" in more else ("--epochs", *epochs)
    return main([
        "search", "differentiable", "--space", TOY.name, "--pack", str(pack), "--out", str(out), "--size", "64x64", "--batch", "4",
        "--workers", "0", "--precision", "fp32", "--device", "cpu", *length, *more,
    ])  # fmt: skip


def result(out: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((out / "search.json").read_text())
    return made


# -- who teaches what


def test_people_are_split_by_picture_and_the_validation_is_left_out(tmp_path: Path) -> None:
    people = PackedPeople([drawn_pack(tmp_path / "a", 60), drawn_pack(tmp_path / "b", 40, "clip:dance", seed=1)])
    people.picture_id = np.array([f"{n // 2}" for n in range(60)] + [""] * 40)
    halves = split_people(people, 0.2, 0)
    assert not (halves.weights & halves.architecture).any()
    side = {}
    for n in range(100):
        key = str(people.picture_id[n]) or str(people.source[n])
        side.setdefault(key, set()).add((bool(halves.weights[n]), bool(halves.architecture[n])))
    held_out = {str(people.picture_id[n]) for n in range(0, 60, 12)}
    assert all(len(sides) == 1 for sides in side.values())  # pictures stay whole, and the clip
    assert {key for key, sides in side.items() if sides == {(False, False)}} == held_out
    assert 3 <= halves.architecture[:60].sum() <= 20
    assert split_people(people, 0.2, 0).digest == halves.digest != split_people(people, 0.2, 1).digest
    stream = HalfStream(people, DifferentiableRecipe(), 0, halves.architecture)
    assert stream.probability.sum() == pytest.approx(1) and not stream.probability[~halves.architecture].any()


def test_a_split_that_leaves_nobody_is_refused(tmp_path: Path) -> None:
    people = PackedPeople([drawn_pack(tmp_path / "a", 8, "clip:one")])
    with pytest.raises(InputError, match="8 people cannot be split into 80% and 20% by picture"):
        split_people(people, 0.2, 0)


# -- the cost in the loss


COSTS = ChoiceCosts("ms", 1.0, {"layer0": (1.0, 3.0)})


def test_the_cost_term_is_lambda_times_a_logarithm() -> None:
    probabilities = {"layer0": torch.tensor([0.5, 0.5])}
    assert CostTerm(COSTS, 0.2, 15.0)(probabilities).item() == pytest.approx(0.2 * math.log(3) / math.log(15))
    to_budget = CostTerm(COSTS, 0.2, 15.0, 6.0)
    assert to_budget(probabilities).item() == pytest.approx(0.2 * math.log(2) / math.log(15))


@pytest.mark.parametrize(("budget", "direction"), [(1.5, -1), (6.0, 1), (None, -1)])
def test_a_budget_pulls_from_both_sides(budget: float | None, direction: int) -> None:
    alpha = torch.zeros(2, requires_grad=True)
    torch.autograd.backward(CostTerm(COSTS, 1.0, 2.0, budget)({"layer0": torch.softmax(alpha, 0)}))
    assert alpha.grad is not None and math.copysign(1, -alpha.grad[1].item()) == direction  # the dear one


@dataclass
class Parts:
    network: RelaxedEfficientPose
    learning: ArchitectureLearning


def learner(prices: PriceList, config: AlternationConfig, weight: float = 1.0, budget: float | None = None) -> Parts:
    torch.manual_seed(0)
    network = RelaxedEfficientPose(TOY).train()
    image = torch.randn(2, 3, 64, 64)
    term = CostTerm(lookup(network, prices), weight, 15.0, budget)
    loss = lambda batch: 1e-6 * network(image)[0].square().mean()
    return Parts(network, ArchitectureLearning(network, config, term, loss, lambda s: None, np.random.default_rng(0)))  # type: ignore[arg-type,return-value]


def test_different_tables_give_different_networks() -> None:
    """A kernel that is dear in one table is avoided there and chosen under the other."""
    found = {}
    for dear in (3, 7):
        prices = ByKernel({3: 1.0, 7: 1.0} | {dear: 8.0})
        made = learner(prices, AlternationConfig(rate=0.1))
        for _ in range(25):
            made.learning.step(None)
        chosen = derive(made.network, made.learning.term.costs, [prices, Macs(SIZE)])
        found[dear] = chosen
        assert chosen.costs["ms"] == prices.network(TOY.architecture(chosen.choice)) and chosen.multiplier == 0
        assert chosen.costs["MACs"] == cost(TOY.architecture(chosen.choice), SIZE).macs
    assert set(found[7].choice.values()) == {"k3_e3", "skip"} and set(found[3].choice.values()) == {"k7_e3", "skip"}
    assert found[3].hash != found[7].hash


def test_the_expected_cost_comes_to_the_budget() -> None:
    prices = ByKernel({3: 1.0, 7: 8.0})
    for budget in (10.0, 24.0):
        made = learner(prices, AlternationConfig(rate=0.05), budget=budget)
        for _ in range(120):
            made.learning.step(None)
        assert made.learning.facts()["expected_cost"] == pytest.approx(budget, rel=0.1)


def test_steps_come_in_turn_and_wait_for_their_stage() -> None:
    made = learner(ByKernel({3: 1.0, 7: 2.0}), AlternationConfig(stage=1, every=3))
    batches = iter(range(100))
    for _ in range(5):
        made.learning.follow(0, 0.5, None)
    assert made.learning.steps == 0 and made.learning.history == []
    for n in range(10):
        made.learning.follow(1, n / 10, batches)
    assert made.learning.steps == 3 == next(batches)
    assert [entry["progress"] for entry in made.learning.history] == [n / 10 for n in range(10)]
    assert made.learning.history[0]["probabilities"]["layer0"] == pytest.approx([0.5, 0.5], abs=0.01)


def test_at_least_two_paths_teach_the_architecture() -> None:
    made = learner(ByKernel({3: 1.0, 7: 2.0}), AlternationConfig(paths=1), weight=0.0)
    before = [p.detach().clone() for p in made.network.architecture.parameters()]
    made.learning.step(None)
    assert all(len(active) == 2 for active in made.network._active.values())
    assert all(not torch.equal(a, b) for a, b in zip(before, made.network.architecture.parameters(), strict=True))


# -- what is derived


@pytest.mark.parametrize("budget", [2.0, 9.5, 16.0, 25.0, 37.0, 100.0])
def test_what_is_derived_lands_below_the_budget(budget: float) -> None:
    prices = ByKernel({3: 1.0, 7: 8.0}, once=1.0)  # 8 to 37 in steps of 7, or one less
    torch.manual_seed(1)
    network = RelaxedEfficientPose(TOY)
    with torch.no_grad():
        for parameter in network.architecture.parameters():
            parameter.normal_()
    costs, before = lookup(network, prices), {n: network.alpha(n).detach().clone() for n in network.choices}
    chosen = derive(network, costs, [prices], budget)
    all_costs = sorted({prices.network(TOY.architecture(c)) for c in every_choice()})
    below = [c for c in all_costs if c <= budget] or all_costs[:1]
    assert chosen.costs["ms"] is not None and chosen.costs["ms"] <= max(budget, all_costs[0])
    assert chosen.costs["ms"] >= below[-1] - 8  # one operation at most is left on the table
    assert all(torch.equal(network.alpha(n), before[n]) for n in before)
    with tilted(network, costs, chosen.multiplier, budget):
        assert network.derive() == chosen.choice


def every_choice() -> list[dict[str, Any]]:
    names = [d.name for d in TOY]
    grid = np.stack(np.meshgrid(*[np.arange(len(d.choices)) for d in TOY]), -1).reshape(-1, len(names))
    return [{d.name: d.choices[i] for d, i in zip(TOY, row, strict=True)} for row in grid]


def test_a_sure_network_on_the_budget_is_left_alone() -> None:
    network, prices = RelaxedEfficientPose(TOY), ByKernel({3: 1.0, 7: 8.0})
    choose(network, {"layer0": "k7_e3", "layer1": "skip", "layer2": "k3_e3", "layer3": "k3_e3"}, 3.0)
    assert multiplier(network, lookup(network, prices), prices, 14.1) == 0.0


# -- the whole thing


def test_a_search_writes_what_train_and_export_take(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert go(pack, out, "--budget", "1M", "--architecture-rate", "0.1", epochs=("0.5", "2")) == 0
    printed = capsys.readouterr().out
    found = result(out)
    chosen, name = found["chosen"], found["settings"]["space"]
    assert (found["kind"], name, found["stage"]) == ("vipose-differentiable", TOY.name, 2)
    assert chosen["hash"] in printed and all(f"layer{n}" in printed for n in range(4)) and "budget 1 M MACs" in printed
    network = load_network(out / "derived.pt")
    label, arch = read_architecture(str(out / "search.json"))
    assert label == "search" and arch == network.arch == replace(TOY.architecture(chosen["choice"]), output="logits")
    assert chosen["costs"]["MACs"] == cost(arch, SIZE).macs <= 1e6
    assert found["split"]["weights"] > found["split"]["architecture"] > 0 and found["split"]["held_out"] == 3
    assert all(sum(p.values()) == pytest.approx(1, abs=1e-3) for p in found["probabilities"].values())
    assert found["steps"] == 2 * found["split"]["weights"] // 4 // 4 and len(found["history"]) > 3
    assert found["history"][0]["expected"] > 0 and (out / "best.pt").exists()
    assert main(["export", str(out / "derived.pt"), "-o", str(tmp_path / "graphs"), "--name", "toy"]) == 0
    assert (tmp_path / "graphs" / "toy.onnx").exists()
    before = (out / "last.pt").read_bytes()
    capsys.readouterr()
    assert go(pack, out, "--budget", "1M", "--architecture-rate", "0.1", "--json", epochs=("0.5", "2")) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["chosen"] == chosen and (out / "last.pt").read_bytes() == before


def test_an_interrupted_search_goes_on(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, steps = ArchitectureLearning.step, []

    def step(self: ArchitectureLearning, batch: Any) -> float:
        steps.append(self.steps)
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, batch)

    monkeypatch.setattr(ArchitectureLearning, "step", step)
    assert go(pack, tmp_path / "run", "--quiet", epochs=("0.5", "5")) == EXIT_INTERRUPTED
    assert "goes on from" in capsys.readouterr().err
    kept = load_checkpoint(tmp_path / "run" / "last.pt")
    found = result(tmp_path / "run")
    assert kept is not None and kept["companion"]["steps"] == found["steps"] == 2 and found["stage"] == 1
    alphas = {k: v for k, v in kept["model"].items() if k.startswith("architecture.")}
    assert all(torch.equal(v, kept["ema"][k]) for k, v in alphas.items())
    assert load_network(tmp_path / "run" / "derived.pt").arch == read_architecture(str(tmp_path / "run" / "search.json"))[1]
    assert go(pack, tmp_path / "run", "--quiet", epochs=("0.5", "5")) == 0
    assert steps == list(range(len(steps))) and len(steps) > 3  # none twice, none left out
    assert capsys.readouterr().out == "" and result(tmp_path / "run")["history"][: len(found["history"])] == found["history"]


def test_one_warm_up_serves_several_searches(pack: Path, tmp_path: Path) -> None:
    assert go(pack, tmp_path / "warm", "-q", epochs=("1", "0")) == 0
    assert result(tmp_path / "warm")["steps"] == 0
    warm = load_checkpoint(tmp_path / "warm" / "last.pt")
    assert warm is not None
    network = differentiable.relaxed(replace(DifferentiableRecipe(), space=TOY.name), 17)
    differentiable.start_from(network, tmp_path / "warm" / "last.pt", DifferentiableRecipe(space=TOY.name))
    for key, value in network.state_dict().items():
        assert torch.equal(value, warm["model"][key]) != key.startswith("architecture."), key
    table = LatencyTable(TOY.name, SIZE, FakeMeasurer())
    table.measure([TOY.architecture(c) for c in every_choice()])
    table.save(tmp_path / "t.json")
    options = ["--start", str(tmp_path / "warm" / "best.pt"), "--cost", str(tmp_path / "t.json"), "-q", "--epochs", "0", "0.3"]
    assert go(pack, tmp_path / "run", *options) == 0
    found = result(tmp_path / "run")
    assert found["costs"]["unit"] == "ms" and set(found["chosen"]["costs"]) == {"ms", "MACs"}


def test_without_a_length_a_start_has_no_warm_up(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(differentiable, "search", lambda args, recipe, here: (asked.append(recipe), pytest.skip.Exception)[0])
    with pytest.raises(AttributeError):
        go(pack, tmp_path / "run", "--start", "x.pt", "--json")
    assert asked[0].length == Length("minutes", (0.0, RECIPES["efficientpose"]["vipose"].minutes[1]))


@pytest.mark.parametrize(
    ("more", "code", "line"),
    [
        (("--space", "nowhere"), 2, "there is no search space 'nowhere'"),
        (("--space", "fast-fused"), 2, "networks of 'fast-fused' are not searched by gradients"),
        (("--budget", "3ms"), EXIT_USAGE, "a budget in ms needs --cost TABLE.json"),
        (("--budget", "3M", "--cost", "t.json"), EXIT_USAGE, "a budget in MACs needs --cost macs"),
        (("--budget", "700K"), 2, "budget 0.7 M MACs is below the cheapest network of the space, 0.8908 M MACs"),
        (("--cost", "none.json"), 2, "latency table none.json cannot be read"),
        (("--paths", "0"), EXIT_USAGE, "want 1 or more, or 'all'"),
        (("--tau", "1"), EXIT_USAGE, "--tau above 1"),
        (("--start", "none.pt"), 2, "none.pt does not exist"),
        (("--start", "a.pt", "--imagenet"), EXIT_USAGE, "choose one"),
        (("--size", "60x64"), EXIT_USAGE, "multiples of 32"),
    ],
)
def test_a_slip_is_one_line(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], code: int, line: str
) -> None:
    try:
        got: Any = go(pack, tmp_path / "run", *more)
    except SystemExit as left:
        got = left.code
    error = capsys.readouterr().err
    assert got != 0 and line in error and error.count("\n") == 1 and "Traceback" not in error


def test_a_folder_with_something_else_is_left_as_it_is(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert go(pack, out, "-q", epochs=("0.3", "0.3")) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for more, differs in ((("--budget", "1M"), "budget"), (("--weight", "0.7"), "weight"), (("--seed", "5"), "seed, split")):
        assert go(pack, out, "-q", *more) != 0
        assert f"holds another search ({differs} differ)" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (tmp_path / "plain").mkdir()
    torch.save({"model": {}, "stage": 0}, tmp_path / "plain" / "last.pt")
    assert go(pack, tmp_path / "plain", "-q") != 0
    assert "holds a training that is no differentiable search" in capsys.readouterr().err


def test_a_start_of_another_space_or_kind_is_refused(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go(pack, tmp_path / "one", "-q", epochs=("0.3", "0")) == 0
    start = ("--start", str(tmp_path / "one" / "best.pt"), "-q")
    assert go(pack, tmp_path / "two", "--space", "other", *start) != 0
    assert "is a search with space 'toy-efficientpose', this one has 'other'" in capsys.readouterr().err
    assert go(pack, tmp_path / "two", "--recipe", "paper", *start) != 0
    assert "is a search with output 'logits', this one has 'heatmaps'" in capsys.readouterr().err
    torch.save({"state_dict": {}, "arch": {}}, tmp_path / "net.pt")
    assert go(pack, tmp_path / "two", "--start", str(tmp_path / "net.pt"), "-q") != 0
    assert "is of no differentiable search" in capsys.readouterr().err


def test_posenas_is_searched_by_the_same_means(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    skeleton = PoseNASArch(channels=8, stem=4, cells=(1, 1, 1, 1), refine=())
    operations = ("skip_connect", "std_conv_1x1", "std_conv_3x3")
    space = genotype_space("tiny-posenas", skeleton, operations, operations)
    monkeypatch.setitem(SPACES, space.name, space)
    out, more = tmp_path / "run", ("--space", space.name, "--cost-size", "64x64", "--paths", "2", "--architecture-rate", "0.1")
    assert go(pack, out, *more, "--budget", "4M", epochs=("0.3", "1")) == 0
    assert "derived: normal.2.sources=" in capsys.readouterr().out
    found = result(out)
    network = load_network(out / "derived.pt")
    assert isinstance(network.arch, PoseNASArch) and read_architecture(str(out / "search.json"))[1] == network.arch
    assert found["chosen"]["costs"]["MACs"] == cost(network.arch, SIZE).macs <= 4e6
    assert len(found["probabilities"]) == 70 and found["steps"] > 0
    assert go(pack, tmp_path / "two", *more, "--imagenet") != 0
    assert "--imagenet is for EfficientPose spaces" in capsys.readouterr().err


def test_a_table_of_another_size_is_refused(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LatencyTable(TOY.name, (96, 128)).save(tmp_path / "t.json")
    assert go(pack, tmp_path / "run", "--cost", str(tmp_path / "t.json")) != 0
    assert "is for crops of 96x128, and this search prices 64x64" in capsys.readouterr().err


def test_the_papers_recipes() -> None:
    pose, nas = RECIPES["efficientpose"]["paper"], RECIPES["posenas"]["paper"]
    assert (pose.epochs, pose.batches, pose.rates, pose.every) == ((60.0, 150.0), (32, 32), (0.05, 0.05), 4)
    assert (pose.optimiser, pose.weight_decay, pose.alpha_rate, pose.output) == ("sgd", 1e-4, 3e-4, "heatmaps")
    last = Length("epochs", (60.0, 150.0)).schedule(1, pose.plan_at(1), 10)
    assert last.rate(0.05) == pytest.approx(0.05)
    assert (nas.every, nas.alpha_rate, nas.alpha_decay, nas.optimiser) == (1, 4e-4, 1e-4, "adam")
    rates = [nas.plan_at(1).over(30).share(step, 1) for step in (0, 9, 10, 19, 20)]
    assert rates == pytest.approx([1, 1, 0.2, 0.2, 0.04]) and nas.plan_at(0).over(10).share(9, 1) == 1
    assert RECIPES["efficientpose"]["vipose"].output == "logits"
