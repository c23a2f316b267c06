"""Graphs that run: an ONNX file, its metadata, the session behind it and proof that the three agree.

A graph is checked when it is loaded: inputs and outputs against the metadata, then one real run. What passes cannot fail
later because of a wrong shape, type or name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import ModelError
from vipose.runtime.metadata import KEY, GraphMetadata, InputSpec
from vipose.runtime.providers import (
    DEVICES,
    Device,
    ProviderReport,
    check_device,
    create_session,
    first_line,
    prove_provider,
    runtime_errors,
    session_options,
)
from vipose.runtime.workers import Workers, available_cores, current_worker

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = [
    "DEVICES",
    "MAX_BATCH",
    "Device",
    "Graph",
    "PoseGraph",
    "ProviderReport",
    "Workers",
    "available_cores",
    "first_line",
    "image_input",
    "load_graph",
    "runtime_errors",
    "session_options",
]

Arrays = dict[str, npt.NDArray[Any]]
MAX_BATCH = 4
"""Larger batches gain nothing and make ONNX Runtime's arena grow for good."""
_MAX_SESSIONS = 4
_FLOAT = "tensor(float)"
_Value = tuple[str, tuple[int | None, ...]]
_TYPES = {"uint8": "tensor(uint8)", "float32": _FLOAT}


class Graph:
    """A loaded graph. Made by :func:`load_graph`; safe to run from several threads.

    Attributes:
        path: of the file.
        metadata: what it carries.
        provider: what was asked for and what runs.
        sha256: of the file.
        threads: intra-op threads of each session.
        batch: the one batch size that the graph takes, None where any is taken.
    """

    def __init__(
        self,
        path: Path,
        metadata: GraphMetadata,
        provider: ProviderReport,
        sha256: str,
        threads: int,
        sessions: Sequence[ort.InferenceSession],
    ) -> None:
        self.path, self.metadata, self.provider = path, metadata, provider
        self.sha256, self.threads = sha256, threads
        self._sessions = tuple(sessions)
        self._outputs = [output.name for output in self._sessions[0].get_outputs()]
        size = self._sessions[0].get_inputs()[0].shape[0]
        self.batch: int | None = size if isinstance(size, int) else None

    @property
    def name(self) -> str:
        """``metadata.network``, or the file's name where that is empty."""
        return self.metadata.network or self.path.stem

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """Outputs by name; raises ModelError when the run fails.

        Workers have a session each: two one-thread sessions on two threads measured up to 8 % faster than one session
        called from both.
        """
        session = self._sessions[(current_worker() or 0) % len(self._sessions)]
        try:
            return dict(zip(self._outputs, session.run(self._outputs, dict(feeds)), strict=True))
        except runtime_errors() as error:
            raise ModelError(
                f"graph '{self.name}' failed while running on {self.provider} ({first_line(error)}); try --device cpu"
            ) from error


def load_graph(path: str | Path, *, device: Device = "auto", threads: int = 1, sessions: int = 1) -> Graph:
    """Load, check and run a graph once.

    Args:
        path: an ONNX file that carries metadata.
        device: ``auto`` takes a GPU where one really works.
        threads: intra-op threads a session.
        sessions: equal sessions for as many workers (CPU only, at most 4; more workers share them).

    Raises:
        ModelError: the file is missing or no graph, has no metadata, does not fit its metadata or does not run.
        UsageError: unknown device.
    """
    check_device(device)
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"there is no graph {path}; 'vipose models list' names those that ship")
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        on_cpu = create_session(path, threads)
    except OSError as error:
        raise ModelError(f"graph {path} cannot be read ({error.strerror}); check the file's permissions") from error
    except runtime_errors() as error:
        raise ModelError(f"{path} cannot be loaded as an ONNX graph ({first_line(error)}); export it again") from error
    metadata = _metadata(path, on_cpu)
    _check_declared(path, metadata, on_cpu)
    trial = _trial_feeds(metadata, on_cpu)
    try:
        session, provider, outputs = prove_provider(path, on_cpu, device, trial)
        more = max(1, min(sessions, _MAX_SESSIONS)) - 1 if provider.running == "cpu" else 0
        copies = [create_session(path, threads) for _ in range(more)]
    except runtime_errors() as error:
        raise ModelError(f"graph {path.name} does not run ({first_line(error)}); export it again") from error
    _check_outputs(path, metadata, trial, outputs)
    return Graph(path, metadata, provider, sha256, threads, [session, *copies])


