"""Train a network that looks at single frames: from people's labels and teacher heatmaps, small crops first.

``vipose train s-vipnas``, ``efficientpose`` and ``posenas`` are this module with the defaults of their family; see
:mod:`vipose.models.training.recipes`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from vipose.models.arguments import Parser, crop_size, rate
from vipose.models.data.people import AUGMENTATIONS, PackedPeople, augmentation, render
from vipose.models.data.split import training_probability
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.initialise import initialise_as_published
from vipose.models.networks.lite0_pose import Lite0PoseArch
from vipose.models.networks.named import PUBLISHED_NETWORKS, read_architecture
from vipose.models.networks.registry import build
from vipose.models.training.checkpoint import draw_seed
from vipose.models.training.losses import heatmap_loss
from vipose.models.training.recipe import StagedRecipe
from vipose.models.training.recipes import EFFICIENTPOSE, POSENAS, PUBLISHED, S_VIPNAS, Family, SpatialRecipe
from vipose.models.training.session import Session, add_session, session
from vipose.models.training.stages import train_stages
from vipose.models.training.start import (
    Start,
    add_imagenet,
    from_checkpoint,
    from_imagenet,
    from_trunk,
    load_network,
    refuse_imagenet,
)
from vipose.runtime.codec import sigma_at
from vipose.runtime.errors import InputError, UsageError

__all__ = [
    "PUBLISHED",
    "PeopleStream",
    "SpatialRecipe",
    "check_joints",
    "efficientpose",
    "load_network",
    "main",
    "posenas",
    "train",
    "train_network",
]

TEXTS = {
    "s-vipnas": """Train a key-frame network: from people's labels and teacher heatmaps, small crops first.

    vipose train s-vipnas --pack PACK [PACK ...] --out RUN --minutes 37 70
    vipose train s-vipnas --start FOUND.pt --pack PACK [PACK ...] --out RUN --minutes 0 60
    vipose train s-vipnas --trunk DETECTOR.pt --pack PACK [PACK ...] --out RUN --minutes 0 200
    vipose train s-vipnas --arch s-vipnas-mbv3 --recipe published --pack PACK [PACK ...] --out RUN

Recipe 'vipose' (cross-entropy over positions for networks that put out logits, AdamW) spends minutes at 128x96 and 256x192, each
with its own warm-up and cosine. Recipe 'published' is that of the published S-ViPNAS networks: 256x192 only, Gaussians and mean
squared error, Adam, 210 epochs.
""",
    "efficientpose": """Train an EfficientPose network (Zhang et al. 2020): -a, -b, -c, or what a search found.

    vipose train efficientpose --arch efficientpose-a --imagenet --pack PACK [PACK ...] --out RUN --minutes 30 60
    vipose train efficientpose --arch search.json --start derived.pt --pack PACK [PACK ...] --out RUN --minutes 0 60
    vipose train efficientpose --recipe published-mpii --pack MPII --out RUN

Recipe 'vipose' gives the same layers logits instead of heatmaps (cross-entropy over positions, AdamW) and spends minutes at
128x96 and 256x192. 'published-coco' (256x192, 240 epochs, batch 128) and 'published-mpii' (256x256, 200 epochs, batch 32) are
the authors': Adam at 1e-3 in steps, half of the mean squared error of Gaussians.
""",
    "posenas": """Train a PoseNAS network (Bao et al. 2020): -l18-c48, -l18-c64, a smaller one, or what a search found.

    vipose train posenas --arch posenas-small --pack PACK [PACK ...] --out RUN --minutes 30 60
    vipose train posenas --arch posenas-l18-c48 --recipe published-coco --size 288x384 --pack PACK [PACK ...] --out RUN
    vipose train posenas --recipe published-mpii --pack MPII --out RUN

