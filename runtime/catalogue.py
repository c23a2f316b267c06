"""What graphs and modes there are, what is known of each, and whether the files are what they claim to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vipose.runtime.errors import ModelError, UsageError, ViposeError
from vipose.runtime.graphs import load_graph
from vipose.runtime.library import all_graphs, files_of, pick
from vipose.runtime.metadata import GraphMetadata, weights_sha256
from vipose.runtime.modes import MODES, ModeSpec, how_to_add, missing_graphs
from vipose.runtime.onnxfile import read_onnx
from vipose.runtime.shipped import GraphFile, file_sha256, graph_name, graph_precision, read_card

__all__ = ["Verification", "describe", "list_graphs", "list_modes", "verify"]


@dataclass(frozen=True)
class Verification:
    """Findings for one file, each ``ok``, ``bad`` or ``no card`` / ``unknown``; ``fault`` says what is wrong."""

    name: str
    path: str
    file: str
    weights: str
    run: str
    fault: str = ""

    @property
    def good(self) -> bool:
        return not self.fault


def list_graphs() -> list[dict[str, Any]]:
    """One row for each graph that ships or is the user's, all precisions together; raises ModelError for a damaged shipped one.

    Keys: name, where (``shipped`` or ``own``), task, size, parameters, files (precision -> bytes), figures (from the card),
    licence, fault ("", or why a graph of the user's cannot be read).
    """
    rows: dict[str, dict[str, Any]] = {}
    for graph in all_graphs():
        row = rows.get(graph.name)
        if row is None:
            rows[graph.name] = row = {"name": graph.name, "where": graph.where, **_content(graph)}
        row["files"][graph.precision] = graph.path.stat().st_size
    return list(rows.values())


def _content(graph: GraphFile) -> dict[str, Any]:
    """What a row says of a graph beside its name."""
    row = {"task": "", "size": "", "parameters": 0, "files": {}, "figures": {}, "licence": "", "fault": ""}
    try:
        file = read_onnx(graph.path)
        metadata = file.metadata
    except ModelError as error:
        if graph.where == "shipped":
            raise
        return {**row, "fault": str(error)}  # one damaged file of the user's must not hide all others
    return {
        **row,
        "task": metadata.task,
        "size": _size(metadata),
        "parameters": file.parameters,
        "figures": dict(graph.card.get("metrics") or {}),
        "licence": metadata.licence,
    }


def list_modes() -> list[dict[str, Any]]:
    """One row for each mode: name, graphs, where, missing (names), add (the command that adds the weights), summary.

    ``where`` is ``shipped``, ``own``, or "" where graphs are missing. A spatial graph of the user's that belongs to no
    registered mode is a mode, too.
    """
    rows = [_mode(name, spec) for name, spec in MODES.items()]
    for graph in list_graphs():
        if graph["where"] == "own" and graph["task"] == "pose-spatial" and graph["name"] not in MODES:
            rows.append(_mode(graph["name"], ModeSpec(graph["name"], (), "a graph of yours, on every frame", ships=False)))
    return rows


def _mode(name: str, spec: ModeSpec) -> dict[str, Any]:
    missing = missing_graphs(spec)
    add = "" if not missing else "install vipose again" if spec.ships else how_to_add(missing[0])
    where = "" if missing else "shipped" if spec.ships else "own"
    graphs = [spec.spatial, *spec.temporal]
    return {"name": name, "graphs": graphs, "where": where, "missing": missing, "add": add, "summary": spec.summary}


def describe(name: str) -> dict[str, Any]:
    """Everything known of a mode, a graph that ships or is the user's, or the graph at a path, for people and for JSON.

    Raises:
        UsageError: there is nothing of that name.
        ModelError: the graph is damaged or has no metadata.
    """
    files = files_of(name)
    path = pick(files, "auto") if files else next((g.path for g in all_graphs() if g.path.name == name), None)
    if path is None and name in MODES:
        return _mode(name, MODES[name])
    if path is None:
        path = _existing(name)
    file = read_onnx(path)
    metadata = asdict(file.metadata)
    metadata.pop("card")
    card = {**file.metadata.card, **{k: v for k, v in read_card(path).items() if k not in metadata}}
    return {
        "name": graph_name(path),
        "path": str(path),
        "precisions": list(files) or [graph_precision(path)],
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "parameters": file.parameters,
        "metadata": metadata,
        "card": card,
        "modes": _modes_of(path),
    }


def _modes_of(path: Path) -> list[str]:
    """Modes that run this very file in one precision or another; a copy elsewhere is run by its path only."""
    name = graph_name(path)
    if path.resolve() not in {file.resolve() for file in files_of(name).values()}:
        return []
    return [mode for mode, spec in MODES.items() if name in (spec.spatial, *spec.temporal)]


def verify(names: Sequence[str] = ()) -> list[Verification]:
    """Check files against their cards, weights against their metadata, and that each graph runs.

    Args:
        names: modes, graphs that ship or are the user's, or paths; () = all that ship and all of the user's.

    Raises:
        UsageError: there is nothing of one of the names.
        ModelError: graphs of one of the modes are missing.
    """
    known = all_graphs()
    if not names:
        return [_verify(graph) for graph in known]
    chosen: dict[Path, GraphFile] = {}
    for name in names:
        chosen.update({graph.path: graph for graph in _named(name, known)})
    return [_verify(graph) for graph in chosen.values()]


def _named(name: str, known: Sequence[GraphFile]) -> list[GraphFile]:
    """The graph files that a mode, a graph or a path stands for."""
    wanted = {name}
    if name in MODES:
        spec = MODES[name]
        wanted = {spec.spatial, *spec.temporal}
        missing = missing_graphs(spec)
        if missing:
            remedy = "install vipose again" if spec.ships else f"add it with '{how_to_add(missing[0])}'"
            raise ModelError(f"mode '{name}' lacks {', '.join(missing)}; {remedy}")
    found = [graph for graph in known if graph.name in wanted or graph.path.name in wanted]
    if found:
        return found
    path = _existing(name)
    return [GraphFile(graph_name(path), graph_precision(path), path, read_card(path), "own")]


def _existing(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        ready = sorted(mode for mode, spec in MODES.items() if not missing_graphs(spec))
        there = ", ".join(dict.fromkeys([*ready, *(graph.name for graph in all_graphs())]))
        raise UsageError(f"there is no mode, graph or file '{name}' (there: {there}); choose one or give a path")
    return path


def _verify(graph: GraphFile) -> Verification:
    label = graph.path.name
    file = weights = run = "unknown"
    faults = []
    if graph.card_sha256 is None:
        file = "no card"
    else:
        file = "ok" if file_sha256(graph.path) == graph.card_sha256 else "bad"
        if file == "bad":
            faults.append("file is not the one of its card")
    try:
        content = read_onnx(graph.path)
        claimed = content.metadata.sha256
        if claimed:
            real = weights_sha256({name: tensor.raw for name, tensor in content.initialisers.items()})
            weights = "ok" if real == claimed else "bad"
            if weights == "bad":
                faults.append("weights are not those of its metadata")
    except ModelError as error:
        weights = "bad"
        faults.append(str(error))
    try:
        load_graph(graph.path, device="cpu")
        run = "ok"
    except ViposeError as error:
        run = "bad"
        faults.append(str(error))
    return Verification(label, str(graph.path), file, weights, run, ", ".join(dict.fromkeys(faults)))


def _size(metadata: GraphMetadata) -> str:
    spec = metadata.input
    return f"{spec.width}x{spec.height}" if spec.width else f"~{spec.pixels} px"
