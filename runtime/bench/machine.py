"""What a measurement was taken on, and how much memory the process holds."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from vipose.runtime.workers import available_cores

__all__ = ["Machine", "processor_name", "resident_mb", "this_machine"]

_STATM = Path("/proc/self/statm")
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """Processor, cores that this process may use, and versions of what does the work."""

    processor: str
    cores: int
    system: str
    python: str
    onnxruntime: str
    numpy: str
    opencv: str

    def __str__(self) -> str:
        return (
            f"{self.processor}, {self.cores} cores usable, {self.system}; Python {self.python}, "
            f"ONNX Runtime {self.onnxruntime}, numpy {self.numpy}, OpenCV {self.opencv}"
        )


def this_machine() -> Machine:
    """The machine and the installation this runs on."""
    import cv2
    import numpy as np
    import onnxruntime as ort

    return Machine(
        processor=processor_name(),
        cores=available_cores(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        onnxruntime=str(ort.__version__),
        numpy=np.__version__,
        opencv=cv2.__version__,
    )


def processor_name() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model") and value.strip():
                return value.strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine() or "unknown processor"


def resident_mb() -> float | None:
    """Memory in RAM that belongs to this process, MB; None where the system does not tell simply.

    Systems without /proc tell the highest value so far only, which still shows growth.
    """
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError):
        pass
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
