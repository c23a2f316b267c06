"""Train an S-ViPNet: cross-entropy over positions on people's labels and teacher heatmaps, small pictures first.

    python -m vipose.models.training.spatial --pack PACK [PACK ...] --out RUN --minutes 37 70

The figures of ``--minutes`` are spent at 128x96 and 256x192; each has its own warm-up and cosine.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from vipose.models.data.people import Augmentation, PackedPeople, random_view, render, targets
from vipose.models.data.teacher import MEAN, STD
from vipose.models.networks.fused import FusedArch, FusedPoseNet
from vipose.models.training.loop import (
    EMA,
    Budget,
    Log,
    channels_last,
    cross_entropy,
    forever,
    load_checkpoint,
    parameter_groups,
    save_checkpoint,
)

__all__ = ["SpatialRecipe", "main", "normalise", "train"]


SPATIAL = FusedArch(stem=16, widths=(32, 64, 128, 192), depths=(0, 1, 2, 2), head=64)


@dataclass(frozen=True)
class SpatialRecipe:
    """Everything that decides a run, kept in its checkpoint and in the card.

    ``sizes``, ``minutes``, ``batches`` and ``rates`` go together, one entry a stage; sizes are width, height, multiples of 32.
    """

    arch: FusedArch = SPATIAL
    sizes: tuple[tuple[int, int], ...] = ((96, 128), (192, 256))
    minutes: tuple[float, ...] = (37.0, 70.0)
    batches: tuple[int, ...] = (64, 32)
    rates: tuple[float, ...] = (2e-3, 1e-3)
    weight_decay: float = 0.02
    sigma: float = 2.0
    sources: dict[str, float] = field(
        default_factory=lambda: {"coco": 3.0, "lspe": 0.45, "sports": 0.8, "voc2012": 1.5, "human": 1.5, "clip": 0.4}
    )
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0



class PeopleStream(IterableDataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Endless batches: crops uint8 [B, H, W, 3], targets [B, 17, h, w], weights [B, 17]."""

    def __init__(self, people: PackedPeople, recipe: SpatialRecipe, stage: int) -> None:
        self.people, self.recipe, self.stage = people, recipe, stage
        self.probability = people.weights(recipe.sources)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        info = get_worker_info()
        cv2.setNumThreads(1)
        # Fresh numbers after a resume: the seed mixes in entropy of the worker that torch derives from its own.
        rng = np.random.default_rng([self.recipe.seed, self.stage, info.seed if info else 0])
        while True:
            rows = rng.choice(len(self.people), self.recipe.batches[self.stage], p=self.probability)
            samples = [self.sample(int(row), rng) for row in rows]
            yield tuple(torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True))  # type: ignore[misc]

    def sample(self, row: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
        size = self.recipe.sizes[self.stage]
        heatmap = (size[0] // 4, size[1] // 4)
        gt, box = self.people.gt[row], self.people.boxes[row]
        labelled = np.flatnonzero(gt[:, 2] > 0)
        known = np.column_stack([gt[labelled, :2], labelled]).astype(np.float32)
        view = random_view(box, known, size, self.recipe.augmentation, rng)
        image = render(self.people.images[row], view, size, self.recipe.augmentation, rng)
        sigma = self.recipe.sigma * size[0] / 192  # the same spread on the person at every size
        target = targets(gt, self.people.teacher(row), box, view, size, heatmap, sigma)
        return image, target.distribution, target.weight


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 [N, H, W, 3] to normalised float [N, 3, H, W] in channels-last memory."""
    x = (images.float() - torch.from_numpy(MEAN)) / torch.from_numpy(STD)
    return x.permute(0, 3, 1, 2)


def train(recipe: SpatialRecipe, packs: list[Path], out: Path, workers: int = 1, threads: int = 2) -> None:
    """Run or resume; ``out/last.pt`` holds everything, ``out/best.pt`` the averaged weights."""
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    log, people = Log(out / "log.jsonl"), PackedPeople(packs)
    model = channels_last(FusedPoseNet(recipe.arch))
    ema = EMA(model)
    state = load_checkpoint(out / "last.pt")
    first, spent = 0, 0.0
    if state is not None:
        model.load_state_dict(state["model"])
        ema.state, ema.steps, first, spent = state["ema"], state["steps"], state["stage"], state["spent_s"]
    log(people=len(people), parameters=sum(p.numel() for p in model.parameters()), stage=first, spent_s=spent)
    for stage in range(first, len(recipe.sizes)):
        optimiser = torch.optim.AdamW(parameter_groups(model, recipe.weight_decay), lr=recipe.rates[stage])
        if state is not None:
            optimiser.load_state_dict(state["optimiser"])
        budget = Budget(recipe.minutes[stage], spent)
        stream = PeopleStream(people, recipe, stage)
        loader = DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)
        run_stage(recipe, stage, model, ema, optimiser, budget, forever(loader), log, out)
        state, spent = None, 0.0


def run_stage(
    recipe: SpatialRecipe,
    stage: int,
    model: FusedPoseNet,
    ema: EMA,
    optimiser: torch.optim.Optimizer,
    budget: Budget,
    batches: Iterator[Any],
    log: Log,
    out: Path,
) -> None:
    """One stage until its budget is spent; a checkpoint every three minutes and at the end."""
    model.train()
    saved, total, seen, start_s = budget.seconds, 0.0, 0, budget.seconds

    def checkpoint(at_stage: int, spent_s: float) -> None:
        everything = {"model": model.state_dict(), "ema": ema.state, "steps": ema.steps, "stage": at_stage}
        save_checkpoint(out / "last.pt", optimiser=optimiser.state_dict(), spent_s=spent_s, **everything)
        save_checkpoint(out / "best.pt", state_dict=ema.state, arch=recipe.arch.to_json(), recipe=asdict(recipe))

    for step, (images, target, weight) in enumerate(batches):
        if budget.progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = budget.rate(recipe.rates[stage])
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(normalise(images))
        loss = cross_entropy(logits, target, weight)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        ema.update(model)
        total, seen = total + loss.item(), seen + len(images)
        if step % 100 == 99:
            speed = seen / (budget.seconds - start_s)
            log(stage=stage, step=step + 1, loss=total / 100, progress=budget.progress, per_s=speed)
            total = 0.0
        if budget.seconds - saved > 180:
            checkpoint(stage, budget.seconds)
            saved = budget.seconds
    checkpoint(stage + 1, 0.0)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, nargs="+", required=True, help="folders made by 'vipose train pack'")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an unfinished one is resumed")
    parser.add_argument("--minutes", type=float, nargs=2, default=SpatialRecipe.minutes, help="per size")
    parser.add_argument("--workers", type=int, default=1, help="loader processes")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    args = parser.parse_args(argv)
    train(SpatialRecipe(minutes=tuple(args.minutes)), args.pack, args.out, args.workers, args.threads)


if __name__ == "__main__":
    main()
