"""Search a key-frame network in a trained super-network, under a budget in milliseconds or multiply-accumulates.

  vipose search spatial --supernet RUN/best.pt --pack PACK ... --table TABLE.json --budget 4.2ms -o RESULT.json
  vipose search spatial --supernet RUN/best.pt --pack PACK ... --budget 300M --method evolution -o RESULT.json
  vipose search spatial --from RESULT.json --extract OUT.pt        the chosen network, ready to export or to fine-tune

Every candidate gets batch-norm statistics of its own and is measured on people who are held out of training. The result is
written after each, so the same command goes on after an interruption. The budget is for crops of the table's size, or of the
space's where it is given in MACs; accuracy is measured at --size.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from vipose.models.arguments import Parser, crop_size, positive
from vipose.models.data.people import Augmentation, PackedPeople
from vipose.models.networks.architecture import Architecture, architecture_hash
from vipose.models.networks.named import read_architecture
from vipose.models.search.budgeted import BudgetedSearch
from vipose.models.search.checkpoints import TrainedSupernet, read_supernet, save_network
from vipose.models.search.evaluate import BATCH, Accuracy, Evaluator, Validation, calibration_batches
from vipose.models.search.explore import evolutionary_search, random_search
from vipose.models.search.latency import LatencyTable
from vipose.models.search.report import report
from vipose.models.search.result import SearchResult, architecture, load_result, parse_budget
from vipose.models.search.temporal_space import choice_of
from vipose.models.training.device import Compute, add_device, choose, keep_memory
from vipose.runtime.errors import EXIT_OK, InputError, UsageError
from vipose.runtime.shipped import file_sha256

__all__ = ["METHODS", "SpatialSearch", "main"]

METHODS = {"random": random_search, "evolution": evolutionary_search}
CALIBRATION = 20
"""Batches that statistics are estimated on: from one draw to another, AP then moves by about 0.001."""


@dataclass
class SpatialSearch(BudgetedSearch):
    """A search in a super-network; :meth:`run` goes on from what ``result`` holds.

    Attributes:
        trained: the super-network.
        evaluator: measures sub-networks.
    """

    trained: TrainedSupernet
    evaluator: Evaluator

    def accuracy(self, arch: Architecture) -> Accuracy:
        return self.evaluator(arch)

    def compare(self, name: str, arch: Architecture) -> None:
        """Measure a network from outside as a reference; raises InputError where it does not lie in the space."""
        choice = choice_of(self.trained.space, arch)
        arch = self.trained.space.architecture(choice)
        known = self.result.found(architecture_hash(arch))
        self.keep(replace(self.result, reference=(name, known or self.measure(choice, arch))))

    def run(self, quiet: bool = False) -> None:
        """Search until there are as many candidates as were asked for."""
        self.look(self.trained.space, METHODS[self.result.method], quiet)

    def extract(self, path: Path) -> None:
        """Write the chosen network with statistics of its own as a checkpoint of a training."""
        chosen = self.result.chosen
        network = self.evaluator.network(architecture(self.result)).cpu()
        assert chosen is not None  # architecture() has looked
        facts = {k: v for k, v in self.result.to_json().items() if k not in ("candidates", "reference", "chosen")}
        found = {"hash": chosen.hash, "ms": chosen.ms, "macs": chosen.macs, "ap": chosen.ap, "oks": chosen.oks}
        recipe = {k: v for k, v in self.trained.recipe.items() if k in ("sigma", "sources", "augmentation")}
        save_network(path, network, {**recipe, "sizes": [self.evaluator.validation.size], "search": {**facts, **found}})


def prepare(
    trained: TrainedSupernet,
    packs: Sequence[Path],
    size: tuple[int, int],
    compute: Compute,
    batches: int = CALIBRATION,
) -> Evaluator:
    """Read packs and cut out the people that a search looks at; raises InputError for packs without labels."""
    people = PackedPeople(packs, memory_mib=0)
    validation = Validation.of(people, size)
    recipe = trained.recipe
    calibration = calibration_batches(
        people, size, batches, by_source=recipe.get("sources"), strength=_augmentation(recipe.get("augmentation") or {})
    )
    dtype = torch.bfloat16 if compute.bf16 else torch.float32
    return Evaluator(trained.network.to(compute.device), validation, calibration, compute.device, dtype)


def begin(args: argparse.Namespace) -> SpatialSearch:
    """A search as the command line asks for it, with the candidates that the file named by -o holds already.

    Raises:
        UsageError: a budget in milliseconds without a table.
        InputError: the file holds another search, or something cannot be read.
    """
    budget = parse_budget(args.budget)
    if budget.unit == "ms" and args.table is None:
        raise UsageError("a budget in ms needs --table, which 'vipose search profile' makes; or give MACs, such as 300M")
    _check_output(args.out)
    before = load_result(args.out) if args.out.exists() else None
    table = None if args.table is None else LatencyTable.load(args.table)
    trained = read_supernet(args.supernet)
    compute = choose(args.device, args.precision)
    evaluator = prepare(trained, args.pack, args.size or trained.size, compute, args.calibration)
    result = SearchResult(
        space=trained.space.name,
        size=evaluator.validation.size,
        cost_size=trained.space.size if table is None else table.size,
        budget=budget,
        at_least=args.at_least,
        method=args.method,
        samples=args.samples,
        seed=args.seed,
        supernet=str(args.supernet),
        supernet_sha256=trained.sha256,
        table=None if args.table is None else str(args.table),
        table_sha256=None if args.table is None else file_sha256(args.table),
        validation=evaluator.describe(),
        packs=tuple(map(str, args.pack)),
    )
    if before is not None:
        differing = result.differences(before)
        if differing:
            raise InputError(
                f"{args.out} holds another search ({', '.join(differing)} differ); give another file with -o, or delete it"
            )
        result = replace(result, candidates=before.candidates, reference=before.reference)
    return SpatialSearch(result, args.out, table, trained, evaluator)


def reopen(args: argparse.Namespace) -> SpatialSearch:
    """A finished or unfinished search from its result, to extract from.

    Raises:
        InputError: the super-network or the packs are others than those of the search, or not where they were.
    """
    result = load_result(args.result)
    architecture(result)
    if result.training:
        raise InputError(f"the networks of {args.result} were trained one by one; the best lies beside it as best.pt")
    trained = read_supernet(args.supernet or Path(result.supernet))
    if trained.sha256 != result.supernet_sha256:
        raise InputError(f"the super-network is another one than that of {args.result}; name the right one with --supernet")
    packs = args.pack or [Path(pack) for pack in result.packs]
    batches = math.ceil(result.validation["calibration"]["crops"] / BATCH)
    evaluator = prepare(trained, packs, result.size, choose(args.device, args.precision), batches)
    if evaluator.describe()["calibration"] != result.validation["calibration"]:
        raise InputError(f"the packs are others than those of {args.result}; name the right ones, in their order, with --pack")
    return SpatialSearch(result, args.result, None, trained, evaluator)


def main(argv: Sequence[str] | None = None) -> int:
    """Search, report and, if asked, extract."""
    args = _parse(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    keep_memory()
    if args.result is not None:
        reopen(args).extract(args.extract)
        return EXIT_OK
    reference = None if args.compare is None else read_architecture(args.compare)
    search = begin(args)
    try:
        search.run(args.quiet)
        if reference is not None:
            _compare(search, *reference)
    except KeyboardInterrupt:
        done = len(search.result.candidates)
        print(f"vipose: {args.out} holds {done} of {args.samples}; the same command goes on from there", file=sys.stderr)
        raise
    if not args.quiet:
        print(report(search.result))
    if args.extract is not None:
        search.extract(args.extract)
    return EXIT_OK


def _compare(search: SpatialSearch, name: str, arch: Architecture) -> None:
    """Measure the reference; where it cannot be compared, say so: the search is done and worth its report."""
    try:
        search.compare(name, arch)
    except InputError as error:
        print(f"vipose: {name} is not compared: {error}", file=sys.stderr)


def _augmentation(recipe: Mapping[str, Any]) -> Augmentation:
    """That of a recipe; what today's code does not know is left out."""
    known = {f.name for f in fields(Augmentation)}
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in recipe.items() if k in known}
    return Augmentation(**values)


