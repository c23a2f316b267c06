"""Propagation over frames, shared by every training of T-ViPNets (ViPNAS, Xu et al. 2021, equations 1 and 2).

The S-ViPNet is fixed. It gives the heatmaps of frame 0; the network of frame t gets the picture of frame t and the heatmaps
that the network of frame t - 1 really put out, warped by the very call of the runtime. No gradient flows through the
heatmaps (the runtime has none either), so every frame is a graph of its own: its gradients are added up at once, and its
memory is free before the next one begins.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from vipose.models.data.people import PackedPeople
from vipose.models.data.sequences import Clips, Sequence2D, carry, clip_sequence, still_sequence
from vipose.models.data.split import training_probability
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork
from vipose.models.training.checkpoint import draw_seed, load_checkpoint
from vipose.models.training.device import CPU, Compute
from vipose.models.training.losses import heatmap_loss, soft_targets
from vipose.models.training.recipe import SOURCES, StagedRecipe, last_size
from vipose.models.training.spatial import load_network
from vipose.runtime.codec import sigma_at

__all__ = [
    "Frames",
    "SequenceBatch",
    "SequenceRecipe",
    "SequenceStream",
    "blend",
    "carry_all",
    "key_frame",
    "load_spatial",
    "of_stages",
    "propagate_backward",
    "stages_of",
    "trained_size",
]

KNOWN = 0.1
"""Joints with a smaller weight are known to nobody: only another network's answer teaches them."""
LEAST = 0.25
"""Weight of such a joint: the T-ViPNets must stay in step with the key-frame network where labels are silent."""

Run = Callable[[int, Tensor, Tensor], Tensor]
"""Frame number 1..T, normalised image [N, 3, H, W] and prior [N, K, h, w] to what a network puts out."""


@dataclass(frozen=True, kw_only=True)
class SequenceRecipe(StagedRecipe):
    """What recipes over several frames have beside sizes, rates and the like.

    Attributes:
        T: propagated frames of a sequence.
        clip_share: of the sequences that are cut from clips, where there are any; the others are stills.
        spatial_share: of the S-ViPNet's answer in the targets.
    """

    T: int = 3
    clip_share: float = 0.5
    spatial_share: float = 0.5
    sources: dict[str, float] = field(default_factory=lambda: {**SOURCES, "lspe": 0.6})


class SequenceBatch(NamedTuple):
    """Sequences stacked, the fields of :class:`~vipose.models.data.sequences.Sequence2D`.

    Attributes:
        images: [N, T + 1, H, W, 3] uint8.
        distribution: [N, T, K, h, w], targets of frames 1..T: distributions, or proportional to them.
        weight: [N, T, K].
        warp: [N, T, 2, 3] float64, heatmap cells of a frame to cells of the next.
        shift: [N, T, K, 2] float32, by how many cells a warped prior is displaced on purpose.
        keep: [N, T, K], 0 where the prior of a joint is dropped.
    """

    images: Tensor
    distribution: Tensor
    weight: Tensor
    warp: Tensor
    shift: Tensor
    keep: Tensor


