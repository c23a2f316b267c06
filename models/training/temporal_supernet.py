"""Train a temporal super-network over several frames (ViPNAS, section 3.4.2, equations 1 and 2).

    vipose train t-supernet --spatial S/best.pt --pack PACK ... --clips CLIPS ... --out RUN

The S-ViPNet is fixed. All T frames share one super-network whose biggest network is the S-ViPNet's, with its weights to begin
with, and which holds a fusion module for every stage and operator. Each batch is propagated through four plans of T
networks (the sandwich rule): the biggest and the smallest CNN, the same on all frames with a fusion drawn for every frame,
and two plans whose frames all have a network of their own. The biggest learns from the labels and the S-ViPNet's answer;
the others from the labels and, with the same weight, from the biggest's answers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vipose.models.arguments import Parser
from vipose.models.data.people import PackedPeople
from vipose.models.data.sequences import Clips
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.search.space import Choice, Space
from vipose.models.search.spaces import SPACES, elastic_space
from vipose.models.search.temporal_space import choice_of, frame_space, space_of, with_random_fusion
from vipose.models.training.device import CPU, Compute
from vipose.models.training.propagation import (
    SequenceBatch,
    SequenceRecipe,
    SequenceStream,
    key_frame,
    load_spatial,
    of_stages,
    propagate_backward,
    stages_of,
    trained_size,
)
from vipose.models.training.schedule import VIPNAS_T_SUPER, Length
from vipose.models.training.schedule import Plan as SchedulePlan
from vipose.models.training.session import Session, add_session, session
from vipose.models.training.spatial import check_joints
from vipose.models.training.stages import train_stages
from vipose.runtime.errors import InputError

__all__ = ["Plan", "TemporalSupernetRecipe", "main", "plans", "supernet_of", "train"]

Plan = tuple[Architecture, ...]
"""Descriptions of the networks of frames 1..T."""


@dataclass(frozen=True, kw_only=True)
class TemporalSupernetRecipe(SequenceRecipe):
    """Everything that decides a run. ``T`` is that of training; a search may have another.

    Attributes:
        space: in which the S-ViPNet lies.
        random: random plans a batch.
        soft_share: of the biggest's answer in the others' targets.
    """

    space: str = "fast-fused"
    random: int = 2
    soft_share: float = 0.5
    sizes: tuple[tuple[int, int], ...] = ((192, 256),)
    minutes: tuple[float, ...] = (40.0,)
    batches: tuple[int, ...] = (12,)
    rates: tuple[float, ...] = (1e-3,)
    plan: SchedulePlan = VIPNAS_T_SUPER


def plans(frame: Space, T: int, random: int, rng: np.random.Generator) -> list[Plan]:
    """The sandwich of one batch: the biggest plan, the smallest, then random ones.

    Args:
        frame: the space of one T-ViPNet.
        T: frames.
        random: random plans; every frame of theirs has its own network.
        rng: draws them, and the fusions of all.
    """
    ends = [[with_random_fusion(end, rng) for _ in range(T)] for end in (frame.biggest, frame.smallest)]
    drawn = [[frame.sample(rng) for _ in range(T)] for _ in range(random)]
    return [tuple(frame.architecture(choice) for choice in plan) for plan in (*ends, *drawn)]


def sandwich_backward(
    whole: SuperNetwork,
    drawn: Sequence[Plan],
    spatial: PoseNetwork,
    batch: SequenceBatch,
    recipe: TemporalSupernetRecipe,
    compute: Compute = CPU,
) -> float:
    """Add the gradients of all plans, the first of which teaches the others; returns the first one's mean loss of a frame."""
    frames = key_frame(spatial, batch, recipe.sigma, compute)
    teacher, share, first = frames.answers, recipe.spatial_share, 0.0
    for number, plan in enumerate(drawn):

        def run(t: int, image: Tensor, prior: Tensor, plan: Plan = plan) -> Tensor:
            out: Tensor = whole(image, prior, arch=plan[t - 1])
            return out

        loss, answers = propagate_backward(plan, run, frames, teacher, share, compute)
        if number == 0:
            teacher, share, first = answers, recipe.soft_share, loss
    return first


