"""Torch networks to ONNX graphs that carry their metadata: uint8 NHWC in, heatmaps out, weights in fp16, fp32 or int8.

Every graph that is written is run in ONNX Runtime and compared with torch first; one that differs is not kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from vipose.models.data.teacher import MEAN, STD
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork, scaled_softmax
from vipose.models.networks.registry import build
from vipose.models.tidy import merge_reductions, tidy
from vipose.runtime.codec import dark_blur, sigma_at
from vipose.runtime.errors import ModelError, OutputError
from vipose.runtime.metadata import KEY, Codec, GraphMetadata, InputSpec, weights_sha256
from vipose.runtime.shipped import EXPORTED_PRECISIONS, Precision, graph_file
from vipose.runtime.skeleton import SKELETONS, Skeleton

__all__ = [
    "DeployedPose",
    "Precision",
    "TracedPose",
    "export_pose",
    "pose_metadata",
    "skeleton_of",
    "store_fp16",
    "trace_pose",
    "write_graph",
    "write_pose",
]

OPSET = 17
Array = npt.NDArray[Any]
_TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "fp16": 2e-2, "int8": 0.5}
"""Largest difference from torch as a share of the largest value; int8: root mean squares of difference and values."""


class DeployedPose(nn.Module):
    """A pose network as it ships: raw pixels in, heatmaps out.

    The mean is subtracted in the graph (folding it into a bias is wrong at the border, where padding is zero after
    normalisation); 1 / std is folded into the first convolution. Logits become heatmaps by a softmax over positions.

    Args:
        network: is changed: it belongs to this module from now on.
        sigma: of the heatmaps that a softmax makes, cells.
    """

    def __init__(self, network: PoseNetwork, sigma: float) -> None:
        super().__init__()
        self.network, self.sigma = network, sigma
        self.mean: Tensor
        self.register_buffer("mean", torch.from_numpy(MEAN).view(1, 3, 1, 1))
        first = network.first_convolution()
        first.weight.data = first.weight.data / torch.from_numpy(STD).view(1, 3, 1, 1)
        merge_reductions(network)

    def forward(self, image: Tensor, previous: Tensor | None = None) -> Tensor:
        out: Tensor = self.network(image.permute(0, 3, 1, 2).float() - self.mean, previous)
        return scaled_softmax(out, self.sigma) if self.network.arch.output == "logits" else out


def export_pose(
    network: PoseNetwork,
    path: Path,
    metadata: GraphMetadata,
    precision: Precision = "fp16",
    crops: npt.NDArray[np.uint8] | None = None,
) -> dict[str, Any]:
    """Export a trained network; returns facts for its card.

    Args:
        network: in any mode, on the CPU; it is not changed.
        path: the graph's file; replaced at the end only.
        metadata: without ``sha256``, which is computed here.
        precision: how weights are stored; computation is fp32 but in int8.
        crops: [N, H, W, 3] uint8 of people, by which ranges are measured; for int8 only, and needed there.

    Raises:
        ModelError: ONNX Runtime and torch differ by more than 1e-3 (fp32) or 2e-2 (fp16 weights), or in int8 so that the
            graph would be of no use; a temporal network cannot be written in int8.
        UsageError: a package is missing that int8 needs.
    """
    traced = trace_pose(network, metadata)
    if precision != "int8":
        return write_graph(traced.model, path, metadata, traced.feeds, traced.expected, precision)
    from vipose.models.quantise import agreement, quantise

    if crops is None or not len(crops):
        raise ModelError(f"export of '{metadata.network}' in int8: it needs crops of people to measure ranges on")
    if network.arch.fusion is not None:
        raise ModelError(f"'{metadata.network}' takes the heatmaps of the last frame; only single-frame networks go to int8")
    model, expected = quantise(traced.model, crops), traced.answers(crops)
    agreed = agreement(model, crops, expected, metadata)
    facts = write_graph(model, path, metadata, {"image": crops[:_COMPARED]}, {"heatmaps": expected[:_COMPARED]}, "int8")
    return facts | {"parameters": count_parameters(traced.model), "agreement": asdict(agreed)}


_COMPARED = 16
"""Crops of people by which an int8 graph is compared with torch."""


@dataclass(frozen=True)
class TracedPose:
    """An ONNX graph in memory, an example of what it takes and must give, two crops, and the torch module it was made of."""

    model: onnx.ModelProto
    feeds: dict[str, Array]
    expected: dict[str, Array]
    deployed: DeployedPose

    def answers(self, crops: npt.NDArray[np.uint8], batch: int = 8) -> npt.NDArray[np.float32]:
        """Heatmaps [N, K, h, w] that torch gives for crops [N, H, W, 3] of a single-frame network."""
        with torch.inference_mode():
            parts = [self.deployed(torch.from_numpy(crops[i : i + batch])) for i in range(0, len(crops), batch)]
        return np.asarray(torch.cat(parts).numpy(), np.float32)


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's advice is for who writes the networks
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
    tidy(model)
    with torch.inference_mode():
        expected = deployed(*inputs).numpy()
    feeds = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    return TracedPose(model, feeds, {"heatmaps": expected}, deployed)


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
    feeds: dict[str, Array],
    expected: dict[str, Array],
    precision: Precision,
) -> dict[str, Any]:
    """Store weights, add metadata, compare with torch in ONNX Runtime, write and rename into place.

    Args:
        model: is changed; for int8 it is quantised already.
        path: the graph's file; replaced at the end only.
        metadata: without ``sha256``, which is computed here.
        feeds, expected: an example of what the graph takes and must give.
        precision: how weights are stored, and how exactly the graph must agree.

    Returns:
        ``file``, ``bytes``, ``sha256`` (of the file), ``parameters``, ``max_difference``.

    Raises:
        ModelError: ONNX Runtime does not give what is expected; nothing was written.
        OutputError: the file cannot be written.
    """
    parameters = count_parameters(model)
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
    if not _agree(outputs, list(expected.values()), precision):
        what = f"export of '{metadata.network}' in {precision}"
        raise ModelError(f"{what}: ONNX Runtime and torch differ by {worst:.2g}; not written")
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


def count_parameters(model: onnx.ModelProto) -> int:
    """Number of weights in fp32."""
    return sum(int(np.prod(t.dims)) for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT)


def _agree(outputs: Sequence[Array], expected: Sequence[Array], precision: Precision) -> bool:
    """Whether outputs are close to what is expected, see :data:`_TOLERANCES`."""

    def size(arrays: Sequence[Array]) -> float:
        values = np.concatenate([a.ravel() for a in arrays]).astype(np.float64)
        return float(np.sqrt(np.mean(values**2)) if precision == "int8" else np.abs(values).max())

    difference = size([a - b for a, b in zip(outputs, expected, strict=True)])
    return difference <= _TOLERANCES[precision] * max(size(expected), 1e-6)  # False for a NaN, too


def skeleton_of(joints: int) -> Skeleton:
    """The skeleton of a network by its number of heatmaps; raises ModelError where none or several have so many joints."""
    fitting = [skeleton for skeleton in SKELETONS.values() if len(skeleton) == joints]
    if len(fitting) != 1:
        known = ", ".join(f"{name} {len(skeleton)}" for name, skeleton in SKELETONS.items())
        raise ModelError(f"no skeleton of {joints} joints is known (there are {known}); train on one of these")
    return fitting[0]


def pose_metadata(
    arch: Architecture,
    network: str,
    size: tuple[int, int],
    card: dict[str, Any],
    sigma: float = 2.0,
    **extra: Any,
) -> GraphMetadata:
    """Metadata of a pose network trained here.

    Args:
        arch: its number of joints tells the skeleton.
        network: its name.
        size: width, height of the crops, pixels.
        card: what only people read.
        sigma: of the training's targets in cells at crops of 256 rows; see :func:`vipose.runtime.codec.sigma_at`.
        extra: T and phase of a temporal network.
    """
    skeleton, cells = skeleton_of(arch.joints), sigma_at(sigma, size[1])
    return GraphMetadata(
        task="pose-spatial" if arch.fusion is None else "pose-temporal",
        network=network,
        input=InputSpec(*size, mean=tuple(MEAN.tolist()), std=tuple(STD.tolist())),
        architecture=arch.to_json(),
        skeleton=skeleton.name,
        codec=Codec("udp", sigma=cells, stride=4, blur=dark_blur(cells)),
        flip=skeleton.flip,
        licence=card.get("licence", ""),
        card=card,
        **extra,
    )


def write_pose(
    network: PoseNetwork,
    folder: Path,
    metadata: GraphMetadata,
    precisions: Sequence[Precision] = EXPORTED_PRECISIONS,
    crops: npt.NDArray[np.uint8] | None = None,
) -> dict[str, dict[str, Any]]:
    """Write a network in some precisions, ``NAME.onnx`` (fp16), ``NAME.fp32.onnx``, ``NAME.int8.onnx``, and the card ``NAME.json``.

    What the card says of files in other precisions stays, if those are of the same weights.

    Args:
        network: trained, on the CPU; it is not changed.
        folder: made where it is not there.
        metadata: of the graphs.
        precisions: in which to write.
        crops: for int8, see :func:`export_pose`.

    Returns:
        Facts about the files that were written, by precision.

    Raises:
        ModelError: a graph does not agree with torch; those before it were written, the card was not.
        UsageError: a package is missing that int8 needs.
        OutputError: the folder cannot be written.
    """
    name = metadata.network
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"folder {folder} cannot be made ({error.strerror}); choose another") from error
    made: dict[str, Any] = {}
    for precision in precisions:
        made[precision] = export_pose(network, folder / graph_file(name, precision), metadata, precision, crops)
    weights = weights_sha256({k: v.numpy().tobytes() for k, v in network.state_dict().items()})
    card = {k: v for k, v in asdict(metadata).items() if k not in ("card", "sha256")} | metadata.card
    path = folder / f"{name}.json"
    card |= {"weights_sha256": weights, "files": {**_files_of(path, weights), **made}}
    _write_text(path, json.dumps(card, indent=1, allow_nan=False) + "\n")
    return made


def _files_of(card: Path, weights: str) -> dict[str, Any]:
    """Entries of an older card for files of the same weights that are still there."""
    try:
        told = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # there is none, or none that could be kept
        return {}
    files = told.get("files") if isinstance(told, dict) and told.get("weights_sha256") == weights else None
    if not isinstance(files, dict):
        return {}
    return {p: f for p, f in files.items() if isinstance(f, dict) and card.with_name(str(f.get("file"))).is_file()}


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}); choose another folder") from error
