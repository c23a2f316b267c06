"""Teaches the fused stem to put out what Lite0's first five blocks put out (feature regression)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vipose.models.data.detection import AugmentConfig, Picture, Sampler
from vipose.models.networks.lite0 import IMAGENET_MEAN, IMAGENET_STD, FusedStem, Lite0Head, load_imagenet

__all__ = ["DistilConfig", "distil_stem", "normalised"]


@dataclass(frozen=True)
class DistilConfig:
    """Feature regression: ``steps`` batches of ``batch`` square crops of ``side`` pixels, one cycle of AdamW.

    ``rate`` is the largest learning rate, ``log_every`` the steps between two lines of the log.
    """

    steps: int = 2500
    batch: int = 16
    side: int = 160
    rate: float = 4e-3
    seed: int = 0
    log_every: int = 200


def normalised(images: npt.NDArray[np.uint8]) -> Tensor:
    """uint8 RGB [N, H, W, 3] to normalised float [N, 3, H, W], channels last in memory."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (x - mean) / std


def distil_stem(
    stem: FusedStem, pictures: Sequence[Picture], config: DistilConfig, log: Callable[[str], None] = print
) -> None:
    """Train ``stem`` in place against the ImageNet weights; the error is relative to the variance of each channel."""
    torch.manual_seed(config.seed)
    teacher = Lite0Head()
    load_imagenet(teacher)
    teacher.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    stem.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sampler = Sampler([pictures], [1.0], AugmentConfig(mosaic=0.2, zoom=(0.8, 3.0)), config.seed)
    optimiser = torch.optim.AdamW(stem.parameters(), config.rate, weight_decay=1e-4)
    start, shown = time.monotonic(), [0.0, 0.0]
    for step in range(config.steps):
        warm = min(1.0, (step + 1) / max(1, config.steps // 25))
        rate = config.rate * warm * (0.5 + 0.5 * math.cos(math.pi * step / config.steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        images = normalised(np.stack([sampler((config.side, config.side))[0] for _ in range(config.batch)]))
        with torch.no_grad():
            wanted = teacher(images)
        errors = [_relative_error(got, want) for got, want in zip(stem(images), wanted, strict=True)]
        optimiser.zero_grad()
        (0.3 * errors[0] + errors[1]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        shown = [a + float(e.detach()) for a, e in zip(shown, errors, strict=True)]
        if (step + 1) % config.log_every == 0:
            quarter, eighth = (v / config.log_every for v in shown)
            log(
                f"stem step {step + 1}/{config.steps}: unexplained variance {quarter:.3f} at 1/4, {eighth:.3f} at 1/8, "
                f"{time.monotonic() - start:.0f} s"
            )
            shown = [0.0, 0.0]


def _relative_error(got: Tensor, want: Tensor) -> Tensor:
    """Mean squared error over the channel's variance, averaged over channels: 0 = perfect, 1 = the mean."""
    variance = want.var((0, 2, 3)) + 1e-3
    return ((got - want).square().mean((0, 2, 3)) / variance).mean()
