"""Takes the pictures of docs/app.md from a real window, by hand:

    xvfb-run -a -s "-screen 0 1600x1000x24" python -m tests.app.screenshots docs

Every picture shows the application at work on the demo clip; nothing is drawn afterwards.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SIZE = (1360, 840)


def main() -> None:
    """Write all pictures into the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="one of live, results, batch, compare, settings, welcome")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        home = Path(made) / "coach"
        home.mkdir()
        os.environ["HOME"] = str(home)
        os.environ.pop("VIPOSE_TUNED", None)
        os.environ["XDG_CONFIG_HOME"] = str(home / ".config")
        os.environ.setdefault("QT_QPA_PLATFORM", "xcb")
        _take_all(args.folder.resolve(), args.only)


def _take_all(folder: Path, only: str) -> None:
    from PySide6.QtWidgets import QApplication

    from vipose.app.application import make_application

    app = make_application(sys.argv[:1])
    assert isinstance(app, QApplication)
    for name, take in (
        ("welcome", _welcome), ("live", _live), ("results", _results), ("batch", _batch), ("compare", _compare),
        ("settings", _settings),
    ):  # fmt: skip
        if only in ("", name):
            take(app, folder)


@contextmanager
def _window(app: Any, theme: str) -> Iterator[Any]:
    from vipose.app.core.settings import SettingsStore
    from vipose.app.widgets.theme import apply_theme
    from vipose.app.window import MainWindow

    store = SettingsStore()
    store.reset()
    store.change(theme=theme)
    apply_theme(app, store.current.theme)
    window = MainWindow(store)
    window.resize(*SIZE)
    window.show()
    _wait(500)
    try:
        yield window
    finally:
        window._closing = True
        window.close()
        store.close()
        window.deleteLater()
        _wait(100)


def _wait(milliseconds: int) -> None:
    from PySide6.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def _save(widget: Any, path: Path) -> None:
    if not widget.grab().save(str(path), quality=88 if path.suffix == ".jpg" else 0):  # 0: PNG as small as it gets
        raise SystemExit(f"{path} cannot be written")
    print(path)


def _press(page: Any, text: str) -> None:
    from PySide6.QtWidgets import QAbstractButton

    next(button for button in page.findChildren(QAbstractButton) if button.text() == text).click()


def _demo() -> Path:
    from vipose.app.core.demo import demo_clip

    clip = demo_clip()
    assert clip is not None
    return clip


def _welcome(app: Any, folder: Path) -> None:
    with _window(app, "light") as window:
        _save(window, folder / "app-welcome.png")


def _live(app: Any, folder: Path) -> None:
    with _window(app, "dark") as window:
        window.open_text("demo")
        _wait(4800)
        _save(window, folder / "app-live.jpg")
        window.live.controller.toggle()
        _wait(400)
        window.live.view_bar.step_heat()
        window.live.view_bar.toggle("angles")
        _wait(500)
        _save(window.live.canvas, folder / "app-heat.jpg")
        _save(window.live.latency, folder / "app-latency.png")


def _results(app: Any, folder: Path) -> None:
    from vipose.app.window import RESULTS

    with tempfile.TemporaryDirectory() as made:
        path = _run(_demo(), Path(made))
        with _window(app, "light") as window:
            window.open_results(path)
            window.show_page(RESULTS)
            _wait(2500)
            window.page(RESULTS).playback.seek(141)
            _wait(1200)
            _save(window, folder / "app-results.jpg")


def _run(source: Path, folder: Path) -> Path:
    from vipose.runtime.cli import main as command

    assert command(["run", str(source), "-o", str(folder / "demo.mp4"), "--quiet"]) == 0
    return folder / "demo.jsonl"


def _batch(app: Any, folder: Path) -> None:
    from vipose.app.window import BATCH

    with tempfile.TemporaryDirectory() as made:
        names = ("squat left.mp4", "squat front.mp4", "wall flip.mp4", "sprint start.mp4")
        for name in names:
            shutil.copy(_demo(), Path(made) / name)
        (Path(made) / "broken.mp4").write_bytes(b"not a video")
        with _window(app, "light") as window:
            window.show_page(BATCH)
            window.page(BATCH).add_sources([str(Path(made) / name) for name in (*names, "broken.mp4")])
            _wait(1500)
            _press(window.page(BATCH), "Start")
            _wait(6500)
            _save(window, folder / "app-batch.png")


def _compare(app: Any, folder: Path) -> None:
    from vipose.app.window import COMPARE
    from vipose.runtime.media.sources import SourceSpec

    with _window(app, "dark") as window:
        window.show_page(COMPARE)
        window.page(COMPARE).open_source(SourceSpec(str(_demo()), "video", _demo()))
        _wait(6000)
        _save(window, folder / "app-compare.jpg")


def _settings(app: Any, folder: Path) -> None:
    from vipose.app.window import SETTINGS

    with _window(app, "light") as window:
        window.show_page(SETTINGS)
        _wait(900)
        _save(window, folder / "app-settings.png")


if __name__ == "__main__":
    main()
