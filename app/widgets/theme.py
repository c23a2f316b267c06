"""How the application looks: Fusion with a light and a dark palette, the colours of data, fonts and spacing.

Widgets take their colours from the palette. Fixed colours are for data only and come from here. A label or frame asks for
a look by the dynamic property ``role``: ``heading``, ``title``, ``hint``, ``card`` or ``warning``.
"""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication, QWidget

from vipose.app.widgets.palettes import DARK, LIGHT, REASONS, STAGES, Scheme

__all__ = [
    "GAP",
    "KEY_COLOUR",
    "MARGIN",
    "PROPAGATED_COLOUR",
    "SPACING",
    "THEMES",
    "WARNING_COLOUR",
    "Theme",
    "apply_theme",
    "chosen_theme",
    "heading_font",
    "is_dark",
    "make_palette",
    "number_font",
    "reason_colour",
    "set_role",
    "stage_colour",
    "theme_watch",
    "warning_text_colour",
]

Theme = Literal["system", "light", "dark"]
THEMES: tuple[Theme, ...] = ("system", "light", "dark")

SPACING = 8
"""Between controls that belong together, in device-independent pixels; GAP between groups, MARGIN around a page."""
GAP = 16
MARGIN = 12

# Violet against green keeps apart under every common colour vision deficiency; 3:1 on either window colour.
KEY_COLOUR = QColor(139, 95, 224)
PROPAGATED_COLOUR = QColor(44, 152, 112)
WARNING_COLOUR = QColor(200, 118, 0)

Role = Literal["heading", "title", "hint", "card", "warning"]


class ThemeWatch(QObject):
    """Holds the chosen theme of one application and follows the system's colours while it is ``system``."""

    changed = Signal()
    """The palette is another one now: icons and plots that keep colours take them anew."""

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self.setObjectName(_WATCH)
        self._app = app
        self.theme: Theme = "system"
        self.dark: bool | None = None
        self._plain = app.palette()  # the system's own, before ours
        app.styleHints().colorSchemeChanged.connect(self._system_changed)

    def choose(self, theme: Theme) -> None:
        """Paint the application in this theme from now on."""
        if self.dark is None:
            self._app.setStyle("Fusion")
        self.theme = theme
        hints = self._app.styleHints()
        # Title bars and native dialogs follow the hint; the palette is our own.
        if theme == "system":
            hints.unsetColorScheme()
        else:
            hints.setColorScheme(Qt.ColorScheme.Dark if theme == "dark" else Qt.ColorScheme.Light)
        self._paint(theme == "dark" if theme != "system" else self._system_dark(hints.colorScheme()))

    def _system_changed(self, scheme: Qt.ColorScheme) -> None:
        if self.theme == "system":
            self._paint(self._system_dark(scheme))

    def _system_dark(self, scheme: Qt.ColorScheme) -> bool:
        """Some desktops tell nothing but their colours."""
        return _dark(self._plain) if scheme == Qt.ColorScheme.Unknown else scheme == Qt.ColorScheme.Dark

    def _paint(self, dark: bool) -> None:
        if dark == self.dark:
            return
        self.dark = dark
        scheme = DARK if dark else LIGHT
        palette = make_palette(scheme)
        self._app.setPalette(palette)
        _outline_fields(self._app, palette, scheme)
        self._app.setStyleSheet(_style_sheet(scheme, self._app.font()))
        self.changed.emit()


_WATCH = "vipose-theme"


def apply_theme(app: QApplication, theme: Theme) -> None:
    """Give an application the look of vipose; may be called again at any time, in the GUI thread.

    Args:
        app: the application.
        theme: ``system`` follows the system's light or dark setting, also when it changes.

    Raises:
        ValueError: it is none of :data:`THEMES`.
    """
    if theme not in THEMES:
        raise ValueError(f"no theme '{theme}'; choose one of {', '.join(THEMES)}")
    theme_watch(app).choose(theme)


def theme_watch(app: QApplication) -> ThemeWatch:
    """The one :class:`ThemeWatch` of an application, with its signal ``changed``."""
    found = app.findChild(ThemeWatch, _WATCH)
    return found if found is not None else ThemeWatch(app)


def chosen_theme(app: QApplication) -> Theme:
    """What was chosen last; ``system`` at first."""
    return theme_watch(app).theme


def is_dark() -> bool:
    """Whether texts are lighter than the window they stand on."""
    return _dark(QGuiApplication.palette())


def _dark(palette: QPalette) -> bool:
    return palette.color(QPalette.ColorRole.Window).lightnessF() < palette.color(QPalette.ColorRole.WindowText).lightnessF()


