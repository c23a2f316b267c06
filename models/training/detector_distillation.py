"""What the detector learns from another one: its score and its box at every cell, on the very same augmented pictures.

Few pictures have labels by people. A teacher answers everywhere, in mosaics and behind things too, and says how sure it is:
a denser supervision than boxes (Hinton et al. 2015; for detectors, Zheng et al. 2022, "Localization Distillation").
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from vipose.models.training.assignment import LossConfig, box_iou

__all__ = ["Answers", "distillation_loss"]

LEAST_SCORE = 0.05  # what the teacher is less sure of is background: its boxes teach nothing


@dataclass(frozen=True)
class Answers:
    """What a teacher says to a batch: ``boxes`` [N, M, 4] (x0 y0 x1 y1, input pixels) and ``scores`` [N, M] in 0..1."""

    boxes: Tensor
    scores: Tensor


def distillation_loss(
    boxes: Tensor, logits: Tensor, answers: Answers, config: LossConfig
) -> tuple[Tensor, dict[str, float]]:
    """Quality focal loss towards the teacher's scores, generalised IoU towards its boxes weighted by them.

    Args:
        boxes: predicted, [N, M, 4]; logits: [N, M].
        answers: of a network with the same cells.
        config: weights as of the loss with labels.

    Returns:
        The loss, and its parts for the log.
    """
    wanted = answers.scores
    scale = (logits.detach().sigmoid() - wanted).abs().pow(config.beta)
    score_loss = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * scale
    sure = wanted >= LEAST_SCORE
    weight = wanted[sure]
    # A thousand cells of background would outweigh the people, were their small scores counted in.
    score_loss = score_loss.sum() / weight.sum().clamp(min=1)
    box_loss = boxes.sum() * 0
    if len(weight):
        _, generalised = box_iou(boxes[sure], answers.boxes[sure])
        box_loss = ((1 - generalised) * weight).sum() / weight.sum()
    loss = score_loss + config.box_weight * box_loss
    return loss, {"taught_score": float(score_loss.detach()), "taught_box": float(box_loss.detach())}
