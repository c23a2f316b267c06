"""Exact rewrites of convolutions into forms that ONNX Runtime runs faster, kept only where they measure faster.

ONNX Runtime keeps tensors in blocks of 16 channels (AVX-512) or 8 (AVX2). A grouped convolution whose groups are no
multiple of the block leaves that layout and becomes one small product a group: its time hardly depends on the channels a
group. So neighbouring groups are merged into one of whole blocks; weights between what were different groups are zero.
More multiplications, same values, often less time.

A depthwise transposed convolution of stride 2 leaves the layout as well. It equals copying every pixel into 2x2, setting
all but the first of the four to zero, and a depthwise convolution with the kernel turned round.

What either brings depends on the processor and on each convolution: :func:`choose` measures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from vipose.runtime.bench.timing import Timing, interleaved, paired_ratio
from vipose.runtime.graphs import session_options

__all__ = ["BLOCKS", "POLICIES", "Kept", "Policy", "choose", "regroup"]

Policy = Literal["auto", "never", "always"]
POLICIES: tuple[Policy, ...] = ("auto", "never", "always")
BLOCKS = (16, 8)
"""Channels of a block on AVX-512 and on AVX2."""
Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
_MOST = 16
"""More than so many times the multiplications never paid."""
_GAIN = 0.97
"""Share of the time that a new form may take at most: less would be noise, and files grow by the zeros."""
_ROUNDS = 15
_TOLERANCE = 1e-5
# On Windows the time of a thread advances in steps of 16 ms.
_CLOCK = time.perf_counter if sys.platform == "win32" else time.thread_time


@dataclass(frozen=True)
class Kept:
    """Which form of a graph was kept, and why.

    Attributes:
        model: the graph.
        rewritten: convolutions that differ from the original.
        reason: one line for people, with what was measured.
    """

    model: onnx.ModelProto
    rewritten: int
    reason: str


@dataclass(frozen=True)
class _Kind:
    """Convolutions of one kind take one time: weights' shape, attributes and the input's height and width."""

    operator: str
    weight: tuple[int, ...]
    attributes: str
    size: tuple[int, ...]


def choose(model: onnx.ModelProto, feeds: Feeds, policy: Policy = "auto") -> Kept:
    """The fastest exact form of a graph on this machine.

    Every kind of convolution is timed by itself in its possible forms, then the whole graph with the faster ones against
    the original. Forms run in turn on one thread, as in use, and CPU time is counted, so other work matters little.

    Args:
        model: is not changed. Only weights that are initialisers are rewritten.
        feeds: an example of its inputs, of which the first item is run.
        policy: ``never`` keeps the graph; ``always`` rewrites all that can be, each in its fastest new form.
    """
    if policy == "never":
        return Kept(model, 0, "not regrouped, as asked")
    samples = _samples(model)
    blocks = {kind: block for kind, sample in samples.items() if (block := _best(sample, policy)) is not None}
    made, count = regroup(model, blocks)
    if count == 0:
        if not samples:
            return Kept(model, 0, "not regrouped: no convolution has another form")
        found = f"none of {len(samples)} kinds of grouped convolutions is faster in another form"
        return Kept(model, 0, f"not regrouped: {found}, measured on one thread")
    single = {name: array[:1] for name, array in feeds.items()}
    timings, equal = _race({"new": made, "old": model}, single)
    if not equal:
        return Kept(model, 0, f"not regrouped: the new form's outputs differ by more than {_TOLERANCE:g}")
    ratio, old = paired_ratio(timings["new"], timings["old"]), timings["old"].p50
    measured = f"{old * ratio:.1f} ms against {old:.1f} ms as it is ({ratio:.2f} times), measured on one thread"
    if policy == "auto" and ratio > _GAIN:
        return Kept(model, 0, f"not regrouped: {measured}")
    return Kept(made, count, f"regrouped {count} convolutions: {measured}")


def regroup(model: onnx.ModelProto, blocks: int | Mapping[_Kind, int]) -> tuple[onnx.ModelProto, int]:
    """A copy with other forms of convolutions, and how many were rewritten. Outputs agree up to the rounding of sums.

    Args:
        model: is not changed.
        blocks: channels of which groups become a multiple; for all kinds, or by kind (others stay).
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    count, nodes, stored = 0, [], dict[str, Array]()
    for node, kind, weight in _convolutions(model):
        block = blocks if isinstance(blocks, int) else blocks.get(kind) if kind is not None else None
        rewritten = None if block is None or kind is None else _rewritten(node, kind, weight, block, stored)
        count += rewritten is not None
        nodes += [node] if rewritten is None else rewritten
    used = {name for node in nodes for name in node.input} | {value.name for value in model.graph.output}
    del made.graph.node[:], made.graph.initializer[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(t for t in model.graph.initializer if t.name in used)
    made.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in stored.items())
    return made, count


