"""Which pose networks and detectors can be run here: what an editor offers, and whether a text names one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from vipose.runtime.catalogue import list_graphs, list_modes
from vipose.runtime.errors import UsageError
from vipose.runtime.library import files_of
from vipose.runtime.modes import MODES, missing_graphs
from vipose.runtime.shipped import DETECTOR

__all__ = ["CHOICES", "Choice", "check_network", "list_detectors", "list_pose_networks"]


@dataclass(frozen=True)
class Choice:
    """One network: ``name`` as options take it, ``about`` in one line."""

    name: str
    about: str


def list_pose_networks() -> tuple[Choice, ...]:
    """The modes of which all graphs are here. Reads files: not for the GUI thread. Raises ModelError."""
    return tuple(Choice(row["name"], row["summary"]) for row in list_modes() if row["where"])


def list_detectors() -> tuple[Choice, ...]:
    """The detectors that are here. Reads files: not for the GUI thread. Raises ModelError."""
    own = [row["name"] for row in list_graphs() if row["task"] == "detect" and row["name"] != DETECTOR]
    return (Choice("default", "the one that comes with vipose"), *(Choice(name, "a detector of yours") for name in own))


CHOICES: Mapping[str, Callable[[], tuple[Choice, ...]]] = MappingProxyType(
    {"mode": list_pose_networks, "detector": list_detectors}
)
"""Name of an option -> what lists its networks."""


def check_network(name: str, text: str) -> None:
    """Raise UsageError where a text names no network that is here and no file or folder.

    Args:
        name: of the option, ``mode`` or ``detector``.
        text: as the option takes it. What a file holds is seen when it is loaded.
    """
    if name == "detector" and text == "default":
        return
    if name == "mode" and text in MODES and not missing_graphs(MODES[text]):
        return
    try:
        if files_of(text) or (text and Path(text).exists()):
            return
    except OSError:  # longer than any name may be: it is not here
        text = f"{text[:40]}..."
    what = "person detector" if name == "detector" else "pose network"
    raise UsageError(f"there is no {what} '{text}' here; choose one of the list, or browse for an ONNX graph")
