"""The comparison view as its user has it: sources, modes, play and pause, two pictures in step, costs and errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from tests.app.comparing import FakeContender, Faults
from tests.fixtures.clips import clip
from vipose.app.core import compare_run
from vipose.app.core.compare_state import SideStatus
from vipose.app.core.contender import Choice
from vipose.app.core.costs import Agreed, CompareFigures, Costs
from vipose.app.core.phases import Phase
from vipose.app.core.settings import Settings, SettingsStore
from vipose.app.widgets.compare_cards import VerdictCard
from vipose.app.widgets.compare_page import ComparePage, _first_right
from vipose.app.widgets.compare_picker import ModePicker
from vipose.runtime.errors import InputError, ModelError, UsageError, ViposeError
from vipose.runtime.options import RunOptions

WAIT_MS = 20_000


class NoCameras:
    """A watch that never finds a camera."""

    cameras = ()
    looked = True

    def subscribe(self, _callback: object) -> object:
        return lambda: None


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    FakeContender.faults = Faults()
    monkeypatch.setattr(compare_run, "Contender", FakeContender)
    return FakeContender.faults


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SettingsStore]:
    made = SettingsStore(tmp_path / "settings.json")
    yield made
    made.close()


@pytest.fixture
def page(qtbot: QtBot, store: SettingsStore, faults: Faults) -> Iterator[ComparePage]:
    made = ComparePage(store, NoCameras())  # type: ignore[arg-type]
    qtbot.addWidget(made)
    made.problems = []  # type: ignore[attr-defined]
    made.problem.connect(made.problems.append)  # type: ignore[attr-defined]
    made.resize(1196, 800)
    made.show()
    yield made
    made.close_down()
    made.close_down()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return clip(tmp_path / "clip.mp4", frames=15, fps=30).path


def problems(page: ComparePage) -> list[ViposeError]:
    return page.problems  # type: ignore[attr-defined, no-any-return]


def phase(page: ComparePage) -> Phase:
    return page._status.phase


def until_phase(qtbot: QtBot, page: ComparePage, wanted: Phase) -> None:
    qtbot.waitUntil(lambda: phase(page) is wanted, timeout=WAIT_MS)


def run(qtbot: QtBot, page: ComparePage, video: Path, *, repeat: bool = True) -> None:
    """Compare on a clip, until figures are there."""
    page.transport.repeat.setChecked(repeat)
    page.source_bar.open_text(str(video))
    qtbot.waitUntil(lambda: page._figures.left.frames > 0, timeout=WAIT_MS)


def choose(picker: ModePicker, mode: str) -> None:
    """As the user does: write the name, press return."""
    box = picker.mode.box  # type: ignore[attr-defined]
    box.setEditText(mode)
    box.lineEdit().editingFinished.emit()


def dropped(page: ComparePage, *paths: Path) -> bool:
    """Drop files on the page; whether it takes them."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPointF(9, 9).toPoint(), Qt.DropAction.CopyAction, data, buttons, keys)
    enter.ignore()
    page.dragEnterEvent(enter)
    if enter.isAccepted():
        page.dropEvent(QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, data, buttons, keys))
    return enter.isAccepted()


def test_before_a_source_there_is_an_invitation_and_nothing_to_start(page: ComparePage) -> None:
    assert page._pictures.currentIndex() == 0 and page.demo.isVisible()
    assert not page.transport.toggle.isEnabled() and not page.transport.stop.isEnabled()
    assert page.left.choice == Choice("s-vipnas") and page.right.choice == Choice("t-vipnas")
    assert page.left_costs.text_of("Per frame") == "-" and page.verdict.text_of("agreement") == "-"


def test_two_modes_are_shown_on_the_same_frames_with_their_costs(qtbot: QtBot, page: ComparePage, video: Path) -> None:
    run(qtbot, page, video, repeat=False)
    until_phase(qtbot, page, Phase.ENDED)
    left, right = page.left_canvas.shown, page.right_canvas.shown
    assert left is not None and right is not None
    assert left.result.index == right.result.index == 14 and (left.mode, right.mode) == ("s-vipnas", "t-vipnas")
    assert page._pictures.currentIndex() == 1
    assert page.left_costs.text_of("Per frame") == "5.0 ms" and page.right_costs.text_of("Per person") == "2.0 ms"
    assert page.left_costs.text_of("Alone it holds") == "200 fps" and page.left_costs.text_of("Model") == "8.0 MB"
    assert page.verdict.words.text() == "Both take the same time"
    assert page.verdict.text_of("agreement") == "1.00" and page.verdict.text_of("both") == "100 %"
    assert f"{page._status.processed} frames compared" in page._frames.text()
    assert page.transport.toggle.accessibleName() == "Start" and page.transport.toggle.isEnabled()


