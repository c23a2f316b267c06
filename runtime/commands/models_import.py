"""``vipose models import``: foreign graphs and checkpoints become graphs that vipose runs.

With ``-o`` the graph is written where that says. Without, it goes among the user's graphs (``library.own_folder``) under the
name of its network, and runs by that name from then on.
"""

from __future__ import annotations

import argparse
import importlib
import pickletools
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipose.runtime.errors import EXIT_OK, OutputError, UsageError

__all__ = ["add_arguments", "run"]

_FOREIGN, _YOLO = "vipose.models.convert.foreign", "vipose.models.convert.yolo"
_CHECKPOINT, _CHECKPOINTS = "vipose.models.convert.checkpoint", (".pth", ".pth.tar")
"""Conversion belongs to the models room; the runtime imports it by name, and only when it is asked for."""


_DESCRIBING = (
    "task", "size", "colour", "layout", "dtype", "normalise", "mean", "std", "skeleton", "codec", "sigma", "blur", "network",
    "regroup", "precision",
)  # fmt: skip
"""Options that say what a graph is or shall become, by which its own metadata would be contradicted."""


@dataclass(frozen=True)
class _Made:
    """A graph that was written: its name, what to say of it, and its task."""

    name: str
    said: str
    task: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``vipose models import``."""
    parser.add_argument("file", type=Path, metavar="FILE", help=".onnx; published .pth; ultralytics YOLO also as .pt")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT.onnx", help="file to write; default: among your graphs, as a mode or detector by name"
    )
    parser.add_argument("--force", action="store_true", help="replace what is there, or metadata that FILE carries already")
    parser.add_argument("--yolo", action="store_true", help="treat as ultralytics YOLO (else its own metadata tell)")
    what = parser.add_argument_group("what it is")
    what.add_argument("--task", choices=("pose-spatial", "pose-temporal", "detect"), help="default: from its outputs")
    what.add_argument("--name", help="name of the network; default: of the file; checkpoints: as published")
    what.add_argument("--licence", default="", help="licence of the weights")
    feed = parser.add_argument_group("how it is fed")
    feed.add_argument("--size", type=_size, metavar="WxH", help="input size in pixels, where the graph takes any")
    feed.add_argument("--colour", choices=("RGB", "BGR"), help="order of channels (default RGB; checkpoints: as published)")
    feed.add_argument("--layout", choices=("NHWC", "NCHW"), help="order of axes; default: where the 3 is")
    feed.add_argument("--dtype", choices=("uint8", "float32"), help="refuse the graph when its input has another type")
    feed.add_argument("--normalise", choices=("none", "unit", "imagenet"), help="float32: 0-255, 0-1, or ImageNet's")
    feed.add_argument("--mean", type=_triple, metavar="R,G,B", help="float32: subtracted, 0-255 scale")
    feed.add_argument("--std", type=_triple, metavar="R,G,B", help="float32: divided by, 0-255 scale")
    pose = parser.add_argument_group("pose graphs")
    pose.add_argument("--skeleton", help="coco17 or mpii16; default: by the number of joints")
    pose.add_argument("--codec", choices=("udp", "msra"), help="convention of scale (default udp; checkpoints: msra)")
    pose.add_argument("--sigma", type=float, metavar="CELLS", help="of the heatmaps (default 2)")
    pose.add_argument("--blur", type=int, metavar="CELLS", help="odd; smoothing before decoding (default 11)")
    pose.add_argument("--phase", type=int, default=1, metavar="t", help="temporal: frames after the key frame")
    pose.add_argument("--steps", type=int, default=1, metavar="T", help="temporal: how many graphs there are")
    boxes = parser.add_argument_group("detectors")
    boxes.add_argument("--suppressed", action="store_true", help="doubles are removed in the graph already")
    boxes.add_argument("--pixels", type=int, default=0, metavar="N", help="free size: about so many pixels a picture")
    boxes.add_argument("--multiple", type=int, default=32, metavar="N", help="free size: sides are multiples (default 32)")
    boxes.add_argument("--fill", type=int, default=114, metavar="GREY", help="of the padding, 0-255 (default 114)")
    checkpoint = parser.add_argument_group("checkpoints (.pth)")
    checkpoint.add_argument("--network", metavar="NAME", help="e.g. s-vipnas-res50; default: from its keys and shapes")
    checkpoint.add_argument("--trust", action="store_true", help="read foreign objects in FILE, which can run any code")
    checkpoint.add_argument(
        "--regroup",
        choices=("auto", "never", "always"),
        help="rewrite grouped convolutions into exact, faster forms: where that measures faster (auto; default of .onnx: never)",
    )
    checkpoint.add_argument("--precision", choices=("fp32", "fp16"), help="how weights are stored (default fp32)")
    names = parser.add_argument_group("names in the graph, where they cannot be told")
    for public in ("image", "previous", "heatmaps", "boxes", "scores"):
        names.add_argument(f"--{public}", metavar="NAME", help=f"the graph's name of '{public}'")


def run(args: argparse.Namespace) -> int:
    """Import one file; raises ViposeError."""
    source = args.file
    if not source.is_file():
        raise UsageError(f"there is no file {source}; check the path")
    _check_pose_options(args)
    if args.output is None:
        return _add(args)
    target = args.output
    if target.suffix != ".onnx":
        raise UsageError(f"output {target} must end in .onnx; change -o")
    if target.exists() and not args.force:
        raise OutputError(f"{target} exists; choose another name or add --force")
    if not target.parent.is_dir():
        raise OutputError(f"there is no folder {target.parent}; create it first")
    print(f"wrote {target}: {_convert(args, target).said}")
    return EXIT_OK


def _add(args: argparse.Namespace) -> int:
    """Put the graph among the user's."""
    from vipose.runtime.library import add_graphs, staging, stored_precision
    from vipose.runtime.shipped import graph_name

    checkpoint = args.file.name.endswith(_CHECKPOINTS)
    name = args.name or args.network or (None if checkpoint else graph_name(args.file))
    if name is not None:  # else the checkpoint tells, which takes a while
        _check_free(name, args.force)
    if not checkpoint and _is_ready(args.file):
        return _copy(args, str(name))
    with staging() as folder:
        target = folder / "graph.onnx"
        made = _convert(args if checkpoint else argparse.Namespace(**{**vars(args), "name": name}), target)
        _check_free(made.name, args.force)
        (placed,) = add_graphs({stored_precision(target): target}, made.name)
    print(f"wrote {placed}: {made.said}\n{_how_to_use(made.name, made.task)}")
    return EXIT_OK


