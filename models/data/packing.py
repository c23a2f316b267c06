"""``vipose train pack``: crops, detection pictures or videos to packs with a teacher's heatmaps."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from vipose.models.data.clips import Detect, TrackedPerson, cut_tracks, write_clip_pack
from vipose.models.data.pack import read_crops, read_detection_people, write_pack
from vipose.models.data.teacher import HeatmapTeacher
from vipose.runtime.detect import Detector
from vipose.runtime.media.sources import expand_sources, open_source
from vipose.runtime.shipped import DETECTOR, shipped_graph

__all__ = ["main"]


def video_rows(videos: list[str], detect: Detect, people: int) -> Iterator[TrackedPerson]:
    """Tracked people of many videos; tracks are numbered through."""
    number = 0
    for spec in expand_sources(videos):
        with open_source(spec) as source:
            images = (frame.image for frame in source)
            last = None
            for row in cut_tracks(images, detect, f"clip:{Path(spec.text).stem}", people=people, first_track=number):
                last = row.track
                yield row
            number = number if last is None else last + 1


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--crops", type=Path, help="folder with train.npz and train-NN.tar of people")
    what.add_argument("--detection", type=Path, help="folder with train.npz and train-NN.tar of pictures with boxes")
    what.add_argument("--videos", nargs="+", help="video files, globs or folders")
    parser.add_argument("--teacher", type=Path, nargs="+", required=True, help="ONNX networks, 256x192 in, heatmaps out")
    parser.add_argument("--no-flip", action="store_true", help="do not average the teacher with the mirrored crop")
    parser.add_argument("--detector", type=Path, help="detector graph for --videos (default: the one that ships)")
    parser.add_argument("--people", type=int, default=3, help="largest people kept on a video frame")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the pack")
    args = parser.parse_args(argv)
    teacher = HeatmapTeacher(args.teacher, flip=not args.no_flip)
    if args.crops:
        count = write_pack(read_crops(args.crops), args.out, teacher)
    elif args.detection:
        count = write_pack(read_detection_people(args.detection), args.out, teacher)
    else:
        detect = Detector(args.detector or shipped_graph(DETECTOR))
        count = write_clip_pack(video_rows(args.videos, detect, args.people), args.out, teacher)
    print(f"{args.out}: {count} people")


if __name__ == "__main__":
    main()
