"""An exported graph, one that ships above all, as a run to go on from: whatever takes a 'best.pt' takes what this writes.

    vipose train from-graph s-vipnas --pack PACK [PACK ...] -o runs/shipped/best.pt
    vipose train from-graph MINE.onnx --pack PACK [PACK ...] -o runs/mine/best.pt
    vipose train from-graph t-vipnas-1 t-vipnas-2 t-vipnas-3 --spatial s-vipnas --pack PACK [PACK ...] -o runs/shipped-t/best.pt
    vipose train from-graph person-detector --data DETECTION -o runs/shipped/detector.pt

Graphs hold no batch norms: an export folds them into the convolutions before them. Here each gets one again whose mean and variance
are those of its convolution on people of the packs, and whose scale and shift undo them: the network computes what it did, and a
training begins with statistics that are true; of T-ViPNets on the heatmaps that the key-frame network gives for the same frame, of the
person detector on whole pictures. Weights are as exact as the graph stores them. Graphs in 8 bits, foreign ones and imported checkpoints
are no exports of a training here, and are refused.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from google.protobuf.message import DecodeError
from torch import Tensor, nn

from vipose.models.arguments import Parser
from vipose.models.data.detection import read_pictures
from vipose.models.data.teacher import MEAN, STD
from vipose.models.export import pose_metadata, trace_pose
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork, scaled_softmax
from vipose.models.networks.registry import architecture_from_json, build
from vipose.models.quantise import calibration_crops
from vipose.models.training.checkpoint import save_checkpoint
from vipose.models.training.detector_from_graph import ExportedDetector, restore_detector
from vipose.models.training.unfold import ExportedGraph, fill, measure
from vipose.runtime.codec import sigma_at
from vipose.runtime.errors import InputError, ModelError, OutputError, UsageError
from vipose.runtime.metadata import KEY, GraphMetadata
from vipose.runtime.shipped import graph_precision, shipped_folder, shipped_graph

__all__ = ["PEOPLE", "PICTURES", "Exported", "main", "read_graph", "restore"]

PEOPLE, PICTURES = 512, 256
"""People, and for the detector pictures, on which statistics are measured."""
_BATCH = 32
_TOLERANCE = 1e-3
"""Largest difference of a network's heatmaps from its graph's, as a share of the largest value."""


@dataclass(frozen=True)
class Exported(ExportedGraph):
    """A pose graph in floating point.

    Attributes:
        arch: the network that it was made of.
    """

    arch: Architecture

    @property
    def size(self) -> tuple[int, int]:
        """Width, height of the crops."""
        return self.metadata.input.width, self.metadata.input.height

    @property
    def sigma(self) -> float:
        """Of the heatmaps, cells."""
        assert self.metadata.codec is not None  # read_graph has looked
        return self.metadata.codec.sigma

    @property
    def published_sigma(self) -> float:
        """The same at crops of 256 rows, as recipes name it."""
        return self.sigma / sigma_at(1.0, self.size[1])

    @property
    def form(self) -> tuple[object, ...]:
        """What the graphs of one mode have in common."""
        return self.size, self.metadata.skeleton, self.sigma


def read_graph(name: str) -> Exported | ExportedDetector:
    """A graph by its path, or by the name under which it ships.

    Raises:
        ModelError: it is missing, no graph, has no metadata, is not in floating point, or no export of a training here.
    """
    path = _path_of(name)
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"'{path}' cannot be read as an ONNX graph ({error}); check the path") from error
    texts = [entry.value for entry in model.metadata_props if entry.key == KEY]
    if not texts:
        raise ModelError(f"'{path}' carries no vipose metadata, so its architecture is unknown; give a graph of 'vipose export'")
    metadata = GraphMetadata.from_json(texts[0])
    if any("Quantize" in node.op_type for node in model.graph.node):
        raise ModelError(f"'{path}' is in 8 bits; give the graph in floating point, NAME.onnx")
    if metadata.codec is None:
        return ExportedDetector(path, model, metadata)
    try:
        arch = architecture_from_json(metadata.architecture)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"'{path}' does not say which network it was made of ({error}); give a graph of 'vipose export'") from error
    exported = Exported(path, model, metadata, arch)
    ours = pose_metadata(arch, metadata.network, exported.size, {}, exported.published_sigma, T=metadata.T, phase=metadata.phase)
    if metadata.input != ours.input or metadata.codec != ours.codec:
        raise ModelError(f"'{path}' takes or gives something else than networks trained here (an imported checkpoint?); train it from its own file")
    return exported


def _path_of(name: str) -> Path:
    given = Path(name)
    if given.suffix == ".onnx" or given.is_file():
        return given
    there = sorted(path.stem for path in shipped_folder().glob("*.onnx") if graph_precision(path) != "int8")
    if name in there:
        return shipped_graph(name)
    frames = [each for each in there if each.startswith(f"{name}-")]
    choice = f"give {' '.join(frames)} --spatial GRAPH" if frames else f"choose from {', '.join(there)}, or give a path"
    raise ModelError(f"there is no graph '{name}'; {choice}")


def restore(exported: Exported, crops: npt.NDArray[np.uint8], previous: Tensor | None = None) -> PoseNetwork:
    """The network that a graph was exported from, in evaluation mode, with batch norms that know these people.

    Args:
        exported: the graph.
        crops: [N, H, W, 3] uint8 RGB of people.
        previous: [N, K, h, w] heatmaps of the frame before, for a temporal graph.

    Raises:
        ModelError: the graph is not what exporting its architecture gives today.
    """
    network = build(exported.arch).eval().requires_grad_(False)
    fill(network, lambda: trace_pose(network, exported.metadata).model, exported, prefix="network.")
    batches = [
        (_images(crops[i : i + _BATCH]), None if previous is None else previous[i : i + _BATCH]) for i in range(0, len(crops), _BATCH)
    ]
    measure(network, batches)
    _compare(network, exported, crops[:_BATCH], batches[0])
    return network.requires_grad_(True)


def _heatmaps(network: PoseNetwork, sigma: float, crops: npt.NDArray[np.uint8]) -> Tensor:
    """What a key-frame network puts out for crops [N, H, W, 3] uint8 RGB: [N, K, h, w] float32."""
    with torch.inference_mode():
        parts = [network(_images(crops[i : i + _BATCH])) for i in range(0, len(crops), _BATCH)]
    out = torch.cat(parts)
    return scaled_softmax(out, sigma) if network.arch.output == "logits" else out


def _images(crops: npt.NDArray[np.uint8]) -> Tensor:
    """Normalised, [N, 3, H, W]."""
    return torch.from_numpy((crops.astype(np.float32) - MEAN) / STD).permute(0, 3, 1, 2).contiguous()


def _compare(
    network: PoseNetwork, exported: Exported, crops: npt.NDArray[np.uint8], batch: tuple[Tensor, Tensor | None]
) -> None:
    """Raise ModelError where the network does not put out what its graph does."""
    with torch.inference_mode():
        ours = network(*batch)
        if network.arch.output == "logits":
            ours = scaled_softmax(ours, exported.sigma)
    feeds = {"image": crops} | ({} if batch[1] is None else {"previous": batch[1].numpy()})
    session = ort.InferenceSession(exported.model.SerializeToString(), providers=["CPUExecutionProvider"])
    theirs = session.run(["heatmaps"], feeds)[0]
    if float(np.abs(ours.numpy() - theirs).max()) > _TOLERANCE * max(float(np.abs(theirs).max()), 1e-6):
        raise exported.differs()


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(
        prog="vipose train from-graph", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "graph", nargs="+", help="name of a graph that ships, or path of one; of a temporal mode those of all frames, in order"
    )
    parser.add_argument("--spatial", metavar="GRAPH", help="the key-frame graph of temporal ones")
    parser.add_argument("--pack", type=Path, nargs="+", help="folders made by 'vipose train pack', for pose graphs")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of detection pictures, for the person detector")
    parser.add_argument("-o", "--out", type=Path, required=True, help="checkpoint to write, such as RUN/best.pt")
    args = parser.parse_args(argv)
    if args.out.is_dir():
        raise UsageError(f"'{args.out}' is a folder; name a file with -o, such as '{args.out / 'best.pt'}'")
    graphs = [read_graph(name) for name in args.graph]
    poses = [graph for graph in graphs if isinstance(graph, Exported)]
    if len(poses) < len(graphs):
        content = _detector(graphs, args)
    elif not args.pack or args.data is not None:
        raise UsageError(f"'{graphs[0].path}' is a pose graph, whose batch norms need people; give packs with --pack, and no --data")
    else:
        content = _temporal(poses, args) if poses[0].metadata.task == "pose-temporal" else _single(poses, args)
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{args.out.parent}' cannot be made: {error.strerror}; name another place with -o") from error
    save_checkpoint(args.out, **content, from_graphs=[str(graph.path) for graph in graphs])
    print(f"{args.out}: {', '.join(graph.metadata.network for graph in graphs)}, to go on from")


def _detector(graphs: Sequence[Exported | ExportedDetector], args: argparse.Namespace) -> dict[str, Any]:
    """The checkpoint of a person detector."""
    graph = graphs[0]
    if len(graphs) > 1 or not isinstance(graph, ExportedDetector) or args.spatial is not None:
        raise UsageError("a person detector is no part of a pose mode; give its graph alone, without --spatial")
    if args.data is None or args.pack:
        raise UsageError(f"'{graph.path}' is a person detector, whose batch norms need whole pictures; give a folder with --data, and no --pack")
    pictures = read_pictures(args.data, PICTURES)
    if not pictures:
        raise InputError(f"there are no pictures in '{args.data}'; give a folder of detection pictures")
    network = restore_detector(graph, pictures)
    recipe = {"pixels": graph.metadata.input.pixels}
    return {"arch": network.arch.to_json(), "average": network.state_dict(), "recipe": recipe}


def _single(graphs: Sequence[Exported], args: argparse.Namespace) -> dict[str, Any]:
    """The checkpoint of a key-frame or single-frame network."""
    if len(graphs) > 1 or args.spatial is not None:
        raise UsageError(f"'{graphs[0].path}' looks at single frames; give it alone, without --spatial")
    (graph,) = graphs
    network = restore(graph, calibration_crops(args.pack, graph.metadata, PEOPLE))
    return {"arch": network.arch.to_json(), "state_dict": network.state_dict(), **_facts(graph)}


def _temporal(graphs: Sequence[Exported], args: argparse.Namespace) -> dict[str, Any]:
    """The checkpoint of T-ViPNets; the frame before is taken to be this one, as the key-frame network sees it."""
    if args.spatial is None:
        raise UsageError("temporal networks see the heatmaps of a key-frame network; give its graph with --spatial")
    phases = [graph.metadata.phase for graph in graphs]  # 0 of a key-frame graph
    if phases != list(range(1, graphs[0].metadata.T + 1)):
        raise UsageError(f"these are the graphs of frames {', '.join(map(str, phases))}; give those of 1 to {graphs[0].metadata.T}, in order")
    key = read_graph(args.spatial)
    if not isinstance(key, Exported) or key.metadata.task != "pose-spatial":
        raise UsageError(f"'{key.path}' is no key-frame graph; give that of the mode")
    for graph in graphs:
        if graph.form != key.form:
            raise UsageError(f"'{graph.path}' and '{key.path}' differ in size of crops, joints or sigma; give the graphs of one mode")
    crops = calibration_crops(args.pack, key.metadata, PEOPLE)
    previous = _heatmaps(restore(key, crops), key.sigma, crops)
    networks = nn.ModuleList(restore(graph, crops, previous) for graph in graphs)
    archs = [graph.metadata.architecture for graph in graphs]
    return {"archs": archs, "state_dict": networks.state_dict(), **_facts(graphs[0], T=len(graphs))}


def _facts(graph: Exported, **more: Any) -> dict[str, Any]:
    """What trainings and exports ask of the recipe of a run."""
    recipe = {"sizes": [list(graph.size)], "sigma": graph.published_sigma, **more}
    return {"skeleton": graph.metadata.skeleton, "recipe": recipe}


if __name__ == "__main__":
    main()
