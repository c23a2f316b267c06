"""Packs: people cut out of pictures, kept encoded, with labels and a teacher's heatmaps, ready to train from.

A pack is a folder: ``crops.bin`` (encoded pictures one after another), ``index.npz`` (offsets and labels) and, where
there was a teacher, ``heatmaps.npy`` (uint8, its heatmaps x 255 on the un-augmented crop). Augmentation warps picture
and heatmaps by the same affine, so the teacher runs once a crop and not once an epoch.

``index.npz``: offsets [N + 1], box [N, 4], gt [N, K, 3], source [N], area [N] (square pixels of the crop, NaN unknown),
picture_id [N] (the picture that the person was cut out of, empty: unknown) and skeleton (name of the one that has the K
joints of ``gt`` and of the heatmaps). Older packs lack the last three; their skeleton is coco17.
"""

from __future__ import annotations

import errno
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from vipose.models.data.joints import mpii_from_coco
from vipose.models.data.pictures import LeftOut
from vipose.models.data.teacher import HeatmapTeacher
from vipose.runtime.errors import InputError, OutputError
from vipose.runtime.geometry import apply_affine, crop, crop_affine
from vipose.runtime.skeleton import COCO17, MPII16, Skeleton

__all__ = [
    "HEATMAPS",
    "SQUARE",
    "Person",
    "cut_person",
    "decode_rgb",
    "new_pack",
    "read_crops",
    "read_detection_people",
    "write_pack",
]

REGION = 1.65  # a crop shows the box, fitted to the aspect ratio of the crop, times this: room for augmentation
LARGEST, SQUARE = (240, 320), (320, 320)
"""Largest width and height of stored crops, and their aspect ratio: as boxes of people are, and of square boxes (MPII)."""
HEATMAPS = "heatmaps.npy"
_MAP = (64, 48)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@dataclass(frozen=True)
class Person:
    """One person, cut out.

    Attributes:
        picture: the crop, encoded.
        box: x0 y0 x1 y1 on the crop.
        gt: joints [K, 3] x y v on the crop (v = 0: no label).
        source: name of the data set, for weights.
        area: square pixels of the crop that the person covers, for OKS; NaN where unknown.
        picture_id: the picture it was cut out of, unique within the source; empty where unknown.
    """

    picture: bytes
    box: npt.NDArray[np.float32]
    gt: npt.NDArray[np.float32]
    source: str
    area: float = float("nan")
    picture_id: str = ""


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


def _table(folder: Path, *keys: str) -> dict[str, npt.NDArray[Any]]:
    """``train.npz`` of a folder; raises InputError where it lacks one of the keys."""
    try:
        with np.load(folder / "train.npz") as file:
            table: dict[str, npt.NDArray[Any]] = dict(file)
    except ValueError as error:
        raise InputError(f"{folder / 'train.npz'} is no table of arrays; give a folder in the shared format") from error
    missing = [key for key in keys if key not in table]
    if missing:
        raise InputError(f"{folder / 'train.npz'} lacks {', '.join(missing)}; give a folder in the shared format")
    return table


def read_crops(folder: Path, skeleton: Skeleton = COCO17, left_out: LeftOut | None = None) -> Iterator[Person]:
    """People of the shared crop format (``train.npz`` and ``train-NN.tar``).

    Rows whose flag says that sides are swapped or the label is wrong lose their ground truth: the teacher serves them.

    Args:
        folder: of the data.
        skeleton: coco17, or mpii16 for people with neck and head top (``extra``); the others are left out then.
        left_out: counts who is left out.

    Raises:
        InputError: the folder is not in the shared format.
    """
    left_out = LeftOut() if left_out is None else left_out
    mpii = skeleton.name == MPII16.name
    table = _table(folder, "id", "shard", "source", "names", "box", "gt", "flag", *(["extra"] if mpii else []))
    for row, picture in _members(folder, table["id"], table["shard"]):
        x, y, w, h = table["box"][row]
        gt = table["gt"][row].astype(np.float32)
        if table["flag"][row]:
            gt = np.zeros_like(gt)
        if mpii:
            neck, head_top = table["extra"][row]
            if table["flag"][row] or min(neck[2], head_top[2]) <= 0:
                left_out.add("people without neck and head top, or with doubtful labels", f"crop {table['id'][row]}")
                continue
            gt = mpii_from_coco(gt, neck, head_top)
        source = str(table["names"][table["source"][row]])
        area = float(table["area"][row]) if "area" in table else float("nan")
        yield Person(picture, np.array([x, y, x + w, y + h], np.float32), gt, source, area, str(table["id"][row]))