def _check_output(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file with -o, such as {path / 'result.json'}")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="vipose search spatial", allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--supernet", type=Path, metavar="PT", help="best.pt of 'vipose train supernet'")
    parser.add_argument("--pack", type=Path, nargs="+", metavar="PACK", help="folders made by 'vipose train pack'")
    parser.add_argument("--budget", help="4.2ms (needs --table) or 300M multiply-accumulates of one crop")
    parser.add_argument("--table", type=Path, metavar="JSON", help="latency table of 'vipose search profile'")
    parser.add_argument("--method", choices=METHODS, default="random", help="%(default)s, as in the paper, or evolution")
    parser.add_argument("--samples", type=positive, default=500, metavar="N", help="networks to look at (%(default)s)")
    parser.add_argument(
        "--at-least", type=float, default=0.8, metavar="SHARE", help="of the budget; cheaper ones are skipped (%(default)s)"
    )
    parser.add_argument("--size", type=crop_size, metavar="WxH", help="crops for the accuracy (default: the last of the training)")
    parser.add_argument(
        "--calibration", type=positive, default=CALIBRATION, metavar="N",
        help=f"batches of {BATCH} crops to estimate statistics on (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the stream of candidates (%(default)s)")
    parser.add_argument(
        "--compare", metavar="NAME|JSON", help="a shipped graph, card, architecture or result to measure in the same way"
    )
    parser.add_argument("-o", "--out", type=Path, metavar="JSON", help="the result; an unfinished one is gone on with")
    parser.add_argument("--extract", type=Path, metavar="PT", help="write the chosen network as a checkpoint")
    parser.add_argument("--from", dest="result", type=Path, metavar="JSON", help="extract from this result, do not search")
    add_device(parser)
    parser.add_argument("--threads", type=positive, help="of torch (default: all cores)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no report")
    args = parser.parse_args(argv)
    if args.result is not None:
        if args.extract is None:
            raise UsageError("--from is for --extract OUT.pt; give both")
        return args
    missing = [f"--{name}" for name in ("supernet", "pack", "budget", "out") if getattr(args, name) is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} missing; see 'vipose search spatial --help'")
    return args
