"""Where a training computes and in which precision: CPU or CUDA, bf16 autocast or fp32."""

from __future__ import annotations

import argparse
import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from vipose.models.data.teacher import MEAN, STD
from vipose.models.training.depthwise import FastDepthwise
from vipose.runtime.errors import DeviceError

__all__ = ["CPU", "Compute", "Precision", "add_device", "choose", "keep_memory", "normalise"]

Precision = Literal["auto", "bf16", "fp32"]
Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Compute:
    """A device and a precision, and what a training does with them."""

    device: torch.device
    bf16: bool

    @property
    def pin_memory(self) -> bool:
        """For the DataLoader: copies to CUDA run beside the computation only from pinned memory."""
        return self.device.type == "cuda"

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """The forward pass of a step: bf16 where the device has it, and depthwise convolutions that CPUs are fast at."""
        fast = FastDepthwise() if self.device.type == "cpu" else nullcontext()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16), fast:
            yield

    def network(self, module: Module) -> Module:
        """The module on the device, with channels-last kernels (1.6 times as fast on a CPU), in place."""
        module.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return module

    def move(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Tensors on the device; from pinned memory without waiting."""
        return tuple(t.to(self.device, non_blocking=True) for t in tensors)

    def images(self, batch: Tensor) -> Tensor:
        """A loader's uint8 [N, H, W, 3] as normalised float [N, 3, H, W] on the device: a quarter of the bytes travels."""
        return normalise(batch.to(self.device, non_blocking=True))


CPU = Compute(torch.device("cpu"), bf16=True)
"""What trainings did before they could choose."""


def normalise(images: Tensor) -> Tensor:
    """uint8 [N, H, W, 3] to normalised float [N, 3, H, W] in channels-last memory, on the same device."""
    width = images.shape[2]
    # Whole rows of R, G, B: a broadcast over three numbers would be ten times as slow on a CPU.
    mean, std = (torch.from_numpy(v).to(images.device).repeat(width) for v in (MEAN, STD))
    return images.flatten(2).float().sub_(mean).div_(std).view(images.shape).permute(0, 3, 1, 2)


def choose(name: str = "auto", precision: Precision = "auto", local_rank: int = 0) -> Compute:
    """Find the device that a user asks for.

    Args:
        name: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda" or "cuda:N".
        precision: "auto" is bf16 where the device computes in it and fp32 elsewhere.
        local_rank: number of this process on its machine; "auto" and "cuda" then mean the CUDA device of this number.

    Raises:
        DeviceError: there is no such device, or it has no bf16 and that was asked for.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if count else "cpu"
    if name == "cuda":
        name = f"cuda:{local_rank}"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()) or (kind == "cpu" and number):
        raise DeviceError(f"'{name}' is no device; give auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(number) >= count:
        why = f"this PyTorch sees {count} CUDA device{'s' * (count != 1)}"
        if torch.version.cuda is None:
            why = "this PyTorch was built without CUDA"
        raise DeviceError(f"'{name}' is not there: {why}; give --device cpu, or another number")
    device = torch.device(name)
    has = _has_bf16(device)
    if precision == "bf16" and not has:
        raise DeviceError(f"'{name}' does not compute in bf16; give --precision fp32")
    return Compute(device, has and precision != "fp32")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device`` and ``--precision`` for :func:`choose`."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (%(default)s)")
    parser.add_argument(
        "--precision", choices=("auto", "bf16", "fp32"), default="auto", help="auto is bf16 where the device has it"
    )


def keep_memory() -> bool:
    """Let glibc keep what is freed, instead of giving big tensors back to the system and getting them anew at every step.

    Every such return costs a page fault a page: up to a third of a step on a CPU where activations are large. The process
    then holds what it needed at most. Returns False where the C library has no such switch.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    # M_MMAP_MAX 0, M_TRIM_THRESHOLD never, M_TOP_PAD 256 MiB (malloc.h); the last two are ints there.
    settings = ((-4, 0), (-1, 2**31 - 1), (-2, 2**28))
    mallopt = ctypes.CDLL(None).mallopt
    accepted = [mallopt(option, value) == 1 for option, value in settings]
    return all(accepted)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # older ones only emulate it
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # not in PyTorch 2.4
    if capabilities is not None:
        found = capabilities()
        return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "avx_ne_convert", "arm_bf16", "bf16"))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
