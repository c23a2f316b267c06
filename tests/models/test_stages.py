"""Trainings in stages: interrupted, resumed with other settings, over epochs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn
from torch.utils.data import IterableDataset

from vipose.models.training.checkpoint import draw_seed, load_checkpoint, save_checkpoint
from vipose.models.training.device import Compute
from vipose.models.training.recipe import StagedRecipe, last_size
from vipose.models.training.schedule import Length, Plan
from vipose.models.training.session import Session
from vipose.models.training.stages import Companion, train_stages
from vipose.runtime.errors import EXIT_INTERRUPTED, ModelError

HERE = Session(Compute(torch.device("cpu"), bf16=False), length=Length("epochs", (2.0, 1.0)), workers=0)


@dataclass(frozen=True, kw_only=True)
class Recipe(StagedRecipe):
    arch: tuple[int, ...] = (3, 2)
    sizes: tuple[tuple[int, int], ...] = ((32, 32), (32, 32))
    batches: tuple[int, ...] = (4, 2)
    plan: Plan = Plan(rate=1e-2, epochs=2, milestones=(1,))  # noqa: RUF009


class Noise(IterableDataset[tuple[Tensor]]):
    def __init__(self, batch: int) -> None:
        self.batch = batch

    def __iter__(self) -> Iterator[tuple[Tensor]]:
        generator = torch.Generator().manual_seed(draw_seed())
        while True:
            yield (torch.randn(self.batch, 3, generator=generator),)


def go(out: Path, recipe: Recipe = Recipe(), session: Session = HERE, kill_at: int = 0) -> list[float]:
    """Train a linear layer; returns what the generator gave at each step."""
    out.mkdir(exist_ok=True)
    torch.manual_seed(recipe.seed)
    model, rng, drawn = nn.Linear(*recipe.arch), np.random.default_rng(1), []

    def backward(batch: Any) -> float:
        drawn.append(float(rng.random()))
        if len(drawn) == kill_at:
            os.kill(os.getpid(), signal.SIGTERM)
        loss = (model(batch[0]) - 1).square().mean()
        torch.autograd.backward(loss)
        return loss.item()

    stream = lambda stage: Noise(recipe.batches[stage])
    train_stages(recipe, model, backward, stream, out, {"arch": list(recipe.arch)}, session, 16, [rng])
    return drawn


def checkpoint(out: Path) -> dict[str, Any]:
    saved = load_checkpoint(out / "last.pt")
    assert saved is not None
    return saved


def test_epochs_are_passes_over_the_samples(tmp_path: Path) -> None:
    assert len(go(tmp_path)) == 2 * 4 + 1 * 8
    assert checkpoint(tmp_path)["stage"] == 2 and go(tmp_path) == []


@pytest.mark.parametrize("kill_at", [3, 11])
def test_an_interruption_loses_nothing(tmp_path: Path, kill_at: int, capsys: pytest.CaptureFixture[str]) -> None:
    whole = go(tmp_path / "whole")
    with pytest.raises(SystemExit) as raised:
        go(tmp_path / "run", kill_at=kill_at)
    assert raised.value.code == EXIT_INTERRUPTED and "last.pt" in capsys.readouterr().err
    assert len(go(tmp_path / "run")) == len(whole) - kill_at
    assert checkpoint(tmp_path / "run")["steps"] == checkpoint(tmp_path / "whole")["steps"] == 16


def test_random_sub_networks_go_on_after_a_resume(tmp_path: Path) -> None:
    whole = go(tmp_path / "whole")
    with pytest.raises(SystemExit):
        go(tmp_path / "run", kill_at=5)
    assert go(tmp_path / "run") == whole[5:]


def test_other_settings_are_logged_and_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        go(tmp_path, kill_at=3)
    go(tmp_path, Recipe(batches=(2, 2)), replace(HERE, length=Length("epochs", (2.0, 2.0))))
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [e["resumed_with"] for e in entries if "resumed_with" in e] == ["batches.0 4 -> 2"]
    assert checkpoint(tmp_path)["steps"] == 3 + (16 - 6) + 16  # three steps of 4 were six of 2
    with pytest.raises(ModelError, match="another arch"):
        go(tmp_path, Recipe(arch=(3, 5)))


@pytest.mark.usefixtures("counting_clock")
def test_a_checkpoint_from_before_goes_on(tmp_path: Path) -> None:
    """It has neither schedule nor recipe nor random numbers."""
    minutes = replace(HERE, length=None)
    with pytest.raises(SystemExit):
        go(tmp_path, Recipe(minutes=(0.02, 0.02)), minutes, kill_at=5)
    saved = checkpoint(tmp_path)
    older = {k: v for k, v in saved.items() if k not in ("schedule", "recipe", "random")} | {"spent_s": 59.9}
    save_checkpoint(tmp_path / "last.pt", **older)
    go(tmp_path, Recipe(minutes=(1.0, 0.005)), minutes)
    assert checkpoint(tmp_path)["stage"] == 2 and 5 < checkpoint(tmp_path)["steps"] < 40


class Pair(nn.Module):
    """Weights, and one parameter of a companion."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.beside = nn.Parameter(torch.zeros(1))


