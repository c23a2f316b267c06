"""Packs: people cut out of pictures, kept encoded, with labels and a teacher's heatmaps, ready to train from.

A pack is a folder: ``crops.bin`` (encoded pictures one after another), ``index.npz`` (offsets and labels) and
``heatmaps.npy`` (uint8, the teacher's heatmaps x 255 on the un-augmented crop). Augmentation warps picture and heatmaps
by the same affine, so the teacher runs once a crop and not once an epoch.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vipose.models.data.teacher import HeatmapTeacher
from vipose.runtime.geometry import apply_affine, crop, crop_affine

__all__ = ["Person", "cut_person", "decode_rgb", "read_crops", "read_detection_people", "write_pack"]

REGION = 1.65  # a crop shows the box, fitted to 3:4, times this: room for augmentation
LARGEST = (240, 320)


@dataclass(frozen=True)
class Person:
    """One person: encoded picture, box x0 y0 x1 y1, joints [17, 3] x y v (v = 0: no label), source."""

    picture: bytes
    box: npt.NDArray[np.float32]
    gt: npt.NDArray[np.float32]
    source: str


def _members(folder: Path, ids: npt.NDArray[np.int32], shards: npt.NDArray[np.uint8]) -> Iterator[tuple[int, bytes]]:
    """(row, encoded picture) for every row, shard by shard."""
    rows = {int(i): n for n, i in enumerate(ids)}
    for shard in sorted(set(shards.tolist())):
        with tarfile.open(folder / f"train-{shard:02d}.tar") as tar:
            for member in tar:
                file = tar.extractfile(member)
                row = rows.get(int(Path(member.name).stem))
                if file is not None and row is not None:
                    yield row, file.read()


def read_crops(folder: Path) -> Iterator[Person]:
    """People of the shared crop format (``train.npz`` and ``train-NN.tar``).

    Rows whose flag says that sides are swapped or the label is wrong lose their ground truth: the teacher serves them.
    """
    table = np.load(folder / "train.npz")
    for row, picture in _members(folder, table["id"], table["shard"]):
        x, y, w, h = table["box"][row]
        gt = table["gt"][row].astype(np.float32)
        if table["flag"][row]:
            gt = np.zeros_like(gt)
        yield Person(picture, np.array([x, y, x + w, y + h], np.float32), gt, str(table["names"][table["source"][row]]))


def read_detection_people(folder: Path, smallest: float = 56.0) -> Iterator[Person]:
    """People of the detection pictures whose box is sure and at least ``smallest`` pixels high; no joint labels.

    Pictures of ``coco`` and ``sports`` are left out: their people are among the crops already.
    """
    table = np.load(folder / "train.npz")
    for row, encoded in _members(folder, table["id"], table["shard"]):
        source = str(table["names"][table["source"][row]])
        boxes = table["boxes"][table["offsets"][row]: table["offsets"][row + 1]]
        boxes = boxes[(boxes[:, 5] == 0) & (boxes[:, 4] > 0.5) & (boxes[:, 3] - boxes[:, 1] >= smallest)]
        if source in ("coco", "sports") or not len(boxes):
            continue
        image = decode_rgb(encoded)
        for box in boxes:
            yield cut_person(image, box[:4], source)[0]


def decode_rgb(encoded: bytes | npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """An encoded picture to [H, W, 3] uint8 RGB."""
    bgr = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(bgr, np.uint8)[..., ::-1])


def cut_person(
    image: npt.NDArray[np.uint8], box: npt.NDArray[np.floating], source: str
) -> tuple[Person, npt.NDArray[np.floating]]:
    """Cut one unlabelled person out of an RGB picture in the shared crop format.

    Returns:
        The person, and the affine [2, 3] from the picture to the stored crop.
    """
    width = max(box[2] - box[0], (box[3] - box[1]) * 0.75) * REGION
    size = (min(LARGEST[0], round(width)), min(LARGEST[1], round(width / 0.75)))
    affine = crop_affine(box, size, pad=REGION)
    ok, buffer = cv2.imencode(".webp", crop(image, affine, size)[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 90])
    if not ok:
        raise ValueError("OpenCV could not encode WebP")
    corners = apply_affine(affine, np.reshape(box, (2, 2))).reshape(4).astype(np.float32)
    return Person(buffer.tobytes(), corners, np.zeros((17, 3), np.float32), source), affine


def write_pack(people: Iterator[Person], folder: Path, teacher: HeatmapTeacher, batch: int = 4) -> int:
    """Write a pack; returns the number of people. Batches of 4 measured fastest for PP-TinyPose on a CPU."""
    folder.mkdir(parents=True, exist_ok=True)
    offsets, boxes, gts, sources, maps = [0], [], [], [], []
    waiting: list[npt.NDArray[np.uint8]] = []

    def flush() -> None:
        if waiting:
            maps.append((teacher(np.stack(waiting)).clip(0, 1) * 255 + 0.5).astype(np.uint8))
            waiting.clear()

    with open(folder / "crops.bin", "wb") as file:
        for person in people:
            file.write(person.picture)
            offsets.append(offsets[-1] + len(person.picture))
            boxes.append(person.box)
            gts.append(person.gt)
            sources.append(person.source)
            waiting.append(crop(decode_rgb(person.picture), crop_affine(person.box, teacher.size), teacher.size))
            if len(waiting) == batch:
                flush()
        flush()
    np.save(folder / "heatmaps.npy", np.concatenate(maps) if maps else np.zeros((0, 17, 64, 48), np.uint8))
    np.savez(
        folder / "index.npz",
        offsets=np.array(offsets),
        box=np.array(boxes, np.float32).reshape(-1, 4),
        gt=np.array(gts, np.float32).reshape(-1, 17, 3),
        source=np.array(sources, dtype=str),
    )
    return len(boxes)
