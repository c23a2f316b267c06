"""``vipose doctor``: examine this installation, offline. Exit code 1 when there is a problem."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from vipose.runtime.errors import EXIT_OK, EXIT_SOME_FAILED

if TYPE_CHECKING:
    from vipose.runtime.doctor import Check

__all__ = ["add_arguments", "run"]

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--self-test", action="store_true", help="also run the networks on a shipped picture and compare keypoints"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Examine and print."""
    from vipose.runtime.doctor import examine

    checks = examine(self_test=args.self_test)
    problems = sum(check.status == "problem" for check in checks)
    warnings = sum(check.status == "warning" for check in checks)
    if args.json:
        report = {"problems": problems, "warnings": warnings, "checks": [asdict(check) for check in checks]}
        print(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _show(checks)
        print(f"{problems} problems, {warnings} warnings")
    return EXIT_SOME_FAILED if problems else EXIT_OK


def _show(checks: Sequence[Check]) -> None:
    """A table on a terminal, lines elsewhere."""
    if not sys.stdout.isatty():
        for check in checks:
            remedy = f" -> {check.remedy}" if check.remedy else ""
            print(f"{check.status:<8} {check.name:<12} {check.found}{remedy}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("", "check", "found"):
        table.add_column(title, overflow="fold")
    for check in checks:
        found = Text(check.found)
        if check.remedy:
            found.append(f"\n{check.remedy}", style=_COLOURS[check.status])
        table.add_row(Text(check.status, style=_COLOURS[check.status]), check.name, found)
    Console().print(table)
