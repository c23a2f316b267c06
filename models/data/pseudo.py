"""More pictures for the detector, labelled by a teacher: frames of clips, and people cut out for the pose networks.

``python -m vipose.models.data.pseudo --teacher rtmdet-nano.onnx --clips DIR --out DIR`` (or ``--crops DIR``) writes a
folder that :func:`vipose.models.data.detection.read_pictures` reads. Sure boxes are wanted, unsure ones ignored.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from vipose.models.arguments import Parser
from vipose.models.data.detection import CLOSE_UP, Boxes, Image, Picture, decoded, members
from vipose.models.data.detector_teacher import SURE, RTMDetTeacher

__all__ = ["clip_pictures", "crop_pictures", "main", "write_pictures"]

LARGEST = 400  # pixels; pictures are stored no larger


def _reduced(image: Image) -> Image:
    scale = LARGEST / max(image.shape[:2])
    if scale >= 1:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def clip_pictures(folder: Path, teacher: RTMDetTeacher, every: int = 15) -> Iterator[Picture]:
    """Every ``every``-th frame of all ``*.mp4`` of a folder."""
    number = 0
    for path in sorted(folder.glob("*.mp4")):
        with av.open(str(path)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index % every:
                    continue
                image = _reduced(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
                found = teacher(image)
                sure = found[:, 4] >= SURE
                unsure = without_fragments(found[sure, :4], found[~sure, :4])
                yield Picture(number, image, found[sure, :4], unsure, "clips")
                number += 1


def crop_pictures(folder: Path, teacher: RTMDetTeacher, thin: dict[str, int]) -> Iterator[Picture]:
    """People cut out for the pose networks, one in ``thin[source]`` of each source (all where it names none).

    The box of the person that a crop was made for replaces the teacher's; where the teacher does not see it, it is
    wanted for ``coco`` (labelled by people) and ignored elsewhere.
    """
    table = np.load(folder / "train.npz")
    sources = [str(n) for n in table["names"][table["source"]]]
    for row, encoded in members(folder, table["id"], table["shard"]):
        source = sources[row]
        if int(table["id"][row]) % thin.get(source, 1):
            continue
        image = decoded(encoded)
        x, y, w, h = table["box"][row]
        own = np.array([[x, y, x + w, y + h]], np.float32)
        found = teacher(image)
        same = _overlap(own[0], found) > 0.5
        people, unsure = found[(found[:, 4] >= SURE) & ~same, :4], found[(found[:, 4] < SURE) & ~same, :4]
        if source == "coco":
            people = np.concatenate([own, people])
        elif bool(same.any()):
            people = np.concatenate([found[same, :4][:1], people])
        else:
            unsure = np.concatenate([own, unsure])
        yield Picture(int(table["id"][row]), image, people, without_fragments(people, unsure), CLOSE_UP + source)


def without_fragments(people: Boxes, unsure: Boxes) -> Boxes:
    """Unsure boxes that do not mostly lie in a sure person: parts of people are background to learn, not to ignore."""
    low = np.maximum(unsure[:, None, :2], people[None, :, :2])
    high = np.minimum(unsure[:, None, 2:4], people[None, :, 2:4])
    inside = np.maximum(high - low, 0).prod(-1) / np.maximum((unsure[:, 2:4] - unsure[:, :2]).prod(-1), 1e-9)[:, None]
    return np.asarray(unsure[inside.max(1, initial=0) < 0.7], np.float32)


def _overlap(box: Boxes, others: Boxes) -> npt.NDArray[np.float32]:
    """IoU of one box with [n, 4+]."""
    sides = np.minimum(box[2:], others[:, 2:4]) - np.maximum(box[:2], others[:, :2])
    inter = np.maximum(sides, 0).prod(1)
    area = (box[2:] - box[:2]).prod() + (others[:, 2:4] - others[:, :2]).prod(1)
    return np.asarray(inter / np.maximum(area - inter, 1e-9), np.float32)


def write_pictures(pictures: Iterator[Picture], folder: Path) -> int:
    """Write ``train.npz`` and ``train-00.tar``; returns the number of pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    boxes, offsets, ids, names, sources = [], [0], [], [], []
    with tarfile.open(folder / "train-00.tar", "w") as tar:
        for number, picture in enumerate(pictures):
            ok, encoded = cv2.imencode(".webp", picture.image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 90])
            if not ok:
                raise ValueError("OpenCV could not encode WebP")
            entry = tarfile.TarInfo(f"{number}.webp")
            entry.size = len(encoded)
            tar.addfile(entry, io.BytesIO(encoded.tobytes()))
            for kind, found in enumerate((picture.boxes, picture.ignore)):
                rest = np.tile(np.array([1 - kind, kind], np.float32), (len(found), 1))
                boxes.append(np.concatenate([found, rest], 1))
            offsets.append(offsets[-1] + len(picture.boxes) + len(picture.ignore))
            ids.append(number)
            if picture.source not in names:
                names.append(picture.source)
            sources.append(names.index(picture.source))
    np.savez(
        folder / "train.npz",
        id=np.array(ids, np.int32),
        shard=np.zeros(len(ids), np.uint8),
        source=np.array(sources, np.uint8),
        names=np.array(names, str),
        offsets=np.array(offsets, np.int32),
        boxes=np.concatenate(boxes) if boxes else np.zeros((0, 6), np.float32),
    )
    return len(ids)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns an exit code."""
    parser = Parser(description=__doc__)
    parser.add_argument("--teacher", type=Path, required=True, help="RTMDet-nano, person, as ONNX")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--clips", type=Path, help="folder of *.mp4")
    source.add_argument("--crops", type=Path, help="folder of crops (train.npz and train-NN.tar)")
    parser.add_argument("--every", type=int, default=15, help="frames between two pictures of a clip (%(default)s)")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    teacher = RTMDetTeacher(args.teacher)
    if args.clips:
        count = write_pictures(clip_pictures(args.clips, teacher, args.every), args.out)
    else:
        count = write_pictures(crop_pictures(args.crops, teacher, {"lspe": 4}), args.out)
    print(f"{count} pictures in {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
