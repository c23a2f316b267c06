"""Train a spatial super-network: sandwich rule with in-place distillation (ViPNAS, sections 3.4.1 and 3.4.2).

    vipose train supernet --space fast-fused --pack PACK [PACK ...] --out RUN --minutes 35 25

Every batch goes through the biggest network, the smallest and some random ones, and their gradients are added up. The
biggest learns from the labels; the others from the labels and, with the same weight, from the biggest's answer (Yu and
Huang 2019; Yu et al. 2020). A search then looks at sub-networks without training them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vipose.models.arguments import Parser
from vipose.models.data.augment import AUGMENTATIONS
from vipose.models.data.people import PackedPeople
from vipose.models.data.targets import TargetSpec
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.networks.initialise import initialise_as_published
from vipose.models.search.space import Space
from vipose.models.search.spaces import SPACES, elastic_space
from vipose.models.training.device import CPU, Compute
from vipose.models.training.losses import heatmap_loss, soft_targets
from vipose.models.training.recipe import PAPER_SOURCES, StagedRecipe
from vipose.models.training.schedule import VIPNAS_S_SUPER
from vipose.models.training.session import Session, add_session, session
from vipose.models.training.spatial import PeopleStream, check_joints, load_network
from vipose.models.training.stages import train_stages
from vipose.runtime.codec import sigma_at
from vipose.runtime.errors import UsageError

__all__ = ["PAPER", "SupernetRecipe", "main", "sandwich", "sandwich_backward", "train"]


@dataclass(frozen=True, kw_only=True)
class SupernetRecipe(StagedRecipe):
    """Everything that decides a run; ``random`` is the number of random sub-networks a batch."""

    space: str = "fast-fused"
    random: int = 2
    minutes: tuple[float, ...] = (40.0, 20.0)
    rates: tuple[float, ...] = (2e-3, 8e-4)


PAPER = SupernetRecipe(
    sizes=((192, 256),),
    minutes=(600.0,),
    epochs=(VIPNAS_S_SUPER.epochs,),
    batches=(512,),
    rates=(VIPNAS_S_SUPER.rate,),
    plan=VIPNAS_S_SUPER,
    optimiser="adam",
    clip=float("inf"),
    target=TargetSpec("gaussian", unbiased=False),
    sources=PAPER_SOURCES,
    augmentation=AUGMENTATIONS["vipnas"],
    published_start=True,
)
"""ViPNAS, section 4.2. Its batch and optimiser are not printed: those of the published networks are taken."""


def sandwich(space: Space, random: int, rng: np.random.Generator) -> list[Architecture]:
    """Descriptions of one batch, the biggest first, then the smallest, then random ones."""
    choices = [space.biggest, space.smallest, *(space.sample(rng) for _ in range(random))]
    return [space.architecture(choice) for choice in choices]


def sandwich_backward(
    whole: SuperNetwork,
    archs: list[Architecture],
    images: Tensor,
    target: Tensor,
    weight: Tensor,
    sigma: float,
    compute: Compute = CPU,
) -> float:
    """Add the gradients of all descriptions, the first of which teaches the others; returns the first one's loss.

    Args:
        whole: the super-network.
        archs: as :func:`sandwich` gives them.
        images: normalised [N, 3, H, W].
        target, weight: [N, K, h, w] distributions and [N, K].
        sigma: of the targets, in cells.
        compute: where and in which precision.
    """
    taught: Tensor | None = None
    first = 0.0
    for arch in archs:
        with compute.autocast():
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
    recipe: SupernetRecipe, packs: list[Path], out: Path, session: Session | None = None, start: Path | None = None
) -> None:
    """Run or resume; ``out/best.pt`` holds the averaged super-network, its space and its biggest description.

    Args:
        recipe: the run.
        packs: folders made by ``vipose train pack``; people of the validation split are left out.
        out: folder of the run.
        session: device, processes, length, loader.
        start: ``best.pt`` of a network that lies in the space, to begin with.

    Raises:
        InputError, ModelError: packs or checkpoints are not there, torn, or of another space.
    """
    session = session or Session()
    torch.manual_seed(session.world.seed(recipe.seed))
    people, searched, compute = PackedPeople(packs), elastic_space(recipe.space), session.compute
    whole = SuperNetwork(searched.architecture(searched.biggest))
    check_joints(whole.biggest, people)
    if start is not None:
        start_from(whole, start)
    elif recipe.published_start:
        initialise_as_published(whole.network)
    rng = np.random.default_rng(recipe.seed)  # the same sub-networks in all processes

    def backward(batch: tuple[Tensor, Tensor, Tensor]) -> float:
        target, weight = compute.move(*batch[1:])
        sigma = sigma_at(recipe.sigma, batch[0].shape[1])
        drawn = sandwich(searched, recipe.random, rng)
        return sandwich_backward(whole, drawn, compute.images(batch[0]), target, weight, sigma, compute)

    def stream(stage: int) -> PeopleStream:
        return PeopleStream(people, recipe, stage, held_out=True, share=session.world.size)

    facts = {"space": recipe.space, "arch": whole.biggest.to_json()}
    train_stages(recipe, whole, backward, stream, out, facts, session, len(people), (rng,), space=recipe.space)


RECIPES = {"vipose": SupernetRecipe(), "paper": PAPER}


def main(argv: list[str] | None = None) -> None:
    choice = Parser(add_help=False)
    choice.add_argument("--space", default=SupernetRecipe.space, choices=SPACES, help="'vipose search spaces' shows them")
    choice.add_argument("--recipe", choices=RECIPES, help="default: 'paper' for paper-*, 'vipose' for fast-*")
    known = choice.parse_known_args(argv)[0]
    recipe = RECIPES[known.recipe or ("paper" if known.space.startswith("paper-") else "vipose")]
    parser = Parser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[choice]
    )
    parser.add_argument("--pack", type=Path, nargs="+", required=True, help="folders made by 'vipose train pack'")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an unfinished one is resumed")
    parser.add_argument("--start", type=Path, help="best.pt of a network inside the space, to begin with")
    parser.add_argument("--random", type=int, default=recipe.random, help="random sub-networks a batch (%(default)s)")
    shown = " ".join(map(str, recipe.batches))
    parser.add_argument("--batch", type=int, metavar="N", help=f"samples a step, of all processes together ({shown})")
    add_session(parser, recipe.length)
    args = parser.parse_args(argv)
    searched = elastic_space(args.space)
    if searched.architecture(searched.biggest).output == "logits" and recipe.target.kind == "gaussian":
        raise UsageError(f"recipe 'paper' is for networks that put out heatmaps; those of '{args.space}' put out logits")
    with session(args) as here:
        recipe = replace(recipe, space=args.space, random=args.random).lasting(here.length).with_batch(args.batch)
        train(recipe, args.pack, args.out, here, args.start)


if __name__ == "__main__":
    main()
