"""Modes: which graphs work together, by name or by path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vipose.runtime.detect import Detector, DetectorConfig
from vipose.runtime.errors import ModelError, UsageError
from vipose.runtime.graphs import Graph, PoseGraph
from vipose.runtime.metadata import Codec, GraphMetadata
from vipose.runtime.onnxfile import read_metadata
from vipose.runtime.providers import Device, ProviderReport, combine_reports
from vipose.runtime.shipped import DETECTOR, PRECISIONS, shipped_graph
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.workers import Workers

__all__ = ["MODES", "Mode", "ModeSpec", "load_mode", "register"]


@dataclass(frozen=True)
class ModeSpec:
    """A mode by the names of shipped graphs.

    Attributes:
        spatial: key-frame graph.
        temporal: graphs of the frames after a key frame, in order; empty for a single-frame mode.
        summary: one line for people.
    """

    spatial: str
    temporal: tuple[str, ...] = ()
    summary: str = ""


MODES: dict[str, ModeSpec] = {}
"""Modes by name; see :func:`register`."""


def register(name: str, spec: ModeSpec) -> None:
    """Add a mode; raises ValueError when the name is taken."""
    if name in MODES:
        raise ValueError(f"mode '{name}' is registered already")
    MODES[name] = spec


register(
    "t-vipnas",
    ModeSpec(
        "s-vipnas",
        ("t-vipnas-1", "t-vipnas-2", "t-vipnas-3"),
        "key frames by S-ViPNet, up to three frames between them by T-ViPNets that carry heatmaps on",
    ),
)
register("s-vipnas", ModeSpec("s-vipnas", (), "S-ViPNet on every frame"))


@dataclass(frozen=True)
class Mode:
    """Graphs that are loaded and fit each other.

    Attributes:
        name: as registered, or the path that was given.
        detector: None where boxes come from elsewhere.
        spatial: key-frame graph.
        temporal: graphs of the frames after a key frame, in order: ``period - 1`` of them.
        period: a key frame every so many frames.
        provider: what runs the pose graphs.
        graphs: SHA-256 of every graph file in use, by network name.
        workers: shared by the pose graphs.
    """

    name: str
    detector: Detector | None
    spatial: PoseGraph
    temporal: tuple[PoseGraph, ...]
    period: int
    provider: ProviderReport
    graphs: dict[str, str]
    workers: Workers

    @property
    def skeleton(self) -> Skeleton:
        return self.spatial.metadata.joints

    @property
    def codec(self) -> Codec:
        codec = self.spatial.metadata.codec
        assert codec is not None  # GraphMetadata has checked it for pose graphs
        return codec

    def close(self) -> None:
        """End the workers; safe to call twice."""
        self.workers.close()


def load_mode(
    name_or_path: str | Path,
    *,
    detector: str | Path | None = "default",
    device: Device = "auto",
    threads: int = 0,
    period: int | None = None,
    precision: str = "fp16",
    detector_config: DetectorConfig | None = None,
) -> Mode:
    """Load a mode.

    Args:
        name_or_path: a registered name, the path of a spatial graph (single-frame mode), or a folder that holds one spatial
            graph and the temporal graphs 1..T that belong to it.
        detector: ``default``, a shipped detector's name or the path of one; None = none.
        device: where graphs run; what does not work there falls back to the CPU, see :attr:`Mode.provider`.
        threads: workers, people are dealt out over them; 0 = one a core.
        period: a key frame every so many frames; None = as long as there are temporal graphs; 1 = every frame.
        precision: how weights of the shipped graphs are stored, ``fp16`` or ``fp32``.
        detector_config: what counts as a person.

    Raises:
        UsageError: unknown mode, device or precision, or a period for which there are too few graphs.
        ModelError: a graph is missing, wrong, or does not fit the others.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision '{precision}' is not known; choose one of {', '.join(PRECISIONS)}")
    spatial_path, temporal_paths = _paths(str(name_or_path), precision)
    period = len(temporal_paths) + 1 if period is None else period
    if not 1 <= period <= len(temporal_paths) + 1:
        raise UsageError(
            f"period {period} is not possible: mode '{name_or_path}' has {len(temporal_paths)} temporal graphs; "
            f"give 1 to {len(temporal_paths) + 1}"
        )
    workers = Workers(threads)
    spatial = PoseGraph(spatial_path, device=device, workers=workers)
    temporal = tuple(PoseGraph(path, device=device, workers=workers) for path in temporal_paths[: period - 1])
    _check_fit(spatial, temporal)
    found = _load_detector(detector, precision, device, detector_config)
    used = [spatial.graph, *(t.graph for t in temporal), *([found.graph] if found else [])]
    return Mode(
        name=str(name_or_path),
        detector=found,
        spatial=spatial,
        temporal=temporal,
        period=period,
        provider=combine_reports([graph.provider for graph in (spatial, *temporal)]),
        graphs=_hashes(used),
        workers=workers,
    )


