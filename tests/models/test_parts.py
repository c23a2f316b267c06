"""Parts of a network: every convolution is in one, shapes are those of a real run, equal parts have equal signatures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vipose.models.networks.architecture import Fusion
from vipose.models.networks.elastic import skeleton
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.registry import build
from vipose.models.search.parts import Shape, output_shape, trace
from vipose.models.search.space import Space
from vipose.models.search.spaces import SPACES

SMALL = FusedArch(stem=8, widths=(8, 16, 16, 16), depths=(1, 0, 2, 1), head=16)
SIZE = (64, 96)
HEAVY = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_parts_hold_every_convolution_once_and_all_of_them_run(space: Space) -> None:
    arch = space.architecture(space.sample(np.random.default_rng(0)))
    network = skeleton(arch)
    modules = [module for _, module in network.parts()]
    inside = [id(layer) for module in modules for layer in module.modules() if isinstance(layer, HEAVY)]
    assert len(set(inside)) == len(inside), "two parts overlap"
    assert set(inside) == {id(m) for m in network.modules() if isinstance(m, HEAVY)}
    assert len(trace(arch, (64, 64))) == len(modules)


@pytest.mark.parametrize("fusion", [None, Fusion(2, "cat")])
def test_shapes_are_those_of_a_real_run(fusion: Fusion | None) -> None:
    arch = replace(SMALL, fusion=fusion)
    network = build(arch).eval()
    seen: list[tuple[str, tuple[Shape, ...], Shape]] = []

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        seen.append((repr(module), tuple(tuple(x.shape) for x in inputs), tuple(output.shape)))

    for _, module in network.parts():
        module.register_forward_hook(note)
    network(torch.rand(1, 3, SIZE[1], SIZE[0]), None if fusion is None else torch.rand(1, 17, SIZE[1] // 4, SIZE[0] // 4))
    found = trace(arch, SIZE)
    assert [(repr(p.module), p.shapes, p.output) for p in found] == seen
    assert sum(len(p.shapes) == 2 for p in found) == (fusion is not None)
    assert all(output_shape(p.module, p.shapes) == p.output for p in found)


def test_equal_parts_share_a_signature_and_others_do_not() -> None:
    found = trace(SMALL, SIZE)
    blocks = [p.signature for p in found if p.shapes == ((1, 16, 6, 4),) and "BasicBlock" in p.name]
    assert len(blocks) == 2 and len(set(blocks)) == 1
    other = {p.signature for p in trace(SMALL, (96, 96))}
    assert not other & {p.signature for p in found}
    add, mul = ({p.signature for p in trace(replace(SMALL, fusion=Fusion(1, op)), SIZE)} for op in ("add", "mul"))
    assert len(add ^ mul) == 2, "the operator shows only in extra_repr"


def test_what_is_known_does_not_change_a_trace() -> None:
    known: dict[str, Shape] = {}
    first = trace(SMALL, SIZE, known)
    again = trace(SMALL, SIZE, known)
    assert [(p.signature, p.output) for p in again] == [(p.signature, p.output) for p in first]
    assert known == {p.signature: p.output for p in first}
    assert all("forward" not in vars(p.module) for p in again), "a probe was left in a module"
