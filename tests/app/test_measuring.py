"""'Measure this computer': a thread that tells how far it is, can be ended, and changes the settings only when it is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from vipose.app.core.measuring import RATES, Measuring
from vipose.app.core.phases import Phase
from vipose.app.core.session import SessionStatus
from vipose.app.core.settings import SettingsStore
from vipose.app.widgets.settings_page import SettingsPage
from vipose.app.window import BATCH, COMPARE, SETTINGS, MainWindow
from vipose.runtime.errors import InputError, ViposeError
from vipose.runtime.media.sources import SourceSpec
from vipose.runtime.modes import graph_paths
from vipose.runtime.options import RunOptions
from vipose.runtime.tune import tuning
from vipose.runtime.tune.candidates import Network, Setting
from vipose.runtime.tune.choose import Choice
from vipose.runtime.tune.measure import Measured
from vipose.runtime.tune.store import read_tuned

Tick = Callable[[str, float], None]


class Machine:
    """Stands in for ``tune``: ticks until it is let go, then finds that key frames every 2 are best."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.go = threading.Event()
        self.ticking = threading.Event()
        self.error: Exception | None = None

    def __call__(self, clip: object, fps: float, *, seconds: float, tick: Tick) -> tuning.Tuning:
        self.asked.append(fps)
        share = 0.0
        while not self.go.wait(0.02):
            share = min(1.0, share + 0.1)
            tick("first look", share)
            self.ticking.set()
        if self.error is not None:
            raise self.error
        network = Network("t-vipnas", "auto", graph_paths("t-vipnas")[0], 4, 0.4, (0.0,) * 4, (False,) * 4)
        row = Measured(Setting("t-vipnas", 2, 1, 15), network, 5.0, 9.0, 6.0, 100, 2.0)
        return tuning.Tuning(fps, Choice(row, True), (row,), "CPU", 2.0, ("it was noisy",))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    made = Machine()
    monkeypatch.setenv("VIPOSE_TUNED", str(tmp_path / "tuned.json"))
    monkeypatch.setattr(tuning, "tune", made)
    yield made
    made.go.set()


@pytest.fixture
def page(qtbot: QtBot, tmp_path: Path) -> Iterator[SettingsPage]:
    made = SettingsPage(SettingsStore(tmp_path / "settings.json"))
    qtbot.addWidget(made)
    made.show()
    yield made
    made.close_down()


def test_a_measurement_is_kept_and_told(machine: Machine) -> None:
    told: list[tuple[str, float]] = []
    measuring = Measuring(60.0, lambda: told.append(measuring.doing) if machine.asked else None)
    assert machine.ticking.wait(10) and not measuring.finished
    machine.go.set()
    found = measuring.result()
    assert found is not None and found.notes == ("it was noisy",) and machine.asked == [60.0]
    assert read_tuned().options == dict(found.tuned.options) and found.tuned.options["period"] == 2
    assert ("first look", 0.1) in told and measuring.finished
    measuring.close()


def test_what_is_cancelled_keeps_nothing(machine: Machine, tmp_path: Path) -> None:
    measuring = Measuring(30.0, lambda: None)
    assert machine.ticking.wait(10)
    measuring.close()
    assert measuring.finished and measuring.result() is None and not (tmp_path / "tuned.json").exists()


@pytest.mark.parametrize(
    "error, line", [(InputError("no people"), "no people"), (KeyError("x"), "vipose-measuring failed .* please report it")]
)
def test_what_fails_is_one_line(machine: Machine, error: Exception, line: str) -> None:
    machine.error = error
    machine.go.set()
    with pytest.raises(ViposeError, match=line):
        Measuring(30.0, lambda: None).result()


