"""Packed people in memory: what trainings draw their samples from.

How a sample is made from a person is in :mod:`vipose.models.data.augment` and :mod:`vipose.models.data.targets`; the
names that a training needs can be imported from here.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from vipose.models.data.augment import (
    AUGMENTATIONS,
    Augmentation,
    Camera,
    View,
    augmentation,
    distort,
    random_view,
    render,
)
from vipose.models.data.pack import HEATMAPS, decode_rgb
from vipose.models.data.targets import Targets, TargetSpec, targets
from vipose.runtime.errors import InputError
from vipose.runtime.skeleton import COCO17, SKELETONS, Skeleton

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Camera",
    "Crops",
    "PackedPeople",
    "TargetSpec",
    "Targets",
    "View",
    "augmentation",
    "distort",
    "random_view",
    "read_index",
    "render",
    "targets",
]

BODY_AREA = 0.53
"""Share of its box that a person covers, mean of COCO."""
_AGAIN = "make it again with 'vipose train pack'"


class Crops(Sequence[npt.NDArray[np.uint8]]):
    """Pictures of packs, [h, w, 3] uint8 RGB each: decoded at once up to a budget, at every look beyond it.

    Args:
        memory_mib: budget. Loader processes that are forked share what is decoded here.
    """

    def __init__(self, memory_mib: int) -> None:
        self._left = memory_mib * 2**20
        self._ready: list[npt.NDArray[np.uint8]] = []
        self._encoded: list[tuple[npt.NDArray[np.uint8], int, int]] = []

    def extend(self, blob: npt.NDArray[np.uint8], offsets: npt.NDArray[np.integer[Any]], name: str) -> None:
        """Append the crops between consecutive offsets of a blob; ``name`` is for messages."""
        for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            self._encoded.append((blob, start, end))
            if self._left > 0:
                self._ready.append(decode_rgb(blob[start:end], f"crop {len(self._encoded) - 1} of {name}"))
                self._left -= self._ready[-1].nbytes

    def __len__(self) -> int:
        return len(self._encoded)

    @overload
    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> list[npt.NDArray[np.uint8]]: ...
    def __getitem__(self, index: int | slice) -> npt.NDArray[np.uint8] | list[npt.NDArray[np.uint8]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        if index < len(self._ready):
            return self._ready[index]
        blob, start, end = self._encoded[index]
        return decode_rgb(blob[start:end], f"crop {index}")


class PackedPeople:
    """All people of one or more packs.

    Attributes:
        images: [h, w, 3] uint8 RGB crops, coordinates of labels are theirs.
        boxes: [N, 4] float32 x0 y0 x1 y1.
        gt: [N, K, 3] float32 x, y, v.
        skeleton: of the K joints, the same in all packs.
        source: [N] names.
        area: [N] float32 square pixels of the crop, for OKS; 0.53 times the box where the pack knows none.
        picture_id: [N] names of the pictures that people were cut out of, unique within a source; empty where the pack
            knows none.

    Args:
        folders: packs.
        memory_mib: what decoded crops may take; further ones stay encoded and cost their decoding at every look.

    Raises:
        InputError: a folder is no pack, or a damaged one, or packs have different skeletons.
    """

    def __init__(self, folders: Sequence[Path], memory_mib: int = 8192) -> None:
        self.images = Crops(memory_mib)
        indices, self._teachers = [], list[npt.NDArray[np.uint8] | None]()
        for folder in folders:
            index = read_index(folder)
            indices.append(index)
            path = folder / "crops.bin"
            blob = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
            if index["offsets"][-1] > len(blob):
                raise InputError(f"pack {folder} is damaged (crops.bin ends too early); {_AGAIN}")
            self.images.extend(blob, index["offsets"], str(folder))
            self._teachers.append(_heatmaps(folder, index["gt"].shape[:2]))
        self.skeleton = _one_skeleton(folders, indices)
        self.boxes, self.gt, self.source, self.area, self.picture_id = (
            np.concatenate([index[name] for index in indices]) for name in ("box", "gt", "source", "area", "picture_id")
        )
        self._starts = np.cumsum([0] + [len(index["box"]) for index in indices])

    def __len__(self) -> int:
        return len(self.images)

    def teacher(self, index: int) -> npt.NDArray[np.uint8] | None:
        """Teacher heatmaps [K, 64, 48] uint8 x 255 of one person, on the crop of ``crop_affine(box, (192, 256))``.

        None where the pack was made without a teacher; :func:`targets` takes both.
        """
        pack = int(np.searchsorted(self._starts, index, side="right")) - 1
        maps = self._teachers[pack]
        return None if maps is None else np.asarray(maps[index - self._starts[pack]])

    def view(self, index: int, size: tuple[int, int], strength: Augmentation, rng: np.random.Generator) -> View:
        """A random view of one person for a network input of ``size`` (width, height); see :func:`random_view`."""
        gt = self.gt[index]
        labelled = np.flatnonzero(gt[:, 2] > 0)
        known = np.column_stack([gt[labelled, :2], labelled]).astype(np.float32)
        return random_view(self.boxes[index], known, size, strength, rng, self.skeleton)

    def targets(self, index: int, view: View, size: tuple[int, int], spec: TargetSpec | float) -> Targets:
        """Targets of one person in a view, on heatmaps of a quarter of ``size``; see :func:`targets`."""
        heatmap = (size[0] // 4, size[1] // 4)
        gt, box = self.gt[index], self.boxes[index]
        return targets(gt, self.teacher(index), box, view, size, heatmap, spec, self.skeleton)

    def weights(self, by_source: dict[str, float]) -> npt.NDArray[np.float64]:
        """Sampling probability [N] by source name up to a colon (``clip:dance`` is ``clip``); unnamed ones count 1."""
        weight = np.array([by_source.get(str(s).split(":")[0], 1.0) for s in self.source])
        return np.asarray(weight / weight.sum())


def read_index(folder: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a pack's index, those that older packs lack filled in.

    Raises:
        InputError: the folder is no pack, or a damaged one.
    """
    if not (folder / "index.npz").is_file() or not (folder / "crops.bin").is_file():
        why = "it holds no index.npz and crops.bin" if folder.is_dir() else "there is no such folder"
        raise InputError(f"{folder} is not a pack ({why}); make one with 'vipose train pack'")
    try:
        with np.load(folder / "index.npz") as file:
            index: dict[str, npt.NDArray[Any]] = dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"pack {folder} is damaged (index.npz cannot be read); {_AGAIN}") from error
    missing = [name for name in ("offsets", "box", "gt", "source") if name not in index]
    if missing:
        raise InputError(f"pack {folder} is damaged (index.npz lacks {', '.join(missing)}); {_AGAIN}")
    box, rows = index["box"], len(index["box"])
    covered = (BODY_AREA * (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])).astype(np.float32)
    area = index.get("area", np.full(rows, np.nan, np.float32))
    index["area"] = np.where(np.isfinite(area), area, covered)
    index.setdefault("picture_id", np.full(rows, "", str))
    skeleton = str(index.setdefault("skeleton", np.array(COCO17.name)))
    if skeleton not in SKELETONS:
        known = ", ".join(SKELETONS)
        raise InputError(f"pack {folder} has the skeleton '{skeleton}', this version knows {known}; {_AGAIN}")
    sizes = {len(index["offsets"]) - 1, rows, *(len(index[name]) for name in ("gt", "source", "area", "picture_id"))}
    if len(sizes) > 1 or index["gt"].shape[1:] != (len(SKELETONS[skeleton]), 3):
        raise InputError(f"pack {folder} is damaged (its arrays have different lengths); {_AGAIN}")
    return index


def _one_skeleton(folders: Sequence[Path], indices: Sequence[dict[str, npt.NDArray[Any]]]) -> Skeleton:
    """The skeleton that all packs have; raises InputError where they differ."""
    names = [str(index["skeleton"]) for index in indices]
    for folder, name in zip(folders, names, strict=True):
        if name != names[0]:
            raise InputError(
                f"pack {folders[0]} has the skeleton {names[0]}, pack {folder} has {name}; give packs of one skeleton"
            )
    return SKELETONS[names[0]] if names else COCO17


def _heatmaps(folder: Path, people: tuple[int, ...]) -> npt.NDArray[np.uint8] | None:
    """Heatmaps of N people with K joints, where the pack has them."""
    path = folder / HEATMAPS
    if not path.exists():
        return None
    try:
        maps = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"pack {folder} is damaged ({HEATMAPS} cannot be read); {_AGAIN}") from error
    if maps.shape != (*people, 64, 48):
        raise InputError(
            f"pack {folder} is damaged ({HEATMAPS} is {list(maps.shape)} for {people[0]} people with {people[1]} "
            f"joints); {_AGAIN}"
        )
    return np.asarray(maps)