def _copy(args: argparse.Namespace, name: str) -> int:
    """Take a graph that is vipose's already, in all the precisions that lie beside it, with its card."""
    from vipose.runtime.graphs import load_graph
    from vipose.runtime.library import add_graphs, staging, stored_precision
    from vipose.runtime.shipped import files_in, graph_name, read_card

    given = [option for option in _DESCRIBING if getattr(args, option) is not None]
    if given:
        raise UsageError(
            f"{args.file.name} carries vipose metadata already, which --{given[0]} contradicts; leave it out, "
            "or write a copy with -o and --force and import that"
        )
    own = graph_name(args.file)
    named = files_in(args.file.parent, own)
    stored = {stored_precision(path): path for path in named.values()}
    files = stored if len(stored) == len(named) else named  # a file's name may say nothing of what is in it
    tasks = [load_graph(path, device="cpu").metadata.task for path in files.values()]
    card = args.file.with_name(f"{own}.json") if read_card(args.file) else None
    with staging() as folder:
        copies = {precision: Path(shutil.copy2(path, folder)) for precision, path in files.items()}
        placed = add_graphs(copies, name, Path(shutil.copy2(card, folder)) if card else None)
    print(f"wrote {', '.join(map(str, placed))}\n{_how_to_use(name, tasks[0])}")
    return EXIT_OK


def _is_ready(source: Path) -> bool:
    """Whether a file carries vipose's metadata, which are then kept."""
    from vipose.runtime.metadata import KEY
    from vipose.runtime.onnxfile import read_onnx

    return source.suffix == ".onnx" and KEY in read_onnx(source).properties


def _check_free(name: str, replace: bool) -> None:
    """Raise an error where the user cannot have a graph of this name, or has one that is not to be replaced."""
    from vipose.runtime.library import check_name, own_folder, shadowed
    from vipose.runtime.modes import reserved_names
    from vipose.runtime.shipped import files_in

    check_name(name)
    if name in reserved_names() or shadowed(name):
        raise UsageError(f"'{name}' is the name of something that ships with vipose; give this one another with --name")
    if files_in(own_folder(), name) and not replace:
        raise OutputError(f"you have a graph '{name}' already in {own_folder()}; give --name, or add --force to replace it")


def _how_to_use(name: str, task: str) -> str:
    if task == "pose-spatial":
        return f"run it with: vipose run SOURCE --mode {name}"
    if task == "detect":
        return f"run it with: vipose run SOURCE --detector {name}"
    return "temporal graphs run from a folder that holds the spatial graph too; import them with -o"