def make_palette(scheme: Scheme) -> QPalette:
    """A full palette of one scheme; every role is set, also for disabled controls."""
    roles, groups = QPalette.ColorRole, QPalette.ColorGroup
    colours = {
        roles.Window: scheme.window,
        roles.WindowText: scheme.text,
        roles.Base: scheme.base,
        roles.AlternateBase: scheme.alternate,
        roles.Text: scheme.text,
        roles.Button: scheme.button,
        roles.ButtonText: scheme.text,
        roles.BrightText: scheme.warning_text,
        roles.ToolTipBase: scheme.tip,
        roles.ToolTipText: scheme.text,
        roles.PlaceholderText: scheme.hint,
        roles.Highlight: scheme.highlight,
        roles.HighlightedText: "#ffffff",
        roles.Accent: scheme.highlight,
        roles.Link: scheme.link,
        roles.LinkVisited: scheme.visited,
        roles.Light: scheme.light,
        roles.Midlight: scheme.midlight,
        roles.Mid: scheme.mid,
        roles.Dark: scheme.dark,
        roles.Shadow: scheme.shadow,
    }
    palette = QPalette()
    for role, colour in colours.items():
        palette.setColor(role, QColor(colour))
    for role in (roles.WindowText, roles.Text, roles.ButtonText, roles.PlaceholderText, roles.HighlightedText, roles.Link):
        palette.setColor(groups.Disabled, role, QColor(scheme.disabled))
    palette.setColor(groups.Disabled, roles.Base, QColor(scheme.window))
    palette.setColor(groups.Disabled, roles.Highlight, QColor(scheme.mid))
    palette.setColor(groups.Disabled, roles.Accent, QColor(scheme.mid))
    return palette


def _outline_fields(app: QApplication, palette: QPalette, scheme: Scheme) -> None:
    """Give fields and check boxes an edge that can be seen.

    Fusion draws it a shade darker than the window, which on dark is as good as black. These widgets use the window's colour
    for nothing else.
    """
    edged = QPalette(palette)
    edged.setColor(QPalette.ColorRole.Window, QColor(scheme.edge))
    for name in _FIELDS:
        app.setPalette(edged, name)  # type: ignore[arg-type]  # it takes text, and no bytes: the stubs are wrong


_FIELDS = ("QCheckBox", "QRadioButton", "QLineEdit", "QAbstractSpinBox", "QComboBox")


def stage_colour(stage: str) -> QColor:
    """Colour of a stage of the pipeline in the present theme; a neutral grey for stages that are not known.

    The eight colours keep apart under the common colour vision deficiencies, neighbours most of all.
    """
    light, dark = STAGES.get(stage, STAGES["other"])
    return QColor(dark if is_dark() else light)


def reason_colour(reason: str) -> QColor:
    """Colour of the reason for a key frame (``FrameResult``'s ``why``); ordinary ones have the colour of key frames."""
    return QColor(REASONS[reason][is_dark()]) if reason in REASONS else QColor(KEY_COLOUR)


def warning_text_colour() -> QColor:
    """Colour for words of warning; it reads well on the window of the present theme, which WARNING_COLOUR need not."""
    return QColor((DARK if is_dark() else LIGHT).warning_text)


def heading_font(scale: float = 1.35) -> QFont:
    """The application's font, larger and semi-bold."""
    font = QFont(QGuiApplication.font())
    font.setPointSizeF(_points(font) * scale)
    font.setWeight(QFont.Weight.DemiBold)
    return font


def number_font(scale: float = 1.0) -> QFont:
    """A fixed-pitch font for figures that change in place, so that they do not dance."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    font.setPointSizeF(_points(QGuiApplication.font()) * scale)
    return font


def set_role(widget: QWidget, role: Role) -> None:
    """Give a label or frame one of the looks of the style sheet, also after it was shown."""
    widget.setProperty("role", role)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def _points(font: QFont) -> float:
    """Size in points, also where a font is given in pixels."""
    return font.pointSizeF() if font.pointSizeF() > 0 else font.pixelSize() * 0.75


def _style_sheet(scheme: Scheme, font: QFont) -> str:
    """Only what Fusion draws poorly: flat tool buttons, cards, words of several weights."""
    points = _points(font)
    return f"""
    QToolButton[autoRaise="true"] {{ border: 1px solid transparent; border-radius: 5px; padding: 4px; }}
    QToolButton[autoRaise="true"]:hover:enabled {{ background: {scheme.hover}; }}
    QToolButton[autoRaise="true"]:pressed, QToolButton[autoRaise="true"]:checked {{
        background: {scheme.pressed}; border-color: {scheme.mid}; }}
    QToolButton[autoRaise="true"]:focus {{ border-color: {scheme.highlight}; }}
    QToolButton[autoRaise="true"][popupMode="1"] {{ padding-right: 16px; }}
    QToolButton[autoRaise="true"]::menu-button {{ border: none; width: 14px; }}
    QLabel[role="heading"] {{ font-size: {points * 1.35:.1f}pt; font-weight: 600; }}
    QLabel[role="title"] {{ font-weight: 600; }}
    QLabel[role="hint"] {{ color: {scheme.hint}; }}
    QLabel[role="hint"]:disabled {{ color: {scheme.disabled}; }}
    QLabel[role="warning"] {{ color: {scheme.warning_text}; background: {scheme.warning_back};
        border: 1px solid {scheme.warning_edge}; border-radius: 6px; padding: 6px 10px; }}
    QFrame[role="card"] {{ background: {scheme.base}; border: 1px solid {scheme.mid}; border-radius: 8px; }}
    QToolTip {{ color: {scheme.text}; background: {scheme.tip}; border: 1px solid {scheme.mid}; padding: 3px; }}
    """
