"""Make training data and train networks.

  vipose train pack --crops DIR --teacher A.onnx B.onnx -o PACK      people of a crop set, with a teacher's heatmaps
  vipose train pack --detection DIR --teacher A.onnx -o PACK         people of detection pictures
  vipose train pack --videos *.mp4 --teacher A.onnx -o CLIPS         tracked people of clips, for T-ViPNets
  vipose train pack --coco FILE.json --images DIR -o PACK            COCO keypoints; '... pack --help' shows the others
  vipose train label-clips --videos *.mp4 --teacher A.onnx -o DIR    clips as labelled sequences, for evaluate --sequence
  vipose train s-vipnas --pack PACK ... --out RUN                    the key-frame network
  vipose train efficientpose --arch efficientpose-a --imagenet --pack PACK ... --out RUN
  vipose train posenas --arch posenas-small --pack PACK ... --out RUN    single-frame networks of the other two papers
  vipose train supernet --space fast-fused --pack PACK ... --out RUN    all sub-networks of a search space at once
  vipose train t-vipnas --spatial RUN/best.pt --pack PACK ... --clips CLIPS --out RUN2
  vipose train t-supernet --spatial RUN/best.pt --pack PACK ... --clips CLIPS --out RUN2   all T-ViPNets
  vipose train person-detector --data DIR --out RUN3
  vipose train average RUN/best.pt RUN2/best.pt -o RUN3/best.pt       the mean of runs that began with one another
  vipose train from-graph s-vipnas --pack PACK -o RUN/best.pt         a graph that ships as a run to go on from
  vipose train bench --pack PACK ...                                 where a training's time goes on this machine
  vipose train plot RUN ... -o curves.png                            loss, learning rate, speed and accuracy over time

'vipose train RECIPE --help' shows the options of one recipe. Every run resumes where it was interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from vipose.runtime.errors import EXIT_OK, InputError

__all__ = ["RECIPES", "add_arguments", "run"]

RECIPES = {  # module, and its function where that is not main
    "pack": "vipose.models.data.packing",
    "label-clips": "vipose.models.data.label_clips",
    "s-vipnas": "vipose.models.training.spatial",
    "efficientpose": "vipose.models.training.spatial:efficientpose",
    "posenas": "vipose.models.training.spatial:posenas",
    "supernet": "vipose.models.training.supernet",
    "t-vipnas": "vipose.models.training.temporal",
    "t-supernet": "vipose.models.training.temporal_supernet",
    "person-detector": "vipose.models.training.detection",
    "average": "vipose.models.training.average",
    "from-graph": "vipose.models.training.from_graph",
    "plot": "vipose.models.training.plots",
    "bench": "vipose.models.training.benchmark",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", choices=RECIPES, help="what to make")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of the recipe")


def run(args: argparse.Namespace) -> int:
    module, _, function = RECIPES[args.recipe].partition(":")
    sys.argv[0] = f"vipose train {args.recipe}"
    main = getattr(importlib.import_module(module), function or "main")
    try:
        code = main(args.options)
    except FileNotFoundError as error:
        # A pack, run or data folder that is not there is the user's slip, wherever the training meets it.
        raise InputError(f"{error.filename} does not exist; see 'vipose train {args.recipe} --help'") from error
    return int(code or EXIT_OK)