def test_play_pause_and_stop(qtbot: QtBot, page: ComparePage, video: Path) -> None:
    run(qtbot, page, video)
    assert page.busy() == ""  # nothing would be lost, so closing need not ask
    qtbot.mouseClick(page.transport.toggle, Qt.MouseButton.LeftButton)
    until_phase(qtbot, page, Phase.PAUSED)
    assert page.transport.toggle.accessibleName() == "Go on"
    qtbot.mouseClick(page.transport.toggle, Qt.MouseButton.LeftButton)
    until_phase(qtbot, page, Phase.RUNNING)
    qtbot.mouseClick(page.transport.stop, Qt.MouseButton.LeftButton)
    until_phase(qtbot, page, Phase.IDLE)
    assert page.left_canvas.shown is not None
    qtbot.mouseClick(page.transport.toggle, Qt.MouseButton.LeftButton)  # from the beginning
    until_phase(qtbot, page, Phase.RUNNING)


def test_a_file_repeats_until_the_button_is_off(qtbot: QtBot, page: ComparePage, video: Path, faults: Faults) -> None:
    run(qtbot, page, video)
    qtbot.waitUntil(lambda: bool(faults.began_again), timeout=WAIT_MS)
    qtbot.mouseClick(page.transport.repeat, Qt.MouseButton.LeftButton)
    until_phase(qtbot, page, Phase.ENDED)


def test_another_mode_takes_its_place_while_it_runs(qtbot: QtBot, page: ComparePage, video: Path) -> None:
    run(qtbot, page, video)
    choose(page.left, "efficientpose-a")
    qtbot.waitUntil(
        lambda: page.left_canvas.shown is not None and page.left_canvas.shown.mode == "efficientpose-a", timeout=WAIT_MS
    )
    assert page.left.choice == Choice("efficientpose-a") and not page.left.state.isVisible()


def test_another_period_is_followed_and_single_frame_modes_have_none(
    qtbot: QtBot, page: ComparePage, video: Path, faults: Faults
) -> None:
    assert not page.left.period.isEnabled() and page.right.period.isEnabled()
    assert [page.right.period.itemData(n) for n in range(page.right.period.count())] == [4, 3, 2, 1]
    run(qtbot, page, video)
    row = page.right.period.findData(2)
    page.right.period.setCurrentIndex(row)
    page.right.period.activated.emit(row)
    qtbot.waitUntil(lambda: any(choice == Choice("t-vipnas", 2) for choice, _ in faults.followed), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: page.right_costs.rows[1].tiles[0].more == "due every 2", timeout=WAIT_MS)
    assert page.right.period.currentData() == 2
    choose(page.right, "s-vipnas")
    assert page.right.choice == Choice("s-vipnas") and not page.right.period.isEnabled()


def test_the_pictures_zoom_and_pan_in_step(qtbot: QtBot, page: ComparePage, video: Path) -> None:
    run(qtbot, page, video, repeat=False)
    until_phase(qtbot, page, Phase.ENDED)
    page.left_canvas.zoom_in()
    assert page.right_canvas.position == page.left_canvas.position and not page.left_canvas.position.fits
    qtbot.keyClick(page.right_canvas, Qt.Key.Key_Right)
    assert page.left_canvas.position == page.right_canvas.position
    page.right_canvas.fit()
    assert page.left_canvas.position.fits


def test_a_person_is_followed_on_the_side_that_was_clicked(page: ComparePage) -> None:
    page.left_canvas.person_clicked.emit(3)
    assert page.left_canvas._state.followed == 3 and page.right_canvas._state.followed is None


def test_a_dropped_video_is_compared_and_several_are_refused(qtbot: QtBot, page: ComparePage, video: Path) -> None:
    other = clip(video.with_name("other.mp4"), frames=5).path
    assert dropped(page, video, other)
    qtbot.waitUntil(lambda: bool(problems(page)), timeout=WAIT_MS)
    assert isinstance(problems(page)[0], UsageError) and phase(page) is Phase.IDLE
    assert dropped(page, video)
    until_phase(qtbot, page, Phase.ENDED)
    assert not dropped(page)


