"""COCO keypoint results, and beside them a table of the frames: a plain list of people knows neither times nor empty frames."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vipose.runtime.errors import OutputError
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.loading import (
    Clock,
    LoadedResults,
    foreign_header,
    load_json,
    make_person,
    number_people,
    skeleton_of_length,
)
from vipose.runtime.results.strict import UNREADABLE, Malformed, listing, numbers, real, reason, record, whole
from vipose.runtime.results.writing import PartFile, Writer, WriterOptions
from vipose.runtime.types import FrameResult, PersonResult

__all__ = ["CocoWriter", "images_table", "json_bytes", "read_coco", "rounded"]

_PERSON = 1  # category_id of people in COCO


def images_table(path: Path) -> Path:
    """Where the table of frames lies: ``OUT.coco.images.json`` beside ``OUT.coco.json``."""
    return path.with_name(path.name.removesuffix(".json") + ".images.json")


def json_bytes(value: Any) -> bytes:
    """Compact UTF-8 JSON; refuses NaN."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def rounded(value: float, decimals: int) -> float:
    """A finite Python float; 0 for NaN and infinity, and never -0.0."""
    return round(float(value), decimals) + 0.0 if np.isfinite(value) else 0.0


class CocoWriter(Writer):
    """Writes ``OUT.coco.json``, a standard list of results with ``image_id`` = frame index, and its table of frames.

    Each entry has one key more than COCO wants, ``track_id``, which pycocotools ignores.
    """

    name: ClassVar[str] = "coco"
    suffix: ClassVar[str] = ".coco.json"
    loses: ClassVar[str] = "boxes, key or propagated, raw or smoothed (one is chosen), timings"

    def __init__(self, path: Path, header: ResultHeader, options: WriterOptions | None = None) -> None:
        super().__init__(path, header, options)
        self._results = PartFile(path, b"[")
        try:
            self._table = PartFile(images_table(path), b'{"info":' + json_bytes(header.to_dict()) + b',"images":[')
        except OutputError:
            self._results.discard()
            raise
        self._parts = (self._results, self._table)
        self._people = 0

    @classmethod
    def targets(cls, path: Path) -> tuple[Path, ...]:
        return (path, images_table(path))

    def _write(self, result: FrameResult) -> None:
        lines = []
        for person in result.people:
            lines.append((b",\n" if self._people else b"\n") + json_bytes(self._entry(result.index, person)))
            self._people += 1
        self._results.append(b"".join(lines))
        image = {
            "id": int(result.index),
            "file_name": f"{self.header.source.name}#{result.index}",
            "time_s": round(result.time_s, 6),
            "width": int(result.size[0]),
            "height": int(result.size[1]),
        }
        self._table.append((b",\n" if self._table.records else b"\n") + json_bytes(image))

    def _entry(self, index: int, person: PersonResult) -> dict[str, Any]:
        points = self.points(person)
        points[:, :2] = np.round(points[:, :2], 2) + 0.0
        points[:, 2] = np.round(points[:, 2], 3) + 0.0
        return {
            "image_id": int(index),
            "category_id": _PERSON,
            "keypoints": points.ravel().tolist(),
            "score": rounded(person.score, 3),
            "track_id": int(person.id),
        }

    def _close(self) -> None:
        try:
            self._results.finish(lambda _records: (b"\n]\n",))
        finally:
            self._table.finish(lambda _records: (b"\n]}\n",))


def read_coco(path: Path, data: Any, fps: float | None) -> LoadedResults:
    """Results from a parsed list of COCO keypoint results; the table of frames is used where it lies beside.

    Without the table, frames without people are not known and times are index / ``fps``. Raises Malformed, InputError.
    """
    people: dict[int, list[tuple[PersonResult, int | None]]] = defaultdict(list)
    joints = 0
    for place, item in enumerate(listing(data, "the file")):
        what = f"result {place}"
        entry = record(item, what)
        flat = numbers(entry.get("keypoints"), f"{what}: keypoints")
        if not flat or len(flat) % 3 or (joints and len(flat) != 3 * joints):
            raise Malformed(f"{what}: {len(flat)} numbers are not x, y, score of each joint")
        joints = len(flat) // 3
        points = np.array(flat, np.float32).reshape(-1, 3)
        identity = entry.get("track_id")
        told = None if identity is None else whole(identity, f"{what}: track_id")
        person = make_person(0, points, score=real(entry.get("score"), f"{what}: score"))
        people[whole(entry.get("image_id"), f"{what}: image_id")].append((person, told))
    table = _read_table(path)
    skeleton = skeleton_of_length(joints) if joints else None
    header = table[0] if table else foreign_header(path, skeleton or skeleton_of_length(17), len(people), fps=fps)
    if skeleton is not None and len(header.joints) != len(skeleton):
        raise Malformed(f"its {joints} keypoints a person contradict '{images_table(path).name}' ({header.skeleton})")
    return _assemble(header, people, table[1] if table else None, Clock(fps))


Image = tuple[float, tuple[int, int]]


def _read_table(path: Path) -> tuple[ResultHeader, dict[int, Image]] | None:
    """Header and index -> time and size, None where there is no table of ours; raises Malformed."""
    beside = images_table(path)
    if not beside.is_file():
        return None
    data = record(load_json(beside), beside.name)
    try:
        header = ResultHeader.from_dict(data.get("info"))
    except UNREADABLE as error:
        raise Malformed(f"its table '{beside.name}' has no header ({reason(error)})") from error
    images = {}
    for item in listing(data.get("images"), f"{beside.name}: images"):
        image = record(item, f"{beside.name}: an image")
        size = (whole(image.get("width"), "width"), whole(image.get("height"), "height"))
        images[whole(image.get("id"), "image id")] = (real(image.get("time_s"), "time_s"), size)
    return header, images


def _assemble(
    header: ResultHeader,
    people: dict[int, list[tuple[PersonResult, int | None]]],
    images: dict[int, Image] | None,
    clock: Clock,
) -> LoadedResults:
    frames, all_had_ids = [], True
    for index in sorted({*people, *(images or {})}):
        found = people.get(index, [])
        numbered, had = number_people([person for person, _ in found], [told for _, told in found])
        all_had_ids &= had
        time_s, size = (images or {}).get(index, (None, header.source.size))
        frames.append(FrameResult(index, clock.time_s(index, time_s), size, numbered, provider=header.provider))
    notes = ["boxes: drawn tightly around the joints"]
    if images is None:
        notes.append("frames without people: not in the input (there is no table of images beside it)")
    if not all_had_ids:
        notes.append("ids: the input has none, people are numbered within each frame")
    return LoadedResults("coco", header, tuple(frames), (*notes, *clock.note()))
