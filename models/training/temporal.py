"""Train T-ViPNets over several frames with propagated, warped heatmaps (ViPNAS, Xu et al. 2021, equations 1 and 2).

The S-ViPNet is fixed. It gives the heatmaps of frame 0; network t gets the picture of frame t and the heatmaps that
network t - 1 really put out, warped by the very call of the runtime. Losses of the T frames are summed. Targets are
those of the S-ViPNet's training and, by half, the S-ViPNet's own answer on the frame.

    python -m vipose.models.training.temporal --spatial RUN/best.pt --pack PACK ... --clips CLIPS ... --out RUN

The first stage trains one network for all phases at 128x96; the second splits it into T of their own at 256x192.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from vipose.models.data.people import Augmentation, PackedPeople
from vipose.models.data.sequences import Clips, carry, clip_sequence, still_sequence
from vipose.models.networks.architecture import Fusion
from vipose.models.networks.base import scaled_softmax
from vipose.models.networks.fused import FusedArch, FusedPoseNet
from vipose.models.training.loop import (
    EMA,
    Budget,
    Log,
    channels_last,
    cross_entropy,
    load_checkpoint,
    parameter_groups,
    save_checkpoint,
)
from vipose.models.training.spatial import normalise

__all__ = ["TemporalRecipe", "main", "train"]

TEMPORAL = FusedArch(
    stem=16, widths=(32, 48, 96, 128), depths=(0, 1, 1, 0), head=32, fusion=Fusion(stage=1, operator="cat")
)


@dataclass(frozen=True)
class TemporalRecipe:
    """Everything that decides a run. ``sizes``, ``minutes``, ``batches`` and ``rates`` have one entry a stage."""

    arch: FusedArch = TEMPORAL
    T: int = 3
    sizes: tuple[tuple[int, int], ...] = ((96, 128), (192, 256))
    minutes: tuple[float, ...] = (14.0, 33.0)
    batches: tuple[int, ...] = (32, 16)
    rates: tuple[float, ...] = (2e-3, 8e-4)
    weight_decay: float = 0.02
    sigma: float = 2.0
    clip_share: float = 0.5
    spatial_share: float = 0.5
    sources: dict[str, float] = field(
        default_factory=lambda: {"coco": 3.0, "lspe": 0.6, "sports": 0.8, "voc2012": 1.5, "human": 1.5, "clip": 0.4}
    )
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0


class SequenceStream(IterableDataset[Any]):
    """Endless batches of sequences, fields of :class:`Sequence2D` stacked."""

    def __init__(self, people: PackedPeople, clips: Clips | None, recipe: TemporalRecipe, stage: int) -> None:
        self.people, self.clips, self.recipe, self.stage = people, clips, recipe, stage
        self.probability = people.weights(recipe.sources)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        cv2.setNumThreads(1)
        info = get_worker_info()
        rng = np.random.default_rng([self.recipe.seed, self.stage, info.seed if info else 0])
        recipe, size = self.recipe, self.recipe.sizes[self.stage]
        sigma = recipe.sigma * size[0] / 192
        while True:
            batch = []
            for _ in range(recipe.batches[self.stage]):
                if self.clips is not None and rng.random() < recipe.clip_share:
                    rows = self.clips.window(recipe.T + 1, rng)
                    batch.append(clip_sequence(self.clips, rows, size, sigma, recipe.augmentation, rng))
                else:
                    row = int(rng.choice(len(self.people), p=self.probability))
                    batch.append(
                        still_sequence(self.people, row, recipe.T + 1, size, sigma, recipe.augmentation, rng)
                    )
            names = ("images", "distribution", "weight", "warp", "shift", "keep")
            yield tuple(torch.from_numpy(np.stack([getattr(s, n) for s in batch])) for n in names)


def propagate(heatmaps: Tensor, warp: Tensor, shift: Tensor, keep: Tensor) -> Tensor:
    """Heatmaps [N, K, h, w] of the last frame as priors of the next; no gradient flows through (the runtime has none)."""
    maps = heatmaps.detach().float().numpy()
    rows = zip(maps, warp.numpy(), shift.numpy(), keep.numpy(), strict=True)
    return torch.from_numpy(np.stack([carry(*row) for row in rows]))


def sequence_loss(
    spatial: FusedPoseNet, networks: nn.ModuleList, batch: tuple[Tensor, ...], recipe: TemporalRecipe, sigma: float
) -> Tensor:
    """Summed loss of the T propagated frames of a batch."""
    images, distribution, weight, warp, shift, keep = batch
    n, frames = images.shape[:2]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = spatial(normalise(images.flatten(0, 1))).float().unflatten(0, (n, frames))
    logits = logits.clone()
    heatmaps = scaled_softmax(logits[:, 0], sigma)
    total = torch.zeros(())
    for t in range(1, frames):
        network = networks[min(t, len(networks)) - 1]
        prior = propagate(heatmaps, warp[:, t - 1], shift[:, t - 1], keep[:, t - 1])
        with torch.autocast("cpu", torch.bfloat16):
            out = network(normalise(images[:, t]), prior)
        answer = torch.softmax(logits[:, t].flatten(2), -1).view_as(logits[:, t])
        known = weight[:, t - 1]
        # Where nobody knows the joint, the key-frame network's answer alone keeps the two in step.
        share = torch.where(known > 0.1, recipe.spatial_share, 1.0)[..., None, None]
        target = (1 - share) * distribution[:, t - 1] + share * answer
        total = total + cross_entropy(out, target, known.clamp(min=0.25))
        heatmaps = scaled_softmax(out.float(), sigma)
    return total


def load_spatial(path: Path) -> FusedPoseNet:
    """A trained S-ViPNet from ``best.pt`` of its run, frozen."""
    state = torch.load(path, map_location="cpu", weights_only=False)
    network = FusedPoseNet(FusedArch.from_json(state["arch"]))
    network.load_state_dict(state["state_dict"])
    return channels_last(network.eval().requires_grad_(False))


def train(
    recipe: TemporalRecipe,
    spatial: list[Path],
    packs: list[Path],
    clips: list[Path],
    out: Path,
    workers: int = 1,
    threads: int = 2,
) -> None:
    """Run or resume. ``spatial`` has one S-ViPNet a stage (or one for all)."""
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    log, people = Log(out / "log.jsonl"), PackedPeople(packs)
    moving = Clips(clips) if clips else None
    networks = channels_last(nn.ModuleList([FusedPoseNet(recipe.arch)]))
    state = load_checkpoint(out / "last.pt")
    first = 0 if state is None else int(state["stage"])
    for stage in range(first, len(recipe.sizes)):
        if stage > 0 and len(networks) == 1:
            networks = nn.ModuleList(copy.deepcopy(networks[0]) for _ in range(recipe.T))
        ema = EMA(networks)
        optimiser = torch.optim.AdamW(parameter_groups(networks, recipe.weight_decay), lr=recipe.rates[stage])
        spent = 0.0
        if state is not None:
            networks.load_state_dict(state["model"])
            ema.state, ema.steps, spent = state["ema"], state["steps"], state["spent_s"]
            optimiser.load_state_dict(state["optimiser"])
            state = None
        key = load_spatial(spatial[min(stage, len(spatial) - 1)])
        log(stage=stage, people=len(people), clips=len(moving or ()), networks=len(networks), spent_s=spent)
        stream = SequenceStream(people, moving, recipe, stage)
        loader = DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)
        run_stage(recipe, stage, key, networks, ema, optimiser, Budget(recipe.minutes[stage], spent), loader, log, out)
        networks.load_state_dict(ema.state)  # the next stage goes on from the averaged weights


def run_stage(
    recipe: TemporalRecipe,
    stage: int,
    spatial: FusedPoseNet,
    networks: nn.ModuleList,
    ema: EMA,
    optimiser: torch.optim.Optimizer,
    budget: Budget,
    loader: Any,
    log: Log,
    out: Path,
) -> None:
    """One stage until its budget is spent; a checkpoint every three minutes and at the end."""
    networks.train()
    sigma = recipe.sigma * recipe.sizes[stage][0] / 192
    saved = start_s = budget.seconds
    total, seen = 0.0, 0

    def checkpoint(spent_s: float) -> None:
        everything = {"model": networks.state_dict(), "ema": ema.state, "steps": ema.steps, "stage": stage}
        save_checkpoint(out / "last.pt", optimiser=optimiser.state_dict(), spent_s=spent_s, **everything)
        save_checkpoint(out / "best.pt", state_dict=ema.state, arch=recipe.arch.to_json(), recipe=asdict(recipe))

    for step, batch in enumerate(loader):
        if budget.progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = budget.rate(recipe.rates[stage])
        loss = sequence_loss(spatial, networks, batch, recipe, sigma)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(networks.parameters(), 5.0)
        optimiser.step()
        ema.update(networks)
        total, seen = total + loss.item() / recipe.T, seen + len(batch[0])
        if step % 50 == 49:
            speed = seen / (budget.seconds - start_s)
            log(stage=stage, step=step + 1, loss=total / 50, progress=budget.progress, sequences_per_s=speed)
            total = 0.0
        if budget.seconds - saved > 180:
            checkpoint(budget.seconds)
            saved = budget.seconds
    checkpoint(budget.seconds)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spatial", type=Path, nargs="+", required=True, help="best.pt of the S-ViPNet, one a stage or one")
    parser.add_argument("--pack", type=Path, nargs="+", required=True, help="packs of stills")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="clip packs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an unfinished one is resumed")
    parser.add_argument("--minutes", type=float, nargs=2, default=TemporalRecipe.minutes, help="shared at 128x96, separate at 256x192")
    parser.add_argument("--workers", type=int, default=1, help="loader processes")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    args = parser.parse_args(argv)
    recipe = TemporalRecipe(minutes=tuple(args.minutes))
    train(recipe, args.spatial, args.pack, args.clips, args.out, args.workers, args.threads)


if __name__ == "__main__":
    main()
