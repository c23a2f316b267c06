"""Detection pictures for training: held in memory decoded, cut, scaled and put together afresh for every sample."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError

__all__ = [
    "CLOSE_UP",
    "FILL",
    "AugmentConfig",
    "Picture",
    "Sampler",
    "decoded",
    "fit",
    "members",
    "read_pictures",
    "split",
]

FILL = 114  # grey of everything outside a picture, at training and in the letterbox at run time

CLOSE_UP = "close-up-"  # start of the source of pictures cut around one person

Boxes = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Picture:
    """One picture: RGB uint8 [H, W, 3], boxes of people [n, 4] and boxes to leave out of the loss [m, 4].

    Boxes are x0 y0 x1 y1 in pixels of the picture.
    """

    name: int
    image: Image
    boxes: Boxes
    ignore: Boxes
    source: str

    @property
    def close_up(self) -> bool:
        """True for pictures cut around one person: they only go into mosaics, where that person is of ordinary size."""
        return self.source.startswith(CLOSE_UP)


@dataclass(frozen=True)
class AugmentConfig:
    """How samples vary.

    Attributes:
        zoom: range of the scale relative to a picture that just fits, log-uniform.
        mosaic: share of samples put together from four or nine pictures; ``nine`` is the share of nine among them.
        colour: largest relative change of brightness, contrast and of each channel.
        grey, blur, noise: shares of samples that turn grey, are blurred or get noise.
        least_visible: people of whom less than this share of the box is left are ignored instead of wanted.
    """

    zoom: tuple[float, float] = (0.7, 2.0)
    mosaic: float = 0.35
    nine: float = 0.3
    colour: float = 0.25
    grey: float = 0.05
    blur: float = 0.1
    noise: float = 0.1
    least_visible: float = 0.3


def members(folder: Path, ids: npt.NDArray[np.int32], shards: npt.NDArray[np.uint8]) -> Iterator[tuple[int, bytes]]:
    """(row, encoded picture) of every row of a table, shard by shard."""
    rows = {int(i): n for n, i in enumerate(ids)}
    for shard in sorted(set(shards.tolist())):
        with tarfile.open(folder / f"train-{shard:02d}.tar") as tar:
            for member in tar:
                file, row = tar.extractfile(member), rows.get(int(Path(member.name).stem))
                if file is not None and row is not None:
                    yield row, file.read()


def read_pictures(folder: Path, most: int | None = None) -> list[Picture]:
    """Pictures of a folder with ``train.npz`` and ``train-NN.tar`` (WebP): all, or ``most`` of them from all over it.

    Raises:
        InputError: it has none.
    """
    pictures = []
    try:
        table = dict(np.load(folder / "train.npz"))
        wanted = set(np.linspace(0, len(table["id"]) - 1, most or len(table["id"])).astype(int).tolist())
        for row, encoded in members(folder, table["id"], table["shard"]):
            if row not in wanted:
                continue
            found = table["boxes"][table["offsets"][row] : table["offsets"][row + 1]]
            leave = found[:, 5] > 0
            pictures.append(
                Picture(
                    int(table["id"][row]),
                    decoded(encoded),
                    found[~leave, :4].astype(np.float32),
                    found[leave, :4].astype(np.float32),
                    str(table["names"][table["source"][row]]),
                )
            )
    except (OSError, ValueError, KeyError, tarfile.TarError) as error:
        raise InputError(f"no detection data in '{folder}' ({error}); want train.npz and train-NN.tar") from error
    return pictures


def decoded(encoded: bytes) -> Image:
    """An encoded picture as RGB; raises ValueError where it is none."""
    bgr = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("a member is not a picture")
    return np.ascontiguousarray(np.asarray(bgr, np.uint8)[..., ::-1])


def split(pictures: Sequence[Picture], every: int = 20) -> tuple[list[Picture], list[Picture]]:
    """Training and held-out pictures; one in ``every`` (by name, so that it never changes) is held out."""
    held = [p for p in pictures if p.name % every == 0]
    return [p for p in pictures if p.name % every], held


def fit(image: Image, boxes: Boxes, size: tuple[int, int]) -> tuple[Image, Boxes, float]:
    """Letterbox into (width, height) without enlarging more than needed: picture top left, rest FILL.

    Returns the canvas, the boxes on it and the scale.
    """
    scale = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width, height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    canvas = np.full((size[1], size[0], 3), FILL, np.uint8)
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return canvas, boxes * scale, scale


class Sampler:
    """Draws training samples. The same seed and calls give the same samples.

    Args:
        groups: pictures by origin.
        shares: how often each group is drawn, relative to the others.
        config: how samples vary.
        seed: of everything random here.
        sources: how often a picture of a source is drawn within its group; sources that are not named count 1.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Picture]],
        shares: Sequence[float],
        config: AugmentConfig,
        seed: int,
        sources: Mapping[str, float] | None = None,
    ) -> None:
        self.groups, self.config = groups, config
        self.shares = np.array(shares, np.float64) / sum(shares)
        self.rng = np.random.default_rng(seed)
        weights = [np.array([(sources or {}).get(p.source, 1.0) for p in group]) for group in groups]
        self._within = [np.cumsum(weight) / weight.sum() for weight in weights]

    def draw(self) -> Picture:
        """A random picture."""
        group = int(self.rng.choice(len(self.groups), p=self.shares))
        return self.groups[group][int(np.searchsorted(self._within[group], self.rng.random(), side="right"))]

    def __call__(self, size: tuple[int, int]) -> tuple[Image, Boxes, Boxes]:
        """A sample of (width, height): RGB image, people [n, 4], ignored boxes [m, 4]."""
        picture = self.draw()
        canvas = np.full((size[1], size[0], 3), FILL, np.uint8)
        if picture.close_up or self.rng.random() < self.config.mosaic:
            boxes, ignore = self._mosaic(picture, canvas)
        else:
            boxes, ignore = self._place(picture, canvas, (0, 0, *size), self.config.zoom)
        if self.rng.random() < 0.5:
            canvas = np.ascontiguousarray(canvas[:, ::-1])
            boxes, ignore = _mirrored(boxes, size[0]), _mirrored(ignore, size[0])
        return self._recolour(canvas), boxes, ignore

    def _mosaic(self, picture: Picture, canvas: Image) -> tuple[Boxes, Boxes]:
        """Pictures in a grid with random lines: crowds, small people and people cut by a border."""
        height, width = canvas.shape[:2]
        nine = self.rng.random() < self.config.nine
        lines = [np.array([0, 1 / 3, 2 / 3, 1]) if nine else np.array([0, 0.5, 1]) for _ in range(2)]
        for line in lines:
            line[1:-1] += self.rng.uniform(-0.1, 0.1, len(line) - 2) if nine else self.rng.uniform(-0.15, 0.15)
        xs, ys = (lines[0] * width).round().astype(int).tolist(), (lines[1] * height).round().astype(int).tolist()
        parts: list[tuple[Boxes, Boxes]] = []
        for y0, y1 in pairwise(ys):
            for x0, x1 in pairwise(xs):
                chosen = picture if not parts else self.draw()
                zoom = (0.8, 1.3) if nine or chosen.close_up else (0.8, 2.0)
                parts.append(self._place(chosen, canvas, (x0, y0, x1, y1), zoom))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _place(
        self, picture: Picture, canvas: Image, tile: tuple[int, int, int, int], zoom: tuple[float, float]
    ) -> tuple[Boxes, Boxes]:
        """Draw ``picture`` into a tile of the canvas, scaled and shifted at random; boxes are cut at the tile."""
        x0, y0, x1, y1 = tile
        tile_size = np.array([x1 - x0, y1 - y0], np.float64)
        original = np.array([picture.image.shape[1], picture.image.shape[0]], np.float64)
        scale = (tile_size / original).min() * np.exp(self.rng.uniform(*np.log(zoom)))
        aspect = np.exp(self.rng.uniform(-0.12, 0.12) * np.array([0.5, -0.5]))
        scales = scale * aspect
        slack = tile_size - original * scales
        focus = self._focus(picture, scales, tile_size)
        shift = np.where(slack > 0, self.rng.random(2) * slack, focus)
        affine = np.array([[scales[0], 0, shift[0]], [0, scales[1], shift[1]]])
        # Averaging pixels of a strongly reduced picture is what the letterbox of a big frame sees.
        reduced = picture.image if scale > 0.5 else cv2.blur(picture.image, (2, 2))
        canvas[y0:y1, x0:x1] = cv2.warpAffine(
            reduced, affine, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderValue=(FILL, FILL, FILL)
        )
        move = np.array([*shift, *shift]) + np.array([x0, y0, x0, y0])
        people = (picture.boxes * np.tile(scales, 2) + move).astype(np.float32)
        leave = (picture.ignore * np.tile(scales, 2) + move).astype(np.float32)
        return self._cut(people, leave, np.array([x0, y0, x1, y1], np.float32))

    def _focus(self, picture: Picture, scales: Vector, tile: Vector) -> Vector:
        """Shift of a picture larger than its tile that shows the surroundings of a random person, or of any point."""
        original = np.array([picture.image.shape[1], picture.image.shape[0]], np.float64)
        if len(picture.boxes) and self.rng.random() < 0.8:
            box = picture.boxes[self.rng.integers(len(picture.boxes))]
            point = box[:2] + self.rng.random(2) * (box[2:] - box[:2])
        else:
            point = self.rng.random(2) * original
        low = np.minimum(tile - original * scales, 0)
        return np.asarray(np.clip(tile * self.rng.uniform(0.25, 0.75, 2) - point * scales, low, 0), np.float64)

    def _cut(self, people: Boxes, leave: Boxes, tile: Boxes) -> tuple[Boxes, Boxes]:
        """Clip to the tile; people mostly outside and tiny ones become ignored."""

        def clipped(boxes: Boxes) -> tuple[Boxes, Boxes]:
            inside = np.concatenate([np.maximum(boxes[:, :2], tile[:2]), np.minimum(boxes[:, 2:], tile[2:])], 1)
            sides = np.maximum(inside[:, 2:] - inside[:, :2], 0)
            whole = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)
            return inside, np.where(sides.min(1, initial=np.inf) >= 3, sides.prod(1) / whole, 0)

        boxes, visible = clipped(people)
        others, seen = clipped(leave)
        wanted = visible >= self.config.least_visible
        return boxes[wanted], np.concatenate([boxes[(visible > 0) & ~wanted], others[seen > 0]])

    def _recolour(self, image: Image) -> Image:
        config, rng = self.config, self.rng
        gain = np.exp(rng.uniform(-config.colour, config.colour)) * np.exp(rng.uniform(-0.3, 0.3, 3) * config.colour)
        offset = rng.uniform(-1, 1) * config.colour * 100
        table = np.clip(np.arange(256)[:, None] * gain + offset, 0, 255).astype(np.uint8)
        image = np.ascontiguousarray(cv2.LUT(image, table.reshape(256, 1, 3)), np.uint8)
        if rng.random() < config.grey:
            image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2).astype(np.uint8)
        if rng.random() < config.blur:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.5))), np.uint8)
        if rng.random() < config.noise:
            noise = rng.normal(0, rng.uniform(2, 10), image.shape)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        return image


def _mirrored(boxes: Boxes, width: int) -> Boxes:
    """Boxes of the left-right mirrored image: pixel x becomes width - 1 - x."""
    return np.stack([width - 1 - boxes[:, 2], boxes[:, 1], width - 1 - boxes[:, 0], boxes[:, 3]], 1)
