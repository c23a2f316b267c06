"""Turn videos, folders, cameras or URLs into tracked, smoothed skeletons of many people.

SOURCE is a video file, a glob, a folder of videos or of pictures, a list file, camera:0 or the name of a camera
('vipose cameras'), or an RTSP or HTTP address. Annotated video and results go to vipose-out/ or where -o says; results
lie beside the video, OUT.jsonl beside OUT.mp4. OUT.run.json says how the run ended. Ctrl-C ends it and leaves valid files.

  vipose run clip.mp4 -o out.mp4 --save native,csv
  vipose run holiday/ match.mov --resume -o results/
  vipose run camera:0 --show --mirror
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from vipose.runtime.errors import DeviceError
from vipose.runtime.options import RunOptions, add_options, from_arguments, given_options

if TYPE_CHECKING:
    from vipose.runtime.progress import Reporter
    from vipose.runtime.report import BatchReport
    from vipose.runtime.show import Window

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sources and the table of options."""
    parser.usage = "vipose run SOURCE... [-o OUT.mp4|DIR] [options]"
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="what to read; several are done one after the other")
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run all sources; returns the exit code."""
    options, notice = _options(args)
    from vipose.runtime.batch import run_batch
    from vipose.runtime.progress import open_reporter

    with ExitStack() as stack:
        stop = stack.enter_context(_stopped_by_ctrl_c())
        reporter = stack.enter_context(open_reporter(quiet=options.quiet or options.json))
        if notice and not options.quiet:
            reporter.say(notice)
        _say_limits(options, reporter)
        window = _window(options, reporter, stack)
        report = run_batch(args.sources, options, reporter=reporter, stop=stop, window=window)
    _print(report, options)
    return report.exit_code


def _options(args: argparse.Namespace) -> tuple[RunOptions, str]:
    """What is given, then what 'vipose tune' has kept, then the defaults; and a line on the second, "" for nothing."""
    given = given_options(args)
    from_arguments(args)  # a mistake is told before anything is read
    from vipose.runtime.tune.defaults import under
    from vipose.runtime.tune.store import read_tuned

    kept = read_tuned()
    tuned = under(given, kept.options)
    if not tuned:
        return from_arguments(args), kept.problem
    said = ", ".join(f"{name.replace('_', '-')} {value}" for name, value in tuned.items() if value != getattr(RunOptions, name))
    return from_arguments(args, tuned), f"tuned settings are in use ({said or 'the usual ones'}); 'vipose tune --reset' undoes it"


@contextmanager
def _stopped_by_ctrl_c() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets, so that files are completed; the second one breaks off at once."""
    stop = threading.Event()

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():  # only the main thread may listen
        yield stop
        return
    before = {number: signal.signal(number, on_interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_limits(options: RunOptions, reporter: Reporter) -> None:
    if options.head_blur and options.roi is not None:
        reporter.say("--head-blur hides only people who are followed: those outside of --roi stay recognisable")


def _window(options: RunOptions, reporter: Reporter, stack: ExitStack) -> Window | None:
    """The window of ``--show``; without one the run goes on where it writes something."""
    if not options.show:
        return None
    from vipose.runtime.show import open_window

    try:
        window = open_window()
    except DeviceError as error:
        if not options.video and not options.save:
            raise
        reporter.say(str(error))
        return None
    stack.callback(window.close)
    return window


def _print(report: BatchReport, options: RunOptions) -> None:
    """The report: JSON or a table on stdout; errors of a quiet run on stderr."""
    from vipose.runtime.report import as_table

    if options.json:
        print(report.to_json())
        return
    if not options.quiet:
        print(as_table(report.sources))
        return
    for source in report.sources:
        if source.status not in ("done", "skipped"):
            print(f"vipose: {source.source}: {source.status}: {source.message}", file=sys.stderr)