def _metadata(path: Path, session: ort.InferenceSession) -> GraphMetadata:
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        raise ModelError(
            f"{path.name} carries no vipose metadata, so its input and joints are unknown; add it with "
            f"'vipose models import {path.name} -o OUT.onnx'"
        )
    return GraphMetadata.from_json(text)


def _heatmap_shape(metadata: GraphMetadata) -> tuple[int, int, int]:
    """Joints, height, width of a pose graph's heatmaps."""
    assert metadata.codec is not None  # GraphMetadata has checked it for pose graphs
    stride = metadata.codec.stride
    return len(metadata.joints), metadata.input.height // stride, metadata.input.width // stride


def _image_shape(spec: InputSpec) -> tuple[int | None, ...]:
    height, width = spec.height or None, spec.width or None
    return (height, width, 3) if spec.layout == "NHWC" else (3, height, width)


def _check_declared(path: Path, metadata: GraphMetadata, session: ort.InferenceSession) -> None:
    """Names, types and sizes that the graph declares against those that the metadata promises."""
    inputs: dict[str, _Value] = {"image": (_TYPES[metadata.input.dtype], _image_shape(metadata.input))}
    outputs: dict[str, _Value]
    if metadata.task == "detect":
        outputs = {"boxes": (_FLOAT, (None, 4)), "scores": (_FLOAT, (None,))}
    else:
        heatmaps = (_FLOAT, _heatmap_shape(metadata))
        outputs = {"heatmaps": heatmaps}
        if metadata.task == "pose-temporal":
            inputs["previous"] = heatmaps
    for kind, declared, wanted in (
        ("input", session.get_inputs(), inputs),
        ("output", session.get_outputs(), outputs),
    ):
        names = {value.name: value for value in declared}
        if kind == "input" and set(names) != set(wanted) or not set(wanted) <= set(names):
            raise ModelError(
                f"{path.name}: a {metadata.task} graph has the {kind}s {sorted(wanted)}, this one has "
                f"{sorted(names)}; import it again with 'vipose models import'"
            )
        for name, (dtype, shape) in wanted.items():
            _check_value(path, kind, names[name], dtype, shape)


def _check_value(path: Path, kind: str, value: Any, dtype: str, shape: tuple[int | None, ...]) -> None:
    if value.type != dtype:
        raise ModelError(f"{path.name}: {kind} '{value.name}' is {value.type}, its metadata says {dtype}")
    found = tuple(value.shape)[1:]
    fits = len(found) == len(shape) and all(
        not isinstance(f, int) or w is None or f == w for f, w in zip(found, shape, strict=True)
    )
    if not fits:
        text = "[N, " + ", ".join("any" if w is None else str(w) for w in shape) + "]"
        raise ModelError(f"{path.name}: {kind} '{value.name}' has shape {list(value.shape)}, its metadata says {text}")


def _trial_feeds(metadata: GraphMetadata, session: ort.InferenceSession) -> Arrays:
    """Inputs of the first run: noise, since a plain picture hides differences between providers."""
    spec = metadata.input
    batch = session.get_inputs()[0].shape[0]
    n = batch if isinstance(batch, int) else 1
    side = max(round((spec.pixels or 416 * 416) ** 0.5 / spec.multiple), 1) * spec.multiple
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (n, spec.height or side, spec.width or side, 3), dtype=np.uint8)
    feeds: Arrays = {"image": image_input(image, spec)}
    if metadata.task == "pose-temporal":
        feeds["previous"] = rng.random((n, *_heatmap_shape(metadata)), dtype=np.float32)
    return feeds


def _check_outputs(path: Path, metadata: GraphMetadata, trial: Arrays, outputs: Arrays) -> None:
    """Shapes and values of the first run; what a graph declares may be symbolic."""
    n = len(trial["image"])
    for name, array in outputs.items():
        if not np.isfinite(array).all():
            raise ModelError(f"{path.name}: output '{name}' is not finite on a first run; export it again")
    if metadata.task == "detect":
        boxes, scores = outputs["boxes"].shape, outputs["scores"].shape
        if len(boxes) != 3 or boxes[2] != 4 or scores != boxes[:2] or boxes[0] != n:
            raise ModelError(f"{path.name}: boxes {list(boxes)} and scores {list(scores)} are not [N, M, 4] and [N, M]")
        return
    found, wanted = outputs["heatmaps"].shape, (n, *_heatmap_shape(metadata))
    if found != wanted:
        raise ModelError(f"{path.name}: heatmaps come out as {list(found)}, its metadata says {list(wanted)}")


