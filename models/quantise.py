"""Pose graphs in 8 bits: static quantisation by ONNX Runtime, ranges measured on crops of people.

Nodes stay what they are between pairs of QuantizeLinear and DequantizeLinear ("QDQ"), which ONNX Runtime turns into 8-bit
operators. Activations are u8 (with s8 its operators take two to three times as long), kernels s8 with a scale for every output
channel.

In float stay the normalisation before the first convolution and the softmax after the last, and both these convolutions: they
make few of the multiplications and much of the error. Keypoints of the shipped S-ViPNet (joints with a score above 0.3 on 300
crops) moved by this share of a heatmap cell, mean and 95th percentile, and scores by this much:

    all convolutions in 8 bits                        0.163  0.29  0.028
    the last in float                                 0.163  0.26  0.018
    first and last in float                           0.109  0.20  0.016
    the same, one scale for all channels of a kernel  0.154  0.25  0.018
    the same, kernels in 7 bits                       0.161  0.25  0.018

Ranges are the least and largest values on the crops: percentiles of 99.999 % moved keypoints as little (0.097, 0.18, 0.015), but
cut off the peaks of heatmaps; entropy gave 0.130, moving averages 0.195. More crops do not help: 32, 128 and 512 gave 0.095,
0.109 and 0.141.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from vipose.models.data.people import PackedPeople
from vipose.models.data.split import training_probability
from vipose.runtime.codec import decode
from vipose.runtime.errors import InputError, ModelError, OutputError, UsageError
from vipose.runtime.geometry import crop, crop_affine
from vipose.runtime.graphs import session_options
from vipose.runtime.metadata import GraphMetadata

__all__ = ["CROPS", "Agreement", "agreement", "calibration_crops", "quantise"]

CROPS = 128
"""Crops on which ranges are measured; see the module."""
SURE = 0.3
"""Joints whose peak in float is above this count in :class:`Agreement`."""
FARTHEST = 2.0
"""Mean distance of keypoints, in heatmap cells, from which on a graph is of no use."""
_BATCH = 4
_CONVOLUTIONS = ("Conv", "ConvTranspose")
# Each has an 8-bit operator in ONNX Runtime, or none is needed. Others, ConvTranspose among them, would be computed in float
# between two conversions: slower and less exact.
_IN_8_BITS = (
    "Conv", "Gemm", "MatMul", "Add", "Mul", "Relu", "Clip", "LeakyRelu", "Sigmoid", "MaxPool", "AveragePool", "GlobalAveragePool",
    "Concat", "Resize", "Split", "Slice", "Pad", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten",
)  # fmt: skip
Crops = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Agreement:
    """How an 8-bit graph's keypoints agree with the network's.

    Attributes:
        crops: that were looked at: those on which ranges were measured.
        joints: that the network is sure of, and that count.
        mean_cells, p95_cells: distance of their keypoints in heatmap cells; None where there is no joint.
        score: mean difference of their scores.
    """

    crops: int
    joints: int
    mean_cells: float | None
    p95_cells: float | None
    score: float | None


def calibration_crops(packs: Sequence[Path], metadata: GraphMetadata, count: int = CROPS, seed: int = 0) -> Crops:
    """Crops [N, H, W, 3] uint8 of people to train on, as a graph of this size takes them; fewer where the packs hold fewer.

    Args:
        packs: folders made by ``vipose train pack``; people whom searches validate on are left out.
        metadata: of the graph.
        count: how many.
        seed: of the choice.

    Raises:
        InputError: a folder is no pack, or no one is left.
    """
    assert metadata.codec is not None  # GraphMetadata has checked it for pose graphs
    people = PackedPeople(packs, memory_mib=0)
    if not len(people):
        raise InputError(f"{', '.join(map(str, packs))}: no one to measure ranges on; give a pack with people")
    allowed = np.flatnonzero(training_probability(people, {}))
    rows = np.sort(np.random.default_rng(seed).permutation(allowed)[:count]).tolist()
    size, convention = (metadata.input.width, metadata.input.height), metadata.codec.convention
    affines = [crop_affine(people.boxes[row], size, convention=convention) for row in rows]
    crops = np.stack([crop(people.images[row], affine, size) for row, affine in zip(rows, affines, strict=True)])
    return crops if metadata.input.colour == "RGB" else np.ascontiguousarray(crops[..., ::-1])


def quantise(model: onnx.ModelProto, crops: Crops) -> onnx.ModelProto:
    """An 8-bit copy of a pose graph.

    Args:
        model: with the one input ``image`` [N, H, W, 3] uint8 and weights in fp32; it is not changed.
        crops: [N, H, W, 3] uint8, on which ranges are measured.

    Raises:
        UsageError: a package is missing.
        OutputError: the folder for temporary files cannot be written.
    """
    tools = _tools()
    try:
        with tempfile.TemporaryDirectory(prefix="vipose-int8-") as folder:
            return _quantise(tools, model, crops, Path(folder))
    except OSError as error:
        raise OutputError(f"temporary files cannot be written in {tempfile.gettempdir()} ({error.strerror}); make room") from error


def _quantise(tools: ModuleType, model: onnx.ModelProto, crops: Crops, folder: Path) -> onnx.ModelProto:
    given, ready, made = (str(folder / f"{name}.onnx") for name in ("given", "ready", "made"))
    onnx.save(model, given)
    # Constants are folded and shapes inferred. Symbolic inference needs one more package, and these graphs do not need it.
    tools.shape_inference.quant_pre_process(given, ready, skip_symbolic_shape=True)
    prepared = onnx.load(ready)
    for number, node in enumerate(prepared.graph.node):
        node.name = node.name or f"node{number}"
    onnx.save(prepared, ready)
    tools.quantize_static(
        ready,
        made,
        _reader(tools, crops),
        quant_format=tools.QuantFormat.QDQ,
        op_types_to_quantize=list(_IN_8_BITS),
        per_channel=True,
        activation_type=tools.QuantType.QUInt8,
        weight_type=tools.QuantType.QInt8,
        nodes_to_exclude=_in_float(prepared.graph),
        calibrate_method=tools.CalibrationMethod.MinMax,
    )
    quantised = onnx.load(made)
    del quantised.graph.value_info[:]
    used = {node.domain or "" for node in quantised.graph.node}
    opsets = [o for o in quantised.opset_import if o.domain.replace("ai.onnx", "", 1) in used or o.domain in used]
    del quantised.opset_import[:]
    quantised.opset_import.extend(opsets)
    return quantised


def _tools() -> ModuleType:
    """ONNX Runtime's quantiser, which needs packages that a bare installation does not have."""
    try:
        import onnxruntime.quantization
        import onnxruntime.quantization.shape_inference
    except ImportError as error:
        raise UsageError(f"int8 needs a package that is missing ({error}); pip install 'vipose[train]'") from error
    tools: ModuleType = onnxruntime.quantization
    return tools


