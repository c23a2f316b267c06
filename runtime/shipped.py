"""The graphs that travel inside the package, and the cards beside them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from vipose.runtime.errors import ModelError, UsageError

__all__ = [
    "DETECTOR",
    "PRECISIONS",
    "Precision",
    "Shipped",
    "file_sha256",
    "graph_name",
    "read_card",
    "shipped_folder",
    "shipped_graph",
    "shipped_graphs",
]

Precision = Literal["fp16", "fp32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
DETECTOR = "person-detector"
_SUFFIX: dict[Precision, str] = {"fp16": ".onnx", "fp32": ".fp32.onnx"}


@dataclass(frozen=True)
class Shipped:
    """One graph file that ships.

    Attributes:
        name: without suffix, for example ``s-vipnas``.
        precision: how weights are stored.
        path: of the file.
        card: what NAME.json says; empty where there is none.
    """

    name: str
    precision: Precision
    path: Path
    card: dict[str, Any]

    @property
    def card_sha256(self) -> str | None:
        """SHA-256 of the file as the card says it; None where it does not."""
        entry = self.card.get("files", {}).get(self.precision, {})
        return entry.get("sha256") if isinstance(entry, dict) else None


def shipped_folder() -> Path:
    """The folder with the graphs; they are plain files in every kind of installation."""
    return Path(str(resources.files("vipose.exported").joinpath("__init__.py"))).parent


def graph_name(path: Path) -> str:
    """Name of a graph file without ``.onnx`` or ``.fp32.onnx``."""
    return path.name.removesuffix(".onnx").removesuffix(".fp32")


def shipped_graphs(folder: Path | None = None) -> list[Shipped]:
    """All graph files in ``folder`` (default: those that ship), by name, fp16 first.

    Raises:
        ModelError: a card cannot be read.
    """
    found = []
    for path in sorted((folder or shipped_folder()).glob("*.onnx")):
        precision: Precision = "fp32" if path.name.endswith(_SUFFIX["fp32"]) else "fp16"
        found.append(Shipped(graph_name(path), precision, path, read_card(path)))
    return sorted(found, key=lambda graph: (graph.name, graph.precision))


def shipped_graph(name: str, precision: str = "fp16") -> Path:
    """Path of a shipped graph.

    Raises:
        UsageError: unknown precision.
        ModelError: there is no such graph; the message names those that there are.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision '{precision}' is not known; choose one of {', '.join(PRECISIONS)}")
    folder = shipped_folder()
    path = folder / f"{name}{_SUFFIX[precision]}"
    if not path.is_file():
        there = ", ".join(p.name for p in sorted(folder.glob("*.onnx"))) or "none"
        raise ModelError(f"graph {path.name} is missing from this installation (there: {there}); install vipose again")
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
        raise ModelError(f"card {card} cannot be read ({error}); install vipose again") from error
    if not isinstance(data, dict):
        raise ModelError(f"card {card} is no JSON object; install vipose again")
    return data


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; raises ModelError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); check the file's permissions") from error