def test_the_button_measures_and_the_setting_is_in_use(qtbot: QtBot, machine: Machine, page: SettingsPage) -> None:
    store, bar = page._store, page.tuning
    store.change_options(mode="s-vipnas", max_people=3)
    assert "measure this one" in bar.said.text() and bar.button.text() == "Measure this computer"
    bar.rate.setCurrentIndex(RATES.index(50))
    bar.button.click()
    assert bar.button.text() == "Cancel" and not bar.rate.isEnabled()
    qtbot.waitUntil(lambda: "first look" in bar.said.text(), timeout=10_000)
    machine.go.set()
    qtbot.waitUntil(lambda: bar.button.text() != "Cancel", timeout=10_000)
    assert machine.asked == [50.0]
    assert store.current.options == RunOptions(period=2, threads=1, detect_every=15, max_people=3)
    assert bar.said.text().startswith("Tuned for this computer: t-vipnas, key frame every 2")
    assert bar.said.text().endswith("note: it was noisy.")
    assert not page.rows["period"].back.isVisible()  # it is the default now
    store.change_options(period=4)
    page.rows["period"].back.click()
    assert store.current.options.period == 2
    store.flush()
    assert SettingsStore(store.path, tuned=read_tuned().options).current == store.current


def test_the_button_ends_a_measurement(qtbot: QtBot, machine: Machine, page: SettingsPage) -> None:
    before = page._store.current
    page.tuning.button.click()
    assert machine.ticking.wait(10)
    page.tuning.button.click()
    qtbot.waitUntil(lambda: page.tuning.button.text() != "Cancel", timeout=10_000)
    assert page.tuning.button.isEnabled() and page._store.current == before


def test_a_failure_is_shown_and_changes_nothing(qtbot: QtBot, machine: Machine, page: SettingsPage) -> None:
    machine.error = InputError("hardly anybody is found")
    machine.go.set()
    before, problems = page._store.current, []
    page.problem.connect(problems.append)
    page.tuning.button.click()
    qtbot.waitUntil(lambda: bool(problems), timeout=10_000)
    assert str(problems[0]) == "hardly anybody is found" and page._store.current == before
    assert page.tuning.button.text() == "Measure this computer"


def test_nothing_is_measured_where_nothing_is_kept(page: SettingsPage) -> None:
    assert not page.tuning.button.isEnabled() and "VIPOSE_TUNED is 'off'" in page.tuning.button.toolTip()


def test_the_window_ends_what_runs_but_no_recording(
    qtbot: QtBot, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = MainWindow(SettingsStore(tmp_path / "settings.json"))
    qtbot.addWidget(window)
    page: Any = window.page(SETTINGS)
    problems: list[Any] = []
    monkeypatch.setattr(window, "show_problem", problems.append)
    page.problem.connect(problems.append)
    monkeypatch.setattr(window.live, "busy", lambda: "A recording is running.")
    page.tuning.button.click()
    assert "needs the whole computer; wait, or end what runs. A recording is running." in str(problems[0]) and not machine.asked
    stopped: list[bool] = []
    monkeypatch.setattr(window.live, "busy", lambda: "")
    monkeypatch.setattr(window.live, "stop", lambda: stopped.append(True))
    page.tuning.button.click()
    assert stopped and machine.ticking.wait(10)
    window.live.controller.status_changed.emit(SessionStatus(phase=Phase.OPENING))
    qtbot.waitUntil(lambda: page.tuning.button.text() != "Cancel", timeout=10_000)  # what is opened ends it
    page.tuning.button.click()
    window.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name == "vipose-measuring"]


@pytest.mark.parametrize("number", [BATCH, COMPARE])
def test_a_batch_and_a_comparison_end_a_measurement(
    qtbot: QtBot, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    window = MainWindow(SettingsStore(tmp_path / "settings.json"))
    qtbot.addWidget(window)
    page, other = window.page(SETTINGS), window.page(number)
    works, begin = (other._comparison, "open") if number == COMPARE else (other._queue, "start")
    monkeypatch.setattr(works, begin, lambda *_words, **_more: None)
    page.tuning.button.click()
    assert machine.ticking.wait(10) and page.tuning.button.text() == "Cancel"
    if number == COMPARE:
        other.open_source(SourceSpec("clip.mp4", "video", tmp_path / "clip.mp4"))
    else:
        other._start_run()
    qtbot.waitUntil(lambda: page.tuning.button.text() != "Cancel", timeout=10_000)
    window.close()
