"""An exported graph becomes a run again: the same function, batch norms with true statistics, and trainings go on from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from tests.models.test_export import EFFICIENT, POSENAS, SIZE, TINY, network
from tests.models.test_quantise import small_pack
from vipose.models.export import export_pose, pose_metadata
from vipose.models.networks.architecture import Architecture, Fusion
from vipose.models.networks.resnet50 import Head, ResNet50Arch, ResNetStage
from vipose.models.training.checkpoint import load_checkpoint, save_checkpoint
from vipose.models.training.from_graph import read_graph, restore
from vipose.models.training.start import load_network
from vipose.models.training.temporal import load_networks
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import EXIT_OK, EXIT_USAGE, ModelError
from vipose.runtime.graphs import PoseGraph
from vipose.runtime.shipped import shipped_graph

TEMPORAL = replace(TINY, fusion=Fusion(1, "cat"))


def exported(path: Path, arch: Architecture, name: str = "net", **more: int) -> Path:
    export_pose(network(arch), path, pose_metadata(arch, name, SIZE, {}, **more), "fp16")
    return path


def people(count: int = 12) -> np.ndarray:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (count, SIZE[1] // 8, SIZE[0] // 8, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 1).repeat(8, 2))


TWO_STAGES = replace(POSENAS, refine=(1, 1, 1, 1), refine_width=8)
ATTENTIVE = ResNet50Arch(
    stem=16,
    stages=tuple(ResNetStage(depth=2, width=16, kernel=3, groups=4, attention=True, stride=min(n, 2)) for n in range(1, 5)),  # type: ignore[arg-type]
    head=Head(widths=(16, 16, 16), groups=(4, 4, 4)),
)


@pytest.mark.parametrize(
    "arch", [replace(TINY, output="logits"), TEMPORAL, EFFICIENT, POSENAS, TWO_STAGES, ATTENTIVE], ids=lambda a: f"{a.family}-{a.output}-{a.fusion}"
)
def test_the_same_function_in_evaluation_and_in_training(tmp_path: Path, arch: Architecture) -> None:
    crops, previous = people(), torch.rand(12, 17, SIZE[1] // 4, SIZE[0] // 4) if arch.fusion else None
    found = restore(read_graph(str(exported(tmp_path / "net.onnx", arch, **({"T": 1, "phase": 1} if arch.fusion else {})))), crops, previous)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    images = (torch.from_numpy(crops).permute(0, 3, 1, 2).float() - mean) / std
    with torch.no_grad():
        wanted, got = network(arch)(images, previous), found(images, previous)
        learning = found.train()(images, previous)  # with the statistics of these very people
    scale = float(wanted.abs().max())
    assert float((got - wanted).abs().max()) < 0.01 * scale  # weights were stored as fp16
    assert float((learning - got).abs().max()) < 0.01 * scale
    assert all(p.requires_grad for p in found.parameters())
    assert all(value.isfinite().all() for value in found.state_dict().values())


def test_a_run_goes_on_from_a_graph_and_exports_again(tmp_path: Path, counting_clock: None) -> None:
    pack = str(small_pack(tmp_path))
    graph = exported(tmp_path / "mine.onnx", replace(TINY, output="logits"))
    start = tmp_path / "shipped" / "best.pt"
    assert vipose(["train", "from-graph", str(graph), "--pack", pack, "-o", str(start)]) == EXIT_OK
    assert load_network(start).arch == replace(TINY, output="logits")
    assert vipose(["export", str(start), "-o", str(tmp_path / "again"), "--name", "mine", "--precision", "fp32"]) == EXIT_OK
    first, again = PoseGraph(graph), PoseGraph(tmp_path / "again" / "mine.fp32.onnx")
    assert first.metadata.input == again.metadata.input and first.metadata.codec == again.metadata.codec
    assert np.abs(first(people()) - again(people())).max() < 1e-3
    words = ["--start", str(start), "--pack", pack, "--out", str(tmp_path / "run"), "--epochs", "0", "1", "--size", "96x128", "96x128"]
    assert vipose(["train", "s-vipnas", *words, "--batch", "2", "--workers", "0"]) == EXIT_OK
    assert load_network(tmp_path / "run" / "best.pt").arch == replace(TINY, output="logits")


def test_temporal_graphs_become_one_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack, key = str(small_pack(tmp_path)), str(exported(tmp_path / "s.onnx", TINY))
    frames = [str(exported(tmp_path / f"t-{t}.onnx", TEMPORAL, f"t-{t}", T=2, phase=t)) for t in (1, 2)]
    out = tmp_path / "t" / "best.pt"
    assert vipose(["train", "from-graph", *frames, "--spatial", key, "--pack", pack, "-o", str(out)]) == EXIT_OK
    assert [each.arch for each in load_networks(out)] == [TEMPORAL] * 2
    assert load_checkpoint(out)["recipe"] == {"sizes": [list(SIZE)], "sigma": 2.0, "T": 2}  # type: ignore[index]
    assert vipose(["export", str(out), "-o", str(tmp_path / "again"), "--precision", "fp32"]) == EXIT_OK
    prior = np.random.default_rng(0).random((12, 17, SIZE[1] // 4, SIZE[0] // 4), np.float32)
    for t, frame in enumerate(frames, 1):
        both = [PoseGraph(path)(people(), prior) for path in (frame, tmp_path / "again" / f"t-vipnas-{t}.fp32.onnx")]
        assert np.abs(both[0] - both[1]).max() < 5e-3 * np.abs(both[0]).max()
    small = str(tmp_path / "small.onnx")
    export_pose(network(TINY), Path(small), pose_metadata(TINY, "small", (64, 64), {}))
    capsys.readouterr()
    for words in ([*frames], [*reversed(frames), "--spatial", key], [frames[0], "--spatial", key], [*frames, "--spatial", frames[0]], [*frames, "--spatial", small], [key, key]):
        assert vipose(["train", "from-graph", *words, "--pack", pack, "-o", str(out)]) == EXIT_USAGE
        assert capsys.readouterr().err.count("\n") == 1


def test_other_graphs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="in 8 bits"):
        read_graph(str(shipped_graph("s-vipnas", "int8")))
    with pytest.raises(ModelError, match="give t-vipnas-1 t-vipnas-2 t-vipnas-3 --spatial"):
        read_graph("t-vipnas")
    for name in ("nope", "s-vipnas.int8"):
        with pytest.raises(ModelError, match="choose from .*person-detector, .*s-vipnas, t-vipnas-1"):
            read_graph(name)
    (tmp_path / "torn.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="cannot be read"):
        read_graph(str(tmp_path / "torn.onnx"))
    path = exported(tmp_path / "net.onnx", TINY)
    graph = read_graph(str(path))
    for arch in (replace(TINY, head=32), replace(TINY, depths=(0, 0, 2, 0))):
        with pytest.raises(ModelError, match="not what 'vipose export' makes"):
            restore(replace(graph, arch=arch), people(2))
    for other, match in (
        (replace(graph.metadata, codec=replace(graph.metadata.codec, convention="msra")), "imported checkpoint"),
        (replace(graph.metadata, input=replace(graph.metadata.input, colour="BGR")), "imported checkpoint"),
        (replace(graph.metadata, architecture={"family": "mine"}), "which network it was made of"),
        (replace(graph.metadata, architecture={}), "which network it was made of"),
    ):
        graph.model.metadata_props[0].value = other.to_json()
        onnx.save(graph.model, tmp_path / "other.onnx")
        with pytest.raises(ModelError, match=match):
            read_graph(str(tmp_path / "other.onnx"))
    values = onnx.numpy_helper.to_array(graph.model.graph.initializer[0]).copy()
    graph.model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(values + 60, graph.model.graph.initializer[0].name))
    with pytest.raises(ModelError, match="not what 'vipose export' makes"):  # another mean: only the heatmaps tell
        restore(graph, people(2))
    del graph.model.metadata_props[:]
    onnx.save(graph.model, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match="no vipose metadata"):
        read_graph(str(tmp_path / "bare.onnx"))
    save_checkpoint(tmp_path / "best.pt", arch={})
    with pytest.raises(ModelError, match="cannot be read"):
        read_graph(str(tmp_path / "best.pt"))