def test_what_cannot_be_opened_is_told_once(qtbot: QtBot, page: ComparePage, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    page.source_bar.open_text(str(broken))
    until_phase(qtbot, page, Phase.FAILED)
    qtbot.waitUntil(lambda: bool(problems(page)), timeout=WAIT_MS)
    page._pull()
    [error] = problems(page)
    assert isinstance(error, InputError)
    assert page._invitation.text() == str(error) and page._pictures.currentIndex() == 0
    assert page.transport.toggle.isEnabled()


def test_a_mode_that_does_not_load_is_told_and_the_one_before_shown_again(
    qtbot: QtBot, page: ComparePage, video: Path, tmp_path: Path
) -> None:
    run(qtbot, page, video)
    graph = tmp_path / "missing.onnx"
    graph.touch()
    choose(page.right, str(graph))
    assert page.right.choice == Choice(str(graph))
    qtbot.waitUntil(lambda: bool(problems(page)), timeout=WAIT_MS)
    assert isinstance(problems(page)[0], ModelError)
    assert page.right.choice == Choice("t-vipnas") and phase(page) is Phase.RUNNING


def test_settings_reach_both_pictures_and_the_run(
    qtbot: QtBot, page: ComparePage, store: SettingsStore, video: Path, faults: Faults
) -> None:
    run(qtbot, page, video)
    store.change_options(mirror=True, max_people=3)
    qtbot.waitUntil(lambda: page.left_canvas._options.mirror and page.right_canvas._options.mirror, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: any(options.max_people == 3 for _, options in faults.followed), timeout=WAIT_MS)


def test_closing_while_it_runs_ends_everything(qtbot: QtBot, page: ComparePage, video: Path, faults: Faults) -> None:
    run(qtbot, page, video)
    page.close()
    assert sorted(faults.closed) == ["s-vipnas", "t-vipnas"]


def test_the_verdict_says_which_is_cheaper_and_when_joints_differ(qtbot: QtBot) -> None:
    card = VerdictCard()
    qtbot.addWidget(card)
    costs = Costs(frames=9, mean_ms=10.0), Costs(frames=9, mean_ms=4.2)
    card.show_figures(CompareFigures(*costs, Agreed(6, 1, 1, 0.875)), known=True)
    assert card.words.text() == "Right takes 0.42 of left's time"
    assert card.bars.shares == pytest.approx((1.0, 0.42))
    assert [card.text_of(name) for name in ("agreement", "both", "left", "right")] == ["0.88", "75 %", "12 %", "12 %"]
    card.show_figures(CompareFigures(*costs), known=True)
    assert card.text_of("agreement") == "other joints"


def test_a_picker_shows_what_runs_but_not_while_another_mode_loads(qtbot: QtBot) -> None:
    picker = ModePicker("Left", Choice("s-vipnas"))
    qtbot.addWidget(picker)
    asked: list[Choice] = []
    picker.changed.connect(asked.append)
    picker.show_status(SideStatus(Choice("t-vipnas"), loading=True))
    assert picker.choice == Choice("s-vipnas") and picker.state.text()
    picker.show_status(SideStatus(Choice("t-vipnas", 2), FakeContender(Choice("t-vipnas", 2), None).facts))  # type: ignore[arg-type]
    assert picker.choice == Choice("t-vipnas", 2) and picker.period.currentData() == 2 and asked == []
    picker.twice.click()
    assert asked == [Choice("t-vipnas", 2, True)] and picker.choice == asked[0]
    picker.show_status(SideStatus(Choice("t-vipnas"), FakeContender(Choice("t-vipnas"), None).facts))  # type: ignore[arg-type]
    assert not picker.twice.isChecked() and len(asked) == 1
    picker.close_down()


def test_the_same_network_once_and_twice_is_what_a_user_of_it_compares(own_settings: Path) -> None:
    def right(**options: Any) -> Choice:
        return _first_right(Settings(options=RunOptions(**options)))

    assert right(mode="s-vipnas") == Choice("t-vipnas") and right(mode="s-vipnas", twice=True) == Choice("s-vipnas", None, True)
    assert right(mode="t-vipnas", period=2) == Choice("t-vipnas", 2)


def test_every_control_can_be_reached_and_has_a_name(page: ComparePage) -> None:
    controls: list[QWidget] = [
        page.transport.toggle, page.transport.stop, page.transport.repeat, page.right.period, page.left_canvas, page.right_canvas,
    ]  # fmt: skip
    assert all(control.accessibleName() for control in controls)
    assert all(control.focusPolicy() & Qt.FocusPolicy.TabFocus for control in controls)
    assert all(control.toolTip() for control in controls[:4])
