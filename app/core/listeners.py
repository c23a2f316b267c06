"""Functions that want to be called when something changes; any thread may come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Listeners"]


class Listeners:
    """Calls everybody who subscribed, in order, in the thread that calls it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[..., None]] = []

    def subscribe(self, callback: Callable[..., None]) -> Callable[[], None]:
        """Have one more function called; returns what ends that, safe to call twice."""
        with self._lock:
            self._callbacks.append(callback)

        def unsubscribe() -> None:
            with self._lock:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return unsubscribe

    def __call__(self, *arguments: object) -> None:
        with self._lock:
            callbacks = tuple(self._callbacks)
        for callback in callbacks:
            callback(*arguments)