class Beside(Companion):
    """Makes a step on every second step of the weights, in the second stage only."""

    def __init__(self, model: Pair) -> None:
        self.model, self.optimiser = model, torch.optim.Adam([model.beside], lr=0.1)
        self.seen, self.steps = 0, 0
        self.told: list[tuple[int, float]] = []

    def parameters(self) -> list[nn.Parameter]:
        return [self.model.beside]

    def stream(self, stage: int) -> Noise | None:
        return Noise(1) if stage else None

    def follow(self, stage: int, progress: float, batches: Iterator[Any] | None) -> None:
        assert (batches is None) == (stage == 0)
        self.seen += 1
        if batches is None or self.seen % 2:
            return
        self.optimiser.zero_grad()
        torch.autograd.backward((self.model.beside - next(batches)[0].mean().sign() - 3).square().sum())
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.steps += 1

    def facts(self) -> dict[str, float]:
        return {"beside": self.model.beside.item()}

    def state(self) -> dict[str, Any]:
        return {"optimiser": self.optimiser.state_dict(), "seen": self.seen, "steps": self.steps}

    def load(self, state: Any) -> None:
        self.optimiser.load_state_dict(state["optimiser"])
        self.seen, self.steps = state["seen"], state["steps"]

    def saved(self, stage: int, progress: float, averaged: Any) -> None:
        self.told.append((stage, progress))
        assert torch.equal(averaged["beside"], self.model.beside)  # the last value, never an average


def go_together(out: Path, kill_at: int = 0, recipe: Recipe = Recipe(optimiser="sgd", weight_decay=1e-2)) -> Beside:
    """Train weights and companion on batches that are always the same."""
    torch.manual_seed(0)
    model = Pair()
    beside, steps = Beside(model), 0

    def backward(batch: Any) -> float:
        nonlocal steps
        steps += 1
        if steps == kill_at:
            os.kill(os.getpid(), signal.SIGTERM)
        loss = ((model.weight * model.beside.detach() - batch[0].sign().mean()) ** 2).sum()
        torch.autograd.backward(loss)
        return loss.item()

    class Same(Noise):
        def __iter__(self) -> Iterator[tuple[Tensor]]:
            while True:
                yield (torch.ones(self.batch, 3),)

    beside.stream = lambda stage: Same(1) if stage else None  # type: ignore[method-assign,assignment]
    train_stages(recipe, model, backward, lambda stage: Same(recipe.batches[stage]), out, {}, HERE, 16, companion=beside)
    return beside


@pytest.mark.parametrize("kill_at", [3, 10, 13])
def test_a_companion_trains_beside_the_weights_and_goes_on_exactly(tmp_path: Path, kill_at: int) -> None:
    whole = go_together(tmp_path / "whole")
    assert whole.steps == 4 and whole.seen == 16  # 8 steps in the second stage, every second one
    assert [stage for stage, _ in whole.told] == [1, 2]
    with pytest.raises(SystemExit):
        go_together(tmp_path / "run", kill_at)
    goes_on = go_together(tmp_path / "run")
    assert goes_on.steps == 4
    one, other = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "run")
    for part in ("model", "ema"):
        assert all(torch.equal(one[part][k], other[part][k]) for k in one[part]), part
    moments = [saved["companion"]["optimiser"]["state"][0]["exp_avg"] for saved in (one, other)]
    assert torch.equal(*moments)
    assert one["model"]["beside"].item() > 0.3 and not torch.equal(one["model"]["weight"], one["ema"]["weight"])


def test_the_recipes_optimiser_leaves_the_companions_parameters_alone(tmp_path: Path) -> None:
    go_together(tmp_path)
    groups = checkpoint(tmp_path)["optimiser"]["param_groups"]
    assert [len(g["params"]) for g in groups] == [1]
    assert groups[0]["momentum"] == 0.9 and groups[0]["weight_decay"] == 1e-2


def test_sgd_decays_everything_and_follows_a_cosine_to_zero(tmp_path: Path) -> None:
    recipe = Recipe(optimiser="sgd", weight_decay=1e-2, plan=Plan(rate=1e-2, epochs=2, cosine=True))
    rates: list[float] = []
    real = torch.optim.SGD.step

    def step(self: torch.optim.SGD, closure: Any = None) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return real(self, closure)

    torch.optim.SGD.step = step  # type: ignore[method-assign,assignment]
    try:
        go(tmp_path, recipe, replace(HERE, length=Length("epochs", (2.0, 0.0))))
    finally:
        torch.optim.SGD.step = real  # type: ignore[method-assign]
    peak = recipe.rates[0]
    assert rates == pytest.approx([peak * 0.5 * (1 + np.cos(np.pi * n / 8)) for n in range(8)])
    assert checkpoint(tmp_path)["stage"] == 2  # a stage of no epochs is skipped


def test_the_log_can_be_kept_off_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Linear(3, 2)

    def backward(batch: Any) -> float:
        torch.autograd.backward(model(batch[0]).sum())
        return 0.0

    train_stages(Recipe(), model, backward, lambda stage: Noise(4), tmp_path, {}, HERE, 16, echo=False)
    assert capsys.readouterr().out == "" and (tmp_path / "log.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("recipe", "size"),
    [
        ({"sizes": [[96, 128], [192, 256]], "minutes": [37.0, 70.0], "epochs": None}, (192, 256)),
        ({"sizes": [[96, 128], [192, 256]], "minutes": [37.0, 70.0], "epochs": [4.0, 0.0]}, (96, 128)),
        ({"sizes": [[96, 128], [192, 256]], "minutes": [5.0, 0.0], "epochs": None}, (96, 128)),
        ({"sizes": [[256, 256]]}, (256, 256)),
    ],
)
def test_a_stage_that_was_left_out_says_nothing_about_the_size(recipe: dict[str, Any], size: tuple[int, int]) -> None:
    assert last_size(recipe) == size
