"""Networks that are trained one by one, all in the same way, and measured on the same people.

The random-search baseline and the ablations of heads are made of this. Every network begins from the same seed, sees the same
samples and has a run of its own, which resumes where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vipose.models.arguments import crop_size, positive
from vipose.models.data.people import PackedPeople
from vipose.models.networks.architecture import Architecture, Output
from vipose.models.search.evaluate import Accuracy, Validation, average_precision, keypoints
from vipose.models.training.recipes import Family, SpatialRecipe
from vipose.models.training.schedule import Length, Plan
from vipose.models.training.session import Session, add_session, session
from vipose.models.training.spatial import check_joints, load_network, train_network
from vipose.models.training.start import Start, add_imagenet, from_imagenet, refuse_imagenet
from vipose.runtime.errors import UsageError

__all__ = ["EPOCHS", "Trials", "add_trials", "trials"]

EPOCHS = Length("epochs", (5.0,))
"""What every network gets where nobody says otherwise."""
SHORT = Plan(rate=1e-3, epochs=5, cosine=True, warm_up_steps=50, warm_up_from=0.01)
"""Shape of the learning rate over epochs: that of the minutes, as nearly as steps can have it."""
_DECIDED = ("arch", "minutes", "epochs", "plan")
"""Fields of a recipe that differ from network to network or are said by the length."""


@dataclass(frozen=True)
class Trials:
    """How networks are trained and measured.

    Attributes:
        recipe: of one stage; its network is replaced by each that is tried.
        people: to train on, without those held out.
        validation: people who are held out.
        session: device and length.
        folder: of the runs, one folder each.
        start: first weights; None for those of the recipe.
        source: where they come from, for the record.
    """

    recipe: SpatialRecipe
    people: PackedPeople
    validation: Validation
    session: Session
    folder: Path
    start: Start | None = None
    source: str = ""

    def fitted(self, arch: Architecture) -> Architecture:
        """A description with the joints of the people and the output that the recipe trains."""
        output: Output = self.recipe.output or arch.output
        return replace(arch, joints=len(self.people.skeleton), output=output)

    def run(self, name: str) -> Path:
        """Folder of a network's run."""
        return self.folder / name

    def measure(self, name: str, arch: Architecture) -> Accuracy:
        """Train a network, or go on where its run stopped, and measure it with its own batch-norm statistics.

        Args:
            name: of its run.
            arch: its description.

        Raises:
            SystemExit: a signal ended the run, after its checkpoint was written.
        """
        recipe = replace(self.recipe, arch=self.fitted(arch), held_out=True)
        train_network(recipe, self.people, self.run(name), self.session, self.start)
        network = self.session.compute.network(load_network(self.run(name) / "best.pt"))
        return average_precision(keypoints(network, self.validation, dtype=self._dtype), self.validation)

    def finish(self, name: str) -> None:
        """Delete what only a training that goes on needs; called when the figures are safe."""
        (self.run(name) / "last.pt").unlink(missing_ok=True)

    def describe_training(self) -> dict[str, Any]:
        """Plain JSON of what decides a training beside the network."""
        length = self.session.length or self.recipe.length
        recipe = {key: value for key, value in asdict(self.recipe).items() if key not in _DECIDED}
        facts = {"recipe": recipe, "length": asdict(length), "imagenet": self.source}
        plain: dict[str, Any] = json.loads(json.dumps(facts))
        return plain

    def describe_validation(self) -> dict[str, Any]:
        """Plain JSON of what the figures depend on beside the training."""
        arithmetic = f"{self.session.compute.device.type} {str(self._dtype).removeprefix('torch.')}"
        return {**self.validation.describe(), "arithmetic": arithmetic}

    @property
    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.session.compute.bf16 else torch.float32


def add_trials(parser: argparse.ArgumentParser) -> None:
    """Add what decides how every network is trained and measured: packs, crops, length, start, device."""
    parser.add_argument(
        "--pack", type=Path, nargs="+", required=True, metavar="PACK", help="folders made by 'vipose train pack'"
    )
    parser.add_argument("--size", type=crop_size, metavar="WxH", help="crops, width and height (default: the space's, or 192x256)")
    parser.add_argument("--batch", type=positive, metavar="N", help="samples a step (default: the recipe's for this size)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, samples and what is drawn (%(default)s)")
    add_imagenet(parser, known=True)
    add_session(parser, EPOCHS, "every network")


@contextmanager
def trials(
    args: argparse.Namespace, family: Family, arch: Architecture, size: tuple[int, int], folder: Path
) -> Iterator[Trials]:
    """The trials that a parsed command line of :func:`add_trials` asks for.

    Args:
        args: the command line.
        family: whose recipe is used.
        arch: one of the networks; all have its number of joints, or that of the packs.
        size: of the crops where the command line has none.
        folder: of the runs.

    Raises:
        UsageError: ImageNet weights for a family that cannot take them, or several processes.
        InputError: packs that cannot be read, or without people to validate on.
    """
    refuse_imagenet(args.imagenet, family)
    start = None if args.imagenet is None else from_imagenet(args.imagenet)
    with session(args) as here:
        if here.world.size > 1:
            raise UsageError("networks are trained one by one in one process; start without torchrun")
        people = PackedPeople(args.pack)
        recipe = replace(one_stage(family.default, args.size or size), seed=args.seed).with_batch(args.batch)
        made = Trials(
            recipe.lasting(here.length), people, Validation.of(people, recipe.sizes[0]), here, folder, start, args.imagenet or ""
        )
        check_joints(made.fitted(arch), people)
        yield made


def one_stage(recipe: SpatialRecipe, size: tuple[int, int]) -> SpatialRecipe:
    """The stage of a recipe whose crops are nearest in width, with crops of a size (width, height), for short trainings."""
    widths = [width for width, _ in recipe.sizes]
    nearest = min(range(len(widths)), key=lambda n: abs(widths[n] - size[0]))
    return replace(recipe.stages(slice(nearest, nearest + 1)), sizes=(size,), plan=SHORT)
