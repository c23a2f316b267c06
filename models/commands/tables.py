"""Parameters and MACs of every published network beside the figures that its paper prints, and of the graphs that ship.

  vipose tables
  vipose tables --size 288x384
  vipose tables --json
"""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vipose.runtime.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from vipose.models.tables import Row

__all__ = ["add_arguments", "run"]

_HEADS = ("network", "input", "params", "MACs", "GFLOPs", "printed params", "printed GFLOPs", "")
_MIN_REMARK, _PIPE_WIDTH = 36, 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", metavar="WxH", help="input size to count at, multiples of 32 (default: each its own)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from vipose.models.tables import COUNTING, published_rows, shipped_rows

    size = None if args.size is None else _size(args.size)
    rows = [*published_rows(size), *shipped_rows(size)]
    if args.json:
        print(json.dumps({"counting": COUNTING, "networks": [row.to_json() for row in rows]}, indent=1))
        return EXIT_OK
    width = shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns
    print(_table(rows, width))
    print()
    print(textwrap.fill(COUNTING, min(width, 120)))
    return EXIT_OK


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise UsageError(f"size '{text}' is not WIDTHxHEIGHT; give for example 192x256")
    width, height = int(parts[0]), int(parts[1])
    if not all(32 <= side <= 4096 and side % 32 == 0 for side in (width, height)):
        raise UsageError(f"size {text}: sides must be multiples of 32 up to 4096; give for example 192x256")
    return width, height


def _table(rows: Sequence[Row], width: int) -> str:
    """Aligned columns; the last one, remarks, is folded into what is left of the width."""
    cells = [_cells(row) for row in rows]
    widths = [max(len(head), *(len(line[n]) for line in cells)) for n, head in enumerate(_HEADS[:-1])]
    margin = sum(widths) + 2 * len(widths)
    lines = [_line(_HEADS, widths)]
    for line in cells:
        first, *rest = textwrap.wrap(line[-1], max(_MIN_REMARK, width - margin)) or [""]
        lines.append(_line([*line[:-1], first], widths))
        lines += [" " * margin + more for more in rest]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *figures, remark = cells
    padded = [figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
    return "  ".join([name.ljust(widths[0]), *padded, remark]).rstrip()


def _cells(row: Row) -> list[str]:
    counted = row.cost
    figures = ["-"] * 3
    if counted is not None:
        figures = [f"{counted.parameters / 1e6:.2f} M", f"{counted.macs / 1e6:.0f} M", f"{counted.paper_gflops:.3f}"]
    parameters = list(dict.fromkeys(f"{p.parameters_m} M" for p in row.printed if p.parameters_m is not None))
    gflops = list(dict.fromkeys(str(p.gflops) for p in row.printed if p.gflops is not None))
    return [row.name, f"{row.size[0]}x{row.size[1]}", *figures, " / ".join(parameters), " / ".join(gflops), row.remark]
