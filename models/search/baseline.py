"""The random-search baseline: networks of a space drawn within a budget, each trained for the same short time.

  vipose search baseline --space paper-efficientpose-small --pack PACK ... --budget 400M --networks 50 --epochs 5 --out DIR
  vipose search baseline --space paper-efficientpose-small --pack PACK ... --budget 4ms --table T.json --minutes 10 --out DIR
  vipose search baseline --space fast-posenas --pack PACK ... --budget 500M --networks 20 --out DIR

What a search is worth shows against this at equal cost (Li & Talwalkar 2019). The best network is DIR/best.pt, as that of a
training; DIR/baseline.json has all. It is written after each network, and an interrupted one resumes inside, so the same
command goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vipose.models.arguments import Parser, positive
from vipose.models.networks.architecture import Architecture, architecture_hash
from vipose.models.search.budgeted import BudgetedSearch
from vipose.models.search.evaluate import Accuracy
from vipose.models.search.explore import random_search
from vipose.models.search.latency import LatencyTable
from vipose.models.search.report import report
from vipose.models.search.result import SearchResult, load_result, make_folder, parse_budget
from vipose.models.search.space import Space
from vipose.models.search.spaces import SPACES, space
from vipose.models.search.trained import Trials, add_trials, trials
from vipose.models.training.recipes import family_of
from vipose.runtime.errors import EXIT_OK, InputError, UsageError
from vipose.runtime.shipped import file_sha256

__all__ = ["Baseline", "main"]

FILE = "baseline.json"


@dataclass
class Baseline(BudgetedSearch):
    """A random search that trains; :meth:`run` goes on from what ``result`` holds.

    Attributes:
        trials: train and measure.
    """

    trials: Trials

    @property
    def folder(self) -> Path:
        """Of the result, the best network and the runs."""
        return self.path.parent

    def accuracy(self, arch: Architecture) -> Accuracy:
        return self.trials.measure(architecture_hash(arch), arch)

    def keep(self, result: SearchResult) -> None:
        super().keep(result)
        self.settle()

    def settle(self) -> None:
        """Keep the weights of the best network only, as ``best.pt``; what an interruption left undone is done now."""
        chosen = self.result.chosen
        for candidate in self.result.candidates:
            weights = self.trials.run(candidate.hash) / "best.pt"
            if weights.exists():
                if candidate is chosen:
                    os.replace(weights, self.folder / "best.pt")
                else:
                    weights.unlink()
            self.trials.finish(candidate.hash)

    def run(self, quiet: bool = False) -> None:
        """Draw, train and measure until there are as many networks as were asked for."""
        self.settle()
        self.look(space(self.result.space), random_search, quiet)


def begin(args: argparse.Namespace, searched: Space, made: Trials) -> Baseline:
    """A baseline as the command line asks for it, with the candidates that its folder holds already.

    Raises:
        InputError: the folder holds another baseline, or something cannot be read.
    """
    table = None if args.table is None else LatencyTable.load(args.table)
    result = SearchResult(
        space=searched.name,
        size=made.validation.size,
        cost_size=searched.size if table is None else table.size,
        budget=parse_budget(args.budget),
        at_least=args.at_least,
        method="random",
        samples=args.networks,
        seed=args.seed,
        table=None if args.table is None else str(args.table),
        table_sha256=None if args.table is None else file_sha256(args.table),
        validation=made.describe_validation(),
        packs=tuple(map(str, args.pack)),
        training=made.describe_training(),
    )
    path = args.out / FILE
    if path.exists():
        before = load_result(path)
        differing = result.differences(before)
        if differing:
            raise InputError(f"{path} is of another baseline ({', '.join(differing)} differ); give another folder with --out")
        result = replace(result, candidates=before.candidates)
    make_folder(path)
    return Baseline(result, path, table, made)


def main(argv: Sequence[str] | None = None) -> int:
    """Search and report."""
    args = _parse(argv)
    budget = parse_budget(args.budget)
    if budget.unit == "ms" and args.table is None:
        raise UsageError("a budget in ms needs --table, which 'vipose search profile' makes; or give MACs, such as 300M")
    searched = space(args.space)
    arch = searched.architecture(searched.smallest)
    with trials(args, family_of(arch), arch, searched.size, args.out / "runs") as made:
        baseline = begin(args, searched, made)
        try:
            baseline.run(args.quiet)
        except KeyboardInterrupt:  # between two trainings; those have their own line
            done = len(baseline.result.candidates)
            print(f"vipose: {args.out / FILE} holds {done} of {args.networks}; the same command goes on", file=sys.stderr)
            raise
        if not args.quiet:
            print(report(baseline.result))
    return EXIT_OK


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="vipose search baseline", allow_abbrev=False, description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--space", choices=SPACES, required=True, help="'vipose search spaces' shows them")
    parser.add_argument("--budget", required=True, help="4.2ms (needs --table) or 300M multiply-accumulates of one crop")
    parser.add_argument("--table", type=Path, metavar="JSON", help="latency table of 'vipose search profile'")
    parser.add_argument("--networks", type=positive, default=50, metavar="N", help="networks to train (%(default)s)")
    parser.add_argument(
        "--at-least", type=float, default=0.8, metavar="SHARE", help="of the budget; cheaper ones are skipped (%(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder; an unfinished baseline is gone on with")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no report")
    add_trials(parser)
    return parser.parse_args(argv)
