"""What choices cost: MACs, milliseconds by a table with its calibration, and a GPU's, whose arithmetic is tested on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from tests.fixtures.latency import FakeMeasurer, true_ms
from tests.fixtures.relaxed import TOY, ByKernel
from vipose.models.search import latency, measure_device, profile
from vipose.models.search.cost import cost
from vipose.models.search.latency import Calibration, LatencyTable
from vipose.models.search.measure import TableMachine
from vipose.models.search.measure_device import DeviceMeasurer
from vipose.models.search.pricers import Macs, Milliseconds, PriceList, gpu, lookup, read_prices
from vipose.models.search.relaxed import ChoiceCosts
from vipose.models.search.relaxed_efficientpose import RelaxedEfficientPose
from vipose.models.search.space import Choice
from vipose.models.search.spaces import SPACES
from vipose.runtime.errors import DeviceError, InputError

SIZE = (64, 64)
CHOICE: Choice = {"layer0": "k7_e3", "layer1": "skip", "layer2": "k3_e3", "layer3": "k7_e3"}


@pytest.fixture
def network() -> RelaxedEfficientPose:
    return RelaxedEfficientPose(TOY)


def table(path: Path, measurer: object = None) -> LatencyTable:
    made = LatencyTable(TOY.name, SIZE, measurer or FakeMeasurer())  # type: ignore[arg-type]
    made.save(path)
    return made


def total(costs: ChoiceCosts, network: RelaxedEfficientPose) -> float:
    return costs.fixed + sum(costs.by_choice[n][network.choices[n].index(str(o))] for n, o in CHOICE.items())


def test_macs_of_choices_add_up_to_those_of_the_network(network: RelaxedEfficientPose) -> None:
    prices = Macs(SIZE)
    costs = lookup(network, prices)
    assert costs.unit == "MACs" and costs.by_choice["layer1"][0] == 0
    assert total(costs, network) == prices.network(TOY.architecture(CHOICE)) == cost(TOY.architecture(CHOICE), SIZE).macs


def test_milliseconds_have_the_tables_calibration_in_them(network: RelaxedEfficientPose, tmp_path: Path) -> None:
    path, measurer = tmp_path / "t.json", FakeMeasurer()
    made = table(path, measurer)
    made.calibration = Calibration(0.5, 1.25, 0.1)
    ticks: list[tuple[int, int]] = []
    costs = lookup(network, Milliseconds(made, path), lambda done, of: ticks.append((done, of)))
    assert costs.unit == "ms" and ticks[-1][0] == ticks[-1][1] == len(made.parts) == len(set(measurer.measured))
    arch = TOY.architecture(CHOICE)
    assert total(costs, network) == pytest.approx(made.predict(arch))
    assert made.predict(arch) > 1.25 * true_ms(arch, SIZE) + 0.5
    again = LatencyTable.load(path, FakeMeasurer(stop_after=0))  # nothing is left to measure
    assert lookup(network, Milliseconds(again, path)) == costs


def test_what_was_measured_before_an_interruption_is_kept(
    network: RelaxedEfficientPose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "GROUP_PARTS", 3)
    path = tmp_path / "t.json"
    with pytest.raises(KeyboardInterrupt):
        lookup(network, Milliseconds(table(path, FakeMeasurer(stop_after=2)), path))
    assert len(LatencyTable.load(path).parts) == 6


def test_a_table_of_another_machine_is_not_added_to(network: RelaxedEfficientPose, tmp_path: Path) -> None:
    made = table(tmp_path / "t.json")
    made.machine = TableMachine("another", 4, "1.0")
    prices = Milliseconds(made, tmp_path / "t.json")
    with pytest.raises(InputError, match=r"lacks \d+ parts of the space, and it is of another"):
        lookup(network, prices)
    assert prices.network(TOY.architecture(CHOICE)) is None and not made.parts


def test_prices_by_their_name_on_a_command_line(tmp_path: Path) -> None:
    table(tmp_path / "t.json")
    assert isinstance(read_prices("macs", TOY.name, SIZE, tmp_path), Macs)
    assert read_prices(str(tmp_path / "t.json"), TOY.name, SIZE, tmp_path).unit == "ms"
    with pytest.raises(InputError, match="64x64, and this search prices 96x128; give --cost-size 64x64, or make one"):
        read_prices(str(tmp_path / "t.json"), TOY.name, (96, 128), tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        read_prices(str(tmp_path / "none.json"), TOY.name, SIZE, tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA")
def test_a_gpu_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="needs a CUDA device, and PyTorch sees none here"):
        read_prices("gpu", TOY.name, SIZE, tmp_path)


def steady(step_s: float) -> Callable[[], Callable[[], float]]:
    """Clocks of which every look is so many seconds after the last."""

    def start() -> Callable[[], float]:
        ticks = count()
        return lambda: next(ticks) * step_s

    return start


def test_a_device_is_timed_by_batch_in_repeats_after_a_warm_up() -> None:
    seen: list[tuple[int, ...]] = []

    class Noting(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(x.shape))
            return super().forward(x)

    measurer = DeviceMeasurer(torch.device("cpu"), 4, 3, warm_up=2, repeats=5, clock=steady(0.01))
    timed = measurer.parts([(Noting(8, 8, 1), ((1, 8, 6, 4),)), (nn.ReLU(), ((1, 8, 6, 4),))])
    assert timed.ms == pytest.approx((2.0, 2.0)) and timed.reference_ms == pytest.approx(2.0)  # 10 ms for 5 runs
    assert seen == [(4, 8, 6, 4)] * (2 + 3) * 5


def test_the_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = iter([1.0, 1.0, 1.0, 9.0, 1.0, 2.0])  # of the reference and one part in turn: three rounds
    now = [0.0]

    def clock() -> float:
        return now[0]

    measurer = DeviceMeasurer(torch.device("cpu"), 1, 3, warm_up=0, repeats=1, clock=lambda: clock)
    monkeypatch.setattr(measurer, "_repeat", lambda module, inputs: now.__setitem__(0, now[0] + next(lengths)))
    timed = measurer.parts([(nn.ReLU(), ((1, 8, 6, 4),))])
    # Rounds: reference 1, part 1; back: part 1, reference 9; reference 1, part 2.
    assert timed.ms == pytest.approx((1000.0,)) and timed.reference_ms == pytest.approx(1000.0)


def test_cuda_events_are_read_as_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    class Event:
        recorded = count()

        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at = next(Event.recorded)

        def synchronize(self) -> None: ...

        def elapsed_time(self, later: Event) -> float:
            return 250.0 * (later.at - self.at)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    clock = measure_device._clock_of(torch.device("cuda"))
    assert [clock(), clock()] == pytest.approx([0.25, 0.5])


def test_a_gpus_table_is_a_latency_table_of_its_own(network: RelaxedEfficientPose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = lambda batch=32: DeviceMeasurer(torch.device("cpu"), batch, 1, warm_up=0, repeats=1)
    monkeypatch.setattr("vipose.models.search.pricers.cuda_measurer", fast)
    prices = gpu(TOY.name, SIZE, tmp_path / "gpu-table.json")
    costs = lookup(network, prices)
    assert prices.unit == costs.unit == "GPU ms" and all(v > 0 for v in costs.by_choice["layer0"])
    again = gpu(TOY.name, SIZE, tmp_path / "gpu-table.json")
    assert again.table.machine.batch == 32 and lookup(network, again) == costs
    by_file = read_prices(str(tmp_path / "gpu-table.json"), TOY.name, SIZE, tmp_path)
    assert by_file.unit == "GPU ms" and lookup(network, by_file) == costs
    assert by_file.network(TOY.architecture(CHOICE)) == pytest.approx(total(costs, network))


def test_profile_fills_a_gpus_table_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(SPACES, TOY.name, TOY)
    fast = DeviceMeasurer(torch.device("cpu"), 2, 1, warm_up=0, repeats=1)
    monkeypatch.setattr(profile, "cuda_measurer", lambda: fast)
    options = ["--space", TOY.name, "-o", str(tmp_path / "g.json"), "--size", "64x64", "--networks", "8", "--gpu"]
    assert profile.main(options) == 0 and "rank correlation" in capsys.readouterr().out
    made = LatencyTable.load(tmp_path / "g.json", fast)
    assert made.unit == "GPU ms" and made.here and made.error is not None
    assert "batch 2" in str(made.machine)


def test_price_lists_are_told_apart_by_unit() -> None:
    prices: PriceList = ByKernel({3: 1.0, 7: 2.0}, once=0.5)
    assert lookup(RelaxedEfficientPose(TOY), prices).fixed == 4 + 0.5
