"""The dialog that tells of a problem: what happened, what to do, details folded away. It never blocks and never stacks up."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QPalette
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from vipose.app.core.about import version
from vipose.app.core.problems import Problem, Remedy, explain
from vipose.app.widgets.icons import icon, icon_pixmap
from vipose.app.widgets.theme import GAP, SPACING, heading_font, number_font, set_role, warning_text_colour

__all__ = ["Actions", "ProblemDialog", "problem_report", "show_problem"]

Actions = Mapping[Remedy, Callable[[], None]]

_BUTTONS: dict[Remedy, tuple[str, str, str]] = {
    Remedy.RETRY: ("Try again", "refresh", "Do the same once more"),
    Remedy.CHOOSE: ("Choose another…", "open", "Choose another one in its place"),
    Remedy.SETTINGS: ("Settings…", "settings", "Open the settings"),
}
_WIDTH = 520
_LISTED_ROWS = 4


def show_problem(parent: QWidget, error: BaseException | Problem, actions: Actions | None = None) -> ProblemDialog:
    """Tell of a problem without waiting for an answer; GUI thread only.

    While the window's dialog is open, the same problem is counted and another one is listed in it.

    Args:
        parent: any widget of the window that the dialog belongs to.
        error: what happened; an error is explained first.
        actions: what the buttons do; only remedies that are here and help with the problem get a button.

    Returns:
        The window's dialog, open.
    """
    window = parent.window()
    problem = error if isinstance(error, Problem) else explain(error)
    there = window.findChild(ProblemDialog, options=Qt.FindChildOption.FindDirectChildrenOnly)
    dialog = there if there is not None and there.isVisible() else ProblemDialog(window)
    dialog.add(problem, actions or {})
    if not dialog.isVisible():
        dialog.open()
    return dialog


def problem_report(problem: Problem) -> str:
    """Everything that the dialog says as plain text, with the versions that whoever helps will ask for."""
    system = f"vipose {version()}, Python {platform.python_version()}, {platform.platform()}"
    return "\n\n".join(part for part in (problem.title, problem.what, problem.do, problem.details, system) if part)


class ProblemDialog(QDialog):
    """Shows one problem, and a list of all once there are several.

    Signals:
        asked: a :class:`Remedy` whose button was pressed; the dialog closes, and its action (if any) has been called.
    """

    asked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self._problems: list[Problem] = []
        self._times: list[int] = []
        self._actions: list[Actions] = []
        self._build()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that are listed, the oldest first."""
        return tuple(self._problems)

    def add(self, problem: Problem, actions: Actions | None = None) -> None:
        """List a problem; the first one is shown, one that is listed already is counted."""
        if problem in self._problems:
            place = self._problems.index(problem)
            self._times[place] += 1
            self._actions[place] = actions or self._actions[place]
        else:
            place = len(self._problems)
            self._problems.append(problem)
            self._times.append(1)
            self._actions.append(actions or {})
            self._list.addItem("")
        times = self._times[place]
        self._list.item(place).setText(problem.title + (f"  ({times} times)" if times > 1 else ""))
        if self._list.currentRow() < 0:
            self._list.setCurrentRow(0)
        several = len(self._problems) > 1
        self._list.setVisible(several)
        self._others.setVisible(several)
        self._others.setText(f"{len(self._problems)} problems:")
        row = self._list.sizeHintForRow(0)
        self._list.setFixedHeight(row * min(len(self._problems), _LISTED_ROWS) + 2 * self._list.frameWidth() + 2)
        self._show(self._list.currentRow())

    def _build(self) -> None:
        self._picture = QLabel()
        self._picture.setFixedSize(40, 40)
        self._title = _text()
        self._title.setFont(heading_font())
        self._what = _text()
        self._steps = QWidget()
        self._step_grid = QGridLayout(self._steps)
        self._step_grid.setContentsMargins(0, 0, 0, 0)
        self._step_grid.setSpacing(SPACING // 2 + 1)
        self._do_title = QLabel("What to do")
        set_role(self._do_title, "title")
        self._others = QLabel()
        set_role(self._others, "hint")
        self._list = QListWidget()
        self._list.setAccessibleName("All problems")
        self._list.currentRowChanged.connect(self._show)

        words = QVBoxLayout()
        words.setSpacing(SPACING)
        for widget in (self._title, self._what, self._do_title, self._steps):
            words.addWidget(widget)
        top = QHBoxLayout()
        top.setSpacing(GAP)
        top.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignTop)
        top.addLayout(words, 1)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(GAP + 4, GAP + 4, GAP + 4, GAP)
        layout.setSpacing(GAP)
        layout.addWidget(self._others)
        layout.addWidget(self._list)
        layout.addLayout(top)
        layout.addLayout(self._fold())
        layout.addWidget(self._box())
        layout.setSizeConstraint(QVBoxLayout.SizeConstraint.SetFixedSize)  # shrinks again when details are folded

    def _fold(self) -> QVBoxLayout:
        self._fold_button = _flat("Details", "Show what helps others to help you")
        self._fold_button.setCheckable(True)
        self._fold_button.setArrowType(Qt.ArrowType.RightArrow)
        self._fold_button.toggled.connect(self._unfold)
        self._details = QPlainTextEdit()
        self._details.setReadOnly(True)
        self._details.setVisible(False)
        self._details.setAccessibleName("Details")
        self._details.setFont(number_font(0.95))
        self._details.setFixedSize(_WIDTH, 140)
        self._copy = _flat("Copy details", "Copy all of this as text")
        self._copy.setIcon(icon("copy"))
        self._copy.clicked.connect(self._copy_report)
        row = QHBoxLayout()
        row.addWidget(self._fold_button)
        row.addWidget(self._copy)
        row.addStretch(1)
        fold = QVBoxLayout()
        fold.setSpacing(SPACING // 2)
        fold.addLayout(row)
        fold.addWidget(self._details)
        return fold

    def _box(self) -> QDialogButtonBox:
        box = QDialogButtonBox(self)
        self._remedies: dict[Remedy, QPushButton] = {}
        for remedy, (text, name, tip) in _BUTTONS.items():
            button = self._remedies[remedy] = QPushButton(icon(name), text)
            button.setToolTip(tip)
            button.clicked.connect(lambda _checked=False, chosen=remedy: self._ask(chosen))
            box.addButton(button, QDialogButtonBox.ButtonRole.ActionRole)
        close = QPushButton("Close")
        close.setToolTip("Close this message")
        close.setDefault(True)
        close.clicked.connect(self.reject)
        box.addButton(close, QDialogButtonBox.ButtonRole.RejectRole)
        close.setFocus()
        return box

    def _show(self, row: int) -> None:
        if not 0 <= row < len(self._problems):
            return
        problem = self._problems[row]
        self.setWindowTitle("Notice" if problem.notice else "Problem")
        colour = self.palette().color(QPalette.ColorRole.Link) if problem.notice else warning_text_colour()
        picture = icon_pixmap("info" if problem.notice else "warning", 40, colour, self.devicePixelRatioF())
        self._picture.setPixmap(picture)
        self._title.setText(problem.title)
        self._what.setText(problem.what)
        self._show_steps(problem.do.splitlines())
        self._details.setPlainText(problem.details)
        self._copy.setText("Copy details")
        for remedy, button in self._remedies.items():
            button.setVisible(remedy in problem.remedies and remedy in self._actions[row])

    def _show_steps(self, steps: list[str]) -> None:
        while (old := self._step_grid.takeAt(0)) is not None:
            widget = old.widget()
            if widget is not None:
                widget.deleteLater()
        for row, step in enumerate(steps):
            if len(steps) > 1:
                self._step_grid.addWidget(QLabel(f"{row + 1}."), row, 0, Qt.AlignmentFlag.AlignTop)
            self._step_grid.addWidget(_text(step, indent=24 if len(steps) > 1 else 0), row, 1)
        self._steps.setVisible(bool(steps))
        self._do_title.setVisible(bool(steps))

    def _unfold(self, shown: bool) -> None:
        self._fold_button.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self._details.setVisible(shown)

    def _copy_report(self) -> None:
        QGuiApplication.clipboard().setText(problem_report(self._problems[self._list.currentRow()]))
        self._copy.setText("Copied")

    def _ask(self, remedy: Remedy) -> None:
        action = self._actions[self._list.currentRow()].get(remedy)
        self.accept()
        if action is not None:
            action()
        self.asked.emit(remedy)


def _flat(text: str, tip: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setAutoRaise(True)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    return button


def _text(text: str = "", indent: int = 0) -> QLabel:
    """Words that wrap, and that can be selected with the mouse."""
    label = QLabel(text, wordWrap=True, textFormat=Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setFixedWidth(_WIDTH - 40 - GAP - indent)
    label.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.MinimumExpanding)
    return label
