"""Graph files and the cards beside them: how they are named, and those that travel inside the package."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from vipose.runtime.errors import ModelError, UsageError

__all__ = [
    "AUTO",
    "DETECTOR",
    "EXPORTED_PRECISIONS",
    "PRECISIONS",
    "PRECISION_CHOICES",
    "GraphFile",
    "Precision",
    "Where",
    "file_sha256",
    "files_in",
    "graph_file",
    "graph_name",
    "graph_precision",
    "graphs_in",
    "read_card",
    "shipped_files",
    "shipped_folder",
    "shipped_graph",
    "shipped_graphs",
]

Precision = Literal["fp16", "fp32", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
AUTO = "auto"
PRECISION_CHOICES = (AUTO, *PRECISIONS)
"""How a precision may be asked for; ``auto`` is the first of :data:`PRECISIONS` in which a graph is there."""
EXPORTED_PRECISIONS: tuple[Precision, ...] = ("fp16", "fp32")
"""In which a network is exported where nobody asks for others; all graphs that ship are there in the first."""
Where = Literal["shipped", "own"]
DETECTOR = "person-detector"
_SUFFIX: dict[Precision, str] = {"fp16": ".onnx", "fp32": ".fp32.onnx", "int8": ".int8.onnx"}


@dataclass(frozen=True)
class GraphFile:
    """One graph file that is known by name.

    Attributes:
        name: without suffix, for example ``s-vipnas``.
        precision: how weights are stored; int8 computes with them, too.
        path: of the file.
        card: what NAME.json says; empty where there is none.
        where: whether it ships or the user added it.
    """

    name: str
    precision: Precision
    path: Path
    card: dict[str, Any]
    where: Where = "shipped"

    @property
    def card_sha256(self) -> str | None:
        """SHA-256 of the file as the card says it; None where it does not."""
        entry = self.card.get("files", {}).get(self.precision, {})
        return entry.get("sha256") if isinstance(entry, dict) else None


def shipped_folder() -> Path:
    """The folder with the graphs; they are plain files in every kind of installation."""
    return Path(str(resources.files("vipose.exported").joinpath("__init__.py"))).parent


def graph_file(name: str, precision: Precision) -> str:
    """File name of a graph in a precision: ``NAME.onnx`` (fp16), ``NAME.fp32.onnx`` or ``NAME.int8.onnx``."""
    return f"{name}{_SUFFIX[precision]}"


def graph_precision(path: Path) -> Precision:
    """The precision that a file name tells."""
    return next((p for p in ("fp32", "int8") if path.name.endswith(_SUFFIX[p])), "fp16")


def graph_name(path: Path) -> str:
    """Name of a graph file without ``.onnx``, ``.fp32.onnx`` or ``.int8.onnx``."""
    return path.name.removesuffix(_SUFFIX[graph_precision(path)])


def graphs_in(folder: Path, where: Where) -> list[GraphFile]:
    """All graph files in a folder, by name, fp16 first; none where there is no such folder.

    Raises:
        ModelError: a card cannot be read.
    """
    paths = sorted(folder.glob("*.onnx"))
    found = [GraphFile(graph_name(path), graph_precision(path), path, read_card(path), where) for path in paths]
    return sorted(found, key=lambda graph: (graph.name, graph.precision))


def shipped_graphs(folder: Path | None = None) -> list[GraphFile]:
    """All graph files in ``folder`` (default: those that ship), by name, fp16 first; raises ModelError for a bad card."""
    return graphs_in(folder or shipped_folder(), "shipped")


def files_in(folder: Path, name: str) -> dict[Precision, Path]:
    """The files of a graph in a folder by precision, fp16 first; {} where there is none."""
    files = {precision: folder / graph_file(name, precision) for precision in PRECISIONS}
    return {precision: path for precision, path in files.items() if path.is_file()}


def shipped_files(name: str) -> dict[Precision, Path]:
    """The files of a graph that ships, by precision; {} where none does."""
    return files_in(shipped_folder(), name)


def shipped_graph(name: str, precision: str = "fp16") -> Path:
    """Path of a shipped graph.

    Raises:
        UsageError: unknown precision.
        ModelError: there is no such graph; the message names those that there are.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision '{precision}' is not known; choose one of {', '.join(PRECISIONS)}")
    folder = shipped_folder()
    path = folder / graph_file(name, precision)
    if not path.is_file():
        there = ", ".join(p.name for p in sorted(folder.glob("*.onnx"))) or "none"
        others = shipped_files(name)
        remedy = f"choose {' or '.join(others)}, or 'vipose export' it" if others else "install vipose again"
        raise ModelError(f"graph {path.name} is missing from this installation (there: {there}); {remedy}")
    return path


def read_card(path: Path) -> dict[str, Any]:
    """The card beside a graph file, {} where there is none.

    Raises:
        ModelError: it is no JSON object.
    """
    card = path.with_name(f"{graph_name(path)}.json")
    if not card.is_file():
        return {}
    try:
        data = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"card {card} cannot be read ({error}); install vipose again, or delete the card if it is yours") from error
    if not isinstance(data, dict):
        raise ModelError(f"card {card} is no JSON object; install vipose again, or delete the card if it is yours")
    return data


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; raises ModelError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); check the file's permissions") from error
