"""The live page in a window without a screen: what the user clicks reaches the session, and what it says is shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPointF, Qt, QTimer
from PySide6.QtWidgets import QToolButton
from pytestqt.qtbot import QtBot

from tests.app.live import FakeSource, people_picture
from vipose.app.core import session_run
from vipose.app.core.cameras import CameraWatch
from vipose.app.core.drop import Drop
from vipose.app.core.phases import Phase
from vipose.app.core.recording_status import RecordingPhase
from vipose.app.core.settings import SettingsStore
from vipose.app.core.viewstate import HEAT_ALL
from vipose.app.widgets import source_bar
from vipose.app.widgets.live_page import LivePage
from vipose.runtime.errors import DeviceError
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.modes import Mode
from vipose.runtime.options import RunOptions
from vipose.runtime.results.native import read_native

SPEC = SourceSpec("camera:0", "camera", device=0)
PICTURE = people_picture()


class Stage:
    """A live page with a camera of our own."""

    def __init__(self, qtbot: QtBot, folder: Path) -> None:
        self.qtbot = qtbot
        self.make: Callable[[], FakeSource] = lambda: FakeSource(PICTURE)
        self.sources: list[FakeSource] = []
        self.store = SettingsStore()
        self.store.change_options(threads=1)
        self.store.change(results_folder=str(folder))
        self.watch = CameraWatch(lister=list)
        self.page = LivePage(self.store, self.watch)
        self.problems: list[object] = []
        self.page.problem.connect(self.problems.append)
        qtbot.addWidget(self.page)
        self.page.resize(1300, 800)
        self.page.show()

    def open_source(self, *_: object) -> FakeSource:
        self.sources.append(self.make())
        return self.sources[-1]

    @property
    def phase(self) -> Phase:
        return self.page.controller.status.phase

    def wait(self, condition: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=20_000)

    def run(self) -> None:
        self.page.open(SPEC)
        self.wait(lambda: self.people)

    @property
    def people(self) -> tuple[int, ...]:
        shown = self.page.canvas.shown
        return () if shown is None else tuple(person.id for person in shown.result.people)

    def press(self, name: str) -> None:
        """The button with this accessible name or text."""
        found = [
            b for b in self.page.findChildren(QToolButton) if name in (b.accessibleName(), b.text()) and b.isVisible()
        ]
        assert len(found) == 1, f"{name}: {[b.text() for b in found]}"
        self.qtbot.mouseClick(found[0], Qt.MouseButton.LeftButton)


@pytest.fixture
def stage(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage(qtbot, tmp_path / "out")
    monkeypatch.setattr(session_run, "open_chosen", stage.open_source)
    yield stage
    stage.page.close_down()
    stage.watch.close()
    stage.store.close()


def test_the_first_screen_is_there_until_something_is_opened(stage: Stage) -> None:
    assert stage.page.welcome.isVisible() and not stage.page.controls.isVisible()
    stage.run()
    assert stage.page.canvas.isVisible() and stage.page.controls.isVisible() and not stage.page.welcome.isVisible()


def test_one_click_starts_the_demo_clip(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[SourceSpec] = []
    stage.page.source_bar.chosen.connect(opened.append)
    stage.qtbot.mouseClick(stage.page.welcome.demo_button, Qt.MouseButton.LeftButton)
    stage.wait(lambda: stage.phase is Phase.RUNNING)
    assert opened[0].path is not None and opened[0].path.name == "demo.mp4"


def test_stop_also_ends_what_is_still_looked_at(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run()
    look, looked = threading.Event(), threading.Event()

    def slow(_texts: object) -> Drop:
        look.wait(10)
        looked.set()
        return Drop("live", ("late",), spec=SPEC)

    monkeypatch.setattr(source_bar, "sort_out", slow)
    stage.page.source_bar.open_text("/network/late.mp4")
    stage.press("Stop")
    look.set()
    assert looked.wait(10)
    stage.qtbot.wait(100)
    stage.wait(lambda: stage.phase is Phase.IDLE)
    assert len(stage.sources) == 1


def test_pause_go_on_and_stop(stage: Stage) -> None:
    stage.run()
    stage.press("Pause")
    stage.wait(lambda: stage.phase is Phase.PAUSED)
    stage.press("Go on")
    stage.wait(lambda: stage.phase is Phase.RUNNING)
    stage.press("Stop")
    stage.wait(lambda: stage.phase is Phase.IDLE)
    assert stage.page.canvas.shown is None and stage.sources[0].closed.is_set()
    stage.press("Start")
    stage.wait(lambda: stage.people)
    assert len(stage.sources) == 2


def test_the_space_bar_pauses(stage: Stage) -> None:
    stage.run()
    stage.page.canvas.setFocus()
    stage.qtbot.keyClick(stage.page.canvas, Qt.Key.Key_Space)
    stage.wait(lambda: stage.phase is Phase.PAUSED)


def test_options_change_what_runs(stage: Stage) -> None:
    stage.run()
    stage.page.controls.editors["period"].set_value(1)
    stage.page.controls.editors["period"].changed.emit(1)
    assert stage.store.current.options.period == 1
    stage.wait(
        lambda: stage.page.canvas.shown is not None
        and stage.people
        and all(p.why == "every" for p in stage.page.canvas.shown.result.people)
    )
    stage.store.change_options(mode="s-vipnas")
    stage.wait(lambda: stage.page.controller.status.mode == "s-vipnas")
    assert stage.page.controls.editors["mode"].value() == "s-vipnas"


@pytest.mark.parametrize(
    ("button", "of", "name"),
    [
        ("Skeletons", "view", "skeletons"), ("Boxes", "view", "boxes"), ("Labels", "view", "labels"),
        ("Angles", "view", "angles"), ("Smoothed", "view", "smoothed"), ("Hide video", "options", "black_background"),
        ("Mirror", "options", "mirror"), ("Blur heads", "options", "head_blur"),
    ],
)  # fmt: skip
def test_each_layer_has_a_toggle(stage: Stage, button: str, of: str, name: str) -> None:
    stage.run()
    before = getattr(getattr(stage.store.current, of), name)
    stage.press(button)
    assert getattr(getattr(stage.store.current, of), name) is not before
    stage.press(button)
    assert getattr(getattr(stage.store.current, of), name) is before


@pytest.mark.parametrize("key", ["S", "B", "L", "A", "V", "M", "P"])
def test_each_layer_has_a_key(stage: Stage, key: str) -> None:
    stage.run()
    stage.page.canvas.setFocus()
    before = stage.store.current
    stage.qtbot.keyClick(stage.page.canvas, key)
    assert stage.store.current != before


def test_heatmaps_are_shown_when_chosen(stage: Stage) -> None:
    stage.run()
    stage.page.canvas.setFocus()
    stage.qtbot.keyClick(stage.page.canvas, "H")
    assert stage.store.current.view.heat == HEAT_ALL
    stage.wait(lambda: stage.page.canvas.shown is not None and stage.page.canvas.shown.heat)


def test_a_click_follows_a_person_and_escape_ends_it(stage: Stage) -> None:
    stage.run()
    stage.press("Pause")
    stage.wait(lambda: stage.phase is Phase.PAUSED)
    followed: list[object] = []
    stage.page.canvas.person_clicked.connect(followed.append)
    scene = stage.page.canvas.scene()
    assert scene is not None
    person = scene.result.people[0]  # in pixels of the widget
    middle = (person.box[:2] + person.box[2:]) / 2
    place = QPointF(float(middle[0]), float(middle[1])).toPoint()
    stage.qtbot.mouseClick(stage.page.canvas, Qt.MouseButton.LeftButton, pos=place)
    assert followed == [person.id]
    stage.qtbot.keyClick(stage.page.canvas, Qt.Key.Key_Escape)
    assert stage.page._followed is None


def test_the_latency_panel_gets_every_frame_that_is_shown(stage: Stage) -> None:
    stage.run()
    statistics = stage.page.latency.statistics
    stage.wait(lambda: statistics.summary(time.monotonic()).fps is not None)
    summary = statistics.summary(time.monotonic())
    assert summary.age_ms is not None and summary.age_ms.median > 0 and summary.provider == "cpu"


def test_record_writes_a_video_and_results_that_open(stage: Stage) -> None:
    stage.run()
    stage.press("Record")
    stage.wait(lambda: (status := stage.page.controller.recording) is not None and status.frames > 5)
    stage.page.controller.stop_recording()
    stage.wait(lambda: not stage.page.controller.is_recording)
    status = stage.page.controller.recording
    assert status is not None and status.phase is RecordingPhase.DONE, status
    assert status.path is not None and status.path.is_file() and status.results is not None
    results = read_native(status.results)
    frames = list(results)
    assert len(frames) == status.frames and results.header.graphs["s-vipnas"]
    assert any(frame.people for frame in frames)


def test_a_camera_that_goes_away_completes_the_recording(stage: Stage) -> None:
    stage.run()
    stage.press("Record")
    stage.wait(lambda: (status := stage.page.controller.recording) is not None and status.frames > 3)
    stage.sources[0].unplug()
    stage.wait(lambda: stage.phase in (Phase.RECONNECTING, Phase.RUNNING) and not stage.page.controller.is_recording)
    status = stage.page.controller.recording
    assert status is not None and status.phase is RecordingPhase.DONE


def test_a_snapshot_is_written(stage: Stage) -> None:
    stage.run()
    with stage.qtbot.waitSignal(stage.page.controller.snapshot_written, timeout=20_000) as written:
        stage.press("Snapshot")
    assert Path(written.args[0]).is_file()


def test_a_camera_that_cannot_be_opened_is_a_problem_and_says_so(stage: Stage) -> None:
    def refuse() -> FakeSource:
        raise DeviceError("camera:0 does not open; it is missing, in use or forbidden")

    stage.make = refuse
    stage.page.open(SPEC)
    stage.wait(lambda: stage.problems)
    assert isinstance(stage.problems[0], DeviceError) and stage.phase is Phase.FAILED
    assert "tries again" in stage.page.transport.words


def test_what_was_got_is_said_for_a_camera(stage: Stage) -> None:
    stage.run()
    assert f"{PICTURE.shape[1]}x{PICTURE.shape[0]}" in stage.page.source_bar.got.text()


def test_busy_while_recording_only(stage: Stage) -> None:
    stage.run()
    assert stage.page.busy() == ""
    stage.press("Record")
    stage.wait(lambda: stage.page.controller.is_recording)
    assert "recording" in stage.page.busy()


def test_a_narrow_page_leaves_the_room_to_the_picture(stage: Stage) -> None:
    stage.run()
    assert stage.page.controls.isVisible() and stage.page.panel_button.isChecked()
    stage.page.resize(900, 700)
    assert not stage.page.controls.isVisible() and not stage.page.panel_button.isChecked()
    stage.press("Controls and latency")
    assert stage.page.controls.isVisible() and stage.page.latency.isVisible()
    stage.press("Controls and latency")
    assert not stage.page.controls.isVisible()


def test_a_camera_that_is_asked_for_another_resolution_is_opened_anew(stage: Stage) -> None:
    stage.run()
    stage.store.change_options(camera_size=(640, 480))
    stage.wait(lambda: len(stage.sources) == 2 and stage.phase is Phase.RUNNING)
    assert stage.sources[0].closed.is_set()
    stage.press("Record")
    stage.wait(lambda: stage.page.controller.is_recording)
    stage.store.change_options(camera_size=(1280, 720))
    assert stage.phase is Phase.RUNNING and len(stage.sources) == 2, "a recording is not cut"


def test_nobody_is_followed_into_another_source(stage: Stage) -> None:
    stage.run()
    stage.page._follow_person(1)
    stage.page.open(SPEC)
    stage.wait(lambda: stage.page._followed is None)


def test_the_screen_goes_on_while_a_graph_is_slow(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two frames of a graph that takes 0.2 s the screen's thread takes many turns: it waits for nobody."""
    real = session_run.load

    class Slow:
        def __init__(self, graph: Any) -> None:
            self._graph = graph

        def __getattr__(self, name: str) -> Any:
            return getattr(self._graph, name)

        def __call__(self, *arguments: Any) -> Any:
            time.sleep(0.2)  # as ONNX Runtime does, it lets other threads run
            return self._graph(*arguments)

    def load(options: RunOptions) -> Mode:
        mode = real(options)
        return replace(mode, spatial=Slow(mode.spatial), temporal=(), period=1)

    monkeypatch.setattr(session_run, "load", load)
    stage.store.change_options(mode="s-vipnas")
    turns: list[int] = [0]
    frames: list[int] = []
    beat = QTimer()
    beat.timeout.connect(lambda: turns.__setitem__(0, turns[0] + 1))
    stage.page.controller.frame_arrived.connect(lambda _shown: frames.append(turns[0]))
    stage.run()
    beat.start(5)
    stage.wait(lambda: len(frames) > 5)
    beat.stop()
    assert frames[-1] - frames[-3] > 10
