"""What choices cost: the lookup tables of a differentiable search (EfficientPose, equations 4 and 5).

Three kinds of cost: multiply-accumulates, milliseconds in ONNX Runtime on this CPU (one crop) and milliseconds in PyTorch on a
GPU (a batch). The last two come from a :class:`vipose.models.search.latency.LatencyTable`, with its calibration folded in, so
that a derived network's cost is the sum of its choices' costs; parts that a table lacks are measured into it.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from vipose.models.networks.architecture import Architecture
from vipose.models.search.cost import cost, count
from vipose.models.search.latency import LatencyTable
from vipose.models.search.measure_device import cuda_measurer
from vipose.models.search.parts import Shape, part_of
from vipose.models.search.relaxed import ChoiceCosts, RelaxedNetwork
from vipose.runtime.errors import InputError

__all__ = ["Macs", "Milliseconds", "PriceList", "gpu", "lookup", "read_prices"]

Tick = Callable[[int, int], None]


class PriceList(ABC):
    """What modules and networks cost, for crops of one size; an instance is a :data:`vipose.models.search.relaxed.Pricer`.

    Attributes:
        unit: ``MACs``, ``ms`` or ``GPU ms``.
        name: what it is, for people.
        size: width, height of the crops.
        once: what every network costs beside its parts.
    """

    unit: str
    name: str
    size: tuple[int, int]
    once: float = 0.0

    def prepare(self, wanted: Sequence[tuple[nn.Module, tuple[Shape, ...]]], tick: Tick | None = None) -> None:  # noqa: B027
        """Measure what it does not know yet; ``tick`` is told how many modules are done, and of how many."""

    @abstractmethod
    def __call__(self, module: nn.Module, shapes: tuple[Shape, ...]) -> float:
        """What a module costs on inputs of these shapes [1, C, H, W]."""

    @abstractmethod
    def network(self, arch: Architecture) -> float | None:
        """What a whole network costs; None where that is not known and cannot be measured here."""


class Macs(PriceList):
    """Multiply-accumulates of one crop; see :mod:`vipose.models.search.cost`."""

    unit, name = "MACs", "macs"

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self._known: dict[str, float] = {}

    def __call__(self, module: nn.Module, shapes: tuple[Shape, ...]) -> float:
        key = f"{module!r} {shapes}"
        if key not in self._known:
            hollow = copy.deepcopy(module).to("meta")
            self._known[key] = float(count(lambda: hollow, *shapes).macs)
        return self._known[key]

    def network(self, arch: Architecture) -> float:
        return float(cost(arch, self.size).macs)


class Milliseconds(PriceList):
    """Milliseconds by a latency table.

    Args:
        table: of ONNX Runtime or of a GPU.
        path: where it lies; it is saved there with what is measured for it.
    """

    def __init__(self, table: LatencyTable, path: Path) -> None:
        self.table, self.path = table, path
        self.unit, self.name, self.size = table.unit, path.name, table.size
        self.once = table.calibration.fixed_ms

    def prepare(self, wanted: Sequence[tuple[nn.Module, tuple[Shape, ...]]], tick: Tick | None = None) -> None:
        """See above.

        Raises:
            InputError: the table is of another machine and lacks some of them.
            OutputError: the table cannot be saved.
        """
        parts = {part.signature: part for part in (part_of(module, shapes) for module, shapes in wanted)}
        missing = [part for signature, part in parts.items() if signature not in self.table.parts]
        if missing and not self.table.here:
            raise InputError(
                f"latency table {self.path} lacks {len(missing)} parts of the space, and it is of {self.table.machine}; "
                "measure there with 'vipose search profile', or give a table of this machine"
            )

        def saving(done: int, total: int) -> None:
            self.table.save(self.path)
            if tick is not None:
                tick(done, total)

        self.table.measure_parts(missing, saving)

    def __call__(self, module: nn.Module, shapes: tuple[Shape, ...]) -> float:
        return self.table.part_ms(part_of(module, shapes))

    def network(self, arch: Architecture) -> float | None:
        if self.table.missing(arch) and not self.table.here:
            return None
        return self.table.predict(arch, measure_missing=True)


def gpu(space: str, size: tuple[int, int], path: Path) -> Milliseconds:
    """Milliseconds of a batch on this machine's GPU; the table at ``path`` is gone on with.

    Raises:
        DeviceError: there is none.
        InputError: the file holds something else.
    """
    measurer = cuda_measurer()
    return Milliseconds(LatencyTable.load(path, measurer) if path.exists() else LatencyTable(space, size, measurer), path)


def read_prices(what: str, space: str, size: tuple[int, int], folder: Path) -> PriceList:
    """A price list by its name on a command line.

    Args:
        what: ``macs``, ``gpu`` or the file of a latency table.
        space: name of what is searched.
        size: width, height of the crops.
        folder: where the table of ``gpu`` is kept.

    Raises:
        InputError: there is no such file, it is no table, or one for crops of another size.
        DeviceError: ``gpu`` where there is none.
    """
    if what == "macs":
        return Macs(size)
    made = gpu(space, size, folder / "gpu-table.json") if what == "gpu" else Milliseconds(LatencyTable.load(Path(what)), Path(what))
    if made.size != size:
        (width, height), (w, h) = size, made.size
        raise InputError(
            f"latency table {made.path} is for crops of {w}x{h}, and this search prices {width}x{height}; "
            f"give --cost-size {w}x{h}, or make one with 'vipose search profile --size {width}x{height}'"
        )
    return made


@torch.no_grad()
def lookup(network: RelaxedNetwork, prices: PriceList, tick: Tick | None = None) -> ChoiceCosts:
    """The lookup table of a relaxed network; what is not known yet is measured, in groups.

    Raises:
        InputError, OutputError: see :meth:`Milliseconds.prepare`.
    """
    wanted: list[tuple[nn.Module, tuple[Shape, ...]]] = []

    def note(module: nn.Module, shapes: tuple[Shape, ...]) -> float:
        wanted.append((module, shapes))
        return 0.0

    network.costs(note, prices.unit, prices.size)
    prices.prepare(wanted, tick)
    costs = network.costs(prices, prices.unit, prices.size)
    return replace(costs, fixed=costs.fixed + prices.once)
