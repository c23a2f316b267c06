"""Search the architectures, fusion stages and fusion operators of T networks together, under one budget for their sum.

    vipose search temporal --supernet RUN/best.pt --clips VALIDATION --budget 5ms --table TABLE.json -o T.json --extract T.pt

All T frames are one choice, so that a frame which needs more gets more (ViPNAS, section 3.4.3, equation 3): the mean AP over
the T frames is made large while the sum of their costs stays within the budget. Networks propagate for real, each on the
heatmaps of the one before. The super-network serves any T without training again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from vipose.models.arguments import Parser
from vipose.models.data.people import PackedPeople
from vipose.models.data.sequences import Clips
from vipose.models.data.split import validation_rows
from vipose.models.networks.architecture import Architecture
from vipose.models.search.explore import Problem, Proposal, Rank, evolutionary_search, random_search
from vipose.models.search.latency import LatencyTable
from vipose.models.search.prices import Prices
from vipose.models.search.propagated import PropagationEvaluator
from vipose.models.search.result import Budget, Candidate, parse_budget, save_result, show_cost
from vipose.models.search.sequences import Sequences, clip_windows, drifting_stills
from vipose.models.search.temporal_checkpoints import TemporalSupernet, read_temporal_supernet, save_networks
from vipose.models.search.temporal_result import TemporalResult, chosen_architectures, joint_hash, load_temporal_result
from vipose.models.search.temporal_space import JointSpace
from vipose.runtime.errors import EXIT_OK, InputError, UsageError

__all__ = ["JointSearch", "SequenceSource", "add_inputs", "evaluator", "main", "prices", "search", "wanted_of"]

Plan = tuple[Architecture, ...]
Method = Literal["random", "evolution"]
LONGEST = 4
"""The largest T that validation sequences are cut for, so that searches for different T look at the same ones."""


@dataclass(frozen=True)
class JointSearch:
    """What a temporal search is asked for.

    Attributes:
        budget: for the sum over the T frames.
        T: propagated frames.
        shared: one network for all frames instead of one for each.
        method: ``random`` as in the paper, or ``evolution``.
        samples: evaluations.
        seed: of the candidates.
        at_least: only networks that cost at least this share of the budget are looked at.
    """

    budget: Budget
    T: int = 3
    shared: bool = False
    method: Method = "random"
    samples: int = 500
    seed: int = 0
    at_least: float = 0.8


@dataclass(frozen=True)
class SequenceSource:
    """Where sequences come from.

    Attributes:
        clips: packs of clips that no training saw; the teacher's or PoseTrack's keypoints are the labels.
        packs: packs of stills; those held out of training are validated on under a drifting camera, others serve to
            estimate statistics. Without them a quarter of the clips' windows is set aside for that.
        count: validation sequences at most.
        calibration: sequences to estimate statistics on, at most.
        stride: frames of a clip from one frame of a sequence to the next.
        stills: also validate on the held-out stills (always, where there are no clips).
    """

    clips: tuple[Path, ...] = ()
    packs: tuple[Path, ...] = ()
    count: int = 240
    calibration: int = 160
    stride: int = 1
    stills: bool = False

    def sequences(self, frames: int, size: tuple[int, int], seed: int = 0) -> tuple[Sequences, Sequences]:
        """Validation and calibration sequences, without a common picture.

        Args:
            frames: of a sequence, the key frame included.
            size: width, height of the crops.
            seed: of the drift of stills, and of the draw of those for calibration.

        Raises:
            UsageError: there are neither clips nor packs.
            InputError: a pack is not there or damaged, or nobody is left to validate on.
        """
        if not self.clips and not self.packs:
            raise UsageError("give --clips with clips that no training saw, or --pack with stills, or both")
        validation, calibration = list[Sequences](), list[Sequences]()
        if self.clips:
            clips = Clips(list(self.clips))
            kept = {} if self.packs else {"leave": 4}
            validation.append(clip_windows(clips, frames, self.count, size, self.stride, **kept))
            if not self.packs:
                calibration.append(clip_windows(clips, frames, self.calibration, size, self.stride, only=4))
        if self.packs:
            people = PackedPeople(list(self.packs))
            held, rng = validation_rows(people), np.random.default_rng(seed)
            free = np.setdiff1d(np.arange(len(people)), held)
            free = rng.choice(free, min(self.calibration, len(free)), replace=False)
            calibration.append(drifting_stills(people, free, frames, size, seed))
            if self.stills or not self.clips:
                rows = held[np.unique(np.linspace(0, len(held) - 1, min(self.count, len(held))).round().astype(int))]
                validation.append(drifting_stills(people, rows, frames, size, seed))
        return sum(validation[1:], validation[0]), sum(calibration[1:], calibration[0])


def search(
    wanted: JointSearch, trained: TemporalSupernet, measure: PropagationEvaluator, costs: Prices, out: Path, supernet: str
) -> TemporalResult:
    """Search, or go on with the search in ``out``, which is written after every evaluation.

    Args:
        wanted: what is asked for.
        trained: the super-network.
        measure: accuracy on its sequences.
        costs: what networks cost.
        out: JSON of the result.
        supernet: path that is kept in it.

    Raises:
        UsageError: a budget in milliseconds without a table.
        InputError: no networks meet the budget (the message says what the cheapest cost), the table lacks their parts, or
            ``out`` is of another search or cannot be read.
    """
    joint, unit = JointSpace.of(trained.frame, wanted.T, wanted.shared), wanted.budget.unit
    costs.check(unit, trained.frame.architecture(trained.frame.smallest))
    result = TemporalResult(
        space=trained.space.name, size=measure.size, cost_size=costs.crop, budget=wanted.budget, at_least=wanted.at_least,
        method=wanted.method, samples=wanted.samples, seed=wanted.seed, supernet=supernet, supernet_sha256=trained.sha256,
        table=None if costs.path is None else str(costs.path), table_sha256=costs.sha256, validation=measure.describe(),
        spatial=trained.found, T=wanted.T, shared=wanted.shared,
    )  # fmt: skip
    result = _resumed(result, out)

    def evaluate(proposal: Proposal[Plan]) -> Rank:
        nonlocal result
        known = result.found(joint_hash(proposal.described))
        if known is None:
            known = _evaluated(proposal, measure, costs)
            result = result.adding(known)
            save_result(out, result)
            _tell(result)
        return known.rank

    def price(archs: Plan) -> float:
        return costs(archs).of(unit)

    def show(value: float) -> str:
        return show_cost(value, unit)

    problem = Problem(joint, joint.architectures, price, wanted.budget.limit, wanted.at_least, show)
    explore = random_search if wanted.method == "random" else evolutionary_search
    done = explore(problem, evaluate, wanted.samples, wanted.seed)
    if len(done) < wanted.samples:
        print(f"only {len(done)} different candidates were found within {wanted.budget}", flush=True)
    return result


def _evaluated(proposal: Proposal[Plan], measure: PropagationEvaluator, costs: Prices) -> Candidate:
    accuracy, price = measure(proposal.described), costs(proposal.described)
    by_frame = {f"frame {t}": frame.ap for t, frame in enumerate(accuracy.frames, 1)}
    name = joint_hash(proposal.described)
    return Candidate(proposal.choice, name, price.ms, price.macs, price.parameters, accuracy.ap, accuracy.oks, by_frame)


def _resumed(result: TemporalResult, out: Path) -> TemporalResult:
    """The same search with the candidates that it had evaluated."""
    if not out.exists():
        return result
    before = load_temporal_result(out)
    changed = before.differences(result)
    if changed:
        raise InputError(
            f"{out} holds a search with another {', '.join(changed)}; give another -o, or delete it to search anew"
        )
    return replace(result, candidates=before.candidates)


def _tell(result: TemporalResult) -> None:
    """One line: how far the search is, this candidate and the best."""
    last, best = result.candidates[-1], result.chosen
    assert best is not None
    unit = result.budget.unit
    frames = " ".join(f"{ap:.3f}" for ap in last.by_source.values())
    print(
        f"{len(result.candidates)}/{result.samples}  AP {last.ap:.4f} ({frames})  {show_cost(last.cost(unit), unit)}  "
        f"best {best.ap:.4f} at {show_cost(best.cost(unit), unit)}",
        flush=True,
    )


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Options that the search and its ablations share."""
    parser.add_argument("--supernet", type=Path, required=True, help="best.pt of 'vipose train t-supernet'")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="clip packs that no training saw")
    parser.add_argument("--pack", type=Path, nargs="*", default=[], help="packs of stills: held-out ones, and calibration")
    parser.add_argument("--stills", action="store_true", help="with --clips: validate on held-out stills of --pack too")
    parser.add_argument("--budget", required=True, help="for the sum over the T frames: 5ms, 300M (MACs)")
    parser.add_argument("--table", type=Path, help="latency table of 'vipose search profile --temporal'")
    parser.add_argument("--frames", type=int, default=3, metavar="T", help=f"propagated frames, 1..{LONGEST} (%(default)s)")
    parser.add_argument("--samples", type=int, default=500, help="candidates (%(default)s, as in the paper)")
    parser.add_argument("--method", choices=get_args(Method), default="random", help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--at-least", type=float, default=0.8, metavar="SHARE", help="of the budget that candidates use (%(default)s)")
    parser.add_argument("--sequences", type=int, default=240, help="validation sequences (%(default)s)")
    parser.add_argument("--calibration", type=int, default=160, help="sequences for statistics (%(default)s)")
    parser.add_argument("--stride", type=int, default=1, help="frames of a clip between two of a sequence (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (default: torch's own)")


def wanted_of(args: argparse.Namespace) -> JointSearch:
    """The search that the options ask for.

    Raises:
        UsageError: a number is out of range.
    """
    for name, least, most in (
        ("frames", 1, LONGEST), ("samples", 1, 10**9), ("sequences", 1, 10**9), ("calibration", 2, 10**9),
        ("stride", 1, 1000), ("at_least", 0.0, 1.0),
    ):  # fmt: skip
        if not least <= getattr(args, name) <= most:
            option, bound = "--" + name.replace("_", "-"), "or more" if most >= 10**9 else f"to {most}"
            raise UsageError(f"{option} {getattr(args, name)} is not allowed; give {least} {bound}")
    return JointSearch(
        parse_budget(args.budget), args.frames, False, args.method, args.samples, args.seed, args.at_least
    )


def evaluator(args: argparse.Namespace, trained: TemporalSupernet) -> PropagationEvaluator:
    """The evaluator that the options ask for."""
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    source = SequenceSource(
        tuple(args.clips), tuple(args.pack), args.sequences, args.calibration, args.stride, args.stills
    )
    validation, calibration = source.sequences(LONGEST + 1, trained.size, args.seed)
    return PropagationEvaluator(trained.spatial, validation, calibration, trained.network.extract)


def prices(args: argparse.Namespace, trained: TemporalSupernet) -> Prices:
    """The prices that the options ask for: at the size of the table, else at that of the space."""
    table = None if args.table is None else LatencyTable.load(args.table)
    return Prices(trained.space.size, table, args.table)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns an exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_inputs(parser)
    parser.add_argument("--shared", action="store_true", help="one network for all frames")
    parser.add_argument("-o", "--out", type=Path, required=True, help="result as JSON; an unfinished one is gone on with")
    parser.add_argument("--extract", type=Path, help="write the chosen networks for 'vipose export' and '--start'")
    args = parser.parse_args(argv)
    wanted = replace(wanted_of(args), shared=args.shared)
    trained = read_temporal_supernet(args.supernet)
    costs = prices(args, trained)
    costs.check(wanted.budget.unit)
    measure = evaluator(args, trained)
    result = search(wanted, trained, measure, costs, args.out, str(args.supernet))
    archs = chosen_architectures(result)
    for t, arch in enumerate(archs, 1):
        print(f"frame {t}: {arch}")
    if args.extract is not None:
        save_networks(args.extract, measure.networks(archs), trained.recipe)
        print(f"{args.extract}: networks of {len(archs)} frames")
    return EXIT_OK