def read_detection_people(folder: Path, smallest: float = 56.0) -> Iterator[Person]:
    """People of the detection pictures whose box is sure and at least ``smallest`` pixels high; no joint labels.

    Pictures of ``coco`` are left out: their people are among the crops already. Of ``sports`` one in ten is too.
    """
    table = _table(folder, "id", "shard", "source", "names", "boxes", "offsets")
    for row, encoded in _members(folder, table["id"], table["shard"]):
        source = str(table["names"][table["source"][row]])
        boxes = table["boxes"][table["offsets"][row]: table["offsets"][row + 1]]
        boxes = boxes[(boxes[:, 5] == 0) & (boxes[:, 4] > 0.5) & (boxes[:, 3] - boxes[:, 1] >= smallest)]
        if source == "coco" or not len(boxes):
            continue
        image = decode_rgb(encoded, f"picture {table['id'][row]} of {folder}")
        for box in boxes:
            yield cut_person(image, box[:4], source, picture_id=str(table["id"][row]))[0]


def decode_rgb(encoded: bytes | npt.NDArray[np.uint8], what: str = "a stored picture") -> npt.NDArray[np.uint8]:
    """An encoded picture to [H, W, 3] uint8 RGB; raises InputError naming ``what`` where it is damaged."""
    data = np.frombuffer(encoded, np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise InputError(f"{what} cannot be decoded; the data are damaged, make or fetch them again")
    return np.ascontiguousarray(np.asarray(bgr, np.uint8)[..., ::-1])


def cut_person(
    image: npt.NDArray[np.uint8],
    box: npt.NDArray[np.floating],
    source: str,
    *,
    gt: npt.NDArray[np.floating] | None = None,
    area: float = float("nan"),
    picture_id: str = "",
    largest: tuple[int, int] = LARGEST,
) -> tuple[Person, npt.NDArray[np.floating]]:
    """Cut one person out of an RGB picture in the shared crop format.

    Args:
        image: [H, W, 3] uint8.
        box: x0 y0 x1 y1 in pixels of the picture.
        source, picture_id: kept with the crop.
        gt: joints [K, 3] x y v in pixels of the picture; those outside of the crop lose their label. None: COCO's, none
            of them labelled.
        area: of the person in square pixels of the picture.
        largest: width and height of the crop at most; also its aspect ratio.

    Returns:
        The person, and the affine [2, 3] from the picture to the stored crop.
    """
    aspect = largest[0] / largest[1]
    width = max(box[2] - box[0], (box[3] - box[1]) * aspect) * REGION
    size = (max(1, min(largest[0], round(width))), max(1, min(largest[1], round(width / aspect))))
    affine = crop_affine(box, size, pad=REGION)
    ok, buffer = cv2.imencode(".webp", crop(image, affine, size)[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 90])
    if not ok:
        raise ValueError("OpenCV could not encode WebP")
    corners = apply_affine(affine, np.reshape(box, (2, 2))).reshape(4).astype(np.float32)
    joints = np.zeros((len(COCO17) if gt is None else len(gt), 3), np.float32)
    if gt is not None:
        joints[:] = apply_affine(affine, gt)
        shown = (joints[:, :2] >= -0.5).all(1) & (joints[:, :2] < np.array(size) - 0.5).all(1)
        joints[~shown | (joints[:, 2] <= 0)] = 0
    area *= float(abs(np.linalg.det(affine[:, :2])))
    return Person(buffer.tobytes(), corners, joints, source, area, picture_id), affine


@contextmanager
def new_pack(folder: Path) -> Iterator[Path]:
    """A folder to write a pack into, which becomes ``folder`` at the end; after any failure nothing is left.

    A pack that is there already is replaced.

    Raises:
        OutputError: ``folder`` holds something else, or cannot be written.
    """
    if folder.exists() and not (folder / "index.npz").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} exists and is not a pack; give another folder with -o")
    whole = folder.resolve()
    part, old = (whole.with_name(whole.name + suffix) for suffix in (".part", ".old"))
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{part} cannot be made ({error.strerror}); give another folder with -o") from error
    try:
        yield part
        shutil.rmtree(old, ignore_errors=True)
        if whole.exists():
            whole.rename(old)
        part.rename(whole)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        why = error.strerror
        raise OutputError(f"{folder} cannot be written ({why}); make room or give another folder with -o") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


