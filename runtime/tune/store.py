"""The setting that is kept: where, for which machine and which networks, and when it holds no longer."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vipose.runtime.atomic import write_atomically
from vipose.runtime.bench.machine import processor_name
from vipose.runtime.errors import OutputError, UsageError, ViposeError
from vipose.runtime.installed import version as installed_version
from vipose.runtime.modes import detector_path, graph_paths
from vipose.runtime.options import RunOptions
from vipose.runtime.shipped import file_sha256
from vipose.runtime.tune.defaults import TYPES
from vipose.runtime.workers import available_cores

__all__ = [
    "ENVIRONMENT",
    "SCHEMA",
    "Kept",
    "Tuned",
    "fingerprint",
    "graph_hashes",
    "read_tuned",
    "remove_tuned",
    "tuned_defaults",
    "tuned_path",
    "write_tuned",
]

ENVIRONMENT = "VIPOSE_TUNED"
"""Environment variable that names the file, or is ``off``."""
SCHEMA = 2
_MARK = "vipose tuning"
_ONNXRUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
_AGAIN = "run 'vipose tune' again"


@dataclass(frozen=True)
class Tuned:
    """What tuning found.

    Attributes:
        fps: frame rate that was asked for.
        holds: whether the setting holds it.
        setting: in words.
        options: fields of :class:`RunOptions`, those of :data:`TYPES`.
        machine: of :func:`fingerprint`.
        graphs: file -> SHA-256 of the networks.
        measured: all settings, for people who want to look.
        date: when, ISO 8601.
        vipose: version that measured.
    """

    fps: float
    holds: bool
    setting: str
    options: Mapping[str, Any]
    machine: Mapping[str, Any]
    graphs: Mapping[str, str]
    measured: tuple[Mapping[str, Any], ...] = ()
    date: str = ""
    vipose: str = ""

    def run_options(self) -> RunOptions:
        """The options as a run takes them; raises UsageError for a value that is not allowed."""
        return RunOptions(**self.options)

    def __str__(self) -> str:
        rate = f"{self.fps:g} frames a second"
        return f"{self.setting} ({rate if self.holds else f'the fastest, below {rate}'})"


@dataclass(frozen=True)
class Kept:
    """What is kept here: ``tuned``, or None and in ``problem`` one line on why, "" where nothing was kept."""

    tuned: Tuned | None = None
    problem: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """The options that tuning sets, {} for none."""
        return {} if self.tuned is None else dict(self.tuned.options)


def tuned_path() -> Path | None:
    """The file, which need not exist: VIPOSE_TUNED, else in the platform's folder for settings; None where that is ``off``."""
    given = os.environ.get(ENVIRONMENT)
    if given:
        return None if given.lower() == "off" else Path(given).expanduser()
    from platformdirs import user_config_path

    return user_config_path("vipose", appauthor=False) / "tuned.json"


def fingerprint() -> dict[str, Any]:
    """What a measurement depends on: processor, cores that this process may use, package and version of ONNX Runtime."""
    return {"processor": processor_name(), "cores": available_cores(), "onnxruntime": _onnxruntime()}


def graph_hashes(mode: str, precision: str) -> dict[str, str]:
    """File name -> SHA-256 of the graphs of a mode and of the usual detector; raises UsageError or ModelError."""
    spatial, temporal = graph_paths(mode, precision)
    return {path.name: file_sha256(path) for path in (spatial, *temporal, detector_path(precision=precision))}


def tuned_defaults() -> dict[str, Any]:
    """The options that tuning has set on this machine, {} for none: see :func:`vipose.runtime.tune.defaults.under`."""
    return read_tuned().options


def read_tuned() -> Kept:
    """What is kept, if it holds for this machine and its networks. Never raises for a file's content."""
    path = tuned_path()
    if path is None:
        return Kept()
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Kept()
    except (OSError, UnicodeDecodeError):
        return _ignored("the file cannot be read")
    try:
        tuned = _parse(json.loads(text))
        tuned.run_options()
    except (ValueError, TypeError, KeyError, RecursionError, ViposeError):
        return _ignored(f"{path.name} is damaged or from another version")
    for name, now in fingerprint().items():
        if tuned.machine.get(name) != now:
            return _ignored(f"measured with {name} '{tuned.machine.get(name)}', now '{now}'")
    try:
        same = graph_hashes(tuned.options["mode"], tuned.options["precision"]) == tuned.graphs
    except ViposeError:
        return _ignored("a network is missing")
    return Kept(tuned) if same else _ignored("a network has changed")


def write_tuned(tuned: Tuned) -> Path:
    """Keep it, stamped with date and version; returns where.

    Raises:
        UsageError: keeping is switched off.
        OutputError: it cannot be written; what was kept before is still there.
    """
    path = tuned_path()
    if path is None:
        raise UsageError(f"nothing is kept while {ENVIRONMENT} is 'off'; unset it, or give --dry-run")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"file": _MARK, "schema": SCHEMA, **asdict(tuned), "date": now, "vipose": installed_version()}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text, remedy=f"name another file by {ENVIRONMENT}")
    return path


def remove_tuned() -> Path | None:
    """Forget it; returns the file that was deleted, None where there was none. Raises OutputError."""
    path = tuned_path()
    if path is None:
        return None
    try:
        path.unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"{path} cannot be deleted ({error.strerror}); check the folder's permissions") from error
    return path


def _ignored(why: str) -> Kept:
    return Kept(None, f"tuned settings are not used: {why}; {_AGAIN}, or 'vipose tune --reset'")


def _parse(content: Any) -> Tuned:
    """Raises ValueError, TypeError or KeyError for what is no tuning of this schema."""
    if content["file"] != _MARK or content["schema"] != SCHEMA:
        raise ValueError(content["schema"])
    fields = {name: value for name, value in content.items() if name not in ("file", "schema")}
    tuned = Tuned(**fields | {"measured": tuple(content["measured"])})
    kinds = ((tuned.options, dict), (tuned.machine, dict), (tuned.graphs, dict), (tuned.setting, str), (tuned.fps, float | int))
    if not all(isinstance(value, kind) for value, kind in kinds) or tuned.options.keys() != TYPES.keys():
        raise ValueError(content)
    if not all(type(value) in TYPES[name] for name, value in tuned.options.items()):
        raise ValueError(tuned.options)
    return tuned


def _onnxruntime() -> str:
    """All its packages that are installed, with versions; reading them is quicker than importing it."""
    found = []
    for name in _ONNXRUNTIMES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found) or "unknown"