def image_input(images: npt.NDArray[np.uint8], spec: InputSpec) -> npt.NDArray[Any]:
    """Pictures [N, h, w, 3] uint8 RGB as a graph wants them: order of channels, type, normalisation and layout."""
    out: npt.NDArray[Any] = images[..., ::-1] if spec.colour == "BGR" else images
    if spec.dtype == "float32":
        out = (out.astype(np.float32) - np.asarray(spec.mean, np.float32)) / np.asarray(spec.std, np.float32)
    return np.ascontiguousarray(out.transpose(0, 3, 1, 2) if spec.layout == "NCHW" else out)


class PoseGraph:
    """Crops to heatmaps, through a spatial or a temporal graph.

    On a CPU people run one by one: batches measured 0 to 13 % slower per person, and a person's heatmaps then depend on
    nobody else, so results are the same whatever the number of people, workers or threads.

    Args:
        path: a pose graph with metadata.
        device, threads: see :func:`load_graph`.
        batch: people a run, at most 4; None = 1 on a CPU, 4 on a GPU.
        workers: share these with other graphs; None = run where it is called.

    Raises:
        ModelError: see :func:`load_graph`; also for a detector.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        device: Device = "auto",
        threads: int = 1,
        batch: int | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.workers = workers or Workers(1)
        self.graph = load_graph(path, device=device, threads=threads, sessions=self.workers.threads)
        if self.metadata.task == "detect":
            raise ModelError(f"{self.graph.path.name} is a detector; a pose graph is wanted here")
        default = 1 if self.provider.running == "cpu" else MAX_BATCH
        self.batch = self.graph.batch or max(1, min(batch or default, MAX_BATCH))

    @property
    def metadata(self) -> GraphMetadata:
        return self.graph.metadata

    @property
    def provider(self) -> ProviderReport:
        return self.graph.provider

    @property
    def sha256(self) -> str:
        return self.graph.sha256

    @property
    def size(self) -> tuple[int, int]:
        """Width, height of a crop."""
        return self.metadata.input.width, self.metadata.input.height

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """Width, height of a heatmap."""
        _, height, width = _heatmap_shape(self.metadata)
        return width, height

    def __call__(
        self, crops: npt.NDArray[np.uint8], heatmaps: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Run the graph.

        Args:
            crops: [N, h, w, 3] uint8 RGB of :attr:`size`; N may be 0.
            heatmaps: [N, K, h', w'] float32 of the frame before, warped to these crops; for temporal graphs only.

        Returns:
            [N, K, h', w'] float32.

        Raises:
            ValueError: wrong shapes or types, or heatmaps missing or given in vain.
            ModelError: the run failed.
        """
        self._check(crops, heatmaps)
        shape = _heatmap_shape(self.metadata)
        if len(crops) == 0:
            return np.empty((0, *shape), np.float32)
        parts = self.workers.map(
            lambda start: self._run(
                crops[start: start + self.batch],
                None if heatmaps is None else heatmaps[start: start + self.batch],
            ),
            range(0, len(crops), self.batch),
        )
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _run(
        self, crops: npt.NDArray[np.uint8], heatmaps: npt.NDArray[np.float32] | None
    ) -> npt.NDArray[np.float32]:
        feeds: Arrays = {"image": image_input(crops, self.metadata.input)}
        if heatmaps is not None:
            feeds["previous"] = np.ascontiguousarray(heatmaps)
        n = len(crops)
        if self.graph.batch is not None and n < self.graph.batch:
            # A graph with a fixed batch is filled up with copies of the last person.
            feeds = {k: np.concatenate([v, np.repeat(v[-1:], self.graph.batch - n, 0)]) for k, v in feeds.items()}
        return np.asarray(self.graph.run(feeds)["heatmaps"][:n], np.float32)

    def _check(self, crops: npt.NDArray[np.uint8], heatmaps: npt.NDArray[np.float32] | None) -> None:
        width, height = self.size
        if crops.ndim != 4 or crops.shape[1:] != (height, width, 3) or crops.dtype != np.uint8:
            raise ValueError(f"crops {crops.dtype} {crops.shape}: want uint8 [N, {height}, {width}, 3]")
        if (heatmaps is not None) != (self.metadata.task == "pose-temporal"):
            raise ValueError(f"'{self.graph.name}' is {self.metadata.task}: heatmaps go into temporal graphs only")
        wanted = (len(crops), *_heatmap_shape(self.metadata))
        if heatmaps is not None and (heatmaps.shape != wanted or heatmaps.dtype != np.float32):
            raise ValueError(f"heatmaps {heatmaps.dtype} {heatmaps.shape}: want float32 {wanted}")
