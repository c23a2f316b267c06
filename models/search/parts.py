"""The parts of a network with the shapes of the tensors that they meet, found without weights and almost without computing.

Parts are told apart by their signature: the module's ``repr`` and the shapes of its inputs. So whatever changes the time of a
module must show in its ``repr`` (``extra_repr``).
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.registry import build

__all__ = ["Part", "Shape", "output_shape", "part_of", "trace"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """One call of a part inside a network.

    Attributes:
        signature: what it shares a measurement by.
        name: for people.
        module: without weights.
        shapes: of its inputs, [1, C, H, W].
        output: shape of what it gives.
    """

    signature: str
    name: str
    module: nn.Module
    shapes: tuple[Shape, ...]
    output: Shape


def trace(arch: Architecture, size: tuple[int, int], outputs: dict[str, Shape] | None = None) -> list[Part]:
    """The parts of a network with the shapes that they meet, for crops of a size (width, height), in the order of calls.

    Args:
        outputs: shapes that parts give, by signature. It is filled, and spares the next trace most of its time.
    """
    known: dict[str, Shape] = {} if outputs is None else outputs
    with torch.device("meta"):
        network = build(arch).eval()
    found: list[Part] = []
    modules = [module for _, module in network.parts()]

    try:
        for module in modules:
            module.forward = _probe(module, known, found)
        width, height = size
        image = torch.empty(1, 3, height, width, device="meta")
        previous = None if arch.fusion is None else torch.empty(1, arch.joints, height // 4, width // 4, device="meta")
        with torch.no_grad():
            network(image, previous)
    finally:
        for module in modules:
            del module.forward  # the class has the real one
    return found


def part_of(module: nn.Module, shapes: tuple[Shape, ...], outputs: dict[str, Shape] | None = None) -> Part:
    """A module on inputs of these shapes [1, C, H, W] as a part, told apart as in :func:`trace`.

    Args:
        outputs: as in :func:`trace`.
    """
    known: dict[str, Shape] = {} if outputs is None else outputs
    signature = _signature(repr(module), shapes)
    if signature not in known:
        known[signature] = output_shape(module, shapes)
    return Part(signature, _name(module, shapes), module, shapes, known[signature])


def _signature(text: str, shapes: tuple[Shape, ...]) -> str:
    return hashlib.sha256(f"{text} {shapes}".encode()).hexdigest()[:16]


def _name(module: nn.Module, shapes: tuple[Shape, ...]) -> str:
    return " ".join([type(module).__name__, *("x".join(map(str, shape[1:])) for shape in shapes)])


def _probe(module: nn.Module, known: dict[str, Shape], found: list[Part]) -> Callable[..., Tensor]:
    """What stands in for a module's ``forward``: notes the call, and computes only what gives a shape not yet known."""
    text = repr(module)

    def forward(*inputs: Tensor) -> Tensor:
        shapes = tuple(tuple(x.shape) for x in inputs)
        signature = _signature(text, shapes)
        if signature not in known:
            known[signature] = tuple(type(module).forward(module, *inputs).shape)
        found.append(Part(signature, _name(module, shapes), module, shapes, known[signature]))
        return torch.empty(known[signature], device="meta")

    return forward


def output_shape(module: nn.Module, shapes: Sequence[Shape]) -> Shape:
    """Shape of what a module gives for inputs of these shapes, computed without its weights."""
    hollow = copy.deepcopy(module).to("meta").eval()
    with torch.no_grad():
        out: Tensor = hollow(*(torch.empty(shape, device="meta") for shape in shapes))
    return tuple(out.shape)
