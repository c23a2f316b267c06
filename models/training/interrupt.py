"""Ctrl-C and SIGTERM during a training: the step ends, the checkpoint is written, and one line says how to go on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from vipose.runtime.errors import EXIT_INTERRUPTED

__all__ = ["Interruption", "ignore_interrupts"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO_S = 1.0
"""Ctrl-C reaches the processes of torchrun twice, from the terminal and passed on; so soon a signal is the same one."""


class Interruption:
    """While it is entered, SIGINT and SIGTERM only set ``requested``; the training looks at it after each step.

    A second signal, a second later or more, leaves at once, as KeyboardInterrupt; checkpoints are whole files all the
    time. In a thread other than the main one it does nothing, since Python handles signals there only.
    """

    def __init__(self) -> None:
        self.requested = False
        self._since_s = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a loader process that inherited this handler; its parent ends it
        if self.requested:
            if time.monotonic() - self._since_s >= ECHO_S:
                raise KeyboardInterrupt
            return
        self.requested, self._since_s = True, time.monotonic()
        # os.write: print may be what the signal has just interrupted.
        os.write(2, b"vipose: interrupted; the checkpoint is written after this step (once more: leave at once)\n")

    def leave(self, checkpoint: Path, progress: float, tell: bool = True) -> NoReturn:
        """End the process with exit code 130, after the checkpoint was written.

        Args:
            checkpoint: the file that the next run goes on from.
            progress: 0..1, of the run or the stage.
            tell: print the line; false in all processes but one.

        Raises:
            SystemExit: always.
        """
        if tell:
            line = f"vipose: stopped at {progress:.0%}; the same command goes on from '{checkpoint}'"
            print(line, file=sys.stderr, flush=True)
        raise SystemExit(EXIT_INTERRUPTED)


def ignore_interrupts(worker: int = 0) -> None:
    """``worker_init_fn`` of a DataLoader: Ctrl-C in a terminal and torchrun's SIGTERM reach all processes of a group, and
    only the training may answer them. A loader process ends when the training tells it to, or is gone."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