def _convolutions(model: onnx.ModelProto) -> list[tuple[onnx.NodeProto, _Kind | None, Array]]:
    """Every node, and for grouped convolutions with known weights their kind and weights."""
    weights, shapes = {t.name: t for t in model.graph.initializer}, _shapes(model)
    found: list[tuple[onnx.NodeProto, _Kind | None, Array]] = []
    for node in model.graph.node:
        kind, weight = None, np.empty(0)
        grouped = node.op_type in ("Conv", "ConvTranspose") and _attributes(node).get("group", 1) > 1
        if grouped and node.input[1] in weights:
            weight, size = numpy_helper.to_array(weights[node.input[1]]), shapes.get(node.input[0], ())[2:]
            kind = _Kind(node.op_type, weight.shape, str(sorted(_attributes(node).items())), size)
        found.append((node, kind, weight))
    return found


def _rewritten(
    node: onnx.NodeProto, kind: _Kind, weight: Array, block: int, stored: dict[str, Array]
) -> list[onnx.NodeProto] | None:
    """New nodes for a convolution, whose weights go into ``stored``; None where there is no other form of it."""
    if kind.operator == "Conv":
        return _merged(node, weight, block, stored)
    return _without_transpose(node, weight, kind.size, stored)


def _merged(node: onnx.NodeProto, weight: Array, block: int, stored: dict[str, Array]) -> list[onnx.NodeProto] | None:
    """A convolution with fewer, wider groups; None where it is depthwise, in whole blocks already, or none fit."""
    attributes = _attributes(node)
    groups = int(attributes["group"])
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    fitting = [m for m in range(1, _MOST + 1) if groups % m == 0 and inputs * m % block == outputs * m % block == 0]
    if inputs == outputs == 1 or not fitting or fitting[0] == 1:
        return None
    merge = fitting[0]
    wide = np.zeros((weight.shape[0], inputs * merge, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows, start = slice(group * outputs, (group + 1) * outputs), group % merge * inputs
        wide[rows, start : start + inputs] = weight[rows]
    name = f"{node.input[1]}.merged{block}"
    stored[name] = wide
    names = [node.input[0], name, *node.input[2:]]
    return [helper.make_node("Conv", names, node.output, node.name, **{**attributes, "group": groups // merge})]


def _without_transpose(
    node: onnx.NodeProto, weight: Array, size: tuple[int, ...], stored: dict[str, Array]
) -> list[onnx.NodeProto] | None:
    """Copying up-sampling, mask and depthwise convolution for a depthwise transposed one that doubles the size."""
    attributes, kernel = _attributes(node), weight.shape[-1]
    usual = {"group": weight.shape[0], "strides": [2, 2], "pads": [kernel // 2 - 1] * 4}
    plain = all(attributes.get(k) == v for k, v in usual.items()) and set(attributes.get("dilations", [1])) == {1}
    known = set(attributes) <= {"kernel_shape", "dilations", *usual}
    square = weight.shape[1:] == (1, kernel, kernel) and kernel % 2 == 0
    if not (plain and known and square) or len(size) != 2 or min(size) < 1:
        return None
    height, width = size[0] * 2, size[1] * 2
    mask = np.zeros((1, 1, height, width), weight.dtype)
    mask[:, :, ::2, ::2] = 1
    name, turned, spread = node.output[0], f"{node.input[1]}.turned", f"regroup.mask{height}x{width}"
    stored |= {turned: np.ascontiguousarray(weight[:, :, ::-1, ::-1]), spread: mask}
    stored["regroup.scales"] = np.array([1, 1, 2, 2], np.float32)
    copying = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    # Output o sums inputs from o - k / 2 to o + k / 2 - 1 of the spread map: the padding is uneven.
    pads = [kernel // 2, kernel // 2, kernel // 2 - 1, kernel // 2 - 1]
    weighted = {"group": weight.shape[0], "kernel_shape": [kernel, kernel], "pads": pads}
    return [
        helper.make_node("Resize", [node.input[0], "", "regroup.scales"], [f"{name}.copied"], **copying),
        helper.make_node("Mul", [f"{name}.copied", spread], [f"{name}.spread"]),
        helper.make_node("Conv", [f"{name}.spread", turned, *node.input[2:]], node.output, node.name, **weighted),
    ]


def _samples(model: onnx.ModelProto) -> dict[_Kind, onnx.ModelProto]:
    """One small graph for every kind of convolution that has another form and an input of known size."""
    samples: dict[_Kind, onnx.ModelProto] = {}
    opset = [o for o in model.opset_import if o.domain in ("", "ai.onnx")]
    for node, kind, weight in _convolutions(model):
        if kind is None or kind in samples or len(kind.size) != 2 or min(kind.size) < 1:
            continue
        if any(_rewritten(node, kind, weight, block, {}) is not None for block in BLOCKS):
            samples[kind] = _sample(node, kind, weight, opset, model.ir_version)
    return samples


def _sample(node: onnx.NodeProto, kind: _Kind, weight: Array, opset: list[Any], ir_version: int) -> onnx.ModelProto:
    """The convolution between two 1x1 ones, which leave and take tensors in blocks, as its neighbours do."""
    groups = int(_attributes(node)["group"])
    inputs, outputs = weight.shape[1] * groups, weight.shape[0]
    if kind.operator == "ConvTranspose":
        inputs, outputs = weight.shape[0], weight.shape[1] * groups
    rng = np.random.default_rng(0)
    stored = {
        "first": rng.standard_normal((inputs, 16, 1, 1)).astype(np.float32) / 4,
        "weight": weight,
        "last": rng.standard_normal((16, outputs, 1, 1)).astype(np.float32) / outputs**0.5,
    }
    middle = helper.make_node(kind.operator, ["a", "weight"], ["b"], **_attributes(node))
    nodes = [helper.make_node("Conv", ["x", "first"], ["a"]), middle, helper.make_node("Conv", ["b", "last"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "sample",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, *kind.size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, "h", "w"])],
        [numpy_helper.from_array(values, name) for name, values in stored.items()],
    )
    return helper.make_model(graph, opset_imports=opset, ir_version=ir_version)


def _best(sample: onnx.ModelProto, policy: Policy) -> int | None:
    """The block by which a convolution is fastest; None where it is best left alone."""
    forms = {str(block): made for block in BLOCKS for made, count in [regroup(sample, block)] if count}
    entry = sample.graph.input[0].type.tensor_type.shape.dim
    image = np.random.default_rng(1).random([d.dim_value for d in entry], np.float32)
    timings, _ = _race({**forms, "old": sample}, {"x": image})
    ratios = {block: paired_ratio(timings[block], timings["old"]) for block in forms}
    best = min(ratios, key=lambda block: ratios[block])
    return int(best) if policy == "always" or ratios[best] <= _GAIN else None


def _race(models: Mapping[str, onnx.ModelProto], feeds: Feeds) -> tuple[dict[str, Timing], bool]:
    """Times of graphs that run in turn, and whether all put out what the last one does."""
    sessions = {name: _session(model) for name, model in models.items()}
    runs: dict[str, Callable[[], list[Array]]] = {n: _runner(s, feeds) for n, s in sessions.items()}
    outputs = [run() for run in runs.values()]
    equal = all(_difference(got, outputs[-1]) <= _TOLERANCE for got in outputs)
    return interleaved(runs, _ROUNDS, warm_up=1, clock=_CLOCK), equal


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(model.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"])


def _runner(session: ort.InferenceSession, feeds: Feeds) -> Callable[[], list[Array]]:
    return lambda: list(session.run(None, dict(feeds)))


def _difference(got: list[Array], expected: list[Array]) -> float:
    """Largest difference as a share of the largest value, or of 1 where that is less."""
    pairs = zip(got, expected, strict=True)
    return max(float(np.abs(a - b).max()) / max(float(np.abs(b).max()), 1.0) for a, b in pairs)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of values; 0 where a length is free."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    return {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
