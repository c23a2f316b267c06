"""People dealt out over threads, one thread a core, in order.

ONNX Runtime releases the interpreter lock while a graph runs, and several one-thread sessions on as many threads beat one
session with several threads when there are several people. One worker means no threads at all.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from vipose.runtime.errors import UsageError

__all__ = ["Workers", "available_cores", "current_worker"]

Item = TypeVar("Item")
Result = TypeVar("Result")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_here = threading.local()


def available_cores() -> int:
    """Cores this process may use: affinity and a container's quota count, not what the machine has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def current_worker() -> int | None:
    """Number of the worker that calls, 0, 1, …; None outside of all workers."""
    return getattr(_here, "number", None)


class Workers:
    """A pool that maps a function over items and keeps their order.

    Results never depend on the number of workers as long as the function treats each item alone. A map inside a worker
    runs in that worker, so nesting cannot lock up.

    Args:
        threads: workers; 0 = one a core that this process may use.

    Raises:
        UsageError: negative ``threads``.
    """

    def __init__(self, threads: int = 1) -> None:
        if threads < 0:
            raise UsageError(f"{threads} threads cannot be started; give 1 or more, or 0 for one a core")
        self.threads = threads or available_cores()
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """``[function(item) for item in items]``, dealt out over the workers.

        The first exception in the order of the items is raised, after every started call has ended.

        Raises:
            RuntimeError: the workers were closed.
        """
        todo = list(items)
        if self._closed:
            raise RuntimeError("these workers are closed")
        if self.threads == 1 or len(todo) < 2 or current_worker() is not None:
            return [function(item) for item in todo]
        if self._pool is None:
            numbers = itertools.count()
            self._pool = ThreadPoolExecutor(self.threads, "vipose-worker", lambda: _number(next(numbers)))
        futures = [self._pool.submit(function, item) for item in todo]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
            wait(futures)

    def close(self) -> None:
        """End the threads; safe to call twice."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _number(number: int) -> None:
    _here.number = number