def _reader(tools: ModuleType, crops: Crops) -> Any:
    """Gives crops to ONNX Runtime, some at a time."""

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc, name-defined]  # its base comes from a lazy import
        def __init__(self) -> None:
            self.left: Iterator[Crops] = iter([crops[i : i + _BATCH] for i in range(0, len(crops), _BATCH)])

        def get_next(self) -> dict[str, Crops] | None:
            batch = next(self.left, None)
            return None if batch is None else {"image": batch}

    return Reader()


def _in_float(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes before the first convolution and after the last, and of these two.

    Raises:
        ModelError: there is no convolution.
    """
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    before = _until_convolution((v.name for v in graph.input), readers, lambda node: node.output)
    after = _until_convolution((v.name for v in graph.output), {n: [m] for n, m in makers.items()}, lambda node: node.input)
    names = [node.name for node in (*before, *after)]
    if not any(node.op_type in _CONVOLUTIONS for node in before):
        raise ModelError("the graph has no convolution that could be computed in 8 bits; export it as fp16")
    return list(dict.fromkeys(names))


def _until_convolution(start: Iterable[str], neighbours: Mapping[str, list[Any]], onward: Any) -> list[Any]:
    """Nodes that values lead to, up to and with the first convolution on every way."""
    found: dict[str, Any] = {}
    names = list(start)
    while names:
        for node in neighbours.get(names.pop(), []):
            if node.name not in found:
                found[node.name] = node
                names += [] if node.op_type in _CONVOLUTIONS else list(onward(node))
    return list(found.values())


def agreement(
    model: onnx.ModelProto, crops: Crops, expected: npt.NDArray[np.float32], metadata: GraphMetadata
) -> Agreement:
    """Compare the keypoints of an 8-bit graph with those of the network.

    Args:
        model: the 8-bit graph.
        crops: [N, H, W, 3] uint8.
        expected: [N, K, h, w] heatmaps of the network.
        metadata: says how heatmaps are decoded.

    Raises:
        ModelError: they lie farther apart than :data:`FARTHEST`.
    """
    assert metadata.codec is not None  # GraphMetadata has checked it for pose graphs
    session = ort.InferenceSession(model.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"])
    runs = [session.run(["heatmaps"], {"image": crops[i : i + _BATCH]})[0] for i in range(0, len(crops), _BATCH)]
    got, wanted = (decode(maps, "dark", metadata.codec.blur) for maps in (np.concatenate(runs), expected))
    sure = wanted[..., 2] > SURE
    if not sure.any():
        return Agreement(len(crops), 0, None, None, None)
    apart = np.linalg.norm(got[..., :2] - wanted[..., :2], axis=-1)[sure]
    score = float(np.abs(got[..., 2] - wanted[..., 2])[sure].mean())
    found = Agreement(len(crops), int(sure.sum()), float(apart.mean()), float(np.percentile(apart, 95)), score)
    if not apart.mean() <= FARTHEST:  # a NaN is refused, too
        what = f"'{metadata.network}' in int8 moves keypoints by {apart.mean():.1f} heatmap cells on {len(crops)} crops"
        raise ModelError(f"{what}; give --calibrate packs that it was trained on, or export fp16 only")
    return found
