"""Training of the person detector: ``python -m vipose.models.training.detection --data DIR... --out DIR``.

First the fused stem learns from Lite0's first blocks, then the whole detector learns people; ImageNet's batch-norm
statistics stay frozen. The run keeps a checkpoint in OUT, resumes from it and ends when its minutes are spent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vipose.models.arguments import Parser
from vipose.models.data.detection import AugmentConfig, Picture, Sampler, read_pictures, split
from vipose.models.data.detector_teacher import RTMDetTeacher
from vipose.models.networks.detector import STRIDES, Detector, DetectorArch, cell_centres, decode
from vipose.models.networks.lite0 import load_imagenet
from vipose.models.training.assignment import LossConfig, Targets, assign, detection_loss
from vipose.models.training.checkpoint import (
    load_checkpoint,
    load_weights,
    random_state,
    recipe_changes,
    restore_random,
    save_checkpoint,
)
from vipose.models.training.detection_eval import average_precision, detect_picture, input_size
from vipose.models.training.detector_distillation import Answers, distillation_loss
from vipose.models.training.device import CPU, Compute, add_device, choose, keep_memory
from vipose.models.training.distil_stem import DistilConfig, distil_stem, normalised
from vipose.models.training.interrupt import Interruption
from vipose.models.training.loop import EMA, Log, parameter_groups, update
from vipose.models.training.schedule import Length, Plan, add_length, length_of
from vipose.runtime.errors import ModelError

__all__ = ["DetectionConfig", "main", "train"]

PLAN = Plan(rate=2e-3, epochs=50, cosine=True, warm_up_steps=200)
"""Learning rate where the length is given in epochs, of ``epoch_steps`` batches each."""

ASPECTS = ((16, 9), (3, 2), (4, 3), (1, 1), (3, 4), (9, 16))
"""Shapes of the frames that batches are made for."""
LEAST_PIXELS = 4096  # two cells of the coarsest level along either side


@dataclass(frozen=True)
class DetectionConfig:
    """One training run.

    Attributes:
        arch: the network.
        pixels: of the input, about; a batch has the shape that 16:9, 4:3, square or portrait frames get at run time.
        minutes: wall-clock budget of the detector's training, without the stem's.
        epochs: length in epochs of ``epoch_steps`` batches, instead of the budget.
        batch, rate, weight_decay, ema: AdamW and its averages; ``backbone_rate`` is relative to ``rate``.
        clip: largest norm of the gradient.
        calm: last share of the budget, without mosaics.
        stem_share: first share of the budget, in which the stem learns too; it costs a fifth of a step.
        epoch_steps: batches between checkpoints; ``watch_every`` so many of them the held-out pictures are looked at.
        bf16: dense convolutions in bfloat16 (autocast); a third less time a step on CPUs that have it.
        sources: how often a picture of a source is drawn, see :class:`Sampler`: those of coco are the hardest and the most
            like the pictures that people take, and only a fifth of all.
        distillation: weight of what a teacher says beside what the labels say, where there is one.
        threads: torch's threads.
        seed: of weights and samples.
    """

    arch: DetectorArch = field(default_factory=DetectorArch)
    pixels: int = 61440
    minutes: float = 60.0
    epochs: float | None = None
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
    sources: dict[str, float] = field(default_factory=lambda: {"coco": 2.5})
    distillation: float = 2.0
    threads: int = 1
    seed: int = 0
    stem: DistilConfig = field(default_factory=DistilConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    @property
    def length(self) -> Length:
        """What a run lasts."""
        return Length("epochs", (self.epochs,)) if self.epochs is not None else Length("minutes", (self.minutes,))

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Width, height of batches, without doubles."""
        return list(dict.fromkeys(input_size(self.pixels, w, h) for w, h in ASPECTS))

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self) | {"arch": self.arch.to_json()}


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
        if saved is None or "average" not in saved:
            raise ModelError(f"there is no detector in '{start}'; give the detector.pt of another run")
        load_weights(network, saved["average"], start)
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
        compute: device and precision of the network; assignment and loss are many small steps and stay on the CPU.
        teacher: a detector to learn from as well.
    """

    def __init__(
        self,
        config: DetectionConfig,
        groups: Sequence[Sequence[Picture]],
        shares: Sequence[float],
        out: Path,
        start: Path | None = None,
        compute: Compute = CPU,
        teacher: RTMDetTeacher | None = None,
    ) -> None:
        self.teacher = teacher
        self.config, self.checkpoint = config, out / "detector.pt"
        self.compute = replace(compute, bf16=compute.bf16 and config.bf16)
        self.network = self.compute.network(initial_network(config, groups[0], out, start))
        self.averaged = Detector(config.arch)
        self.optimiser = torch.optim.AdamW(self._parameters(), lr=config.rate)
        self.average, self.epoch = EMA(self.network, config.ema), 0
        saved = self._resume()
        self.schedule = config.length.schedule(0, PLAN, config.epoch_steps, saved.get("schedule", saved))
        self.sampler = Sampler(groups, shares, config.augment, config.seed + 1000 * self.epoch, config.sources)
        restore_random(saved.get("random"), self.sampler.rng)
        self.sizes = config.sizes
        self.cells = {size: cells(size) for size in self.sizes}

    def _parameters(self) -> list[dict[str, Any]]:
        """Parameter groups; ``factor`` scales the learning rate of each."""
        network, decay = self.network, self.config.weight_decay
        new = nn.ModuleList([network.neck, network.tower, network.outputs])
        parts = ((network.backbone, self.config.backbone_rate), (new, 1.0))
        return [g | {"factor": factor} for part, factor in parts for g in parameter_groups(part, decay)]

    def _resume(self) -> dict[str, Any]:
        """What the run's checkpoint holds beside network, optimiser and average, which are put back."""
        saved = load_checkpoint(self.checkpoint)
        if saved is None:
            return {}
        recipe = {**saved.get("recipe", {}), "arch": saved["arch"]}
        for line in recipe_changes(recipe, self.config.to_json(), self.checkpoint):
            print(f"resumed with another setting: {line}", flush=True)
        load_weights(self.network, saved["network"], self.checkpoint)
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average.load(saved["average"], saved["steps"])
        self.epoch = saved["epoch"]
        return saved

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(
            self.checkpoint,
            network=self.network.state_dict(),
            optimiser=self.optimiser.state_dict(),
            average=self.average.state,
            steps=self.average.steps,
            spent_s=self.schedule.seconds,
            schedule=self.schedule.state(),
            random=random_state(self.sampler.rng),
            epoch=self.epoch,
            arch=self.config.arch.to_json(),
            recipe=self.config.to_json(),
        )

    def step(self) -> dict[str, float]:
        """One batch; returns the parts of the loss."""
        config, progress = self.config, self.schedule.progress
        if progress > 1 - config.calm:
            self.sampler.config = replace(config.augment, mosaic=0.0)
        size = self.sizes[int(self.sampler.rng.integers(len(self.sizes)))]
        centres, strides = self.cells[size]
        samples = [self.sampler(size) for _ in range(config.batch)]
        images, targets = collate(samples, centres)
        freeze_statistics(self.network)
        self.network.backbone.stem.requires_grad_(progress < config.stem_share)
        (images,) = self.compute.move(images.contiguous(memory_format=torch.channels_last))
        with self.compute.autocast():
            levels = self.network(images)
        boxes, logits = decode([level.float().cpu() for level in levels])
        chosen = assign(boxes, logits, centres, strides, targets, config.loss)
        loss, parts = detection_loss(boxes, logits, chosen, targets, config.loss)
        if self.teacher is not None:
            answers = Answers(*map(torch.from_numpy, self.teacher.dense(np.stack([image for image, _, _ in samples]))))
            taught, more = distillation_loss(boxes, logits, answers, config.loss)
            loss, parts = loss + config.distillation * taught, parts | more
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        update(self.network, self.optimiser, self.average, self.schedule.rate(config.rate), config.clip)
        self.schedule.advance()
        return parts

    def run_epoch(self, stop: Callable[[], bool] = lambda: False) -> dict[str, float] | None:
        """``epoch_steps`` batches or what is left of the run.

        Returns:
            Mean losses, samples a second and the last learning rate; None where ``stop`` cut the epoch short.
        """
        sums: dict[str, float] = {}
        steps, start = 0, time.monotonic()
        while not self.schedule.done and steps < self.config.epoch_steps:
            for key, value in self.step().items():
                sums[key] = sums.get(key, 0.0) + value
            steps += 1
            if stop():
                return None
        self.epoch += 1
        self.averaged.load_state_dict(self.average.state)
        per_s = steps * self.config.batch / (time.monotonic() - start)
        rate = self.optimiser.param_groups[-1]["lr"]
        return {"per_s": per_s, "rate": rate, **{k: v / max(steps, 1) for k, v in sums.items()}}


