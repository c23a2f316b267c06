"""Theme and icons: contrast by numbers, colours that colour-blind people can tell apart, and following the theme."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QImage, QPalette
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from vipose.app.widgets.icons import ICON_NAMES, app_icon, icon, icon_pixmap
from vipose.app.widgets.palettes import DARK, LIGHT, REASONS, STAGES, Scheme
from vipose.app.widgets.theme import (
    KEY_COLOUR,
    PROPAGATED_COLOUR,
    WARNING_COLOUR,
    Theme,
    apply_theme,
    chosen_theme,
    heading_font,
    is_dark,
    make_palette,
    number_font,
    reason_colour,
    set_role,
    stage_colour,
    theme_watch,
    warning_text_colour,
)

NEEDED = {
    "open", "camera", "url", "play", "pause", "stop", "record", "snapshot", "settings", "batch", "results", "compare", "export",
    "folder", "add", "remove", "up", "down", "cancel", "check", "warning", "error", "info", "fit", "zoom-in", "zoom-out", "heat",
    "skeleton", "eye", "previous", "next", "first", "last", "reset", "help", "theme", "refresh",
}  # fmt: skip
SCHEMES = pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
# Machado, Oliveira and Fernandes (2009), full severity, on linear RGB.
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
Vector = np.ndarray


def linear(colour: str | QColor) -> Vector:
    found = QColor(colour)
    channels = np.array([found.redF(), found.greenF(), found.blueF()])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: str | QColor, other: str | QColor) -> float:
    """WCAG 2.2 contrast ratio."""
    light, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: Vector) -> Vector:
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = matrix @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def seen_distance(one: str | QColor, other: str | QColor) -> float:
    """The smallest CIE76 difference over normal vision and the three deficiencies."""
    matrices = [np.eye(3), *map(np.array, BLINDNESS.values())]
    return min(float(np.linalg.norm(lab(m @ linear(one)) - lab(m @ linear(other)))) for m in matrices)


@pytest.fixture
def app(qapp: QApplication) -> Iterator[QApplication]:
    """The application, without any theme afterwards."""
    yield qapp
    qapp.styleHints().unsetColorScheme()
    watch = theme_watch(qapp)
    watch.setParent(None)
    watch.deleteLater()
    qapp.setStyleSheet("")
    qapp.setPalette(QPalette())
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


@SCHEMES
def test_texts_read_well(scheme: Scheme) -> None:
    palette, role = make_palette(scheme), QPalette.ColorRole
    for text, grounds in {
        role.WindowText: (role.Window, role.Base, role.AlternateBase),
        role.Text: (role.Base, role.AlternateBase, role.Window),
        role.ButtonText: (role.Button, role.Window),
        role.PlaceholderText: (role.Base, role.Window, role.AlternateBase, role.Button),
        role.ToolTipText: (role.ToolTipBase,),
        role.HighlightedText: (role.Highlight,),
        role.Link: (role.Window, role.Base),
        role.LinkVisited: (role.Window, role.Base),
        role.BrightText: (role.Window, role.Base),
    }.items():
        for ground in grounds:
            assert contrast(palette.color(text), palette.color(ground)) >= 4.5, (text, ground)
    assert contrast(scheme.warning_text, scheme.warning_back) >= 4.5
    assert contrast(scheme.text, scheme.hover) >= 4.5 and contrast(scheme.text, scheme.pressed) >= 4.5


@SCHEMES
def test_disabled_texts_are_dim_but_legible(scheme: Scheme) -> None:
    palette, role, off = make_palette(scheme), QPalette.ColorRole, QPalette.ColorGroup.Disabled
    for text in (role.WindowText, role.Text, role.ButtonText, role.PlaceholderText):
        for ground in (role.Window, role.Base, role.Button):
            found = contrast(palette.color(off, text), palette.color(off, ground))
            assert 3 <= found < contrast(palette.color(role.Text), palette.color(ground)), (text, ground)


@SCHEMES
def test_marks_can_be_seen(scheme: Scheme) -> None:
    for colour in (KEY_COLOUR, PROPAGATED_COLOUR, WARNING_COLOUR, scheme.highlight):
        assert contrast(colour, scheme.window) >= 3
    for colours in (*STAGES.values(), *REASONS.values()):
        assert contrast(colours[scheme is DARK], scheme.base) >= 1.8


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_stages_keep_apart_for_everybody(dark: bool) -> None:
    stages = [STAGES[name][dark] for name in ("detect", "track", "crop", "spatial", "temporal", "decode", "swap", "smooth")]
    for one, other in pairwise(stages):
        assert seen_distance(one, other) >= 25, (one, other)
    for one, other in combinations(stages, 2):
        assert seen_distance(one, other) >= 15, (one, other)


def test_key_and_propagated_keep_apart_for_everybody() -> None:
    assert seen_distance(KEY_COLOUR, PROPAGATED_COLOUR) >= 25


@pytest.mark.parametrize(("theme", "dark"), [("light", False), ("dark", True)])
def test_a_theme_paints_the_application(app: QApplication, theme: Theme, dark: bool) -> None:
    apply_theme(app, theme)
    assert is_dark() is dark
    assert chosen_theme(app) == theme
    app.setStyleSheet("")  # it hides the style's name
    assert app.style().name().lower() == "fusion"
    assert stage_colour("detect") == QColor(STAGES["detect"][dark])
    assert stage_colour("something new") == QColor(STAGES["other"][dark])
    assert reason_colour("jump") == QColor(REASONS["jump"][dark])
    assert reason_colour("due") == KEY_COLOUR
    assert contrast(warning_text_colour(), app.palette().color(QPalette.ColorRole.Window)) >= 4.5


def test_changes_are_told_once_each(app: QApplication, qtbot: QtBot) -> None:
    apply_theme(app, "light")
    told: list[bool] = []
    theme_watch(app).changed.connect(lambda: told.append(is_dark()))
    apply_theme(app, "light")
    apply_theme(app, "dark")
    apply_theme(app, "light")
    assert told == [True, False]


def test_the_system_is_followed_only_when_asked_to(app: QApplication) -> None:
    apply_theme(app, "system")
    tell = app.styleHints().colorSchemeChanged.emit  # as the platform does
    tell(Qt.ColorScheme.Dark)
    assert is_dark()
    tell(Qt.ColorScheme.Light)
    assert not is_dark()
    apply_theme(app, "dark")
    tell(Qt.ColorScheme.Light)
    assert is_dark()


def test_a_desktop_that_tells_only_colours_is_followed(app: QApplication) -> None:
    app.setPalette(make_palette(DARK))
    apply_theme(app, "system")
    assert is_dark()
    apply_theme(app, "light")
    apply_theme(app, "system")
    assert is_dark()


def test_no_such_theme(app: QApplication) -> None:
    with pytest.raises(ValueError, match="sepia"):
        apply_theme(app, "sepia")  # type: ignore[arg-type]


def test_roles_change_the_look_of_labels(app: QApplication, qtbot: QtBot) -> None:
    apply_theme(app, "light")
    label = QLabel("words")
    qtbot.addWidget(label)
    label.show()
    plain = label.sizeHint().height()
    set_role(label, "heading")
    assert label.sizeHint().height() > plain
    set_role(label, "hint")
    assert label.palette().color(QPalette.ColorRole.WindowText) == QColor(LIGHT.hint)


def test_fonts(app: QApplication) -> None:
    assert heading_font().pointSizeF() > app.font().pointSizeF()
    assert heading_font().weight() > app.font().weight()
    assert number_font().pointSizeF() == pytest.approx(app.font().pointSizeF())


def ink(image: QImage) -> set[str]:
    """Colours of all fully opaque pixels."""
    cells = ((x, y) for x in range(image.width()) for y in range(image.height()))
    return {image.pixelColor(x, y).name() for x, y in cells if image.pixelColor(x, y).alpha() == 255}


def test_all_icons_that_are_needed_are_there_and_draw_something(app: QApplication) -> None:
    assert NEEDED <= set(ICON_NAMES)
    pictures = {}
    for name in ICON_NAMES:
        image = icon(name).pixmap(QSize(24, 24), 1.0).toImage()
        assert image.size() == QSize(24, 24)
        pictures[name] = bytes(image.constBits())
        assert any(pictures[name]), name
    assert len(set(pictures.values())) == len(pictures)  # no two alike


def test_an_icon_follows_the_theme(app: QApplication) -> None:
    found = icon("stop")
    apply_theme(app, "dark")
    assert ink(found.pixmap(QSize(24, 24), 1.0).toImage()) == {DARK.text}
    assert ink(found.pixmap(QSize(24, 24), 1.0, QIcon.Mode.Disabled).toImage()) == {DARK.disabled}
    apply_theme(app, "light")
    assert ink(found.pixmap(QSize(24, 24), 1.0).toImage()) == {LIGHT.text}
    assert ink(icon_pixmap("stop", 24, QColor("#123456")).toImage()) == {"#123456"}


def test_icons_are_sharp_on_dense_screens(app: QApplication) -> None:
    pixmap = icon("play").pixmap(QSize(16, 16), 2.0)
    assert pixmap.size() == QSize(32, 32) and pixmap.devicePixelRatio() == 2
    assert icon_pixmap("play", 16, QColor("red"), 2.0).size() == QSize(32, 32)


def test_an_icon_outlives_what_made_it(app: QApplication) -> None:
    copies = [QIcon(icon(name)) for name in ICON_NAMES for _ in range(5)]
    assert not any(copy.isNull() for copy in copies)
    assert all(not copy.pixmap(QSize(16, 16), 1.0).isNull() for copy in copies)


def test_an_unknown_icon_is_refused(app: QApplication) -> None:
    with pytest.raises(KeyError, match="no icon 'unicorn'"):
        icon("unicorn")
    with pytest.raises(KeyError):
        icon_pixmap("unicorn", 16, QColor("red"))


def test_the_applications_own_icon(app: QApplication) -> None:
    image = app_icon().pixmap(QSize(64, 64), 1.0).toImage()
    assert {"#40aaff", "#ff951e"} <= ink(image)  # left and right of the overlay