def supernet_of(spatial: PoseNetwork) -> SuperNetwork:
    """A temporal super-network whose biggest network is the S-ViPNet, with its weights; fusion modules are new."""
    whole = SuperNetwork(spatial.arch, temporal=True)
    whole.embed(spatial)
    return whole


def train(
    recipe: TemporalSupernetRecipe,
    spatial: Sequence[Path],
    packs: Sequence[Path],
    clips: Sequence[Path],
    out: Path,
    session: Session | None = None,
    found: Choice | None = None,
) -> None:
    """Run or resume; ``out/best.pt`` holds the averaged super-network and the S-ViPNet.

    Args:
        recipe: the run.
        spatial: ``best.pt`` of the S-ViPNet, one a stage or one for all; the first gives the weights to begin with.
        packs: of stills; people of the validation split are left out.
        clips: clip packs.
        out: folder of the run.
        session: device, processes, length, loader.
        found: the S-ViPNet's choice in its space; worked out from its description where it is None.

    Raises:
        InputError: the S-ViPNet does not lie in the space, or those of two stages differ.
    """
    session = session or Session()
    compute, world = session.compute, session.world
    torch.manual_seed(world.seed(recipe.seed))
    keys, searched = [load_spatial(path, compute) for path in spatial], elastic_space(recipe.space)
    if any(key.arch != keys[0].arch for key in keys):
        raise InputError("the S-ViPNets of the stages differ; give networks of one architecture, trained at different sizes")
    found = found or choice_of(searched, keys[0].arch)
    frame, whole = frame_space(searched, found), supernet_of(keys[0])
    by_size = of_stages(keys, recipe.sizes)
    people, moving = PackedPeople(packs), Clips(clips) if clips else None
    for packed in (people, moving):
        if packed is not None:
            check_joints(keys[0].arch, packed)
    rng = np.random.default_rng(recipe.seed)  # the same plans in all processes, or their gradients would not fit

    def backward(batch: SequenceBatch) -> float:
        drawn, (height, width) = plans(frame, recipe.T, recipe.random, rng), batch.images.shape[2:4]
        return sandwich_backward(whole, drawn, by_size[width, height], batch, recipe, compute)

    def stream(stage: int) -> SequenceStream:
        return SequenceStream(people, moving, recipe, stage, True, world.size)

    fixed = {"arch": keys[-1].arch.to_json(), "state_dict": keys[-1].state_dict()}
    facts = {"space": recipe.space, "found": found, "arch": whole.biggest.to_json(), "T": recipe.T, "spatial": fixed}
    train_stages(
        recipe, whole, backward, stream, out, facts, session, len(people), [rng], clips=len(moving or ()), space=frame.name
    )


def main(argv: list[str] | None = None) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", choices=SPACES, help="in which the S-ViPNet lies (default: the first that holds it)")
    parser.add_argument(
        "--spatial", type=Path, nargs="+", required=True,
        help="best.pt of the S-ViPNet; each further one makes a stage at the size that it was trained at",
    )  # fmt: skip
    parser.add_argument("--pack", type=Path, nargs="+", required=True, help="packs of stills")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="clip packs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an unfinished one is resumed")
    parser.add_argument("--frames", type=int, default=TemporalSupernetRecipe.T, help="propagated frames of a sequence")
    parser.add_argument("--random", type=int, default=TemporalSupernetRecipe.random, help="random plans a batch")
    count, _ = stages_of(argv)
    minutes = Length("minutes", (40.0,) if count == 1 else (20.0,) * count)
    add_session(parser, minutes, "per S-ViPNet; the paper has 60 epochs")
    args = parser.parse_args(argv)
    with session(args) as here:
        sizes = tuple(map(trained_size, args.spatial))
        recipe = TemporalSupernetRecipe(
            space=args.space or space_of(load_spatial(args.spatial[0]).arch, filter(lambda s: s.elastic, SPACES.values())).name,
            T=args.frames,
            random=args.random,
            sizes=sizes,
            minutes=minutes.amounts,
            batches=tuple(24 if width < 192 else 12 for width, _ in sizes),
            rates=(1e-3, *(6e-4,) * (count - 1)),
        ).lasting(here.length)
        train(recipe, args.spatial, args.pack, args.clips, args.out, here)


if __name__ == "__main__":
    main()
