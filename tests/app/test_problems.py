"""Errors in plain words: real messages of the runtime, sorted, split, and not a word of them lost; and the dialog."""

from __future__ import annotations

import ast
import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

import vipose.runtime
from tests.fixtures.clips import empty_file, sound_only
from vipose.app.core.advice import advise, camera_state
from vipose.app.core.problems import (
    Problem,
    ProblemKind,
    Remedy,
    explain,
    explain_provider,
    explain_settings,
    split_message,
)
from vipose.app.widgets.problem_dialog import ProblemDialog, show_problem
from vipose.runtime import errors
from vipose.runtime.drivers.queues import naming
from vipose.runtime.errors import DeviceError, InputError, ModelError, OutputError, UsageError, ViposeError
from vipose.runtime.graphs import load_graph
from vipose.runtime.media.camera import CameraSource
from vipose.runtime.media.sources import expand_sources, open_source
from vipose.runtime.media.writer import VideoWriter
from vipose.runtime.modes import load_mode
from vipose.runtime.options import RunOptions
from vipose.runtime.providers import ProviderReport

BUSY = DeviceError("camera:0 did not open within 10 s; close other programs that use it, or plug it in again")
FORBIDDEN = DeviceError("camera:3 does not open; it is missing, in use or forbidden: 'vipose cameras' lists what is there")


class NoCamera:
    """A capture that never opens."""

    def isOpened(self) -> bool:
        return False

    def grab(self) -> bool:
        return False

    def retrieve(self) -> tuple[bool, object]:
        return False, None

    def get(self, propId: int, /) -> float:
        return 0.0

    def set(self, propId: int, value: float, /) -> bool:
        return False

    def release(self) -> None:
        return None


class BlindCamera(NoCamera):
    """A capture that opens and delivers nothing."""

    def isOpened(self) -> bool:
        return True


def words(text: str) -> set[str]:
    return {word.strip(".,;:") for word in text.lower().split()}


def assert_nothing_is_lost(problem: Problem, message: str) -> None:
    assert message in problem.details or repr(message)[1:-1] in problem.details
    assert words(message) <= words(f"{problem.what} {problem.do}"), message


def open_text(text: str) -> None:
    for spec in expand_sources([text]):
        open_source(spec).close()


def missing(folder: Path) -> None:
    open_text(str(folder / "holiday.mp4"))


def empty(folder: Path) -> None:
    open_text(str(empty_file(folder / "empty.mp4")))


def no_video(folder: Path) -> None:
    open_text(str(sound_only(folder / "song.mp4")))


def damaged(folder: Path) -> None:
    path = folder / "damaged.mp4"
    path.write_bytes(b"this is no video" * 100)
    open_text(str(path))


def empty_folder(folder: Path) -> None:
    (folder / "nothing").mkdir()
    open_text(str(folder / "nothing"))


def bad_scheme(folder: Path) -> None:
    open_text("gopher://host/video")


def dead_address(folder: Path) -> None:
    [spec] = expand_sources(["tcp://127.0.0.1:9"])
    open_source(spec, timeout_s=2.0)


def no_such_camera(folder: Path) -> None:
    CameraSource("A camera that nobody has")


def camera_does_not_open(folder: Path) -> None:
    CameraSource(97, open_capture=lambda index: NoCamera())


def camera_sends_nothing(folder: Path) -> None:
    CameraSource(97, open_capture=lambda index: BlindCamera())


def graph_missing(folder: Path) -> None:
    load_graph(folder / "none.onnx")


def graph_wrong(folder: Path) -> None:
    path = folder / "wrong.onnx"
    path.write_bytes(b"not a graph at all")
    load_graph(path)


def mode_without_weights(folder: Path) -> None:
    load_mode("posenas-l18-c64")


def mode_unknown(folder: Path) -> None:
    load_mode("x-vipnas")


def no_folder_to_write(folder: Path) -> None:
    (folder / "file").write_text("in the way")
    VideoWriter(folder / "file" / "out.mp4", (64, 64), fps=25).write(__import__("numpy").zeros((64, 64, 3), "uint8"), 0.0)


def no_video_type(folder: Path) -> None:
    VideoWriter(folder / "out.txt", (64, 64), fps=25)


def bad_option(folder: Path) -> None:
    RunOptions(period=-3)


def fault(folder: Path) -> None:
    with naming("drawing"):
        [].pop()


