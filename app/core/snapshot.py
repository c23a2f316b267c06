"""Snapshots: one frame at full resolution as an annotated PNG, and its people as JSON beside it."""

from __future__ import annotations

import json
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vipose.app.core.recording_names import free_base, recording_name
from vipose.runtime.drivers.queues import naming
from vipose.runtime.errors import OutputError, ViposeError
from vipose.runtime.job import artist_for
from vipose.runtime.media.sources import without_password
from vipose.runtime.options import RunOptions
from vipose.runtime.progress import Rate
from vipose.runtime.recording import as_png
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.native import frame_dict
from vipose.runtime.results.writing import output_error
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import Frame, FrameResult, SourceInfo

__all__ = ["Moment", "Recent", "Snapshot", "SnapshotWriter"]

_MOST_WAITING = 4  # each holds a whole picture in memory
_CLOSE_S = 2.0
_LONGEST_S = 600.0


@dataclass(frozen=True)
class Moment:
    """A frame as the session made it.

    Attributes:
        frame: at full resolution, heads not blurred.
        result: of this frame.
        skeleton: of the result.
        age_s: seconds since capture when it was processed.
        before: results of the last seconds before it, oldest first.
    """

    frame: Frame
    result: FrameResult
    skeleton: Skeleton
    age_s: float = 0.0
    before: tuple[FrameResult, ...] = ()


class Recent:
    """A sink that keeps the newest frame and the results before it: what a snapshot or the start of a recording needs.

    Methods may be called from any thread.

    Args:
        keep_s: results of so many seconds are kept; at least as long as a head that is missed stays blurred.
    """

    def __init__(self, keep_s: float = 2.0) -> None:
        self._lock = threading.Lock()
        self._keep_s = keep_s
        self._results: deque[FrameResult] = deque()
        self._last: tuple[Frame, FrameResult, Skeleton, float] | None = None

    def __call__(self, frame: Frame, result: FrameResult, skeleton: Skeleton, age_s: float) -> None:
        """Take a frame; called in the session's thread."""
        with self._lock:
            before = self._last
            if before is not None and (result.index <= before[1].index or result.time_s < before[1].time_s):
                self._results.clear()  # the source began again
            elif before is not None:
                self._results.append(before[1])
            while self._results and result.time_s - self._results[0].time_s > self._keep_s:
                self._results.popleft()
            self._last = frame, result, skeleton, age_s

    def keep(self, seconds: float) -> None:
        """Keep results of at least so many seconds from now on."""
        with self._lock:
            self._keep_s = min(max(seconds, 2.0), _LONGEST_S)

    def moment(self) -> Moment | None:
        """The newest frame and what came before it; None where there is none."""
        with self._lock:
            return None if self._last is None else Moment(*self._last, tuple(self._results))

    def clear(self) -> None:
        """Forget everything: the session has stopped."""
        with self._lock:
            self._last = None
            self._results.clear()


@dataclass(frozen=True)
class Snapshot:
    """What became of a snapshot.

    Attributes:
        path: the picture, None where it could not be written.
        people: the JSON file beside it.
        error: why it could not be written.
    """

    path: Path | None = None
    people: Path | None = None
    error: ViposeError | None = None


@dataclass(frozen=True)
class _Order:
    moment: Moment
    folder: Path
    source: SourceInfo
    options: RunOptions
    graphs: dict[str, str] = field(default_factory=dict)
    taken: datetime = field(default_factory=datetime.now)


class SnapshotWriter:
    """Draws and writes snapshots one after the other in the thread ``vipose-snapshot``, which the first one starts.

    Args:
        on_done: called from the thread with each :class:`Snapshot`.
    """

    def __init__(self, on_done: Callable[[Snapshot], None]) -> None:
        self._on_done = on_done
        self._orders: queue.Queue[_Order | None] = queue.Queue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def take(
        self, moment: Moment, folder: Path, source: SourceInfo, options: RunOptions, graphs: dict[str, str] | None = None
    ) -> None:
        """Write a snapshot; returns at once. GUI thread only.

        Args:
            moment: see :class:`Recent`.
            folder: made where it is missing.
            source: of the frame.
            options: of the run: head blur, black background, mirror, joint threshold.
            graphs: SHA-256 of the graphs in use, by name.

        Raises:
            OutputError: too many still wait to be written.
        """
        if self._stop.is_set():
            return
        if self._orders.qsize() >= _MOST_WAITING:
            raise OutputError("earlier snapshots are still being written; wait a moment and try again")
        self._orders.put(_Order(moment, folder, source, options, graphs or {}))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="vipose-snapshot", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what waits and end the thread, within 2 s. Safe to call twice."""
        self._stop.set()
        if self._thread is not None:
            self._orders.put(None)
            self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            try:
                with naming("the snapshot"):
                    done = _write(order)
            except ViposeError as error:
                done = Snapshot(error=error)
            self._on_done(done)


def _write(order: _Order) -> Snapshot:
    """Both files or none."""
    picture = _drawn(order)  # with heads hidden, or not at all: an error here writes nothing
    data = as_png(picture)
    try:
        order.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"folder '{order.folder}' cannot be made ({error.strerror}); choose another output folder"
        ) from error
    base = free_base(order.folder, recording_name(order.source, order.taken))
    path, people = base.with_name(f"{base.name}.png"), base.with_name(f"{base.name}.json")
    described = json.dumps(_described(order, path.name), indent=1, allow_nan=False, ensure_ascii=False)
    _create(people, f"{described}\n".encode("utf-8", "replace"))
    try:
        _create(path, data)
    except OutputError:
        people.unlink(missing_ok=True)
        raise
    return Snapshot(path, people)


def _drawn(order: _Order) -> npt.NDArray[np.uint8]:
    moment = order.moment
    artist = artist_for(order.options, moment.skeleton, Rate(), live=order.source.live, notice="")
    artist.remember(moment.before)
    return artist(moment.frame, moment.result, moment.age_s)


def _described(order: _Order, picture: str) -> dict[str, Any]:
    """The header and the frame of a native file, in one object."""
    moment = order.moment
    source = replace(order.source, name=without_password(order.source.name), size=moment.result.size)
    header = ResultHeader(
        source, moment.skeleton.name, order.graphs, order.options.shaping(), provider=moment.result.provider
    )
    return header.to_dict() | {"vipose": "snapshot", "picture": picture, "frame": frame_dict(moment.result)}


def _create(path: Path, data: bytes) -> None:
    """A new file that is whole or not there; raises OutputError, also where one of that name exists."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise output_error(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise output_error(path, error) from error
