"""What every training here shares: a budget in minutes, warm-up and cosine over it, EMA, checkpoints that resume.

The schedule follows the wall clock, not a step count: on a shared machine a run ends when its budget does, with its
learning rate at zero, however fast the machine happened to be.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

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
]


@dataclass
class Budget:
    """Progress through a run of ``minutes``; ``spent_s`` survives in the checkpoint."""

    minutes: float
    spent_s: float = 0.0

    def __post_init__(self) -> None:
        self._start = time.monotonic() - self.spent_s

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    @property
    def progress(self) -> float:
        """0..1."""
        return min(1.0, self.seconds / (60 * self.minutes))

    def rate(self, peak: float, warm: float = 0.02, floor: float = 0.01) -> float:
        """Learning rate now: linear warm-up over the share ``warm``, then a cosine down to ``floor`` x peak."""
        p = self.progress
        if p < warm:
            return peak * max(p / warm, 0.01)
        return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (p - warm) / (1 - warm))))


class EMA:
    """Exponential moving average of parameters and buffers; the decay warms up with the number of steps."""

    def __init__(self, model: nn.Module, decay: float = 0.9995) -> None:
        self.decay, self.steps = decay, 0
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (20 + self.steps))
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)


def channels_last(model: Module) -> Module:
    """The module with its kernels in channels-last memory (1.6 times as fast on a CPU), in place."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def parameter_groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels only, not on norms and biases."""
    heavy = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    light = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": heavy, "weight_decay": decay}, {"params": light, "weight_decay": 0.0}]


def save_checkpoint(path: Path, **content: Any) -> None:
    """Write beside and rename, so that an interruption never leaves half a file."""
    part = path.with_suffix(".part")
    torch.save(content, part)
    os.replace(part, path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """A checkpoint, or None where there is none."""
    return torch.load(path, map_location="cpu", weights_only=False) if path.exists() else None


class Log:
    """One JSON line an entry, to a file and to the terminal."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, **entry: float | str) -> None:
        line = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in entry.items()})
        with open(self.path, "a") as file:
            file.write(line + "\n")
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
