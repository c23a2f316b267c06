"""Training in stages, small crops first: each stage has its own size, minutes, batch and rate, and all of it resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from vipose.models.training.loop import (
    EMA,
    Budget,
    Log,
    channels_last,
    forever,
    load_checkpoint,
    parameter_groups,
    save_checkpoint,
)

__all__ = ["Stages", "train_stages"]


class Stages(Protocol):
    """What a recipe must say; one entry a stage in every tuple. Sizes are width, height, multiples of 32."""

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def minutes(self) -> tuple[float, ...]: ...
    @property
    def batches(self) -> tuple[int, ...]: ...
    @property
    def rates(self) -> tuple[float, ...]: ...
    @property
    def weight_decay(self) -> float: ...


@dataclass(frozen=True)
class _Run:
    recipe: Stages
    model: nn.Module
    ema: EMA
    backward: Callable[[Any], float]
    facts: dict[str, Any]
    log: Log
    out: Path

    def checkpoint(self, stage: int, spent_s: float, optimiser: torch.optim.Optimizer) -> None:
        """``last.pt`` holds everything that goes on, ``best.pt`` the averaged weights."""
        everything = {"model": self.model.state_dict(), "ema": self.ema.state, "steps": self.ema.steps, "stage": stage}
        save_checkpoint(self.out / "last.pt", optimiser=optimiser.state_dict(), spent_s=spent_s, **everything)
        recipe = asdict(self.recipe)  # type: ignore[call-overload]
        save_checkpoint(self.out / "best.pt", state_dict=self.ema.state, recipe=recipe, **self.facts)

    def stage(self, stage: int, optimiser: torch.optim.Optimizer, budget: Budget, batches: Iterable[Any]) -> None:
        """One stage until its budget is spent; a checkpoint every three minutes and at the end."""
        self.model.train()
        saved = start_s = budget.seconds
        total, seen = 0.0, 0
        for step, batch in enumerate(batches):
            if budget.progress >= 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = budget.rate(self.recipe.rates[stage])
            optimiser.zero_grad(set_to_none=True)
            total += self.backward(batch)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
            optimiser.step()
            self.ema.update(self.model)
            seen += len(batch[0])
            if step % 100 == 99:
                speed = seen / (budget.seconds - start_s)
                self.log(stage=stage, step=step + 1, loss=total / 100, progress=budget.progress, per_s=speed)
                total = 0.0
            if budget.seconds - saved > 180:
                self.checkpoint(stage, budget.seconds, optimiser)
                saved = budget.seconds
        self.checkpoint(stage + 1, 0.0, optimiser)


def train_stages(
    recipe: Stages,
    model: nn.Module,
    backward: Callable[[Any], float],
    stream: Callable[[int], IterableDataset[Any]],
    out: Path,
    facts: dict[str, Any],
    workers: int = 1,
    **described: Any,
) -> None:
    """Run or resume a training.

    Args:
        recipe: a frozen dataclass; it is kept in the checkpoints.
        model: on the CPU, with its first weights.
        backward: takes a batch, leaves gradients in the model, returns the loss.
        stream: endless batches of a stage; the first field of a batch has its length.
        out: folder of the run.
        facts: further entries of ``best.pt``.
        workers: loader processes.
        described: further entries of the first line of the log.
    """
    log, model = Log(out / "log.jsonl"), channels_last(model)
    ema = EMA(model)
    state = load_checkpoint(out / "last.pt")
    first, spent = 0, 0.0
    if state is not None:
        model.load_state_dict(state["model"])
        ema.state, ema.steps, first, spent = state["ema"], state["steps"], state["stage"], state["spent_s"]
    run = _Run(recipe, model, ema, backward, facts, log, out)
    log(parameters=sum(p.numel() for p in model.parameters()), stage=first, spent_s=spent, **described)
    for stage in range(first, len(recipe.sizes)):
        optimiser = torch.optim.AdamW(parameter_groups(model, recipe.weight_decay), lr=recipe.rates[stage])
        if state is not None and state["spent_s"] > 0:
            optimiser.load_state_dict(state["optimiser"])
        budget = Budget(recipe.minutes[stage], spent)
        loader = DataLoader(stream(stage), batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)
        run.stage(stage, optimiser, budget, forever(loader))
        state, spent = None, 0.0