REAL: list[tuple[Callable[[Path], None], ProblemKind]] = [
    (missing, ProblemKind.FILE_MISSING),
    (empty, ProblemKind.NO_VIDEO),
    (no_video, ProblemKind.NO_VIDEO),
    (damaged, ProblemKind.FILE_UNREADABLE),
    (empty_folder, ProblemKind.NO_VIDEO),
    (bad_scheme, ProblemKind.NETWORK),
    (dead_address, ProblemKind.NETWORK),
    (no_such_camera, ProblemKind.CAMERA_MISSING),
    (camera_does_not_open, ProblemKind.CAMERA_MISSING),
    (camera_sends_nothing, ProblemKind.CAMERA_GONE),
    (graph_missing, ProblemKind.MODEL_MISSING),
    (graph_wrong, ProblemKind.MODEL_WRONG),
    (mode_without_weights, ProblemKind.MODEL_MISSING),
    (mode_unknown, ProblemKind.MODEL_MISSING),
    (no_folder_to_write, ProblemKind.FOLDER),
    (no_video_type, ProblemKind.OUTPUT),
    (bad_option, ProblemKind.OPTION),
    (fault, ProblemKind.INTERNAL),
]


@pytest.mark.parametrize(("act", "kind"), REAL, ids=[act.__name__ for act, _ in REAL])
def test_what_the_runtime_raises(act: Callable[[Path], None], kind: ProblemKind, tmp_path: Path) -> None:
    with pytest.raises(ViposeError) as raised:
        act(tmp_path)
    problem = explain(raised.value, platform="linux")
    assert problem.kind == kind
    assert_nothing_is_lost(problem, str(raised.value))
    assert problem.title and problem.what.endswith(".") and problem.do.endswith(".")


def runtime_messages() -> Iterator[tuple[type[ViposeError], str]]:
    """Every message that is written out where the runtime raises an error, with a stand-in for what is filled in."""
    for path in sorted(Path(vipose.runtime.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)):
                continue
            kind = getattr(errors, node.exc.func.id, None)
            if not (isinstance(kind, type) and issubclass(kind, ViposeError) and node.exc.args):
                continue
            said = node.exc.args[0]
            if isinstance(said, ast.Constant) and isinstance(said.value, str):
                yield kind, said.value
            elif isinstance(said, ast.JoinedStr):
                yield kind, "".join(str(part.value) if isinstance(part, ast.Constant) else "clip.mp4" for part in said.values)


def test_no_word_of_any_message_of_the_runtime_is_lost() -> None:
    found = list(runtime_messages())
    assert len(found) > 150
    for kind, message in found:
        what, do = split_message(message)
        assert "; ".join(part for part in (what, do) if part) == message
        for platform in ("linux", "win32", "darwin"):
            problem = explain(kind(message), platform=platform, state=lambda index, platform: ProblemKind.CAMERA)
            assert_nothing_is_lost(problem, message)
            assert (problem.kind == ProblemKind.INTERNAL) == ("fault of vipose" in message)


@pytest.mark.parametrize(
    ("message", "what", "do"),
    [
        ("clip.mp4 has no video; choose another", "clip.mp4 has no video", "choose another"),
        ("nothing to advise", "nothing to advise", ""),
        ("cannot open a.mp4 (bad; worse); check it", "cannot open a.mp4 (bad; worse)", "check it"),
        ("a.mp4 cannot be decoded (bad; worse)", "a.mp4 cannot be decoded (bad; worse)", ""),
        ("a (1.mp4 is empty; copy it again", "a (1.mp4 is empty", "copy it again"),
        ("camera:0 hangs; it was unplugged", "camera:0 hangs; it was unplugged", ""),
        ("x failed (y); this is a fault of vipose, please report it", "x failed (y)", "this is a fault of vipose, please report it"),
    ],
)
def test_messages_are_split(message: str, what: str, do: str) -> None:
    assert split_message(message) == (what, do)


def test_names_keep_their_spelling_and_sentences_begin_with_a_capital() -> None:
    assert explain(InputError("clip.mp4 is empty (0 bytes); copy it again")).what == "clip.mp4 is empty (0 bytes)."
    problem = explain(InputError("cannot open clip.mp4 (bad data); check that it is whole"))
    assert problem.what == "Cannot open clip.mp4 (bad data)."
    assert problem.do.splitlines()[-1] == "Check that it is whole."