class _HeatmapFile:
    """``heatmaps.npy`` written batch by batch; the number of rows is put into its header at the end."""

    def __init__(self, file: BinaryIO, teacher: HeatmapTeacher, batch: int, joints: int) -> None:
        self._file, self._teacher, self._batch, self._joints = file, teacher, batch, joints
        self._waiting: list[npt.NDArray[np.uint8]] = []
        self._header(0)

    def _header(self, rows: int) -> None:
        # NumPy leaves room in the header for a longer first axis, so that its length stays the same.
        facts = {"descr": "|u1", "fortran_order": False, "shape": (rows, self._joints, *_MAP)}
        np.lib.format.write_array_header_1_0(self._file, facts)

    def add(self, person: Person) -> None:
        affine = crop_affine(person.box, self._teacher.size)
        self._waiting.append(crop(decode_rgb(person.picture), affine, self._teacher.size))
        if len(self._waiting) == self._batch:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            maps = self._teacher(np.stack(self._waiting)).clip(0, 1) * 255 + 0.5
            self._file.write(maps.astype(np.uint8).tobytes())
            self._waiting.clear()

    def finish(self, rows: int) -> None:
        self._flush()
        self._file.seek(0)
        self._header(rows)


def write_pack(
    people: Iterable[Person],
    folder: Path,
    teacher: HeatmapTeacher | None = None,
    batch: int = 4,
    columns: Callable[[], dict[str, npt.NDArray[Any]]] = dict,
    skeleton: Skeleton = COCO17,
) -> int:
    """Write a pack; returns the number of people.

    Args:
        people: in the order of the pack's rows.
        folder: of the pack; appears when everything is written.
        teacher: whose heatmaps are kept; without one the pack holds labels only.
        batch: crops that the teacher gets at once. 4 measured fastest for PP-TinyPose on a CPU.
        columns: gives further arrays for the index, once all people have been read.
        skeleton: of the labels and of the teacher.

    Raises:
        ValueError: a person's labels are not those of the skeleton.
        InputError: there is no one to pack.
        OutputError: see :func:`new_pack`.
    """
    offsets, kept = [0], list[Person]()
    with new_pack(folder) as part:
        with open(part / "crops.bin", "wb") as file, open(part / HEATMAPS, "wb") as maps:
            heatmaps = None if teacher is None else _HeatmapFile(maps, teacher, batch, len(skeleton))
            for person in people:
                if len(person.gt) != len(skeleton):
                    raise ValueError(f"{len(person.gt)} joints are not those of {skeleton.name}")
                file.write(person.picture)
                offsets.append(offsets[-1] + len(person.picture))
                if heatmaps is not None:
                    heatmaps.add(person)
                kept.append(Person(b"", person.box, person.gt, person.source, person.area, person.picture_id))
            if heatmaps is not None:
                heatmaps.finish(len(kept))
        if not kept:
            raise InputError(f"there is no one to pack, so {folder} is not made; look at the data or ask for less")
        if teacher is None:
            (part / HEATMAPS).unlink()
        arrays: dict[str, Any] = {
            "offsets": np.array(offsets),
            "box": np.array([p.box for p in kept], np.float32),
            "gt": np.array([p.gt for p in kept], np.float32),
            "source": np.array([p.source for p in kept], dtype=str),
            "area": np.array([p.area for p in kept], np.float32),
            "picture_id": np.array([p.picture_id for p in kept], dtype=str),
            "skeleton": np.array(skeleton.name),
        }
        np.savez(part / "index.npz", **{**arrays, **columns()})
    return len(kept)
