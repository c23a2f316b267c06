"""What T networks cost together: MACs, parameters, and milliseconds where there is a latency table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vipose.models.networks.architecture import Architecture
from vipose.models.search.cost import cost
from vipose.models.search.latency import LatencyTable
from vipose.models.search.result import Unit
from vipose.runtime.errors import InputError, UsageError
from vipose.runtime.shipped import file_sha256

__all__ = ["Price", "Prices"]


@dataclass(frozen=True)
class Price:
    """Of one crop through each of some networks: ``ms`` (None without a table), ``macs``, ``parameters``."""

    ms: float | None
    macs: int
    parameters: int

    def of(self, unit: Unit) -> float:
        """In ``ms`` or ``MACs``; infinite where the table lacks a part."""
        value = self.ms if unit == "ms" else self.macs
        return math.inf if value is None else value


@dataclass(frozen=True)
class Prices:
    """Prices of networks.

    Attributes:
        size: width, height of the crops.
        table: measured milliseconds; its size counts instead where it is given.
        path: where it lies.
    """

    size: tuple[int, int] = (192, 256)
    table: LatencyTable | None = None
    path: Path | None = None

    @property
    def crop(self) -> tuple[int, int]:
        """Width, height of the crops that prices are for."""
        return self.size if self.table is None else self.table.size

    @property
    def sha256(self) -> str | None:
        """Of the table's file."""
        return None if self.path is None else file_sha256(self.path)

    def __call__(self, archs: Sequence[Architecture]) -> Price:
        """The sum over networks; ``ms`` is None without a table, and where it lacks a part of one of them."""
        counted = [cost(arch, self.crop) for arch in archs]
        known = self.table is not None and not any(self.table.missing(arch) for arch in archs)
        ms = sum(self.table.predict(arch) for arch in archs) if self.table is not None and known else None
        return Price(ms, sum(c.macs for c in counted), sum(c.parameters for c in counted))

    def check(self, unit: Unit, smallest: Architecture | None = None) -> None:
        """Refuse what cannot be priced.

        Args:
            unit: of the budget.
            smallest: a network that the table must know.

        Raises:
            UsageError: milliseconds without a table.
            InputError: the table lacks parts of the network.
        """
        if unit == "ms" and self.table is None:
            raise UsageError("a budget in ms needs --table, which 'vipose search profile --temporal' makes; or give MACs: 300M")
        if unit == "ms" and smallest is not None and not math.isfinite(self([smallest]).of(unit)):
            raise InputError(
                f"latency table {self.path} lacks parts of the T-ViPNets; make it with 'vipose search profile --temporal'"
            )
