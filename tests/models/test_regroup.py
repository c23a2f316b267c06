"""Rewritten graphs put out the same values, and what is kept is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper

from vipose.models.convert import regroup as regrouping
from vipose.models.convert.regroup import choose, regroup
from vipose.runtime.cli import main as vipose
from vipose.runtime.onnxfile import read_metadata

Array = npt.NDArray[Any]


def graph(layers: list[tuple[str, tuple[int, ...], dict[str, Any]]], channels: int, size: tuple[int, int] = (12, 9)) -> Any:
    """A chain of convolutions (operator, shape of weights, attributes) with biases; N is free."""
    rng = np.random.default_rng(0)
    nodes, stored, name = [], [], "x"
    for number, (operator, shape, attributes) in enumerate(layers):
        outputs = shape[0] if operator == "Conv" else shape[1] * attributes.get("group", 1)
        weight = rng.standard_normal(shape).astype(np.float32) / float(np.prod(shape[1:])) ** 0.5
        values = {f"w{number}": weight, f"b{number}": rng.standard_normal(outputs).astype(np.float32)}
        stored += [numpy_helper.from_array(v, n) for n, v in values.items()]
        nodes.append(helper.make_node(operator, [name, *values], [f"y{number}"], f"n{number}", **attributes))
        name = f"y{number}"
    made = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", channels, *size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", "c", "h", "w"])],
        stored,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: Any, x: Array) -> Array:
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    out: Array = session.run(None, {"x": x})[0]
    return out


def groups(model: Any) -> list[int]:
    return [a.i for node in model.graph.node if node.op_type == "Conv" for a in node.attribute if a.name == "group"]


GROUPED = [
    ("Conv", (32, 2, 5, 5), {"group": 16, "pads": [2, 2, 2, 2], "strides": [2, 2]}),  # 2 channels a group
    ("Conv", (64, 4, 3, 3), {"group": 8, "pads": [1, 1, 1, 1]}),  # 4 in, 8 out
]


@pytest.mark.parametrize(("block", "expected"), [(16, [2, 2]), (8, [4, 4])])
def test_merged_groups_put_out_the_same(block: int, expected: list[int]) -> None:
    model = graph(GROUPED, 32)
    made, count = regroup(model, block)
    x = np.random.default_rng(1).standard_normal((2, 32, 12, 9)).astype(np.float32)
    assert count == 2 and groups(made) == expected and groups(model) == [16, 8]
    assert np.abs(run(made, x) - run(model, x)).max() < 1e-5
    assert not {"w0", "w1"} & {t.name for t in made.graph.initializer}


@pytest.mark.parametrize("kernel", [2, 4])
def test_depthwise_deconvolutions_put_out_the_same(kernel: int) -> None:
    attributes = {"group": 6, "strides": [2, 2], "pads": [kernel // 2 - 1] * 4}
    model = graph([("ConvTranspose", (6, 1, kernel, kernel), attributes)] * 2, 6)
    made, count = regroup(model, 16)
    x = np.random.default_rng(1).standard_normal((3, 6, 12, 9)).astype(np.float32)
    assert count == 2 and "ConvTranspose" not in {n.op_type for n in made.graph.node}
    assert run(made, x).shape == (3, 6, 48, 36)
    assert np.abs(run(made, x) - run(model, x)).max() < 1e-5


@pytest.mark.parametrize(
    ("operator", "shape", "attributes"),
    [
        ("Conv", (16, 1, 3, 3), {"group": 16}),  # depthwise runs well
        ("Conv", (32, 16, 3, 3), {"group": 2}),  # whole blocks
        ("Conv", (32, 16, 3, 3), {}),  # dense
        ("Conv", (15, 5, 3, 3), {"group": 3}),  # no number of groups makes a block
        ("ConvTranspose", (16, 2, 4, 4), {"group": 8, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("ConvTranspose", (16, 1, 4, 4), {"group": 16, "strides": [2, 2], "pads": [0, 0, 0, 0]}),
        ("ConvTranspose", (16, 1, 4, 4), {"group": 16, "strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    ],
)
def test_what_has_no_better_form_stays(operator: str, shape: tuple[int, ...], attributes: dict[str, Any]) -> None:
    channels = shape[1] * attributes.get("group", 1) if operator == "Conv" else shape[0]
    model = graph([(operator, shape, attributes)], channels)
    made, count = regroup(model, 16)
    assert count == 0 and [n.op_type for n in made.graph.node] == [operator]


def test_weights_in_use_twice_are_kept_for_the_other() -> None:
    model = graph([GROUPED[1]], 32)
    model.graph.output.append(helper.make_tensor_value_info("w0", TensorProto.FLOAT, [64, 4, 3, 3]))
    made, count = regroup(model, 16)
    assert count == 1 and {"w0", "w0.merged16"} <= {t.name for t in made.graph.initializer}


def test_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratios are made up, so that the machine's do not matter."""
    monkeypatch.setattr(regrouping, "_ROUNDS", 1)
    model = graph(GROUPED, 32)
    feeds = {"x": np.random.default_rng(1).standard_normal((2, 32, 12, 9)).astype(np.float32)}
    never = choose(model, feeds, "never")
    assert never.rewritten == 0 and never.model is model
    always = choose(model, feeds, "always")
    assert always.rewritten == 2 and "measured on one thread" in always.reason

    def ratio(value: float) -> None:
        monkeypatch.setattr(regrouping, "paired_ratio", lambda *_: value)

    ratio(0.5)
    faster = choose(model, feeds)
    assert faster.rewritten == 2 and "0.50 times" in faster.reason
    ratio(0.99)
    slower = choose(model, feeds)
    assert slower.rewritten == 0 and slower.model is model and "not regrouped" in slower.reason
    assert "no convolution has another form" in choose(graph([("Conv", (32, 16, 3, 3), {})], 16), {"x": feeds["x"][:, :16]}).reason


