"""What the two drivers share: their parts as protocols, running totals and how a run ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vipose.runtime.drivers.queues import naming
from vipose.runtime.errors import ViposeError
from vipose.runtime.types import Frame, FrameResult, SourceInfo

__all__ = ["Draw", "Limits", "Picture", "Process", "Ran", "Recorder", "Smoother", "Source", "Tally", "Tick", "close_recorder"]

Picture = npt.NDArray[np.uint8]
Process = Callable[[Frame], FrameResult]
Draw = Callable[[Frame, FrameResult, float], Picture]
"""Frame, result and age in seconds (end to end, from capture or decoding to now) -> annotated picture."""
Tick = Callable[["Tally"], None]


class Source(Protocol):
    """The part of a source that drivers use."""

    @property
    def info(self) -> SourceInfo: ...

    @property
    def clock_origin(self) -> float | None: ...

    def __iter__(self) -> Iterator[Frame]: ...


class Smoother(Protocol):
    """Takes results in order and gives each back once, in order, perhaps later."""

    def push(self, result: FrameResult) -> list[FrameResult]: ...

    def finish(self) -> list[FrameResult]: ...


class Recorder(Protocol):
    """Writes pictures and results."""

    def write(self, picture: Picture | None, result: FrameResult) -> None: ...

    def close(self, *, whole: bool) -> None: ...


@dataclass(frozen=True)
class Limits:
    """Bounds of a queue: items and bytes."""

    frames: int = 32
    size_bytes: float = 256e6


@dataclass
class Tally:
    """Running totals of one source, counted by the driver itself and compared with what the parts claim at the end.

    ``delivered`` frames came from the source, ``processed`` through the pipeline, ``written`` to the recorder; ``dropped``
    were never processed (live only). ``key``, ``propagated``, ``forced`` and ``swapped`` count people on frames.
    """

    delivered: int = 0
    processed: int = 0
    written: int = 0
    dropped: int = 0
    key: int = 0
    propagated: int = 0
    forced: int = 0
    swapped: int = 0
    ids: set[int] = field(default_factory=set)
    time_s: float = 0.0
    age_s: float = 0.0
    last: FrameResult | None = None

    def add(self, result: FrameResult) -> None:
        """Count one result that leaves the pipeline."""
        self.processed += 1
        self.time_s, self.last = result.time_s, result
        for person in result.people:
            self.key += person.kind == "key"
            self.propagated += person.kind == "propagated"
            self.forced += person.why not in ("", "new", "due", "every")
            self.swapped += person.swapped
            self.ids.add(person.id)


@dataclass(frozen=True)
class Ran:
    """How a run of one source ended; outputs are closed and valid in every case.

    Attributes:
        tally: totals.
        seconds: wall clock.
        error: what ended it early, None where nothing did.
        interrupted: it was stopped from outside.
    """

    tally: Tally
    seconds: float
    error: ViposeError | None = None
    interrupted: bool = False


def close_recorder(recorder: Recorder | None, failed: BaseException | None, *, whole: bool) -> ViposeError | None:
    """Close the outputs and give back the error to report: that which ended writing before, else that of closing.

    Args:
        recorder: of the outputs.
        failed: what ended writing, None where nothing did.
        whole: the source was read to its end.
    """
    before = failed if isinstance(failed, ViposeError) else None
    try:
        with naming("closing the outputs"):
            if recorder is not None:
                recorder.close(whole=whole and before is None)
    except ViposeError as error:
        return before or error
    return before
