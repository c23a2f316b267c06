"""Train a spatial super-network: sandwich rule with in-place distillation (ViPNAS, sections 3.4.1 and 3.4.2).

    vipose train supernet --space fast-fused --pack PACK [PACK ...] --out RUN --minutes 35 25

Every batch goes through the biggest network, the smallest and some random ones, and their gradients are added up. The
biggest learns from the labels; the others from the labels and, with the same weight, from the biggest's answer (Yu and
Huang 2019; Yu et al. 2020). A search then looks at sub-networks without training them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vipose.models.data.people import Augmentation, PackedPeople
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.search.space import Space
from vipose.models.search.spaces import SPACES, space
from vipose.models.training.losses import heatmap_loss, soft_targets
from vipose.models.training.spatial import PeopleStream, load_network, normalise
from vipose.models.training.stages import train_stages

__all__ = ["SupernetRecipe", "main", "sandwich", "train"]


@dataclass(frozen=True)
class SupernetRecipe:
    """Everything that decides a run; ``random`` is the number of random sub-networks a batch."""

    space: str = "fast-fused"
    random: int = 2
    sizes: tuple[tuple[int, int], ...] = ((96, 128), (192, 256))
    minutes: tuple[float, ...] = (35.0, 25.0)
    batches: tuple[int, ...] = (64, 32)
    rates: tuple[float, ...] = (2e-3, 8e-4)
    weight_decay: float = 0.02
    sigma: float = 2.0
    sources: dict[str, float] = field(
        default_factory=lambda: {"coco": 3.0, "lspe": 0.45, "sports": 0.8, "voc2012": 1.5, "human": 1.5, "clip": 0.4}
    )
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0


def sandwich(space: Space, random: int, rng: np.random.Generator) -> list[Architecture]:
    """Descriptions of one batch, the biggest first, then the smallest, then random ones."""
    choices = [space.biggest, space.smallest, *(space.sample(rng) for _ in range(random))]
    return [space.architecture(choice) for choice in choices]


def sandwich_backward(
    whole: SuperNetwork, archs: list[Architecture], images: Tensor, target: Tensor, weight: Tensor, sigma: float
) -> float:
    """Add the gradients of all descriptions, the first of which teaches the others; returns the first one's loss.

    Args:
        whole: the super-network.
        archs: as :func:`sandwich` gives them.
        images: normalised [N, 3, H, W].
        target, weight: [N, K, h, w] distributions and [N, K].
        sigma: of the targets, in cells.
    """
    taught: Tensor | None = None
    first = 0.0
    for arch in archs:
        with torch.autocast("cpu", torch.bfloat16):
            out = whole(images, arch=arch)
        loss = heatmap_loss(arch, out, target if taught is None else taught, weight, sigma)
        torch.autograd.backward(loss)
        if taught is None:
            # Equal weights: cross-entropy and squared error against the mean of two targets are the mean of two losses, up to a constant.
            taught, first = (target + soft_targets(arch, out, sigma)) / 2, loss.item()
    return first


def start_from(whole: SuperNetwork, path: Path) -> None:
    """Put a trained network in its place; what is left is made small, so that it hardly disturbs what is there."""
    with torch.no_grad():
        for parameter in whole.parameters():
            if parameter.ndim == 4:
                parameter.mul_(0.3)
    whole.embed(load_network(path))


def train(
    recipe: SupernetRecipe, packs: list[Path], out: Path, workers: int = 1, threads: int = 2, start: Path | None = None
) -> None:
    """Run or resume; ``out/best.pt`` holds the averaged super-network, its space and its biggest description.

    Args:
        recipe: the run.
        packs: folders made by ``vipose train pack``; people of the validation split are left out.
        out: folder of the run.
        workers, threads: loader processes and torch threads.
        start: ``best.pt`` of a network that lies in the space, to begin with.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    people, searched = PackedPeople(packs), space(recipe.space)
    whole = SuperNetwork(searched.architecture(searched.biggest))
    if start is not None:
        start_from(whole, start)
    rng = np.random.default_rng(int(torch.initial_seed()) % 2**32)

    def backward(batch: tuple[Tensor, Tensor, Tensor]) -> float:
        images, target, weight = batch
        sigma = recipe.sigma * target.shape[-1] / 48
        return sandwich_backward(
            whole, sandwich(searched, recipe.random, rng), normalise(images), target, weight, sigma
        )

    facts = {"space": recipe.space, "arch": whole.biggest.to_json()}
    train_stages(
        recipe, whole, backward, lambda n: PeopleStream(people, recipe, n, held_out=True), out, facts, workers,
        people=len(people), space=recipe.space,
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default=SupernetRecipe.space, choices=SPACES, help="'vipose search spaces' shows them")
    parser.add_argument("--pack", type=Path, nargs="+", required=True, help="folders made by 'vipose train pack'")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an unfinished one is resumed")
    parser.add_argument("--start", type=Path, help="best.pt of a network inside the space, to begin with")
    parser.add_argument("--minutes", type=float, nargs=2, default=SupernetRecipe.minutes, help="per size")
    parser.add_argument("--random", type=int, default=SupernetRecipe.random, help="random sub-networks a batch")
    parser.add_argument("--workers", type=int, default=1, help="loader processes")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    args = parser.parse_args(argv)
    recipe = SupernetRecipe(space=args.space, random=args.random, minutes=tuple(args.minutes))
    train(recipe, args.pack, args.out, args.workers, args.threads, args.start)


if __name__ == "__main__":
    main()
