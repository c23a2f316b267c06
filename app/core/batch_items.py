"""The batch queue as data: its items, their states, and what they come to together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vipose.runtime.errors import ViposeError
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.report import SourceReport
from vipose.runtime.results.formats import FORMATS

__all__ = ["BatchItem", "BatchPhase", "BatchStatus", "ItemState", "Left", "Totals", "item_may_follow", "phase_may_follow"]

_RESULTS = FORMATS["native"].suffix
_VIDEOS = (".mp4", ".mov", ".mkv", ".m4v")


class ItemState(StrEnum):
    """Where one file of the queue stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    PARTIAL = "partial"  # it failed midway; what came before is kept
    FAILED = "failed"
    SKIPPED = "skipped"  # there was nothing to do: its results exist
    CANCELLED = "cancelled"  # by the user, before or while it ran; its files are valid

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self not in (ItemState.WAITING, ItemState.RUNNING)

    @property
    def well(self) -> bool:
        """Whether it ended as it should."""
        return self in (ItemState.DONE, ItemState.SKIPPED)


_ENDS = frozenset(state for state in ItemState if state.ended)


def item_may_follow(now: ItemState, then: ItemState) -> bool:
    """Whether ``then`` may come right after ``now``."""
    if now is ItemState.WAITING:
        return then in (ItemState.RUNNING, ItemState.CANCELLED, ItemState.FAILED)
    return then in _ENDS if now is ItemState.RUNNING else then is ItemState.WAITING


class BatchPhase(StrEnum):
    """Where the queue as a whole stands."""

    IDLE = "idle"
    LOADING = "loading"  # networks are being loaded
    RUNNING = "running"
    STOPPING = "stopping"  # the file that runs is being completed


_PHASES: dict[BatchPhase, frozenset[BatchPhase]] = {
    BatchPhase.IDLE: frozenset({BatchPhase.LOADING}),
    BatchPhase.LOADING: frozenset({BatchPhase.RUNNING, BatchPhase.STOPPING, BatchPhase.IDLE}),
    BatchPhase.RUNNING: frozenset({BatchPhase.STOPPING, BatchPhase.IDLE}),
    BatchPhase.STOPPING: frozenset({BatchPhase.IDLE}),
}


def phase_may_follow(now: BatchPhase, then: BatchPhase) -> bool:
    """Whether ``then`` may come right after ``now``."""
    return then in _PHASES[now]


@dataclass(frozen=True)
class BatchItem:
    """One file, or folder of pictures, of the queue.

    Attributes:
        id: never used again.
        key: the same for two spellings of one source.
        text: the path as it was given.
        spec: the source; None where the text names none.
        state: see :class:`ItemState`.
        frames: about how many frames will be processed, None where nobody knows.
        done: frames processed.
        fps: frames processed a second, lately; 0 where not known.
        note: what is going on, in a few words.
        message: why it is not done and what to do, or what is worth knowing of one that is; one line.
        report: of its last run.
        outputs: files and folders of its results that are complete.
        run: number of the run that it took part in last, 0 for none.
    """

    id: int
    key: str
    text: str
    spec: SourceSpec | None = None
    state: ItemState = ItemState.WAITING
    frames: int | None = None
    done: int = 0
    fps: float = 0.0
    note: str = ""
    message: str = ""
    report: SourceReport | None = None
    outputs: tuple[Path, ...] = ()
    run: int = 0

    @property
    def name(self) -> str:
        """Its file name."""
        return Path(self.text).name or self.text

    @property
    def share(self) -> float | None:
        """How much is done, 0 to 1; None while nobody knows."""
        if self.state is ItemState.DONE:
            return 1.0
        return min(1.0, self.done / self.frames) if self.frames else None

    @property
    def eta_s(self) -> float | None:
        """Seconds until it is done; None while nobody knows, or where it does not run."""
        if self.state is not ItemState.RUNNING or self.frames is None or self.fps <= 0:
            return None
        return max(0, self.frames - self.done) / self.fps

    @property
    def results(self) -> Path | None:
        """Its results in vipose's own format, where they were written."""
        return next((path for path in self.outputs if path.name.endswith(_RESULTS)), None)

    @property
    def video(self) -> Path | None:
        """Its annotated video, picture or folder of pictures, where one was written."""
        wanted = (*_VIDEOS, ".jpg") if self.spec is None or self.spec.kind != "images" else (*_VIDEOS, ".jpg", "")
        return next((path for path in self.outputs if path.suffix.lower() in wanted), None)


