"""An editor for every option: it shows and takes values, says what is wrong, and never has a value that is not allowed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("PySide6")

from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QToolButton
from pytestqt.qtbot import QtBot

from vipose.app.core.choices import Choice, check_network, list_detectors, list_pose_networks
from vipose.app.core.settings import KEPT_OPTIONS
from vipose.app.widgets.editor_base import OptionEditor
from vipose.app.widgets.option_editors import option_editor
from vipose.app.widgets.path_editors import FolderEditor, NetworkEditor
from vipose.app.widgets.value_editors import (
    ChoiceEditor,
    FormatsEditor,
    NumberEditor,
    ResolutionEditor,
    SwitchEditor,
    TextEditor,
)
from vipose.runtime.errors import ModelError, UsageError
from vipose.runtime.option import Option
from vipose.runtime.options import RunOptions, table

OTHER: dict[str, Any] = {
    "mode": "s-vipnas", "detector": "person-detector", "detector_pixels": 123_456, "period": 2, "twice": True, "precision": "fp32",
    "device": "cpu", "threads": 2,
    "max_people": 5, "score_threshold": 0.4, "detect_every": 3, "max_lost": 2.5, "max_keys": 4, "roi": (1.0, 2.0, 30.0, 40.5),
    "smoothing": "live", "smoothing_strength": 2.0, "swap": False, "every": 2, "rotate": "90", "timeout": 5.0,
    "camera_size": (1024, 576), "camera_fps": 29.97, "head_blur": True, "black_background": True, "joint_threshold": 0.55,
    "mirror": True,
}  # fmt: skip


class Editors:
    """Makes editors, keeps what they tell, and closes them."""

    def __init__(self, bot: QtBot) -> None:
        self._bot = bot
        self.made: list[OptionEditor] = []
        self.told: list[object] = []

    def __call__(self, name: str) -> Any:
        return self.add(option_editor(name))

    def add(self, editor: OptionEditor) -> Any:
        self._bot.addWidget(editor)
        editor.changed.connect(self.told.append)
        editor.show()
        self.made.append(editor)
        return editor


@pytest.fixture
def editors(qtbot: QtBot) -> Iterator[Editors]:
    made = Editors(qtbot)
    yield made
    for editor in made.made:
        editor.close_down()


def enter(bot: QtBot, box: Any, text: str, key: Qt.Key = Qt.Key.Key_Return) -> None:
    """Type over what is there."""
    line = box.lineEdit() if hasattr(box, "lineEdit") else box
    line.setFocus()
    line.selectAll()
    bot.keyClicks(line, text)
    bot.keyClick(box, key)


@pytest.mark.parametrize("name", KEPT_OPTIONS)
def test_every_kept_option_shows_any_value(editors: Editors, name: str) -> None:
    editor = editors(name)
    assert editor.value() == getattr(RunOptions(), name)
    editor.set_value(OTHER[name])
    assert editor.value() == OTHER[name] and not editors.told and not editor.message()
    editor.set_value(getattr(RunOptions(), name))
    assert editor.value() == getattr(RunOptions(), name)
    field = editor.focusProxy()
    assert field.accessibleName() == table()[name].label and editor.toolTip().endswith(".")
    assert field.focusPolicy() == Qt.FocusPolicy.StrongFocus


def test_labels_are_for_people() -> None:
    labels = [table()[name].label for name in KEPT_OPTIONS]
    assert len(set(labels)) == len(labels) and not any("_" in label or "--" in label for label in labels)
    for name in KEPT_OPTIONS:
        option = table()[name]
        assert "--" not in option.about and "vipose " not in option.about
        if option.kind is bool and getattr(RunOptions(), name):
            assert option.about != option.help, "the help speaks of the flag that switches it off"


def test_switch(editors: Editors, qtbot: QtBot) -> None:
    editor = editors("head_blur")
    assert isinstance(editor, SwitchEditor) and editor.box.text() == ""
    editor.box.click()
    qtbot.keyClick(editor.box, Qt.Key.Key_Space)
    assert editors.told == [True, False] and editor.value() is False
    labelled = option_editor("mirror", labelled=True)
    qtbot.addWidget(labelled)
    assert isinstance(labelled, SwitchEditor) and labelled.box.text() == "Mirror"


def test_choice(editors: Editors, qtbot: QtBot) -> None:
    editor = editors("smoothing")
    assert isinstance(editor, ChoiceEditor)
    assert [editor.box.itemText(i) for i in range(editor.box.count())] == ["Automatic", "Off", "Live", "File"]
    qtbot.keyClick(editor.box, Qt.Key.Key_Down)
    assert editors.told == ["off"] == [editor.value()]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_people", "7", 7), ("detect_every", "25 frames", 25), ("detect_every", "1 frame", 1), ("max_lost", "2,5 seconds", 2.5),
        ("period", "3", 3), ("score_threshold", "0.333", 0.333), ("camera_fps", "29.97", 29.97), ("threads", "2 cores", 2),
        ("timeout", "3600", 3600.0),
    ],
)  # fmt: skip
def test_number_is_typed(editors: Editors, qtbot: QtBot, name: str, text: str, value: float) -> None:
    editor = editors(name)
    assert isinstance(editor, NumberEditor)
    enter(qtbot, editor.box, text)
    assert editors.told == [value] and editor.value() == value and type(editor.value()) is type(value)
    assert not editor.message()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("max_people", "999", "999 is not allowed (1 to 200)."), ("max_people", "many", "'many' is not allowed (1 to 200)."),
        ("max_people", "2.5", "'2.5' is not allowed (1 to 200)."), ("max_people", "", "'' is not allowed (1 to 200)."),
        ("score_threshold", "2", "2.0 is not allowed (0 to 1)."), ("score_threshold", "nan", "Nan is not allowed (0 to 1)."),
        ("period", "9", "9 is not allowed (1 to 5 frames)."), ("max_lost", "-1", "-1.0 is not allowed (0 to 600 seconds)."),
    ],
)  # fmt: skip
def test_wrong_number_is_said_and_the_value_stays(
    editors: Editors, qtbot: QtBot, name: str, text: str, said: str
) -> None:
    editor = editors(name)
    before = editor.value()
    if text:
        enter(qtbot, editor.box, text)
    else:
        editor.box.lineEdit().clear()
        qtbot.keyClick(editor.box, Qt.Key.Key_Return)
    assert editor.message() == said and editor.value() == before and not editors.told
    qtbot.keyClick(editor.box, Qt.Key.Key_Escape)
    assert not editor.message() and editor.value() == before
    enter(qtbot, editor.box, "1")
    assert not editor.message() and editor.value() == 1


def test_number_steps_within_its_range(editors: Editors, qtbot: QtBot) -> None:
    editor = editors("score_threshold")
    qtbot.keyClick(editor.box, Qt.Key.Key_Up)
    assert editor.value() == 0.35
    editor.set_value(0.98)
    editor.box.stepBy(1)
    editor.box.stepBy(1)
    assert editor.value() == 1.0 and not editor.box.stepEnabled() & editor.box.StepEnabledFlag.StepUpEnabled
    editor.set_value(0.02)
    editor.box.stepBy(-3)
    assert editor.value() == 0.0


def test_special_values_of_numbers(editors: Editors, qtbot: QtBot) -> None:
    period = editors("period")
    assert period.box.text() == "Automatic"
    qtbot.keyClick(period.box, Qt.Key.Key_Up)
    assert period.value() == 1 and period.box.text() == "1 frame"
    qtbot.keyClick(period.box, Qt.Key.Key_Down)
    assert period.value() is None and period.box.text() == "Automatic"
    enter(qtbot, period.box, "2")
    enter(qtbot, period.box, "automatic")
    assert editors.told == [1, None, 2, None]
    threads = editors("threads")
    assert (threads.value(), threads.box.text()) == (0, "All cores")
    threads.set_value(1)
    assert threads.box.text() == "1 core"
    fps = editors("camera_fps")
    fps.box.stepBy(6)
    assert (fps.value(), fps.box.text()) == (30.0, "30 frames a second")


def test_an_exact_value_is_not_rounded_by_looking_at_it(editors: Editors, qtbot: QtBot) -> None:
    editor = editors("score_threshold")
    editor.set_value(1 / 3)
    editor.box.setFocus()
    qtbot.keyClick(editor.box, Qt.Key.Key_Return)
    assert editor.value() == 1 / 3 and not editors.told


def test_region(editors: Editors, qtbot: QtBot) -> None:
    editor = editors("roi")
    assert isinstance(editor, TextEditor) and "Whole picture" in editor.box.placeholderText()
    enter(qtbot, editor.box, "1,2,30,40.5")
    assert editors.told == [(1.0, 2.0, 30.0, 40.5)]
    enter(qtbot, editor.box, "1,2,3")
    assert editor.message() == "'1,2,3' is not allowed (expected X0,Y0,X1,Y1)."
    enter(qtbot, editor.box, "10,0,5,5")
    assert "holds no pixel" in editor.message() and editor.value() == (1.0, 2.0, 30.0, 40.5)
    editor.box.findChild(QToolButton).click()  # the clear button
    assert editor.value() is None and not editor.message()


def test_resolution(editors: Editors, qtbot: QtBot) -> None:
    editor = editors("camera_size")
    assert isinstance(editor, ResolutionEditor) and editor.box.currentText() == "Automatic"
    editor.box.setCurrentIndex(editor.box.findText("1280x720"))
    editor.box.activated.emit(editor.box.currentIndex())
    enter(qtbot, editor.box, "1024X576")
    assert editors.told == [(1280, 720), (1024, 576)] and editor.box.currentText() == "1024x576"
    enter(qtbot, editor.box, "0x5")
    assert "no resolution" in editor.message() and editor.value() == (1024, 576)
    enter(qtbot, editor.box, "automatic")
    assert editor.value() is None and not editor.message()


def test_formats(editors: Editors) -> None:
    editor = editors("save")
    assert isinstance(editor, FormatsEditor) and editor.value() == ("native",)
    editor.boxes["trc"].click()
    editor.boxes["csv"].click()
    editor.boxes["native"].click()
    assert editors.told[-1] == ("csv", "trc") == editor.value()
    assert all(box.toolTip() for box in editor.boxes.values())


def network(choices: Any, name: str = "mode") -> NetworkEditor:
    return NetworkEditor(
        table()[name],
        lambda text: check_network(name, text),
        getattr(RunOptions(), name),
        choices,
        folders=name == "mode",
    )


def items(editor: NetworkEditor) -> list[str]:
    return [editor.box.itemText(i) for i in range(editor.box.count())]


def test_networks_are_listed_in_a_thread(editors: Editors, qtbot: QtBot) -> None:
    threads, gate = [], threading.Event()

    def choices() -> tuple[Choice, ...]:
        threads.append(threading.current_thread())
        assert gate.wait(20)
        return (Choice("t-vipnas", "the usual one"), Choice("s-vipnas", "every frame"))

    editor = editors.add(network(choices))
    assert editor.box.currentText() == "t-vipnas" and not items(editor)
    gate.set()
    qtbot.waitUntil(lambda: items(editor) == ["t-vipnas", "s-vipnas"], timeout=20_000)
    assert threads[0] is not threading.main_thread() and editor.value() == "t-vipnas" and not editors.told
    assert editor.box.itemData(1, Qt.ItemDataRole.ToolTipRole) == "Every frame."
    editor.box.setCurrentIndex(1)
    editor.box.activated.emit(1)
    assert editors.told == ["s-vipnas"]


def test_what_is_here_can_be_chosen(editors: Editors, qtbot: QtBot) -> None:
    editor = editors("mode")
    qtbot.waitUntil(lambda: bool(items(editor)), timeout=20_000)
    assert items(editor) == [choice.name for choice in list_pose_networks()]
    assert {"t-vipnas", "s-vipnas"} <= set(items(editor)) and "efficientpose-c" not in items(editor)
    detector = editors("detector")
    qtbot.waitUntil(lambda: bool(items(detector)), timeout=20_000)
    assert items(detector) == [choice.name for choice in list_detectors()] == ["default"]


def test_a_network_that_is_not_here(editors: Editors, qtbot: QtBot, tmp_path: Path) -> None:
    editor = editors("mode")
    for text in ("no-such", "efficientpose-c", str(tmp_path / "none.onnx")):
        enter(qtbot, editor.box, text)
        assert f"There is no pose network '{text}' here" in editor.message()
    assert editor.value() == "t-vipnas" and not editors.told
    graph = tmp_path / "mine.onnx"
    graph.write_bytes(b"")
    enter(qtbot, editor.box, str(graph))
    assert editors.told == [str(graph)] and not editor.message()
    with pytest.raises(UsageError, match="no person detector"):
        check_network("detector", "nobody")
    with pytest.raises(UsageError, match="no pose network 'xxx"):
        check_network("mode", "x" * 5000)  # longer than a file's name may be


def test_networks_that_cannot_be_listed_say_why(editors: Editors, qtbot: QtBot) -> None:
    def fail() -> tuple[Choice, ...]:
        raise ModelError("graph x is damaged; install vipose again")

    editor = editors.add(network(fail))
    qtbot.waitUntil(lambda: bool(editor.message()), timeout=20_000)
    assert editor.message() == "Graph x is damaged; install vipose again." and editor.value() == "t-vipnas"


def test_an_editor_may_go_before_its_list_comes(qtbot: QtBot) -> None:
    gate = threading.Event()

    def choices() -> tuple[Choice, ...]:
        assert gate.wait(20)
        return ()

    editor = network(choices)
    gate.set()
    editor.close_down()
    editor.close_down()
    editor.deleteLater()
    assert not [t for t in threading.enumerate() if t.name == "vipose-networks"]


@pytest.mark.parametrize("name", ["mode", "detector"])
def test_browsing_for_a_graph(editors: Editors, qtbot: QtBot, tmp_path: Path, name: str) -> None:
    graph = tmp_path / "mine.onnx"
    graph.write_bytes(b"")
    editor = editors(name)
    assert editor.browse.accessibleName()
    if name == "mode":
        editor.browse.menu().actions()[0].trigger()
    else:
        editor.browse.click()
    dialog = next(w for w in QApplication.topLevelWidgets() if isinstance(w, QFileDialog))
    dialog.fileSelected.emit(str(graph))
    with qtbot.waitSignal(dialog.destroyed):
        dialog.reject()
    assert editors.told == [str(graph)]


def test_folder(editors: Editors, qtbot: QtBot, tmp_path: Path) -> None:
    def check(value: str) -> None:
        if not value:
            raise UsageError("folder: nothing is given; name a folder")

    option = Option("folder", "where results go", "Recording", label="Folder")
    editor = editors.add(FolderEditor(option, check, "/x"))
    enter(qtbot, editor.box, "/y")
    editor.box.clear()
    qtbot.keyClick(editor.box, Qt.Key.Key_Return)
    assert editors.told == ["/y"] == [editor.value()] and editor.message() == "Nothing is given; name a folder."
    enter(qtbot, editor.box, "~/z")
    assert editor.value() == str(Path.home() / "z") == editor.box.text()
    editor.browse.click()
    dialog = next(w for w in QApplication.topLevelWidgets() if isinstance(w, QFileDialog))
    dialog.fileSelected.emit(str(tmp_path))
    with qtbot.waitSignal(dialog.destroyed):
        dialog.reject()
    assert editor.value() == str(tmp_path) and not editor.message()


@pytest.mark.parametrize("name", ["max_people", "smoothing", "camera_size"])
def test_the_wheel_changes_nothing_in_passing(editors: Editors, name: str) -> None:
    editor = editors(name)
    editor.box.clearFocus()
    wheel = QWheelEvent(
        QPointF(5, 5), QPointF(5, 5), QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(editor.box, wheel)
    assert not editors.told and not wheel.isAccepted()
