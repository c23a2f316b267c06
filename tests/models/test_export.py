"""Any run of a pose network exports: names, skeletons, sizes and sigmas are what the run says; graphs hold no waste."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import onnxruntime as ort
from onnx import TensorProto, helper

from vipose.models.export import TracedPose, pose_metadata, skeleton_of, trace_pose, write_pose
from vipose.models.export_run import default_name, read_run
from vipose.models.networks.architecture import Architecture, Fusion
from vipose.models.networks.cells import Cell, FactorizedReduce
from vipose.models.networks.efficientpose import EFFICIENTPOSE_A, EfficientPoseArch, MBLayer, SlimHead
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.hrnet import HRNET_W32
from vipose.models.networks.mobilenetv3 import S_VIPNAS_MBV3
from vipose.models.networks.posenas import POSENAS_L18_C64, PoseNASArch
from vipose.models.networks.registry import build
from vipose.models.search.checkpoints import save_network
from vipose.models.tidy import merge_reductions, tidy
from vipose.models.training.checkpoint import save_checkpoint
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import InputError, ModelError
from vipose.runtime.graphs import PoseGraph
from vipose.runtime.onnxfile import read_metadata
from vipose.runtime.shipped import file_sha256

SIZE = (96, 128)
TINY = FusedArch(stem=8, widths=(8, 8, 16, 16), depths=(0, 0, 1, 0), head=16)
LAYERS = (
    MBLayer("k3_e3", 16, 2), MBLayer("k5_e3", 16), MBLayer("k7_e6", 24, 2), MBLayer("skip", 24), MBLayer("k3_e6", 32, 2),
)  # fmt: skip
EFFICIENT = EfficientPoseArch(stem=16, separable=8, layers=LAYERS, head=SlimHead(widths=(16, 16)))
# Every operation that a graph could get wrong: dilation, averages at the border, gates, strided skips.
VARIED = Cell.of(
    "std_conv_3x3:1 skip_connect:0", "dil_conv_3x3_2:2 avg_pool_3x3:1", "max_pool_3x3:3 dil_conv_3x3_4:2",
    "se_connect:4 std_conv_1x1:3",
)  # fmt: skip
POSENAS = PoseNASArch(
    channels=8, cells=(2, 1, 1, 1), refine=(), normal=VARIED, reduction=VARIED, fusion_cells=(VARIED,) * 3
)


def network(arch: Architecture) -> Any:
    """With statistics of batch norms and weights that differ from channel to channel, as after a training."""
    torch.manual_seed(0)
    made = build(arch)
    for norm in made.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
            if norm.affine:
                torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
                torch.nn.init.normal_(norm.bias, 0, 0.1)
    return made.eval()


def run_of(path: Path, arch: Architecture, **recipe: Any) -> Path:
    save_network(path, network(arch), {"sizes": [SIZE], **recipe})
    return path


@pytest.mark.parametrize(
    ("arch", "name"),
    [
        (TINY, "s-vipnas"),
        (replace(EFFICIENTPOSE_A, joints=16, output="logits"), "efficientpose-a"),
        (EFFICIENT, "efficientpose"),
        (replace(POSENAS_L18_C64, joints=16), "posenas-l18-c64"),
        (POSENAS, "posenas"),
        (replace(S_VIPNAS_MBV3, output="logits"), "s-vipnas-mbv3"),
        (replace(HRNET_W32, joints=16), "hrnet-w32"),
    ],
)
def test_networks_are_called_as_published_else_by_family(arch: Architecture, name: str) -> None:
    assert default_name(arch) == name


@pytest.mark.parametrize(
    ("size", "sigma", "blur"),
    [((192, 256), 2.0, 11), ((288, 384), 3.0, 17), ((256, 256), 2.0, 11), ((96, 128), 1.0, 5)],
)
def test_sigma_and_blur_go_with_the_height(size: tuple[int, int], sigma: float, blur: int) -> None:
    codec = pose_metadata(TINY, "net", size, {}).codec
    assert codec is not None and (codec.sigma, codec.blur) == (sigma, blur)
    wider = pose_metadata(TINY, "net", size, {}, sigma=3.0).codec
    assert wider is not None and wider.sigma == 1.5 * sigma and wider.blur > blur


def test_skeletons_by_joints() -> None:
    assert (skeleton_of(17).name, skeleton_of(16).name) == ("coco17", "mpii16")
    with pytest.raises(ModelError, match="no skeleton of 21 joints"):
        skeleton_of(21)


@pytest.mark.parametrize(
    ("arch", "skeleton"), [(replace(EFFICIENT, joints=16, output="logits"), "mpii16"), (replace(POSENAS, output="logits"), "coco17")]
)
def test_a_run_of_any_family_exports_and_runs(tmp_path: Path, arch: Architecture, skeleton: str) -> None:
    run = run_of(tmp_path / "best.pt", arch, sizes=[(64, 64), (64, 64)], sigma=4.0)
    assert vipose(["export", str(run), "-o", str(tmp_path / "out"), "--precision", "fp32"]) == 0
    (path,) = (tmp_path / "out").glob("*.onnx")
    assert path.name == f"{arch.family}.fp32.onnx"
    metadata = read_metadata(path)
    assert metadata.skeleton == skeleton and metadata.codec is not None and metadata.codec.sigma == 1.0
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    # A softmax over positions times 2 pi sigma^2 adds up to that.
    assert np.allclose(PoseGraph(path)(crops).sum((2, 3)), 2 * np.pi * metadata.codec.sigma**2, rtol=1e-3)
    card = json.loads((tmp_path / "out" / f"{arch.family}.json").read_text())
    assert list(card["files"]) == ["fp32"] and card["files"]["fp32"]["sha256"] == file_sha256(path)


@cache
def graph_of(arch: Architecture) -> TracedPose:
    made = network(arch)
    return trace_pose(made, pose_metadata(arch, "net", SIZE, {}))


def optimised(model: Any, folder: Path) -> Counter[str]:
    """Operators that ONNX Runtime keeps at full optimisation."""
    options = ort.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(folder / "optimised.onnx"), 4
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)


@pytest.mark.parametrize("arch", [EFFICIENT, POSENAS, TINY], ids=["efficientpose", "posenas", "fused"])
def test_graphs_equal_torch_and_hold_no_waste(arch: Architecture, tmp_path: Path) -> None:
    traced = graph_of(replace(arch, output="logits"))
    model = traced.model
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (out,) = session.run(["heatmaps"], traced.feeds)
    assert np.abs(out - traced.expected["heatmaps"]).max() < 1e-5
    found = Counter(node.op_type for node in model.graph.node)
    assert not {"Identity", "Dropout", "Shape", "Gather", "Slice", "Unsqueeze", "Pad"} & set(found)
    assert found["Transpose"] == found["Cast"] == found["Sub"] == found["Softmax"] == 1
    read = {name for node in model.graph.node for name in node.input} | {"heatmaps"}
    assert all(set(node.output) & read for node in model.graph.node)
    assert all(tensor.name in read for tensor in model.graph.initializer)
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    norms = [makers[node.input[0]] for node in model.graph.node if node.op_type == "BatchNormalization"]
    assert set(norms) <= {"ConvTranspose", "AveragePool", "MaxPool"}  # all others are in their convolutions


def test_efficientpose_stays_in_the_blocked_layout(tmp_path: Path) -> None:
    """All additions and activations of the chain run inside convolutions; only the slim head's deconvolutions leave."""
    wide = tuple(replace(layer, width=width) for layer, width in zip(LAYERS, (16, 16, 32, 32, 32), strict=True))
    left = optimised(graph_of(replace(EFFICIENT, separable=16, layers=wide)).model, tmp_path)
    assert left["Add"] == left["BatchNormalization"] == left["Clip"] == 0
    assert left["Relu"] <= 2 and left["ReorderOutput"] <= 2


