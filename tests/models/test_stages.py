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
from vipose.models.training.recipe import StagedRecipe
from vipose.models.training.schedule import Length, Plan
from vipose.models.training.session import Session
from vipose.models.training.stages import train_stages
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
