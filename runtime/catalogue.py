"""What graphs and modes there are, what is known of each, and whether the files are what they claim to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vipose.runtime.errors import ModelError, UsageError, ViposeError
from vipose.runtime.graphs import load_graph
from vipose.runtime.metadata import GraphMetadata, weights_sha256
from vipose.runtime.modes import MODES
from vipose.runtime.onnxfile import read_onnx
from vipose.runtime.shipped import Shipped, file_sha256, graph_name, read_card, shipped_graphs

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
    """One row for each shipped graph, both precisions together; raises ModelError for a damaged one.

    Keys: name, task, size, parameters, files (precision -> bytes), figures (from the card), licence.
    """
    rows: dict[str, dict[str, Any]] = {}
    for graph in shipped_graphs():
        row = rows.get(graph.name)
        if row is None:
            file = read_onnx(graph.path)
            rows[graph.name] = row = {
                "name": graph.name,
                "task": file.metadata.task,
                "size": _size(file.metadata),
                "parameters": file.parameters,
                "files": {},
                "figures": dict(graph.card.get("metrics") or {}),
                "licence": file.metadata.licence,
            }
        row["files"][graph.precision] = graph.path.stat().st_size
    return list(rows.values())


def list_modes() -> list[dict[str, Any]]:
    """One row for each registered mode: name, graphs, summary."""
    return [
        {"name": name, "graphs": [spec.spatial, *spec.temporal], "summary": spec.summary}
        for name, spec in sorted(MODES.items())
    ]


def describe(name: str) -> dict[str, Any]:
    """Everything known of a mode, a shipped graph or the graph at a path, for people and for JSON.

    Raises:
        UsageError: there is nothing of that name.
        ModelError: the graph is damaged or has no metadata.
    """
    path = next((graph.path for graph in shipped_graphs() if name in (graph.name, graph.path.name)), None)
    if path is None and name in MODES:
        return next(row for row in list_modes() if row["name"] == name)
    if path is None:
        path = _existing(name)
    file = read_onnx(path)
    metadata = asdict(file.metadata)
    metadata.pop("card")
    card = {**file.metadata.card, **{k: v for k, v in read_card(path).items() if k not in metadata}}
    return {
        "name": graph_name(path),
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "parameters": file.parameters,
        "metadata": metadata,
        "card": card,
        "modes": [m for m, spec in MODES.items() if graph_name(path) in (spec.spatial, *spec.temporal)],
    }


def verify(names: Sequence[str] = ()) -> list[Verification]:
    """Check files against their cards, weights against their metadata, and that each graph runs.

    Args:
        names: modes, shipped graphs or paths; () = all that ship.

    Raises:
        UsageError: there is nothing of one of the names.
    """
    shipped = shipped_graphs()
    if not names:
        return [_verify(graph) for graph in shipped]
    chosen: dict[Path, Shipped] = {}
    for name in names:
        wanted = {name} if name not in MODES else {MODES[name].spatial, *MODES[name].temporal}
        found = [graph for graph in shipped if graph.name in wanted or graph.path.name in wanted]
        if not found:
            path = _existing(name)
            found = [Shipped(graph_name(path), "fp32" if path.name.endswith(".fp32.onnx") else "fp16", path, read_card(path))]
        chosen.update({graph.path: graph for graph in found})
    return [_verify(graph) for graph in chosen.values()]


def _existing(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        there = ", ".join(dict.fromkeys([*sorted(MODES), *(graph.name for graph in shipped_graphs())]))
        raise UsageError(f"there is no mode, graph or file '{name}' (there: {there}); choose one or give a path")
    return path


def _verify(graph: Shipped) -> Verification:
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