def imported(path: Path, how: str, batch: int | str = "N") -> int:
    """Import a graph of grouped convolutions with ``--regroup``."""
    layers = [("Conv", (32, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [4, 4]}), *GROUPED[1:]]
    model = graph([*layers, ("Conv", (17, 64, 1, 1), {})], 3, (32, 24))
    for value, sizes in ((model.graph.input[0], (batch, 3, 32, 24)), (model.graph.output[0], (batch, 17, 8, 6))):
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, sizes))
    onnx.save(model, path)
    words = ["models", "import", str(path), "-o", str(path.with_name("out.onnx")), "--normalise", "imagenet"]
    return vipose([*words, "--regroup", how])


def test_foreign_graphs_are_regrouped_where_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(regrouping, "_ROUNDS", 1)
    # Made up, and the same for all blocks: which is faster depends on the processor.
    monkeypatch.setattr(regrouping, "paired_ratio", lambda *_: 0.5)
    assert imported(tmp_path / "net.onnx", "always") == 0
    assert "regrouped 1 convolutions" in capsys.readouterr().out
    made = onnx.load(tmp_path / "out.onnx")
    assert groups(made) == [2] and "regrouped 1" in read_metadata(tmp_path / "out.onnx").card["regroup"]
    image = np.random.default_rng(0).standard_normal((2, 3, 32, 24)).astype(np.float32)
    (before,) = ort.InferenceSession(tmp_path / "net.onnx").run(None, {"x": image})
    (after,) = ort.InferenceSession(tmp_path / "out.onnx").run(None, {"image": image})
    assert np.abs(before - after).max() < 1e-5
    (tmp_path / "out.onnx").unlink()
    assert imported(tmp_path / "net.onnx", "auto", batch=4) == 2
    assert "takes 4 pictures at once" in capsys.readouterr().err


def test_a_form_that_differs_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model = graph(GROUPED, 32)
    monkeypatch.setattr(regrouping, "_difference", lambda *_: 1.0)
    kept = choose(model, {"x": np.ones((1, 32, 12, 9), np.float32)}, "always")
    assert kept.model is model and "differ" in kept.reason
