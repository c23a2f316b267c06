"""Parts that every training here shares: averaged weights, the step after the gradients, the log, the loss of logits.

Schedules, checkpoints, devices, several processes and interruptions have modules of their own in this package.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vipose.models.training.checkpoint import load_checkpoint, save_checkpoint
from vipose.models.training.distributed import ALONE, World
from vipose.models.training.schedule import Budget
from vipose.runtime.errors import OutputError

Module = TypeVar("Module", bound=nn.Module)

__all__ = [
    "EMA",
    "Budget",
    "Log",
    "channels_last",
    "cross_entropy",
    "forever",
    "load_checkpoint",
    "parameter_groups",
    "save_checkpoint",
    "update",
]


class EMA:
    """Exponential moving average of parameters and buffers; the decay warms up with the number of steps.

    Args:
        model: whose first values it begins with.
        decay: share of the average that a step leaves.
        exact: names of parameters that are not averaged; :meth:`take_exact` brings their last values.
    """

    def __init__(self, model: nn.Module, decay: float = 0.9995, exact: Collection[str] = ()) -> None:
        self.decay, self.steps, self.exact = decay, 0, frozenset(exact)
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (20 + self.steps))
        averages, values = [], []
        for key, value in model.state_dict().items():
            if key in self.exact:
                continue
            if value.is_floating_point():
                averages.append(self.state[key])
                values.append(value)
            else:
                self.state[key].copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)  # one call for all; a lerp_ each costs three times as much

    @torch.no_grad()
    def take_exact(self, model: nn.Module) -> None:
        """Copy what is not averaged; whoever looks at the average calls this before."""
        if self.exact:
            state = model.state_dict()
            for key in self.exact:
                self.state[key].copy_(state[key])

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor], steps: int) -> None:
        """Go on with the average of a checkpoint, on the device where this one is."""
        for key, value in self.state.items():
            value.copy_(state[key])
        self.steps = steps


def channels_last(model: Module) -> Module:
    """The module with its kernels in channels-last memory (1.6 times as fast on a CPU), in place."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def parameter_groups(parameters: nn.Module | Iterable[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels only, not on norms and biases."""
    wanted = list(parameters.parameters() if isinstance(parameters, nn.Module) else parameters)
    heavy = [p for p in wanted if p.requires_grad and p.ndim > 1]
    light = [p for p in wanted if p.requires_grad and p.ndim <= 1]
    return [{"params": heavy, "weight_decay": decay}, {"params": light, "weight_decay": 0.0}]


def update(
    model: nn.Module, optimiser: torch.optim.Optimizer, ema: EMA, rate: float, clip: float, world: World = ALONE
) -> None:
    """What follows the gradients in every step: mean over processes, clipping, optimiser, average.

    Args:
        model: its parameters hold gradients.
        optimiser: a group with an entry ``factor`` learns at ``factor`` times the rate.
        ema: of the model.
        rate: learning rate of this step, the same in all processes.
        clip: largest norm of all gradients together.
        world: the processes that train together.
    """
    world.average_gradients(model.parameters())
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)
    optimiser.step()
    ema.update(model)


class Log:
    """One JSON line an entry, to a file and, with ``echo``, to the terminal; ``enabled`` is false in all processes but one."""

    def __init__(self, path: Path, enabled: bool = True, echo: bool = True) -> None:
        self.path, self.enabled, self.echo = path, enabled, echo

    def __call__(self, **entry: float | str) -> None:
        if not self.enabled:
            return
        line = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in entry.items()})
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise OutputError(
                f"'{self.path}' cannot be written: {error.strerror}; make room and start again"
            ) from error
        if self.echo:
            print(line, flush=True)


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of a softmax over positions, mean over joints by weight.

    Args:
        logits: [N, K, h, w].
        target: [N, K, h, w], each joint sums to 1.
        weight: [N, K].
    """
    n, k = weight.shape
    log_probability = torch.log_softmax(logits.float().reshape(n, k, -1), -1)
    loss = -(target.reshape(n, k, -1) * log_probability).sum(-1)
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def forever(loader: Any) -> Iterator[Any]:
    """The batches of a loader, again and again."""
    while True:
        yield from loader
