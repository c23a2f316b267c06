"""Torch networks to ONNX graphs that carry their metadata: uint8 NHWC in, heatmaps out, weights stored as fp16 or fp32.

Every graph that is written is run in ONNX Runtime and compared with torch first; one that differs is not kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from vipose.models.data.teacher import MEAN, STD
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork, scaled_softmax
from vipose.models.networks.registry import build
from vipose.runtime.errors import ModelError, OutputError
from vipose.runtime.metadata import KEY, Codec, GraphMetadata, InputSpec, weights_sha256
from vipose.runtime.skeleton import COCO17

__all__ = [
    "DeployedPose",
    "Precision",
    "TracedPose",
    "export_pose",
    "store_fp16",
    "trace_pose",
    "write_graph",
    "write_pose",
]

Precision = Literal["fp16", "fp32"]
OPSET = 17


class DeployedPose(nn.Module):
    """A pose network as it ships: raw pixels in, heatmaps out.

    The mean is subtracted in the graph (folding it into a bias is wrong at the border, where padding is zero after
    normalisation); 1 / std is folded into the first convolution. Logits become heatmaps by a softmax over positions.
    """

    def __init__(self, network: PoseNetwork, sigma: float) -> None:
        super().__init__()
        self.network, self.sigma = network, sigma
        self.mean: Tensor
        self.register_buffer("mean", torch.from_numpy(MEAN).view(1, 3, 1, 1))
        first = network.first_convolution()
        first.weight.data = first.weight.data / torch.from_numpy(STD).view(1, 3, 1, 1)

    def forward(self, image: Tensor, previous: Tensor | None = None) -> Tensor:
        out: Tensor = self.network(image.permute(0, 3, 1, 2).float() - self.mean, previous)
        return scaled_softmax(out, self.sigma) if self.network.arch.output == "logits" else out


def export_pose(
    network: PoseNetwork, path: Path, metadata: GraphMetadata, precision: Precision = "fp16"
) -> dict[str, Any]:
    """Export a trained network; returns facts for its card.

    Args:
        network: in any mode, on the CPU; it is not changed.
        path: the graph's file; replaced at the end only.
        metadata: without ``sha256``, which is computed here.
        precision: how weights are stored. Computation is fp32 either way.

    Raises:
        ModelError: ONNX Runtime and torch differ by more than 1e-3 (fp32) or 2e-2 (fp16 weights).
    """
    traced = trace_pose(network, metadata)
    return write_graph(traced.model, path, metadata, traced.feeds, traced.expected, precision)


@dataclass(frozen=True)
class TracedPose:
    """An ONNX graph in memory, and an example of what it takes and must give, two crops."""

    model: onnx.ModelProto
    feeds: dict[str, np.ndarray[Any, Any]]
    expected: dict[str, np.ndarray[Any, Any]]


def trace_pose(network: PoseNetwork, metadata: GraphMetadata) -> TracedPose:
    """The graph of a network as it ships, without metadata and with weights in fp32; the network is not changed."""
    if metadata.codec is None:
        raise ModelError(f"graph metadata of '{metadata.network}': a pose graph needs a codec")
    copy = build(network.arch)
    copy.load_state_dict(network.state_dict())
    deployed = DeployedPose(copy, metadata.codec.sigma).eval()
    spec = metadata.input
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (2, spec.height, spec.width, 3), dtype=torch.uint8, generator=generator)
    inputs: tuple[Tensor, ...] = (image,)
    if network.arch.fusion is not None:
        shape = (2, network.arch.joints, spec.height // metadata.codec.stride, spec.width // metadata.codec.stride)
        inputs += (torch.rand(shape, generator=generator),)
    names = ["image", "previous"][: len(inputs)]
    buffer = io.BytesIO()
    torch.onnx.export(
        deployed,
        inputs,
        buffer,  # type: ignore[arg-type]  # the exporter without dynamo writes to streams too
        dynamo=False,
        opset_version=OPSET,
        input_names=names,
        output_names=["heatmaps"],
        dynamic_axes={name: {0: "N"} for name in [*names, "heatmaps"]},
    )
    model = onnx.load_model_from_string(buffer.getvalue())
    with torch.inference_mode():
        expected = deployed(*inputs).numpy()
    feeds = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    return TracedPose(model, feeds, {"heatmaps": expected})


def store_fp16(model: onnx.ModelProto, smallest: int = 256) -> None:
    """Replace fp32 initialisers of at least ``smallest`` values by fp16 ones and a Cast, which ONNX Runtime folds at load."""
    casts, kept = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < smallest:
            kept.append(tensor)
            continue
        stored = f"{tensor.name}.fp16"
        kept.append(numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)


def write_graph(
    model: onnx.ModelProto,
    path: Path,
    metadata: GraphMetadata,
    feeds: dict[str, np.ndarray[Any, Any]],
    expected: dict[str, np.ndarray[Any, Any]],
    precision: Precision,
) -> dict[str, Any]:
    """Store weights, add metadata, compare with torch in ONNX Runtime, write and rename into place.

    Returns:
        ``file``, ``bytes``, ``sha256`` (of the file), ``parameters``, ``max_difference``.
    """
    parameters = sum(int(np.prod(t.dims)) for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT)
    if precision == "fp16":
        store_fp16(model)
    digest = weights_sha256({t.name: numpy_helper.to_array(t).tobytes() for t in model.graph.initializer})
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, replace(metadata, sha256=digest).to_json()
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    outputs = session.run(list(expected), feeds)
    worst = max(float(np.abs(a - b).max()) for a, b in zip(outputs, expected.values(), strict=True))
    scale = max(float(np.abs(b).max()) for b in expected.values())
    if worst > (1e-3 if precision == "fp32" else 2e-2) * max(scale, 1e-6):
        raise ModelError(f"export of '{metadata.network}': ONNX Runtime and torch differ by {worst:.2g}; not written")
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}); choose another folder") from error
    return {
        "file": path.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "parameters": parameters,
        "max_difference": worst,
    }


def pose_metadata(arch: Architecture, network: str, size: tuple[int, int], card: dict[str, Any], **extra: Any) -> GraphMetadata:
    """Metadata of a pose network trained here; ``extra`` sets T and phase of a temporal one."""
    return GraphMetadata(
        task="pose-spatial" if arch.fusion is None else "pose-temporal",
        network=network,
        input=InputSpec(*size, mean=tuple(MEAN.tolist()), std=tuple(STD.tolist())),
        architecture=arch.to_json(),
        skeleton=COCO17.name,
        codec=Codec("udp", sigma=2.0, stride=4, blur=11),
        flip=COCO17.flip,
        licence=card.get("licence", ""),
        card=card,
        **extra,
    )


def write_pose(network: PoseNetwork, folder: Path, metadata: GraphMetadata) -> None:
    """Write NAME.onnx (fp16 weights), NAME.fp32.onnx and the card NAME.json."""
    folder.mkdir(parents=True, exist_ok=True)
    name = metadata.network
    files = {
        "fp16": export_pose(network, folder / f"{name}.onnx", metadata, "fp16"),
        "fp32": export_pose(network, folder / f"{name}.fp32.onnx", metadata, "fp32"),
    }
    card = {k: v for k, v in asdict(metadata).items() if k not in ("card", "sha256")} | metadata.card | {"files": files}
    text = json.dumps(card, indent=1, allow_nan=False) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")
