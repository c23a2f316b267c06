"""Milliseconds of networks and of their parts in PyTorch on a GPU, a batch of crops a run (EfficientPose, sections 4.1 and 4.3).

What is compared runs in turn, round after round; each time it runs some times in a row, so that the start of the first
counts little. CUDA events take the times, so that only the GPU's work counts; of all rounds the median is taken. The
networks run as they are trained: in PyTorch, fp32, in evaluation mode.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.registry import build
from vipose.models.search.measure import TableMachine, Timed, fill, own_numbers
from vipose.models.search.parts import Shape
from vipose.runtime.bench.machine import processor_name
from vipose.runtime.bench.timing import interleaved
from vipose.runtime.errors import DeviceError

__all__ = ["DeviceMeasurer", "cuda_measurer"]

BATCH = 32
"""Crops a run, as in the paper."""
Clock = Callable[[], float]


class DeviceMeasurer:
    """Times groups of parts or networks in PyTorch on a device; what it gives is for a whole batch.

    Args:
        device: where; the CPU works too.
        batch: crops a run.
        rounds: timed rounds.
        warm_up: rounds before, which are not timed: memory is allocated and kernels are chosen there.
        repeats: runs in a row of each in a round.
        clock: makes a clock that gives seconds; None for CUDA events, or the wall clock on a CPU.
    """

    def __init__(
        self,
        device: torch.device,
        batch: int = BATCH,
        rounds: int = 20,
        *,
        warm_up: int = 5,
        repeats: int = 10,
        clock: Callable[[], Clock] | None = None,
    ) -> None:
        self.device, self.batch = device, batch
        self.rounds, self.warm_up, self.repeats = rounds, warm_up, repeats
        self._clock = clock

    def machine(self) -> TableMachine:
        """The device that a table of these times holds for."""
        cuda = self.device.type == "cuda"
        name = torch.cuda.get_device_name(self.device) if cuda else processor_name()
        return TableMachine(name, 1, "", pytorch=str(torch.__version__), batch=self.batch)

    def parts(self, parts: Sequence[tuple[nn.Module, tuple[Shape, ...]]]) -> Timed:
        """Milliseconds of modules, each given by the module and the shapes [1, C, H, W] of its inputs."""
        return self._time([self._run(module, shapes) for module, shapes in parts])

    def networks(self, archs: Sequence[Architecture], size: tuple[int, int]) -> Timed:
        """Milliseconds of whole networks for crops of a size (width, height)."""
        width, height = size
        runs = []
        for arch in archs:
            with torch.device("meta"):
                network = build(arch)
            heatmaps = [] if arch.fusion is None else [(1, arch.joints, height // 4, width // 4)]
            runs.append(self._run(network, [(1, 3, height, width), *heatmaps]))
        return self._time(runs)

    def _run(self, module: nn.Module, shapes: Sequence[Shape]) -> Callable[[], object]:
        with own_numbers():
            made = fill(copy.deepcopy(module)).to(self.device)
            inputs = [torch.rand(self.batch, *shape[1:]).to(self.device) for shape in shapes]
        return lambda: self._repeat(made, inputs)

    @torch.inference_mode()
    def _repeat(self, module: nn.Module, inputs: Sequence[Tensor]) -> None:
        for _ in range(self.repeats):
            module(*inputs)

    def _time(self, runs: Sequence[Callable[[], object]]) -> Timed:
        layers = nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 32, 3, padding=1))
        work = {str(place): run for place, run in enumerate([self._run(layers, [(1, 32, 48, 36)]), *runs])}
        with torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext():
            clock = self._clock() if self._clock is not None else _clock_of(self.device)
            samples = interleaved(work, self.rounds, warm_up=self.warm_up, clock=clock)
        reference, *ms = (samples[place].p50 / self.repeats for place in work)
        return Timed(tuple(ms), reference)


def cuda_measurer(batch: int = BATCH) -> DeviceMeasurer:
    """For the first CUDA device; raises DeviceError where PyTorch sees none."""
    if not torch.cuda.is_available():
        raise DeviceError(
            "GPU latency needs a CUDA device, and PyTorch sees none here; measure on a machine that has one and give its table"
        )
    return DeviceMeasurer(torch.device("cuda"), batch)


def _clock_of(device: torch.device) -> Clock:
    if device.type != "cuda":
        return time.perf_counter
    event = partial(cast(Callable[..., torch.cuda.Event], torch.cuda.Event), enable_timing=True)
    first = event()
    first.record()

    def clock() -> float:
        """Seconds since the first event, once the GPU has done all that was asked before."""
        mark = event()
        mark.record()
        mark.synchronize()
        return float(first.elapsed_time(mark)) / 1e3

    return clock