def test_posenas_nodes_say_what_torch_computes() -> None:
    nodes = graph_of(replace(POSENAS, output="logits")).model.graph.node
    told = [{a.name: helper.get_attribute_value(a) for a in node.attribute} | {"operator": node.op_type} for node in nodes]
    averages = [t for t in told if t["operator"] == "AveragePool"]
    assert averages and all(t["count_include_pad"] == 0 for t in averages)
    ups = [t for t in told if t["operator"] == "Resize"]
    assert ups and all(t["mode"] == b"nearest" and t["coordinate_transformation_mode"] == b"asymmetric" for t in ups)
    assert {2, 4} <= {t["dilations"][0] for t in told if t["operator"] == "Conv"}


def test_reductions_become_one_convolution_with_the_same_values() -> None:
    torch.manual_seed(0)
    whole = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 1), FactorizedReduce(6, 5)).eval()
    whole[1].bn.running_mean.normal_()
    x = torch.randn(2, 3, 8, 10)
    with torch.no_grad():
        before = whole(x)
        merge_reductions(whole)
        after = whole(x)
    assert not any(isinstance(m, FactorizedReduce) for m in whole.modules())
    assert after.shape == (2, 5, 4, 5) and torch.allclose(before, after, atol=1e-6)


def test_tidying_keeps_what_is_read() -> None:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [2.0])
    unused = helper.make_tensor("v", TensorProto.FLOAT, [1], [2.0])
    nodes = [
        helper.make_node("Identity", ["w"], ["w2"]),
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Mul", ["b", "w2"], ["c"]),
        helper.make_node("Neg", ["c"], ["dead"]),
        helper.make_node("Identity", ["c"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y], [tensor, unused]))
    tidy(model)
    assert [node.op_type for node in model.graph.node] == ["Relu", "Mul", "Identity"]
    assert list(model.graph.node[1].input) == ["a", "w"] and [t.name for t in model.graph.initializer] == ["w"]


