"""Measure speed and memory: each graph alone, each stage with 1, 2, 5, 10 people, a whole clip.

  vipose bench --mode t-vipnas --clip clip.mp4
  vipose bench --graphs only --threads 1,2 --batch 1,4 --reference other.onnx
  vipose bench --mode posenas-small --reference s-vipnas

Close other programs first; ratios within one run still hold where that is not possible.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vipose.runtime.errors import EXIT_OK, UsageError
from vipose.runtime.shipped import PRECISION_CHOICES

if TYPE_CHECKING:
    from vipose.runtime.bench.clip import ClipRow
    from vipose.runtime.bench.graphs import GraphRow
    from vipose.runtime.bench.stages import StageRow

__all__ = ["add_arguments", "run"]

_Progress = Callable[[str, int], Callable[[int], None] | None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``vipose bench``."""
    nets = parser.add_argument_group("Networks")
    nets.add_argument("--mode", default="t-vipnas", metavar="NAME|GRAPH.onnx", help="mode or graph (default t-vipnas)")
    nets.add_argument("--detector", default="default", metavar="NAME|GRAPH.onnx|none", help="person detector, or none")
    nets.add_argument("--period", type=int, metavar="N", help="a key frame every so many frames; single-frame modes: 1")
    nets.add_argument(
        "--precision", choices=PRECISION_CHOICES, default="auto", help="of graphs with a name (default auto: the first there is)"
    )
    nets.add_argument("--twice", action="store_true", help="look twice on key frames, in stages and clip")
    nets.add_argument("--device", default="auto", help="where graphs run (default auto)")
    what = parser.add_argument_group("What to measure")
    what.add_argument("--graphs", choices=("only", "yes", "no"), default="yes", help="graphs alone: only them, too, or not")
    what.add_argument(
        "--reference", metavar="NAME|GRAPH.onnx", help="graph to which ratios refer; a file needs no metadata"
    )
    what.add_argument("--batch", type=_counts, default=(1,), metavar="1,2,4,8", help="batch sizes (default 1)")
    what.add_argument("--threads", type=_counts, default=(1,), metavar="1,2", help="threads and workers (default 1)")
    what.add_argument(
        "--people", type=_counts, default=(1, 2, 5, 10), metavar="1,2,5,10", help="people on a frame (default 1,2,5,10)"
    )
    what.add_argument("--clip", metavar="FILE", help="also run this whole clip; without it no clip is run")
    what.add_argument("--frames", type=int, metavar="N", help="repeat the clip until so many frames ran (memory)")
    what.add_argument("--no-encode", action="store_true", help="leave out the run with drawing and encoding")
    what.add_argument("--repeats", type=int, default=30, metavar="N", help="timed rounds (default 30)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress")


def _counts(text: str) -> tuple[int, ...]:
    """1,2,4 -> (1, 2, 4); raises UsageError."""
    try:
        values = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        values = ()
    if not values or min(values) < 1 or max(values) > 256:
        raise UsageError(f"'{text}' is no list of counts (1 to 256); write for example 1,2,4")
    return values


def run(args: argparse.Namespace) -> int:
    """Measure and print; raises ViposeError."""
    _check(args)
    from vipose.runtime.bench.machine import this_machine
    from vipose.runtime.bench.report import BenchReport
    from vipose.runtime.modes import load_mode

    detector = None if args.detector == "none" else args.detector
    mode = load_mode(
        args.mode, detector=detector, device=args.device, threads=1, period=args.period, precision=args.precision
    )
    mode.close()
    with _progress(args.quiet) as progress:
        graphs = _graphs(args, mode, progress) if args.graphs != "no" else []
        stages = _stages(args, progress) if args.graphs != "only" else []
        clip = _clip(args, progress) if args.clip else []
    notes = []
    if not args.clip and args.graphs != "only":
        notes.append("no clip was run; add --clip FILE")
    notes += [
        f"the tracker followed {row.tracked:.1f} of {row.people} people, so that row is not comparable"
        for row in stages
        if abs(row.tracked - row.people) > 0.05 * row.people
    ]
    report = BenchReport(
        this_machine(), args.mode + ", twice" * args.twice, str(mode.provider), tuple(graphs), tuple(stages), tuple(clip), tuple(notes)
    )
    print(json.dumps(report.to_dict(), indent=1, allow_nan=False) if args.json else report.to_text())
    return EXIT_OK


