"""Networks for a live session: loaded beside the ones in use, kept between two runs, closed when nobody needs them."""

from __future__ import annotations

from dataclasses import replace

from vipose.runtime.batch import load_networks
from vipose.runtime.errors import ViposeError
from vipose.runtime.job import detector_config
from vipose.runtime.modes import Mode, graph_paths
from vipose.runtime.options import RunOptions, table

__all__ = ["fitting", "fitting_by_name", "load", "same_networks", "set_threshold"]

_NAMES = tuple(name for name, option in table().items() if option.applies == "networks")


def same_networks(a: RunOptions, b: RunOptions) -> bool:
    """Whether two sets of options run the same networks in the same way."""
    return all(getattr(a, name) == getattr(b, name) for name in _NAMES)


def load(options: RunOptions) -> Mode:
    """Load the networks with all their temporal graphs, whatever the period: it may change while they run.

    Raises:
        UsageError, ModelError: see :func:`vipose.runtime.modes.load_mode`.
    """
    return load_networks(replace(options, period=None))


def set_threshold(mode: Mode, options: RunOptions) -> None:
    """Let the detector of loaded networks follow the score threshold."""
    if mode.detector is not None:
        mode.detector.config = replace(mode.detector.config, score=detector_config(options).score)


def fitting(options: RunOptions, mode: Mode) -> RunOptions:
    """The options with a period that the mode can keep: single-frame modes take 1 whatever was chosen for others."""
    return _within(options, mode.period)


def fitting_by_name(options: RunOptions) -> RunOptions:
    """As :func:`fitting`, before anything is loaded; as they are where there is no such mode, which loading will say.

    It reads the metadata of graphs: not for the screen's thread.
    """
    try:
        return _within(options, len(graph_paths(options.mode, options.precision)[1]) + 1)
    except ViposeError:
        return options


def _within(options: RunOptions, longest: int) -> RunOptions:
    return replace(options, period=None) if options.period is not None and options.period > longest else options
