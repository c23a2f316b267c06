"""``vipose models``: list, info, verify and import to a file, through the command line (``test_library`` has the rest)."""

from __future__ import annotations

import builtins
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.fixtures.graphs import detector_graph, detector_metadata, pose_graph, pose_metadata, write_installation
from vipose.runtime import cli, shipped
from vipose.runtime.detect import Detector
from vipose.runtime.graphs import PoseGraph, load_graph
from vipose.runtime.metadata import KEY
from vipose.runtime.onnxfile import read_metadata


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_installation(tmp_path / "exported")
    monkeypatch.setattr(shipped, "shipped_folder", lambda: folder)
    return folder


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = cli.main(["models", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


# --- list, info, verify ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("installed")
def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "list")
    assert code == 0 and "\x1b" not in out
    row = next(line for line in out.splitlines() if line.startswith("t-vipnas-2"))
    assert row.split()[:4] == ["t-vipnas-2", "shipped", "pose-temporal", "48x64"] and "AP 0.5" in row
    assert "t-vipnas  s-vipnas t-vipnas-1 t-vipnas-2 t-vipnas-3" in " ".join(out.split()) or "s-vipnas t-vipnas-1" in out
    code, out, _ = call(capsys, "list", "--json")
    data = json.loads(out)
    assert [g["name"] for g in data["graphs"]] == [
        "efficientpose-a", "person-detector", "posenas-small", "s-vipnas", "t-vipnas-1", "t-vipnas-2", "t-vipnas-3",
    ]  # fmt: skip
    assert [set(g["files"]) for g in data["graphs"][:2]] == [{"fp16"}, {"fp16", "fp32"}]
    assert {m["name"] for m in data["modes"] if m["where"] == "shipped"} == {
        "t-vipnas", "s-vipnas", "efficientpose-a", "posenas-small",
    }  # fmt: skip


def test_info_of_graph_mode_and_path(installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "info", "t-vipnas-1", "--json")
    data = json.loads(out)
    assert code == 0 and data["metadata"]["phase"] == 1 and data["card"]["note"] == "tiny"
    assert data["modes"] == ["t-vipnas"]
    code, out, _ = call(capsys, "info", installed / "s-vipnas.fp32.onnx")
    assert code == 0 and "  skeleton: coco17" in out.splitlines()
    copy = tmp_path / "t-vipnas-1.onnx"
    copy.write_bytes((installed / copy.name).read_bytes())
    for path, modes in ((installed / copy.name, ["t-vipnas"]), (copy, [])):
        code, out, _ = call(capsys, "info", path, "--json")
        assert code == 0 and json.loads(out)["modes"] == modes, "modes run their own file, not a copy with its name"
    code, out, _ = call(capsys, "info", "t-vipnas")
    assert code == 0 and "t-vipnas-3" in out
    code, _, err = call(capsys, "info", "openpose")
    assert code == 2 and err.count("\n") == 1 and "there: " in err


@pytest.mark.usefixtures("installed")
def test_verify_everything(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "verify")
    assert code == 0 and out.splitlines()[-1] == "12 good, 0 bad"
    code, out, _ = call(capsys, "verify", "t-vipnas", "--json")
    results = json.loads(out)
    assert code == 0 and len(results) == 8 and all(r["good"] and r["weights"] == "ok" for r in results)


def test_verify_notices_a_changed_weight(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = installed / "s-vipnas.onnx"
    model = onnx.load(path)
    gain = next(t for t in model.graph.initializer if t.name == "gain")
    gain.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(gain) + np.float32(0.1), "gain"))
    onnx.save(model, path)
    code, out, _ = call(capsys, "verify", "s-vipnas", "--json")
    bad = next(r for r in json.loads(out) if r["path"] == str(path))
    assert code == 1 and (bad["file"], bad["weights"], bad["run"]) == ("bad", "bad", "ok")


