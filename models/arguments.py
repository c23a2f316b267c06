"""argparse whose complaints are one line, for the commands of this room."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from vipose.runtime.errors import EXIT_USAGE

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """Like ``vipose``'s own parser: no usage text before a complaint, ``--help`` has it."""

    def error(self, message: str) -> NoReturn:
        print(f"vipose: {message}; see '{self.prog} --help'", file=sys.stderr)
        raise SystemExit(EXIT_USAGE)