The losses of both decoder stages are added up. Recipe 'vipose' gives the same layers logits instead of heatmaps (cross-entropy
over positions, AdamW) and spends minutes at 128x96 and 256x192. 'published-coco' (256x192, or 384x288 with --size 288x384) and
'published-mpii' (256x256) are the authors': 210 epochs, batch 32, Adam at 1e-3 in steps, half of the mean squared error of
Gaussians.
""",
}


class PeopleStream(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless batches: crops uint8 [B, H, W, 3], targets [B, K, h, w] that are distributions or proportional, weights [B, K].

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
        view = self.people.view(row, size, strength, rng)
        # What never happens draws no number: recipes without it keep their random stream.
        pasted = strength.paste > 0 and rng.random() < strength.paste
        other = self.people.images[int(rng.integers(len(self.people)))] if pasted else None
        image = render(self.people.images[row], view, size, strength, rng, other)
        target = self.people.targets(row, view, size, self.spec)
        return image, target.distribution * np.float32(self.scale), target.weight


def train(
    recipe: SpatialRecipe, packs: list[Path], out: Path, session: Session | None = None, start: Path | None = None
) -> None:
    """Run or resume; see :func:`train_network`.

    Args:
        recipe: the run.
        packs: folders made by ``vipose train pack``.
        out: folder of the run.
        session: device, processes, length, loader.
        start: ``best.pt`` of another run of the same architecture, or what a search extracted, to begin with.

    Raises:
        InputError, ModelError: packs or checkpoints are not there, torn, or of another network.
    """
    begin = None if start is None else from_checkpoint(start)
    train_network(recipe, PackedPeople(packs), out, session or Session(), begin)


def train_network(
    recipe: SpatialRecipe, people: PackedPeople, out: Path, session: Session, start: Start | None = None
) -> None:
    """Run or resume; ``out/last.pt`` holds everything, ``out/best.pt`` the averaged weights.

    Args:
        recipe: the run.
        people: to draw samples from; their skeleton is the network's.
        out: folder of the run.
        session: device, processes, length, loader.
        start: gives the first weights of a run that begins; None for those of the recipe.

    Raises:
        InputError, ModelError: people of another skeleton; checkpoints that are torn or of another network.
    """
    check_joints(recipe.arch, people)
    seed = session.world.seed(recipe.seed)
    torch.manual_seed(seed)
    model = build(recipe.arch)
    if not (out / "last.pt").exists():
        if start is not None:
            start(model)
        elif recipe.published_start:
            initialise_as_published(model)
    torch.manual_seed(seed)  # networks of different sizes see the same samples
    compute = session.compute

    def backward(batch: tuple[Tensor, Tensor, Tensor]) -> float:
        target, weight = compute.move(*batch[1:])
        sigma = sigma_at(recipe.sigma, batch[0].shape[1])
        with compute.autocast():
            outputs = model.outputs(compute.images(batch[0]))
        losses = [heatmap_loss(recipe.arch, out, target, weight, sigma) for out in outputs]
        loss = torch.stack(losses).sum() * recipe.loss_factor
        torch.autograd.backward(loss)
        return loss.item()

    def stream(stage: int) -> PeopleStream:
        return PeopleStream(people, recipe, stage, recipe.held_out, session.world.size)

    facts = {"arch": recipe.arch.to_json(), "skeleton": people.skeleton.name}
    train_stages(recipe, model, backward, stream, out, facts, session, len(people))


def check_joints(arch: Architecture, people: PackedPeople) -> None:
    """Raise InputError where the packs have other joints than the network."""
    skeleton = people.skeleton
    if len(skeleton) == arch.joints:
        return
    fitting = replace(arch, joints=len(skeleton))
    named = (name for name, known in PUBLISHED_NETWORKS.items() if replace(known, output=arch.output) == fitting)
    take = next(named, f"a network of {len(skeleton)} joints")
    raise InputError(
        f"the packs are labelled with {skeleton.name}, {len(skeleton)} joints, and the network has {arch.joints}; take {take}"
    )


def _parse(family: Family, argv: Sequence[str] | None) -> tuple[argparse.Namespace, SpatialRecipe]:
    """The options, and the recipe that they name."""
    choice = Parser(add_help=False)
    default = next(iter(family.recipes))
    choice.add_argument("--recipe", choices=family.recipes, default=default, help="see above (%(default)s)")
    recipe = family.recipes[choice.parse_known_args(argv)[0].recipe]
    parser = Parser(
        description=TEXTS[family.entry], formatter_class=argparse.RawDescriptionHelpFormatter, parents=[choice]
    )
    parser.add_argument("--pack", type=Path, nargs="+", required=True, help="folders made by 'vipose train pack'")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an unfinished one is resumed")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--start", type=Path, help="best.pt of another run, or what a search extracted, to begin with")
    begin.add_argument(
        "--trunk", type=Path, metavar="DETECTOR.pt", help="begin with the trunk of a person detector, for networks of family lite0"
    )
    add_imagenet(begin, family.imagenet)
    parser.add_argument("--arch", help=f"name of a network or JSON file (default: that of --start, else {family.arch})")
    shown = recipe.output or "as the network's description says"
    parser.add_argument(
        "--output", choices=("heatmaps", "logits"), help=f"of the network (that of --start, else {shown})"
    )
    sizes = " ".join(f"{width}x{height}" for width, height in recipe.sizes)
    parser.add_argument(
        "--size", type=crop_size, nargs=len(recipe.sizes), metavar="WxH", help=f"crops, width and height ({sizes})"
    )
    parser.add_argument(
        "--augmentation", choices=AUGMENTATIONS, help="strength of the augmentation (that of the recipe)"
    )
    parser.add_argument("--held-out", action="store_true", help="leave out the people whom searches validate on")
    batches = " ".join(map(str, recipe.batches))
    parser.add_argument("--batch", type=int, metavar="N", help=f"samples a step, of all processes together ({batches})")
    rates = " ".join(f"{value:g}" for value in recipe.rates)
    parser.add_argument("--rate", type=rate, metavar="R", help=f"largest learning rate ({rates}); less for a finish")
    add_session(parser, recipe.length)
    return parser.parse_args(argv), recipe


def _network(family: Family, recipe: SpatialRecipe, args: argparse.Namespace) -> Architecture:
    """The network that a command line asks for, with the output that fits the recipe."""
    if args.arch:
        name, arch = read_architecture(args.arch)
    elif args.start is not None:
        name, arch = str(args.start), load_network(args.start).arch
    elif args.trunk is not None and not family.kinds:
        name, arch = "lite0", Lite0PoseArch()
    elif family.kinds:
        name, arch = read_architecture(family.arch)
        arch = replace(arch, joints=len(PackedPeople(args.pack, memory_mib=0).skeleton))
    else:
        name, arch = family.arch, recipe.arch
    if not family.holds(arch):
        raise UsageError(f"'{name}' is no {family.entry} network but one of family '{arch.family}'; try 'vipose train s-vipnas'")
    begun = args.start is not None and not args.arch
    output = args.output or (arch.output if begun or recipe.output is None else recipe.output)
    if output == "logits" and recipe.target.kind == "gaussian":
        raise UsageError(f"recipe '{args.recipe}' is for networks that put out heatmaps; this one puts out logits")
    return replace(arch, output=output)


def _start(args: argparse.Namespace) -> Start | None:
    if args.start is not None:
        return from_checkpoint(args.start)
    if args.trunk is not None:
        return from_trunk(args.trunk)
    return None if args.imagenet is None else from_imagenet(args.imagenet)


def main(argv: Sequence[str] | None = None, family: Family = S_VIPNAS) -> None:
    """``vipose train`` of a family."""
    args, recipe = _parse(family, argv)
    refuse_imagenet(args.imagenet, family)
    arch = _network(family, recipe, args)
    recipe = replace(recipe, arch=arch, held_out=args.held_out, sizes=tuple(args.size or recipe.sizes))
    if args.augmentation is not None:
        recipe = replace(recipe, augmentation=augmentation(args.augmentation))
    start = _start(args)
    with session(args) as here:
        check_joints(arch, PackedPeople(args.pack, memory_mib=0))
        recipe = recipe.lasting(here.length).with_batch(args.batch).with_rate(args.rate)
        train_network(recipe, PackedPeople(args.pack), args.out, here, start)


efficientpose = partial(main, family=EFFICIENTPOSE)
posenas = partial(main, family=POSENAS)


if __name__ == "__main__":
    main()
