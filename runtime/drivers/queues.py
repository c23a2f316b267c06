"""Queues between the threads of a driver: bounded by count and by bytes; errors travel through them; nothing waits for ever."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, TypeVar

from vipose.runtime.errors import ViposeError

__all__ = ["BoundedQueue", "Cancelled", "NewestSlot", "naming"]

Item = TypeVar("Item")
_WAKE_S = 0.2  # a waiting thread looks at the stop event this often; nobody waits for it in normal running


class Cancelled(Exception):
    """The other side of a queue has gone: stop working, the reason is reported elsewhere."""


@contextmanager
def naming(stage: str) -> Iterator[None]:
    """Turn an error that nobody foresaw into one line that says where it happened; others pass unchanged."""
    try:
        yield
    except (ViposeError, Cancelled):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise ViposeError(f"{stage} failed ({said}); this is a fault of vipose, please report it") from error


class _HandOver:
    """Context manager that takes whatever error ends its body and hands it to another thread."""

    def __init__(self, done: Callable[[BaseException | None], None]) -> None:
        self._done = done

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        self._done(None if isinstance(error, Cancelled) else error)
        return True


class _Channel(Generic[Item]):
    """What both kinds share: an end, errors that travel both ways, and a reader that may leave."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None
        self._left = False
        self._reader_error: BaseException | None = None

    def producing(self) -> _HandOver:
        """For the body of the writing thread: the reader gets the items before its error and then the error."""
        return _HandOver(self.close)

    def consuming(self) -> _HandOver:
        """For the body of the reading thread: its error is raised by the writer's next ``put``."""
        return _HandOver(self.leave)

    def close(self, error: BaseException | None = None) -> None:
        """The writer will write no more, because of ``error`` if there is one."""
        with self._changed:
            self._closed, self._error = True, error
            self._changed.notify_all()

    def leave(self, error: BaseException | None = None) -> None:
        """The reader will read no more; a writer that waits gets ``error`` or :class:`Cancelled`."""
        with self._changed:
            self._left, self._reader_error = True, error
            self._changed.notify_all()

    @property
    def reader_error(self) -> BaseException | None:
        """What ended the reader, None where nothing did."""
        return self._reader_error

    def _refuse_if_over(self) -> None:
        if self._reader_error is not None:
            raise self._reader_error
        if self._left or self._stop.is_set():
            raise Cancelled


class BoundedQueue(_Channel[Item]):
    """A FIFO between one writer and one reader; the writer waits when it is full.

    Args:
        stop: set from outside to end the run; writers then get :class:`Cancelled`, readers the end.
        frames: items that may wait.
        size_bytes: their summed size; a single item may exceed it, or nothing would ever move.
    """

    def __init__(self, stop: threading.Event, frames: int, size_bytes: float) -> None:
        super().__init__(stop)
        self._items: deque[tuple[Item, int]] = deque()
        self._frames, self._limit, self._held = frames, size_bytes, 0

    def put(self, item: Item, size: int = 0) -> None:
        """Append; waits while full. Raises Cancelled when the reader left or the run was stopped."""
        with self._changed:
            while not self._left and not self._stop.is_set() and self._full(size):
                self._changed.wait(_WAKE_S)
            self._refuse_if_over()
            self._items.append((item, size))
            self._held += size
            self._changed.notify_all()

    def leave(self, error: BaseException | None = None) -> None:
        """As everywhere; what waits is let go, since nobody will read it."""
        super().leave(error)
        with self._changed:
            self._items.clear()
            self._held = 0

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._items)

    def _full(self, size: int) -> bool:
        return bool(self._items) and (len(self._items) >= self._frames or self._held + size > self._limit)

    def __iter__(self) -> Iterator[Item]:
        """Items until the writer ends or the run is stopped; raises the writer's error after its last item."""
        while True:
            with self._changed:
                while not self._items and not self._closed and not self._stop.is_set():
                    self._changed.wait(_WAKE_S)
                if self._stop.is_set():
                    return
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item, size = self._items.popleft()
                self._held -= size
                self._changed.notify_all()
            yield item


class NewestSlot(_Channel[Item]):
    """Holds the newest item only: an older one that nobody took is dropped and counted (live sources)."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__(stop)
        self._item: Item | None = None
        self.dropped = 0

    def put(self, item: Item) -> None:
        """Replace what waits. Raises Cancelled when the reader left or the run was stopped."""
        with self._changed:
            self._refuse_if_over()
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()

    def take(self, timeout_s: float = 0.0) -> Item | None:
        """The newest item, or None when none came in time or the writer ended; raises the writer's error."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while self._item is None and not self._closed and not self._stop.is_set():
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(min(left, _WAKE_S))
            item, self._item = self._item, None
            if item is None and self._error is not None:
                raise self._error
            return item

    @property
    def ended(self) -> bool:
        """Whether nothing will come any more."""
        with self._changed:
            return self._item is None and (self._closed or self._stop.is_set())
