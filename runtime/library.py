"""Graphs by name: those that ship, then those that the user added.

The user's graphs lie in one folder (:func:`own_folder`), as plain files that are named as the shipped ones are. The names of
graphs that ship are protected: a name means the same network in every installation, so a graph of the user's under such a name
is never run.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vipose.runtime.errors import ModelError, OutputError, UsageError
from vipose.runtime.onnxfile import read_onnx
from vipose.runtime.shipped import (
    AUTO,
    PRECISION_CHOICES,
    PRECISIONS,
    GraphFile,
    Precision,
    files_in,
    graph_file,
    graph_name,
    graphs_in,
    read_card,
    shipped_files,
    shipped_graphs,
)

__all__ = [
    "ENVIRONMENT",
    "add_graphs",
    "all_graphs",
    "check_name",
    "check_precision",
    "files_of",
    "find_graph",
    "own_folder",
    "own_graphs",
    "pick",
    "remove_graph",
    "shadowed",
    "staging",
    "stored_precision",
]

ENVIRONMENT = "VIPOSE_MODELS"
"""Environment variable that names the user's folder."""
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]|^[.\s-]|[.\s]$|\.(onnx|fp16|fp32|int8)$')
_BY_TYPE: Mapping[int, Precision] = {1: "fp32", 2: "int8", 3: "int8", 10: "fp16"}  # numbers of ONNX's TensorProto.DataType


def own_folder() -> Path:
    """The folder of the user's graphs, which need not exist: VIPOSE_MODELS, else the platform's folder for user data."""
    given = os.environ.get(ENVIRONMENT)
    if given:
        return Path(given).expanduser()
    from platformdirs import user_data_path

    return user_data_path("vipose", appauthor=False) / "models"


def own_graphs() -> list[GraphFile]:
    """The user's graph files, by name, fp16 first; raises ModelError for a card that cannot be read."""
    return graphs_in(own_folder(), "own")


def all_graphs() -> list[GraphFile]:
    """Files of all graphs that have a name: those that ship, then the user's that are not :func:`shadowed`.

    Raises:
        ModelError: a card cannot be read.
    """
    return [*shipped_graphs(), *(graph for graph in own_graphs() if not shadowed(graph.name))]


def shadowed(name: str) -> bool:
    """Whether a graph of this name ships, so that one of the user's is not run."""
    return bool(shipped_files(name))


def files_of(name: str) -> dict[Precision, Path]:
    """The files of a graph by precision, fp16 first: of the one that ships, else of the user's; {} where there is none."""
    if not name or _FORBIDDEN.search(name):  # a path, perhaps: no name of a graph
        return {}
    return shipped_files(name) or files_in(own_folder(), name)


def find_graph(name: str, precision: str = AUTO) -> Path:
    """The file of a graph.

    Raises:
        UsageError: the precision is unknown, or the graph is not there in it: the message names those that there are.
        ModelError: there is no such graph, or a file is missing of which its card tells.
    """
    check_precision(precision)
    files = files_of(name)
    if not files:
        there = ", ".join(dict.fromkeys(graph.name for graph in all_graphs())) or "none"
        raise ModelError(f"graph '{name}' is missing from this installation (there: {there}); install vipose again")
    if precision == AUTO or precision in files:
        return pick(files, precision)
    first = next(iter(files.values()))
    promised = read_card(first).get("files")
    if isinstance(promised, dict) and precision in promised and shadowed(name):
        missing = graph_file(name, precision)  # type: ignore[arg-type]  # checked above
        raise ModelError(f"graph {missing} is missing from this installation; install vipose again")
    raise UsageError(
        f"graph '{name}' is not there in precision '{precision}' (there: {', '.join(files)}); "
        f"choose {' or '.join(files)}, or leave --precision out"
    )


def check_precision(precision: str) -> None:
    """Raise UsageError for a precision that is not known."""
    if precision not in PRECISION_CHOICES:
        raise UsageError(f"precision '{precision}' is not known; choose one of {', '.join(PRECISION_CHOICES)}")


def pick(files: Mapping[Precision, Path], precision: str) -> Path:
    """The file in the precision, where there is none the first of those that there are; ``files`` must not be empty."""
    wanted = [p for p in (precision, *PRECISIONS) if p in files]
    return files[wanted[0]]  # type: ignore[index]  # it is one of its keys


def check_name(name: str) -> None:
    """Raise UsageError for what cannot be the name of a graph."""
    if not name or _FORBIDDEN.search(name):
        raise UsageError(f"'{name}' cannot be the name of a graph; use letters, digits, - and _, without .onnx")


def stored_precision(path: Path) -> Precision:
    """How most weights of a graph file are stored; raises ModelError when it cannot be read."""
    stored: dict[Precision, int] = dict.fromkeys(PRECISIONS, 0)
    for tensor in read_onnx(path).initialisers.values():
        if tensor.data_type in _BY_TYPE:
            stored[_BY_TYPE[tensor.data_type]] += tensor.size
    return max(stored, key=lambda precision: stored[precision])


@contextmanager
def staging() -> Iterator[Path]:
    """A folder inside the user's, in which graphs are made before :func:`add_graphs` puts them into place.

    Raises:
        OutputError: the user's folder cannot be made or written.
    """
    folder = own_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix=".import-", dir=folder)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}); name another folder by {ENVIRONMENT}, or give -o"
        ) from error
    with made as inside:
        yield Path(inside)


def add_graphs(files: Mapping[Precision, Path], name: str, card: Path | None = None) -> list[Path]:
    """Move files of ONE graph (copies in :func:`staging`) into the user's folder; all that was there under its name goes.

    Returns:
        Where they lie now.

    Raises:
        OutputError: a file cannot be moved.
    """
    folder = own_folder()
    placed: list[Path] = []
    try:
        for old in _belongings(name):
            old.unlink()
        for precision, path in files.items():
            placed.append(folder / graph_file(name, precision))
            os.replace(path, placed[-1])
        if card is not None:
            shutil.move(card, folder / f"{name}.json")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror}); check the folder's permissions") from error
    return placed


def remove_graph(name: str) -> list[Path]:
    """Delete a graph of the user's, all its precisions and its card; returns what was deleted.

    Raises:
        UsageError: the user has none of that name; the message names those that there are.
        OutputError: a file cannot be deleted.
    """
    check_name(name)
    gone = _belongings(name)
    if not gone:
        if shadowed(name):
            raise UsageError(f"graph '{name}' ships with vipose and is not yours to remove; 'vipose models list' shows yours")
        yours = ", ".join(sorted({graph_name(path) for path in own_folder().glob("*.onnx")})) or "none"
        raise UsageError(f"you have no graph '{name}' in {own_folder()} (there: {yours}); name one of them")
    try:
        for path in gone:
            path.unlink()
    except OSError as error:
        raise OutputError(f"{error.filename} cannot be deleted ({error.strerror}); check the folder's permissions") from error
    return gone


def _belongings(name: str) -> list[Path]:
    """The user's files of a graph, its card last."""
    card = own_folder() / f"{name}.json"
    found = list(files_in(own_folder(), name).values())
    return [*found, *([card] if found and card.is_file() else [])]
