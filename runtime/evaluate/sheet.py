"""One picture of many people, each twice: what is right or taken for it, and a pose; with the runtime's own overlay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.draw import draw
from vipose.runtime.errors import OutputError
from vipose.runtime.evaluate.ranks import RankedRow
from vipose.runtime.geometry import PAD, FloatArray, apply_affine, crop, crop_affine
from vipose.runtime.lettering import put_text, text_extent
from vipose.runtime.overlay import CENTRE, LEFT, RIGHT, Colour, Overlay, OverlayStyle, build_overlay
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import FrameResult, PersonResult

__all__ = ["SUFFIXES", "Legend", "Tile", "cut", "draw_sheet", "encode_sheet"]

Image = npt.NDArray[np.uint8]
SUFFIXES = (".jpg", ".jpeg", ".png")
HALF = (168, 224)
"""Width, height of each of a person's two crops."""
_FINE = 2  # crops are drawn this many times larger and shrunk: smooth lines, no aliasing of large people
_SIZE = HALF[0] * _FINE, HALF[1] * _FINE
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


@dataclass(frozen=True)
class Tile:
    """One person: two poses on the same crop.

    Attributes:
        box: [4] x0 y0 x1 y1 that the crop is about, picture pixels; may reach beyond the picture.
        left, right: [K, 3] x, y, score, picture pixels; joints that are not finite are not drawn. ``right`` is None for
            somebody who was not found.
        oks: of the two.
        name: begins the caption; loses its beginning where there is no room.
        detail: the rest of the caption, always whole.
        ground: from :func:`cut`, with the same box; None for black.
    """

    box: FloatArray
    left: FloatArray
    right: FloatArray | None
    oks: float
    name: str
    detail: str = ""
    ground: Image | None = None


@dataclass(frozen=True)
class Legend:
    """What the lines above the tiles say.

    Attributes:
        heading: what was evaluated, and the figures.
        pair: what is left and what is right, for example ``left the labels, right the prediction``.
        about: who is shown.
        threshold: joints that score less are drawn thin and faint.
    """

    heading: str
    pair: str
    about: str
    threshold: float = _STYLE.threshold


def cut(picture: Image, box: FloatArray) -> Image:
    """The crop about a person's box, padded as the crops of networks are; black beyond the picture.

    Args:
        picture: [H, W, 3] uint8 RGB.
        box: [4] x0 y0 x1 y1, picture pixels.
    """
    return crop(picture, crop_affine(box, _SIZE, pad=PAD), _SIZE)


def draw_sheet(rows: Sequence[RankedRow[Tile]], skeleton: Skeleton, legend: Legend) -> Image:
    """Rows of pairs under a heading.

    Args:
        rows: from the worst to the best.
        skeleton: of all poses.
        legend: the words.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    columns = max(_FEWEST, *(len(row.people) for row in rows)) if rows else _FEWEST
    step = _TITLE + HALF[1] + _CAPTION
    width = 2 * _MARGIN + columns * _PAIR + (columns - 1) * _GAP
    sheet = np.full((_HEAD + len(rows) * step + _MARGIN, width, 3), _PAPER, np.uint8)
    _write_head(sheet, legend)
    style = replace(_STYLE, threshold=legend.threshold)
    for number, row in enumerate(rows):
        top = _HEAD + number * step
        put_text(sheet, row.title, _MARGIN, top + _TITLE - 11, 13, _INK)
        for column, tile in enumerate(row.people):
            left = _MARGIN + column * (_PAIR + _GAP)
            _place(sheet, _pair(tile, skeleton, style), left, top + _TITLE)
            _write_caption(sheet, tile, left, top + _TITLE + HALF[1] + 17)
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


def _pair(tile: Tile, skeleton: Skeleton, style: OverlayStyle) -> Image:
    """Both halves of a tile, side by side."""
    ground = np.zeros((_SIZE[1], _SIZE[0], 3), np.uint8) if tile.ground is None else tile.ground
    affine = crop_affine(tile.box, _SIZE, pad=PAD)
    halves = [
        _not_found(_shrink(ground)) if points is None
        else _shrink(draw(ground, _with_faint(apply_affine(affine, points), skeleton, style)))
        for points in (tile.left, tile.right)
    ]  # fmt: skip
    return np.hstack([halves[0], np.full((HALF[1], _SPLIT, 3), _PAPER, np.uint8), halves[1]])


def _overlay(points: FloatArray, skeleton: Skeleton, style: OverlayStyle) -> Overlay:
    """The overlay of one person on a crop. Its box is the whole crop, so that all lines are equally wide."""
    person = PersonResult(1, np.array([0, 0, *_SIZE], np.float32), 1.0, points, points)
    return build_overlay(FrameResult(0, 0.0, _SIZE, (person,)), skeleton, style)


def _with_faint(points: FloatArray, skeleton: Skeleton, style: OverlayStyle) -> Overlay:
    """The overlay as the runtime draws it; beneath, thin and faint, the joints that score too little to be drawn there."""
    shown = _overlay(points, skeleton, style)
    every = _overlay(points, skeleton, replace(style, threshold=0.0))
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


def _write_head(sheet: Image, legend: Legend) -> None:
    """What was evaluated, and how to read the tiles."""
    put_text(sheet, _fit(legend.heading, 17, sheet.shape[1] - 2 * _MARGIN), _MARGIN, 42, 17, _INK)
    pieces = (
        (f"Of each pair: {legend.pair}. Limbs: ", _DIM), ("the person's left", LEFT), (", ", _DIM),
        ("the person's right", RIGHT), (", ", _DIM), ("across", CENTRE),
        (f". Thin: scores below {legend.threshold:g}.", _DIM),
    )  # fmt: skip
    x = _MARGIN
    for text, colour in pieces:
        put_text(sheet, text, x, 72, 11, colour)
        x += text_extent(text, 11)[0]
    put_text(sheet, legend.about, _MARGIN, 94, 11, _DIM)


def _write_caption(sheet: Image, tile: Tile, left: int, baseline: int) -> None:
    """OKS to the right, who it is in the room that is left."""
    oks, size = f"OKS {tile.oks:.2f}", 10.0
    extent = text_extent(oks, size)[0]
    put_text(sheet, oks, left + _PAIR - extent, baseline, size, _INK)
    room = _PAIR - extent - 12 - text_extent(tile.detail, size)[0]
    put_text(sheet, _fit(tile.name, size, room, tail=True) + tile.detail, left, baseline, size, _DIM)


def _fit(text: str, size: float, room: float, *, tail: bool = False) -> str:
    """The text, shortened to ``room`` pixels where it is longer; ``tail`` keeps its end."""
    kept = text
    while kept and text_extent(text if kept == text else f"{kept}...", size)[0] > room:
        kept = kept[1:] if tail else kept[:-1]
    if kept == text:
        return text
    return f"...{kept}" if tail else f"{kept}..."
