"""argparse whose complaints are one line, for the commands of this room."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from vipose.models.networks.architecture import Fusion
from vipose.runtime.errors import EXIT_USAGE

__all__ = ["Parser", "crop_size", "fusion", "positive", "rate"]


class Parser(argparse.ArgumentParser):
    """Like ``vipose``'s own parser: no usage text before a complaint, ``--help`` has it."""

    def error(self, message: str) -> NoReturn:
        print(f"vipose: {message}; see '{self.prog} --help'", file=sys.stderr)
        raise SystemExit(EXIT_USAGE)


def crop_size(text: str) -> tuple[int, int]:
    """``192x256`` as width and height of crops; raises ArgumentTypeError unless both are multiples of 32."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()) or int(width) % 32 or int(height) % 32 or not int(width) * int(height):
        raise argparse.ArgumentTypeError(f"{text}: want WIDTHxHEIGHT in multiples of 32, such as 96x128")
    return int(width), int(height)


def positive(text: str) -> int:
    """A count of at least one; raises ArgumentTypeError otherwise."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: want 1 or more")
    return number


def rate(text: str) -> float:
    """A learning rate; raises ArgumentTypeError unless it is above 0 and at most 1."""
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text}: want a number above 0 and up to 1, such as 0.0003")
    return number


def fusion(text: str) -> Fusion:
    """``1-cat`` as a place and an operator; raises ArgumentTypeError for anything else."""
    stage, _, operator = text.partition("-")
    try:
        return Fusion(int(stage), operator)  # type: ignore[arg-type]  # it looks itself
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: want a stage 1 to 4 and add, mul or cat, such as 1-cat") from None
