"""Modes: which graphs work together, by name or by path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vipose.runtime.detect import Detector, DetectorConfig
from vipose.runtime.errors import ModelError, UsageError
from vipose.runtime.graphs import Graph, PoseGraph
from vipose.runtime.library import check_precision, files_of, find_graph, pick
from vipose.runtime.metadata import Codec, GraphMetadata
from vipose.runtime.onnxfile import read_metadata
from vipose.runtime.providers import Device, ProviderReport, combine_reports
from vipose.runtime.shipped import AUTO, DETECTOR, Precision, graph_name, graph_precision
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.workers import Workers

__all__ = [
    "MODES",
    "Mode",
    "ModeSpec",
    "detector_path",
    "graph_paths",
    "how_to_add",
    "load_mode",
    "missing_graphs",
    "register",
    "reserved_names",
]


@dataclass(frozen=True)
class ModeSpec:
    """A mode by the names of graphs.

    Attributes:
        spatial: key-frame graph.
        temporal: graphs of the frames after a key frame, in order; empty for a single-frame mode.
        summary: one line for people.
        ships: whether its graphs travel with the package; otherwise the user brings the weights.
    """

    spatial: str
    temporal: tuple[str, ...] = ()
    summary: str = ""
    ships: bool = True


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


def _register_single(name: str, summary: str, *, ships: bool = False) -> None:
    """A mode that runs the graph of its own name on every frame."""
    register(name, ModeSpec(name, (), summary, ships))


_register_single("efficientpose-a", "EfficientPose-A, the smallest of its family", ships=True)
_register_single("posenas-small", "a small PoseNAS for real time", ships=True)
_register_single("efficientpose-b", "EfficientPose-B")
_register_single("efficientpose-c", "EfficientPose-C, the largest of its family")
for _size in "abc":
    _register_single(f"efficientpose-{_size}-mpii", f"EfficientPose-{_size.upper()} for the 16 joints of MPII, 256x256")
for _width in (48, 64):
    _register_single(f"posenas-l18-c{_width}", f"PoseNAS L18-C{_width}, slow and accurate")
    _register_single(f"posenas-l18-c{_width}-384x288", f"PoseNAS L18-C{_width} on larger crops")
    _register_single(f"posenas-l18-c{_width}-mpii", f"PoseNAS L18-C{_width} for the 16 joints of MPII, 256x256")


def missing_graphs(spec: ModeSpec) -> list[str]:
    """Names of a mode's graphs that neither ship nor are the user's; [] = it can be run."""
    return [name for name in (spec.spatial, *spec.temporal) if not files_of(name)]


def how_to_add(graph: str) -> str:
    """The command that adds a graph of which only the user can have the weights."""
    return f"vipose models import FILE.pth --network {graph}"


def reserved_names() -> set[str]:
    """Names that a graph of the user's cannot have: graphs and modes that ship, and words with a meaning of their own."""
    taken = {DETECTOR, "default", "none"}
    for name, spec in MODES.items():
        if spec.ships:
            taken |= {name, spec.spatial, *spec.temporal}
    return taken


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
    precision: str = AUTO,
    detector_config: DetectorConfig | None = None,
) -> Mode:
    """Load a mode.

    Args:
        name_or_path: a registered name, the name of a spatial graph of the user's or the path of one (single-frame modes), or
            a folder that holds one spatial graph and the temporal graphs 1..T that belong to it.
        detector: ``default``, the name of a detector that ships or is the user's, or the path of one; None = none.
        device: where graphs run; what does not work there falls back to the CPU, see :attr:`Mode.provider`.
        threads: workers, people are dealt out over them; 0 = one a core.
        period: a key frame every so many frames; None = as long as there are temporal graphs; 1 = every frame.
        precision: in which graphs that are named are taken: ``fp16``, ``fp32``, ``int8``, or ``auto`` for the first of these
            that there is. The detector follows where it can.
        detector_config: what counts as a person.

    Raises:
        UsageError: unknown mode, device or precision, a graph that is not there in the precision, or a period for which there
            are too few graphs.
        ModelError: a graph is missing, wrong, or does not fit the others.
    """
    check_precision(precision)
    spatial_path, temporal_paths = graph_paths(str(name_or_path), precision)
    period = _period(str(name_or_path), period, len(temporal_paths))
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


