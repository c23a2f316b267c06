"""Train T-ViPNets over several frames with propagated, warped heatmaps (ViPNAS, Xu et al. 2021, equations 1 and 2).

    vipose train t-vipnas --spatial RUN/best.pt --pack PACK ... --clips CLIPS ... --out RUN2
    vipose train t-vipnas --start FOUND.pt --spatial RUN/best.pt --pack PACK ... --clips CLIPS ... --out RUN2

With --start the networks of a temporal search go on from the weights that it found, one architecture a frame; --frames gives frames
the network of another one to begin with, and --fusion moves the fusion modules, which begin anew. Without --start, the first stage trains one network for all frames in the folder 'shared',
and the others split it into T of their own. Targets are labels and, by half, the S-ViPNet's own answer on the frame.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vipose.models.arguments import Parser, fusion, positive, rate
from vipose.models.data.people import PackedPeople
from vipose.models.data.sequences import Clips
from vipose.models.networks.architecture import Architecture, Fusion
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.registry import architecture_from_json, build
from vipose.models.training.checkpoint import load_checkpoint, load_weights
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
from vipose.models.training.schedule import Length
from vipose.models.training.session import Session, add_session, session
from vipose.models.training.spatial import check_joints
from vipose.models.training.stages import train_stages
from vipose.runtime.errors import InputError, ModelError, UsageError

__all__ = ["TemporalRecipe", "load_networks", "main", "train"]

TEMPORAL = FusedArch(
    stem=16, widths=(32, 48, 96, 128), depths=(0, 1, 1, 0), head=32, fusion=Fusion(stage=1, operator="cat")
)


@dataclass(frozen=True, kw_only=True)
class TemporalRecipe(SequenceRecipe):
    """Everything that decides a run; ``archs`` is one description for all frames, or one for each of the T."""

    archs: tuple[Architecture, ...] = (TEMPORAL,)
    minutes: tuple[float, ...] = (14.0, 33.0)
    batches: tuple[int, ...] = (32, 16)
    rates: tuple[float, ...] = (2e-3, 8e-4)


def train(
    recipe: TemporalRecipe,
    spatial: Sequence[Path],
    packs: Sequence[Path],
    clips: Sequence[Path],
    out: Path,
    session: Session | None = None,
    start: Path | None = None,
    fusion: Fusion | None = None,
    frames: Sequence[int] = (),
) -> None:
    """Run or resume; ``out/best.pt`` holds the averaged weights and descriptions of the T networks.

    Args:
        recipe: the run; ``archs`` and ``T`` are those of ``start`` where it is given.
        spatial: ``best.pt`` of the S-ViPNet, one a stage or one for all.
        packs: of stills.
        clips: clip packs.
        out: folder of the run.
        session: device, processes, length, loader.
        start: T networks to begin with, from ``vipose search temporal --extract`` or another run.
        fusion: where and how they take in the heatmaps from now on; None leaves that.
        frames: of frames 1, 2, ...: the frame whose network of ``start`` they begin with; empty for their own.

    Raises:
        InputError, ModelError: ``start`` is not there or is something else.
        UsageError: it has no network of such a frame.
    """
    session = session or Session()
    torch.manual_seed(session.world.seed(recipe.seed))
    people, moving = PackedPeople(packs), Clips(clips) if clips else None
    keys = [load_spatial(path, session.compute) for path in spatial]
    for packed in (people, moving):
        if packed is not None:
            check_joints(keys[0].arch, packed)
    if start is not None:
        networks = load_networks(start)
        if frames:
            if max(frames) > len(networks):
                raise UsageError(f"there is no frame {max(frames)} in '{start}'; it has {len(networks)} networks")
            networks = [networks[frame - 1] for frame in frames]
        if fusion is not None:
            networks = [_fused_at(network, fusion) for network in networks]
        recipe = replace(recipe, archs=tuple(n.arch for n in networks), T=len(networks))
    elif len(recipe.archs) == 1:
        # One network for all frames learns from T times the data at first; then each frame gets its own.
        first = session.stages(slice(1))
        _run(recipe.stages(slice(1)), [build(recipe.archs[0])], keys[:1], people, moving, out / "shared", first)
        session.world.any(False)  # nobody reads before the first process has written
        networks = load_networks(out / "shared" / "best.pt") * recipe.T
        recipe, keys = replace(recipe.stages(slice(1, None)), archs=recipe.archs * recipe.T), keys[1:] or keys
        session = session.stages(slice(1, None))
    else:
        networks = [build(arch) for arch in recipe.archs]
    copies = [build(network.arch) for network in networks]
    for copy, network in zip(copies, networks, strict=True):
        copy.load_state_dict(network.state_dict())
    _run(recipe, copies, keys, people, moving, out, session)


def _run(
    recipe: TemporalRecipe,
    networks: Sequence[PoseNetwork],
    keys: Sequence[PoseNetwork],
    people: PackedPeople,
    clips: Clips | None,
    out: Path,
    session: Session,
) -> None:
    """Train networks, one for all frames or one for each, through the stages of a recipe."""
    model, compute = nn.ModuleList(networks), session.compute
    key_of = of_stages(keys, recipe.sizes)
    plan = [networks[min(t, len(networks)) - 1] for t in range(1, recipe.T + 1)]
    archs = [network.arch for network in plan]

    def run(t: int, image: Tensor, prior: Tensor) -> Tensor:
        out: Tensor = plan[t - 1](image, prior)
        return out

    def backward(batch: SequenceBatch) -> float:
        height, width = batch.images.shape[2:4]
        frames = key_frame(key_of[width, height], batch, recipe.sigma, compute)
        return propagate_backward(archs, run, frames, frames.answers, recipe.spatial_share, compute)[0]

    def stream(stage: int) -> SequenceStream:
        return SequenceStream(people, clips, recipe, stage, share=session.world.size)

    facts = {"archs": [network.arch.to_json() for network in networks]}
    train_stages(
        recipe, model, backward, stream, out, facts, session, len(people), clips=len(clips or ()), networks=len(networks)
    )


def load_networks(path: Path) -> list[PoseNetwork]:
    """The T-ViPNets of a file: ``best.pt`` of a run, or what ``vipose search temporal --extract`` wrote.

    Raises:
        InputError: the file is not there.
        ModelError: it holds something else.
    """
    state = load_checkpoint(path)
    if state is None:
        raise InputError(f"{path} does not exist; 'vipose search temporal --extract' writes networks to start from")
    if not {"archs", "state_dict"} <= state.keys():
        raise ModelError(f"{path} holds no T-ViPNets; give what 'vipose search temporal --extract' or 't-vipnas' wrote")
    networks = [build(architecture_from_json(arch)) for arch in state["archs"]]
    load_weights(nn.ModuleList(networks), state["state_dict"], path)
    return [network.eval() for network in networks]


def _fused_at(network: PoseNetwork, fusion: Fusion) -> PoseNetwork:
    """The network with a new fusion module at another place; all other weights stay."""
    moved = build(replace(network.arch, fusion=fusion))
    kept = {key: tensor for key, tensor in network.state_dict().items() if not key.startswith("fusion.")}
    moved.load_state_dict(kept, strict=False)
    return moved


def main(argv: list[str] | None = None) -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=Path, help="networks that 'vipose search temporal --extract' wrote")
    parser.add_argument(
        "--frames", type=positive, nargs="+", default=[], metavar="FRAME",
        help="frames whose networks of --start the frames begin with: 2 2 2 gives three frames that of the second",
    )  # fmt: skip
    parser.add_argument(
        "--fusion", type=fusion, metavar="STAGE-OPERATOR",
        help="where and how networks of --start take in the heatmaps from now on: stage 1 to 4, add, mul or cat",
    )  # fmt: skip
    parser.add_argument(
        "--spatial", type=Path, nargs="+", required=True,
        help="best.pt of the S-ViPNet, one for all stages or one for each; a stage has the size that it was trained at",
    )  # fmt: skip
    parser.add_argument("--pack", type=Path, nargs="+", required=True, help="packs of stills")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="clip packs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an unfinished one is resumed")
    count, started = stages_of(argv, fresh=2)
    first = () if started else (14.0,)
    minutes = Length("minutes", (*first, *(33.0,) * (count - len(first))))
    parser.add_argument("--rate", type=rate, metavar="R", help="largest learning rate, of every stage; less for a finish")
    add_session(parser, minutes, "per S-ViPNet" if started else "one network for all frames, then one for each")
    args = parser.parse_args(argv)
    if args.start is None and (args.fusion is not None or args.frames):
        raise UsageError("--frames and --fusion change networks that come with --start; give that too")
    with session(args) as here:
        sizes = tuple(trained_size(args.spatial[min(stage, len(args.spatial) - 1)]) for stage in range(count))
        recipe = TemporalRecipe(
            sizes=sizes,
            minutes=minutes.amounts,
            batches=tuple(32 if width < 192 else 16 for width, _ in sizes),
            rates=((5e-4, *(3e-4,) * count) if started else (2e-3, *(8e-4,) * count))[:count],
        ).lasting(here.length).with_rate(args.rate)
        train(recipe, args.spatial, args.pack, args.clips, args.out, here, args.start, args.fusion, args.frames)


if __name__ == "__main__":
    main()
