"""Training of the person detector: ``python -m vipose.models.training.detection --data DIR... --out DIR``.

First the fused stem learns from Lite0's first blocks, then the whole detector learns people; ImageNet's batch-norm
statistics stay frozen. The run keeps a checkpoint in OUT, resumes from it and ends when its minutes are spent.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vipose.models.data.detection import AugmentConfig, Picture, Sampler, read_pictures, split
from vipose.models.networks.detector import STRIDES, Detector, DetectorArch, cell_centres, decode
from vipose.models.networks.lite0 import load_imagenet
from vipose.models.training.assignment import LossConfig, Targets, assign, detection_loss
from vipose.models.training.detection_eval import average_precision, detect_picture
from vipose.models.training.distil_stem import DistilConfig, distil_stem, normalised
from vipose.models.training.loop import EMA, Budget, Log, load_checkpoint, parameter_groups, save_checkpoint
from vipose.runtime.errors import ModelError

__all__ = ["DetectionConfig", "main", "train"]


@dataclass(frozen=True)
class DetectionConfig:
    """One training run.

    Attributes:
        arch: the network.
        sizes: (width, height) of batches, drawn at random; like what the letterbox of 16:9, 4:3, square and
            portrait frames gives at run time.
        minutes: wall-clock budget of the detector's training, without the stem's.
        batch, rate, weight_decay, ema: AdamW and its averages; ``backbone_rate`` is relative to ``rate``.
        clip: largest norm of the gradient.
        calm: last share of the budget, without mosaics.
        stem_share: first share of the budget, in which the stem learns too; it costs a fifth of a step.
        epoch_steps: batches between checkpoints; ``watch_every`` so many of them the held-out pictures are looked at.
        bf16: dense convolutions in bfloat16 (autocast); a third less time a step on CPUs that have it.
        threads: torch's threads.
        seed: of weights and samples.
    """

    arch: DetectorArch = field(default_factory=DetectorArch)
    sizes: tuple[tuple[int, int], ...] = ((288, 160), (256, 192), (224, 224), (192, 256), (192, 224))
    minutes: float = 60.0
    batch: int = 16
    rate: float = 2e-3
    backbone_rate: float = 0.4
    weight_decay: float = 0.02
    ema: float = 0.9993
    clip: float = 10.0
    calm: float = 0.25
    stem_share: float = 0.75
    epoch_steps: int = 200
    watch_every: int = 5
    bf16: bool = True
    threads: int = 1
    seed: int = 0
    stem: DistilConfig = field(default_factory=DistilConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)


def freeze_statistics(network: Detector) -> None:
    """Training mode, except for the statistics of the backbone's batch norms."""
    network.train()
    for module in network.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def collate(samples: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], centres: Tensor) -> tuple[Tensor, Targets]:
    """Samples (image, people, ignored boxes) to normalised images and padded targets."""
    most = max(1, *(len(people) for _, people, _ in samples))
    boxes = torch.zeros(len(samples), most, 4)
    valid = torch.zeros(len(samples), most, dtype=torch.bool)
    ignored = torch.zeros(len(samples), len(centres), dtype=torch.bool)
    for row, (_, people, leave) in enumerate(samples):
        boxes[row, : len(people)] = torch.from_numpy(people)
        valid[row, : len(people)] = True
        if len(leave):
            area = torch.from_numpy(leave)
            inside = (centres[:, None] > area[None, :, :2]) & (centres[:, None] < area[None, :, 2:])
            ignored[row] = inside.all(-1).any(-1)
    return normalised(np.stack([image for image, _, _ in samples])), Targets(boxes, valid, ignored)


