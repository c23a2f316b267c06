"""What is installed is what is in the checkout: every package, graph and card; sizes, licences and versions."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import sys
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("app", "models", "runtime", "exported")
NETWORKS = (
    "s-vipnas", "person-detector", "t-vipnas-1", "t-vipnas-2", "t-vipnas-3", "efficientpose-a", "posenas-small"
)  # fmt: skip
LIMIT_BYTES = 35_000_000


def _distribution() -> Distribution:
    """The installed one; the checkout may hold an egg-info of an older build."""
    elsewhere = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    return next(iter(distributions(name="vipose", path=elsewhere)))


def _installed(room: str) -> Path:
    return Path(str(importlib.resources.files(f"vipose.{room}")))


def _files(folder: Path, *endings: str) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in endings and "__pycache__" not in path.parts
    }


def _differences(room: str, *endings: str) -> list[str]:
    """Files that only one of the two has, or that are not the same."""
    ours, installed = _files(ROOT / room, *endings), _files(_installed(room), *endings)
    return sorted(name for name in ours.keys() | installed.keys() if ours.get(name) != installed.get(name))


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_is_installed_and_none_is_left_over(room: str) -> None:
    """A sub-package that was forgotten, or a deleted module that came back out of an old build folder."""
    assert _differences(room, ".py") == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_folder_with_modules_is_a_package(room: str) -> None:
    folders = {path.parent for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]


@pytest.mark.parametrize("room", ROOMS)
def test_type_hints_are_declared(room: str) -> None:
    assert (_installed(room) / "py.typed").is_file()


def test_graphs_travel_with_the_package() -> None:
    assert _files(ROOT / "exported", ".onnx") and _differences("exported", ".onnx", ".json", ".jpg", ".txt") == []


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_ships_with_a_card(name: str) -> None:
    folder = _installed("exported")
    assert (folder / f"{name}.onnx").stat().st_size > 10_000
    card = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    assert card, "an empty card"


def test_what_ships_is_small() -> None:
    sizes = {p: p.stat().st_size for room in ("exported", "assets") for p in (ROOT / room).rglob("*") if p.is_file()}
    assert sum(sizes.values()) < LIMIT_BYTES, sorted(sizes.items(), key=lambda item: -item[1])[:5]
    assert (ROOT / "assets" / "demo.mp4").stat().st_size < 1_200_000


def test_the_demo_clip_and_the_icon_are_installed() -> None:
    assert {"demo.mp4", "demo.LICENSE.txt", "icon.svg"} <= {path.name for path in _installed("assets").iterdir()}
    assert _differences("assets", ".mp4", ".svg", ".txt", ".py") == []


def test_demo_clip_has_its_licence_beside_it() -> None:
    licence = (ROOT / "assets" / "demo.LICENSE.txt").read_text(encoding="utf-8")
    attribution = (ROOT / "assets" / "README.md").read_text(encoding="utf-8")
    assert "BSD 3-Clause License" in licence and "perfanalytics" in licence
    assert "David Pagnon" in attribution and "sports2d" in attribution


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert _distribution().version == project["version"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None and newest[1] == project["version"]


def test_the_command_is_installed() -> None:
    scripts = {point.name: point.value for point in _distribution().entry_points if point.group == "console_scripts"}
    assert scripts == {"vipose": "vipose.runtime.cli:main"}


def test_main_job_needs_no_torch_qt_or_copyleft() -> None:
    requires = [r for r in _distribution().requires or () if "extra ==" not in r]
    names = {re.split(r"[^A-Za-z0-9_.-]", r)[0].lower() for r in requires}
    assert "onnxruntime" in names
    assert not names & {"torch", "torchvision", "ultralytics", "pyside6", "pyqt6", "opencv-python"}


def test_links_in_the_readme_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    local = [t for t in targets if "://" not in t]
    assert local and not [t for t in local if not (ROOT / t).exists()]


def test_ci_does_what_the_readme_says() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    readme, ci = (ROOT / "README.md").read_text(encoding="utf-8"), script.read_text(encoding="utf-8")
    for part in ('".[dev]"', "-m pytest"):
        assert part in readme and part in ci, part
