"""Timing: what stands around a part is taken off again, the reference runs along, and real graphs run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from vipose.models.networks.architecture import Fusion
from vipose.models.networks.cells import FactorizedReduce
from vipose.models.networks.fused import FusedArch
from vipose.models.search import measure
from vipose.models.search.measure import Measurer, measure_module, time_network, time_networks
from vipose.runtime.errors import ModelError

SMALL = FusedArch(stem=8, widths=(8, 16, 16, 16), depths=(0, 0, 1, 0), head=16)


class _Machine:
    """Runs nothing: every convolution takes a nanosecond a MAC on its clock, and a run some more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, run_s: float = 0.004) -> None:
        self.now, self.run_s, self.runs = 0.0, run_s, 0
        monkeypatch.setattr(measure, "_session_run", self.session)

    def session(self, module: nn.Module, inputs: Sequence[torch.Tensor], names: Sequence[str]) -> Callable[[], object]:
        macs = 0

        def count(layer: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
            nonlocal macs
            assert isinstance(layer, nn.Conv2d)
            macs += layer.weight[0].numel() * out.numel()

        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(count)
        with torch.inference_mode():
            module(*inputs)
        seconds = self.run_s + macs * 1e-9

        def run() -> None:
            self.now += seconds
            self.runs += 1

        return run

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("module", "shapes"),
    [
        (nn.Conv2d(32, 64, 3, padding=1), ((1, 32, 16, 12),)),
        (nn.Conv2d(32, 64, 3, 2, 1), ((1, 32, 16, 12),)),
        (nn.Sequential(nn.Conv2d(16, 16, 5, padding=2, groups=16), nn.ReLU()), ((1, 16, 16, 12),)),
    ],
    ids=["plain", "strided", "depthwise"],
)
def test_what_stands_around_a_part_is_taken_off(
    module: nn.Module, shapes: tuple[tuple[int, ...], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = _Machine(monkeypatch)
    layer = next(m for m in module.modules() if isinstance(m, nn.Conv2d))
    out = module(torch.rand(shapes[0]))
    alone_ms = layer.weight[0].numel() * out.numel() * 1e-6
    timed = Measurer(rounds=3, clock=machine.clock).parts([(module, shapes), (module, shapes)])
    assert timed.ms == pytest.approx((alone_ms, alone_ms))
    assert timed.reference_ms == pytest.approx(4 + 2 * 32 * 64 * 9 * 48 * 36 * 1e-6)


def test_images_and_heatmaps_go_in_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not in the blocked layout inside a network either, so that the part has to take them as it will there."""
    machine = _Machine(monkeypatch, run_s=0.0)
    stem, final = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 17, 1)
    timed = Measurer(rounds=2, clock=machine.clock).parts([(stem, ((1, 3, 32, 32),)), (final, ((1, 16, 16, 12),))])
    assert timed.ms == pytest.approx((27 * 16 * 256 * 1e-6, 16 * 17 * 192 * 1e-6))


def test_a_slow_spell_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _Machine(monkeypatch)
    part = (nn.Conv2d(16, 16, 1), ((1, 16, 8, 8),))
    quiet = Measurer(rounds=20, clock=machine.clock).parts([part])
    ticks = iter(range(10**6))

    def stalling() -> float:
        if next(ticks) % 11 == 3:
            machine.now += 0.5
        return machine.now

    assert Measurer(rounds=20, clock=stalling).parts([part]).ms == pytest.approx(quiet.ms)


@pytest.mark.parametrize("fusion", [None, Fusion(1, "mul")])
def test_whole_networks_run_as_they_ship(fusion: Fusion | None) -> None:
    assert time_network(replace(SMALL, fusion=fusion), (64, 64), repeats=2) > 0


def test_networks_are_timed_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _Machine(monkeypatch)
    monkeypatch.setattr(Measurer.__init__, "__defaults__", (40, 0.1, machine.clock))
    wider = replace(SMALL, head=32)
    small, wide, again = time_networks([SMALL, wider, SMALL], (64, 64), repeats=3)
    assert 4 < small < wide and small == pytest.approx(again)
    assert machine.runs == (2 + 3) * (3 + 2)


def test_any_module_is_measured_in_onnx_runtime() -> None:
    ms = measure_module(nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.Hardswish()), [(1, 16, 16, 16)], Measurer(2))
    assert math.isfinite(ms) and ms >= 0


def test_the_callers_random_numbers_and_module_stay_as_they_are() -> None:
    module = nn.Sequential(nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16)).train()
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in module.state_dict().items()}
    measure_module(module, [(1, 16, 8, 8)], Measurer(1))
    assert torch.equal(torch.get_rng_state(), before) and module.training
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())


def test_what_cannot_be_exported_is_one_line() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x)

    with pytest.raises(ModelError, match="cannot be timed in ONNX Runtime") as caught:
        measure_module(Odd(), [(1, 16, 8, 8)], Measurer(1))
    assert "\n" not in str(caught.value)


def test_parts_are_timed_as_they_are_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    """PoseNAS's halving is two convolutions in training and one in a graph."""
    seen: list[nn.Module] = []

    def run(module: nn.Module, inputs: object, names: object) -> Callable[[], None]:
        seen.append(module)
        return lambda: None

    monkeypatch.setattr("vipose.models.search.measure._session_run", run)
    Measurer(rounds=1).parts([(FactorizedReduce(16, 16), ((1, 16, 8, 8),))])
    assert not any(isinstance(m, FactorizedReduce) for module in seen for m in module.modules())
    kernels = [m.kernel_size for module in seen for m in module.modules() if isinstance(m, nn.Conv2d)]
    assert kernels.count((2, 2)) == 1
