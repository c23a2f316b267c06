"""Measures the application, by hand, on a quiet machine; nothing here is part of the suite.

    python -m tests.app.measure startup           process start to the first skeleton on the screen, demo clip, several runs
    python -m tests.app.measure responsiveness    longest time that the screen's thread was blocked beside a slow graph
    python -m tests.app.measure switching         seconds from opening, pausing, going on and stopping until it is so
    python -m tests.app.measure soak --minutes 30 memory and threads while the demo clip runs again and again

Figures go to stdout as JSON. Set QT_QPA_PLATFORM=offscreen, or run it under a (virtual) screen.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

BEGAN = "VIPOSE_MEASURE_BEGAN"


def startup(runs: int = 7) -> dict[str, Any]:
    """Seconds from starting the process to the paint that shows the first skeleton; each run has settings of its own."""
    seconds = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {BEGAN: repr(time.time()), "VIPOSE_SETTINGS": folder}
            done = subprocess.run(
                [sys.executable, "-m", "tests.app.measure", "first-skeleton"],
                env=environment, capture_output=True, text=True, check=True, timeout=120,
            )  # fmt: skip
        seconds.append(float(done.stdout.split()[-1]))
    return {"median_s": statistics.median(seconds), "runs_s": [round(s, 3) for s in seconds]}


def first_skeleton() -> None:
    """In a process of its own: open the demo clip at once, print the time of the first painted skeleton, close."""
    from vipose.app import application
    from vipose.app.window import MainWindow

    began = float(os.environ[BEGAN])

    class Window(MainWindow):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.live.canvas.painted.connect(self._painted)

        def _painted(self, _painted_s: float) -> None:
            shown = self.live._shown
            if shown is not None and shown.result.people and not self._closing:
                print(f"{time.time() - began:.4f}", flush=True)
                self.close()

    application.MainWindow = Window
    application.run_application("demo")


class Heartbeat:
    """Ticks on the screen's thread every few milliseconds and notes every gap."""

    def __init__(self, interval_ms: int = 4) -> None:
        from PySide6.QtCore import Qt, QTimer

        self.gaps_ms: list[float] = []
        self.doing = "nothing"
        self.worst: list[tuple[float, str]] = []
        """The longest: milliseconds, and what the user did last."""
        self._interval_ms, self._last = interval_ms, 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        self._last = time.perf_counter()
        self._timer.start(self._interval_ms)

    def stop(self) -> None:
        self._timer.stop()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps_ms.append(max(0.0, (now - self._last) * 1e3 - self._interval_ms))
        if self.gaps_ms[-1] > 20:
            self.worst = sorted([*self.worst, (round(self.gaps_ms[-1], 1), self.doing)])[-5:]
        self._last = now

    def summary(self) -> dict[str, Any]:
        """Milliseconds for which the thread was late: worst, 99.9th and 99th percentile, and how often above 50."""
        ordered = sorted(self.gaps_ms)
        return {
            "ticks": len(ordered),
            "worst_ms": round(ordered[-1], 1),
            "p999_ms": round(ordered[int(len(ordered) * 0.999)], 1),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)], 1),
            "above_50_ms": sum(gap > 50 for gap in ordered),
            "worst": self.worst,
        }