def test_why_a_camera_does_not_open_is_looked_up_on_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert camera_state(0, "linux", tmp_path) == ProblemKind.CAMERA_MISSING
    (tmp_path / "video0").touch()
    assert camera_state(0, "linux", tmp_path) == ProblemKind.CAMERA_BUSY
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert camera_state(0, "linux", tmp_path) == ProblemKind.CAMERA_FORBIDDEN
    assert camera_state(0, "darwin", tmp_path) == ProblemKind.CAMERA
    asked: list[int] = []
    explain(FORBIDDEN, platform="linux", state=lambda index, platform: asked.append(index) or ProblemKind.CAMERA_BUSY)
    assert asked == [3]


@pytest.mark.parametrize(("platform", "hint"), [("linux", "usermod -aG video"), ("win32", "Let desktop apps"), ("darwin", "System Settings")])
def test_permission_is_explained_for_each_system(platform: str, hint: str) -> None:
    problem = explain(FORBIDDEN, platform=platform, state=lambda index, platform: ProblemKind.CAMERA_FORBIDDEN)
    assert problem.title == "No permission to use the camera"
    assert hint in problem.do
    assert set(problem.remedies) == {Remedy.RETRY, Remedy.CHOOSE}


def test_cameras_are_looked_for_with_the_systems_own_tools() -> None:
    assert any("v4l2-ctl" in step for step in advise(ProblemKind.CAMERA_MISSING, "linux").steps)
    assert any("Photo Booth" in step for step in advise(ProblemKind.CAMERA_MISSING, "darwin").steps)


def test_every_kind_has_a_title_on_every_system() -> None:
    for kind in ProblemKind:
        for platform in ("linux", "win32", "darwin", "freebsd14"):
            assert advise(kind, platform).title


def test_a_busy_camera() -> None:
    problem = explain(BUSY)
    assert problem.title == "The camera is in use"
    assert "Video calls" in problem.do and Remedy.RETRY in problem.remedies


def test_a_card_that_is_not_used_is_a_notice() -> None:
    reason = "this onnxruntime has no CUDA; install onnxruntime-gpu in its place"
    problem = explain_provider(ProviderReport("cuda", "cpu", reason))
    assert problem is not None and problem.notice
    assert problem.what == "vipose runs on the CPU. This onnxruntime has no CUDA."
    assert "Install onnxruntime-gpu in its place." in problem.do
    assert problem.remedies == (Remedy.SETTINGS,)
    assert_nothing_is_lost(problem, reason)
    assert explain_provider(ProviderReport("auto", "cpu")) is None


def test_settings_that_were_put_aside_are_a_notice() -> None:
    problem = explain_settings("settings.json is no JSON; it was renamed settings.json.bad")
    assert problem.kind == ProblemKind.SETTINGS and problem.notice
    assert "renamed settings.json.bad" in problem.what


def raised(error: OSError | Exception, message: str) -> OutputError:
    try:
        raise OutputError(message) from error
    except OutputError as made:
        return made


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (raised(OSError(errno.ENOSPC, "No space left on device"), "'x' cannot be written; free some space or check the folder"), "disk full"),
        (OutputError("folder '/x' has only 12 MB left; free some space or choose another with -o"), "disk full"),
        (raised(PermissionError(errno.EACCES, "Permission denied"), "'x' cannot be written; free some space or check the folder"), "folder"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/a.mp4"), "disk full"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x/a.mp4"), "file missing"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/a.mp4"), "folder"),
        (MemoryError(), "memory"),
        (ViposeError("something odd happened"), "other"),
        (UsageError("period 9 is not possible; give 1 to 4"), "option"),
        (ModelError("graph 's' failed while running on CPU (x); try --device cpu"), "model wrong"),
        (InputError("clip.mp4 sent nothing for 5 s; the connection is lost"), "network"),
    ],
)
def test_kinds(error: BaseException, kind: str) -> None:
    problem = explain(error)
    assert problem.kind == kind
    assert str(getattr(error, "filename", None) or "") in problem.what


def test_an_error_that_nobody_foresaw_says_so_and_keeps_its_traceback() -> None:
    try:
        {}["x"]
    except KeyError as error:
        problem = explain(error)
    assert problem.kind == ProblemKind.INTERNAL
    assert problem.title == "Something in vipose broke"
    assert "KeyError: 'x'" in problem.what
    assert "Traceback" in problem.details and "test_problems.py" in problem.details
    assert "copy the details" in problem.do


