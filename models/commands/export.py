"""Export a training run to ONNX graphs with their metadata and cards.

  vipose export RUN/best.pt -o DIR      NAME.onnx (weights stored as fp16), NAME.fp32.onnx and the card NAME.json

A run of 's-vipnas' gives one graph, a run of 't-vipnas' or what 'vipose search temporal --extract' wrote one a phase. Figures and remarks of the card come from --card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vipose.runtime.errors import EXIT_OK, InputError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="best.pt of a run")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the graphs")
    parser.add_argument("--name", help="network name (default: s-vipnas or t-vipnas)")
    parser.add_argument("--card", type=Path, help="JSON with what only people read: data, licences, recipe, figures")


def run(args: argparse.Namespace) -> int:
    import torch

    from vipose.models.export import pose_metadata, write_pose
    from vipose.models.networks.registry import architecture_from_json, build

    if not args.checkpoint.exists():
        raise InputError(f"{args.checkpoint} does not exist; give best.pt of a run of 'vipose train'")
    card: dict[str, Any] = json.loads(args.card.read_text(encoding="utf-8")) if args.card else {}
    state = torch.load(args.checkpoint, map_location="cpu", weights_only=False)
    if not isinstance(state, dict) or not {"state_dict", "recipe"} <= state.keys() or not {"arch", "archs"} & state.keys():
        raise InputError(f"{args.checkpoint} is no best.pt of 'vipose train s-vipnas' or 't-vipnas'")
    size, weights = tuple(state["recipe"]["sizes"][-1]), state["state_dict"]
    if "space" in state:
        raise InputError(f"{args.checkpoint} is a super-network; 'vipose search' finds and extracts networks of it")
    if "archs" not in state and state["arch"]["fusion"] is None:
        network = build(architecture_from_json(state["arch"]))
        network.load_state_dict(weights)
        write_pose(network, args.out, pose_metadata(network.arch, args.name or "s-vipnas", size, card))
        return EXIT_OK
    phases = int(state["recipe"]["T"])
    for phase, (arch, number) in enumerate(_phases(state, phases), 1):
        network = build(architecture_from_json(arch))
        prefix = f"{number}."
        network.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
        name = f"{args.name or 't-vipnas'}-{phase}"
        write_pose(network, args.out, pose_metadata(network.arch, name, size, card, T=phases, phase=phase))
    return EXIT_OK


def _phases(state: dict[str, Any], phases: int) -> list[tuple[dict[str, Any], int]]:
    """(architecture, number of its network in the weights) of every phase; one network may serve them all.

    Runs have one description for all phases (``arch``) or a list (``archs``).
    """
    archs: list[dict[str, Any]] = state.get("archs") or [state["arch"]]
    count = 1 + max(int(key.split(".", 1)[0]) for key in state["state_dict"])
    return [(archs[min(p, len(archs)) - 1], min(p, count) - 1) for p in range(1, phases + 1)]
