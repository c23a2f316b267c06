"""Search for networks: for this machine, under milliseconds or MACs.

  vipose search spaces                                       what can be searched
  vipose search profile --space fast-fused -o TABLE.json     measure this machine once
  vipose search spatial --supernet RUN/best.pt --pack PACK ... --table TABLE.json --budget 4ms -o S.json
  vipose search baseline --space S --pack PACK ... --budget 300M --out DIR       random networks, each trained for a while
  vipose search heads --pack PACK ... --arch efficientpose-a --out DIR           ablations of EfficientPose's head
  vipose search temporal --supernet RUN2/best.pt ... -o T.json
  vipose search differentiable --space paper-efficientpose-small --pack PACK ... --cost TABLE.json --out RUN     by gradients
  vipose search pareto S.json -o front.png                   accuracy against cost, as a picture
  vipose search ablations ...                                what fusion, warping and frame-specific networks bring

'vipose search ACTION --help' shows the options of one action. Every search resumes where it was interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from vipose.runtime.errors import EXIT_OK, InputError

__all__ = ["ACTIONS", "add_arguments", "run"]

ACTIONS = {
    "spaces": "vipose.models.search.listing",
    "profile": "vipose.models.search.profile",
    "spatial": "vipose.models.search.spatial",
    "baseline": "vipose.models.search.baseline",
    "heads": "vipose.models.search.heads",
    "temporal": "vipose.models.search.temporal",
    "differentiable": "vipose.models.search.differentiable",
    "pareto": "vipose.models.search.pareto",
    "ablations": "vipose.models.search.ablations",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of the action")


def run(args: argparse.Namespace) -> int:
    module = importlib.import_module(ACTIONS[args.action])
    sys.argv[0] = f"vipose search {args.action}"
    try:
        return int(module.main(args.options) or EXIT_OK)
    except FileNotFoundError as error:
        # A pack, run or table that is not there is the user's slip, wherever the search meets it.
        raise InputError(f"{error.filename} does not exist; see 'vipose search {args.action} --help'") from error
