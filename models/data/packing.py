"""``vipose train pack``: annotated people, labelled tracks, pictures or videos to packs, with a teacher or without.

  vipose train pack --coco annotations.json --images DIR -o PACK       COCO keypoints
  vipose train pack --mpii mpii_train.json --images DIR -o PACK         MPII, JSON list or official .mat
  vipose train pack --posetrack DIR --images DIR -o CLIPS              PoseTrack18, labelled tracks
  vipose train pack --crops DIR -o PACK                                people in the shared format
  vipose train pack --detection DIR --teacher A.onnx -o PACK           pictures with boxes, in the shared format
  vipose train pack --folder DIR --detector D.onnx --teacher A.onnx -o PACK
  vipose train pack --videos *.mp4 --teacher A.onnx -o CLIPS           tracked people

The first four carry labels, so that a teacher is optional: it adds what people did not label. A pack that is not
finished leaves nothing behind. Joints are COCO's 17; those of --mpii are MPII's 16, and with --skeleton mpii16 those of
--crops, too: of people with neck and head top, with the middles of hips and shoulders for pelvis and thorax.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from vipose.models.arguments import Parser
from vipose.models.data.clips import Detect, TrackedPerson, cut_tracks, write_clip_pack
from vipose.models.data.coco import read_coco
from vipose.models.data.folder import read_folder
from vipose.models.data.mpii import read_mpii
from vipose.models.data.pack import Person, read_crops, read_detection_people, write_pack
from vipose.models.data.pictures import LeftOut
from vipose.models.data.posetrack import read_posetrack
from vipose.models.data.teacher import CONVENTION_HELP, CONVENTIONS, HeatmapTeacher
from vipose.runtime.detect import Detector
from vipose.runtime.errors import UsageError
from vipose.runtime.media.sources import expand_sources, open_source
from vipose.runtime.mpii import Subset
from vipose.runtime.shipped import DETECTOR, shipped_graph
from vipose.runtime.skeleton import COCO17, MPII16, SKELETONS, Skeleton

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


def labelled(people: Iterator[Person], left_out: LeftOut) -> Iterator[Person]:
    """People with a label, for packs without a teacher: nobody could learn from the others."""
    for person in people:
        if (person.gt[:, 2] > 0).any():
            yield person
        else:
            left_out.add("people without labels", f"{person.picture_id} of {person.source}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--coco", type=Path, help="COCO keypoint annotations, JSON; with --images")
    what.add_argument(
        "--mpii", type=Path, help="MPII: mpii_train.json or mpii_human_pose_v1_u12_1.mat; with --images"
    )
    what.add_argument("--posetrack", type=Path, help="folder of PoseTrack18 JSON, a file a sequence; with --images")
    what.add_argument("--crops", type=Path, help="folder with train.npz and train-NN.tar of people")
    what.add_argument("--detection", type=Path, help="folder with train.npz and train-NN.tar of pictures with boxes")
    what.add_argument("--folder", type=Path, help="folder of pictures, searched with all folders in it")
    what.add_argument("--videos", nargs="+", help="video files, globs or folders")
    parser.add_argument("--images", type=Path, help="folder of the pictures that --coco, --mpii or --posetrack name")
    parser.add_argument("--joints", type=int, default=1, help="least labelled joints of a person (%(default)s)")
    parser.add_argument("--source", help="name of the data, for weights in training (coco, mpii, posetrack, folder)")
    parser.add_argument("--single", action="store_true", help="of MPII's .mat only the people whom it calls single")
    parser.add_argument("--skeleton", choices=SKELETONS, help="joints of --crops (coco17; mpii16 as above)")
    parser.add_argument("--allow-missing", action="store_true", help="go on where pictures are missing or damaged")
    parser.add_argument("--teacher", type=Path, nargs="+", help="ONNX networks, 256x192 in, heatmaps out")
    parser.add_argument("--no-flip", action="store_true", help="do not average the teacher with the mirrored crop")
    parser.add_argument("--convention", choices=CONVENTIONS, default="msra", help=f"{CONVENTION_HELP} (%(default)s)")
    parser.add_argument("--detector", type=Path, help="graph for --folder and --videos (default: the one that ships)")
    parser.add_argument("--people", type=int, help="largest people kept on a picture (videos: 3, folders: all)")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the pack")
    return parser


def _skeleton(args: argparse.Namespace) -> Skeleton:
    """The joints of the pack that the options ask for."""
    if args.mpii:
        return MPII16
    return SKELETONS[args.skeleton] if args.crops and args.skeleton else COCO17


def _check(args: argparse.Namespace) -> None:
    """Options that belong together; raises UsageError."""
    named = args.coco or args.mpii or args.posetrack
    if named and args.images is None:
        raise UsageError("--coco, --mpii and --posetrack name pictures; say with --images where they are")
    if args.images is not None and not named:
        raise UsageError("--images goes with --coco, --mpii or --posetrack; the others know where their pictures are")
    if args.skeleton not in (None, _skeleton(args).name):
        raise UsageError(f"--skeleton {args.skeleton} goes with --crops; the others have joints of their own")
    if args.single and (args.mpii is None or args.mpii.suffix.lower() != ".mat"):
        raise UsageError("--single goes with --mpii and the official .mat file, which says who stands alone")
    if args.teacher is None and (args.detection or args.folder or args.videos):
        raise UsageError("--detection, --folder and --videos have no labels; give networks that find joints: --teacher")
    if args.source and not (named or args.folder):
        raise UsageError("--source goes with --coco, --mpii, --posetrack or --folder; the others bring their own")
    if args.joints < 1 or (args.people is not None and args.people < 1):
        raise UsageError("--joints and --people count; give 1 or more")


def main(argv: list[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    _check(args)
    skeleton = _skeleton(args)
    teacher = None
    if args.teacher:
        flip, convention = not args.no_flip, args.convention
        teacher = HeatmapTeacher(args.teacher, flip=flip, skeleton=skeleton, convention=convention)
    left_out = LeftOut()
    count = _pack(args, teacher, left_out)
    print(f"{args.out}: {count} people{f' ({left_out})' if left_out.counts else ''}")


def _pack(args: argparse.Namespace, teacher: HeatmapTeacher | None, left_out: LeftOut) -> int:
    """Write what the options ask for; returns the number of people."""
    named = {"allow_missing": args.allow_missing, "left_out": left_out}
    if args.source:
        named["source"] = args.source
    if args.coco:
        return write_pack(read_coco(args.coco, args.images, least_joints=args.joints, **named), args.out, teacher)
    if args.mpii:
        subset: Subset = "single" if args.single else "all"
        people = read_mpii(args.mpii, args.images, subset=subset, least_joints=args.joints, **named)
        return write_pack(people, args.out, teacher, skeleton=_skeleton(args))
    if args.posetrack:
        rows = read_posetrack(args.posetrack, args.images, least_joints=args.joints, **named)
        return write_clip_pack(rows, args.out, teacher)
    if args.crops:
        skeleton = _skeleton(args)
        people = read_crops(args.crops, skeleton, left_out)
        return write_pack(people if teacher else labelled(people, left_out), args.out, teacher, skeleton=skeleton)
    if args.detection:
        return write_pack(read_detection_people(args.detection), args.out, teacher)
    detect = Detector(args.detector or shipped_graph(DETECTOR))
    if args.folder:
        return write_pack(read_folder(args.folder, detect, people=args.people, **named), args.out, teacher)
    return write_clip_pack(video_rows(args.videos, detect, args.people or 3), args.out, teacher)


if __name__ == "__main__":
    main()
