"""Milliseconds of networks and of parts of networks in ONNX Runtime, as vipose runs them: one thread that sleeps between runs.

Made for a machine that does other work too. Everything that is to be compared runs in turn, round after round. The CPU time
of the thread is counted, not the wall clock, and of all rounds a low quantile is taken. A reference convolution runs in every
round, so that figures of one hour can be compared with those of another.

A part is timed between two 1x1 convolutions, whose time, measured in the same rounds, is taken off again. Otherwise it would
pay for bringing its tensors into and out of ONNX Runtime's blocked layout, which inside a network it does not.
"""

from __future__ import annotations

import copy
import io
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeVar

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn

from vipose.models.export import OPSET, DeployedPose
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.registry import build
from vipose.models.search.parts import Shape, output_shape
from vipose.models.tidy import merge_reductions
from vipose.runtime.bench.machine import processor_name
from vipose.runtime.bench.timing import interleaved
from vipose.runtime.errors import ModelError
from vipose.runtime.graphs import available_cores, first_line, runtime_errors, session_options

__all__ = [
    "Measurer",
    "PartTimer",
    "TableMachine",
    "Timed",
    "fill",
    "measure_module",
    "own_numbers",
    "time_network",
    "time_networks",
]

Module = TypeVar("Module", bound=nn.Module)
Run = Callable[[], object]
# On Windows the time of a thread advances in steps of 16 ms, longer than most networks take.
CLOCK = time.perf_counter if sys.platform == "win32" else time.thread_time
_WIRE = 16
"""Channels at the far ends of the two convolutions around a part: one block of the layout."""


@dataclass(frozen=True)
class Timed:
    """What one group of interleaved runs gave.

    Attributes:
        ms: in the order of what was timed.
        reference_ms: the reference convolution in the same rounds.
    """

    ms: tuple[float, ...]
    reference_ms: float


@dataclass(frozen=True)
class TableMachine:
    """What a table holds for: another processor or ONNX Runtime takes other times. One thread does not mind how many cores there are.

    Attributes:
        processor: its name, or that of the GPU.
        cores: of the processor.
        onnxruntime: version; empty where parts were timed in PyTorch.
        threads: of ONNX Runtime.
        pytorch: version, where parts were timed in it.
        batch: crops a run.
    """

    processor: str
    cores: int = field(compare=False)
    onnxruntime: str
    threads: int = 1
    pytorch: str = ""
    batch: int = 1

    @classmethod
    def this(cls) -> Self:
        return cls(processor_name(), available_cores(), str(ort.__version__))

    def __str__(self) -> str:
        if self.pytorch:
            return f"{self.processor}, PyTorch {self.pytorch}, batch {self.batch}"
        return f"{self.processor}, {self.cores} cores, ONNX Runtime {self.onnxruntime}"


class PartTimer(Protocol):
    """What fills a latency table: :class:`Measurer` in ONNX Runtime, or
    :class:`vipose.models.search.measure_device.DeviceMeasurer` in PyTorch on a GPU."""

    def machine(self) -> TableMachine:
        """What its times hold for."""

    def parts(self, parts: Sequence[tuple[nn.Module, tuple[Shape, ...]]]) -> Timed:
        """Milliseconds of modules, each given by the module and the shapes [1, C, H, W] of its inputs."""

    def networks(self, archs: Sequence[Architecture], size: tuple[int, int]) -> Timed:
        """Milliseconds of whole networks for crops of a size (width, height)."""


class Measurer:
    """Times groups of parts or networks against the reference.

    Args:
        rounds: timed runs of each.
        quantile: of a run's times that counts, 0 = the fastest.
        clock: seconds.
    """

    def __init__(self, rounds: int = 40, quantile: float = 0.1, clock: Callable[[], float] = CLOCK) -> None:
        self.rounds, self.quantile, self.clock = rounds, quantile, clock

    def machine(self) -> TableMachine:
        """The processor and the ONNX Runtime of this process."""
        return TableMachine.this()

    def parts(self, parts: Sequence[tuple[nn.Module, tuple[Shape, ...]]]) -> Timed:
        """Milliseconds of modules by themselves, each given by the module and the shapes [1, C, H, W] of its inputs."""
        wires = [[s for s in (*shapes, output_shape(module, shapes)) if _blocked(s)] for module, shapes in parts]
        shapes_of_wires = list(dict.fromkeys(s for around in wires for s in around))
        with own_numbers():
            runs = [_part_run(module, shapes) for module, shapes in parts]
            runs += [_wire_run(shape) for shape in shapes_of_wires]
        timed = self._time(runs)
        wire_ms = dict(zip(shapes_of_wires, timed.ms[len(parts) :], strict=True))
        # A wire is two convolutions of equal work, of which a part has one at each side.
        net = [ms - sum(wire_ms[s] for s in around) / 2 for ms, around in zip(timed.ms, wires, strict=False)]
        return Timed(tuple(max(ms, 0.0) for ms in net), timed.reference_ms)

    def networks(self, archs: Sequence[Architecture], size: tuple[int, int]) -> Timed:
        """Milliseconds of whole networks as they ship, for crops of a size (width, height), one crop a run."""
        with own_numbers():
            runs = [_network_run(arch, size) for arch in archs]
        return self._time(runs)

    def _time(self, runs: Sequence[Run]) -> Timed:
        with own_numbers():
            reference = _reference_run()
        # The reference runs at both ends of a round.
        line = [reference, *runs, reference]
        work = {str(place): run for place, run in enumerate(line)}
        samples = interleaved(work, self.rounds, clock=self.clock)
        low = [float(np.quantile(samples[place].samples_ms, self.quantile)) for place in work]
        return Timed(tuple(low[1:-1]), (low[0] + low[-1]) / 2)


