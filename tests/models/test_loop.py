"""Averages, the step after the gradients, and the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from vipose.models.training.loop import EMA, Log, update
from vipose.runtime.errors import OutputError


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))


def test_the_average_is_that_of_the_formula_bit_for_bit() -> None:
    model = network().to(memory_format=torch.channels_last)
    ema = EMA(model, decay=0.9)
    wanted = {k: v.clone() for k, v in model.state_dict().items()}
    for step in range(1, 6):
        model(torch.randn(2, 3, 8, 8)).mean().backward()
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p))
        ema.update(model)
        decay = min(0.9, (1 + step) / (20 + step))
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                wanted[key].lerp_(value, 1 - decay)
            else:
                wanted[key].copy_(value)
    assert all(torch.equal(ema.state[k], v) for k, v in wanted.items())
    again = EMA(network(), decay=0.9)
    again.load(ema.state, ema.steps)
    assert again.steps == 5 and all(torch.equal(again.state[k], v) for k, v in wanted.items())


def test_a_step_clips_and_follows_the_rate_of_each_group() -> None:
    model = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)])
    before = [p.detach().clone() for p in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    groups = [{"params": model[0].parameters(), "factor": 0.5}, {"params": model[1].parameters()}]
    optimiser, ema = torch.optim.SGD(groups, lr=9.0), EMA(model)
    update(model, optimiser, ema, rate=0.1, clip=1.0)
    moved = [float((b - p.detach()).norm()) for b, p in zip(before, model.parameters(), strict=True)]
    assert moved == pytest.approx([0.5 * 0.1 / 2**0.5, 0.1 / 2**0.5], rel=1e-4)
    assert ema.steps == 1


def test_the_log_is_one_line_an_entry_and_silent_where_it_should(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(tmp_path / "log.jsonl")
    log(step=1, loss=0.123456789, note="a")
    Log(tmp_path / "log.jsonl", enabled=False)(step=2)
    line = (tmp_path / "log.jsonl").read_text()
    assert json.loads(line) == {"step": 1, "loss": 0.12346, "note": "a"} and capsys.readouterr().out == line
    with pytest.raises(OutputError, match="cannot be written"):
        Log(tmp_path / "none" / "log.jsonl")(step=1)
