"""An exported person detector becomes a run again: shared kernels, norms of every level, the same boxes and scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
import onnxruntime as ort

from tests.fixtures.graphs import detector_graph
from tests.models.test_detector import TINY, picture
from tests.models.test_quantise import small_pack
from vipose.models.data.pseudo import write_pictures
from vipose.models.export_detector import main as export_main
from vipose.models.export_detector import read_detector, write_detector
from vipose.models.networks.detector import Detector
from vipose.models.training.checkpoint import save_checkpoint
from vipose.models.training.detection import DetectionConfig, train
from vipose.models.training.detector_from_graph import ExportedDetector, restore_detector
from vipose.models.training.distil_stem import normalised
from vipose.models.training.from_graph import read_graph
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import EXIT_OK, EXIT_USAGE, ModelError

PIXELS = 96 * 128
PICTURES = [picture(n, (10 + 3 * n, 20, 40 + 3 * n, 80), size=(128, 96)) for n in range(8)]
DEEP = replace(TINY, tower=2)


def trained() -> Detector:
    """Weights, statistics and scales of a network that has learned something: no two levels, no two channels alike."""
    torch.manual_seed(5)
    network = Detector(DEEP).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 2.0)
        for output in network.outputs:
            output.weight.normal_(std=5.0)
        network.tower.norms[1][0].weight[3] = 0.0  # a level may do without a channel
        network.tower.norms[2][1].weight[4] *= -1
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The detector's graphs, and pictures in ``data``."""
    path = tmp_path_factory.mktemp("detector")
    write_detector(trained(), PIXELS, path, {})
    write_pictures(iter(PICTURES), path / "data")
    return path


def read(path: Path) -> ExportedDetector:
    graph = read_graph(str(path))
    assert isinstance(graph, ExportedDetector)
    return graph


def test_the_same_function_in_evaluation_and_in_training(folder: Path) -> None:
    found = restore_detector(read(folder / "person-detector.onnx"), PICTURES)
    images = normalised(np.stack([each.image for each in PICTURES]))
    assert images.shape[2:] == (96, 128)
    with torch.no_grad():
        wanted, got, learning = trained()(images), found(images), found.train()(images)
    for a, b, c in zip(wanted, got, learning, strict=True):
        scale = float(a.abs().max())
        assert float((a - b).abs().max()) < 0.02 * scale  # weights were stored as fp16
        assert float((b - c).abs().max()) < 0.02 * scale  # with the statistics of these very pictures
    assert all(p.requires_grad for p in found.parameters()) and all(v.isfinite().all() for v in found.state_dict().values())
    assert found.arch == DEEP and len(found.tower.convs) == 2, "the levels share their convolutions again"


def test_a_run_goes_on_from_it_and_exports_again(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, data = tmp_path / "shipped" / "detector.pt", folder / "data"
    assert vipose(["train", "from-graph", str(folder / "person-detector.onnx"), "--data", str(data), "-o", str(out)]) == EXIT_OK
    assert "to go on from" in capsys.readouterr().out
    network, pixels = read_detector(out)
    assert network.arch == DEEP and pixels == PIXELS
    assert export_main(["--checkpoint", str(out), "--out", str(tmp_path / "again")]) == 0
    image = {"image": PICTURES[0].image[None]}
    first, again = (
        ort.InferenceSession(str(path / "person-detector.onnx"), providers=["CPUExecutionProvider"]).run(["boxes", "scores"], image)
        for path in (folder, tmp_path / "again")
    )
    assert np.abs(first[0] - again[0]).max() < 0.5 and np.abs(first[1] - again[1]).max() < 0.01 and np.ptp(first[1]) > 0.1
    config = DetectionConfig(arch=DEEP, pixels=PIXELS, epochs=1, batch=2, bf16=False, epoch_steps=2, watch_every=9)
    train(config, [data], [1.0], tmp_path / "run", out)
    assert read_detector(tmp_path / "run" / "detector.pt")[0].arch == DEEP


def test_wrong_words_are_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph, data, pack = str(folder / "person-detector.onnx"), str(folder / "data"), str(small_pack(tmp_path))
    for words in (
        [graph], [graph, "--data", data, "--pack", pack], [graph, graph, "--data", data], [graph, "--data", data, "--spatial", "s-vipnas"],
        ["s-vipnas", graph, "--pack", pack], ["s-vipnas", "--data", data], ["s-vipnas"], ["s-vipnas", "--pack", pack, "--data", data],
    ):  # fmt: skip
        assert vipose(["train", "from-graph", *words, "-o", str(tmp_path / "x.pt")]) == EXIT_USAGE
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "x.pt").exists()
    pose = tmp_path / "pose.pt"
    assert vipose(["train", "from-graph", "s-vipnas", "--pack", pack, "-o", str(pose)]) == EXIT_OK
    with pytest.raises(ModelError, match="no detector in"):
        train(DetectionConfig(epochs=1), [folder / "data"], [1.0], tmp_path / "run", pose)
    network = Detector(TINY).state_dict()
    save_checkpoint(tmp_path / "tiny.pt", average=network)
    with pytest.raises(ModelError, match="tiny"):
        train(DetectionConfig(epochs=1), [folder / "data"], [1.0], tmp_path / "run", tmp_path / "tiny.pt")


def test_other_detectors_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no detector of a training here"):
        restore_detector(read(detector_graph(tmp_path / "detector.onnx")), PICTURES)
    graph = read(folder / "person-detector.onnx")
    other = replace(graph, metadata=replace(graph.metadata, architecture=replace(DEEP, width=32).to_json()))
    with pytest.raises(ModelError, match="not what 'vipose export' makes"):
        restore_detector(other, PICTURES)
    mean = next(tensor for tensor in graph.model.graph.initializer if tensor.name == "graph.mean")
    mean.CopyFrom(onnx.numpy_helper.from_array(-5 * onnx.numpy_helper.to_array(mean), mean.name))
    with pytest.raises(ModelError, match="not what 'vipose export' makes"):  # another mean: only boxes and scores tell
        restore_detector(graph, PICTURES)
