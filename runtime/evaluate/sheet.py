"""One picture of predicted poses beside the labelled ones, with the runtime's own overlay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.draw import draw
from vipose.runtime.errors import OutputError
from vipose.runtime.evaluate.examples import MIN_JOINTS, Example, ExampleRow
from vipose.runtime.geometry import PAD, FloatArray, apply_affine, crop, crop_affine
from vipose.runtime.lettering import put_text, text_extent
from vipose.runtime.overlay import CENTRE, LEFT, RIGHT, Colour, Overlay, OverlayStyle, build_overlay
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import FrameResult, PersonResult

__all__ = ["SUFFIXES", "draw_sheet", "encode_sheet"]

Image = npt.NDArray[np.uint8]
SUFFIXES = (".jpg", ".jpeg", ".png")
HALF = (168, 224)
"""Width, height of each of a person's two crops."""
_FINE = 2  # crops are drawn this many times larger and shrunk: smooth lines, no aliasing of large people
_MARGIN, _GAP, _SPLIT = 20, 14, 2
_PAIR = 2 * HALF[0] + _SPLIT
_HEAD, _TITLE, _CAPTION = 104, 44, 24
_FEWEST = 4  # columns that the sheet has room for even where there are fewer people: the heading needs them
_PAPER: Colour = (30, 33, 40)
_INK: Colour = (236, 236, 240)
_DIM: Colour = (165, 171, 184)
_VOID: Colour = (255, 200, 60)
_STYLE = OverlayStyle(boxes=False, ids=False, status=False, line_width=7.0, joint_radius=8.0)
_FAINT_ALPHA, _FAINT_WIDTH = 0.5, 0.45


