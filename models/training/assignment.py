"""Which cells answer for which person, and what they are then told: dynamic assignment and the detector's loss.

Assignment follows RTMDet's soft-label variant of SimOTA (Lyu et al. 2022; Ge et al. 2021): every person takes its
cheapest cells, as many as its best overlaps add up to. The score learns the IoU of the box that its cell predicts
(quality focal loss, Li et al. 2020), the box learns by generalised IoU (Rezatofighi et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Assignment", "LossConfig", "Targets", "assign", "box_iou", "detection_loss"]


@dataclass(frozen=True)
class Targets:
    """Padded labels of a batch: ``boxes`` [N, G, 4], ``valid`` [N, G] and ``ignored`` [N, M] (of cells)."""

    boxes: Tensor
    valid: Tensor
    ignored: Tensor


@dataclass(frozen=True)
class Assignment:
    """``person`` [N, M] int64: index of the cell's person, -1 for background."""

    person: Tensor


@dataclass(frozen=True)
class LossConfig:
    """``candidates``: overlaps that decide how many cells a person gets; ``radius``: cells around its centre, soft."""

    candidates: int = 10
    radius: float = 3.0
    box_weight: float = 2.0
    beta: float = 2.0


def box_iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes that broadcast against each other, [..., 4] each."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    union = (area_a + area_b - overlap).clamp(min=1e-6)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1).clamp(min=1e-6)
    iou = overlap / union
    return iou, iou - (hull - union) / hull


@torch.no_grad()
def assign(
    boxes: Tensor, logits: Tensor, centres: Tensor, strides: Tensor, targets: Targets, config: LossConfig
) -> Assignment:
    """Assign cells to people.

    Args:
        boxes: predicted, [N, M, 4]; logits: [N, M]; centres: [M, 2] and strides: [M] of the cells.
        targets: people of each picture.
        config: see :class:`LossConfig`.
    """
    n, m = logits.shape
    people = targets.boxes.shape[1]
    if people == 0:
        return Assignment(torch.full((n, m), -1, dtype=torch.long))
    wanted = targets.boxes.unsqueeze(2)
    iou, _ = box_iou(wanted, boxes.unsqueeze(1))
    x, y = centres[:, 0], centres[:, 1]
    inside = (x > wanted[..., 0]) & (x < wanted[..., 2]) & (y > wanted[..., 1]) & (y < wanted[..., 3])
    middle = (wanted[..., :2] + wanted[..., 2:]) / 2
    distance = (centres - middle).norm(dim=-1) / strides
    # A person smaller than a cell may hold no centre: the nearest cells of the finest level stand in.
    eligible = (inside | (distance < 1.0)) & targets.valid.unsqueeze(2)
    score = logits.unsqueeze(1)
    quality = functional.binary_cross_entropy_with_logits(score.expand_as(iou), iou, reduction="none")
    cost = quality * (iou - score.sigmoid()).abs().pow(config.beta)
    cost += 10 ** (distance - config.radius) - 3 * (iou + 1e-7).log()
    cost = cost.masked_fill(~eligible, 1e8)
    count = (iou * eligible).topk(min(config.candidates, m), -1).values.sum(-1).int().clamp(min=1)
    order = cost.topk(min(config.candidates, m), -1, largest=False)
    taken = torch.arange(order.indices.shape[-1]) < count.unsqueeze(-1)
    taken &= order.values < 1e7
    matched = torch.full_like(cost, 1e9).scatter(2, order.indices, torch.where(taken, order.values, 1e9))
    best, person = matched.min(1)
    return Assignment(torch.where(best < 1e7, person, -1))


def detection_loss(
    boxes: Tensor, logits: Tensor, assignment: Assignment, targets: Targets, config: LossConfig
) -> tuple[Tensor, dict[str, float]]:
    """Loss of a batch, and its parts for the log. Shapes as in :func:`assign`."""
    person = assignment.person
    positive = person >= 0
    quality = torch.zeros_like(logits)
    box_loss = boxes.sum() * 0
    if bool(positive.any()):
        row, cell = positive.nonzero(as_tuple=True)
        wanted = targets.boxes[row, person[row, cell]]
        iou, generalised = box_iou(boxes[row, cell], wanted)
        quality[row, cell] = iou.detach()
        weight = iou.detach().clamp(min=0.05)
        box_loss = ((1 - generalised) * weight).sum() / weight.sum()
    scale = (logits.detach().sigmoid() - quality).abs().pow(config.beta)
    score_loss = functional.binary_cross_entropy_with_logits(logits, quality, reduction="none") * scale
    score_loss = (score_loss * (positive | ~targets.ignored)).sum() / quality.sum().clamp(min=1)
    loss = score_loss + config.box_weight * box_loss
    mean_iou = float(quality.sum() / positive.sum().clamp(min=1))
    parts = {"score": float(score_loss.detach()), "box": float(box_loss.detach()), "iou": mean_iou}
    return loss, parts