def _convert(args: argparse.Namespace, target: Path) -> _Made:
    """Write the graph of a file."""
    from vipose.runtime.metadata import KEY
    from vipose.runtime.onnxfile import read_onnx

    source = args.file
    if source.suffix in (".pt", ".pth") and _is_run(source):
        raise UsageError(f"{source.name} is of a training or a search of vipose: 'vipose export {source} -o DIR' makes graphs of it")
    if source.name.endswith(_CHECKPOINTS):
        return _convert_checkpoint(args, target)
    if args.network or args.trust or args.precision:
        raise UsageError("--network, --trust and --precision belong to checkpoints (.pth); leave them out")
    if source.suffix not in (".onnx", ".pt"):
        raise UsageError(f"{source.name} cannot be imported; give an .onnx graph, a checkpoint (.pth) or a YOLO .pt")
    properties = read_onnx(source).properties if source.suffix == ".onnx" else {}
    if source.suffix == ".pt" or args.yolo or _is_yolo(properties):
        if args.regroup:
            raise UsageError("--regroup is for checkpoints (.pth) and pose graphs: YOLO has no grouped convolutions; leave it out")
        return _convert_yolo(args, target)
    if KEY in properties and not args.force:
        raise UsageError(f"{source.name} carries vipose metadata already; use it as it is, or add --force to replace them")
    foreign = _convert_module(_FOREIGN, "convert")
    metadata = foreign.import_graph(source, target, _import_options(args, foreign))
    size = f"{metadata.input.width}x{metadata.input.height}" if metadata.input.width else "any size"
    said = f"{metadata.task}, {metadata.skeleton or metadata.output}, input {size}"
    regrouped = metadata.card.get("regroup")
    return _Made(metadata.network, f"{said}\n{regrouped}" if regrouped else said, metadata.task)


def _convert_checkpoint(args: argparse.Namespace, target: Path) -> _Made:
    checkpoint = _convert_module(_CHECKPOINT, "train")
    options = checkpoint.CheckpointOptions(
        network=args.network,
        name=args.name,
        size=args.size,
        colour=args.colour,
        convention=args.codec,
        sigma=args.sigma,
        blur=args.blur,
        licence=args.licence,
        trust=args.trust,
        regroup=args.regroup or "auto",
        precision=args.precision or "fp32",
    )
    done = checkpoint.import_checkpoint(args.file, target, options)
    spec = done.metadata.input
    size = f"{done.metadata.skeleton}, input {spec.width}x{spec.height} {spec.colour}, {done.parameters / 1e6:.2f} M parameters"
    return _Made(args.name or done.network, f"{done.network}, {size}\n{done.regrouped}", done.metadata.task)


def _convert_yolo(args: argparse.Namespace, target: Path) -> _Made:
    source = args.file
    named = {"name": args.name} if args.name else {}
    _convert_module(_YOLO, "yolo" if source.suffix == ".pt" else "convert").convert_yolo(source, target, **named)
    return _Made(args.name or source.stem, f"detect, converted from {source.name}", "detect")


def _is_run(source: Path) -> bool:
    """Whether a file is of a training or a search of vipose's own. Its words are read, and nothing in it is run."""
    try:
        with zipfile.ZipFile(source) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
            words = {word for name in pickles for _, word, _ in pickletools.genops(archive.read(name)) if isinstance(word, str)}
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error):  # whoever reads it next says what is wrong with it
        return False
    return {"state_dict", "recipe"} <= words and bool({"arch", "archs"} & words)


def _is_yolo(properties: Mapping[str, str]) -> bool:
    """Whether ONNX metadata are those that ultralytics writes."""
    return "ultralytics" in properties.get("author", "").lower() or {"names", "stride", "task"} <= set(properties)


def _convert_module(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"importing needs a package that is missing ({error}); pip install 'vipose[{extra}]'") from error


def _check_pose_options(args: argparse.Namespace) -> None:
    if args.blur is not None and (args.blur < 1 or args.blur % 2 == 0):
        raise UsageError(f"--blur {args.blur} must be odd and above 0")
    if args.sigma is not None and not args.sigma > 0:
        raise UsageError(f"--sigma {args.sigma} must be above 0")


def _import_options(args: argparse.Namespace, foreign: Any) -> Any:
    if (args.mean is None) != (args.std is None) or (args.mean is not None and args.normalise):
        raise UsageError("--mean and --std belong together, and --normalise replaces both; give one or the other")
    if args.pixels < 0 or args.multiple < 1 or not 0 <= args.fill <= 255:
        raise UsageError("--pixels must be 0 or more, --multiple 1 or more, --fill 0 to 255")
    given = (args.mean, args.std) if args.mean is not None else foreign.NORMALISATIONS.get(args.normalise or "")
    return foreign.ImportOptions(
        task=args.task,
        name=args.name,
        skeleton=args.skeleton,
        size=args.size,
        colour=args.colour or "RGB",
        layout=args.layout,
        dtype=args.dtype,
        normalisation=given,
        convention=args.codec or "udp",
        sigma=2.0 if args.sigma is None else args.sigma,
        blur=11 if args.blur is None else args.blur,
        steps=args.steps,
        phase=args.phase,
        output="suppressed" if args.suppressed else "candidates",
        multiple=args.multiple,
        pixels=args.pixels,
        fill=args.fill,
        licence=args.licence,
        regroup=args.regroup or "never",
        inputs={"image": args.image, "previous": args.previous},
        outputs={"heatmaps": args.heatmaps, "boxes": args.boxes, "scores": args.scores},
    )


def _size(text: str) -> tuple[int, int]:
    width, height = (int(part) for part in text.lower().split("x"))
    if width < 1 or height < 1:
        raise ValueError(text)
    return width, height


def _triple(text: str) -> tuple[float, float, float]:
    first, second, third = (float(part) for part in text.split(","))
    return first, second, third