class SequenceStream(IterableDataset[SequenceBatch]):
    """Endless batches of sequences of T + 1 frames; every frame of a sequence is augmented alike.

    Args:
        people: stills, shown under a drifting camera.
        clips: moving people; None for stills only.
        recipe: of the run.
        stage: which of its sizes and batches.
        held_out: leave the people of the validation split out.
        share: processes that share a batch.
    """

    def __init__(
        self,
        people: PackedPeople,
        clips: Clips | None,
        recipe: SequenceRecipe,
        stage: int,
        held_out: bool = False,
        share: int = 1,
    ) -> None:
        self.people, self.clips, self.recipe, self.stage = people, clips, recipe, stage
        self.batch = max(1, recipe.batches[stage] // share)
        weights = training_probability if held_out else PackedPeople.weights
        self.probability = weights(people, recipe.sources)
        self.spec, self.scale = recipe.target_at(stage)

    def __iter__(self) -> Iterator[SequenceBatch]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng([self.recipe.seed, self.stage, draw_seed()])
        while True:
            samples = [self.sample(rng) for _ in range(self.batch)]
            fields = (np.stack([getattr(s, name) for s in samples]) for name in SequenceBatch._fields)
            batch = SequenceBatch(*map(torch.from_numpy, fields))
            yield batch._replace(distribution=batch.distribution * self.scale)

    def sample(self, rng: np.random.Generator) -> Sequence2D:
        """One augmented sequence, of a clip or of a still."""
        recipe, size = self.recipe, self.recipe.sizes[self.stage]
        frames, strength = recipe.T + 1, recipe.augmentation
        if self.clips is not None and rng.random() < recipe.clip_share:
            return clip_sequence(self.clips, self.clips.window(frames, rng), size, self.spec, strength, rng)
        row = int(rng.choice(len(self.people), p=self.probability))
        return still_sequence(self.people, row, frames, size, self.spec, strength, rng)


@dataclass(frozen=True)
class Frames:
    """A batch as the T-ViPNets see it, made once a batch however many networks learn from it.

    Attributes:
        batch: what it was made from.
        images: normalised [N, T + 1, 3, H, W].
        prior: [N, K, h, w], what every network of frame 1 gets: the S-ViPNet's heatmaps of frame 0, carried.
        answers: [N, T + 1, K, h, w], the S-ViPNet's own answers as distributions.
        sigma: of the targets, in cells.
    """

    batch: SequenceBatch
    images: Tensor
    prior: Tensor
    answers: Tensor
    sigma: float


def peak(sigma: float) -> float:
    """Heatmaps are distributions times this: a sure joint peaks near 1. ``sigma`` in cells."""
    return 2 * math.pi * sigma**2


def carry_all(heatmaps: Tensor, warp: Tensor, shift: Tensor, keep: Tensor) -> Tensor:
    """Heatmaps [N, K, h, w] of a frame as priors of the next, warped as in the runtime, then spoilt; without gradient.

    Args:
        heatmaps: of any device and dtype; the result is float32 and lies beside them.
        warp: [N, 2, 3] cells to cells.
        shift: [N, K, 2] cells.
        keep: [N, K].
    """
    arrays = (x.detach().cpu().numpy() for x in (heatmaps.float(), warp, shift, keep))
    carried = [carry(*row) for row in zip(*arrays, strict=True)]
    return torch.from_numpy(np.stack(carried)).to(heatmaps.device)


@torch.no_grad()
def key_frame(spatial: PoseNetwork, batch: SequenceBatch, sigma: float, compute: Compute = CPU) -> Frames:
    """Run the S-ViPNet over all frames of a batch at once.

    Args:
        spatial: frozen, in evaluation mode, on the device.
        batch: as the loader gives it; what goes into networks and losses moves to the device.
        sigma: of the targets at 256 pixels of height, in cells.
        compute: where and in which precision.
    """
    count, frames = batch.images.shape[:2]
    sigma = sigma_at(sigma, batch.images.shape[2])
    pictures = compute.images(batch.images.flatten(0, 1))
    with compute.autocast():
        out = spatial(pictures)
    answers = soft_targets(spatial.arch, out, sigma)
    answers = answers.view(count, frames, *answers.shape[1:])
    distribution, weight = compute.move(batch.distribution, batch.weight)
    batch = batch._replace(distribution=distribution, weight=weight)
    prior = carry_all(answers[:, 0] * peak(sigma), batch.warp[:, 0], batch.shift[:, 0], batch.keep[:, 0])
    by_frame = torch.unflatten(pictures, 0, (count, frames))
    return Frames(batch, by_frame, prior, answers, sigma)


def blend(label: Tensor, answer: Tensor, weight: Tensor, share: float) -> Tensor:
    """Labels and another network's answer as one target.

    The loss against the mean of two targets is the mean of two losses, up to a constant, for cross-entropy and squared error.

    Args:
        label, answer: [N, K, h, w] distributions.
        weight: [N, K]; where nobody knows a joint the answer stands alone.
        share: of the answer elsewhere.
    """
    part = torch.where(weight > KNOWN, share, 1.0)[..., None, None]
    return (1 - part) * label + part * answer


def propagate_backward(
    archs: Sequence[Architecture], run: Run, frames: Frames, teacher: Tensor, share: float, compute: Compute = CPU
) -> tuple[float, Tensor]:
    """Propagate through one network a frame, and add the gradients of the summed losses (equation 1).

    Args:
        archs: of the networks of frames 1..T.
        run: runs the network of a frame.
        frames: the batch.
        teacher: [N, T + 1, K, h, w], the distributions that teach beside the labels.
        share: of the teacher in the target.
        compute: where and in which precision.

    Returns:
        The mean loss of a frame, and the answers as distributions [N, T + 1, K, h, w], without gradient; frame 0's are the
        teacher's.
    """
    batch, total, answers, prior = frames.batch, 0.0, [teacher[:, 0]], frames.prior
    for t, arch in enumerate(archs, 1):
        if t > 1:
            heatmaps = answers[-1] * peak(frames.sigma)
            prior = carry_all(heatmaps, batch.warp[:, t - 1], batch.shift[:, t - 1], batch.keep[:, t - 1])
        with compute.autocast():
            out = run(t, frames.images[:, t], prior)
        weight = batch.weight[:, t - 1]
        target = blend(batch.distribution[:, t - 1], teacher[:, t], weight, share)
        loss = heatmap_loss(arch, out, target, weight.clamp(min=LEAST), frames.sigma)
        torch.autograd.backward(loss)
        total += loss.item()
        answers.append(soft_targets(arch, out, frames.sigma))
    return total / len(archs), torch.stack(answers, 1)


def load_spatial(path: Path, compute: Compute = CPU) -> PoseNetwork:
    """A trained S-ViPNet from ``best.pt`` of its run, frozen, on the device."""
    return compute.network(load_network(path).requires_grad_(False))


def trained_size(path: Path) -> tuple[int, int]:
    """Width, height of the crops that an S-ViPNet was trained on last.

    It is of no use at others: half the size puts its heatmaps anywhere, and T-ViPNets would learn to distrust them.
    """
    recipe = (load_checkpoint(path) or {}).get("recipe", {})
    return last_size(recipe) if recipe.get("sizes") else (192, 256)


def of_stages(keys: Sequence[PoseNetwork], sizes: Sequence[tuple[int, int]]) -> dict[tuple[int, int], PoseNetwork]:
    """The S-ViPNet of every size: one a stage, or the last of them for further stages."""
    return {size: keys[min(stage, len(keys) - 1)] for stage, size in enumerate(sizes)}


def stages_of(argv: Sequence[str] | None, fresh: int = 1) -> tuple[int, bool]:
    """What a command line says about stages, read before the options that need one figure a stage.

    Args:
        argv: of the command line.
        fresh: stages at least where there is nothing to start from.

    Returns:
        How many stages there are, one for each S-ViPNet at least, and whether ``--start`` is given.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--spatial", nargs="*", default=[])
    parser.add_argument("--start")
    known, _ = parser.parse_known_args(argv)
    return max(len(known.spatial), 1 if known.start else fresh), known.start is not None
