"""Who may import whom: reads every import of the four rooms (docs/architecture.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("runtime", "models", "app", "exported", "assets")
RUNTIME_LIBRARIES = {
    "numpy", "cv2", "av", "onnxruntime", "filterpy", "scipy", "rich", "pycocotools", "cv2_enumerate_cameras", "pyarrow",
    "platformdirs",
}  # fmt: skip
SHARED_WITH_MODELS = (
    "skeleton", "geometry", "codec", "metadata", "metrics", "errors", "graphs", "detect", "media", "shipped",
    "oks", "mpii", "bench.machine", "bench.timing",
)  # fmt: skip
NETWORK = {"socket", "ssl", "urllib.request", "http.client", "ftplib", "requests", "httpx", "urllib3", "huggingface_hub"}
HEAVY = ("numpy", "cv2", "onnxruntime", "av", "scipy", "rich", "filterpy", "pycocotools", "torch", "PySide6")


@dataclass(frozen=True)
class Import:
    """One import: the module that is named in full, and where."""

    room: str
    file: str
    line: int
    module: str
    lazy: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"

    def within(self, *packages: str) -> bool:
        return any(self.module == p or self.module.startswith(p + ".") for p in packages)


def _sources() -> list[Path]:
    return sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))


def _imports_of(path: Path) -> list[Import]:
    parts = path.relative_to(ROOT).parts
    package = ["vipose", *parts[:-1]]
    found: list[Import] = []

    def visit(node: ast.AST, lazy: bool) -> None:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            names = [f"{origin}.{alias.name}" for alias in node.names]
        found.extend(Import(parts[0], "/".join(parts), getattr(node, "lineno", 0), name, lazy) for name in names)
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return found


IMPORTS = [found for path in _sources() for found in _imports_of(path)]


def _from(room: str) -> list[Import]:
    return [found for found in IMPORTS if found.room == room]


def _none(wrong: list[Import]) -> None:
    assert not wrong, "; ".join(map(str, wrong))


def test_imports_are_read() -> None:
    assert any(i.within("numpy") for i in _from("runtime")) and any(i.within("torch") for i in _from("models"))


def test_runtime_never_imports_torch_qt_models_or_app() -> None:
    _none([i for i in _from("runtime") if i.within("torch", "torchvision", "vipose.models", "vipose.app")])
    _none([i for i in _from("runtime") if i.module.split(".")[0].startswith(("PySide", "PyQt", "pyqtgraph"))])


def test_runtime_imports_only_its_libraries() -> None:
    allowed = RUNTIME_LIBRARIES | set(sys.stdlib_module_names) | {"vipose"}
    _none([i for i in _from("runtime") if i.module.split(".")[0] not in allowed])


def test_runtime_cannot_download() -> None:
    _none([i for i in _from("runtime") if i.within(*NETWORK)])


def test_models_import_only_the_shared_part_of_runtime() -> None:
    shared = tuple(f"vipose.runtime.{name}" for name in SHARED_WITH_MODELS)
    _none([i for i in _from("models") if i.within("vipose.runtime") and not i.within(*shared)])
    _none([i for i in _from("models") if i.within("vipose.app") or i.module.startswith(("PySide", "PyQt"))])


def test_shared_part_of_runtime_stays_within_itself() -> None:
    """What models import must not pull the rest of the runtime in by the back door."""
    small = {f"runtime/{name}.py" for name in ("skeleton", "geometry", "codec", "metadata", "errors")}
    shared = tuple(f"vipose.runtime.{name}" for name in SHARED_WITH_MODELS)
    _none([i for i in IMPORTS if i.file in small and i.within("vipose") and not i.within(*shared)])


def test_app_never_imports_models_or_torch() -> None:
    _none([i for i in _from("app") if i.within("vipose.models", "torch")])


def test_app_imports_only_its_libraries() -> None:
    allowed = {"numpy", "platformdirs", "PySide6", "vipose"} | set(sys.stdlib_module_names)
    _none([i for i in _from("app") if i.module.split(".")[0] not in allowed])


def test_app_core_knows_no_qt_and_no_widgets() -> None:
    core = [i for i in IMPORTS if i.file.startswith("app/core/")]
    assert core
    _none([i for i in core if i.within("PySide6", "vipose.app.widgets", "vipose.app.window", "vipose.app.application")])


def test_exported_imports_nothing() -> None:
    _none([i for i in _from("exported") if i.module.split(".")[0] != "__future__"])


def test_ultralytics_only_inside_the_converter_and_only_when_called() -> None:
    found = [i for i in IMPORTS if i.within("ultralytics")]
    _none([i for i in found if not i.file.startswith("models/convert") or not i.lazy])


def test_imports_are_absolute_and_by_the_installed_name() -> None:
    """``import runtime`` works from the checkout's root too and would make a second copy of every module."""
    _none([i for i in IMPORTS if i.module.split(".")[0] in ROOMS])


@pytest.mark.parametrize("path", _sources(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_exception_is_swallowed_blindly(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
            blind = isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            only_pass = all(isinstance(s, ast.Pass | ast.Continue) for s in node.body)
            assert not (blind and only_pass), f"every error is swallowed in line {node.lineno}"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from vipose.runtime.cli import main\n"
        "code = main(['--help'])\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout and "HEAVY []" in done.stdout, done.stdout.splitlines()[-1]
