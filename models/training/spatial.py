"""Train a spatial network: from people's labels and teacher heatmaps, small crops first.

    vipose train s-vipnas --pack PACK [PACK ...] --out RUN --minutes 37 70
    vipose train s-vipnas --start FOUND.pt --pack PACK [PACK ...] --out RUN --minutes 0 60
    vipose train s-vipnas --arch s-vipnas-mbv3 --recipe published --pack PACK [PACK ...] --out RUN

Recipe 'vipose' (cross-entropy over positions for networks that put out logits, AdamW) spends minutes at 128x96 and 256x192, each
with its own warm-up and cosine. Recipe 'published' is that of the published S-ViPNAS networks: 256x192 only, Gaussians and mean squared error,
Adam, 210 epochs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from vipose.models.arguments import Parser
from vipose.models.data.augment import AUGMENTATIONS
from vipose.models.data.people import PackedPeople, random_view, render, targets
from vipose.models.data.split import training_probability
from vipose.models.data.targets import TargetSpec
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.initialise import initialise_as_published
from vipose.models.networks.named import read_architecture
from vipose.models.networks.registry import architecture_from_json, build
from vipose.models.training.checkpoint import draw_seed, load_checkpoint, load_weights
from vipose.models.training.losses import heatmap_loss
from vipose.models.training.recipe import PAPER_SOURCES, StagedRecipe
from vipose.models.training.schedule import MMPOSE
from vipose.models.training.session import Session, add_session, session
from vipose.models.training.stages import train_stages
from vipose.runtime.errors import InputError, ModelError, UsageError

__all__ = ["PUBLISHED", "PeopleStream", "SpatialRecipe", "load_network", "main", "train"]

SPATIAL = FusedArch(stem=16, widths=(32, 64, 128, 192), depths=(0, 1, 2, 2), head=64)


@dataclass(frozen=True, kw_only=True)
class SpatialRecipe(StagedRecipe):
    """Everything that decides a run; ``held_out`` leaves out the people whom searches validate on."""

    arch: Architecture = SPATIAL
    held_out: bool = False


PUBLISHED = SpatialRecipe(
    sizes=((192, 256),),
    minutes=(600.0,),
    epochs=(MMPOSE.epochs,),
    batches=(512,),
    rates=(5e-4,),
    plan=MMPOSE,
    optimiser="adam",
    clip=float("inf"),
    target=TargetSpec("gaussian", unbiased=False),
    sources=PAPER_SOURCES,
    augmentation=AUGMENTATIONS["mmpose"],
    published_start=True,
)
"""How mmpose trains the published S-ViPNAS networks (networks of other families and outputs too, where asked for)."""


class PeopleStream(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless batches: crops uint8 [B, H, W, 3], targets [B, 17, h, w] that are distributions or proportional, weights [B, 17].

    Args:
        people: to draw from.
        recipe: of the run.
        stage: which of its sizes and batches.
        held_out: leave the people of the validation split out.
        share: processes that share a batch.
    """

    def __init__(
        self, people: PackedPeople, recipe: StagedRecipe, stage: int, held_out: bool = False, share: int = 1
    ) -> None:
        self.people, self.recipe, self.stage = people, recipe, stage
        self.batch = max(1, recipe.batches[stage] // share)
        weights = training_probability if held_out else PackedPeople.weights
        self.probability = weights(people, recipe.sources)
        self.spec, self.scale = recipe.target_at(stage)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng([self.recipe.seed, self.stage, draw_seed()])
        while True:
            rows = rng.choice(len(self.people), self.batch, p=self.probability)
            samples = [self.sample(int(row), rng) for row in rows]
            yield tuple(torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True))  # type: ignore[misc]

    def sample(self, row: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
        """One augmented person: crop, targets, weights."""
        size, strength = self.recipe.sizes[self.stage], self.recipe.augmentation
        gt, box = self.people.gt[row], self.people.boxes[row]
        labelled = np.flatnonzero(gt[:, 2] > 0)
        known = np.column_stack([gt[labelled, :2], labelled]).astype(np.float32)
        view = random_view(box, known, size, strength, rng)
        image = render(self.people.images[row], view, size, strength, rng)
        target = targets(gt, self.people.teacher(row), box, view, size, (size[0] // 4, size[1] // 4), self.spec)
        return image, target.distribution * np.float32(self.scale), target.weight


def train(
    recipe: SpatialRecipe, packs: list[Path], out: Path, session: Session | None = None, start: Path | None = None
) -> None:
    """Run or resume; ``out/last.pt`` holds everything, ``out/best.pt`` the averaged weights.

    Args:
        recipe: the run.
        packs: folders made by ``vipose train pack``.
        out: folder of the run.
        session: device, processes, length, loader.
        start: ``best.pt`` of another run of the same architecture, or what a search extracted, to begin with.

    Raises:
        InputError, ModelError: packs or checkpoints are not there, torn, or of another network.
    """
    session = session or Session()
    torch.manual_seed(session.world.seed(recipe.seed))
    people, model = PackedPeople(packs), build(recipe.arch)
    if start is not None:
        load_weights(model, load_network(start).state_dict(), start)
    elif recipe.published_start:
        initialise_as_published(model)
    compute = session.compute

    def backward(batch: tuple[Tensor, Tensor, Tensor]) -> float:
        target, weight = compute.move(*batch[1:])
        sigma = recipe.sigma * target.shape[-1] / 48
        with compute.autocast():
            outputs = model.outputs(compute.images(batch[0]))
        loss = torch.stack([heatmap_loss(recipe.arch, out, target, weight, sigma) for out in outputs]).sum()
        torch.autograd.backward(loss)
        return loss.item()

    def stream(stage: int) -> PeopleStream:
        return PeopleStream(people, recipe, stage, recipe.held_out, session.world.size)

    train_stages(recipe, model, backward, stream, out, {"arch": recipe.arch.to_json()}, session, len(people))


def load_network(path: Path) -> PoseNetwork:
    """The network of ``best.pt`` of a run, or of what a search extracted, with its averaged weights, in evaluation mode.

    Raises:
        InputError: there is no such file.
        ModelError: it is torn, or holds no network.
    """
    state = load_checkpoint(path)
    if state is None:
        raise InputError(f"{path} does not exist; give best.pt of a run of 'vipose train'")
    if not {"arch", "state_dict"} <= state.keys():
        raise ModelError(f"{path} holds no spatial network; give best.pt of a run of 'vipose train s-vipnas'")
    network = build(architecture_from_json(state["arch"]))
    load_weights(network, state["state_dict"], path)
    return network.eval()


RECIPES = {"vipose": SpatialRecipe(), "published": PUBLISHED}


def main(argv: list[str] | None = None) -> None:
    choice = argparse.ArgumentParser(add_help=False)
    choice.add_argument("--recipe", choices=RECIPES, default="vipose", help="see above (%(default)s)")
    recipe = RECIPES[choice.parse_known_args(argv)[0].recipe]
    parser = Parser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[choice]
    )
    parser.add_argument("--pack", type=Path, nargs="+", required=True, help="folders made by 'vipose train pack'")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an unfinished one is resumed")
    parser.add_argument("--start", type=Path, help="best.pt of another run, or what a search extracted, to begin with")
    parser.add_argument("--arch", help="name of a network or JSON file (default: that of --start, else s-vipnas)")
    parser.add_argument("--held-out", action="store_true", help="leave out the people whom searches validate on")
    shown = " ".join(map(str, recipe.batches))
    parser.add_argument("--batch", type=int, metavar="N", help=f"samples a step, of all processes together ({shown})")
    add_session(parser, recipe.length)
    args = parser.parse_args(argv)
    arch = recipe.arch
    if args.arch:
        arch = read_architecture(args.arch)[1]
    elif args.start is not None:
        arch = load_network(args.start).arch
    if arch.output == "logits" and recipe.target.kind == "gaussian":
        raise UsageError("recipe 'published' is for networks that put out heatmaps; this one puts out logits")
    with session(args) as here:
        recipe = replace(recipe, arch=arch, held_out=args.held_out).lasting(here.length).with_batch(args.batch)
        train(recipe, args.pack, args.out, here, args.start)


if __name__ == "__main__":
    main()
