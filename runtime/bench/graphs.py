"""Time of each graph by itself: threads, batch sizes, and its ratio to a reference in the same rounds.

Inputs are noise: convolutions take the same time for every picture. A reference graph needs no metadata; it runs on noise of the
shape that it declares, dynamic sizes being 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vipose.runtime.bench.timing import Timing, interleaved, paired_ratio
from vipose.runtime.detect import letterbox
from vipose.runtime.errors import ModelError
from vipose.runtime.graphs import Graph, image_input, load_graph
from vipose.runtime.modes import Mode
from vipose.runtime.providers import Device, create_session, first_line, runtime_errors

__all__ = ["FRAME", "GraphRow", "bench_graphs", "declared_noise", "mode_graphs", "open_reference"]

Feeds = dict[str, npt.NDArray[Any]]
FRAME = (1280, 720)
"""Width, height of the frame for which a detector with a free input size is timed."""
_INTEGERS = {"tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


@dataclass(frozen=True)
class GraphRow:
    """One graph with one number of threads and one batch size.

    Attributes:
        name: of the graph.
        role: spatial, temporal, detect or reference.
        threads, batch: as asked.
        p50_ms, p95_ms: a run.
        item_ms: median of a run divided by the batch.
        ratio: ``item_ms`` over the reference's with as many threads and batch 1, median over the rounds.
    """

    name: str
    role: str
    threads: int
    batch: int
    p50_ms: float
    p95_ms: float
    item_ms: float
    ratio: float = 1.0


@dataclass(frozen=True)
class _Case:
    name: str
    role: str
    threads: int
    batch: int
    run: Callable[[], object]


def mode_graphs(mode: Mode) -> list[tuple[str, Path]]:
    """Role and file of every graph of a mode: spatial first."""
    graphs = [("spatial", mode.spatial.graph.path), *(("temporal", t.graph.path) for t in mode.temporal)]
    if mode.detector is not None:
        graphs.append(("detect", mode.detector.graph.path))
    return graphs


def bench_graphs(
    graphs: Sequence[tuple[str, Path]],
    *,
    threads: Sequence[int] = (1,),
    batches: Sequence[int] = (1,),
    reference: Path | None = None,
    device: Device = "auto",
    repeats: int = 30,
    tick: Callable[[int], None] | None = None,
) -> list[GraphRow]:
    """Time graphs in interleaved rounds.

    Args:
        graphs: role and file of each; the first is the reference where none is given.
        threads: intra-op threads of ONNX Runtime.
        batches: people a run; detectors and graphs with a fixed batch run as they are.
        reference: any ONNX file.
        device: for all but the reference, which runs on the CPU.
        repeats: rounds.
        tick: told how many rounds are done.

    Returns:
        A row a graph, number of threads and batch size, the reference first where one was given.

    Raises:
        ModelError: a graph cannot be loaded or run.
    """
    rows: list[GraphRow] = []
    for number, count in enumerate(threads):
        cases = [] if reference is None else [_reference_case(reference, count)]
        for role, path in graphs:
            cases += _cases(role, load_graph(path, device=device, threads=count), count, batches)
        keys = [f"{n}: {case.name}" for n, case in enumerate(cases)]
        work = {key: case.run for key, case in zip(keys, cases, strict=True)}
        timings = interleaved(work, repeats, tick=tick and partial(_shifted, tick, number * repeats))
        first = timings[keys[0]]
        rows += [_row(case, timings[key], first) for key, case in zip(keys, cases, strict=True)]
    return rows


def _shifted(tick: Callable[[int], None], before: int, done: int) -> None:
    tick(before + done)


def _row(case: _Case, timing: Timing, reference: Timing) -> GraphRow:
    row = GraphRow(case.name, case.role, case.threads, case.batch, timing.p50, timing.p95, timing.p50 / case.batch)
    return replace(row, ratio=paired_ratio(timing, reference, items=case.batch))


def _cases(role: str, graph: Graph, threads: int, batches: Sequence[int]) -> list[_Case]:
    sizes = [graph.batch or 1] if role == "detect" or graph.batch is not None else list(batches)
    if 1 not in sizes and graph.batch is None:
        sizes = [1, *sizes]  # ratios are against batch 1
    sizes.sort()
    return [_Case(graph.name, role, threads, size, _runner(graph, size)) for size in sizes]


def _runner(graph: Graph, batch: int) -> Callable[[], object]:
    spec = graph.metadata.input
    width, height = (spec.width, spec.height) if spec.width else letterbox(spec, *FRAME).size
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
    feeds: Feeds = {"image": image_input(image, spec)}
    if graph.metadata.task == "pose-temporal":
        codec = graph.metadata.codec
        assert codec is not None  # GraphMetadata has checked it for pose graphs
        shape = (batch, len(graph.metadata.joints), height // codec.stride, width // codec.stride)
        feeds["previous"] = rng.random(shape, dtype=np.float32)
    return lambda: graph.run(feeds)


def _reference_case(path: Path, threads: int) -> _Case:
    run, batch = open_reference(path, threads)
    return _Case(path.stem, "reference", threads, batch, run)


def open_reference(path: Path, threads: int) -> tuple[Callable[[], object], int]:
    """A function that runs any ONNX file on noise once, and its batch size.

    Raises:
        ModelError: the file is missing, no graph, has inputs that noise cannot be made for, or does not run.
    """
    if not path.is_file():
        raise ModelError(f"there is no graph {path}; check --reference")
    try:
        session = create_session(path, threads)
        feeds = {value.name: declared_noise(value.type, value.shape) for value in session.get_inputs()}
        session.run(None, feeds)
    except runtime_errors() as error:
        raise ModelError(f"reference {path} does not run ({first_line(error)}); give another ONNX file") from error
    first = next(iter(feeds.values()))
    return lambda: session.run(None, feeds), first.shape[0] if first.ndim else 1


def declared_noise(kind: str, shape: Sequence[int | str | None]) -> npt.NDArray[Any]:
    """Noise of a declared ONNX type and shape; dynamic sizes are 1. Floats lie in 0..1, integers in 0..255 (signed: 0..127).

    Raises:
        ValueError: a type that noise cannot be made for.
    """
    sides = tuple(side if isinstance(side, int) and side > 0 else 1 for side in shape)
    rng = np.random.default_rng(0)
    if kind in _FLOATS:
        return np.asarray(rng.random(sides)).astype(_FLOATS[kind])
    if kind in _INTEGERS:
        return rng.integers(0, 256 if kind == "tensor(uint8)" else 128, sides).astype(_INTEGERS[kind])
    if kind == "tensor(bool)":
        return np.zeros(sides, np.bool_)
    raise ValueError(f"inputs of type {kind} are not supported")
