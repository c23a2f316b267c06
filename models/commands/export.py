"""Export a training run to ONNX graphs with their metadata and cards.

  vipose export RUN/best.pt -o DIR      NAME.onnx (weights stored as fp16), NAME.fp32.onnx and the card NAME.json
  vipose export derived.pt -o DIR --name mine
  vipose export RUN/best.pt -o DIR --precision int8 --calibrate PACK [PACK ...]     NAME.int8.onnx as well

Any run of a pose network is taken (s-vipnas, efficientpose, posenas, a baseline), and what a search extracted or derived. It gives
one graph; a run of 't-vipnas' or what 'vipose search temporal --extract' wrote gives one a phase. Figures and remarks of the card
come from --card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vipose.runtime.errors import EXIT_OK, InputError, UsageError
from vipose.runtime.shipped import EXPORTED_PRECISIONS, PRECISIONS, graph_file, graph_name

if TYPE_CHECKING:
    from vipose.models.export_run import ExportableRun
    from vipose.runtime.metadata import GraphMetadata

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``vipose export``."""
    parser.add_argument("checkpoint", type=Path, help="best.pt of a run, or a network that a search wrote")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the graphs")
    parser.add_argument("--name", help="network name (default: as published, or by family: s-vipnas, efficientpose-a, ...)")
    parser.add_argument("--card", type=Path, help="JSON with what only people read: data, licences, recipe, figures")
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=list(EXPORTED_PRECISIONS), metavar="P",
        help=f"one or more of {', '.join(PRECISIONS)} (default: {' '.join(EXPORTED_PRECISIONS)}); int8 also computes in 8 bits",
    )  # fmt: skip
    parser.add_argument("--calibrate", type=Path, nargs="+", metavar="PACK", help="int8: people on whom ranges are measured")
    parser.add_argument("--crops", type=int, metavar="N", help="int8: how many people of the packs (default 128)")


def run(args: argparse.Namespace) -> int:
    """Write graphs and cards; raises ViposeError."""
    _check(args)
    from vipose.models.export import pose_metadata, write_pose
    from vipose.models.export_run import read_run

    card, found = _card(args.card), read_run(args.checkpoint)
    name = args.name or found.name
    if found.temporal and "int8" in args.precision:
        raise UsageError("int8 is for single-frame networks: graphs that carry heatmaps on cannot be written in it")
    for phase, network in enumerate(found.networks, 1):
        phases = {"T": len(found.networks), "phase": phase} if found.temporal else {}
        called = f"{name}-{phase}" if found.temporal else name
        metadata = pose_metadata(network.arch, called, found.size, card, found.sigma, **phases)
        crops = _crops(args, metadata) if "int8" in args.precision else None
        made = write_pose(network, args.out, metadata, tuple(dict.fromkeys(args.precision)), crops)
        _report(args.out, made, found)
    return EXIT_OK


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be before anything is loaded."""
    wanted = "int8" in args.precision
    if wanted and not args.calibrate:
        raise UsageError("int8 measures the ranges of values on people: add --calibrate PACK (made by 'vipose train pack')")
    if not wanted and (args.calibrate or args.crops is not None):
        raise UsageError("--calibrate and --crops belong to int8; add --precision int8, or leave them out")
    if args.crops is not None and args.crops < 1:
        raise UsageError(f"--crops {args.crops} must be above 0")
    name = args.name
    if name is not None and (graph_name(Path(graph_file(name, "fp16"))) != name or name.endswith(".onnx")):
        raise UsageError(f"--name '{name}' cannot be the name of a network; use letters, digits, - and _, without .onnx")


def _card(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"card {path} cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise InputError(f"card {path} is no JSON ({error}); correct it") from error
    if not isinstance(card, dict):
        raise InputError(f"card {path} is no JSON object; put what it says between {{ and }}")
    return card


def _crops(args: argparse.Namespace, metadata: GraphMetadata) -> Any:
    from vipose.models.quantise import CROPS, calibration_crops

    return calibration_crops(args.calibrate, metadata, args.crops or CROPS)


def _report(folder: Path, made: dict[str, dict[str, Any]], found: ExportableRun) -> None:
    """One line a file."""
    for facts in made.values():
        agreed = facts.get("agreement")
        said = f"differs from torch by {facts['max_difference']:.2g} at most"
        if agreed and agreed["mean_cells"] is not None:
            said = f"moves keypoints by {agreed['mean_cells']:.2f} heatmap cells in the mean of {agreed['crops']} crops"
        width, height = found.size
        print(f"wrote {folder / facts['file']}: {width}x{height}, {facts['bytes'] / 1e6:.1f} MB, {said}")
