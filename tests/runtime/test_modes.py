"""Modes: the registry, graphs by name, path and folder, and graphs that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.graphs import detector_graph, pose_graph, pose_metadata, write_installation, write_mode
from vipose.runtime import modes as module
from vipose.runtime import shipped
from vipose.runtime.detect import DetectorConfig
from vipose.runtime.errors import ModelError, UsageError
from vipose.runtime.modes import MODES, ModeSpec, load_mode, register
from vipose.runtime.shipped import file_sha256


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mode(tmp_path_factory.mktemp("mode"))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation whose shipped graphs are tiny ones under the real names."""
    write_installation(tmp_path)
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path)
    return tmp_path


def test_default_mode(installed: Path) -> None:
    mode = load_mode("t-vipnas", threads=2)
    assert (mode.name, mode.period, len(mode.temporal), mode.workers.threads) == ("t-vipnas", 4, 3, 2)
    assert mode.detector is not None and mode.skeleton.name == "coco17" and mode.codec.stride == 4
    assert mode.provider.running == "cpu"
    assert mode.graphs == {
        "tiny-s": file_sha256(installed / "s-vipnas.onnx"),
        **{f"tiny-t-{p}": file_sha256(installed / f"t-vipnas-{p}.onnx") for p in (1, 2, 3)},
        "tiny-detector": file_sha256(installed / "person-detector.onnx"),
    }
    mode.close()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("period", [1, 2, 3, 4])
def test_period_loads_only_the_graphs_it_needs(period: int) -> None:
    mode = load_mode("t-vipnas", period=period, detector=None)
    assert [t.metadata.phase for t in mode.temporal] == list(range(1, period))
    assert len(mode.graphs) == period and mode.detector is None


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("name", "period"), [("t-vipnas", 5), ("t-vipnas", 0), ("t-vipnas", -3), ("s-vipnas", 2), ("efficientpose-a", 4)])
def test_period_without_graphs_for_it(name: str, period: int) -> None:
    with pytest.raises(UsageError, match=f"period {period} is not possible"):
        load_mode(name, period=period)


def test_single_frame_mode_and_precision(installed: Path) -> None:
    crop = np.full((1, 64, 48, 3), 255, np.uint8)
    full = load_mode("s-vipnas", detector=None).spatial(crop)
    half = load_mode("s-vipnas", detector=None, precision="fp32")
    assert half.period == 1 and not half.temporal
    np.testing.assert_allclose(half.spatial(crop), full / 2, atol=1e-6)
    (installed / "s-vipnas.fp32.onnx").unlink()
    with pytest.raises(ModelError, match="s-vipnas.fp32.onnx is missing"):
        load_mode("s-vipnas", precision="fp32")
    with pytest.raises(UsageError, match="precision 'int8'"):
        load_mode("s-vipnas", precision="int8")


def test_unknown_mode_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="no mode 'hrnet'.*s-vipnas, t-vipnas"):
        load_mode("hrnet")
    with pytest.raises(UsageError, match="no graph or folder .*gone.onnx"):
        load_mode("gone.onnx")


def test_path_of_a_spatial_graph(folder: Path) -> None:
    mode = load_mode(folder / "tiny-s.onnx", detector=folder / "tiny-detector.onnx")
    assert mode.period == 1 and mode.name == str(folder / "tiny-s.onnx") and mode.detector is not None


def test_path_of_another_kind_of_graph(folder: Path) -> None:
    with pytest.raises(UsageError, match="give the folder"):
        load_mode(folder / "tiny-t-1.onnx", detector=None)
    with pytest.raises(UsageError, match="is a detector"):
        load_mode(folder / "tiny-detector.onnx", detector=None)
    with pytest.raises(UsageError, match="no detector"):
        load_mode(folder / "tiny-s.onnx", detector="yolo")
    with pytest.raises(ModelError, match="a detector is wanted"):
        load_mode(folder / "tiny-s.onnx", detector=folder / "tiny-s.onnx")


def test_non_ascii_path(tmp_path: Path) -> None:
    folder = write_mode(tmp_path / "Gerät ü 人", steps=1)
    assert load_mode(folder, detector=folder / "tiny-detector.onnx").period == 2


def test_folder(folder: Path) -> None:
    mode = load_mode(folder, detector=None)
    assert (mode.period, [t.metadata.phase for t in mode.temporal]) == (4, [1, 2, 3])


def test_folder_with_both_precisions(tmp_path: Path) -> None:
    write_mode(tmp_path, steps=1)
    pose_graph(tmp_path / "tiny-s.fp32.onnx", scale=0.5)
    assert load_mode(tmp_path, detector=None).spatial.graph.path.name == "tiny-s.onnx"
    pose_graph(tmp_path / "tiny-s.int8.onnx", scale=0.25)
    assert load_mode(tmp_path, detector=None, precision="int8").spatial.graph.path.name == "tiny-s.int8.onnx"
    mode = load_mode(tmp_path, detector=None, precision="fp32")
    assert mode.spatial.graph.path.name == "tiny-s.fp32.onnx"
    assert [t.graph.path.name for t in mode.temporal] == ["tiny-t-1.onnx"]  # there is no other


def test_folder_without_or_with_two_spatial_graphs(tmp_path: Path) -> None:
    pose_graph(tmp_path / "t.onnx", pose_metadata(phase=1))
    with pytest.raises(ModelError, match="one spatial pose graph \\(there: none\\)"):
        load_mode(tmp_path)
    pose_graph(tmp_path / "a.onnx")
    pose_graph(tmp_path / "b.onnx")
    with pytest.raises(ModelError, match="there: a.onnx, b.onnx"):
        load_mode(tmp_path)


def test_graphs_that_do_not_fit(tmp_path: Path) -> None:
    pose_graph(tmp_path / "s.onnx")
    temporal = tmp_path / "t.onnx"
    pose_graph(temporal, pose_metadata(phase=1, skeleton="mpii16"))
    with pytest.raises(ModelError, match="t.onnx has skeleton mpii16 but s.onnx has coco17"):
        load_mode(tmp_path, detector=None)
    pose_graph(temporal, pose_metadata(phase=2))
    with pytest.raises(ModelError, match="phase 2.*wanted is the temporal graph of phase 1"):
        load_mode(tmp_path, detector=None)


def test_graphs_of_one_name_keep_their_hashes(tmp_path: Path) -> None:
    pose_graph(tmp_path / "s.onnx")
    detector_graph(tmp_path / "d.onnx")
    twin = pose_metadata(phase=1)
    object.__setattr__(twin, "network", "tiny-s")
    pose_graph(tmp_path / "t.onnx", twin)
    assert len(load_mode(tmp_path, detector=tmp_path / "d.onnx").graphs) == 3


def test_detector_configuration_is_passed_on(folder: Path) -> None:
    config = DetectorConfig(score=0.05, max_people=3)
    mode = load_mode(folder, detector=folder / "tiny-detector.onnx", detector_config=config)
    assert mode.detector is not None and mode.detector.config == config


def test_registry(monkeypatch: pytest.MonkeyPatch, installed: Path) -> None:
    monkeypatch.setattr(module, "MODES", dict(MODES))
    register("single", ModeSpec("s-vipnas", summary="a later one"))
    assert load_mode("single", detector=None).period == 1
    with pytest.raises(ValueError, match="registered already"):
        register("single", ModeSpec("s-vipnas"))
