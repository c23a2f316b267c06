"""The results page and the export dialog: everything a user does there, offscreen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("PySide6")

from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel, QMessageBox
from pytestqt.qtbot import QtBot

from tests.app.stored_results import EARLY, FRAMES, make_clip, write_results
from tests.fixtures import clips
from vipose.app.core.export_plan import PICTURES, VIDEO
from vipose.app.core.exporting import ExportPhase
from vipose.app.core.playback_state import PlaybackStatus, PlayPhase
from vipose.app.core.settings import SettingsStore
from vipose.app.core.stored import load_stored
from vipose.app.widgets.export_dialog import ExportDialog
from vipose.app.widgets.results_info import info_rows
from vipose.app.widgets.results_page import ResultsPage
from vipose.app.widgets.results_transport import readout
from vipose.runtime.errors import InputError
from vipose.runtime.results.formats import FORMATS
from vipose.runtime.results.native import read_native

WAIT_MS = 20_000


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    make_clip(tmp_path / "walk.mp4", audio="aac")
    return write_results(tmp_path)


@pytest.fixture
def page(qtbot: QtBot) -> Iterator[ResultsPage]:
    made = ResultsPage(SettingsStore())
    qtbot.addWidget(made)
    made.resize(1100, 760)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close_down()
    made.close_down()


def wait(qtbot: QtBot, good: Callable[[], bool]) -> None:
    qtbot.waitUntil(good, timeout=WAIT_MS)


def shows(page: ResultsPage, index: int) -> bool:
    shown = page.canvas.shown
    return shown is not None and shown.result.index == index


def open_file(qtbot: QtBot, page: ResultsPage, path: Path) -> None:
    page.open_results(path)
    wait(qtbot, lambda: page.playback.status.phase.ready and shows(page, 0))


def place(page: ResultsPage) -> str:
    return page.transport._place.text()


def test_an_empty_page_invites(qtbot: QtBot, page: ResultsPage) -> None:
    assert page.empty.isVisible()
    assert not page.transport.isVisible()
    assert not page.export_button.isEnabled()
    assert page.busy() == ""
    qtbot.mouseClick(page.empty_button, Qt.MouseButton.LeftButton)
    dialog = page.findChild(QFileDialog)
    assert dialog is not None
    dialog.close()


def test_opening_through_the_dialog_remembers_the_folder(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    page.ask_for_results()
    dialog = page.findChild(QFileDialog)
    assert dialog is not None
    dialog.fileSelected.emit(str(walk))
    dialog.close()
    wait(qtbot, lambda: shows(page, 0))
    assert page._store.current.folder == str(walk.parent)


def test_an_open_file_shows_everything(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    open_file(qtbot, page, walk)
    wait(qtbot, lambda: place(page) == f"frame  1 / {FRAMES}, 0.00 s")
    assert page.canvas.isVisible()
    assert page.canvas.shown is not None
    assert clips.read_index(page.canvas.shown.picture) == 0
    assert page.transport.slider.maximum() == FRAMES - 1
    assert page.transport.slider._marks == tuple(EARLY)
    assert [page.people.topLevelItem(row).text(1) for row in range(2)] == [str(FRAMES), "23"]
    texts = {label.text() for label in page.side.info.findChildren(QLabel)}
    assert {"walk.jsonl", "192 x 128", "t-vipnas", "25 a second", "as the mode has it"} <= texts
    assert "2 people, 2 early key frames, with walk.mp4" in {label.text() for label in page.findChildren(QLabel)}
    assert not page._notice.isVisible()


def test_keys_move(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    keys, plain = Qt.Key, Qt.KeyboardModifier.NoModifier
    shift, control = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
    open_file(qtbot, page, walk)
    page.canvas.setFocus()
    for key, modifier, index in (
        (keys.Key_Right, plain, 1),
        (keys.Key_Right, shift, 26),
        (keys.Key_Left, plain, 25),
        (keys.Key_Left, control, 12),
        (keys.Key_Right, control, 30),
        (keys.Key_Left, shift, 5),
        (keys.Key_End, plain, FRAMES - 1),
        (keys.Key_Home, plain, 0),
    ):
        qtbot.keyClick(page.canvas, key, modifier)
        wait(qtbot, lambda index=index: shows(page, index))  # type: ignore[misc]
        assert page.canvas.shown is not None
        assert clips.read_index(page.canvas.shown.picture) == index


def test_space_plays_and_pauses(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    open_file(qtbot, page, walk)
    page.playback.set_speed(0.1)
    page.canvas.setFocus()
    qtbot.keyClick(page.canvas, Qt.Key.Key_Space)
    assert page.playback.status.phase is PlayPhase.PLAYING
    wait(qtbot, lambda: page.transport._play.accessibleName() == "Pause")
    qtbot.keyClick(page.canvas, Qt.Key.Key_Space)
    assert page.playback.status.phase is PlayPhase.PAUSED
    wait(qtbot, lambda: page.transport._play.accessibleName() == "Play")


def test_playing_moves_slider_and_readout(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    open_file(qtbot, page, walk)
    qtbot.mouseClick(page.transport._play, Qt.MouseButton.LeftButton)
    wait(qtbot, lambda: page.transport.slider.value() > 3)
    wait(qtbot, lambda: page.playback.status.phase is PlayPhase.PAUSED and shows(page, FRAMES - 1))
    wait(qtbot, lambda: place(page) == f"frame {FRAMES} / {FRAMES}, 1.56 s")
    assert not page.transport._on.isEnabled()


def test_a_click_on_the_slider_goes_there(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    open_file(qtbot, page, walk)
    slider = page.transport.slider
    left, span = slider._travel()
    middle = QPoint(left + span // 2, slider.height() // 2)
    qtbot.mouseClick(slider, Qt.MouseButton.LeftButton, pos=middle)
    expected = slider.value()
    assert abs(expected - (FRAMES - 1) / 2) <= 1
    wait(qtbot, lambda: shows(page, expected))
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=middle)
    for x in range(left + span // 2, left + span + 40, 3):
        qtbot.mouseMove(slider, QPoint(x, slider.height() // 2))
    page.transport.slider.show_position(2)  # what the playback says does not pull the handle away
    assert slider.value() == FRAMES - 1
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=QPoint(left + span, slider.height() // 2))
    wait(qtbot, lambda: shows(page, FRAMES - 1))


def test_buttons_go_to_marks(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    open_file(qtbot, page, walk)
    qtbot.mouseClick(page.transport._early[1], Qt.MouseButton.LeftButton)
    wait(qtbot, lambda: shows(page, 12))
    qtbot.mouseClick(page.transport._seen[1], Qt.MouseButton.LeftButton)
    wait(qtbot, lambda: shows(page, 25))
    page.people.follow_asked.emit(1)  # of the person who is followed
    qtbot.mouseClick(page.transport._seen[0], Qt.MouseButton.LeftButton)
    wait(qtbot, lambda: shows(page, 0))


def test_the_speed_is_chosen(page: ResultsPage, qtbot: QtBot, walk: Path) -> None:
    open_file(qtbot, page, walk)
    row = page.transport.speed.findData(0.5)
    page.transport.speed.setCurrentIndex(row)
    page.transport.speed.activated.emit(row)
    assert page.playback.status.speed == 0.5


def click_row(qtbot: QtBot, page: ResultsPage, row: int) -> None:
    rect = page.people.visualItemRect(page.people.topLevelItem(row))
    qtbot.mouseClick(page.people.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(rect.right() - 20, rect.center().y()))


def test_a_click_in_the_list_follows_and_lets_go(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    open_file(qtbot, page, walk)
    click_row(qtbot, page, 1)
    assert page._followed == 2
    assert page.people.selectedItems() == [page.people.topLevelItem(1)]
    click_row(qtbot, page, 1)
    assert page._followed is None
    assert page.people.selectedItems() == []
    page.canvas.person_clicked.emit(1)  # the canvas and the list agree
    assert page.people.selectedItems() == [page.people.topLevelItem(0)]
    assert page.people.ticked() == {1, 2}


def test_ticks_do_not_follow(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    open_file(qtbot, page, walk)
    rect = page.people.visualItemRect(page.people.topLevelItem(0))
    qtbot.mouseClick(page.people.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(rect.left() + 10, rect.center().y()))
    assert page.people.ticked() == {2}
    assert page._followed is None
    page.people.setFocus()
    page.people.setCurrentItem(page.people.topLevelItem(0))
    qtbot.keyClick(page.people, Qt.Key.Key_Space)  # ticks here, plays elsewhere
    assert page.people.ticked() == {1, 2}
    assert page.playback.status.phase is PlayPhase.PAUSED
    qtbot.mouseClick(page.side._none, Qt.MouseButton.LeftButton)
    assert page.people.ticked() == frozenset()
    qtbot.mouseClick(page.side._all, Qt.MouseButton.LeftButton)
    assert page.people.ticked() == {1, 2}


def test_layers_and_head_blur_follow_the_settings(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    open_file(qtbot, page, walk)
    assert page.canvas.shown is not None
    plain = page.canvas.shown.picture
    page.canvas.setFocus()
    qtbot.keyClick(page.canvas, Qt.Key.Key_P)
    assert page._store.current.options.head_blur
    wait(qtbot, lambda: page.canvas.shown is not None and (page.canvas.shown.picture != plain).any())


def drop(page: ResultsPage, *paths: Path) -> bool:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    at, both = QPointF(50, 50), Qt.DropAction.CopyAction
    enter = QDragEnterEvent(at.toPoint(), both, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    enter.setAccepted(False)
    QApplication.sendEvent(page, enter)
    if not enter.isAccepted():
        return False
    QApplication.sendEvent(page, QDropEvent(at, both, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier))
    return True


def test_dropped_results_open(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    assert not drop(page, walk, walk.with_suffix(".mp4"))
    assert drop(page, walk)
    wait(qtbot, lambda: shows(page, 0))


def test_a_dropped_video_leads_to_its_results_or_becomes_the_picture(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    assert drop(page, walk.with_suffix(".mp4"))
    wait(qtbot, lambda: shows(page, 0))
    other = make_clip(walk.with_name("other.mkv"))
    assert drop(page, other)
    wait(qtbot, lambda: page.playback.status.video == other)
    wait(qtbot, lambda: "with other.mkv" in page._about.text())


def test_a_video_without_results_is_explained(qtbot: QtBot, page: ResultsPage, tmp_path: Path) -> None:
    video = make_clip(tmp_path / "alone.mp4")
    with qtbot.waitSignal(page.problem, timeout=WAIT_MS) as told:
        drop(page, video)
    assert "alone.mp4" in str(told.args[0])


def test_a_bad_file_is_told_once(qtbot: QtBot, page: ResultsPage, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("nonsense\n")
    told: list[object] = []
    page.problem.connect(told.append)
    page.open_results(bad)
    wait(qtbot, lambda: bool(told))
    assert isinstance(told[0], InputError)
    page._show()
    assert len(told) == 1
    assert not page.transport.isEnabled()
    assert not page.export_button.isEnabled()


def test_a_missing_video_is_said_and_can_be_chosen(qtbot: QtBot, page: ResultsPage, tmp_path: Path) -> None:
    path = write_results(tmp_path)
    open_file(qtbot, page, path)
    wait(qtbot, page._notice.isVisible)
    assert "not found" in page._notice.text()
    video = make_clip(tmp_path / "there.mkv")
    page.ask_for_video()
    dialog = page.findChild(QFileDialog)
    assert dialog is not None
    dialog.fileSelected.emit(str(video))
    dialog.close()
    wait(qtbot, lambda: not page._notice.isVisible())
    wait(qtbot, lambda: page.canvas.shown is not None and bool(page.canvas.shown.picture.any()))


def test_information_says_what_the_settings_were(tmp_path: Path) -> None:
    settings = {"period": 1, "twice": True, "max_people": 1, "score_threshold": 1.0, "detector_pixels": None}
    rows = {name: value for name, value, _ in info_rows(load_stored(write_results(tmp_path, settings=settings)), None)}
    assert (rows["Key frame every"], rows["Most people"], rows["Person threshold"]) == ("1 frames", "1", "1.0")
    assert (rows["Looks twice on key frames"], rows["Its pixels"]) == ("yes", "as the detector has them")


def test_information_of_other_formats_says_what_was_filled_in(tmp_path: Path) -> None:
    rows = {name: value for name, value, _ in info_rows(load_stored(write_results(tmp_path, kind="openpose")), None)}
    assert rows["Format"] == "openpose"
    assert rows["Times"] == "the input has none, 30 frames a second assumed"
    assert rows["Shown with"] == "no pictures"


def test_readout_names_the_source_frame_where_it_differs(tmp_path: Path) -> None:
    stored = load_stored(write_results(tmp_path, indices=range(1, FRAMES, 2)))
    status = PlaybackStatus(PlayPhase.PAUSED, stored=stored, position=3)
    assert readout(status) == "frame  4 / 20, 0.28 s (source frame 7)"
    assert readout(PlaybackStatus()) == ""


# The export dialog.


def opened_dialog(qtbot: QtBot, page: ResultsPage, walk: Path) -> ExportDialog:
    open_file(qtbot, page, walk)
    wait(qtbot, page.export_button.isEnabled)
    qtbot.mouseClick(page.export_button, Qt.MouseButton.LeftButton)
    assert page.export_dialog is not None
    return page.export_dialog


def choose(dialog: ExportDialog, kind: str) -> None:
    dialog.kind.setCurrentIndex(dialog.kind.findData(kind))


def finish(qtbot: QtBot, dialog: ExportDialog) -> None:
    """Until the dialog shows how it ended."""
    ends = (ExportPhase.DONE, ExportPhase.FAILED, ExportPhase.CANCELLED)
    wait(qtbot, lambda: dialog.shown == dialog.exporter.status and dialog.shown.phase in ends)


def test_every_kind_can_be_chosen_and_says_what_it_loses(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    dialog = opened_dialog(qtbot, page, walk)
    for kind in (VIDEO, PICTURES, *FORMATS):
        choose(dialog, kind)
        assert dialog.kind.currentText() != kind  # a name for people
        plan = dialog.plan()
        assert plan.kind == kind
        assert plan.target.parent == walk.parent
        if kind in FORMATS and kind != "native":
            assert FORMATS[kind].loses in dialog._loses.text()
        assert dialog.format_options.scale.isVisible() == (kind == "trc")
        assert dialog.drawing.isVisible() == (kind in (VIDEO, PICTURES))


def test_ticked_people_are_exported(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    open_file(qtbot, page, walk)
    wait(qtbot, page.export_button.isEnabled)
    page.people.topLevelItem(0).setCheckState(0, Qt.CheckState.Unchecked)
    page.canvas.setFocus()
    qtbot.keyClick(page.canvas, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    dialog = page.export_dialog
    assert dialog is not None
    assert dialog._who.text() == "1 of 2, as ticked in the list"
    choose(dialog, "native")
    qtbot.mouseClick(dialog.start, Qt.MouseButton.LeftButton)
    finish(qtbot, dialog)
    written = walk.with_name("walk-copy.jsonl")
    assert "walk-copy.jsonl" in dialog._said.text()
    assert {p.id for frame in read_native(written) for p in frame.people} == {2}
    assert dialog.show_folder.isVisible()


def test_nobody_ticked_is_refused_in_the_dialog(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    open_file(qtbot, page, walk)
    wait(qtbot, page.export_button.isEnabled)
    page.people.tick_all(False)
    page.export()
    dialog = page.export_dialog
    assert dialog is not None
    qtbot.mouseClick(dialog.start, Qt.MouseButton.LeftButton)
    assert "tick at least one person" in dialog._said.text()
    assert not dialog.exporter.status.phase.active


def test_replacing_is_asked(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    old = walk.with_name("walk.csv")
    old.write_text("old")
    dialog = opened_dialog(qtbot, page, walk)
    choose(dialog, "csv")
    for button, kept in ((1, True), (0, False)):
        qtbot.mouseClick(dialog.start, Qt.MouseButton.LeftButton)
        box = dialog.findChild(QMessageBox)
        assert box is not None
        assert "walk.csv" in box.text()
        assert box.defaultButton().text() == "Keep"
        names = ["Replace", "Keep"]
        press = next(b for b in box.buttons() if b.text() == names[button])
        qtbot.mouseClick(press, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: dialog.findChild(QMessageBox) is None, timeout=WAIT_MS)
        if not kept:
            finish(qtbot, dialog)
        assert (old.read_text() == "old") is kept


def test_the_input_is_refused_in_the_dialog(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    dialog = opened_dialog(qtbot, page, walk)
    choose(dialog, "native")
    dialog.target.setText(str(walk))
    before = walk.read_bytes()
    qtbot.mouseClick(dialog.start, Qt.MouseButton.LeftButton)
    assert "exported from" in dialog._said.text()
    dialog.target.setText("  ")
    qtbot.mouseClick(dialog.start, Qt.MouseButton.LeftButton)
    assert "no name is given" in dialog._said.text()
    assert walk.read_bytes() == before


def test_a_drawn_video_follows_the_choices(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    dialog = opened_dialog(qtbot, page, walk)
    choose(dialog, VIDEO)
    drawing = dialog.drawing
    drawing.mirror.setChecked(True)
    drawing.labels.setChecked(False)
    drawing.blur.setChecked(True)
    plan = dialog.plan()
    assert (plan.mirror, plan.style.ids, plan.black) == (True, False, False)
    assert plan.head_blur is not None
    drawing.black.setChecked(True)  # there are no heads on black
    assert not drawing.blur.isEnabled()
    assert dialog.plan().head_blur is None
    qtbot.mouseClick(dialog.start, Qt.MouseButton.LeftButton)
    finish(qtbot, dialog)
    assert walk.with_name("walk-annotated.mp4").exists()


def test_cancelling_and_closing(qtbot: QtBot, page: ResultsPage, walk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dialog = opened_dialog(qtbot, page, walk)
    choose(dialog, PICTURES)
    monkeypatch.setattr("vipose.app.core.export_jobs.PictureFolder.write", lambda *_: time.sleep(0.05))
    qtbot.mouseClick(dialog.start, Qt.MouseButton.LeftButton)
    wait(qtbot, dialog.cancel.isVisible)
    assert page.busy() == "an export"
    assert not dialog.target.isEnabled()
    wait(qtbot, lambda: "of 40 frames" in dialog._said.text())
    qtbot.mouseClick(dialog.cancel, Qt.MouseButton.LeftButton)
    finish(qtbot, dialog)
    assert dialog.exporter.status.phase is ExportPhase.CANCELLED
    assert dialog._said.text().startswith("Cancelled")
    assert page.busy() == ""
    qtbot.mouseClick(dialog.start, Qt.MouseButton.LeftButton)
    wait(qtbot, dialog.cancel.isVisible)
    exporter = dialog.exporter
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)  # closes, and ends what runs
    assert page.export_dialog is None
    wait(qtbot, lambda: exporter.status.phase is ExportPhase.CANCELLED)
    wait(qtbot, lambda: page.findChild(ExportDialog) is None)
    assert not walk.with_name("walk-pictures").exists()
    assert not walk.with_name("walk-pictures.part").exists()


def test_a_failed_export_says_why(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    dialog = opened_dialog(qtbot, page, walk)
    choose(dialog, "csv")
    dialog.target.setText(str(walk.parent / "gone" / "a.csv"))
    qtbot.mouseClick(dialog.start, Qt.MouseButton.LeftButton)
    finish(qtbot, dialog)
    assert "no folder" in dialog._said.text()
    assert dialog._said.property("role") == "warning"


def test_a_chosen_folder_is_kept_for_the_next_kind(qtbot: QtBot, page: ResultsPage, walk: Path, tmp_path: Path) -> None:
    dialog = opened_dialog(qtbot, page, walk)
    dialog._ask_where()
    chooser = dialog.findChild(QFileDialog)
    assert chooser is not None
    chooser.fileSelected.emit(str(tmp_path / "other" / "x.mp4"))
    chooser.close()
    choose(dialog, "coco")
    assert dialog.plan().target == tmp_path / "other" / "walk.coco.json"


def test_opening_another_file_ends_an_export(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    dialog = opened_dialog(qtbot, page, walk)
    exporter = dialog.exporter
    qtbot.mouseClick(dialog.start, Qt.MouseButton.LeftButton)
    page.open_results(walk)
    assert page.export_dialog is None
    wait(qtbot, lambda: not exporter.status.phase.active)
    wait(qtbot, lambda: page.playback.status.phase.ready)


def test_closing_the_page_ends_its_threads(qtbot: QtBot, page: ResultsPage, walk: Path) -> None:
    dialog = opened_dialog(qtbot, page, walk)
    qtbot.mouseClick(dialog.start, Qt.MouseButton.LeftButton)
    page.close_down()
    assert not [thread.name for thread in threading.enumerate() if thread.name in ("vipose-playback", "vipose-export")]
    assert page.playback.status.phase is PlayPhase.CLOSED
