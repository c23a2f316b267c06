"""``vipose tables``: counted figures beside printed ones, explained where they differ; cards of graphs that ship."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.shared import SHARED, needs_shared

pytest.importorskip("torch")

from vipose.models.networks.fused import FusedArch
from vipose.models.published import PUBLISHED, Printed
from vipose.models.search.cost import cost
from vipose.models.tables import Row, published_rows, shipped_rows
from vipose.runtime.cli import main
from vipose.runtime.errors import ModelError
from vipose.runtime.shipped import shipped_graphs


def _rows() -> dict[str, Row]:
    return {row.name: row for row in published_rows()}


def _agrees(row: Row) -> bool:
    """Whether every printed figure is what is counted, to the printed digits."""

    def same(printed: float | None, counted: float) -> bool:
        return printed is None or abs(printed - counted) <= 0.5 * 10 ** -len(str(printed).partition(".")[2])

    assert row.cost is not None
    millions, gflops = row.cost.parameters / 1e6, row.cost.paper_gflops
    return all(same(p.parameters_m, millions) and same(p.gflops, gflops) for p in row.printed)


def test_every_difference_is_explained() -> None:
    rows = _rows()
    assert {"S-ViPNAS-Res50", "S-ViPNAS-MobileNetV3", "HRNet-W32", "EfficientPose-A (MPII)"} <= rows.keys()
    assert "1.945 where 2.0" in rows["EfficientPose-C (MPII)"].remark
    assert "1.459 where 1.6" in rows["EfficientPose-C (COCO)"].remark
    for row in rows.values():
        if row.cost is None:
            assert row.remark.startswith("not countable")
        else:
            assert (row.remark == "agrees") == _agrees(row), row.name


def test_another_size_says_what_the_printed_figures_are_for() -> None:
    large = {row.name: row for row in published_rows((288, 384))}["HRNet-W32"]
    assert large.cost is not None and round(large.cost.paper_gflops, 1) == 16.0  # as HRNet prints for this size
    assert large.remark.startswith("printed GFLOPs are for 192x256")


@needs_shared
def test_printed_figures_are_those_of_the_reference() -> None:
    assert SHARED is not None
    paper = json.loads((SHARED / "reference" / "paper_results.json").read_text(encoding="utf-8"))["vipnas"]
    coco = {r["method"]: Printed("table 2", r["params_M"], r["gflops"]) for r in paper["table2_coco_val2017"]["rows"]}
    track = {
        f"{r['method']}-{r['backbone']}": Printed("table 1", r["params_M"], r["gflops"])
        for r in paper["table1_posetrack18_val"]["rows"]
    }
    names = {"Res50": ("ResNet-50", "Res50"), "MobileNetV3": ("MobileNet-V3", "MobileV3"), "HRNetW32": ("", "HRNetW32")}
    for network in (n for n in PUBLISHED if "ViPNAS" in n.name or n.name == "HRNet-W32"):
        method, _, backbone = network.name.rpartition("-")
        in_track, in_coco = names.get(backbone, ("", ""))
        expected = [track.get(f"{method}-{in_track}"), coco.get(f"{method}-{in_coco}"), coco.get(network.name)]
        assert list(network.printed) == list(dict.fromkeys(p for p in expected if p is not None)), network.name


@needs_shared
def test_printed_figures_of_efficientpose_are_those_of_the_reference() -> None:
    assert SHARED is not None
    paper = json.loads((SHARED / "reference" / "paper_results.json").read_text(encoding="utf-8"))["efficientpose"]
    tables = {
        "MPII": (("table 2", "table2_mpii_val"), ("table 3", "table3_mpii_backbones")),
        "COCO": (("table 4", "table4_coco_val"), ("table 5", "table5_coco_testdev")),
    }
    found = [n for n in PUBLISHED if n.name.startswith("EfficientPose")]
    assert len(found) == 6
    for network in found:
        method, data = network.name.split(" ")
        expected = [
            Printed(where, row["params_M"], row["gflops"])
            for where, key in tables[data.strip("()")]
            for row in paper[key]
            if method in (row.get("method"), row.get("backbone"))
        ]
        assert list(network.printed) == expected, network.name
        assert network.size == ((256, 256) if "MPII" in network.name else (192, 256))


@needs_shared
def test_printed_figures_of_posenas_are_those_of_the_reference() -> None:
    assert SHARED is not None
    paper = json.loads((SHARED / "reference" / "paper_results.json").read_text(encoding="utf-8"))["posenas"]
    found = {n.name: n for n in PUBLISHED if n.name.startswith("PoseNAS")}
    assert len(found) == 2
    for row in paper["coco_val2017"]:
        network = found[f"PoseNAS-{row['network']}"]
        assert network.printed == (Printed("README", row["params_M"], row["gflops"]),) and network.size == (288, 384)
        assert network.architecture is not None and "2^20" in network.remark
        counted = cost(network.architecture, network.size)
        assert round(counted.parameters / 2**20, 1) == row["params_M"] and round(counted.paper_gflops, 1) == row["gflops"]


def _card(folder: Path, name: str, **fields: Any) -> None:
    (folder / f"{name}.onnx").write_bytes(b"")
    (folder / f"{name}.json").write_text(json.dumps(fields), encoding="utf-8")


SPATIAL = {"width": 96, "height": 128, "multiple": 32, "pixels": 0}


def test_graphs_are_counted_by_their_cards(tmp_path: Path) -> None:
    arch = FusedArch(stem=8, widths=(8, 16, 16, 16), depths=(0, 0, 0, 0), head=16)
    _card(tmp_path, "a", task="pose-spatial", architecture=arch.to_json(), input=SPATIAL)
    (tmp_path / "a.fp32.onnx").write_bytes(b"")
    free = {"width": 0, "height": 0, "multiple": 32, "pixels": 43008}
    _card(tmp_path, "d", task="detect", input=free, architecture={"family": "lite0-fcos", "blocks": [5, 8, 11]})
    _card(tmp_path, "foreign", task="pose-spatial", architecture={}, input=SPATIAL)
    first, detector, foreign = shipped_rows(folder=tmp_path)
    assert first == Row("a", "shipped", (96, 128), cost(arch, (96, 128)), (), "")
    assert detector.size == (288, 160) and "16:9" in detector.remark
    assert detector.cost is not None and detector.cost.macs > 0
    assert foreign.cost is None and "no architecture" in foreign.remark
    again = shipped_rows((64, 64), tmp_path)[1]
    assert again.cost is not None and again.cost.macs * 288 * 160 == detector.cost.macs * 64 * 64


@pytest.mark.parametrize(
    "fields",
    [
        {"architecture": {"family": "none such"}, "task": "pose-spatial", "input": SPATIAL},
        {"architecture": {"family": "fused", "stem": "wide"}, "task": "pose-spatial", "input": SPATIAL},
        {"architecture": {"family": "fused"}, "task": "pose-spatial", "input": {"width": 192}},
        {"architecture": {"family": "fused"}, "task": "detect", "input": SPATIAL},
    ],
)
def test_a_damaged_card_is_named(tmp_path: Path, fields: dict[str, Any]) -> None:
    _card(tmp_path, "bad", **fields)
    with pytest.raises(ModelError, match="card of bad is damaged"):
        shipped_rows(folder=tmp_path)


def test_the_command_prints_every_network(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    assert main(["tables"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines() if line and not line.startswith(" ")}
    assert "5.90 M" in lines["S-ViPNAS-MobileNetV3"] and "5.4 M / 2.8 M" in lines["S-ViPNAS-MobileNetV3"]
    assert "7.29 M" in lines["S-ViPNAS-Res50"] and "1.430" in lines["S-ViPNAS-Res50"]
    assert {graph.name for graph in shipped_graphs()} <= lines.keys()
    assert all(len(line) <= 140 for line in out.splitlines())


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--json", "--size", "96x128"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in found["networks"]}
    assert rows["S-ViPNAS-MobileNetV3"]["size"] == [96, 128]
    assert rows["S-ViPNAS-MobileNetV3"]["printed"][1] == {"where": "table 2", "parameters_M": 2.8, "gflops": 0.69}
    assert rows["T-ViPNAS-Res50"]["macs"] is None
    assert {row["source"] for row in rows.values()} == {"published", "shipped"}


@pytest.mark.parametrize("size", ["192", "100x200", "0x64", "-32x64", "axb", "192x256x3", "8192x64", "¹92x256"])
def test_a_size_that_no_network_takes_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", f"--size={size}"]) == 2
    assert "192x256" in capsys.readouterr().err
