"""What a comparison is asked for, and what it says of itself: frozen snapshots that cross threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from vipose.app.core.contender import Choice, ModeFacts
from vipose.app.core.costs import CompareFigures
from vipose.app.core.phases import Phase
from vipose.app.core.shown import Shown
from vipose.runtime.errors import ViposeError
from vipose.runtime.options import RunOptions
from vipose.runtime.types import SourceInfo

__all__ = ["SIDES", "CompareStatus", "Owner", "Side", "SideStatus", "Wishes"]

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True)
class Wishes:
    """What the user wants of a run; replaced as a whole.

    Attributes:
        left, right: modes.
        options: of the run; what a choice says of a side is ignored there.
        repeat: begin a file again at its end.
        paused: hold the picture.
        stop: end the run.
    """

    left: Choice
    right: Choice
    options: RunOptions
    repeat: bool = False
    paused: bool = False
    stop: bool = False

    def choice(self, side: Side) -> Choice:
        """Of one side."""
        return self.left if side == "left" else self.right


@dataclass(frozen=True)
class SideStatus:
    """Where one side stands.

    Attributes:
        choice: the mode that runs, or that is being loaded where none runs yet.
        facts: of the mode that runs; None before one is loaded.
        loading: whether another mode is being loaded.
        error: why the mode that was chosen last could not be loaded; the one before it goes on.
    """

    choice: Choice | None = None
    facts: ModeFacts | None = None
    loading: bool = False
    error: ViposeError | None = None


@dataclass(frozen=True)
class CompareStatus:
    """Where the comparison stands.

    Attributes:
        phase: see :class:`Phase`.
        source: of the run, once it is open; stays after its end.
        message: one line for people, "" for none.
        error: what ended the run.
        left, right: the two modes.
        processed, dropped: frames that both modes saw, and frames that came while they were busy.
        fps: frames that both saw a second.
    """

    phase: Phase = Phase.IDLE
    source: SourceInfo | None = None
    message: str = ""
    error: ViposeError | None = None
    left: SideStatus = field(default_factory=SideStatus)
    right: SideStatus = field(default_factory=SideStatus)
    processed: int = 0
    dropped: int = 0
    fps: float = 0.0


class Owner(Protocol):
    """What a run asks of, and tells, who started it."""

    def wishes(self) -> Wishes: ...

    def wait(self, timeout_s: float | None = None) -> None: ...

    def wake(self) -> None: ...

    def tell(self, **changes: object) -> None: ...

    def publish(self, pair: tuple[Shown, Shown], figures: CompareFigures | None = None) -> None: ...
