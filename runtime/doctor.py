"""Examines an installation, offline: every check says what it found and, where something is wrong, what to do.

``python -m vipose.runtime.doctor --write-expected`` renews the expected keypoints of the self-test after new graphs were
exported.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from vipose.runtime import installed
from vipose.runtime.errors import ModelError, ViposeError
from vipose.runtime.graphs import load_graph
from vipose.runtime.library import own_folder, own_graphs, shadowed
from vipose.runtime.modes import MODES
from vipose.runtime.onnxfile import read_metadata
from vipose.runtime.providers import CPU, CUDA, first_line, listed_providers
from vipose.runtime.shipped import DETECTOR, PRECISIONS, GraphFile, file_sha256, shipped_graphs
from vipose.runtime.workers import available_cores

__all__ = ["CHECKS", "Check", "Status", "examine", "required_graphs"]

Status = Literal["ok", "warning", "problem"]
GB = 1e9
_ONNXRUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
_OPENCVS = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)
_LOW_DISK_GB, _LOW_MEMORY_GB = 1.0, 0.5


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was examined.
        status: ok, warning (works, but) or problem (something will not work).
        found: one line.
        remedy: what to do; "" when ok.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


def examine(*, self_test: bool = False, names: Collection[str] | None = None) -> list[Check]:
    """All findings, in the order of :data:`CHECKS`.

    Args:
        self_test: also run the networks on the shipped picture.
        names: of :data:`CHECKS`, to make only these.
    """
    chosen = [(name, check) for name, check in CHECKS.items() if names is None or name in names]
    checks = [*chosen, *([("self-test", check_self_test)] if self_test else [])]
    found: list[Check] = []
    for name, check in checks:
        try:
            found.extend(check())
        except ImportError as error:
            found.append(Check(name, "problem", f"cannot be imported: {first_line(error)}", "install vipose again"))
        except ViposeError as error:
            what, _, remedy = str(error).rpartition("; ")
            found.append(Check(name, "problem", what or remedy, remedy if what else "install vipose again"))
    return found


def check_system() -> Iterable[Check]:
    """Versions of vipose, Python and the operating system."""
    python = platform.python_version()
    yield Check("vipose", "ok", f"{_version('vipose') or 'not installed'}, {Path(__file__).parent}")
    yield Check("python", "ok", f"{python} ({platform.python_implementation()}), {sys.executable}")
    yield Check("system", "ok", f"{platform.system()} {platform.release()}, {platform.machine()}")


def check_processor() -> Iterable[Check]:
    """Cores that may be used, and the instruction sets that decide the speed."""
    import cv2

    # OpenCV's numbers (core/hal/interface.h); its Python module has no names for them.
    flags = [name for number, name in _CPU_FEATURES.items() if cv2.checkHardwareSupport(number)]
    cores, total = available_cores(), os.cpu_count() or 1
    text = f"{_processor_name()}, {cores} of {total} cores usable, {' '.join(flags) or 'no vector flags known'}"
    if platform.machine().lower() in ("x86_64", "amd64") and "AVX2" not in flags:
        yield Check("processor", "warning", text, "without AVX2 networks run several times slower; use another machine")
    else:
        yield Check("processor", "ok", text)


_CPU_FEATURES = {11: "AVX2", 12: "FMA3", 256: "AVX-512", 100: "NEON"}


def _processor_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    match = re.search(r"model name\s*:\s*(.+)", text)
    return match[1].strip() if match else platform.processor() or platform.machine()


def check_memory() -> Iterable[Check]:
    """Memory that is free for programs."""
    total, free = _memory()
    if total is None:
        yield Check("memory", "ok", "unknown on this system")
        return
    text = f"{total / GB:.1f} GB" + ("" if free is None else f", {free / GB:.1f} GB available")
    if free is not None and free < _LOW_MEMORY_GB * GB:
        yield Check("memory", "warning", text, "close other programs; a run needs about 0.5 GB")
    else:
        yield Check("memory", "ok", text)


def _memory() -> tuple[float | None, float | None]:
    """Total and available bytes, None where unknown."""
    try:
        rows = dict(row.split(":", 1) for row in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        return tuple(int(rows[key].split()[0]) * 1024.0 for key in ("MemTotal", "MemAvailable"))  # type: ignore[return-value]
    except (OSError, ValueError, KeyError):
        pass  # not Linux: ask the C library
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE"), None
    return None, None


def check_disk() -> Iterable[Check]:
    """Space and permission where results go by default and where temporary files go."""
    for name, folder in (("this folder", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        text = f"{name} {folder}: {free / GB:.1f} GB free"
        if not os.access(folder, os.W_OK):
            yield Check("disk", "warning", f"{text}, not writable", "run elsewhere or give -o in a folder of yours")
        elif free < _LOW_DISK_GB * GB:
            yield Check("disk", "warning", text, "free some space; a minute of video takes about 50 MB")
        else:
            yield Check("disk", "ok", text)


def check_onnxruntime() -> Iterable[Check]:
    """Version, and packages that overwrite each other."""
    import onnxruntime

    there = [name for name in _ONNXRUNTIMES if _version(name)]
    text = f"{onnxruntime.__version__} ({', '.join(there) or 'package unknown'})"
    if len(there) > 1:
        names = " ".join(there)
        remedy = f"they overwrite each other and the CPU wins: pip uninstall {names}, then install one of them"
        yield Check("onnxruntime", "problem", text, remedy)
    else:
        yield Check("onnxruntime", "ok", text)


def check_providers() -> Iterable[Check]:
    """Providers that ONNX Runtime lists, each tried with a shipped graph."""
    graphs = shipped_graphs()
    if not graphs:
        yield Check("providers", "problem", "no graph to try them with", "install vipose again")
        return
    listed = listed_providers()
    report = load_graph(graphs[0].path, device="cuda" if CUDA in listed else "cpu").provider
    tried = {CPU: "runs", CUDA: "runs" if report.running == "cuda" else report.reason}
    text = ", ".join(f"{name.removesuffix('ExecutionProvider')}: {tried.get(name, 'not used')}" for name in listed)
    if CUDA in listed and report.running != "cuda":
        remedy = "everything runs on the CPU; update the driver, CUDA and cuDNN to what this onnxruntime-gpu wants"
        yield Check("providers", "warning", text, remedy)
    else:
        yield Check("providers", "ok", text)


def check_opencv() -> Iterable[Check]:
    """Version and flavour: the one with windows brings a Qt of its own."""
    import cv2

    there = [name for name in _OPENCVS if _version(name)]
    text = f"{cv2.__version__} ({', '.join(there) or 'package unknown'})"
    if len(there) > 1:
        remedy = f"they overwrite each other: pip uninstall {' '.join(there)}, then pip install opencv-python-headless"
        yield Check("opencv", "warning", text, remedy)
    elif there and "headless" not in there[0]:
        remedy = "its Qt clashes with the desktop application: replace it by opencv-python-headless"
        yield Check("opencv", "warning", text, remedy)
    else:
        yield Check("opencv", "ok", text)


def check_av() -> Iterable[Check]:
    """PyAV, its FFmpeg libraries and the H.264 encoder."""
    import av
    from av.codec import Codec

    version = ".".join(str(part) for part in av.library_versions["libavcodec"])
    text = f"{av.__version__}, libavcodec {version}"
    try:
        Codec("libx264", "w")
    except ValueError:
        yield Check("av", "problem", f"{text}, no libx264", "videos cannot be written: pip install --force-reinstall av")
    else:
        yield Check("av", "ok", f"{text}, H.264 by libx264")


def check_cameras() -> Iterable[Check]:
    """Cameras by name; none is no fault."""
    from vipose.runtime.media.camera import list_cameras

    names = [camera.name for camera in list_cameras()]
    yield Check("cameras", "ok", ", ".join(names) or "none found")


def required_graphs() -> list[str]:
    """Names of all graphs that the modes that ship and the default detector need."""
    needed = [name for spec in MODES.values() if spec.ships for name in (spec.spatial, *spec.temporal)]
    return list(dict.fromkeys([*needed, DETECTOR]))


def check_graphs() -> Iterable[Check]:
    """Every shipped graph against the SHA-256 on its card, and whether one is missing."""
    graphs = shipped_graphs()
    yield from _missing(graphs)
    faults = [fault for graph in graphs for fault in _hash_fault(graph)]
    for fault in faults:
        yield Check("graphs", "problem", fault, "install vipose again")
    if graphs and not faults:
        size = sum(graph.path.stat().st_size for graph in graphs) / 1e6
        yield Check("graphs", "ok", f"{len(graphs)} files, {size:.1f} MB, as on their cards")


def _missing(graphs: list[GraphFile]) -> Iterable[Check]:
    """Graphs that a mode that ships needs as fp16, and further precisions of which their cards tell."""
    there = {(graph.name, graph.precision) for graph in graphs}
    told = {(graph.name, precision) for graph in graphs for precision in graph.card.get("files") or {}}
    needed = {(name, "fp16") for name in required_graphs()}
    for precision in PRECISIONS:
        missing = sorted(name for name, p in (needed | told) - there if p == precision)
        if missing:
            status: Status = "problem" if precision == "fp16" else "warning"
            yield Check("graphs", status, f"missing ({precision}): {', '.join(missing)}", "install vipose again")


def _hash_fault(graph: GraphFile) -> Iterable[str]:
    if graph.card_sha256 is None:
        yield f"{graph.path.name} has no card with its SHA-256"
    elif file_sha256(graph.path) != graph.card_sha256:
        yield f"{graph.path.name} is not the file of its card (SHA-256 differs)"


def check_own_graphs() -> Iterable[Check]:
    """The user's graphs: whether they can be read, and whether one is never run since a graph of its name ships."""
    graphs = own_graphs()
    faults = []
    for graph in graphs:
        if shadowed(graph.name):
            faults.append((f"{graph.path.name} is not used, since a graph of that name ships", "give it another name"))
            continue
        try:
            read_metadata(graph.path)
        except ModelError as error:
            faults.append((str(error), f"remove it ('vipose models remove {graph.name}') or import it again"))
    for fault, remedy in faults:
        yield Check("own graphs", "warning", fault, remedy)
    if not faults:
        names = dict.fromkeys(graph.name for graph in graphs)
        yield Check("own graphs", "ok", f"{', '.join(names) or 'none'} in {own_folder()}")