@dataclass(frozen=True)
class Totals:
    """Counts over items: by state, and frames and people on frames of those that have a report."""

    states: dict[ItemState, int]
    frames: int = 0
    dropped: int = 0
    key: int = 0
    propagated: int = 0
    early: int = 0

    @classmethod
    def of(cls, items: Iterable[BatchItem]) -> Totals:
        """Of these items."""
        states: dict[ItemState, int] = {}
        reports: list[SourceReport] = []
        for item in items:
            states[item.state] = states.get(item.state, 0) + 1
            reports += [] if item.report is None else [item.report]
        return cls(
            states,
            frames=sum(r.written for r in reports),
            dropped=sum(r.dropped for r in reports),
            key=sum(r.key for r in reports),
            propagated=sum(r.propagated for r in reports),
            early=sum(r.forced for r in reports),
        )


@dataclass(frozen=True)
class Left:
    """How long the queue still takes: seconds, and whether that is ``at_least`` since the length of some file is unknown."""

    seconds: float
    at_least: bool = False


@dataclass(frozen=True)
class BatchStatus:
    """The queue at one moment.

    Attributes:
        phase: of the queue.
        items: in the order in which they will run.
        looking: whether files are being looked for or looked at.
        notice: what became of the last files that were added, "" where nothing is worth a word.
        error: why the last start came to nothing.
        provider: what runs the networks, "" before they are loaded.
        run: number of this run or the last one, 0 before the first.
        seconds: that run has taken so far, without loading the networks.
        speed: frames a second in that run, 0 where not known.
    """

    phase: BatchPhase = BatchPhase.IDLE
    items: tuple[BatchItem, ...] = ()
    looking: bool = False
    notice: str = ""
    error: ViposeError | None = None
    provider: str = ""
    run: int = 0
    seconds: float = 0.0
    speed: float = 0.0

    @property
    def active(self) -> bool:
        """Whether a run is going on."""
        return self.phase is not BatchPhase.IDLE

    def current(self) -> BatchItem | None:
        """The item that runs."""
        return next((item for item in self.items if item.state is ItemState.RUNNING), None)

    def of_run(self) -> tuple[BatchItem, ...]:
        """Items that took part in the last run."""
        return tuple(item for item in self.items if item.run == self.run > 0)

    def left(self) -> Left | None:
        """How long everything that waits or runs still takes at the present speed; None while nobody knows."""
        running = self.current()
        speed = self.speed or (running.fps if running else 0.0)
        open_ = [item for item in self.items if not item.state.ended]
        known = [max(0, item.frames - item.done) for item in open_ if item.frames is not None]
        if speed <= 0 or not known:
            return None
        return Left(sum(known) / speed, at_least=len(known) < len(open_))

    def share(self) -> float | None:
        """How much of this run is done, 0 to 1, by frames where they are known, else by files; None without items."""
        items = [item for item in self.items if not item.state.ended or (item.run == self.run and self.run > 0)]
        if not items:
            return None
        if all(item.frames for item in items):
            whole = sum(item.frames or 0 for item in items)
            return min(1.0, sum((item.frames or 0) if item.state.ended else item.done for item in items) / whole)
        return sum(1.0 if item.state.ended else item.share or 0.0 for item in items) / len(items)
