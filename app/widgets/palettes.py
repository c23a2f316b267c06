"""The colours themselves, as #rrggbb: two schemes, and the colours of data on each. Qt-free; tests compute their contrast."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DARK", "LIGHT", "REASONS", "STAGES", "Scheme"]


@dataclass(frozen=True)
class Scheme:
    """One scheme. Texts keep a contrast of 4.5:1 to what they stand on, disabled ones 3:1.

    Attributes:
        window, base, alternate, button, tip: what texts stand on: windows, lists and fields, every other row, buttons, tips.
        text, hint, disabled: words, hints and placeholders, words of disabled controls.
        highlight, link, visited: selection and focus, under white words; links.
        light, midlight, mid, dark, shadow: edges that Fusion draws.
        hover, pressed: under flat buttons.
        edge: of fields and check boxes; it is drawn a good third darker, then 3:1 to what it stands on.
        warning_text, warning_back, warning_edge: a warning in its place.
    """

    window: str
    base: str
    alternate: str
    button: str
    tip: str
    text: str
    hint: str
    disabled: str
    highlight: str
    link: str
    visited: str
    light: str
    midlight: str
    mid: str
    dark: str
    shadow: str
    hover: str
    pressed: str
    edge: str
    warning_text: str
    warning_back: str
    warning_edge: str


LIGHT = Scheme(
    window="#f3f4f6", base="#ffffff", alternate="#f6f7f9", button="#fafbfc", tip="#ffffff",
    text="#1b1f26", hint="#59616d", disabled="#7b838f",
    highlight="#1f6bc4", link="#1a5fb0", visited="#6b4ba8",
    light="#ffffff", midlight="#eceef1", mid="#cdd2d9", dark="#a3aab4", shadow="#6f7782",
    hover="#e4e7ec", pressed="#d5dae1", edge="#bcc2cb",
    warning_text="#7a4600", warning_back="#fff4df", warning_edge="#e6c07f",
)  # fmt: skip

DARK = Scheme(
    window="#1f2227", base="#17191d", alternate="#1c1f24", button="#2d3138", tip="#2d3138",
    text="#e7e9ec", hint="#a3abb7", disabled="#7f8893",
    highlight="#2f74c8", link="#76b6f3", visited="#b79df0",
    light="#454b55", midlight="#383d46", mid="#3d434d", dark="#131518", shadow="#0b0c0e",
    hover="#2e333b", pressed="#3a414b", edge="#98a1ae",
    warning_text="#ffc96b", warning_back="#33291a", warning_edge="#6d5428",
)  # fmt: skip

# On light, on dark, in the order in which they are stacked. Hues as in Okabe and Ito's set; lightness was then searched so that
# any two differ by 18 or more (CIE76), neighbours by 30, for normal and for colour-blind eyes.
STAGES: dict[str, tuple[str, str]] = {
    "detect": ("#0867ca", "#3979c1"),
    "track": ("#56bbf9", "#b7e7ff"),
    "crop": ("#7e8888", "#98a49c"),
    "spatial": ("#bc5517", "#e86524"),
    "temporal": ("#f2a911", "#ffe454"),
    "decode": ("#005055", "#24b669"),
    "swap": ("#ba72b7", "#d395ff"),
    "smooth": ("#831421", "#b0416e"),
    "other": ("#9aa0a9", "#757c87"),
}

# Early key frames, by why; others have the colour of key frames.
REASONS: dict[str, tuple[str, str]] = {
    "score": ("#b87500", "#f0b13c"),
    "jump": ("#1f5fa8", "#5aa2ea"),
    "implausible": ("#c03a2b", "#ff7b66"),
    "cut": ("#1b1f26", "#f2f4f7"),
    "gap": ("#7c7f86", "#9aa1ab"),
}
