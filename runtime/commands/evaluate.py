"""Measure accuracy: on labelled pictures, on labelled sequences, or of one result file against another.

  vipose evaluate --images DIR --annotations COCO.json --mode s-vipnas [--sheet OUT.jpg]
  vipose evaluate --images DIR --annotations mpii_val.json --heads mpii_gt_val.mat --mode GRAPH.onnx
  vipose evaluate --images DIR --annotations TRACKS.json --sequence
  vipose evaluate RESULT.jsonl --against REFERENCE.jsonl [--clip CLIP.mp4 --sheet OUT.jpg]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vipose.runtime.errors import EXIT_OK, InputError, UsageError
from vipose.runtime.shipped import PRECISION_CHOICES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from vipose.runtime.evaluate.annotations import Annotations
    from vipose.runtime.evaluate.images import ImagesReport
    from vipose.runtime.skeleton import Skeleton

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``vipose evaluate``."""
    parser.add_argument("result", nargs="?", metavar="RESULT.jsonl", help="native result file, with --against")
    what = parser.add_argument_group("What to compare with")
    what.add_argument("--images", metavar="DIR", help="folder with the pictures named in the annotations")
    what.add_argument(
        "--annotations", metavar="COCO.json",
        help="COCO keypoint annotations, or MPII's (mpii_val.json, mpii_human_pose_v1_u12_1.mat) for a graph of its joints",
    )  # fmt: skip
    what.add_argument("--heads", metavar="mpii_gt_val.mat", help="head boxes of mpii_val.json, for PCKh (also gt_valid.mat)")
    what.add_argument("--sequence", action="store_true", help="pictures are frames with track ids: run the whole pipeline")
    what.add_argument("--against", metavar="REFERENCE.jsonl", help="native result file of the same clip")
    what.add_argument("--clip", metavar="CLIP.mp4", help="with --against and --sheet: the clip that both results were made from")
    nets = parser.add_argument_group("Networks")
    nets.add_argument(
        "--mode", default="t-vipnas", metavar="NAME|GRAPH.onnx",
        help="mode or graph (default t-vipnas); of a mode its key-frame graph runs on single pictures",
    )  # fmt: skip
    nets.add_argument("--boxes", choices=("gt", "detector"), default="gt", help="where boxes come from (default gt)")
    nets.add_argument("--detector", default="default", metavar="NAME|GRAPH.onnx", help="detector for --boxes detector")
    nets.add_argument(
        "--detector-pixels", type=int, metavar="N",
        help="let the detector see pictures with about so many pixels (default: what its graph says)",
    )  # fmt: skip
    looks = nets.add_mutually_exclusive_group()
    looks.add_argument("--flip", action="store_true", help="average with the mirrored crop (single pictures)")
    looks.add_argument("--twice", action="store_true", help="look twice, mirrored and closer the second time, as 'vipose run --twice' does")
    nets.add_argument("--refinement", choices=("dark", "quarter"), default="dark", help="sub-pixel decoding (default dark)")
    nets.add_argument("--period", type=int, metavar="N", help="with --sequence: a key frame every so many frames")
    nets.add_argument("--device", default="auto", help="where graphs run (default auto)")
    nets.add_argument("--threads", type=int, default=1, metavar="N", help="cores; 0 takes all (default 1)")
    nets.add_argument(
        "--precision", choices=PRECISION_CHOICES, default="auto", help="of graphs with a name (default auto: the first there is)"
    )
    out = parser.add_argument_group("Input and output")
    out.add_argument("--limit", type=int, metavar="N", help="first N pictures only")
    out.add_argument(
        "--skip", type=int, default=0, metavar="N",
        help="with --sequence: begin N frames later, so that key frames fall on other frames",
    )  # fmt: skip
    out.add_argument("--fps", type=float, default=25.0, help="with --sequence, where images have no 'time_s' (default 25)")
    out.add_argument("--raw", action="store_true", help="with --sequence or --against: keypoints before smoothing")
    out.add_argument(
        "--save", metavar="results.json",
        help="write COCO keypoint results; with --boxes detector also results.boxes.json, COCO box results",
    )  # fmt: skip
    out.add_argument(
        "--sheet", metavar="OUT.jpg",
        help="write one picture (.jpg or .png) of labels (with --against: the reference) beside predictions: the worst people "
        "by OKS, those around the quartiles, and the best; see --sheet-black before you publish it",
    )  # fmt: skip
    out.add_argument(
        "--sheet-black", action="store_true",
        help="with --sheet: skeletons on BLACK, nothing of the pictures but their names, and no --clip needed (pictures of people often may "
        "not be published, skeletons may)",
    )  # fmt: skip
    out.add_argument("--json", action="store_true", help="print JSON instead of tables")
    out.add_argument("--quiet", "-q", action="store_true", help="no progress")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print; raises ViposeError."""
    _check(args)
    if args.against is not None:
        _run_against(args)
    elif args.sequence:
        _run_sequence(args)
    else:
        _run_images(args)
    return EXIT_OK


def _check(args: argparse.Namespace) -> None:
    _check_sheet(args)
    if args.against is not None:
        if args.result is None:
            raise UsageError("--against needs the result file to compare: vipose evaluate RESULT.jsonl --against REFERENCE.jsonl")
        if args.images or args.annotations or args.sequence:
            raise UsageError("--against compares two result files; leave out --images, --annotations and --sequence")
        return
    if args.result is not None:
        raise UsageError(f"'{args.result}' needs something to be compared with; add --against REFERENCE.jsonl")
    if not args.images or not args.annotations:
        raise UsageError("give --images DIR and --annotations COCO.json, or RESULT.jsonl with --against REFERENCE.jsonl")
    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit: {args.limit} is not allowed (1 or more); leave it out for all pictures")
    if args.skip < 0:
        raise UsageError(f"--skip: {args.skip} is not allowed (0 or more)")
    if args.skip and not args.sequence:
        raise UsageError("--skip leaves out the first frames of sequences; add --sequence, or leave it out")
    if args.threads < 0:
        raise UsageError(f"--threads: {args.threads} is not allowed (0 or more)")
    if not 0 < args.fps < 10_000:
        raise UsageError(f"--fps: {args.fps:g} is not allowed (above 0)")
    if args.detector_pixels is not None:
        from vipose.runtime.options import table

        table()["detector_pixels"].check(args.detector_pixels)
        if args.boxes == "gt" and not args.sequence:
            raise UsageError("--detector-pixels is for the detector; add --boxes detector, or leave it out")
    if args.sequence and (args.flip or args.save):
        raise UsageError("--flip and --save belong to single pictures; leave them out with --sequence (--twice works there too)")
    if args.sequence and args.heads:
        raise UsageError("--heads belongs to single pictures of MPII; leave it out with --sequence")
    if args.sequence and args.boxes != "gt":
        raise UsageError("--sequence always runs the detector; leave --boxes out")


def _check_sheet(args: argparse.Namespace) -> None:
    if args.clip and args.against is None:
        raise UsageError("--clip belongs to two results of one clip; leave it out without --against")
    if args.sheet is None:
        if args.sheet_black:
            raise UsageError("--sheet-black says how --sheet is drawn; add --sheet OUT.jpg")
        if args.clip:
            raise UsageError("--clip gives the pictures for --sheet; add --sheet OUT.jpg")
        return
    if args.sequence:
        raise UsageError("--sheet shows people on single labelled pictures or of two results; leave it out with --sequence")
    if args.against is not None and not args.clip and not args.sheet_black:
        raise UsageError(
            "--sheet needs the pictures that the results were made from; add --clip CLIP.mp4, or --sheet-black for skeletons on black"
        )
    from vipose.runtime.evaluate.sheet import SUFFIXES
    from vipose.runtime.results.writing import needs_folder

    if Path(args.sheet).suffix.lower() not in SUFFIXES:
        raise UsageError(f"--sheet: '{args.sheet}' is no name of a picture; let it end in {' or '.join(SUFFIXES)}")
    needs_folder(Path(args.sheet))


def _run_images(args: argparse.Namespace) -> None:
    from vipose.runtime.detect import DetectorConfig
    from vipose.runtime.evaluate.images import BOX_THRESHOLD, MAX_BOXES, evaluate_images
    from vipose.runtime.evaluate.report import images_dict, images_text
    from vipose.runtime.evaluate.still import StillPose
    from vipose.runtime.modes import MODES, load_mode

    save = _save_paths(args)
    detected = args.boxes == "detector"
    mode = load_mode(
        args.mode, detector=args.detector if detected else None, device=args.device, threads=args.threads, period=1,
        precision=args.precision, detector_config=DetectorConfig(score=BOX_THRESHOLD, max_people=MAX_BOXES, pixels=args.detector_pixels or 0),
    )  # fmt: skip
    try:
        annotations = _load(args, mode.skeleton).first(args.limit)
        paths = annotations.find_pictures(Path(args.images))
        if args.sheet is not None:
            _check_examples(annotations)
        pose = StillPose(mode.spatial, flip=args.flip, twice=args.twice, refinement=args.refinement)
        with _progress(len(annotations.images), args.quiet) as tick:
            report = evaluate_images(annotations, paths, pose, mode.detector, tick=tick)
    finally:
        mode.close()
    notes = list(report.notes)
    if args.mode in MODES and MODES[args.mode].temporal:
        notes.insert(0, f"single pictures have no frame before: this is the key-frame graph of {args.mode} alone")
    settings = {
        "mode": args.mode, "graphs": dict(mode.graphs), "provider": str(mode.provider), "boxes": args.boxes,
        "flip": args.flip, "twice": args.twice, "refinement": args.refinement, "precision": args.precision,
        "threads": mode.workers.threads, "detector pixels": args.detector_pixels or "automatic",
    }  # fmt: skip
    for path, rows in zip(save, (report.results, report.box_results), strict=False):
        _write_json(path, rows)
        notes.append(f"{len(rows)} rows in '{path}'")
    if args.sheet is not None:
        notes.append(_images_sheet(args, annotations, paths, report, mode.skeleton))
    _print(args, settings, images_dict(report), images_text(report, mode.skeleton), notes)


def _check_examples(annotations: Annotations) -> None:
    """Raise InputError where nobody could be shown, before the work begins."""
    from vipose.runtime.evaluate.examples import MIN_JOINTS, has_examples

    if not has_examples(annotations):
        raise InputError(
            f"'{annotations.path}' has nobody with {MIN_JOINTS} labelled joints or more to show; leave out --sheet"
        )


def _images_sheet(
    args: argparse.Namespace, annotations: Annotations, paths: dict[int, Path], report: ImagesReport, skeleton: Skeleton
) -> str:
    """Draw and write ``--sheet``; returns what to say about it."""
    from vipose.runtime.evaluate.annotations import load_picture
    from vipose.runtime.evaluate.examples import MIN_JOINTS, example_tile, rank_people
    from vipose.runtime.evaluate.ranks import choose_rows
    from vipose.runtime.evaluate.sheet import Legend, draw_sheet

    people = rank_people(annotations, report.poses, skeleton)
    rows = [
        row.shown_as(lambda p: example_tile(p, None if args.sheet_black else load_picture(paths[p.image_id])))
        for row in choose_rows(people)
    ]
    legend = Legend(
        _sheet_heading(args, report, sum(person.oks for person in people) / len(people)),
        "left the labels, right the prediction",
        f"People with {MIN_JOINTS} labelled joints or more, at evenly spaced ranks by OKS, which counts labelled joints only.",
    )
    _write_sheet(args, draw_sheet(rows, skeleton, legend))
    return f"{sum(len(row.people) for row in rows)} of {len(people)} people in '{args.sheet}'"


def _write_sheet(args: argparse.Namespace, image: npt.NDArray[np.uint8]) -> None:
    from vipose.runtime.evaluate.sheet import encode_sheet
    from vipose.runtime.results.writing import PartFile

    path = Path(args.sheet)
    PartFile(path, encode_sheet(image, path.suffix.lower())).finish()


def _sheet_heading(args: argparse.Namespace, report: ImagesReport, mean_oks: float) -> str:
    """What was evaluated and the figures; of a file without its folder, since sheets are published."""
    from vipose.runtime.evaluate.images import ALL
    from vipose.runtime.modes import MODES

    name = Path(args.mode).name
    if args.mode in MODES and MODES[args.mode].temporal:
        name = f"key-frame graph of {name}"
    boxes = "boxes of the detector" if args.boxes == "detector" else "labelled boxes"
    parts = [name, boxes, *["flip test"] * args.flip, *["looking twice"] * args.twice]
    ap = None if report.keypoints is None else report.keypoints[ALL]["AP"]
    if ap is not None:
        parts.append(f"AP {ap:.3f} ({report.people[ALL]} people)")
    return ", ".join([*parts, f"mean OKS {mean_oks:.2f}"])


def _load(args: argparse.Namespace, skeleton: Skeleton) -> Annotations:
    """COCO or MPII annotations of single pictures."""
    from vipose.runtime.evaluate.annotations import load_annotations
    from vipose.runtime.evaluate.mpii import load_mpii_annotations
    from vipose.runtime.mpii import is_mpii

    path = Path(args.annotations)
    if is_mpii(path):
        if args.sheet is not None:
            raise UsageError("--sheet ranks people by OKS, which needs their areas; MPII has none: leave out --sheet")
        if args.boxes == "detector":
            raise UsageError("MPII gives the boxes and does not label everybody on a picture; leave out --boxes detector")
        return load_mpii_annotations(path, skeleton, Path(args.heads) if args.heads else None)
    if args.heads:
        raise UsageError(f"--heads belongs to MPII's annotations, '{path}' is COCO's; leave it out")
    return load_annotations(path, skeleton)


def _run_sequence(args: argparse.Namespace) -> None:
    from vipose.runtime.evaluate.annotations import load_annotations
    from vipose.runtime.evaluate.report import sequence_dict, sequence_text
    from vipose.runtime.evaluate.sequence import evaluate_sequences, skip_frames
    from vipose.runtime.job import detector_config
    from vipose.runtime.modes import load_mode
    from vipose.runtime.options import RunOptions
    from vipose.runtime.pipeline import PipelineConfig

    mode = load_mode(
        args.mode, detector=args.detector, device=args.device, threads=args.threads, period=args.period,
        precision=args.precision, detector_config=detector_config(RunOptions(detector_pixels=args.detector_pixels)),
    )  # fmt: skip
    try:
        annotations = load_annotations(Path(args.annotations), mode.skeleton).first(args.limit)
        annotations = skip_frames(annotations, args.skip)
        paths = annotations.find_pictures(Path(args.images))
        with _progress(len(annotations.images), args.quiet) as tick:
            report = evaluate_sequences(
                annotations, paths, mode, mode.skeleton, config=PipelineConfig(refinement=args.refinement, twice=args.twice),
                raw=args.raw, fps=args.fps, tick=tick,
            )  # fmt: skip
    finally:
        mode.close()
    settings = {
        "mode": args.mode, "graphs": dict(mode.graphs), "provider": str(mode.provider), "period": mode.period,
        "keypoints": "raw" if args.raw else "smoothed", "twice": args.twice, "refinement": args.refinement, "precision": args.precision,
        "threads": mode.workers.threads, "skip": args.skip, "detector pixels": args.detector_pixels or "automatic",
    }  # fmt: skip
    _print(args, settings, sequence_dict(report), sequence_text(report), list(report.notes))


def _run_against(args: argparse.Namespace) -> None:
    from vipose.runtime.evaluate.against import evaluate_against
    from vipose.runtime.evaluate.report import against_dict, against_text

    report = evaluate_against(Path(args.result), Path(args.against), raw=args.raw)
    notes = list(report.notes)
    if args.sheet is not None:
        from vipose.runtime.evaluate.against_sheet import draw_against

        sheet = draw_against(report, None if args.sheet_black else Path(args.clip))
        _write_sheet(args, sheet.image)
        source = Path(report.reference_header.source.name).name
        if not args.sheet_black and Path(args.clip).name != source:
            notes.append(f"the results were made from '{source}', the pictures are from '{Path(args.clip).name}'; is it the same clip?")
        notes.append(f"{sheet.shown} of {sheet.people} matched people on frames in '{args.sheet}'")
    _print(args, {}, against_dict(report), against_text(report), notes)


def _print(args: argparse.Namespace, settings: dict[str, Any], data: dict[str, Any], text: str, notes: list[str]) -> None:
    if args.json:
        data = {**({"settings": settings} if settings else {}), **data, "notes": notes}
        print(json.dumps(data, indent=1, allow_nan=False))
        return
    if settings:
        shown = {name: value for name, value in settings.items() if name != "graphs"}
        print(", ".join(f"{name} {_word(value)}" for name, value in shown.items()))
        print("graphs: " + ", ".join(f"{name} {digest[:12]}" for name, digest in settings["graphs"].items()), end="\n\n")
    print(text)
    for note in notes:
        print(f"note: {note}")


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _save_paths(args: argparse.Namespace) -> list[Path]:
    """Where to write, keypoints first; checked before the work begins."""
    if args.save is None:
        return []
    from vipose.runtime.results.writing import needs_folder

    path = Path(args.save)
    paths = [path, path.with_name(f"{path.stem}.boxes{path.suffix or '.json'}")]
    for each in paths:
        needs_folder(each)
    return paths if args.boxes == "detector" else paths[:1]


def _write_json(path: Path, rows: list[dict[str, Any]]) -> None:
    from vipose.runtime.results.writing import PartFile

    PartFile(path, json.dumps(rows, allow_nan=False).encode()).finish()


@contextmanager
def _progress(pictures: int, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """A bar on stderr where that is a terminal; the function it gives is told how many pictures are done."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("pictures", total=pictures)
        yield lambda done: progress.update(task, completed=done)
