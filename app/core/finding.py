"""Looks at files and folders in a thread, since a disk may sleep and a network folder may be gone; the newest question wins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from vipose.runtime.drivers.queues import naming
from vipose.runtime.errors import ViposeError

__all__ = ["Answer", "Asking"]

Value = TypeVar("Value")


@dataclass(frozen=True)
class Answer(Generic[Value]):
    """What came of a question: a value, or an error."""

    value: Value | None = None
    error: ViposeError | None = None


class Asking(Generic[Value]):
    """Runs one question after the other, each in a short-lived thread ``vipose-finding``.

    Args:
        on_answer: called from the thread with each answer, except of questions that a newer one has replaced.
    """

    def __init__(self, on_answer: Callable[[Answer[Value]], None]) -> None:
        self._on_answer = on_answer
        self._lock = threading.Lock()
        self._newest = 0
        self._closed = False
        self._threads: list[threading.Thread] = []

    def ask(self, question: Callable[[], Value]) -> None:
        """Run ``question``; it may raise a ViposeError. Returns at once; one that still runs is not answered any more."""
        with self._lock:
            if self._closed:
                return
            self._newest += 1
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            thread = threading.Thread(
                target=self._run, args=(question, self._newest), name="vipose-finding", daemon=True
            )
            self._threads.append(thread)
        thread.start()

    def forget(self) -> None:
        """Answer nothing that was asked so far."""
        with self._lock:
            self._newest += 1

    def close(self, timeout_s: float = 1.0) -> None:
        """Answer nothing from here on; waits for threads, at most so long each."""
        with self._lock:
            self._closed = True
            threads = [thread for thread in self._threads if thread.is_alive()]
        for thread in threads:
            thread.join(timeout_s / len(threads))

    def _run(self, question: Callable[[], Value], number: int) -> None:
        try:
            with naming("looking for the source"):
                answer = Answer(value=question())
        except ViposeError as error:
            answer = Answer(error=error)
        with self._lock:
            wanted = number == self._newest and not self._closed
        if wanted:
            self._on_answer(answer)
