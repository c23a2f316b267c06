"""``vipose models``: list the graphs that ship, show one, verify them, or import another.

  vipose models list
  vipose models info s-vipnas
  vipose models verify [NAME|GRAPH.onnx ...]
  vipose models import net.onnx -o net-vipose.onnx --normalise imagenet
  vipose models import yolo11n.onnx -o persons.onnx
  vipose models import vipnas_res50.pth -o s-vipnas-res50.onnx
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vipose.runtime.errors import EXIT_OK, EXIT_SOME_FAILED, ModelError, OutputError, UsageError

__all__ = ["add_arguments", "run"]

_FOREIGN, _YOLO = "vipose.models.convert.foreign", "vipose.models.convert.yolo"
_CHECKPOINT, _CHECKPOINTS = "vipose.models.convert.checkpoint", (".pth", ".pth.tar")
"""Conversion belongs to the models room; the runtime imports it by name, and only when it is asked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the four actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|info|verify|import")
    listing = actions.add_parser("list", help="graphs and modes that ship", allow_abbrev=False)
    info = actions.add_parser("info", help="card and metadata of one", allow_abbrev=False)
    info.add_argument("name", metavar="NAME|GRAPH.onnx", help="a mode, a shipped graph or the path of a graph")
    verify = actions.add_parser("verify", help="check files, weights and a run", allow_abbrev=False)
    verify.add_argument("names", nargs="*", metavar="NAME|GRAPH.onnx", help="default: all that ship")
    for action in (listing, info, verify):
        action.add_argument("--json", action="store_true", help="print JSON")
    _add_import(actions.add_parser("import", help="make an ONNX graph or checkpoint one of vipose's", allow_abbrev=False))


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=".onnx; published .pth; ultralytics YOLO also as .pt")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.onnx", help="file to write")
    parser.add_argument("--force", action="store_true", help="replace OUT.onnx, or metadata that FILE carries already")
    parser.add_argument("--yolo", action="store_true", help="treat as ultralytics YOLO (else its own metadata tell)")
    what = parser.add_argument_group("what it is")
    what.add_argument("--task", choices=("pose-spatial", "pose-temporal", "detect"), help="default: from its outputs")
    what.add_argument("--name", help="name of the network; default: of the file")
    what.add_argument("--licence", default="", help="licence of the weights")
    feed = parser.add_argument_group("how it is fed")
    feed.add_argument("--size", type=_size, metavar="WxH", help="input size in pixels, where the graph takes any")
    feed.add_argument("--colour", choices=("RGB", "BGR"), default="RGB", help="order of channels (default RGB)")
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
        help="rewrite grouped convolutions into exact, faster forms: where that measures faster (auto, the default)",
    )
    checkpoint.add_argument("--precision", choices=("fp32", "fp16"), help="how weights are stored (default fp32)")
    names = parser.add_argument_group("names in the graph, where they cannot be told")
    for public in ("image", "previous", "heatmaps", "boxes", "scores"):
        names.add_argument(f"--{public}", metavar="NAME", help=f"the graph's name of '{public}'")


