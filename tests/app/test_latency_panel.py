"""The latency panel: what it says, when it draws, and what pointing, copying and saving do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QGuiApplication, QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tests.app.test_statistics import feed, person, shown
from vipose.app.core.latency import EARLY_REASONS, Columns
from vipose.app.core.phases import Phase
from vipose.app.core.session import SessionStatus
from vipose.app.core.statistics import Statistics
from vipose.app.widgets.figure_tiles import Tile
from vipose.app.widgets.latency_panel import LatencyPanel
from vipose.app.widgets.stage_plot import StagePlot, scale_top
from vipose.app.widgets.theme import KEY_COLOUR, PROPAGATED_COLOUR, apply_theme, reason_colour, stage_colour
from vipose.app.widgets.time_plot import columns_of_pixels, stacked
from vipose.app.widgets.timeline import Timeline
from vipose.runtime.errors import OutputError
from vipose.runtime.providers import ProviderReport

FALLBACK = "CUDA failed: no driver"


@pytest.fixture
def panel(qtbot: QtBot) -> Iterator[LatencyPanel]:
    panel = LatencyPanel(statistics=Statistics(recent_s=0.6))
    qtbot.addWidget(panel)
    panel.resize(330, 600)
    panel.show()
    qtbot.waitExposed(panel)
    yield panel
    panel.close_down()


def settle(qtbot: QtBot, panel: LatencyPanel) -> None:
    """Until all that came is drawn."""
    qtbot.waitUntil(lambda: not panel._redraw.isActive() and not panel._new, timeout=10_000)


def fill(panel: LatencyPanel, count: int = 60) -> None:
    """The last seconds, ending now; frame 40 has a key person whose score fell."""
    start_s = time.monotonic() - count * 0.04
    for n in range(count):
        people = (person(1, "score" if n == 40 else "due" if n % 4 == 0 else ""), person(2))
        times = {
            "detect": 20.0 if n % 10 == 0 else 0.0,
            "spatial": 5.0,
            "temporal": 3.0,
            "total": 30.0 if n % 10 == 0 else 10.0,
        }
        frame = shown(n, start_s + n * 0.04, people=people, timings=times, dropped=n // 10)
        panel.statistics.add(frame, start_s + n * 0.04)
    last_s = start_s + count * 0.04
    panel.add(shown(count, last_s, people=(person(1), person(2)), timings={"spatial": 5.0, "total": 9.0}, dropped=6))


def tiles(panel: LatencyPanel) -> dict[str, Tile]:
    return {tile.caption: tile for tile in panel._tiles.tiles}


def legend(panel: LatencyPanel) -> dict[str, str]:
    return {row.name: row.value for row in (*panel._stage_legend.rows, *panel._people_legend.rows)}


def colours(image: QImage) -> set[int]:
    image = image.convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits(), np.uint32).reshape(image.height(), image.width())
    return {int(value) for value in np.unique(pixels | np.uint32(0xFF000000))}


def status(phase: Phase = Phase.RUNNING, reason: str = "") -> SessionStatus:
    return SessionStatus(phase=phase, provider=ProviderReport("cuda", "cpu", reason))


def test_unknown_is_a_dash(panel: LatencyPanel) -> None:
    assert {tile.value for tile in panel._tiles.tiles} == {"-"}
    assert set(legend(panel).values()) == {"-"}
    assert not panel._redraw.isActive() and not panel._stale.isActive()


def test_figures_of_frames(qtbot: QtBot, panel: LatencyPanel) -> None:
    fill(panel)
    settle(qtbot, panel)
    said = tiles(panel)
    assert said["FPS"].value != "-" and said["People"].value == "2"
    assert said["People"].more == "0 key, 2 prop."
    assert (said["Dropped"].value, said["Dropped"].warns) == ("6", True)
    assert (said["Runs on"].value, said["Runs on"].more) == ("CPU", "m")
    assert said["Age"].value == "-"  # nothing was painted yet
    figures = legend(panel)
    assert (figures["spatial"], figures["total"], figures["score"], figures["jump"]) == ("5.0", "10.0", "1", "0")
    assert (figures["key"], figures["propagated"]) == ("15", "107")


def test_age_comes_from_painting(qtbot: QtBot, panel: LatencyPanel) -> None:
    fill(panel)
    now_s = time.monotonic()
    frame = shown(99, now_s)
    panel.add(frame)
    panel.frame_painted(frame, frame.captured_s + 0.123)
    settle(qtbot, panel)
    assert tiles(panel)["Age"].value == "123 ms"


def test_many_frames_are_one_drawing(qtbot: QtBot, panel: LatencyPanel) -> None:
    settle(qtbot, panel)
    before = panel.redraws
    for n in range(200):
        panel.add(shown(n, time.monotonic()))
    settle(qtbot, panel)
    assert panel.redraws - before == 1


def test_nothing_runs_when_nothing_comes(qtbot: QtBot, panel: LatencyPanel) -> None:
    fill(panel)
    settle(qtbot, panel)
    qtbot.waitUntil(lambda: tiles(panel)["FPS"].value == "-", timeout=10_000)  # no frames, no rate
    qtbot.waitUntil(lambda: not any(t.isActive() for t in (panel._redraw, panel._stale, panel._said)), timeout=10_000)


def test_hidden_it_collects_and_does_not_draw(qtbot: QtBot, panel: LatencyPanel) -> None:
    settle(qtbot, panel)
    panel.hide()
    before = panel.redraws
    fill(panel)
    assert not panel._redraw.isActive() and panel.redraws == before
    panel.show()
    settle(qtbot, panel)
    assert panel.redraws > before and tiles(panel)["People"].value == "2"


def test_pause_is_said_and_has_no_rate(qtbot: QtBot, panel: LatencyPanel) -> None:
    panel.set_status(status())
    fill(panel)
    panel.set_status(status(Phase.PAUSED))
    settle(qtbot, panel)
    assert (tiles(panel)["FPS"].value, tiles(panel)["FPS"].more) == ("-", "paused")
    assert tiles(panel)["Pipeline"].value != "-"


def test_a_late_frame_after_a_pause_makes_no_rate(panel: LatencyPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    panel.set_status(status())
    panel.set_status(status(Phase.PAUSED))
    panel.add(shown(0, now_s))
    now_s += 5
    panel.set_status(status())
    panel.add(shown(1, now_s))
    assert panel.statistics.summary(now_s).fps is None


@pytest.mark.parametrize("wide", [False, True])
def test_fallback_is_told(qtbot: QtBot, panel: LatencyPanel, wide: bool) -> None:
    panel.resize(900 if wide else 330, 300)
    fill(panel)
    panel.set_status(status(reason=FALLBACK))
    settle(qtbot, panel)
    tile = tiles(panel)["Runs on"]
    assert tile.warns and FALLBACK in tile.tip
    assert panel._fallback.isVisible() != wide
    assert (FALLBACK in tile.more) == wide
    panel.set_status(status())
    settle(qtbot, panel)
    assert not tiles(panel)["Runs on"].warns and not panel._fallback.isVisible()


def test_narrow_and_wide(qtbot: QtBot, panel: LatencyPanel) -> None:
    def place(widget: object) -> QPoint:
        return widget.mapTo(panel, QPoint(0, 0))  # type: ignore[attr-defined, no-any-return]

    qtbot.waitUntil(lambda: place(panel._stages).y() > place(panel._tiles).y())
    assert place(panel._stages).x() == place(panel._tiles).x()
    panel.resize(900, 200)
    qtbot.waitUntil(lambda: place(panel._stages).x() > place(panel._tiles).x())
    qtbot.waitUntil(lambda: place(panel._stage_legend).x() > place(panel._stages).x())
    assert not panel._scroll.verticalScrollBar().isVisible()  # all of it fits
    panel.resize(320, 600)
    qtbot.waitUntil(lambda: place(panel._stages).x() == place(panel._tiles).x())


def test_pointing_shows_one_frame_and_holds_the_plots(qtbot: QtBot, panel: LatencyPanel) -> None:
    fill(panel)
    settle(qtbot, panel)
    columns = panel._stages.columns
    assert columns is not None
    x = next(x for x in range(panel._stages.width()) if panel._stages.column_at(x) == 40)
    qtbot.mouseMove(panel._stages, QPoint(x, panel._stages.area().center().y()))
    assert panel._people.cursor_at == panel._stages.cursor_at == 40
    figures = legend(panel)
    assert (figures["detect"], figures["total"], figures["score"], figures["key"]) == ("20.0", "30.0", "1", "1")
    assert panel._people.note.startswith("frame 40, ")
    panel.add(shown(500, time.monotonic()))
    settle(qtbot, panel)
    assert panel._stages.columns is columns and legend(panel) == figures
    panel._stages.leaveEvent(None)  # type: ignore[arg-type]
    assert panel._stages.cursor_at is None and panel._people.cursor_at is None
    assert panel._stages.columns is not columns and legend(panel) != figures


def test_keyboard_walks_over_frames(qtbot: QtBot, panel: LatencyPanel) -> None:
    fill(panel)
    settle(qtbot, panel)
    plot = panel._people
    plot.setFocus()
    for key, expected in (
        (Qt.Key.Key_Left, 60), (Qt.Key.Key_Left, 59), (Qt.Key.Key_Home, 0), (Qt.Key.Key_Left, 0),
        (Qt.Key.Key_Right, 1), (Qt.Key.Key_End, 60), (Qt.Key.Key_Right, 60), (Qt.Key.Key_Escape, None),
    ):  # fmt: skip
        qtbot.keyClick(plot, key)
        assert panel._stages.cursor_at == expected


def test_tips_name_the_reason(qtbot: QtBot, panel: LatencyPanel) -> None:
    fill(panel)
    settle(qtbot, panel)
    assert "1 early key: the score fell" in panel._people.describe(40)
    assert "detect 20.0 ms" in panel._stages.describe(40) and "detect" not in panel._stages.describe(41)
    row = panel._stage_legend.row_at(5, 5)
    assert row is not None and row.name == "detect" and "p95" in row.tip
    tile = panel._tiles.tile_at(5, 5)
    assert tile is not None and tile.caption == "FPS"


def test_clear(qtbot: QtBot, panel: LatencyPanel) -> None:
    fill(panel)
    settle(qtbot, panel)
    panel.clear()
    settle(qtbot, panel)
    assert panel._stages.columns is None and {tile.value for tile in panel._tiles.tiles} == {"-"}


def test_copy(qtbot: QtBot, panel: LatencyPanel) -> None:
    fill(panel)
    panel.set_status(status(reason=FALLBACK))
    qtbot.mouseClick(panel._copy, Qt.MouseButton.LeftButton)
    text = QGuiApplication.clipboard().text()
    assert f"runs on CPU ({FALLBACK})" in text and "dropped frames: 6 in all" in text
    assert panel._hint.text() == "Copied"


def test_save(qtbot: QtBot, panel: LatencyPanel, tmp_path: Path) -> None:
    fill(panel)
    panel.save(tmp_path / "table.csv")
    qtbot.waitUntil(lambda: panel._hint.text() == "Saved table.csv", timeout=10_000)
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 62


def test_saving_that_fails_is_a_problem(qtbot: QtBot, panel: LatencyPanel, tmp_path: Path) -> None:
    with qtbot.waitSignal(panel.problem, timeout=10_000) as told:
        panel.save(tmp_path / "nowhere" / "table.csv")
    assert isinstance(told.args[0], OutputError)


def test_dialog_saves_where_it_says(qtbot: QtBot, panel: LatencyPanel, tmp_path: Path) -> None:
    panel.folder = tmp_path
    fill(panel)
    dialog = panel.ask_where_to_save()
    assert dialog.directory().absolutePath() == str(tmp_path)
    dialog.selectFile("mine")
    dialog.accept()
    qtbot.waitUntil(lambda: (tmp_path / "mine.csv").exists(), timeout=10_000)


def test_closing_twice_is_safe(panel: LatencyPanel) -> None:
    panel.close_down()
    panel.close_down()


# Plots


def columns(count: int, step_s: float, spikes: tuple[int, ...] = ()) -> Columns:
    statistics = Statistics()
    for n in range(count):
        times = {"spatial": 5.0, "total": 90.0 if n in spikes else 10.0}
        people = (person(1, "jump" if n in spikes else "due" if n % 4 == 0 else ""), person(2))
        statistics.add(shown(n, 100 + n * step_s, timings=times, people=people), 100 + n * step_s)
    return statistics.columns()


def test_no_spike_is_lost_where_frames_are_narrower_than_pixels() -> None:
    data = columns(1200, 1 / 120, spikes=(601, 777))
    pixels = columns_of_pixels(data, 200, data.total_ms)
    assert {601, 777} <= set(pixels.tolist())
    assert (np.diff(pixels[pixels >= 0]) >= 0).all()


def test_pixels_of_wide_frames_and_pauses() -> None:
    statistics = Statistics()
    feed(statistics, 11, start_s=100.0, step_s=0.2)
    feed(statistics, 11, start_s=108.0, step_s=0.2, first=11)
    data = statistics.columns()
    pixels = columns_of_pixels(data, 500, data.total_ms)  # 50 pixels a second
    assert (pixels[-10:] == 20).all() and pixels[-11] == 19
    assert (pixels[110:380] == -1).all()
    assert (pixels[:100] >= 0).all()


def test_stacked_layers() -> None:
    red, blue = QColor(255, 0, 0), QColor(0, 0, 255)
    image = stacked(np.array([[2.0, 0.0, 9.0], [3.0, 0.0, 12.0]]), (red, blue), 4)
    assert [hex(v) for v in image[:, 0]] == ["0x0", "0xff0000ff", "0xffff0000", "0xffff0000"]
    assert (image[:, 1] == 0).all() and (image[:, 2] == red.rgba()).all()


@pytest.mark.parametrize(
    ("totals", "top"),
    [([], 10), ([0.0], 10), ([7.0], 8), ([21.0], 30), ([107.0], 120), ([100.0] * 3, 100), ([10.0] * 99 + [500.0], 16)],
)
def test_scale(totals: list[float], top: float) -> None:
    assert scale_top(np.array(totals)) == top


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plots_show_their_colours_in_both_themes(qtbot: QtBot, theme: str) -> None:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    apply_theme(app, theme)  # type: ignore[arg-type]
    data = columns(240, 0.04, spikes=(200,))
    for plot, wanted in (
        (StagePlot(), (stage_colour("spatial"), stage_colour("other"))),
        (Timeline(), (KEY_COLOUR, PROPAGATED_COLOUR, reason_colour("jump"))),
    ):
        qtbot.addWidget(plot)
        plot.resize(900, 160)
        plot.set_columns(data)
        seen = colours(plot.grab().toImage())
        assert all(colour.rgba() in seen for colour in wanted)


def test_every_early_reason_has_a_letter(qtbot: QtBot, panel: LatencyPanel) -> None:
    letters = {row.name: row.letter for row in panel._people_legend.rows if row.letter}
    assert set(letters) == set(EARLY_REASONS) and len(set(letters.values())) == len(EARLY_REASONS)
