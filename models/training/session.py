"""How a training is run here and now: device, processes, length, loader. It is no part of a recipe: results differ only by luck."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from vipose.models.training.device import CPU, Compute, add_device, choose, keep_memory
from vipose.models.training.distributed import ALONE, World, join, local_rank
from vipose.models.training.schedule import Length, add_length, length_of

__all__ = ["Session", "add_session", "session"]


@dataclass(frozen=True)
class Session:
    """What a training needs to know beside its recipe.

    Attributes:
        compute: device and precision.
        world: the processes that train together.
        length: None for the minutes of the recipe.
        workers: loader processes of each process.
    """

    compute: Compute = CPU
    world: World = ALONE
    length: Length | None = None
    workers: int = 1

    def stages(self, part: slice) -> Session:
        """The same for some of the stages."""
        if self.length is None:
            return self
        return replace(self, length=replace(self.length, amounts=self.length.amounts[part]))


def add_session(parser: argparse.ArgumentParser, default: Length, about: str = "per size") -> None:
    """Add ``--minutes``, ``--epochs``, ``--device``, ``--precision``, ``--workers`` and ``--threads``.

    Args:
        parser: of a training.
        default: what holds without ``--minutes`` or ``--epochs``, one figure a stage.
        about: what a stage is.
    """
    add_length(parser, default, about)
    add_device(parser)
    parser.add_argument("--workers", type=int, default=1, help="loader processes (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (%(default)s)")


@contextmanager
def session(args: argparse.Namespace) -> Iterator[Session]:
    """The session that a parsed command line asks for, until its training ends.

    Raises:
        DeviceError, UsageError: it asks for what is not there.
    """
    length = length_of(args)
    compute = choose(args.device, args.precision, local_rank())
    keep_memory()
    torch.set_num_threads(args.threads)
    with join(compute.device) as world:
        yield Session(compute, world, length, args.workers)
