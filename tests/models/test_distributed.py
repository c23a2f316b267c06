"""Several processes train what one would: identical weights, averaged gradients, one of them writes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from vipose.models.training.checkpoint import load_checkpoint
from vipose.models.training.distributed import ALONE, join, local_rank
from vipose.models.training.loop import EMA, update
from vipose.runtime.errors import UsageError

CPU = torch.device("cpu")

TRAINING = """
import sys
from pathlib import Path
import torch
from tests.models.test_distributed import network, sample, train_step
from vipose.models.training.checkpoint import save_checkpoint
from vipose.models.training.distributed import join
from vipose.models.training.loop import EMA, Log

with join(torch.device("cpu")) as world:
    out, model = Path(sys.argv[1]), network(seed=world.rank)
    world.copy_from_first(model)
    optimiser, ema = torch.optim.AdamW(model.parameters(), lr=0.01), EMA(model)
    log = Log(out / "log.jsonl", enabled=world.first)
    for step in range(4):
        train_step(model, [sample(world.seed(7), step)], optimiser, ema, world, skipped=world.rank == 1 and step == 2)
        log(step=step)
    stop, (rate, done) = world.any(world.rank == 1), world.agree(0.1 * (world.rank + 1), world.rank)
    seen = {"stop": stop, "nobody": world.any(False), "rate": rate, "done": done, "seed": world.seed(7)}
    save_checkpoint(out / f"{world.rank}.pt", model=model.state_dict(), unused=model[2].weight.grad is None, **seen)
"""


def network(seed: int) -> nn.Sequential:
    """The last layer takes no part in :func:`train_step`."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(2, 2))


def sample(seed: int, step: int) -> torch.Tensor:
    return torch.randn(16, 4, generator=torch.Generator().manual_seed(seed % 2**31 + step))


def train_step(model, samples, optimiser, ema, world, skipped=False):  # type: ignore[no-untyped-def]
    """One step on the mean loss of several processes' samples; ``skipped``: the second layer has no gradient here."""
    optimiser.zero_grad(set_to_none=True)
    for batch in samples:
        hidden = model[0](batch)
        loss = hidden.square().mean() if skipped else model[1](hidden).square().mean() + hidden.square().mean()
        (loss / len(samples)).backward()
    update(model, optimiser, ema, 0.01, 1e9, world)


def torchrun(script: Path, out: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    command += ["--master-port", str(port), str(script), str(out)]
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    if sys.platform != "linux":
        del environment["GLOO_SOCKET_IFNAME"]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=240, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_hold_the_same_weights_and_equal_one_with_all_samples(tmp_path: Path) -> None:
    script = tmp_path / "training.py"
    script.write_text(TRAINING)
    torchrun(script, tmp_path)
    first, second = (load_checkpoint(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first is not None and second is not None
    assert all(torch.equal(v, second["model"][k]) for k, v in first["model"].items())
    assert first["unused"] and second["unused"]
    assert first["seed"] == 7 != second["seed"]
    for found in (first, second):
        assert (found["stop"], found["nobody"], found["rate"], found["done"]) == (True, False, 0.1, 0.0)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 4  # the second one was silent

    model = network(seed=0)
    optimiser, ema = torch.optim.AdamW(model.parameters(), lr=0.01), EMA(model)
    for step in range(4):
        if step == 2:
            optimiser.zero_grad(set_to_none=True)
            a, b = (model[0](sample(s, step)) for s in (7, second["seed"]))
            ((model[1](a).square().mean() + a.square().mean() + b.square().mean()) / 2).backward()
            update(model, optimiser, ema, 0.01, 1e9)
        else:
            train_step(model, [sample(7, step), sample(second["seed"], step)], optimiser, ema, ALONE)
    for key, value in model.state_dict().items():
        assert torch.allclose(first["model"][key], value, atol=1e-6), key


def test_alone_everything_is_a_no_op(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    model = nn.Linear(2, 2)
    model.weight.grad = torch.ones(2, 2)
    with join(CPU) as world:
        world.copy_from_first(model)
        world.average_gradients(model.parameters())
        assert world is ALONE and world.first and world.seed(5) == 5 and local_rank() == 0
        assert world.any(True) and not world.any(False) and world.agree(0.1, 2.0) == (0.1, 2.0)
    assert torch.equal(model.weight.grad, torch.ones(2, 2)) and model.bias.grad is None
    assert not torch.distributed.is_initialized()


def test_half_an_environment_says_to_use_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UsageError, match="torchrun"), join(CPU):
        pass
