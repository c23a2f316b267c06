"""Training in stages, small crops first: each stage has its own size, length, batch and rate, and all of it resumes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from vipose.models.training.checkpoint import (
    load_checkpoint,
    load_weights,
    random_state,
    recipe_changes,
    restore_random,
    save_checkpoint,
)
from vipose.models.training.interrupt import Interruption, ignore_interrupts
from vipose.models.training.loop import EMA, Log, forever, parameter_groups, update
from vipose.models.training.recipe import StagedRecipe
from vipose.models.training.schedule import Schedule
from vipose.models.training.session import Session

__all__ = ["Companion", "train_stages"]

SAVE_EVERY_S = 180
LOG_EVERY = 100


class Companion(ABC):
    """What learns beside the weights, from samples of its own, and is kept in the same checkpoints.

    Its parameters are part of the model (those of the architecture in a differentiable search), but the recipe's optimiser
    leaves them alone, and the averaged weights have their last values.
    """

    @abstractmethod
    def parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of the model that it trains."""

    @abstractmethod
    def stream(self, stage: int) -> IterableDataset[Any] | None:
        """Endless batches of a stage for itself; None where it needs none."""

    @abstractmethod
    def follow(self, stage: int, progress: float, batches: Iterator[Any] | None) -> None:
        """The weights made a step; make one too, if it is time.

        Args:
            stage: from 0.
            progress: of the stage before that step, 0..1, the same in all processes.
            batches: of :meth:`stream`.
        """

    @abstractmethod
    def facts(self) -> dict[str, float]:
        """What a line of the log says about it."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Tensors and plain values for a checkpoint; :meth:`load` goes on from them."""

    @abstractmethod
    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""

    @abstractmethod
    def saved(self, stage: int, progress: float, averaged: Mapping[str, Tensor]) -> None:
        """A checkpoint was written, with these averaged weights: write what goes with it. In the first process only."""


@dataclass
class _Run:
    recipe: StagedRecipe
    model: nn.Module
    ema: EMA
    backward: Callable[[Any], float]
    facts: Mapping[str, Any]
    out: Path
    session: Session
    generators: Sequence[np.random.Generator]
    log: Log
    interruption: Interruption
    companion: Companion | None

    def checkpoint(self, stage: int, schedule: Schedule | None, optimiser: torch.optim.Optimizer) -> None:
        """``last.pt`` holds everything that goes on, ``best.pt`` the averaged weights; the first process writes them."""
        if not self.session.world.first:
            return
        recipe = asdict(self.recipe)
        self.ema.take_exact(self.model)
        save_checkpoint(
            self.out / "last.pt",
            model=self.model.state_dict(),
            ema=self.ema.state,
            steps=self.ema.steps,
            stage=stage,
            optimiser=optimiser.state_dict(),
            schedule=None if schedule is None else schedule.state(),
            random=random_state(*self.generators),
            recipe=recipe,
            companion=None if self.companion is None else self.companion.state(),
        )
        save_checkpoint(self.out / "best.pt", state_dict=self.ema.state, recipe=recipe, **self.facts)
        if self.companion is not None:
            self.companion.saved(stage, 0.0 if schedule is None else schedule.progress, self.ema.state)

    def stage(self, stage: int, optimiser: torch.optim.Optimizer, schedule: Schedule, batches: Iterable[Any]) -> None:
        """One stage until its length is spent; a checkpoint every three minutes, at the end, and when a signal comes."""
        self.model.train()
        world, companion = self.session.world, self.companion
        own = None if companion is None else companion.stream(stage)
        beside = None if own is None else forever(_loader(own, self.session))
        saved = start_s = schedule.seconds
        total, seen, rate = 0.0, 0, 0.0
        for step, batch in enumerate(batches, 1):
            progress, rate = world.agree(schedule.progress, schedule.rate(self.recipe.rates[stage]))
            if progress >= 1:
                break
            optimiser.zero_grad(set_to_none=True)
            total += self.backward(batch)
            update(self.model, optimiser, self.ema, rate, self.recipe.clip, world)
            schedule.advance()
            seen += len(batch[0])
            if companion is not None:
                companion.follow(stage, progress, beside)
            if step % LOG_EVERY == 0:
                speed = world.size * seen / (schedule.seconds - start_s)
                more = {} if companion is None else companion.facts()
                self.log(**schedule.facts(), stage=stage, step=step, loss=total / LOG_EVERY, rate=rate, per_s=speed, **more)
                total = 0.0
            stop = world.any(self.interruption.requested)
            if stop or schedule.seconds - saved > SAVE_EVERY_S:
                self.checkpoint(stage, schedule, optimiser)
                saved = schedule.seconds
            if stop:
                self.interruption.leave(self.out / "last.pt", schedule.progress, world.first)
        self.checkpoint(stage + 1, None, optimiser)


