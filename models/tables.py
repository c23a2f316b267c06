"""Parameters and MACs of the published networks, beside what the papers print, and of the graphs that ship."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vipose.models.networks.detector import Detector, DetectorArch
from vipose.models.networks.registry import architecture_from_json
from vipose.models.published import PUBLISHED, Printed, Published
from vipose.models.search.cost import Cost, cost, count
from vipose.runtime.detect import letterbox
from vipose.runtime.errors import ModelError
from vipose.runtime.metadata import InputSpec
from vipose.runtime.shipped import shipped_graphs

__all__ = ["COUNTING", "Row", "published_rows", "shipped_rows"]

Size = tuple[int, int]
COUNTING = (
    "Parameters: learnt numbers, batch norms included. MACs: multiply-accumulates of convolutions and linear layers as "
    "they must be done. GFLOPs: as the papers count, weight elements times output positions over 2^30 (a transposed "
    "convolution of stride 2 counts four times)."
)
_PICTURE = (1920, 1080)
_SIDES = ("width", "height", "multiple", "pixels")


@dataclass(frozen=True)
class Row:
    """One network.

    Attributes:
        name: as its paper calls it, or the name of the graph.
        source: ``published`` or ``shipped``.
        size: width, height in pixels that the counts are for.
        cost: None where the architecture is not known.
        printed: what the paper's tables say; empty for what ships.
        remark: what explains differences, or why nothing is counted.
    """

    name: str
    source: Literal["published", "shipped"]
    size: Size
    cost: Cost | None
    printed: tuple[Printed, ...]
    remark: str

    def to_json(self) -> dict[str, Any]:
        counted = self.cost
        return {
            "name": self.name,
            "source": self.source,
            "size": list(self.size),
            "parameters": None if counted is None else counted.parameters,
            "macs": None if counted is None else counted.macs,
            "paper_gflops": None if counted is None else round(counted.paper_gflops, 4),
            "printed": [
                {"where": p.where, "parameters_M": p.parameters_m, "gflops": p.gflops} for p in self.printed
            ],
            "remark": self.remark,
        }  # fmt: skip


def published_rows(size: Size | None = None) -> list[Row]:
    """The papers' networks, in the order of the papers.

    Args:
        size: width, height in pixels, multiples of 32; by default what the printed figures are for.

    Raises:
        ValueError: the size is no such thing.
    """
    return [_published_row(network, size or network.size) for network in PUBLISHED]


def _published_row(network: Published, size: Size) -> Row:
    counted = None if network.architecture is None else cost(network.architecture, size)
    remark = network.remark
    if size != network.size and counted is not None:
        remark = f"printed GFLOPs are for {network.size[0]}x{network.size[1]}; there: {remark}"
    return Row(network.name, "published", size, counted, network.printed, remark)


def shipped_rows(size: Size | None = None, folder: Path | None = None) -> list[Row]:
    """The graphs that ship, counted by the architecture that their metadata and cards carry.

    Args:
        size: width, height in pixels, multiples of 32; by default what each graph was exported for, of a detector with
            a free input what it takes for a 16:9 picture.
        folder: of the graphs; by default those of this installation.

    Raises:
        ModelError: a card cannot be read or is damaged.
        ValueError: the size is no multiple of 32.
    """
    cards = {graph.name: graph.card for graph in shipped_graphs(folder)}
    return [_shipped_row(name, card, size) for name, card in cards.items()]


def _shipped_row(name: str, card: dict[str, Any], size: Size | None) -> Row:
    described = card.get("architecture")
    if not described:
        return Row(name, "shipped", size or (0, 0), None, (), "not countable: its card has no architecture")
    try:
        width, height, multiple, pixels = (int(card["input"][side]) for side in _SIDES)
        own = letterbox(InputSpec(width, height, multiple=multiple, pixels=pixels), *_PICTURE).size
        arch = DetectorArch.from_json(described) if card["task"] == "detect" else architecture_from_json(described)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the card of {name} is damaged ({error!r}); export the graph again") from error
    if isinstance(arch, DetectorArch):
        counted = _detector_cost(arch, size or own)
        return Row(name, "shipped", size or own, counted, (), "" if size else "for a 16:9 picture")
    return Row(name, "shipped", size or own, cost(arch, size or own), (), "")


def _detector_cost(arch: DetectorArch, size: Size) -> Cost:
    return count(lambda: Detector(arch), (1, 3, size[1], size[0]))
