"""One tuning from the networks to the choice: a short look at everything, then more time for what matters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from vipose.runtime.errors import InputError
from vipose.runtime.modes import Mode, load_mode
from vipose.runtime.tune.candidates import (
    Network,
    Setting,
    find_networks,
    intervals,
    make_settings,
    thread_counts,
)
from vipose.runtime.tune.choose import Choice, choose, finalists, ranked
from vipose.runtime.tune.measure import Image, Measured, Runner, measure, read_frames, screen

__all__ = ["Tuning", "tune"]

_SCREENING = 0.4  # share of the time that goes to the short look
_SCREENING_ROUNDS, _ROUNDS = 2, 4
_LEAST_PEOPLE = 0.5
_OURS = 0.8  # of the wall clock; on a machine of our own it is 1, or more with several cores

Tick = Callable[[str, float], None]


@dataclass(frozen=True)
class Tuning:
    """What was measured and chosen.

    Attributes:
        fps: that was asked for.
        choice: the setting that is kept.
        rows: every setting once, best first.
        provider: what ran the networks of the choice.
        people: mean on a frame.
        notes: what the user should know.
    """

    fps: float
    choice: Choice
    rows: tuple[Measured, ...]
    provider: str
    people: float
    notes: tuple[str, ...]


def tune(
    clip: str | Path, fps: float, *, seconds: float, modes: Sequence[str] = (), tick: Tick | None = None
) -> Tuning:
    """Measure settings on a clip and choose.

    Args:
        clip: a file that shows people.
        fps: frame rate to hold, above 0.
        seconds: about how long to measure, without loading networks; slow networks take longer.
        modes: see :func:`find_networks`.
        tick: told what is done now and its share, 0..1.

    Raises:
        InputError: the clip cannot be read, or nobody is found in it.
        UsageError, ModelError: a mode cannot be run.
    """
    networks, notes = find_networks(modes)
    images = read_frames(clip, fps)
    offered = intervals(fps)
    with ExitStack() as stack:
        loaded = _Loaded(stack)
        settings = make_settings(networks, offered[-1:], thread_counts())
        runners = [loaded.runner(setting, network, images, fps) for setting, network in _told(settings, tick)]
        began = time.perf_counter(), time.process_time()
        worth, rows = screen(runners, 1e3 / fps)
        rows += measure(
            worth, seconds=_SCREENING * seconds, least_rounds=_SCREENING_ROUNDS, tick=_part(tick, "first look")
        )
        people = max(row.people for row in rows)
        if people < _LEAST_PEOPLE:
            raise InputError(f"hardly anybody is found in '{clip}', so nothing can be learnt from it; give a clip with people")
        final = _last(finalists(rows, fps), offered)
        runners = [loaded.runner(setting, network, images, fps) for setting, network in final.items()]
        rows = _newest(rows, measure(
            runners, seconds=(1 - _SCREENING) * seconds, least_rounds=_ROUNDS, tick=_part(tick, "the best of them")
        ))  # fmt: skip
        choice = choose(rows, fps)
        report = loaded.mode(choice.row.setting).provider
    wall_s, busy_s = time.perf_counter() - began[0], time.process_time() - began[1]
    if report.running == "cpu" and busy_s < _OURS * wall_s:
        notes.append("other programs held the processor for much of the time; close them and measure again")
    if any(row.network.assumed[row.setting.period - 1] for row in rows):
        notes.append("accuracies marked ~ are partly assumed: no card says them")
    return Tuning(fps, choice, tuple(ranked(rows)), str(report), people, tuple(notes))


class _Loaded:
    """Modes that are loaded once, with all their temporal graphs; closed with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._modes: dict[tuple[str, str, int], Mode] = {}

    def mode(self, setting: Setting) -> Mode:
        key = (setting.mode, setting.precision, setting.threads)
        if key not in self._modes:
            mode = self._modes[key] = load_mode(setting.mode, precision=setting.precision, threads=setting.threads)
            self._stack.callback(mode.close)
        return self._modes[key]

    def runner(self, setting: Setting, network: Network, images: Sequence[Image], fps: float) -> Runner:
        return Runner(setting, network, self.mode(setting), images, fps)


def _last(rows: Iterable[Measured], offered: Sequence[int]) -> dict[Setting, Network]:
    """The settings of the longer measurement: those of the rows with every interval of the detector."""
    return {replace(row.setting, detect_every=interval): row.network for row in rows for interval in offered}


def _newest(before: Iterable[Measured], after: Iterable[Measured]) -> list[Measured]:
    return list({row.setting: row for row in (*before, *after)}.values())


def _told(settings: Mapping[Setting, Network], tick: Tick | None) -> Iterable[tuple[Setting, Network]]:
    for done, pair in enumerate(settings.items()):
        if tick is not None:
            tick("loading networks", done / len(settings))
        yield pair


def _part(tick: Tick | None, what: str) -> Callable[[float], None] | None:
    return None if tick is None else lambda share: tick(what, share)
