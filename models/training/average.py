"""Average the weights of runs that began with one another: often better than each, at the cost of one.

    vipose train average RUN_A/best.pt RUN_B/best.pt -o RUN_C/best.pt

The mean of networks from one basin of the loss lies deeper in it than they do ("model soups", Wortsman et al. 2022; SWA, Izmailov
et al. 2018). Networks that were trained apart from the start have nothing in common, and their mean is noise: evaluate it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vipose.models.arguments import Parser
from vipose.models.training.checkpoint import load_checkpoint, save_checkpoint
from vipose.runtime.errors import InputError, ModelError, OutputError, UsageError

__all__ = ["average", "main"]


def average(paths: Sequence[Path]) -> dict[str, Any]:
    """The mean of checkpoints, with everything else of the first.

    Args:
        paths: ``best.pt`` of runs of one architecture, two or more.

    Returns:
        Content of a checkpoint; ``averaged`` names the files.

    Raises:
        InputError: a file is not there. ModelError: it is torn, holds no network, or one of another architecture.
        UsageError: fewer than two.
    """
    if len(paths) < 2:
        raise UsageError("one network has no mean; give the best.pt of two runs or more")
    contents = [_content(path) for path in paths]
    first, others = contents[0], contents[1:]
    for path, other in zip(paths[1:], others, strict=True):
        if _networks(other) != _networks(first) or _shapes(other["state_dict"]) != _shapes(first["state_dict"]):
            raise ModelError(f"'{path}' and '{paths[0]}' hold different networks; give runs of one architecture")
    return first | {
        "state_dict": {key: _mean([c["state_dict"][key] for c in contents]) for key in first["state_dict"]},
        "averaged": [str(path) for path in paths],
    }


def _content(path: Path) -> dict[str, Any]:
    content = load_checkpoint(path)
    if content is None:
        raise InputError(f"'{path}' does not exist; give best.pt of a run of 'vipose train'")
    if "state_dict" not in content or _networks(content) is None:
        raise ModelError(f"'{path}' holds no averaged weights; give best.pt of a run, not last.pt")
    return content


def _networks(content: Mapping[str, Any]) -> Any:
    """What describes the network of a checkpoint, or those of all propagated frames; None where nothing does."""
    return content.get("arch", content.get("archs"))


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def _mean(values: Sequence[Tensor]) -> Tensor:
    """Counters of batch norms are no weights: that of the first stays."""
    if not values[0].is_floating_point():
        return values[0]
    return torch.stack([value.double() for value in values]).mean(0).to(values[0].dtype)


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(
        prog="vipose train average", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, nargs="+", help="best.pt of runs of one architecture")
    parser.add_argument("-o", "--out", type=Path, required=True, help="checkpoint to write, such as RUN/best.pt")
    args = parser.parse_args(argv)
    if args.out.is_dir():
        raise UsageError(f"'{args.out}' is a folder; name a file with -o, such as '{args.out / 'best.pt'}'")
    mean = average(args.checkpoint)
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{args.out.parent}' cannot be made: {error.strerror}; name another place with -o") from error
    save_checkpoint(args.out, **mean)
    print(f"{args.out}: the mean of {len(args.checkpoint)} networks")


if __name__ == "__main__":
    main()