def check_self_test() -> Iterable[Check]:
    """The shipped networks on the shipped picture, against the expected keypoints."""
    from vipose.runtime.selftest import compare, expected_keypoints, run_self_test

    faults = compare(run_self_test(), expected_keypoints())
    for fault in faults:
        yield Check("self-test", "problem", fault, "install vipose again; report it if that does not help")
    if not faults:
        yield Check("self-test", "ok", "detector and all pose networks find the expected keypoints")


CHECKS: dict[str, Callable[[], Iterable[Check]]] = {
    "system": check_system,
    "processor": check_processor,
    "memory": check_memory,
    "disk": check_disk,
    "onnxruntime": check_onnxruntime,
    "providers": check_providers,
    "opencv": check_opencv,
    "av": check_av,
    "cameras": check_cameras,
    "graphs": check_graphs,
    "own graphs": check_own_graphs,
}
"""What is always examined, by name."""


def _version(distribution: str) -> str | None:
    try:
        return installed.version() if distribution == "vipose" else metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    from vipose.runtime.selftest import write_expected

    if sys.argv[1:] != ["--write-expected"]:
        sys.exit("usage: python -m vipose.runtime.doctor --write-expected ('vipose doctor' examines)")
    try:
        print(f"wrote {write_expected()}")
    except ViposeError as error:
        sys.exit(f"vipose: {error}")