def slow_graph(milliseconds: float) -> Callable[[], None]:
    """A real ONNX graph of convolutions that takes about so long on one core."""
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import helper

    def session(layers: int) -> ort.InferenceSession:
        weight = np.full((64, 64, 3, 3), 1e-3, np.float32)
        nodes = [
            helper.make_node("Conv", [f"x{i}", "w"], [f"x{i + 1}"], pads=[1, 1, 1, 1]) for i in range(layers)
        ]
        shape = [1, 64, 96, 96]
        graph = helper.make_graph(
            nodes, "slow",
            [helper.make_tensor_value_info("x0", onnx.TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(f"x{layers}", onnx.TensorProto.FLOAT, shape)],
            [onnx.numpy_helper.from_array(weight, "w")],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    feed = {"x0": np.ones((1, 64, 96, 96), np.float32)}
    trial = session(8)
    trial.run(None, feed)
    began = time.perf_counter()
    trial.run(None, feed)
    each_ms = (time.perf_counter() - began) * 1e3 / 8
    slow = session(max(1, round(milliseconds / each_ms)))
    return lambda: slow.run(None, feed)


def responsiveness(seconds: float, slow_ms: float) -> dict[str, Any]:
    """Run the demo clip with a graph that takes ``slow_ms`` more on every person, and watch the screen's thread."""
    from vipose.app.core import session_run

    drag = slow_graph(slow_ms)
    spent: list[float] = []
    real = session_run.load

    class Slow:
        def __init__(self, graph: Any) -> None:
            self._graph = graph

        def __getattr__(self, name: str) -> Any:
            return getattr(self._graph, name)

        def __call__(self, *arguments: Any) -> Any:
            began = time.perf_counter()
            drag()
            spent.append((time.perf_counter() - began) * 1e3)
            return self._graph(*arguments)

    def load(options: Any) -> Any:
        mode = real(options)
        return replace(mode, spatial=Slow(mode.spatial), temporal=tuple(Slow(t) for t in mode.temporal))

    session_run.load = load  # type: ignore[assignment]
    beat = Heartbeat()
    frames = _play(seconds, beat, use=_use)
    return {"slow_graph_ms": round(statistics.median(spent), 1), "frames": frames, **beat.summary()}


def _use(window: Any) -> dict[str, Callable[[], object]]:
    """What a user does meanwhile, in order."""
    from vipose.app.window import BATCH, COMPARE, LIVE, RESULTS, SETTINGS

    store, live = window._store, window.live
    return {
        "heatmaps": live.view_bar.step_heat,
        "angles": lambda: live.view_bar.toggle("angles"),
        "record": live.controller.record,
        "follow": lambda: live._follow_person(1),
        "zoom": lambda: [live.canvas.zoom_in() for _ in range(4)],
        "record no more": live.controller.stop_recording,
        "snapshot": live.controller.snapshot,
        "results": lambda: window.show_page(RESULTS),
        "batch": lambda: window.show_page(BATCH),
        "compare": lambda: window.show_page(COMPARE),
        "settings": lambda: window.show_page(SETTINGS),
        "live": lambda: window.show_page(LIVE),
        "period": lambda: store.change_options(period=2),
        "mode": lambda: store.change_options(mode="s-vipnas", period=None),
        "pause": live.controller.toggle,
        "go on": live.controller.toggle,
        "head blur": lambda: live.view_bar.toggle("head_blur"),
        "narrow": lambda: window.resize(960, 600),
        "wide": lambda: window.resize(1500, 900),
    }


def switching(runs: int = 5) -> dict[str, Any]:
    """Median seconds until the demo clip shows its first frame, holds, goes on with another frame, and has stopped."""
    from vipose.app.core.demo import demo_clip
    from vipose.app.core.phases import Phase
    from vipose.app.core.session import LiveSession
    from vipose.runtime.media.sources import SourceSpec
    from vipose.runtime.options import RunOptions

    clip = demo_clip()
    assert clip is not None
    changed = threading.Event()
    session = LiveSession(changed.set, lambda error: None)
    taken: dict[str, list[float]] = {name: [] for name in ("open", "pause", "resume", "stop")}

    def until(name: str, act: Callable[[], None], done: Callable[[], object]) -> None:
        began = time.perf_counter()
        act()
        while not done():
            changed.wait(0.005)
            changed.clear()
        taken[name].append(time.perf_counter() - began)

    for _ in range(runs):
        until("open", lambda: session.open(SourceSpec(str(clip), "video", clip), RunOptions()), session.take)
        time.sleep(0.5)
        until("pause", session.pause, lambda: session.status.phase is Phase.PAUSED)
        time.sleep(0.3)
        session.take()
        until("resume", session.resume, session.take)
        until("stop", session.stop, lambda: session.status.phase is Phase.IDLE)
    session.close()
    return {name: round(statistics.median(seconds), 3) for name, seconds in taken.items()}


def soak(minutes: float) -> dict[str, Any]:
    """Play the demo clip again and again; memory and threads once every 30 seconds."""
    samples: list[dict[str, float]] = []
    began = time.monotonic()

    def sample() -> None:
        samples.append(
            {"s": round(time.monotonic() - began), "rss_mb": round(_rss_mb(), 1), "threads": threading.active_count()}
        )
        print(json.dumps(samples[-1]), flush=True)

    frames = _play(minutes * 60, None, sample, 30_000)
    half = samples[len(samples) // 6 :]  # caches and pools are full after a while
    growth = statistics.linear_regression([s["s"] / 60 for s in half], [s["rss_mb"] for s in half]).slope if len(half) > 2 else 0
    return {"minutes": minutes, "frames": frames, "mb_per_minute": round(growth, 3), "first": half[0], "last": half[-1]}


def _rss_mb() -> float:
    """Resident memory, after what was freed has gone back to the system: glibc keeps some of it for later."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS: this measurement needs Linux")


def _play(
    seconds: float,
    beat: Heartbeat | None,
    sample: Callable[[], None] | None = None,
    every_ms: int = 1000,
    use: Callable[[Any], dict[str, Callable[[], object]]] | None = None,
) -> int:
    """Run the application on the demo clip for so long, playing it again at its end; gives back the frames painted.

    ``use`` names what is done in between, evenly over the time.
    """
    from PySide6.QtCore import QTimer

    from vipose.app.application import make_application
    from vipose.app.core.phases import Phase
    from vipose.app.core.settings import SettingsStore
    from vipose.app.widgets.theme import apply_theme
    from vipose.app.window import MainWindow

    app = make_application(sys.argv[:1])
    with tempfile.TemporaryDirectory() as folder:
        store = SettingsStore(Path(folder) / "settings.json")
        store.change(results_folder=folder, theme="dark")
        apply_theme(app, "dark")
        window = MainWindow(store)
        window.show()
        window.open_text("demo")
        window.prepare()
        painted = 0

        def count(_painted_s: float) -> None:
            nonlocal painted
            painted += 1

        def again(status: Any) -> None:
            if status.phase is Phase.ENDED:
                window.live.controller.toggle()

        window.live.canvas.painted.connect(count)
        window.live.controller.status_changed.connect(again)
        if beat is not None:
            beat_ = beat
            QTimer.singleShot(2000, beat_.start)  # the window itself takes a moment to come up
        ticker = QTimer()
        if sample is not None:
            ticker.timeout.connect(sample)
            ticker.start(every_ms)
        steps = {} if use is None else use(window)
        for number, (name, step) in enumerate(steps.items()):
            QTimer.singleShot(int((3 + (seconds - 5) * number / len(steps)) * 1000), _doing(beat, name, step))

        def end() -> None:
            if beat is not None:
                beat.stop()  # closing waits for threads; it has a limit of its own
            window.close()

        QTimer.singleShot(int(seconds * 1000), end)
        app.exec()
        ticker.stop()
        store.close()
    return painted


def _doing(beat: Heartbeat | None, name: str, step: Callable[[], object]) -> Callable[[], None]:
    def act() -> None:
        if beat is not None:
            beat.doing = name
        step()

    return act


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("startup", "responsiveness", "switching", "soak", "first-skeleton"))
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--slow-ms", type=float, default=200.0)
    args = parser.parse_args()
    if args.what == "first-skeleton":
        first_skeleton()
        return
    measured = {
        "startup": startup,
        "switching": switching,
        "responsiveness": lambda: responsiveness(args.seconds, args.slow_ms),
        "soak": lambda: soak(args.minutes),
    }[args.what]()
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