def train_stages(
    recipe: StagedRecipe,
    model: nn.Module,
    backward: Callable[[Any], float],
    stream: Callable[[int], IterableDataset[Any]],
    out: Path,
    facts: Mapping[str, Any],
    session: Session,
    people: int,
    generators: Sequence[np.random.Generator] = (),
    companion: Companion | None = None,
    echo: bool = True,
    **described: Any,
) -> None:
    """Run or resume a training.

    Args:
        recipe: it is kept in the checkpoints.
        model: with its first weights; it moves to the session's device, in place.
        backward: takes a batch of the loader, leaves gradients in the model, returns the loss.
        stream: endless batches of a stage; the first field of a batch has its length.
        out: folder of the run.
        facts: further entries of ``best.pt``.
        session: device, processes, length, loader.
        people: samples of an epoch.
        generators: random numbers that ``backward`` draws from; they are kept, so that a resumed run goes on with them.
        companion: what learns beside the weights.
        echo: show the log on the terminal too.
        described: further entries of the first line of the log.

    Raises:
        ModelError: the folder holds a run of another network, or a torn checkpoint.
        SystemExit: a signal ended the run, after its checkpoint was written.
    """
    world = session.world
    out.mkdir(parents=True, exist_ok=True)
    log, model = Log(out / "log.jsonl", world.first, echo), session.compute.network(model)
    world.copy_from_first(model)
    beside = set() if companion is None else {id(p) for p in companion.parameters()}
    weights = [p for p in model.parameters() if id(p) not in beside]
    ema = EMA(model, exact=[name for name, p in model.named_parameters() if id(p) in beside])
    state = load_checkpoint(out / "last.pt")
    first, saved = 0, None
    if state is not None:
        for line in recipe_changes(state.get("recipe", {}), recipe, out / "last.pt"):
            log(resumed_with=line)
        load_weights(model, state["model"], out / "last.pt")
        ema.load(state["ema"], state["steps"])
        restore_random(state.get("random"), *generators, rank=world.rank)
        if companion is not None and state.get("companion") is not None:
            companion.load(state["companion"])
        first, saved = state["stage"], state.get("schedule")
        if saved is None and state.get("spent_s"):
            saved = {"spent_s": state["spent_s"]}  # checkpoints from before there were epochs
    log(parameters=sum(p.numel() for p in model.parameters()), stage=first, people=people, **described)
    length = session.length or recipe.length
    with Interruption() as interruption:
        run = _Run(recipe, model, ema, backward, facts, out, session, generators, log, interruption, companion)
        for stage in range(first, len(recipe.sizes)):
            optimiser = _optimiser(recipe, weights, stage)
            if state is not None and saved is not None:
                optimiser.load_state_dict(state["optimiser"])
            schedule = length.schedule(stage, recipe.plan_at(stage), max(1, people // recipe.batches[stage]), saved)
            run.stage(stage, optimiser, schedule, forever(_loader(stream(stage), session)))
            state = saved = None


def _optimiser(recipe: StagedRecipe, weights: Sequence[nn.Parameter], stage: int) -> torch.optim.Optimizer:
    rate, decay = recipe.rates[stage], recipe.weight_decay
    if recipe.optimiser == "adam":
        return torch.optim.Adam(weights, lr=rate)
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(weights, lr=rate, momentum=0.9, weight_decay=decay)
    return torch.optim.AdamW(parameter_groups(weights, decay), lr=rate)


def _loader(stream: IterableDataset[Any], session: Session) -> DataLoader[Any]:
    return DataLoader(
        stream,
        batch_size=None,
        num_workers=session.workers,
        prefetch_factor=4 if session.workers else None,
        pin_memory=session.compute.pin_memory,
        worker_init_fn=ignore_interrupts,
    )