def test_verify_of_paths(installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = pose_graph(tmp_path / "own.onnx")
    plain = pose_graph(tmp_path / "plain.onnx", embed=False)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    code, out, _ = call(capsys, "verify", own, plain, broken, "--json")
    results = json.loads(out)
    assert code == 1 and [r["good"] for r in results] == [True, False, False]
    assert results[0]["file"] == "no card"
    assert "vipose models import" in results[1]["fault"] and "no ONNX graph" in results[2]["fault"]
    for path in installed.glob("*.onnx"):
        path.unlink()
    assert call(capsys, "verify")[0] == 3


# --- import ------------------------------------------------------------------------------------------------------------


def rename(path: Path, names: dict[str, str]) -> Path:
    """Give a graph foreign names."""
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    onnx.save(model, path)
    return path


CROPS = np.random.default_rng(0).integers(0, 256, (2, 64, 48, 3), dtype=np.uint8)


def test_foreign_pose_graph_runs_after_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metadata = pose_metadata(dtype="float32", layout="NCHW", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    reference = PoseGraph(pose_graph(tmp_path / "ours.onnx", metadata))(CROPS)
    # "pooled" is an inner value: another one inside must make room for the public names, too.
    source = rename(
        pose_graph(tmp_path / "net.onnx", metadata, embed=False),
        {"image": "input.1", "heatmaps": "output", "pooled": "heatmaps", "grey": "image"},
    )
    target = tmp_path / "out.onnx"
    code, out, _ = call(capsys, "import", source, "-o", target, "--normalise", "imagenet", "--licence", "MIT")
    assert code == 0 and "pose-spatial, coco17, input 48x64" in out
    graph = PoseGraph(target)
    np.testing.assert_allclose(graph(CROPS), reference, atol=1e-5)
    assert graph.metadata.codec is not None and graph.metadata.codec.stride == 4
    assert (graph.metadata.network, graph.metadata.licence) == ("net", "MIT")
    assert call(capsys, "verify", target)[0] == 0
    assert not list(tmp_path.glob("*.part"))


def test_own_mean_and_bgr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metadata = pose_metadata(dtype="float32", layout="NHWC", colour="BGR", mean=(3.0, 2.0, 1.0), std=(6.0, 5.0, 4.0))
    reference = PoseGraph(pose_graph(tmp_path / "ours.onnx", metadata))(CROPS)
    source, target = pose_graph(tmp_path / "net.onnx", metadata, embed=False), tmp_path / "out.onnx"
    words = ["--colour", "BGR", "--mean", "1,2,3", "--std", "4,5,6", "--codec", "msra", "--sigma", "1.5"]
    assert call(capsys, "import", source, "-o", target, *words)[0] == 0
    np.testing.assert_allclose(PoseGraph(target)(CROPS), reference, atol=1e-5)
    codec = read_metadata(target).codec
    assert codec is not None and (codec.convention, codec.sigma) == ("msra", 1.5)


def test_temporal_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = rename(pose_graph(tmp_path / "net.onnx", pose_metadata(phase=1), embed=False), {"previous": "last"})
    code, _, _ = call(capsys, "import", source, "-o", tmp_path / "t.onnx", "--phase", 2, "--steps", 3)
    metadata = load_graph(tmp_path / "t.onnx").metadata
    assert code == 0 and (metadata.task, metadata.phase, metadata.T) == ("pose-temporal", 2, 3)
    code, _, err = call(capsys, "import", source, "-o", tmp_path / "u.onnx", "--phase", 4, "--steps", 3)
    assert code != 0 and "phase 4 of T = 3" in err and not (tmp_path / "u.onnx").exists()


def test_detector_of_free_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = rename(detector_graph(tmp_path / "d.onnx", embed=False), {"boxes": "dets", "scores": "conf"})
    target = tmp_path / "out.onnx"
    code, _, err = call(capsys, "import", source, "-o", target)
    assert code == 2 and "--size" in err
    code, _, err = call(capsys, "import", source, "-o", target, "--pixels", 160 * 96)
    assert code == 0, err
    image = np.zeros((96, 160, 3), np.uint8)
    image[32:48, 48:64] = 255
    assert len(Detector(target)(image)) == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "normalisation"),
        (["--mean", "1,2,3"], "belong together"),
        (["--mean", "1,2,3", "--std", "0,1,1"], "above 0"),
        (["--normalise", "unit", "--skeleton", "dog"], "skeleton 'dog'"),
        (["--normalise", "unit", "--skeleton", "mpii16"], "heatmaps"),
        (["--normalise", "unit", "--size", "100x100"], "leave --size out"),
        (["--normalise", "unit", "--image", "nothing"], "no 'nothing' for 'image'"),
        (["--normalise", "unit", "--dtype", "uint8"], "is float32, not uint8"),
        (["--normalise", "unit", "--task", "detect"], "neither heatmaps"),
        (["--normalise", "unit", "--blur", "4"], "must be odd"),
        (["--normalise", "unit", "--fill", "400"], "0 to 255"),
        (["--size", "axb"], "argument --size"),
    ],
)
def test_what_must_be_said(words: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = pose_graph(tmp_path / "net.onnx", pose_metadata(dtype="float32", layout="NCHW"), embed=False)
    code, _, err = call(capsys, "import", source, "-o", tmp_path / "out.onnx", *words)
    assert code in (2, 3) and reason in err and err.count("\n") == 1
    assert not list(tmp_path.glob("out*"))


def test_files_and_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = pose_graph(tmp_path / "net.onnx"), tmp_path / "out.onnx"
    assert "no file" in call(capsys, "import", tmp_path / "gone.onnx", "-o", out)[2]
    assert "must end in .onnx" in call(capsys, "import", source, "-o", tmp_path / "out.bin")[2]
    assert "no folder" in call(capsys, "import", source, "-o", tmp_path / "no" / "out.onnx")[2]
    assert "metadata already" in call(capsys, "import", source, "-o", out)[2]
    assert call(capsys, "import", source, "-o", out, "--force")[0] == 0
    assert "exists" in call(capsys, "import", source, "-o", out)[2]
    for name, reason in (("x.txt", "give an .onnx graph"), ("x.onnx", "no ONNX graph")):
        (tmp_path / name).write_bytes(b"something")
        code, _, err = call(capsys, "import", tmp_path / name, "-o", tmp_path / "new.onnx")
        assert code in (2, 3) and reason in err and err.count("\n") == 1


def test_without_onnx(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    source = pose_graph(tmp_path / "net.onnx", embed=False)
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "onnx":
            raise ImportError("No module named 'onnx'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "vipose.models.convert.foreign", raising=False)
    code, _, err = call(capsys, "import", source, "-o", tmp_path / "out.onnx")
    assert code == 2 and "pip install 'vipose[convert]'" in err


def _converter(calls: list[tuple[Path, Path]]) -> types.ModuleType:
    module = types.ModuleType("vipose.models.convert.yolo")

    def convert_yolo(source: Path, target: Path) -> None:
        calls.append((source, target))

    module.convert_yolo = convert_yolo  # type: ignore[attr-defined]
    return module


def test_yolo_goes_to_its_converter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Path, Path]] = []
    monkeypatch.setitem(sys.modules, "vipose.models.convert.yolo", _converter(calls))
    weights = tmp_path / "yolo11n.pt"
    weights.write_bytes(b"pickle")
    graph = detector_graph(tmp_path / "yolo11n.onnx", detector_metadata((160, 96)), embed=False)
    model = onnx.load(graph)
    onnx.helper.set_model_props(model, {"author": "Ultralytics", "task": "detect", "names": "{0: 'person'}"})
    onnx.save(model, graph)
    plain = detector_graph(tmp_path / "plain.onnx", detector_metadata((160, 96)), embed=False)
    target = tmp_path / "out.onnx"
    assert call(capsys, "import", weights, "-o", target)[0] == 0
    assert call(capsys, "import", graph, "-o", target)[0] == 0
    assert call(capsys, "import", plain, "-o", target, "--yolo")[0] == 0
    assert [source for source, _ in calls] == [weights, graph, plain]
    assert call(capsys, "import", plain, "-o", target)[0] == 0 and len(calls) == 3
    assert read_metadata(target).task == "detect"


def test_yolo_without_its_packages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vipose.models.convert.yolo", None)
    (tmp_path / "x.pt").write_bytes(b"pickle")
    code, _, err = call(capsys, "import", tmp_path / "x.pt", "-o", tmp_path / "out.onnx")
    assert code == 2 and "vipose[yolo]" in err


def test_foreign_metadata_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = pose_graph(tmp_path / "net.onnx", embed=False), tmp_path / "out.onnx"
    model = onnx.load(source)
    onnx.helper.set_model_props(model, {"origin": "elsewhere"})
    onnx.save(model, source)
    assert call(capsys, "import", source, "-o", target)[0] == 0
    assert {p.key for p in onnx.load(target).metadata_props} == {"origin", KEY}
