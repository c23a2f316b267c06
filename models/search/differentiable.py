"""Search a network by gradients, for this machine: EfficientPose (Zhang et al. 2020, section 3) and PoseNAS (Bao et al. 2020).

  vipose search differentiable --space paper-efficientpose-small --pack PACK ... --cost macs --budget 400M --out RUN
  vipose search profile --space paper-efficientpose-small -o TABLE.json
  vipose search differentiable --space paper-efficientpose-small --pack PACK ... --cost TABLE.json --budget 6ms --out RUN2
  vipose search differentiable ... --start RUN/best.pt --cost gpu --out RUN3      the weights that RUN has warmed up
  vipose train efficientpose --arch RUN/search.json --start RUN/derived.pt --pack PACK ... --out RUN4

Stage 1 trains the weights of all candidates, stage 2 weights and architecture in turn, on different people. Costs are for crops
of --cost-size, while the search itself may look at smaller ones. RUN/search.json has what was found, and RUN/derived.pt the
derived network with the weights that it has in the search. An interrupted search goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vipose.models.data.people import PackedPeople
from vipose.models.search.alternate import AlternationConfig, ArchitectureLearning, CostTerm
from vipose.models.search.checkpoints import save_network
from vipose.models.search.derive import derive, tilted
from vipose.models.search.differentiable_options import options
from vipose.models.search.differentiable_progress import Watch, watched
from vipose.models.search.differentiable_recipes import RECIPES, DifferentiableRecipe
from vipose.models.search.differentiable_result import (
    DifferentiableResult,
    costs_json,
    differences,
    read_before,
    report,
    result_of,
    save,
    show,
)
from vipose.models.search.halves import HalfStream, Halves, split_people
from vipose.models.search.pricers import Macs, PriceList, lookup, read_prices
from vipose.models.search.relaxed import ChoiceCosts, RelaxedNetwork
from vipose.models.search.relaxed_efficientpose import RelaxedEfficientPose
from vipose.models.search.relaxed_posenas import RelaxedPoseNAS
from vipose.models.search.result import Budget, parse_budget
from vipose.models.search.space import Space
from vipose.models.search.spaces import space
from vipose.models.training.checkpoint import load_checkpoint, load_weights
from vipose.models.training.distributed import World
from vipose.models.training.losses import heatmap_loss
from vipose.models.training.schedule import Length
from vipose.models.training.session import Session, session
from vipose.models.training.stages import train_stages
from vipose.runtime.codec import sigma_at
from vipose.runtime.errors import EXIT_OK, InputError, ModelError, UsageError

__all__ = ["RELAXED", "DifferentiableSearch", "main", "relaxed", "search"]

RELAXED: dict[str, Callable[..., RelaxedNetwork]] = {
    "efficientpose": RelaxedEfficientPose,
    "posenas": RelaxedPoseNAS,
}
"""Relaxed networks by family."""
STAGES = ("warm-up", "search")


@dataclass
class DifferentiableSearch:
    """A search with everything that it needs; :meth:`run` goes on from what ``out`` holds.

    Attributes:
        recipe: how it trains.
        network: relaxed.
        prices: what it is searched under, first, and what else the result is priced by.
        costs: its lookup table.
        described: ``settings`` and ``split``, what makes it this search; plain JSON.
        people, halves: who teaches what.
        out: folder of the run.
        session: device, processes, length, loader.
    """

    recipe: DifferentiableRecipe
    network: RelaxedNetwork
    prices: Sequence[PriceList]
    costs: ChoiceCosts
    described: dict[str, Any]
    people: PackedPeople
    halves: Halves
    out: Path
    session: Session
    result: DifferentiableResult | None = None

    def run(self, watch: Watch) -> DifferentiableResult:
        """Train to the end; raises SystemExit after a checkpoint where a signal came."""
        recipe, network, here = self.recipe, self.network, self.session
        rng = np.random.default_rng(recipe.seed)  # the same candidates in all processes
        learning = ArchitectureLearning(
            network,
            AlternationConfig(
                len(STAGES) - 1, recipe.every, recipe.paths, recipe.alpha_rate, recipe.alpha_betas, recipe.alpha_decay
            ),
            CostTerm(self.costs, recipe.weight, recipe.tau, self._budget),
            self._loss,
            lambda stage: HalfStream(self.people, recipe, stage, self.halves.architecture, here.world.size),
            rng,
            here.world,
            watch=lambda stage, progress: watch(STAGES[stage], progress, lambda: self._words(learning)),
            keep=lambda stage, progress, averaged: self._keep(stage, progress, averaged, learning),
        )

        def backward(batch: tuple[Tensor, Tensor, Tensor]) -> float:
            network.draw(recipe.paths, rng)
            with network.learning(architecture=False):
                loss = self._loss(batch)
                torch.autograd.backward(loss)
            return loss.item()

        def stream(stage: int) -> HalfStream:
            return HalfStream(self.people, recipe, stage, self.halves.weights, here.world.size)

        train_stages(
            recipe, network, backward, stream, self.out, {"space": recipe.space, "output": recipe.output}, here,
            int(self.halves.weights.sum()), (rng,), learning, echo=False, space=recipe.space,
        )  # fmt: skip
        return self.result or self._state(len(STAGES), 0.0, learning)

    def _loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """That of the heatmaps, of all outputs together."""
        compute = self.session.compute
        target, weight = compute.move(*batch[1:])
        sigma = sigma_at(self.recipe.sigma, batch[0].shape[1])
        with compute.autocast():
            outputs = self.network(compute.images(batch[0]))
        return torch.stack([heatmap_loss(self.network.arch, out, target, weight, sigma) for out in outputs]).sum()

    def _state(self, stage: int, progress: float, learning: ArchitectureLearning) -> DifferentiableResult:
        at = stage, progress, learning.steps
        chosen = derive(self.network, self.costs, self.prices, self._budget)
        return result_of(self.network, self.described, self.costs, chosen, at, learning.history)

    @property
    def _budget(self) -> float | None:
        found: float | None = self.described["settings"]["budget"]
        return found

    def _keep(
        self, stage: int, progress: float, averaged: Mapping[str, Tensor], learning: ArchitectureLearning
    ) -> None:
        """Write ``search.json`` and, with averaged weights, ``derived.pt``."""
        self.result = self._state(stage, progress, learning)
        save(self.out / "search.json", self.result)
        network = deepcopy(self.network).cpu()
        network.load_state_dict(averaged)
        recipe = {k: v for k, v in asdict(self.recipe).items() if k in ("sizes", "sigma", "sources", "augmentation")}
        found = {"hash": self.result.chosen.hash, "costs": self.result.chosen.costs, **self.described["settings"]}
        with tilted(network, self.costs, self.result.chosen.multiplier, self._budget):
            derived = network.extract()
        save_network(self.out / "derived.pt", derived, {**recipe, "search": found})

    def _words(self, learning: ArchitectureLearning) -> str:
        facts = learning.facts()
        if not facts:
            return ""
        loss = f"loss {facts['architecture_loss']:.4g}, " if "architecture_loss" in facts else ""
        return f"{loss}{show(facts['expected_cost'], self.costs.unit)}, entropy {facts['entropy']:.2f}"


def family(searched: Space) -> str:
    """Family of a space's networks; raises InputError where they cannot be searched by gradients."""
    name = searched.architecture(searched.sample(np.random.default_rng(0))).family
    if name not in RELAXED:
        raise InputError(f"networks of '{searched.name}' are not searched by gradients; use 'vipose search spatial'")
    return name


