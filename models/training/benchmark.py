"""``vipose train bench``: where a training's time goes. Loader, network step, super-network step, one search evaluation.

A loader keeps a network busy when its samples/s are above the network's: both are measured alone, on one core each, and
then together. Run it on an idle machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from vipose.models.arguments import Parser
from vipose.models.data.people import PackedPeople
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.networks.registry import build
from vipose.models.search.evaluate import Evaluator, Validation, calibration_batches
from vipose.models.search.spaces import SPACES, elastic_space
from vipose.models.training.device import CPU, normalise
from vipose.models.training.loop import channels_last, forever
from vipose.models.training.losses import heatmap_loss
from vipose.models.training.spatial import PeopleStream, SpatialRecipe
from vipose.models.training.supernet import sandwich, sandwich_backward
from vipose.runtime.codec import sigma_at

__all__ = ["main", "rate"]


def rate(step: Callable[[], int], seconds: float) -> float:
    """Samples a second of a step that returns how many it did; the first call warms up and does not count."""
    step()
    done, start = 0, time.monotonic()
    while time.monotonic() - start < seconds:
        done += step()
    return done / (time.monotonic() - start)


def spatial_step(recipe: SpatialRecipe, batches: Iterator[Any]) -> Callable[[], int]:
    """One training step of a network on the next batch."""
    network = channels_last(build(recipe.arch)).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> int:
        images, target, weight = next(batches)
        with CPU.autocast():
            out = network(normalise(images))
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(heatmap_loss(recipe.arch, out, target, weight, sigma_at(recipe.sigma, images.shape[1])))
        optimiser.step()
        return len(images)

    return step


def supernet_step(name: str, batches: Iterator[Any]) -> Callable[[], int]:
    """One training step of a super-network (four sub-networks) on the next batch."""
    searched = elastic_space(name)
    whole = channels_last(SuperNetwork(searched.architecture(searched.biggest))).train()
    optimiser = torch.optim.AdamW(whole.parameters(), lr=1e-4)
    rng = np.random.default_rng(0)

    def step() -> int:
        images, target, weight = next(batches)
        optimiser.zero_grad(set_to_none=True)
        archs = sandwich(searched, 2, rng)
        sandwich_backward(whole, archs, normalise(images), target, weight, sigma_at(2.0, images.shape[1]))
        optimiser.step()
        return len(images)

    return step


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line a measurement."""
    parser = Parser(prog="vipose train bench", description=__doc__)
    parser.add_argument("--pack", type=Path, nargs="+", required=True, help="folders made by 'vipose train pack'")
    parser.add_argument("--space", default="fast-fused", choices=SPACES, help="super-network (%(default)s)")
    parser.add_argument("--small", action="store_true", help="crops of 96x128 instead of 192x256")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (%(default)s)")
    parser.add_argument("--seconds", type=float, default=15.0, help="a measurement (%(default)s)")
    args = parser.parse_args(argv)
    searched = elastic_space(args.space)
    torch.set_num_threads(args.threads)
    size, batch = ((96, 128), 64) if args.small else ((192, 256), 32)
    recipe = replace(SpatialRecipe(), sizes=(size,), batches=(batch,), minutes=(1.0,), rates=(1e-3,))
    people = PackedPeople(args.pack)
    stream = PeopleStream(people, recipe, 0)
    alone = iter(stream)
    print(f"crops of {size[0]}x{size[1]}, batch {batch}, {args.threads} torch thread(s), {len(people)} people")

    def load() -> int:
        return len(next(alone)[0])

    loading = rate(load, args.seconds)
    print(f"loader, one process            {loading:7.0f} samples/s")
    kept = [next(alone)]
    network = rate(spatial_step(recipe, forever(kept)), args.seconds)
    print(f"s-vipnas step                  {network:7.0f} samples/s (loader / network {loading / network:.1f})")
    whole = rate(supernet_step(args.space, forever(kept)), args.seconds)
    print(f"{args.space + ' super-network step':<30} {whole:7.0f} samples/s (loader / network {loading / whole:.1f})")
    with_worker = forever(DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=4))
    together = rate(spatial_step(recipe, with_worker), args.seconds)
    print(f"s-vipnas step with its loader  {together:7.0f} samples/s ({together / network:.0%} of the step alone)")
    supernet = SuperNetwork(searched.architecture(searched.biggest))
    evaluator = Evaluator(supernet, Validation.of(people, size), calibration_batches(people, size))
    start = time.monotonic()
    evaluator(searched.architecture(searched.sample(np.random.default_rng(0))))
    seconds = time.monotonic() - start
    print(f"one search evaluation          {seconds:7.1f} s ({len(evaluator.validation)} people)")
    return 0
