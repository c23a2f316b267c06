"""Several processes that train one network, as torchrun starts them.

There is no DistributedDataParallel here: super-networks run through ``torch.func.functional_call`` and add gradients of
several passes, so gradients are averaged once a step, explicitly. With one process everything is a no-op.

    torchrun --nproc-per-node 2 --no-python vipose train s-vipnas --pack PACK --out RUN
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from vipose.runtime.errors import UsageError

__all__ = ["ALONE", "World", "join", "local_rank"]

TIMEOUT = timedelta(minutes=15)
"""Longer than the first rank's longest pause alone (an evaluation between two steps)."""


@dataclass(frozen=True)
class World:
    """This process among those that train together.

    Attributes:
        rank: its number, from 0. ``first`` alone writes the log and the checkpoints.
        size: how many there are.
        device: where tensors that are exchanged must lie: CUDA with nccl, else the CPU.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def seed(self, base: int) -> int:
        """A seed for this process's samples; that of the first, or only, one is ``base``."""
        return base if self.first else int(np.random.SeedSequence([base, self.rank]).generate_state(1)[0])

    @torch.no_grad()
    def copy_from_first(self, module: nn.Module) -> None:
        """Give parameters and buffers of the first process to all."""
        if self.size > 1:
            for tensor in [*module.parameters(), *module.buffers()]:
                whole = tensor.detach().contiguous()  # channels-last memory does not travel as it is
                dist.broadcast(whole, 0)
                tensor.copy_(whole)

    @torch.no_grad()
    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes, with one exchange.

        A parameter without a gradient counts as zero where another process has one (random sub-networks differ), and stays
        without one where nobody has: an optimiser must not touch it.
        """
        if self.size == 1:
            return
        wanted = [p for p in parameters if p.requires_grad]
        present = torch.tensor([float(p.grad is not None) for p in wanted], device=self.device)
        pieces = [torch.zeros_like(p) if p.grad is None else p.grad for p in wanted]
        flat = torch.cat([*(piece.reshape(-1).float() for piece in pieces), present])
        dist.all_reduce(flat)
        *means, holders = torch.split(flat, [*(p.numel() for p in wanted), len(wanted)])
        for parameter, piece, mean, holder in zip(wanted, pieces, means, holders.tolist(), strict=True):
            parameter.grad = piece.copy_(mean.view(piece.shape) / self.size) if holder else None

    def any(self, flag: bool) -> bool:
        """True in all processes if it is true in one."""
        if self.size == 1:
            return flag
        value = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return bool(value)

    def agree(self, *values: float) -> tuple[float, ...]:
        """The first process's values in all: clocks differ, and learning rates must not."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(tensor, 0)
        return tuple(tensor.tolist())


ALONE = World()


def local_rank() -> int:
    """Number of this process on its machine; 0 without torchrun."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def join(device: torch.device) -> Iterator[World]:
    """Meet the other processes that torchrun started, and part from them at the end.

    Args:
        device: of this process; CUDA talks through nccl, the CPU through gloo.

    Raises:
        UsageError: there should be several processes, but the environment does not say where they meet.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UsageError(f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set; start with torchrun")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield World(dist.get_rank(), size, device)
        dist.barrier()  # whoever leaves first must not break another's last exchange
    finally:
        dist.destroy_process_group()
