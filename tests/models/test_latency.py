"""The latency table: sums, calibration on some networks and error on others, what is missing, files of other machines."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from tests.fixtures.latency import FakeMeasurer, true_ms
from vipose.models.networks.architecture import Architecture, Fusion
from vipose.models.search.latency import Calibration, LatencyTable, TableError, TableMachine
from vipose.models.search.measure import Timed
from vipose.models.search.parts import Shape
from vipose.models.search.spaces import SPACES
from vipose.runtime.errors import InputError, OutputError

SIZE = (64, 64)
SPACE = SPACES["fast-fused"]


def _archs(count: int, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return list({SPACE.architecture(SPACE.sample(rng)): None for _ in range(count)})


def _table(measurer: FakeMeasurer | None = None) -> LatencyTable:
    return LatencyTable(SPACE.name, SIZE, measurer or FakeMeasurer())


def test_a_prediction_is_the_sum_of_measured_parts() -> None:
    measurer = FakeMeasurer()
    table, (arch, other) = _table(measurer), _archs(2)
    with pytest.raises(InputError, match=r"lacks \d+ parts of network"):
        table.predict(arch)
    count = table.measure([arch, arch])
    assert count == len(table.parts) == len(measurer.measured) == len(set(measurer.measured))
    assert table.missing(arch) == [] and table.missing(other)
    assert table.predict(arch) == pytest.approx(true_ms(arch, SIZE))
    assert table.measure([arch]) == 0 and len(measurer.measured) == count


def test_missing_parts_are_measured_on_demand_but_not_into_the_table_of_another_machine() -> None:
    table, (arch,) = _table(), _archs(1)
    assert table.predict(arch, measure_missing=True) == pytest.approx(true_ms(arch, SIZE)) == table.predict(arch)
    foreign = _table()
    foreign.machine = replace(TableMachine.this(), processor="another")
    with pytest.raises(InputError, match="measure them with"):
        foreign.predict(arch, measure_missing=True)


def test_temporal_networks_are_predicted_too() -> None:
    table, (arch,) = _table(), _archs(1)
    fused = replace(arch, fusion=Fusion(1, "cat"))
    table.measure([arch])
    assert len(table.missing(fused)) == 1
    table.measure([fused])
    assert table.predict(fused) > table.predict(arch)


def test_calibration_finds_the_law_and_is_judged_on_other_networks() -> None:
    archs = _archs(10)
    table = _table(FakeMeasurer(fixed=0.3, scale=1.2, per_mb=0.05))
    error = table.calibrate(archs[:5], archs[5:])
    assert error.networks == len(archs[5:]) and error.largest < 1e-6 and error.spearman == pytest.approx(1.0)
    made = table.calibration
    assert (made.fixed_ms, made.scale, made.ms_per_mb) == pytest.approx((0.3, 1.2, 0.05))
    assert table.error == error


def test_the_error_is_that_of_networks_that_were_not_fitted() -> None:
    archs = _archs(10)
    table = _table(FakeMeasurer(slower=dict.fromkeys(archs[5:], 1.25)))
    error = table.calibrate(archs[:5], archs[5:])
    assert error.mean == pytest.approx(0.2) and error.q90 == pytest.approx(0.2) and "not fitted: mean 20.0%" in str(error)
    with pytest.raises(ValueError, match="none in both"):
        table.calibrate(archs[:5], archs[4:])
    with pytest.raises(ValueError, match="at least 3"):
        table.calibrate(archs[:2], archs[3:])


def test_the_correction_never_makes_more_work_cheaper() -> None:
    fit = Calibration.fit([1.0, 2.0, 3.0, 4.0], [9.0, 7.0, 8.0, 6.0], [3.0, 3.1, 2.9, 3.05])
    assert min(fit.fixed_ms, fit.scale, fit.ms_per_mb) >= 0
    assert math.isfinite(TableError.between([2.0, 2.0], [1.0, 3.0]).spearman)


def test_a_machine_that_slows_down_between_groups_does_not_matter() -> None:
    class Slowing(FakeMeasurer):
        """Every group takes longer than the one before, the reference too."""

        groups = 0

        def _slow(self, timed: Timed) -> Timed:
            self.groups += 1
            return Timed(tuple(ms * self.groups for ms in timed.ms), timed.reference_ms * self.groups)

        def parts(self, parts: Sequence[tuple[nn.Module, tuple[Shape, ...]]]) -> Timed:
            return self._slow(super().parts(parts))

        def networks(self, archs: Sequence[Architecture], size: tuple[int, int]) -> Timed:
            return self._slow(super().networks(archs, size))

    archs = _archs(12)
    table = _table(Slowing())
    assert table.measure(archs) > 32
    assert all(table.predict(arch) == pytest.approx(true_ms(arch, SIZE)) for arch in archs)
    assert table.time(archs) == pytest.approx([true_ms(arch, SIZE) for arch in archs])


def test_whole_networks_are_timed_once() -> None:
    measurer, archs = FakeMeasurer(), _archs(6)
    table = _table(measurer)
    ticks: list[tuple[int, int]] = []
    first = table.time(archs, lambda done, total: ticks.append((done, total)))
    assert ticks == [(4, 6), (6, 6)] and len(measurer.networks_timed) == 6
    assert table.time([archs[3], archs[0]]) == [first[3], first[0]] and len(measurer.networks_timed) == 6


def test_tables_survive_the_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archs = _archs(10)
    table = _table()
    table.calibrate(archs[:5], archs[5:])
    table.save(tmp_path / "t.json")
    again = LatencyTable.load(tmp_path / "t.json")
    assert again.to_json() == table.to_json() and capsys.readouterr().err == ""
    assert [again.predict(a) for a in archs] == [table.predict(a) for a in archs]
    data = json.loads((tmp_path / "t.json").read_text())
    assert data["space"] == "fast-fused" and data["size"] == [64, 64] and data["machine"]["threads"] == 1
    assert {"processor", "cores", "onnxruntime"} <= set(data["machine"]) and data["date"]
    assert list(tmp_path.iterdir()) == [tmp_path / "t.json"]


@pytest.mark.parametrize("field", ["processor", "onnxruntime"])
def test_a_table_of_another_machine_or_version_warns_in_one_line(
    field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = _table()
    table.machine = replace(TableMachine.this(), **{field: "another"})
    table.save(tmp_path / "t.json")
    LatencyTable.load(tmp_path / "t.json")
    warned = capsys.readouterr().err
    assert warned.count("\n") == 1 and "another" in warned and "may be off" in warned


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "vipose-search"}', '{"kind": "vipose-latency", "schema": 1}'])
def test_what_is_no_table_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(InputError, match=r"t\.json"):
        LatencyTable.load(tmp_path / "t.json")


def test_missing_files_and_places_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        LatencyTable.load(tmp_path / "none.json")
    with pytest.raises(OutputError, match="choose another place"):
        _table().save(tmp_path / "none" / "t.json")