def _paths(name: str, precision: str) -> tuple[Path, list[Path]]:
    """Files of the spatial and the temporal graphs of a mode."""
    if name in MODES:
        spec = MODES[name]
        return shipped_graph(spec.spatial, precision), [shipped_graph(t, precision) for t in spec.temporal]
    path = Path(name)
    if path.is_dir():
        return _folder(path, precision)
    if path.is_file():
        metadata = read_metadata(path)
        if metadata.task == "pose-temporal":
            raise UsageError(f"{name} needs the heatmaps of a key frame; give the folder that holds its spatial graph too")
        if metadata.task == "detect":
            raise UsageError(f"{name} is a detector; give it as --detector and a pose graph as the mode")
        return path, []
    if path.suffix == ".onnx" or path.parent != Path():
        raise UsageError(f"there is no graph or folder {name}; check the path, or name one of {', '.join(sorted(MODES))}")
    raise UsageError(f"there is no mode '{name}'; choose one of {', '.join(sorted(MODES))}, or give the path of a graph")


def _folder(folder: Path, precision: str) -> tuple[Path, list[Path]]:
    """The one spatial graph of a folder and its temporal ones by phase.

    Where a graph lies there both as X.onnx and as X.fp32.onnx, ``precision`` chooses.
    """
    files = {path.name: path for path in sorted(folder.glob("*.onnx"))}
    chosen = [path for name, path in files.items() if not _other_precision(name, files, precision)]
    metadata = {path: read_metadata(path) for path in chosen}
    spatial = [path for path in chosen if metadata[path].task == "pose-spatial"]
    if len(spatial) != 1:
        names = ", ".join(path.name for path in spatial) or "none"
        raise ModelError(f"folder {folder} must hold one spatial pose graph (there: {names}); give that graph's path")
    temporal = sorted((p for p in chosen if metadata[p].task == "pose-temporal"), key=lambda p: metadata[p].phase)
    return spatial[0], temporal


def _other_precision(name: str, files: dict[str, Path], precision: str) -> bool:
    """Whether a file is the twin, in the precision that was not asked for, of another one."""
    if name.endswith(".fp32.onnx"):
        return precision != "fp32" and name.removesuffix(".fp32.onnx") + ".onnx" in files
    return precision == "fp32" and name.removesuffix(".onnx") + ".fp32.onnx" in files


def _check_fit(spatial: PoseGraph, temporal: Sequence[PoseGraph]) -> None:
    """Graphs of one mode must speak of the same joints on the same cells, or propagation would be silently wrong."""
    if spatial.metadata.task != "pose-spatial":
        raise ModelError(f"{spatial.graph.path.name} is a {spatial.metadata.task} graph; key frames need a spatial one")
    for phase, graph in enumerate(temporal, 1):
        if graph.metadata.task != "pose-temporal" or graph.metadata.phase != phase:
            raise ModelError(
                f"{graph.graph.path.name} is {graph.metadata.task} of phase {graph.metadata.phase}, wanted is the temporal "
                f"graph of phase {phase}; a mode needs all phases from 1 on"
            )
        for what, ours, theirs in _contracts(spatial.metadata, graph.metadata):
            if ours != theirs:
                raise ModelError(
                    f"{graph.graph.path.name} has {what} {theirs} but {spatial.graph.path.name} has {ours}; "
                    "graphs of one mode must agree, so export them together"
                )


def _contracts(spatial: GraphMetadata, temporal: GraphMetadata) -> list[tuple[str, object, object]]:
    def size(metadata: GraphMetadata) -> str:
        return f"{metadata.input.width}x{metadata.input.height}"

    def cells(metadata: GraphMetadata) -> str:
        assert metadata.codec is not None  # GraphMetadata has checked it for pose graphs
        return f"{metadata.codec.convention}, stride {metadata.codec.stride}"

    return [
        ("skeleton", spatial.skeleton, temporal.skeleton),
        ("input size", size(spatial), size(temporal)),
        ("codec", cells(spatial), cells(temporal)),
    ]


def _hashes(graphs: Sequence[Graph]) -> dict[str, str]:
    """SHA-256 by network name; a file's name tells two graphs of one name apart."""
    found: dict[str, str] = {}
    for graph in graphs:
        name = graph.name if graph.name not in found else f"{graph.name} ({graph.path.name})"
        found[name] = graph.sha256
    return found


def _load_detector(
    name: str | Path | None, precision: str, device: Device, config: DetectorConfig | None
) -> Detector | None:
    if name is None:
        return None
    path = Path(name)
    if str(name) in ("default", DETECTOR):
        path = shipped_graph(DETECTOR, precision)
    elif not path.is_file():
        raise UsageError(f"there is no detector {name}; give 'default' or the path of an ONNX graph")
    return Detector(path, config, device=device)
