"""What the canvas draws over a frame, laid out in widget pixels before anything is painted.

Sizes are those of the screen: zooming in brings people nearer, but neither letters nor lines swell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from PySide6.QtGui import QColor

from vipose.app.core.hit import Point, ViewTransform, projected
from vipose.app.core.shown import Shown
from vipose.app.core.viewstate import ViewState
from vipose.app.widgets.canvas_angles import AngleMark, angle_marks
from vipose.app.widgets.theme import KEY_COLOUR, PROPAGATED_COLOUR, reason_colour
from vipose.runtime.overlay import Colour, Overlay, OverlayStyle, Rect, build_overlay, place_label, track_colour
from vipose.runtime.schedule import EARLY
from vipose.runtime.types import FrameResult, PersonResult

__all__ = ["Chip", "Label", "RecentReasons", "Scene", "build_scene"]

Measure = Callable[[str], float]
"""Width of a text in widget pixels."""
Reasons = Mapping[int, str]

WORDS = {"score": "score fell", "jump": "jumped", "implausible": "implausible", "cut": "scene cut", "gap": "time jump"}
_KEPT_S = 1.2  # an early key frame lasts a thirtieth of a second; its reason stays long enough to be read
_PAD = 5.0
_SWAP: Colour = (210, 213, 219)


@dataclass(frozen=True)
class Chip:
    """One part of a label: ``text`` on a ground. ``alpha`` is the opacity of the ground."""

    text: str
    rect: Rect
    ground: Colour
    alpha: float = 1.0


@dataclass(frozen=True)
class Label:
    """Track id, K or P mark and what else there is to say about one person; ``rect`` goes around all chips."""

    person: int
    rect: Rect
    chips: tuple[Chip, ...]


@dataclass(frozen=True)
class Scene:
    """Everything that lies over the picture.

    Attributes:
        view: for which it was laid out.
        result: in widget pixels; hit tests use it.
        overlay: of everybody, or of all but the followed person.
        followed: of the followed person; None where nobody is followed, or the person is not in sight.
        target: the followed person's box.
        labels: without those of people outside of the window.
        angles: joint angles.
    """

    view: ViewTransform
    result: FrameResult
    overlay: Overlay
    followed: Overlay | None = None
    target: Rect | None = None
    labels: tuple[Label, ...] = ()
    angles: tuple[AngleMark, ...] = ()

    def label_at(self, point: Point) -> int | None:
        """The person whose label lies under a point."""
        x, y = point
        hit = (s.person for s in reversed(self.labels) if s.rect[0] <= x <= s.rect[2] and s.rect[1] <= y <= s.rect[3])
        return next(hit, None)


class RecentReasons:
    """Remembers for a moment why somebody was a key person early."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[str, float]] = {}

    def add(self, result: FrameResult) -> None:
        """The next frame; going back in time forgets everything."""
        now = result.time_s
        self._seen = {i: (why, at) for i, (why, at) in self._seen.items() if 0 <= now - at <= _KEPT_S}
        self._seen |= {p.id: (p.why, now) for p in result.people if p.why in EARLY}

    def clear(self) -> None:
        """Another source."""
        self._seen.clear()

    def now(self) -> dict[int, str]:
        """Track id -> reason."""
        return {person: why for person, (why, _) in self._seen.items()}


def build_scene(
    shown: Shown, view: ViewTransform, state: ViewState, threshold: float, reasons: Reasons, measure: Measure, line: float
) -> Scene:
    """Lay out a frame.

    Args:
        shown: the frame.
        view: where the window looks.
        state: which layers are wanted, and who is followed.
        threshold: joints below this score are not drawn.
        reasons: of recent early key frames by track id.
        measure: width of a text in the font of labels.
        line: height of a line of that font, widget pixels.
    """
    result = projected(shown.result, view)
    followed = next((p for p in result.people if p.id == state.followed), None)
    rest = replace(result, people=tuple(p for p in result.people if p is not followed))
    style = _style(view, state, threshold)

    def overlay(part: FrameResult) -> Overlay:
        built = build_overlay(part, shown.skeleton, style)
        return built if state.skeletons else replace(built, lines=(), dots=())

    whose = shown.result.people if followed is None else tuple(p for p in shown.result.people if p.id == followed.id)
    return Scene(
        view,
        result,
        overlay(rest),
        None if followed is None else overlay(replace(result, people=(followed,))),
        None if followed is None or not np.isfinite(followed.box).all() else _rect(followed),
        _labels(result, reasons, measure, line) if state.labels else (),
        angle_marks(whose, view, shown.skeleton, threshold, state.smoothed, measure, line) if state.angles else (),
    )


def _style(view: ViewTransform, state: ViewState, threshold: float) -> OverlayStyle:
    """Lines as strong as in a file of the fitted picture's size, whatever the zoom and the shape of the window."""
    window = max(min(view.widget) / 540, 0.1)
    fitted = min(view.frame) * view.scale / view.position.zoom / 540
    share = min(max(fitted, 0.5), 1.6) / window
    base = OverlayStyle()
    return OverlayStyle(
        boxes=state.boxes,
        ids=False,
        status=False,
        smoothed=state.smoothed,
        threshold=threshold,
        line_width=base.line_width * share,
        joint_radius=base.joint_radius * share,
    )


def _rect(person: PersonResult) -> Rect:
    x0, y0, x1, y1 = (float(v) for v in person.box)
    return x0, y0, x1, y1


def _labels(result: FrameResult, reasons: Reasons, measure: Measure, line: float) -> tuple[Label, ...]:
    labels: list[Label] = []
    height = line + 4.0
    for person in result.people:
        if not all(map(math.isfinite, _rect(person))) or not _in_view(_rect(person), result.size):
            continue
        parts = _parts(person, reasons.get(person.id, ""))
        widths = [max(measure(text) + 2 * _PAD, height) for text, _, _ in parts]
        block = sum(widths), height
        rect = place_label(_rect(person), block, result.size, 0.0, [label.rect for label in labels])
        chips, x = [], rect[0]
        for (text, ground, alpha), width in zip(parts, widths, strict=True):
            chips.append(Chip(text, (x, rect[1], x + width, rect[3]), ground, alpha))
            x += width
        labels.append(Label(person.id, rect, tuple(chips)))
    return tuple(labels)


def _parts(person: PersonResult, recent: str) -> list[tuple[str, Colour, float]]:
    """Text, ground and opacity of the chips: id, K or P, the reason of an early key frame, a swap of left and right."""
    key = person.kind == "key"
    parts = [
        (str(person.id), track_colour(person.id), 1.0),
        ("K" if key else f"P{person.phase}", _rgb(KEY_COLOUR if key else PROPAGATED_COLOUR), 1.0),
    ]
    why = person.why if person.why in EARLY else recent
    if why:
        parts.append((WORDS.get(why, why), _rgb(reason_colour(why)), 1.0 if person.why == why else 0.75))
    if person.swapped:
        parts.append(("L/R", _SWAP, 1.0))
    return parts


def _rgb(colour: QColor) -> Colour:
    return colour.red(), colour.green(), colour.blue()


def _in_view(rect: Rect, size: tuple[int, int]) -> bool:
    return rect[0] < size[0] and rect[2] > 0 and rect[1] < size[1] and rect[3] > 0