def measure_module(module: nn.Module, input_shapes: Sequence[Shape], measurer: Measurer | None = None) -> float:
    """Milliseconds of any module that takes tensors [1, C, H, W] and gives one; its weights do not matter.

    Raises:
        ModelError: it cannot be exported or does not run in ONNX Runtime.
    """
    return (measurer or Measurer()).parts([(module, tuple(input_shapes))]).ms[0]


def time_network(arch: Architecture, size: tuple[int, int], repeats: int = 40) -> float:
    """Milliseconds of a whole network as it ships, for one crop of a size (width, height)."""
    return time_networks([arch], size, repeats)[0]


def time_networks(archs: Sequence[Architecture], size: tuple[int, int], repeats: int = 40) -> list[float]:
    """Milliseconds of whole networks, run in turn, so that their ratios hold on a machine that does other work."""
    return list(Measurer(repeats).networks(archs, size).ms)


@contextmanager
def own_numbers() -> Iterator[None]:
    """Random weights and inputs that leave the caller's stream of random numbers as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class _Between(nn.Module):
    """A part between 1x1 convolutions, which leave and take tensors in the blocked layout as its neighbours do."""

    def __init__(self, part: nn.Module, shapes: Sequence[Shape]) -> None:
        super().__init__()
        out = output_shape(part, shapes)
        self.before = nn.ModuleList(nn.Conv2d(_WIRE, s[1], 1) if _blocked(s) else nn.Identity() for s in shapes)
        self.part = part
        self.after = nn.Conv2d(out[1], _WIRE, 1) if _blocked(out) else nn.Identity()

    def forward(self, *inputs: Tensor) -> Tensor:
        out: Tensor = self.after(self.part(*(b(x) for b, x in zip(self.before, inputs, strict=True))))
        return out


def _blocked(shape: Shape) -> bool:
    """Whether a tensor lies in the blocked layout inside a network: not the image, heatmaps or vectors.

    ONNX Runtime keeps multiples of 4 channels in it.
    """
    return len(shape) == 4 and shape[1] % 4 == 0 and shape[2] * shape[3] > 1


def _part_run(module: nn.Module, shapes: Sequence[Shape]) -> Run:
    part = _Between(fill(module), shapes)
    merge_reductions(part)  # as an export does
    ends = [(s[0], _WIRE, *s[2:]) if _blocked(s) else s for s in shapes]
    return _session_run(part, [torch.rand(s) for s in ends], [f"x{n}" for n in range(len(ends))])


def _wire_run(shape: Shape) -> Run:
    end = (shape[0], _WIRE, *shape[2:])
    return _session_run(nn.Sequential(nn.Conv2d(_WIRE, shape[1], 1), nn.Conv2d(shape[1], _WIRE, 1)), [torch.rand(end)], ["x"])


def _reference_run() -> Run:
    layers = (nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 32, 3, padding=1))
    return _session_run(nn.Sequential(*layers), [torch.rand(1, 32, 48, 36)], ["x"])


def _network_run(arch: Architecture, size: tuple[int, int]) -> Run:
    width, height = size
    with torch.device("meta"):
        network = build(arch)
    deployed = DeployedPose(fill(network), sigma=2.0)
    inputs = [torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8)]
    if arch.fusion is not None:
        inputs.append(torch.rand(1, arch.joints, height // 4, width // 4))
    return _session_run(deployed, inputs, ["image", "previous"][: len(inputs)])


def fill(module: Module) -> Module:
    """A copy on the CPU with random weights of a sane size: numbers that overflow or vanish would take other times."""
    made = copy.deepcopy(module).to_empty(device="cpu").eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, max(parameter[0].numel(), 1) ** -0.5)
            else:
                parameter.uniform_(0.5, 1.5)
        for buffer in made.buffers():
            buffer.fill_(1)
    return made


def _session_run(module: nn.Module, inputs: Sequence[Tensor], names: Sequence[str]) -> Run:
    """A function that runs a module once in ONNX Runtime."""
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's advice is for who writes the networks
            torch.onnx.export(
                module.eval(),
                tuple(inputs),
                buffer,  # type: ignore[arg-type]  # the exporter without dynamo writes to streams too
                dynamo=False,
                opset_version=OPSET,
                input_names=list(names),
                dynamic_axes={name: {0: "N"} for name in names},
            )
        session = ort.InferenceSession(buffer.getvalue(), session_options(1), providers=["CPUExecutionProvider"])
    except runtime_errors() as error:  # the exporter's are RuntimeErrors as well
        raise ModelError(f"{type(module).__name__} cannot be timed in ONNX Runtime ({first_line(error)}); see its export") from error
    feeds = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    return lambda: session.run(None, feeds)
