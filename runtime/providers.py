"""Which execution provider really runs a graph, told apart from the one that was asked for.

ONNX Runtime lists providers that fail when they are created, fails at the first run, or falls back to the CPU without a
word. So a provider counts only once it has run the graph and agreed with the CPU; everything else runs on the CPU, and
the report says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import UsageError

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = [
    "DEVICES",
    "Device",
    "ProviderReport",
    "check_device",
    "combine_reports",
    "create_session",
    "first_line",
    "listed_providers",
    "prove_provider",
    "runtime_errors",
    "session_options",
]

Device = Literal["auto", "cpu", "cuda"]
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
Feeds = Mapping[str, npt.NDArray[Any]]
Outputs = dict[str, npt.NDArray[Any]]
_TOLERANCE = 1e-2
"""Largest difference from the CPU that a provider may show, as a share of the output's range."""


@dataclass(frozen=True)
class ProviderReport:
    """What was asked for, what runs, and why they differ.

    Attributes:
        asked: ``auto``, ``cpu`` or ``cuda``.
        running: ``cpu`` or ``cuda``; both, joined by ``+``, where graphs of one mode differ.
        reason: why something that could be expected does not run; "" where all is as asked.
    """

    asked: str
    running: str
    reason: str = ""

    @property
    def fell_back(self) -> bool:
        """Whether something was asked for, or listed by ONNX Runtime, that does not run."""
        return bool(self.reason)

    def __str__(self) -> str:
        text = self.running.upper()
        return f"{text} ({self.reason})" if self.reason else text


def combine_reports(reports: Sequence[ProviderReport]) -> ProviderReport:
    """One report for several graphs: all providers that run, and the first reason."""
    running = "+".join(dict.fromkeys(report.running for report in reports))
    return ProviderReport(reports[0].asked, running, next((r.reason for r in reports if r.reason), ""))


def check_device(device: str) -> None:
    """Raise UsageError for a device that is none of :data:`DEVICES`."""
    if device not in DEVICES:
        raise UsageError(f"device '{device}' is not known; choose one of {', '.join(DEVICES)}")


def prove_provider(
    path: Path, session: ort.InferenceSession, device: Device, trial: Feeds
) -> tuple[ort.InferenceSession, ProviderReport, Outputs]:
    """Run a graph once on the CPU and, where asked for, on the device: what really runs it?

    Args:
        path: of the graph.
        session: it on the CPU.
        device: ``auto`` takes CUDA where it works.
        trial: inputs of the first run.

    Returns:
        The session to use, what runs it, and the CPU's outputs of the first run by name.

    Raises:
        Exception: one of :func:`runtime_errors` when the graph does not run on the CPU.
    """
    outputs = _run(session, trial)
    if device == "cpu":
        return session, ProviderReport(device, "cpu"), outputs
    faster, reason = _try_cuda(path, trial, outputs)
    if faster is not None:
        return faster, ProviderReport(device, "cuda"), outputs
    if device == "auto" and CUDA not in listed_providers():
        reason = ""  # nobody could expect a GPU here
    return session, ProviderReport(device, "cpu", reason), outputs


def create_session(path: Path, threads: int, providers: Sequence[Any] = (CPU,)) -> ort.InferenceSession:
    """A session at full optimisation whose threads sleep between runs (spinning burns a core at 30 frames/s)."""
    import onnxruntime as ort

    return ort.InferenceSession(str(path), session_options(threads), providers=list(providers))


def session_options(threads: int) -> ort.SessionOptions:
    """The options by which every graph of vipose runs."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without VNNI a sum of two 8-bit products can leave 16 bits; this takes operators that it cannot happen to.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 4  # failures come as exceptions, and are reported once
    return options


@cache
def runtime_errors() -> tuple[type[Exception], ...]:
    """The exceptions by which ONNX Runtime says that a graph cannot be loaded or run."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [getattr(state, name) for name in dir(state)]
    return (*(e for e in own if isinstance(e, type) and issubclass(e, Exception)), RuntimeError, ValueError)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, for messages of one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def listed_providers() -> list[str]:
    """Providers that ONNX Runtime lists; being listed does not mean that they work."""
    import onnxruntime as ort

    return list(ort.get_available_providers())


def _run(session: ort.InferenceSession, feeds: Feeds) -> Outputs:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def _try_cuda(
    path: Path, trial: Feeds, expected: Outputs
) -> tuple[ort.InferenceSession | None, str]:
    """A CUDA session that ran and agreed with the CPU, or None and the reason."""
    if CUDA not in listed_providers():
        return None, "this onnxruntime has no CUDA; install onnxruntime-gpu in its place"
    try:
        session = create_session(path, 1, [(CUDA, {"use_tf32": "0"}), CPU])
        if CUDA not in session.get_providers():
            return None, "CUDA is listed but did not start; check driver, CUDA and cuDNN with 'vipose doctor'"
        outputs = _run(session, trial)
    except runtime_errors() as error:
        return None, f"CUDA failed: {first_line(error)}"
    for name, reference in expected.items():
        if not _agree(outputs[name], reference):
            return None, f"CUDA gave other '{name}' than the CPU"
    return session, ""


def _agree(got: npt.NDArray[Any], expected: npt.NDArray[Any]) -> bool:
    """Same values within the tolerance; sorted, since equal candidates may come in another order."""
    if got.shape != expected.shape or not np.isfinite(got).all():
        return False
    scale = max(float(np.abs(expected).max(initial=0.0)), 1e-6)
    return float(np.abs(np.sort(got, None) - np.sort(expected, None)).max(initial=0.0)) <= _TOLERANCE * scale