def relaxed(recipe: DifferentiableRecipe, joints: int) -> RelaxedNetwork:
    """The relaxed network of a recipe's space, with fresh weights."""
    searched = space(recipe.space)
    return RELAXED[family(searched)](searched, output=recipe.output, joints=joints)


def begin(
    recipe: DifferentiableRecipe,
    people: PackedPeople,
    prices: Sequence[PriceList],
    budget: Budget | None,
    out: Path,
    here: Session,
    free: Mapping[str, Any] | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> DifferentiableSearch:
    """Everything that a search needs.

    Args:
        recipe: how it trains.
        people: of the packs.
        prices: what it is searched under, first, and what else the result is priced by.
        budget: the cost to end up at; None for as little as the accuracy allows.
        out: folder of the run.
        here: device, processes, length, loader.
        free: what is only told in the result.
        tick: told the progress of measuring.

    Raises:
        InputError: the folder holds another search, or people or prices do not serve.
    """
    torch.manual_seed(recipe.seed)
    network = relaxed(recipe, people.gt.shape[1])
    halves = split_people(people, recipe.share, recipe.seed)
    costs = _agreed(lookup(network, prices[0], tick), here.world)
    cheapest = costs.fixed + sum(map(min, costs.by_choice.values()))
    if budget is not None and budget.limit < cheapest:
        unit = costs.unit
        raise InputError(
            f"budget {show(budget.limit, unit)} is below the cheapest network of the space, {show(cheapest, unit)}; give more"
        )
    settings = {
        "space": recipe.space, "stages": len(STAGES), "sizes": recipe.sizes, "output": recipe.output, "joints": network.joints,
        "share": recipe.share, "seed": recipe.seed, "weight": recipe.weight, "tau": recipe.tau,
        "budget": None if budget is None else budget.limit, "unit": costs.unit, "cost_size": prices[0].size,
    }  # fmt: skip
    described = {"settings": settings, "split": halves.describe(), "costs": costs_json(costs)}
    _check_folder(out, described)
    described["settings"] = {**settings, "free": dict(free or {})}
    torch.manual_seed(here.world.seed(recipe.seed))
    return DifferentiableSearch(recipe, network, prices, costs, described, people, halves, out, here)


def _agreed(costs: ChoiceCosts, world: World) -> ChoiceCosts:
    """The first process's lookup table in all: measured times differ."""
    values = iter(world.agree(costs.fixed, *(value for row in costs.by_choice.values() for value in row)))
    fixed = next(values)
    return replace(costs, fixed=fixed, by_choice={n: tuple(next(values) for _ in row) for n, row in costs.by_choice.items()})


def _check_folder(out: Path, described: Mapping[str, Any]) -> None:
    """Refuse to go on with something else."""
    before = read_before(out / "search.json")
    if before is not None:
        differing = differences(before, described)
        if differing:
            raise InputError(
                f"{out} holds another search ({', '.join(differing)} differ); give another folder with --out, or "
                f"begin with its weights by --start {out / 'best.pt'}"
            )
    elif (out / "last.pt").exists() and not (load_checkpoint(out / "last.pt") or {}).get("companion"):
        raise InputError(f"{out} holds a training that is no differentiable search; give another folder with --out")


def start_from(network: RelaxedNetwork, path: Path, recipe: DifferentiableRecipe) -> None:
    """Take the weights of another search in the same space, not its probabilities.

    Args:
        network: filled in place.
        path: ``best.pt`` (averaged weights) or ``last.pt`` of its run.
        recipe: of this search.

    Raises:
        InputError: there is no such file, or it is of another space or kind of output.
        ModelError: it is torn, or its weights do not fit.
    """
    state = load_checkpoint(path)
    if state is None:
        raise InputError(f"{path} does not exist; give best.pt or last.pt of a run of 'vipose search differentiable'")
    weights, theirs = state.get("state_dict", state.get("model")), state.get("recipe") or {}
    if weights is None or "alpha_rate" not in theirs:
        raise ModelError(f"{path} is of no differentiable search; give best.pt or last.pt of one")
    for name in ("space", "output"):
        if theirs.get(name) != getattr(recipe, name):
            raise InputError(f"{path} is a search with {name} '{theirs.get(name)}', this one has '{getattr(recipe, name)}'")
    own = {name: value for name, value in network.state_dict().items() if name.startswith("architecture.")}
    load_weights(network, {**weights, **own}, path)


def search(args: argparse.Namespace, recipe: DifferentiableRecipe, here: Session) -> DifferentiableResult:
    """Run or resume the search that a parsed command line asks for."""
    budget, size = _budget(args), args.cost_size or space(recipe.space).size
    prices = [read_prices(what, recipe.space, size, args.out) for what in (args.cost, *args.table)]
    args.out.mkdir(parents=True, exist_ok=True)
    if args.cost != "macs":
        prices.append(Macs(size))
    free = {
        "recipe": args.recipe, "cost": prices[0].name, "packs": list(map(str, args.pack)), "paths": recipe.paths,
        "start": None if args.start is None else str(args.start), "imagenet": args.imagenet,
        "length": asdict(here.length or recipe.length), "batches": recipe.batches,
    }  # fmt: skip
    people = PackedPeople(args.pack, memory_mib=args.memory)
    with watched(args.quiet or not here.world.first) as watch:

        def tick(done: int, total: int) -> None:
            watch(f"measuring {total} parts", done / total, lambda: "")

        made = begin(recipe, people, prices, budget, args.out, here, free, tick)
        if not (args.out / "last.pt").exists():
            if args.start is not None:
                start_from(made.network, args.start, recipe)
            elif args.imagenet is not None:
                _from_imagenet(made.network, args.imagenet, args.quiet)
        return made.run(watch)


def _from_imagenet(network: RelaxedNetwork, source: str, quiet: bool) -> None:
    from vipose.models.networks.remap import load_imagenet_source, remap

    assert isinstance(network, RelaxedEfficientPose)  # _recipe has looked
    remapped = remap(load_imagenet_source(source), network)
    if not quiet:
        print(f"vipose: began with {source}: {remapped}", file=sys.stderr)


def _budget(args: argparse.Namespace) -> Budget | None:
    """That of a command line; raises UsageError where it is in another unit than the cost."""
    if args.budget is None:
        return None
    budget, macs = parse_budget(args.budget), args.cost == "macs"
    if budget.unit == "ms" and macs:
        raise UsageError("a budget in ms needs --cost TABLE.json, which 'vipose search profile' makes, or --cost gpu")
    if budget.unit == "MACs" and not macs:
        raise UsageError(f"a budget in MACs needs --cost macs; with --cost {args.cost} give milliseconds, such as 6ms")
    return budget


def _recipe(args: argparse.Namespace, length: Length | None) -> DifferentiableRecipe:
    """What a command line makes of a recipe; raises UsageError for what is not possible."""
    recipe = replace(RECIPES[family(space(args.space))][args.recipe], space=args.space, seed=args.seed)
    if args.imagenet is not None and args.start is not None:
        raise UsageError("--imagenet and --start both give first weights; choose one")
    if args.imagenet is not None and RELAXED[family(space(args.space))] is not RelaxedEfficientPose:
        raise UsageError(f"--imagenet is for EfficientPose spaces: those of '{args.space}' have no layers that would fit")
    changes = {"weight": args.weight, "tau": args.tau, "alpha_rate": args.architecture_rate}
    recipe = replace(recipe, **{name: value for name, value in changes.items() if value is not None})
    if args.paths is not None:
        recipe = replace(recipe, paths=args.paths or None)
    if args.size is not None:
        recipe = replace(recipe, sizes=(args.size,) * len(STAGES))
    if not (recipe.weight >= 0 and recipe.tau > 1 and recipe.alpha_rate > 0):
        raise UsageError("--weight must be 0 or more, --tau above 1 and --architecture-rate above 0")
    return recipe.lasting(length).with_batch(args.batch)


def main(argv: Sequence[str] | None = None) -> int:
    """Search, and report what was found."""
    choice = argparse.ArgumentParser(add_help=False)
    choice.add_argument("--space", metavar="NAME", help="'vipose search spaces' shows them")
    choice.add_argument("--recipe", choices=("vipose", "paper"), default="vipose", help="minutes, or epochs as published (%(default)s)")
    known = choice.parse_known_args(argv)[0]
    shown = RECIPES["efficientpose" if known.space is None else family(space(known.space))][known.recipe]
    args = options(choice, shown, __doc__).parse_args(argv)
    if args.space is None:
        raise UsageError("--space is missing; 'vipose search spaces' shows what there is")
    if args.start is not None and args.minutes is None and args.epochs is None:
        lengths = args.default_length
        args.default_length = Length(lengths.unit, (0.0, *lengths.amounts[1:]))
    with session(args) as here:
        result = search(args, _recipe(args, here.length), here)
        if here.world.first and args.json:
            print(json.dumps({k: v for k, v in result.to_json().items() if k != "history"}, indent=1, allow_nan=False))
        elif here.world.first and not args.quiet:
            print(report(result))
    return EXIT_OK


if __name__ == "__main__":
    raise SystemExit(main())
