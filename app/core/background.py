"""One slow call in a thread of its own, which may be left behind: opening a camera or a dead address can take its time-out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from vipose.runtime.errors import ViposeError

__all__ = ["Background"]

Value = TypeVar("Value")


class Background(Generic[Value]):
    """Runs ``work`` at once in a daemon thread.

    Args:
        work: returns a value or raises.
        dispose: frees a value that comes after :meth:`abandon`.
        done: called from the thread when there is an outcome.
        name: of the thread.
    """

    def __init__(
        self, work: Callable[[], Value], dispose: Callable[[Value], None], done: Callable[[], None], name: str
    ) -> None:
        self._work, self._dispose, self._done = work, dispose, done
        self._lock = threading.Lock()
        self._abandoned = False
        self._values: list[Value] = []
        self._error: ViposeError | None = None
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Whether :meth:`result` would return at once."""
        return self._finished.is_set()

    def result(self) -> Value:
        """The value; waits for it. Raises what the work raised: a ViposeError, or one that names the fault."""
        self._finished.wait()
        if self._error is not None:
            raise self._error
        return self._values[0]

    def abandon(self) -> None:
        """Nobody wants the value any more: it is disposed of as soon as it is there. Does not wait."""
        with self._lock:
            self._abandoned = True
            values, self._values = self._values, []
        for value in values:
            self._dispose(value)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread, at most so long."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            value = self._work()
        except ViposeError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001  raised again, as one line, in the thread that asks for the result
            said = f"{type(error).__name__}: {error}".replace("\n", " ")
            self._error = ViposeError(f"{self._thread.name} failed ({said}); this is a fault of vipose, please report it")
            self._error.__cause__ = error
        else:
            with self._lock:
                late = self._abandoned
                if not late:
                    self._values.append(value)
            if late:
                self._dispose(value)
        self._finished.set()
        self._done()