# The dialog.


@pytest.fixture
def window(qtbot: QtBot) -> QWidget:
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    return window


def texts(dialog: ProblemDialog) -> str:
    from PySide6.QtWidgets import QLabel

    return "\n".join(label.text() for label in dialog.findChildren(QLabel) if label.isVisibleTo(dialog))


def button(dialog: ProblemDialog, text: str) -> object:
    from PySide6.QtWidgets import QAbstractButton

    [found] = [one for one in dialog.findChildren(QAbstractButton) if one.text() == text]
    return found


def shown(dialog: ProblemDialog, text: str) -> bool:
    return bool(button(dialog, text).isVisibleTo(dialog))  # type: ignore[attr-defined]


def test_the_dialog_says_everything_and_does_not_block(window: QWidget) -> None:
    dialog = show_problem(window, BUSY)
    assert dialog.isVisible() and dialog.isModal() and dialog.parent() is window
    said = texts(dialog)
    assert "The camera is in use" in said and "camera:0 did not open within 10 s." in said
    assert "What to do" in said and "Close other programs that use it, or plug it in again." in said
    assert not shown(dialog, "Try again")  # nobody said what it would do


def test_details_are_folded_away_and_can_be_copied(window: QWidget, qtbot: QtBot) -> None:
    dialog = show_problem(window, BUSY)
    assert not dialog._details.isVisible()
    height = dialog.sizeHint().height()
    button(dialog, "Details").click()  # type: ignore[attr-defined]
    assert dialog._details.isVisible() and dialog.sizeHint().height() > height
    button(dialog, "Details").click()  # type: ignore[attr-defined]
    qtbot.waitUntil(lambda: dialog.sizeHint().height() == height)
    button(dialog, "Copy details").click()  # type: ignore[attr-defined]
    copied = QGuiApplication.clipboard().text()
    assert str(BUSY) in copied and "The camera is in use" in copied and "Python" in copied
    assert shown(dialog, "Copied")


def test_buttons_do_what_they_say_and_close(window: QWidget, qtbot: QtBot) -> None:
    done: list[str] = []
    actions = {Remedy.RETRY: lambda: done.append("retry"), Remedy.SETTINGS: lambda: done.append("settings")}
    dialog = show_problem(window, BUSY, actions)
    assert shown(dialog, "Try again") and not shown(dialog, "Settings…") and not shown(dialog, "Choose another…")
    with qtbot.waitSignal(dialog.asked) as asked:
        qtbot.mouseClick(button(dialog, "Try again"), Qt.MouseButton.LeftButton)
    assert asked.args == [Remedy.RETRY] and done == ["retry"]
    assert not dialog.isVisible()


def test_problems_do_not_stack_up(window: QWidget) -> None:
    first = show_problem(window, BUSY)
    assert not first._list.isVisible()
    assert show_problem(window, BUSY) is first
    assert len(first.problems) == 1
    assert show_problem(window, InputError("clip.mp4 is empty (0 bytes); copy it again")) is first
    assert [problem.title for problem in first.problems] == ["The camera is in use", "There is no video in it"]
    assert first._list.isVisible() and first._list.item(0).text() == "The camera is in use  (2 times)"
    assert "camera:0 did not open" in texts(first)  # what is being read stays
    first._list.setCurrentRow(1)
    assert "clip.mp4 is empty" in texts(first) and "camera:0 did not open" not in texts(first)


def test_after_closing_the_next_problem_gets_a_dialog_of_its_own(window: QWidget, qtbot: QtBot) -> None:
    first = show_problem(window, BUSY)
    qtbot.keyClick(first, Qt.Key.Key_Escape)
    second = show_problem(window, BUSY)
    assert second is not first and second.isVisible() and len(second.problems) == 1


def test_a_closed_dialog_is_gone(window: QWidget, qapp: object) -> None:
    show_problem(window, BUSY).close()
    QGuiApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    assert window.findChildren(ProblemDialog) == []


def test_a_notice_is_called_one(window: QWidget) -> None:
    problem = explain_provider(ProviderReport("cuda", "cpu", "CUDA failed: no driver"))
    assert problem is not None
    assert show_problem(window, problem).windowTitle() == "Notice"
