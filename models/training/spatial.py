"""Train an S-ViPNet: cross-entropy over positions on people's labels and teacher heatmaps, small pictures first.

    python -m vipose.models.training.spatial --pack PACK [PACK ...] --out RUN --minutes 37 70

The figures of ``--minutes`` are spent at 128x96 and 256x192; each has its own warm-up and cosine.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from vipose.models.data.people import Augmentation, PackedPeople, random_view, render, targets
from vipose.models.data.split import training_probability
from vipose.models.data.teacher import MEAN, STD
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.registry import architecture_from_json, build
from vipose.models.training.losses import heatmap_loss
from vipose.models.training.stages import train_stages

__all__ = ["PeopleStream", "SpatialRecipe", "load_network", "main", "normalise", "train"]


SPATIAL = FusedArch(stem=16, widths=(32, 64, 128, 192), depths=(0, 1, 2, 2), head=64)


@dataclass(frozen=True)
class SpatialRecipe:
    """Everything that decides a run, kept in its checkpoint and in the card.

    ``sizes``, ``minutes``, ``batches`` and ``rates`` go together, one entry a stage; sizes are width, height, multiples of 32.
    """

    arch: Architecture = SPATIAL
    sizes: tuple[tuple[int, int], ...] = ((96, 128), (192, 256))
    minutes: tuple[float, ...] = (37.0, 70.0)
    batches: tuple[int, ...] = (64, 32)
    rates: tuple[float, ...] = (2e-3, 1e-3)
    weight_decay: float = 0.02
    sigma: float = 2.0
    sources: dict[str, float] = field(
        default_factory=lambda: {"coco": 3.0, "lspe": 0.45, "sports": 0.8, "voc2012": 1.5, "human": 1.5, "clip": 0.4}
    )
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0



class PeopleRecipe(Protocol):
    """What a recipe must say about its samples."""

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def batches(self) -> tuple[int, ...]: ...
    @property
    def sigma(self) -> float: ...
    @property
    def sources(self) -> dict[str, float]: ...
    @property
    def augmentation(self) -> Augmentation: ...
    @property
    def seed(self) -> int: ...


class PeopleStream(IterableDataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Endless batches: crops uint8 [B, H, W, 3], targets [B, 17, h, w], weights [B, 17].

    ``held_out`` leaves the people of the validation split out.
    """

    def __init__(self, people: PackedPeople, recipe: PeopleRecipe, stage: int, held_out: bool = False) -> None:
        self.people, self.recipe, self.stage = people, recipe, stage
        weights = training_probability if held_out else PackedPeople.weights
        self.probability = weights(people, recipe.sources)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        info = get_worker_info()
        cv2.setNumThreads(1)
        # Fresh numbers after a resume: the seed mixes in entropy of the worker that torch derives from its own.
        rng = np.random.default_rng([self.recipe.seed, self.stage, info.seed if info else 0])
        while True:
            rows = rng.choice(len(self.people), self.recipe.batches[self.stage], p=self.probability)
            samples = [self.sample(int(row), rng) for row in rows]
            yield tuple(torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True))  # type: ignore[misc]

    def sample(self, row: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
        size = self.recipe.sizes[self.stage]
        heatmap = (size[0] // 4, size[1] // 4)
        gt, box = self.people.gt[row], self.people.boxes[row]
        labelled = np.flatnonzero(gt[:, 2] > 0)
        known = np.column_stack([gt[labelled, :2], labelled]).astype(np.float32)
        view = random_view(box, known, size, self.recipe.augmentation, rng)
        image = render(self.people.images[row], view, size, self.recipe.augmentation, rng)
        sigma = self.recipe.sigma * size[0] / 192  # the same spread on the person at every size
        target = targets(gt, self.people.teacher(row), box, view, size, heatmap, sigma)
        return image, target.distribution, target.weight


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 [N, H, W, 3] to normalised float [N, 3, H, W] in channels-last memory."""
    x = (images.float() - torch.from_numpy(MEAN)) / torch.from_numpy(STD)
    return x.permute(0, 3, 1, 2)


def train(
    recipe: SpatialRecipe, packs: list[Path], out: Path, workers: int = 1, threads: int = 2, start: Path | None = None
) -> None:
    """Run or resume; ``out/last.pt`` holds everything, ``out/best.pt`` the averaged weights.

    Args:
        recipe: the run.
        packs: folders made by ``vipose train pack``.
        out: folder of the run.
        workers, threads: loader processes and torch threads.
        start: ``best.pt`` of another run of the same architecture to begin with.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    people, model = PackedPeople(packs), build(recipe.arch)
    if start is not None:
        model.load_state_dict(load_network(start).state_dict())

    def backward(batch: tuple[Tensor, Tensor, Tensor]) -> float:
        images, target, weight = batch
        with torch.autocast("cpu", torch.bfloat16):
            heatmaps = model(normalise(images))
        loss = heatmap_loss(recipe.arch, heatmaps, target, weight, recipe.sigma * target.shape[-1] / 48)
        torch.autograd.backward(loss)
        return loss.item()

    facts = {"arch": recipe.arch.to_json()}
    train_stages(recipe, model, backward, lambda n: PeopleStream(people, recipe, n), out, facts, workers, people=len(people))


def load_network(path: Path) -> PoseNetwork:
    """The network of ``best.pt`` of a run, with its averaged weights, in evaluation mode."""
    state = torch.load(path, map_location="cpu", weights_only=False)
    network = build(architecture_from_json(state["arch"]))
    network.load_state_dict(state["state_dict"])
    return network.eval()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, nargs="+", required=True, help="folders made by 'vipose train pack'")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an unfinished one is resumed")
    parser.add_argument("--start", type=Path, help="best.pt of another run of the same architecture to begin with")
    parser.add_argument("--minutes", type=float, nargs=2, default=SpatialRecipe.minutes, help="per size")
    parser.add_argument("--workers", type=int, default=1, help="loader processes")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    args = parser.parse_args(argv)
    train(SpatialRecipe(minutes=tuple(args.minutes)), args.pack, args.out, args.workers, args.threads, args.start)


if __name__ == "__main__":
    main()