def train(
    config: DetectionConfig,
    data: Sequence[Path],
    shares: Sequence[float],
    out: Path,
    start: Path | None = None,
    compute: Compute = CPU,
    teacher: RTMDetTeacher | None = None,
) -> Detector:
    """Train, or go on from OUT/detector.pt; returns the averaged network.

    Args:
        config: the run.
        data: folders that :func:`read_pictures` reads; one picture in 20 of the first is held out to watch the run.
        shares: how often each folder is drawn from.
        out: folder for stem, checkpoint and log.
        start: checkpoint of another run to begin with, instead of the ImageNet weights.
        compute: device and precision.
        teacher: a detector to learn from as well.

    Raises:
        InputError: data cannot be read. ModelError: the ImageNet weights are missing, or the checkpoint does not fit.
        SystemExit: a signal stopped the run, after its checkpoint was written.
    """
    torch.set_num_threads(config.threads)
    cv2.setNumThreads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    pictures, held = split(read_pictures(data[0]))
    groups = [pictures, *(read_pictures(folder) for folder in data[1:])]
    trainer = Trainer(config, groups, shares, out, start, compute, teacher)
    log, schedule = Log(out / "log.jsonl"), trainer.schedule
    with Interruption() as interruption:
        while not schedule.done:
            facts = trainer.run_epoch(lambda: interruption.requested)
            trainer.save()
            if facts is None:
                interruption.leave(trainer.checkpoint, schedule.progress)
            if trainer.epoch % config.watch_every == 0 or schedule.done:
                found = [detect_picture(trainer.averaged, p.image, config.pixels) for p in held]
                facts["held_ap50"] = average_precision(found, held)
            log(**{**schedule.facts(), "epoch": trainer.epoch, **facts})
    trainer.averaged.load_state_dict(trainer.average.state)
    return trainer.averaged.eval()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns an exit code."""
    parser = Parser(prog="vipose train person-detector", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders with train.npz and train-NN.tar")
    parser.add_argument("--shares", type=float, nargs="+", help="how often each folder is drawn from (equal)")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and log; resumes what it holds")
    add_length(
        parser, Length("minutes", (DetectionConfig.minutes,)), f"of {DetectionConfig.epoch_steps} batches an epoch"
    )
    parser.add_argument("--rate", type=float, default=DetectionConfig.rate, help="largest learning rate (%(default)s)")
    parser.add_argument("--start", type=Path, help="detector.pt of another run to begin with")
    parser.add_argument("--teacher", type=Path, help="RTMDet-nano, person, as ONNX: learn from it at every cell as well")
    parser.add_argument("--pixels", type=int, default=DetectionConfig.pixels, help="of the input, about (%(default)s)")
    parser.add_argument("--threads", type=int, default=DetectionConfig.threads, help="CPU threads (%(default)s)")
    parser.add_argument("--seed", type=int, default=DetectionConfig.seed)
    add_device(parser)
    args = parser.parse_args(argv)
    shares = args.shares or [1.0] * len(args.data)
    if len(shares) != len(args.data):
        parser.error(f"{len(shares)} shares for {len(args.data)} folders; give one each")
    if args.pixels < LEAST_PIXELS:
        parser.error(f"--pixels {args.pixels} is too small an input; give {LEAST_PIXELS} or more")
    length, compute = length_of(args), choose(args.device, args.precision)
    config = replace(
        DetectionConfig(rate=args.rate, pixels=args.pixels, threads=args.threads, seed=args.seed),
        **{length.unit: length.amounts[0]},  # type: ignore[arg-type]
    )
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps(asdict(config), indent=1) + "\n", encoding="utf-8")
    keep_memory()
    teacher = RTMDetTeacher(args.teacher, args.threads) if args.teacher else None
    train(config, args.data, shares, args.out, args.start, compute, teacher)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
