"""The trained detector to ``person-detector.onnx``, ``person-detector.fp32.onnx`` and their card.

``python -m vipose.models.export_detector --checkpoint RUN/detector.pt --out DIR [--calibrate DATA] [--facts JSON]``
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from vipose.models.arguments import Parser, positive
from vipose.models.data.detection import read_pictures, split
from vipose.models.decode_graph import append_decoding
from vipose.models.export import OPSET, write_graph
from vipose.models.networks.detector import STRIDES, Detector, DetectorArch, DetectorGraph
from vipose.models.training.detection_eval import detect_picture, fit_calibration
from vipose.models.training.loop import load_checkpoint
from vipose.runtime.errors import ModelError
from vipose.runtime.metadata import GraphMetadata, InputSpec
from vipose.runtime.shipped import EXPORTED_PRECISIONS, graph_file

__all__ = ["FACTS", "NAME", "detector_metadata", "main", "trace_detector", "write_detector"]

NAME = "person-detector"
UNRECORDED_PIXELS = 43008  # what runs were trained for that did not keep it
FACTS = ("licence", "origin", "data", "commands", "figures", "commit")
"""What a card says that only people know: taken from a JSON file, for which an older card will do."""


def detector_metadata(arch: DetectorArch, pixels: int, card: dict[str, Any]) -> GraphMetadata:
    """Metadata of an exported detector; it takes any multiple of 32, by itself about ``pixels``, and puts out candidates."""
    return GraphMetadata(
        task="detect",
        network=NAME,
        input=InputSpec(0, 0, multiple=32, pixels=pixels, fill=114),
        architecture=arch.to_json(),
        output="candidates",
        licence=str(card.get("licence", "")),
        card=card,
    )


class _Maps(nn.Module):
    """Everything of the graph up to the decoding, which is appended as ONNX nodes."""

    def __init__(self, graph: DetectorGraph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.graph.maps(image)


def trace_detector(network: Detector) -> tuple[onnx.ModelProto, dict[str, Any], dict[str, Any]]:
    """The graph without metadata, trial inputs and what torch says to them. ``network`` is not changed.

    N, height and width are dynamic. The trial is larger than the traced example, so that nothing of it is baked in.
    """
    deployed = DetectorGraph(copy.deepcopy(network).eval()).eval()
    buffer = io.BytesIO()
    torch.onnx.export(
        _Maps(deployed).eval(),
        (torch.zeros(1, 160, 288, 3, dtype=torch.uint8),),
        buffer,  # type: ignore[arg-type]
        dynamo=False,
        opset_version=OPSET,
        input_names=["image"],
        output_names=[f"map{s}" for s in STRIDES],
        dynamic_axes={"image": {0: "N", 1: "H", 2: "W"}} | {f"map{s}": {0: "N", 2: "h", 3: "w"} for s in STRIDES},
    )
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (2, 256, 192, 3), dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        boxes, scores = deployed(image)
    model = onnx.load_model_from_string(buffer.getvalue())
    append_decoding(model, STRIDES)
    return model, {"image": image.numpy()}, {"boxes": boxes.numpy(), "scores": scores.numpy()}


def write_detector(network: Detector, pixels: int, folder: Path, card: dict[str, Any]) -> dict[str, Any]:
    """Write the two graphs, for an input of about ``pixels``, and the card; returns the card.

    Raises:
        ModelError: ONNX Runtime and torch differ. OutputError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metadata = detector_metadata(network.arch, pixels, card)
    files = {}
    for precision in EXPORTED_PRECISIONS:
        model, feeds, expected = trace_detector(network)
        files[precision] = write_graph(model, folder / graph_file(NAME, precision), metadata, feeds, expected, precision)
    shown = {k: v for k, v in asdict(metadata).items() if k not in ("card", "sha256")}
    shown |= metadata.card | {"files": files}
    text = json.dumps(shown, indent=1, allow_nan=False) + "\n"
    (folder / f"{NAME}.json").write_text(text, encoding="utf-8")
    return shown


def read_detector(checkpoint: Path) -> tuple[Detector, int]:
    """The averaged network of a checkpoint and the pixels it was trained for; raises ModelError where there is none."""
    saved = load_checkpoint(checkpoint)
    if saved is None or "average" not in saved:
        raise ModelError(f"there is no detector in '{checkpoint}'; train one with 'vipose train person-detector'")
    network = Detector(DetectorArch.from_json(saved["arch"]))
    network.load_state_dict(saved["average"])
    return network.eval(), int(saved.get("recipe", {}).get("pixels", UNRECORDED_PIXELS))


def recipe(folder: Path) -> dict[str, Any]:
    """What the training left beside its checkpoint: the configuration and the last line of its log."""
    found: dict[str, Any] = {}
    config, log = folder / "config.json", folder / "log.jsonl"
    if config.exists():
        found["config"] = json.loads(config.read_text(encoding="utf-8"))
    if log.exists():
        lines = log.read_text(encoding="utf-8").splitlines()
        found["last_epoch"] = json.loads(lines[-1]) if lines else {}
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns an exit code."""
    parser = Parser(prog="vipose export person-detector", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--calibrate", type=Path, help="first data folder of the training; scores become chances on what it holds out"
    )
    parser.add_argument("--pixels", type=positive, help="of the input, about (those of the training)")
    parser.add_argument("--facts", type=Path, help=f"JSON with {', '.join(FACTS)} for the card")
    args = parser.parse_args(argv)
    network, pixels = read_detector(args.checkpoint)
    pixels = args.pixels or pixels
    slope, offset = 1.0, 0.0
    if args.calibrate:
        _, held = split(read_pictures(args.calibrate))
        slope, offset = fit_calibration([detect_picture(network, p.image, pixels) for p in held], held)
        network.calibrate(slope, offset)
    card: dict[str, Any] = {
        "parameters": sum(p.numel() for p in network.parameters()),
        "recipe": recipe(args.checkpoint.parent) | {"calibration": {"slope": slope, "offset": offset}},
    }
    if args.facts:
        facts = json.loads(args.facts.read_text(encoding="utf-8"))
        card |= {name: facts[name] for name in FACTS if name in facts}
    card = write_detector(network, pixels, args.out, card)
    print(f"{args.out / NAME}.onnx: {card['files']['fp16']['bytes']} bytes, {card['parameters']} parameters")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
