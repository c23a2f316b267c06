"""Graphs in 8 bits find the same keypoints, keep their ends in float, and are refused where they do not."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from tests.models.test_export import EFFICIENT, POSENAS, run_of
from tests.models.test_people import crop_set
from vipose.models import quantise as quantising
from vipose.models.data.pack import read_crops, write_pack
from vipose.models.export import export_pose, pose_metadata
from vipose.models.networks.architecture import Fusion
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.registry import build
from vipose.models.quantise import agreement, calibration_crops, quantise
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import InputError, ModelError, UsageError
from vipose.runtime.graphs import PoseGraph, session_options
from vipose.runtime.metadata import Codec, GraphMetadata, InputSpec
from vipose.runtime.shipped import graph_name, graph_precision
from vipose.runtime.skeleton import COCO17

WIDTH, HEIGHT, SIGMA = 48, 64, 2.0
METADATA = GraphMetadata(
    "pose-spatial", "spots", InputSpec(WIDTH, HEIGHT), skeleton="coco17", codec=Codec(sigma=SIGMA, blur=5), flip=COCO17.flip
)


def spotter() -> Any:
    """A graph of four convolutions that sees a bright spot as every joint."""
    ramp = np.exp(-((np.arange(5) - 2.0) ** 2) / 2).astype(np.float32)
    weights = {
        "grey": np.full((4, 3, 4, 4), 1 / 48 / 255, np.float32),
        "blur": np.tile(np.outer(ramp, ramp) / ramp.sum() ** 2, (4, 1, 1, 1)).astype(np.float32),
        "mix": np.abs(np.random.default_rng(0).standard_normal((8, 4, 1, 1))).astype(np.float32),
        "last": np.full((17, 8, 1, 1), 0.05, np.float32),
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["first"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["pixels", "grey"], ["a"], "stem", strides=[4, 4]),
        helper.make_node("Conv", ["a", "blur"], ["b"], "inner", pads=[2, 2, 2, 2], group=4),
        helper.make_node("Conv", ["b", "mix"], ["c"], "inner2"),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "last"], ["heatmaps"], "head"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", HEIGHT, WIDTH, 3])
    maps = helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, ["N", 17, HEIGHT // 4, WIDTH // 4])
    stored = [numpy_helper.from_array(v.reshape(4, 1, 5, 5) if n == "blur" else v, n) for n, v in weights.items()]
    graph = helper.make_graph(nodes, "spots", [image], [maps], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def spots(count: int = 12) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(1)
    crops = rng.integers(0, 30, (count, HEIGHT, WIDTH, 3), np.uint8)
    for crop in crops:
        x, y = rng.integers(12, WIDTH - 20), rng.integers(12, HEIGHT - 20)
        crop[y : y + 8, x : x + 8] = 250
    return crops


def heatmaps(model: Any, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    out: npt.NDArray[np.float32] = ort.InferenceSession(model.SerializeToString()).run(None, {"image": crops})[0]
    return out


def small_pack(folder: Path) -> Path:
    """Three people to train on."""
    crop_set(folder, labelled=True)
    write_pack([replace(person, source="clip:test") for person in read_crops(folder)] * 3, folder / "pack")
    return folder / "pack"


def in_8_bits(model: Any) -> dict[str, int]:
    """Of every convolution the number of its inputs that come out of 8 bits."""
    eight = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    return {n.name: sum(name in eight for name in n.input[:2]) for n in model.graph.node if n.op_type == "Conv"}


def test_keypoints_stay_and_the_ends_stay_in_float() -> None:
    model, crops = spotter(), spots()
    before, wanted = model.SerializeToString(), heatmaps(model, crops)
    made = quantise(model, crops)
    assert model.SerializeToString() == before
    # The pair of QuantizeLinear and DequantizeLinear in front of the head is the output of the convolution before it.
    assert {name: count for name, count in in_8_bits(made).items() if name.startswith("inner")} == {"inner": 2, "inner2": 2}
    stored = {t.name: t.data_type for t in made.graph.initializer}
    assert stored["grey"] == stored["last"] == TensorProto.FLOAT and stored["mix_quantized"] == TensorProto.INT8
    scales = next(t for t in made.graph.initializer if t.name == "mix_scale")
    assert list(scales.dims) == [8]  # one a channel
    zeros = {n.input[2] for n in made.graph.node if n.op_type == "QuantizeLinear"}
    assert {stored[name] for name in zeros} == {TensorProto.UINT8}
    assert [o.domain for o in made.opset_import] == [""]
    found = agreement(made, crops, wanted, METADATA)
    assert found.joints == 17 * len(crops) and found.mean_cells is not None and found.score is not None
    assert found.mean_cells < 0.1 and found.score < 0.02


def test_keypoints_that_move_far_are_refused() -> None:
    model, crops = spotter(), spots()
    wanted = heatmaps(model, crops)
    with pytest.raises(ModelError, match="moves keypoints by"):
        agreement(model, crops, np.roll(wanted, 5, -1), METADATA)
    unsure = agreement(model, crops, wanted * 0.1, METADATA)
    assert unsure.joints == 0 and unsure.mean_cells is None


def test_a_graph_without_convolutions_is_refused() -> None:
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", HEIGHT, WIDTH, 3])
    out = helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, ["N", HEIGHT, WIDTH, 3])
    graph = helper.make_graph([helper.make_node("Cast", ["image"], ["heatmaps"], to=1)], "g", [image], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match="no convolution"):
        quantise(model, spots(1))


@pytest.mark.parametrize("arch", [EFFICIENT, POSENAS, FusedArch(stem=8, widths=(8, 8, 16, 16), depths=(0, 0, 1, 0), head=16)])
def test_every_family_goes_to_8_bits(arch: Any, tmp_path: Path) -> None:
    pack, run = small_pack(tmp_path), run_of(tmp_path / "best.pt", replace(arch, output="logits"))
    export = ["export", str(run), "-o", str(tmp_path / "out"), "--name", "net", "--precision"]
    assert vipose([*export, "fp16"]) == 0
    assert vipose([*export, "int8", "fp32", "--calibrate", str(pack), "--crops", "3"]) == 0
    path = tmp_path / "out" / "net.int8.onnx"
    assert (graph_name(path), graph_precision(path)) == ("net", "int8")
    card = json.loads((tmp_path / "out" / "net.json").read_text())
    assert set(card["files"]) == {"fp16", "fp32", "int8"}
    assert card["files"]["int8"]["parameters"] == card["files"]["fp32"]["parameters"]
    assert card["files"]["int8"]["agreement"]["crops"] == 3
    model = onnx.load(path)
    found = Counter(node.op_type for node in model.graph.node)
    assert found["QuantizeLinear"] and found["Softmax"] == found["Cast"] == 1
    makers = {name: node for node in model.graph.node for name in node.output}
    reader = {name: node.op_type for node in model.graph.node for name in node.input}
    head = next(node for node in model.graph.node if node.op_type == "Softmax")
    while head.op_type != "Conv":  # back from the softmax: nothing is in 8 bits
        head = makers[head.input[0]]
        assert head.op_type in ("Conv", "Reshape")
    assert reader["image"] == "Transpose"
    crops = np.random.default_rng(0).integers(0, 256, (2, 128, 96, 3), np.uint8)
    assert np.isfinite(PoseGraph(path)(crops)).all()
    assert vipose(["models", "verify", str(path)]) == 0


def test_temporal_networks_stay_in_float(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arch = FusedArch(stem=8, widths=(8, 8, 16, 16), depths=(0, 0, 1, 0), head=16, fusion=Fusion(1, "add"))
    metadata = pose_metadata(arch, "net", (96, 128), {}, T=1, phase=1)
    with pytest.raises(ModelError, match="only single-frame"):
        export_pose(build(arch).eval(), tmp_path / "x.onnx", metadata, "int8", np.zeros((1, 128, 96, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_calibration_crops_are_the_packs_people(tmp_path: Path) -> None:
    pack = small_pack(tmp_path)
    crops = calibration_crops([pack], METADATA, 2)
    assert crops.shape == (2, HEIGHT, WIDTH, 3) and crops.dtype == np.uint8
    assert np.array_equal(crops, calibration_crops([pack], METADATA, 2))
    other = replace(METADATA, input=replace(METADATA.input, colour="BGR"))
    assert np.array_equal(calibration_crops([pack], other, 2), crops[..., ::-1])
    with pytest.raises(InputError, match="not a pack"):
        calibration_crops([tmp_path / "no"], METADATA)


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    with pytest.raises(UsageError, match="int8 needs a package that is missing"):
        quantising.quantise(spotter(), spots(1))


def test_sums_of_8_bit_products_never_overflow() -> None:
    assert session_options(1).get_session_config_entry("session.x64quantprecision") == "1"
