"""The command line of ``vipose search differentiable``."""

from __future__ import annotations

import argparse
from pathlib import Path

from vipose.models.arguments import Parser, crop_size, positive
from vipose.models.search.differentiable_recipes import DifferentiableRecipe
from vipose.models.training.session import add_session
from vipose.models.training.start import add_imagenet

__all__ = ["options"]


def options(choice: argparse.ArgumentParser, recipe: DifferentiableRecipe, about: str | None) -> Parser:
    """The parser of the command line.

    Args:
        choice: with the options that decide which recipe is shown.
        recipe: gives the defaults.
        about: text of the help.
    """
    parser = Parser(
        prog="vipose search differentiable", allow_abbrev=False, description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter, parents=[choice],
    )  # fmt: skip
    add = parser.add_argument
    add("--pack", type=Path, nargs="+", required=True, help="folders made by 'vipose train pack'")
    add("--out", type=Path, required=True, metavar="RUN", help="folder of the run; an unfinished one is resumed")
    add("--cost", default="macs", metavar="macs|TABLE.json|gpu", help="what is to be cheap (%(default)s)")
    add("--table", nargs="+", default=[], metavar="JSON", help="price the result by these tables too")
    add("--cost-size", type=crop_size, metavar="WxH", help="crops that costs are for (those of the space)")
    add("--budget", help="the cost to end up at: 400M MACs, or 6ms; without it, the less the better")
    add("--weight", type=float, metavar="LAMBDA", help=f"of the cost in the loss ({recipe.weight:g})")
    add("--tau", type=float, help=f"base of the cost's logarithm ({recipe.tau:g})")
    paths = "all" if recipe.paths is None else recipe.paths
    add("--paths", type=_paths, metavar="N|all", help=f"candidates of each choice that run in a step ({paths})")
    add("--architecture-rate", type=float, metavar="RATE", help=f"learning rate of the architecture ({recipe.alpha_rate:g})")
    add("--size", type=crop_size, metavar="WxH", help="of the crops in the search ({}x{})".format(*recipe.sizes[-1]))
    add("--batch", type=positive, metavar="N", help=f"samples a step, of all processes together ({recipe.batches[-1]})")
    add("--start", type=Path, metavar="PT", help="best.pt or last.pt of another search: its weights instead of a warm-up")
    add_imagenet(parser, True)
    add("--memory", type=positive, default=8192, metavar="MIB", help="for decoded pictures (%(default)s)")
    add("--seed", type=int, default=0, help="of weights, split and candidates (%(default)s)")
    add_session(parser, recipe.length, "of warm-up and search")
    add("--json", action="store_true", help="print the result as JSON")
    add("-q", "--quiet", action="store_true", help="no progress and no report")
    return parser


def _paths(text: str) -> int:
    """A number, or 0 for ``all``."""
    if text != "all" and not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text}: want 1 or more, or 'all'")
    return 0 if text == "all" else int(text)