def _check(args: argparse.Namespace) -> None:
    if not 1 <= args.repeats <= 100_000:
        raise UsageError(f"--repeats: {args.repeats} is not allowed (1 to 100000)")
    if args.frames is not None and args.frames < 1:
        raise UsageError(f"--frames: {args.frames} is not allowed (1 or more)")
    if args.frames is not None and not args.clip:
        raise UsageError("--frames says how long to run a clip; add --clip FILE")
    if args.graphs == "only" and args.clip:
        raise UsageError("--graphs only leaves the clip out; drop one of them")
    if args.graphs == "no" and args.reference:
        raise UsageError("--reference belongs to graphs alone; drop --graphs no")
    if args.graphs == "only" and args.twice:
        raise UsageError("--graphs only runs each graph by itself; drop it to measure --twice")
    if args.detector == "none" and args.graphs != "only":
        raise UsageError("--detector none goes with --graphs only, since the pipeline needs a detector")


def _graphs(args: argparse.Namespace, mode: Any, progress: _Progress) -> list[GraphRow]:
    from vipose.runtime.bench.graphs import bench_graphs, mode_graphs

    return bench_graphs(
        mode_graphs(mode), threads=args.threads, batches=args.batch, device=args.device, repeats=args.repeats,
        reference=_reference(args.reference) if args.reference else None,
        tick=progress("graphs", args.repeats * len(args.threads)),
    )  # fmt: skip


def _reference(name: str) -> Path:
    """The file of a graph by name, or a path as it is."""
    from vipose.runtime.library import files_of, find_graph

    return find_graph(name) if files_of(name) else Path(name)


def _stages(args: argparse.Namespace, progress: _Progress) -> list[StageRow]:
    from vipose.runtime.bench.stages import bench_stages
    from vipose.runtime.modes import load_mode
    from vipose.runtime.pipeline import PipelineConfig

    rows: list[StageRow] = []
    for threads in args.threads:
        mode = load_mode(
            args.mode, detector=args.detector, device=args.device, threads=threads, period=args.period,
            precision=args.precision,
        )  # fmt: skip
        try:
            tick = progress(f"stages, threads {threads}", args.repeats * mode.period)
            rows += bench_stages(mode, args.people, repeats=args.repeats, config=PipelineConfig(twice=args.twice), tick=tick)
        finally:
            mode.close()
    return rows


def _clip(args: argparse.Namespace, progress: _Progress) -> list[ClipRow]:
    from vipose.runtime.bench.clip import bench_clip
    from vipose.runtime.modes import load_mode
    from vipose.runtime.pipeline import PipelineConfig

    mode = load_mode(
        args.mode, detector=args.detector, device=args.device, threads=args.threads[0], period=args.period,
        precision=args.precision,
    )  # fmt: skip
    try:
        tick = progress("clip", args.frames or 0)
        config = PipelineConfig(twice=args.twice)
        return bench_clip(args.clip, mode, config=config, frames=args.frames, encode=not args.no_encode, tick=tick)
    finally:
        mode.close()


@contextmanager
def _progress(quiet: bool) -> Iterator[_Progress]:
    """Bars on stderr where that is a terminal; redrawn twice a second only, since drawing takes time as well."""
    if quiet or not sys.stderr.isatty():
        yield lambda name, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True, refresh_per_second=2) as progress:

        def start(name: str, total: int) -> Callable[[int], None]:
            task = progress.add_task(name, total=total or None)
            return lambda done: progress.update(task, completed=done)

        yield start