def cells(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Centres [M, 2] and strides [M] of all cells for an input of (width, height)."""
    grids = [cell_centres(size[1] // s, size[0] // s, s) for s in STRIDES]
    strides = [torch.full((len(g),), float(s)) for g, s in zip(grids, STRIDES, strict=True)]
    return torch.cat(grids), torch.cat(strides)


def initial_network(
    config: DetectionConfig, pictures: Sequence[Picture], out: Path, start: Path | None = None
) -> Detector:
    """ImageNet weights behind a distilled stem, which is kept in OUT/stem.pt; or the averaged weights of ``start``."""
    torch.manual_seed(config.seed)
    network = Detector(config.arch)
    if start is not None:
        saved = load_checkpoint(start)
        if saved is None:
            raise ModelError(f"there is no checkpoint '{start}'; give the detector.pt of another run")
        network.load_state_dict(saved["average"])
        return network
    load_imagenet(network.backbone)
    file = out / "stem.pt"
    if not file.exists():
        distil_stem(network.backbone.stem, pictures, config.stem)
        torch.save(network.backbone.stem.state_dict(), file)
    network.backbone.stem.load_state_dict(torch.load(file, weights_only=True))
    return network


class Trainer:
    """One run: network, optimiser, average and budget, kept in OUT/detector.pt.

    Args:
        config: the run.
        groups: pictures by origin; the first group's are also what the stem is taught with.
        shares: how often each group is drawn from.
        out: folder for stem, checkpoint and log.
        start: checkpoint of another run to begin with.
    """

    def __init__(
        self,
        config: DetectionConfig,
        groups: Sequence[Sequence[Picture]],
        shares: Sequence[float],
        out: Path,
        start: Path | None = None,
    ) -> None:
        self.config, self.checkpoint = config, out / "detector.pt"
        self.network = initial_network(config, groups[0], out, start)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = Detector(config.arch)
        self.optimiser = torch.optim.AdamW(self._parameters(), lr=config.rate)
        self.average, self.budget, self.epoch = EMA(self.network, config.ema), Budget(config.minutes), 0
        self._resume()
        self.sampler = Sampler(groups, shares, config.augment, config.seed + 1000 * self.epoch)
        self.cells = {size: cells(size) for size in config.sizes}

    def _parameters(self) -> list[dict[str, Any]]:
        """Parameter groups; ``factor`` scales the learning rate of each."""
        network, decay = self.network, self.config.weight_decay
        new = nn.ModuleList([network.neck, network.tower, network.outputs])
        parts = ((network.backbone, self.config.backbone_rate), (new, 1.0))
        return [g | {"factor": factor} for part, factor in parts for g in parameter_groups(part, decay)]

    def _resume(self) -> None:
        saved = load_checkpoint(self.checkpoint)
        if saved is None:
            return
        self.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average.state, self.average.steps = saved["average"], saved["steps"]
        self.budget, self.epoch = Budget(self.config.minutes, saved["spent_s"]), saved["epoch"]

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(
            self.checkpoint,
            network=self.network.state_dict(),
            optimiser=self.optimiser.state_dict(),
            average=self.average.state,
            steps=self.average.steps,
            spent_s=self.budget.seconds,
            epoch=self.epoch,
            arch=self.config.arch.to_json(),
        )

    def step(self) -> dict[str, float]:
        """One batch; returns the parts of the loss."""
        config, progress = self.config, self.budget.progress
        if progress > 1 - config.calm:
            self.sampler.config = replace(config.augment, mosaic=0.0)
        size = config.sizes[int(self.sampler.rng.integers(len(config.sizes)))]
        centres, strides = self.cells[size]
        images, targets = collate([self.sampler(size) for _ in range(config.batch)], centres)
        freeze_statistics(self.network)
        self.network.backbone.stem.requires_grad_(progress < config.stem_share)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
            levels = self.network(images.contiguous(memory_format=torch.channels_last))
        boxes, logits = decode([level.float() for level in levels])
        chosen = assign(boxes, logits, centres, strides, targets, config.loss)
        loss, parts = detection_loss(boxes, logits, chosen, targets, config.loss)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
        rate = self.budget.rate(config.rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimiser.step()
        self.average.update(self.network)
        return parts

    def run_epoch(self) -> dict[str, float]:
        """``epoch_steps`` batches or what the budget allows; returns mean losses and samples a second."""
        sums: dict[str, float] = {}
        steps, start = 0, time.monotonic()
        while self.budget.progress < 1 and steps < self.config.epoch_steps:
            for key, value in self.step().items():
                sums[key] = sums.get(key, 0.0) + value
            steps += 1
        self.epoch += 1
        self.averaged.load_state_dict(self.average.state)
        rate = steps * self.config.batch / (time.monotonic() - start)
        return {"per_s": rate, **{k: v / max(steps, 1) for k, v in sums.items()}}


def train(
    config: DetectionConfig, data: Sequence[Path], shares: Sequence[float], out: Path, start: Path | None = None
) -> Detector:
    """Train, or go on from OUT/detector.pt; returns the averaged network.

    Args:
        config: the run.
        data: folders that :func:`read_pictures` reads; one picture in 20 of the first is held out to watch the run.
        shares: how often each folder is drawn from.
        out: folder for stem, checkpoint and log.
        start: checkpoint of another run to begin with, instead of the ImageNet weights.

    Raises:
        InputError: data cannot be read. ModelError: the ImageNet weights are missing.
    """
    torch.set_num_threads(config.threads)
    cv2.setNumThreads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    pictures, held = split(read_pictures(data[0]))
    trainer = Trainer(config, [pictures, *(read_pictures(folder) for folder in data[1:])], shares, out, start)
    log = Log(out / "log.jsonl")
    while trainer.budget.progress < 1:
        facts = trainer.run_epoch()
        trainer.save()
        if trainer.epoch % config.watch_every == 0 or trainer.budget.progress >= 1:
            found = [detect_picture(trainer.averaged, p.image) for p in held]
            facts["held_ap50"] = average_precision(found, held)
        log(epoch=trainer.epoch, progress=trainer.budget.progress, **facts)
    trainer.averaged.load_state_dict(trainer.average.state)
    return trainer.averaged.eval()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns an exit code."""
    parser = argparse.ArgumentParser(prog="vipose train person-detector", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders with train.npz and train-NN.tar")
    parser.add_argument("--shares", type=float, nargs="+", help="how often each folder is drawn from (equal)")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and log; resumes what it holds")
    parser.add_argument("--minutes", type=float, default=DetectionConfig.minutes, help="budget (%(default)s)")
    parser.add_argument("--rate", type=float, default=DetectionConfig.rate, help="largest learning rate (%(default)s)")
    parser.add_argument("--start", type=Path, help="detector.pt of another run to begin with")
    parser.add_argument("--threads", type=int, default=DetectionConfig.threads, help="CPU threads (%(default)s)")
    parser.add_argument("--seed", type=int, default=DetectionConfig.seed)
    args = parser.parse_args(argv)
    shares = args.shares or [1.0] * len(args.data)
    if len(shares) != len(args.data):
        parser.error(f"{len(shares)} shares for {len(args.data)} folders; give one each")
    config = DetectionConfig(minutes=args.minutes, rate=args.rate, threads=args.threads, seed=args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps(asdict(config), indent=1) + "\n", encoding="utf-8")
    train(config, args.data, shares, args.out, args.start)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