def _period(name: str, period: int | None, temporal: int) -> int:
    """The period that is asked for, or the longest one; raises UsageError for one for which there are too few graphs."""
    if period is None:
        return temporal + 1
    if 1 <= period <= temporal + 1:
        return period
    if not temporal:
        raise UsageError(
            f"period {period} is not possible: mode '{name}' looks at every frame by itself and has no temporal graphs; "
            "leave --period out, or choose t-vipnas"
        )
    raise UsageError(f"period {period} is not possible: mode '{name}' has {temporal} temporal graphs; give 1 to {temporal + 1}")


def graph_paths(name: str, precision: str = AUTO) -> tuple[Path, list[Path]]:
    """Files of the spatial and of all temporal graphs of a mode, named as for :func:`load_mode`, which says what is raised."""
    if name in MODES:
        return _registered(name, precision)
    if files_of(name):
        return _single(find_graph(name, precision), name), []
    path = Path(name)
    if path.is_dir():
        return _folder(path, precision)
    if path.is_file():
        return _single(path, name), []
    if path.suffix == ".onnx" or path.parent != Path():
        raise UsageError(f"there is no graph or folder {name}; check the path, or name one of {_ready()}")
    raise UsageError(f"there is no mode '{name}'; choose one of {_ready()}, or give the path of a graph")


def _ready() -> str:
    """Names of the modes that can be run here."""
    return ", ".join(sorted(name for name, spec in MODES.items() if not missing_graphs(spec))) or "those of 'vipose models list'"


def _registered(name: str, precision: str) -> tuple[Path, list[Path]]:
    spec = MODES[name]
    missing = missing_graphs(spec)
    if missing and not spec.ships:
        raise ModelError(
            f"mode '{name}' has no weights here: they do not ship and you have added none; "
            f"add a checkpoint with '{how_to_add(missing[0])}'"
        )
    return find_graph(spec.spatial, precision), [find_graph(t, precision) for t in spec.temporal]


def _single(path: Path, name: str) -> Path:
    """The path itself where it is a spatial graph; raises UsageError for another kind."""
    task = read_metadata(path).task
    if task == "pose-temporal":
        raise UsageError(f"{name} needs the heatmaps of a key frame; give the folder that holds its spatial graph too")
    if task == "detect":
        raise UsageError(f"{name} is a detector; give it as --detector and a pose graph as the mode")
    return path


def _folder(folder: Path, precision: str) -> tuple[Path, list[Path]]:
    """The one spatial graph of a folder and its temporal ones by phase.

    Of a graph that lies there in several precisions, the one that was asked for is taken, else the first (see ``library.pick``).
    """
    files: dict[str, dict[Precision, Path]] = {}
    for path in sorted(folder.glob("*.onnx")):
        files.setdefault(graph_name(path), {})[graph_precision(path)] = path
    metadata = {path: read_metadata(path) for path in (pick(twins, precision) for twins in files.values())}
    spatial = [path for path in metadata if metadata[path].task == "pose-spatial"]
    if len(spatial) != 1:
        names = ", ".join(path.name for path in spatial) or "none"
        raise ModelError(f"folder {folder} must hold one spatial pose graph (there: {names}); give that graph's path")
    temporal = sorted((p for p in metadata if metadata[p].task == "pose-temporal"), key=lambda p: metadata[p].phase)
    return spatial[0], temporal


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
    return None if name is None else Detector(detector_path(name, precision), config, device=device)


def detector_path(name: str | Path = "default", precision: str = AUTO) -> Path:
    """The file of a detector, named as for :func:`load_mode`; raises UsageError or ModelError where there is none."""
    known = DETECTOR if str(name) == "default" else str(name)
    files = files_of(known)
    if files or known == DETECTOR:
        return pick(files, precision) if files else find_graph(DETECTOR)
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"there is no detector {name}; give 'default', the name of one of yours or the path of an ONNX graph")
    return path
