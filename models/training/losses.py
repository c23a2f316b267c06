"""Losses of heatmaps: cross-entropy over positions for logits, mean squared error for heatmaps, and distillation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vipose.models.networks.architecture import Architecture
from vipose.models.training.loop import cross_entropy

__all__ = ["heatmap_loss", "soft_targets", "squared_error"]


def squared_error(heatmaps: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over batch, joints and positions of weight x (prediction - target)^2 (mmpose's loss of ViPNAS, no factor 0.5).

    Args:
        heatmaps, target: [N, K, h, w].
        weight: [N, K].
    """
    return ((heatmaps.float() - target).square() * weight[..., None, None]).mean()


def heatmap_loss(arch: Architecture, out: Tensor, target: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """The loss that fits what a network puts out.

    Args:
        arch: says whether ``out`` [N, K, h, w] are logits or heatmaps.
        target: [N, K, h, w] distributions over positions (each joint sums to 1); times 2 pi sigma^2 they are heatmaps.
        weight: [N, K].
        sigma: of the targets, in cells.
    """
    if arch.output == "logits":
        return cross_entropy(out, target, weight)
    return squared_error(out, target * (2 * math.pi * sigma**2), weight)


def soft_targets(arch: Architecture, out: Tensor, sigma: float) -> Tensor:
    """A network's answer [N, K, h, w] as a target for others, without gradient: distributions as ``heatmap_loss`` takes them."""
    out = out.detach().float()
    if arch.output == "logits":
        return torch.softmax(out.flatten(2), -1).view_as(out)
    return out / (2 * math.pi * sigma**2)