def run(args: argparse.Namespace) -> int:
    """Do one action."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": _list,
        "info": _info,
        "verify": _verify,
        "import": _import,
    }
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from vipose.runtime.catalogue import list_graphs, list_modes

    graphs, modes = list_graphs(), list_modes()
    if args.json:
        _print_json({"graphs": graphs, "modes": modes})
        return EXIT_OK
    rows = [
        [g["name"], g["task"], g["size"], f"{g['parameters'] / 1e6:.2f} M", _sizes(g["files"]), _figures(g["figures"])]
        for g in graphs
    ]
    _table(["graph", "task", "input", "params", "MB", "figures"], rows)
    print()
    _table(["mode", "graphs", ""], [[m["name"], " ".join(m["graphs"]), m["summary"]] for m in modes])
    return EXIT_OK


def _info(args: argparse.Namespace) -> int:
    from vipose.runtime.catalogue import describe

    found = describe(args.name)
    if args.json:
        _print_json(found)
        return EXIT_OK
    for key, value in found.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for inner, text in value.items():
                print(f"  {inner}: {_inline(text)}")
        else:
            print(f"{key}: {_inline(value)}")
    return EXIT_OK


def _verify(args: argparse.Namespace) -> int:
    from vipose.runtime.catalogue import verify

    results = verify(args.names)
    if not results:
        raise ModelError("there is no graph to verify; install vipose again, or give the path of one")
    failed = sum(not result.good for result in results)
    if args.json:
        _print_json([{**asdict(result), "good": result.good} for result in results])
    else:
        _table(
            ["graph", "file", "weights", "run", ""],
            [[r.name, r.file, r.weights, r.run, r.fault] for r in results],
        )
        print(f"{len(results) - failed} good, {failed} bad")
    return EXIT_SOME_FAILED if failed else EXIT_OK


def _import(args: argparse.Namespace) -> int:
    from vipose.runtime.metadata import KEY
    from vipose.runtime.onnxfile import read_onnx

    source, target = args.file, args.output
    if not source.is_file():
        raise UsageError(f"there is no file {source}; check the path")
    if target.suffix != ".onnx":
        raise UsageError(f"output {target} must end in .onnx; change -o")
    if target.exists() and not args.force:
        raise OutputError(f"{target} exists; choose another name or add --force")
    if not target.parent.is_dir():
        raise OutputError(f"there is no folder {target.parent}; create it first")
    _check_pose_options(args)
    if source.name.endswith(_CHECKPOINTS):
        return _import_checkpoint(args)
    if args.network or args.trust or args.regroup or args.precision:
        raise UsageError("--network, --trust, --regroup and --precision belong to checkpoints (.pth); leave them out")
    if source.suffix not in (".onnx", ".pt"):
        raise UsageError(f"{source.name} cannot be imported; give an .onnx graph, a checkpoint (.pth) or a YOLO .pt")
    properties = read_onnx(source).properties if source.suffix == ".onnx" else {}
    if source.suffix == ".pt" or args.yolo or _is_yolo(properties):
        return _import_yolo(source, target)
    if KEY in properties and not args.force:
        raise UsageError(f"{source.name} carries vipose metadata already; use it as it is, or add --force to replace them")
    foreign = _convert_module(_FOREIGN, "convert")
    metadata = foreign.import_graph(source, target, _import_options(args, foreign))
    size = f"{metadata.input.width}x{metadata.input.height}" if metadata.input.width else "any size"
    print(f"wrote {target}: {metadata.task}, {metadata.skeleton or metadata.output}, input {size}")
    return EXIT_OK


def _import_checkpoint(args: argparse.Namespace) -> int:
    checkpoint = _convert_module(_CHECKPOINT, "train")
    options = checkpoint.CheckpointOptions(
        network=args.network,
        name=args.name,
        size=args.size,
        convention=args.codec,
        sigma=args.sigma,
        blur=args.blur,
        licence=args.licence,
        trust=args.trust,
        regroup=args.regroup or "auto",
        precision=args.precision or "fp32",
    )
    done = checkpoint.import_checkpoint(args.file, args.output, options)
    spec = done.metadata.input
    size = f"{done.metadata.skeleton}, input {spec.width}x{spec.height}, {done.parameters / 1e6:.2f} M parameters"
    print(f"wrote {args.output}: {done.network}, {size}\n{done.regrouped}")
    return EXIT_OK


def _import_yolo(source: Path, target: Path) -> int:
    _convert_module(_YOLO, "yolo" if source.suffix == ".pt" else "convert").convert_yolo(source, target)
    print(f"wrote {target}: detect, converted from {source.name}")
    return EXIT_OK


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
        colour=args.colour,
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


def _sizes(files: dict[str, int]) -> str:
    return " ".join(f"{size / 1e6:.1f} ({precision})" for precision, size in files.items())


def _figures(figures: dict[str, Any]) -> str:
    numbers = [(k, v) for k, v in figures.items() if isinstance(v, int | float) and not isinstance(v, bool)]
    return ", ".join(f"{key} {value:.3g}" for key, value in numbers[:3]) or "-"


def _inline(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, aligned lines that never wrap elsewhere."""
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        for row in (titles, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
