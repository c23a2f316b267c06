"""Measure this machine once, and keep the most accurate setting that holds a frame rate.

Networks, key-frame periods, cores and detector intervals are run in turn on a clip that is held in memory. 'vipose run' and
the application then take the best of them as their default; options that are given always win. Close other programs first.

  vipose tune
  vipose tune --fps 60 --clip mine.mp4
  vipose tune --reset
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vipose.runtime.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from vipose.runtime.tune.store import Tuned
    from vipose.runtime.tune.tuning import Tuning

__all__ = ["add_arguments", "run"]

FPS, SECONDS = 30.0, 30.0
_FPS_RANGE, _SECONDS_RANGE = (1.0, 240.0), (0.1, 3600.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``vipose tune``."""
    parser.add_argument("--fps", type=float, default=FPS, metavar="N", help=f"frames a second to hold (1 to 240; default {FPS:g})")
    parser.add_argument("--clip", metavar="FILE", help="clip with people to measure on (default: the demo clip)")
    parser.add_argument("--modes", type=_names, default=(), metavar="A,B", help="only these modes or graphs (default: all that are here)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="S", help=f"about how long to measure (default {SECONDS:g})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--dry-run", action="store_true", help="measure, but keep nothing")
    parser.add_argument("--reset", action="store_true", help="forget what was kept, and measure nothing")
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise UsageError("--modes: nothing is named; write for example t-vipnas,s-vipnas")
    return names


def run(args: argparse.Namespace) -> int:
    """Measure, print and keep; raises ViposeError."""
    for name, (low, high) in (("fps", _FPS_RANGE), ("seconds", _SECONDS_RANGE)):
        value = getattr(args, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise UsageError(f"--{name}: {value:g} is not allowed ({low:g} to {high:g})")
    from vipose.runtime.tune.store import write_tuned

    if args.reset:
        return _reset(args.json)
    _check_keeping(args.dry_run)
    from vipose.runtime.tune.measure import demo_clip
    from vipose.runtime.tune.record import tuned_by
    from vipose.runtime.tune.tuning import tune

    with _progress(args.quiet) as tick:
        tuning = tune(args.clip or demo_clip(), args.fps, seconds=args.seconds, modes=args.modes, tick=tick)
    tuned = tuned_by(tuning)
    path = None if args.dry_run else write_tuned(tuned)
    if args.json:
        print(json.dumps(_as_dict(tuning, tuned, path), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print(tuning, tuned, path)
    return EXIT_OK


def _check_keeping(dry_run: bool) -> None:
    """Say before a minute of measuring, not after it, that nothing can be kept."""
    from vipose.runtime.tune.store import ENVIRONMENT, tuned_path

    if not dry_run and tuned_path() is None:
        raise UsageError(f"nothing is kept while {ENVIRONMENT} is 'off'; unset it, or give --dry-run")


def _reset(as_json: bool) -> int:
    from vipose.runtime.tune.store import remove_tuned

    path = remove_tuned()
    if as_json:
        print(json.dumps({"removed": None if path is None else str(path)}))
    else:
        print("nothing was kept" if path is None else f"{path} is deleted; runs have the usual defaults again")
    return EXIT_OK


def _as_dict(tuning: Tuning, tuned: Tuned, path: Path | None) -> dict[str, Any]:
    from dataclasses import asdict

    from vipose.runtime.tune.record import figures

    return {
        **asdict(tuned), "chosen": figures(tuning.choice.row), "provider": tuning.provider, "notes": list(tuning.notes),
        "kept": None if path is None else str(path),
    }  # fmt: skip


def _print(tuning: Tuning, tuned: Tuned, path: Path | None) -> None:
    """The table, what is kept and where, and how to undo it."""
    from rich.console import Console

    from vipose.runtime.tune.choose import HEADROOM, allowed_ms

    console = Console(soft_wrap=True, highlight=False)
    console.print(_table(tuning))
    rate, free = f"{tuning.fps:g} frames a second", f"{HEADROOM:.0%}"
    lines = [
        f"{tuning.people:.1f} people on a frame, on {tuning.provider}.",
        f"{rate} are held where 95 of 100 frames take at most {allowed_ms(tuning.fps):.1f} ms: {free} stay free for all else.",
        *(f"note: {note}" for note in tuning.notes),
    ]
    if not tuned.holds:
        lines.append(f"No setting holds {rate} here; the fastest is chosen.")
    lines.append(f"Chosen: {tuned.setting}")
    if path is None:
        lines.append("Nothing is kept (--dry-run).")
    else:
        lines.append(f"Kept in {path}: 'vipose run' and the application use it by default; options that are given win.")
        lines.append("'vipose tune --reset' undoes it.")
    for line in lines:
        console.print(line, markup=False)


def _table(tuning: Tuning) -> Any:
    from rich.table import Table

    from vipose.runtime.tune.choose import holds

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("mode", overflow="fold", min_width=min(24, max(len(row.setting.name) for row in tuning.rows)))
    for name in ("key every", "detect every", "cores", "AP", "median ms", "p95 ms", "frames /s", "holds"):
        table.add_column(name, justify="right", min_width=max(map(len, name.split())))
    for row in tuning.rows:
        one, chosen = row.setting, row is tuning.choice.row
        table.add_row(
            "*" if chosen else "", one.name, str(one.period), str(one.detect_every), str(one.threads or "all"),
            row.network.shown_accuracy(one.period), f"{row.median_ms:.1f}", f"{row.p95_ms:.1f}", f"{row.fps:.0f}", "yes" if holds(row, tuning.fps) else "no",
            style="bold" if chosen else None,
        )  # fmt: skip
    return table


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, float], None] | None]:
    """A bar on stderr where that is a terminal; redrawn twice a second only, since drawing takes time as well."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True, refresh_per_second=2) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)