def test_a_card_keeps_files_of_the_same_weights(tmp_path: Path) -> None:
    first, second = network(TINY), network(TINY)
    metadata = pose_metadata(TINY, "net", SIZE, {"remark": "mine"})
    write_pose(first, tmp_path, metadata)
    write_pose(first, tmp_path, metadata, ("fp32",))
    card = json.loads((tmp_path / "net.json").read_text())
    assert set(card["files"]) == {"fp16", "fp32"} and card["remark"] == "mine"
    (tmp_path / "net.onnx").unlink()
    write_pose(first, tmp_path, metadata, ("fp32",))
    assert set(json.loads((tmp_path / "net.json").read_text())["files"]) == {"fp32"}
    write_pose(first, tmp_path, metadata, ("fp16",))
    torch.nn.init.ones_(next(second.parameters()))
    write_pose(second, tmp_path, metadata, ("fp16",))
    assert set(json.loads((tmp_path / "net.json").read_text())["files"]) == {"fp16"}


def test_temporal_runs_give_one_graph_a_phase(tmp_path: Path) -> None:
    arch = replace(TINY, fusion=Fusion(1, "add"))
    weights = {f"0.{k}": v for k, v in build(arch).state_dict().items()}
    save_checkpoint(tmp_path / "best.pt", state_dict=weights, archs=[arch.to_json()], recipe={"sizes": [SIZE], "T": 2})
    found = read_run(tmp_path / "best.pt")
    assert found.temporal and len(found.networks) == 2 and found.name == "t-vipnas"
    assert vipose(["export", str(tmp_path / "best.pt"), "-o", str(tmp_path), "--precision", "fp16"]) == 0
    assert [read_metadata(tmp_path / f"t-vipnas-{n}.onnx").phase for n in (1, 2)] == [1, 2]


def _content(made: Architecture, **changes: Any) -> dict[str, Any]:
    whole = {"state_dict": dict(build(made).state_dict()), "arch": made.to_json(), "recipe": {"sizes": [SIZE]}}
    return whole | changes


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: {"state_dict": {}, "space": "fast-posenas", "recipe": {}}, "derived.pt beside it"),
        (lambda: {"weights": 1}, "holds no network of a run but weights"),
        (lambda: _content(TINY, arch={"family": "vgg"}), "describes no network of today"),
        (lambda: _content(TINY, recipe={}), "describes no network of today"),
        (lambda: _content(TINY, arch=replace(TINY, stem=16).to_json()), "is of another network"),
        (lambda: _content(TINY, state_dict={"network.x": torch.zeros(1)}), "is a super-network"),
    ],
)
def test_checkpoints_of_something_else_are_refused(tmp_path: Path, content: Callable[[], Any], words: str) -> None:
    save_checkpoint(tmp_path / "best.pt", **content())
    with pytest.raises(ModelError, match=words):
        read_run(tmp_path / "best.pt")


def test_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_run(tmp_path / "best.pt")
    (tmp_path / "torn.pt").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(ModelError, match="torn"):
        read_run(tmp_path / "torn.pt")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--card", "missing.json"], 3, "cannot be read"),
        (["--card", "text.json"], 3, "is no JSON"),
        (["--card", "list.json"], 3, "no JSON object"),
        (["--name", "a/b"], 2, "cannot be the name"),
        (["--name", "net.int8"], 2, "cannot be the name"),
        (["--precision", "int8"], 2, "add --calibrate"),
        (["--crops", "3"], 2, "belong to int8"),
        (["--precision", "int8", "--calibrate", "pack", "--crops", "0"], 2, "above 0"),
        (["--precision", "int8", "--calibrate", "pack"], 3, "is not a pack"),
    ],
)
def test_mistakes_are_one_line(
    options: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.json").write_text("{")
    Path("list.json").write_text("[]")
    run_of(Path("best.pt"), TINY)
    assert vipose(["export", "best.pt", "-o", "out", *options]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("vipose: ") and words in lines[0]
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_importing_a_run_says_export(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / f"best{suffix}", TINY)
    assert vipose(["models", "import", str(run), "-o", str(tmp_path / "out.onnx")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "'vipose export" in lines[0] and not (tmp_path / "out.onnx").exists()