def draw_sheet(
    rows: Sequence[ExampleRow],
    skeleton: Skeleton,
    heading: str,
    picture: Callable[[Example], Image],
    *,
    black: bool = False,
) -> Image:
    """Pairs of crops about the labelled boxes, padded as the crops of networks are: labels left, prediction right.

    Args:
        rows: from :func:`vipose.runtime.evaluate.examples.choose_rows`.
        skeleton: of labels and poses.
        heading: first line of the sheet; what was evaluated.
        picture: gives somebody's picture, [H, W, 3] uint8 RGB; called once a person, so that only one is kept at a time.
            Not called with ``black``.
        black: skeletons on black instead of the pictures.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    columns = max(_FEWEST, *(len(row.people) for row in rows)) if rows else _FEWEST
    step = _TITLE + HALF[1] + _CAPTION
    width = 2 * _MARGIN + columns * _PAIR + (columns - 1) * _GAP
    sheet = np.full((_HEAD + len(rows) * step + _MARGIN, width, 3), _PAPER, np.uint8)
    _write_head(sheet, heading)
    for number, row in enumerate(rows):
        top = _HEAD + number * step
        put_text(sheet, row.title, _MARGIN, top + _TITLE - 11, 13, _INK)
        for column, person in enumerate(row.people):
            left = _MARGIN + column * (_PAIR + _GAP)
            _place(sheet, _pair(person, skeleton, None if black else picture(person)), left, top + _TITLE)
            _write_caption(sheet, person, left, top + _TITLE + HALF[1] + 17)
    return sheet


def encode_sheet(image: Image, suffix: str) -> bytes:
    """A picture as JPEG or PNG.

    Args:
        image: [H, W, 3] uint8 RGB.
        suffix: one of :data:`SUFFIXES`.

    Raises:
        OutputError: it cannot be encoded.
    """
    # Full colour resolution: thin coloured lines bleed in the usual JPEG.
    options = [
        cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ] if suffix != ".png" else []  # fmt: skip
    good, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not good:
        raise OutputError(
            f"a sheet of {image.shape[1]}x{image.shape[0]} cannot be encoded as {suffix}; use another suffix"
        )
    return data.tobytes()


def _pair(person: Example, skeleton: Skeleton, picture: Image | None) -> Image:
    """Both crops of a person, side by side; on black without a picture."""
    size = HALF[0] * _FINE, HALF[1] * _FINE
    affine = crop_affine(person.box, size, pad=PAD)
    ground = np.zeros((size[1], size[0], 3), np.uint8) if picture is None else crop(picture, affine, size)
    truth = person.truth.copy()
    truth[:, 2] = truth[:, 2] > 0  # a label is sure; joints without one are not drawn
    overlays = [_overlay(truth, affine, size, skeleton, _STYLE)]
    if person.pose is not None:
        overlays.append(_with_faint(person.pose, affine, size, skeleton))
    halves = [_shrink(draw(ground, overlay)) for overlay in overlays]
    if person.pose is None:
        halves.append(_not_found(_shrink(ground)))
    return np.hstack([halves[0], np.full((HALF[1], _SPLIT, 3), _PAPER, np.uint8), halves[1]])


def _overlay(
    points: FloatArray, affine: FloatArray, size: tuple[int, int], skeleton: Skeleton, style: OverlayStyle
) -> Overlay:
    """The overlay of one person on a crop. Its box is the whole crop, so that all lines are equally wide."""
    moved = apply_affine(affine, points)
    person = PersonResult(1, np.array([0, 0, *size], np.float32), 1.0, moved, moved)
    return build_overlay(FrameResult(0, 0.0, size, (person,)), skeleton, style)


def _with_faint(points: FloatArray, affine: FloatArray, size: tuple[int, int], skeleton: Skeleton) -> Overlay:
    """The overlay as the runtime draws it; beneath, thin and faint, the joints that score too little to be drawn there."""
    shown = _overlay(points, affine, size, skeleton, _STYLE)
    every = _overlay(points, affine, size, skeleton, replace(_STYLE, threshold=0.0))
    limbs = {(line.start, line.end) for line in shown.lines}
    joints = {dot.centre for dot in shown.dots}
    lines = [
        replace(line, width=line.width * _FAINT_WIDTH, alpha=_FAINT_ALPHA)
        for line in every.lines if (line.start, line.end) not in limbs
    ]  # fmt: skip
    dots = [replace(dot, radius=dot.radius * 0.8, alpha=_FAINT_ALPHA) for dot in every.dots if dot.centre not in joints]
    return replace(shown, lines=(*lines, *shown.lines), dots=(*dots, *shown.dots))


def _shrink(image: Image) -> Image:
    return np.asarray(cv2.resize(image, HALF, interpolation=cv2.INTER_AREA), np.uint8)


def _not_found(image: Image) -> Image:
    """A darker crop that says so."""
    dark = np.asarray(image // 3, np.uint8)
    text, size = "not found", 11
    width, ascent, _ = text_extent(text, size)
    put_text(dark, text, (HALF[0] - width) / 2, (HALF[1] + ascent) / 2, size, _VOID)
    return dark


def _place(sheet: Image, tile: Image, left: int, top: int) -> None:
    sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile


def _write_head(sheet: Image, heading: str) -> None:
    """What was evaluated, and how to read the tiles."""
    put_text(sheet, _fit(heading, 17, sheet.shape[1] - 2 * _MARGIN), _MARGIN, 42, 17, _INK)
    pieces = (
        ("Of each pair: left the labels, right the prediction. Limbs: ", _DIM), ("the person's left", LEFT), (", ", _DIM),
        ("the person's right", RIGHT), (", ", _DIM), ("across", CENTRE),
        (f". Thin: scores below {_STYLE.threshold:g}.", _DIM),
    )  # fmt: skip
    x = _MARGIN
    for text, colour in pieces:
        put_text(sheet, text, x, 72, 11, colour)
        x += text_extent(text, 11)[0]
    who = f"People with {MIN_JOINTS} labelled joints or more, at evenly spaced ranks by OKS, which counts labelled joints only."
    put_text(sheet, who, _MARGIN, 94, 11, _DIM)


def _write_caption(sheet: Image, person: Example, left: int, baseline: int) -> None:
    """OKS to the right, picture and source in the room that is left."""
    oks, size = f"OKS {person.oks:.2f}", 10.0
    extent = text_extent(oks, size)[0]
    put_text(sheet, oks, left + _PAIR - extent, baseline, size, _INK)
    # Letters that the font does not have would be question marks: the id says more.
    name = person.name if person.name.isascii() and person.name.isprintable() else f"image {person.image_id}"
    source = f", {person.source}" if person.source else ""
    room = _PAIR - extent - 12
    put_text(
        sheet, _fit(name, size, room - text_extent(source, size)[0], tail=True) + source, left, baseline, size, _DIM
    )


def _fit(text: str, size: float, room: float, *, tail: bool = False) -> str:
    """The text, shortened to ``room`` pixels where it is longer; ``tail`` keeps its end."""
    kept = text
    while kept and text_extent(text if kept == text else f"{kept}...", size)[0] > room:
        kept = kept[1:] if tail else kept[:-1]
    if kept == text:
        return text
    return f"...{kept}" if tail else f"{kept}..."
