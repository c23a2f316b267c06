"""Ablations of EfficientPose's head (Zhang et al. 2020, tables 6 to 8): every variant is trained in the same way.

  vipose search heads --pack PACK ... --arch efficientpose-a --epochs 5 --out DIR               all three
  vipose search heads --pack PACK ... --arch efficientpose-a --minutes 20 --out DIR sic         one of them

  sic         the depthwise 3x3 convolution after the up-sampling, with and without it
  widths      transposed convolutions of 64/32, 64/64 and 96/96 channels
  upsampling  plain transposed convolutions, and those in the styles of MobileNetV1 and -V2

Variants share the backbone, the seed, the samples and the start, and are measured on people who are held out. DIR/heads.json
has the figures; it is written after each variant, and the same command goes on after an interruption, inside one too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from vipose.models.arguments import Parser
from vipose.models.networks.architecture import architecture_hash
from vipose.models.networks.efficientpose import EfficientPose, EfficientPoseArch, SlimHead
from vipose.models.networks.named import read_architecture
from vipose.models.search.cost import cost, count
from vipose.models.search.result import make_folder, read_result_file
from vipose.models.search.trained import Trials, add_trials, trials
from vipose.models.training.recipes import EFFICIENTPOSE
from vipose.runtime.errors import EXIT_OK, InputError, OutputError, UsageError

__all__ = ["ABLATIONS", "Row", "Variant", "head_macs", "main", "table"]

KIND, SCHEMA, FILE = "vipose-heads", 1, "heads.json"
STRIDE = 16
"""Of the features that a head takes."""


@dataclass(frozen=True)
class Variant:
    """One head, and the PCKh@0.5 on MPII that the paper prints for EfficientPose-A with it."""

    name: str
    head: SlimHead
    printed: float


_PUBLISHED = SlimHead()
ABLATIONS: dict[str, tuple[Variant, ...]] = {
    "sic": (
        Variant("with", _PUBLISHED, 88.1),
        Variant("without", replace(_PUBLISHED, correction=False), 87.62),
    ),
    "widths": (
        Variant("64/32", _PUBLISHED, 88.1),
        Variant("64/64", replace(_PUBLISHED, widths=(64, 64)), 88.095),
        Variant("96/96", replace(_PUBLISHED, widths=(96, 96)), 87.918),
    ),
    "upsampling": (
        Variant("plain", _PUBLISHED, 88.1),
        Variant("mbv1", replace(_PUBLISHED, style="mbv1"), 87.91),
        Variant("mbv2", replace(_PUBLISHED, style="mbv2"), 87.94),
    ),
}
"""Tables 6, 7 and 8. The published head is in each, and trained once."""


@dataclass(frozen=True)
class Row:
    """A variant that was trained and measured.

    Attributes:
        hash: of its description.
        parameters, backbone_macs, head_macs: of one crop.
        ap, oks, by_source: on the held-out people, 0..1.
    """

    hash: str
    parameters: int
    backbone_macs: int
    head_macs: int
    ap: float
    oks: float
    by_source: dict[str, float]


def head_macs(arch: EfficientPoseArch, size: tuple[int, int]) -> int:
    """Multiply-accumulates of the head alone, on the features of crops of a size (width, height)."""

    def head() -> nn.Module:
        network = EfficientPose(arch)
        return nn.Sequential(network.deconv_layers, network.final)

    return count(head, (1, arch.layers[-1].width, size[1] // STRIDE, size[0] // STRIDE)).macs


@dataclass
class Bench:
    """The ablations of one network.

    Attributes:
        arch: whose head is varied.
        made: train and measure.
        path: JSON of the rows.
        settings: plain JSON of what the rows depend on.
        rows: by hash, what is there.
    """

    arch: EfficientPoseArch
    made: Trials
    path: Path
    settings: dict[str, Any]
    rows: dict[str, Row]

    def described(self, variant: Variant) -> EfficientPoseArch:
        """The network with a variant's head."""
        return replace(self.arch, head=variant.head)

    def row(self, variant: Variant) -> Row:
        """Figures of a variant; it is trained unless they are there."""
        arch = self.described(variant)
        digest = architecture_hash(arch)
        if digest not in self.rows:
            accuracy = self.made.measure(digest, arch)
            whole, head = cost(arch, self.made.validation.size), head_macs(arch, self.made.validation.size)
            self.rows[digest] = Row(
                digest, whole.parameters, whole.macs - head, head, accuracy.ap, accuracy.oks, accuracy.by_source
            )
            self.save()
        self.made.finish(digest)
        return self.rows[digest]

    def save(self) -> None:
        """Write beside and rename; raises OutputError where that does not work."""
        data = {"kind": KIND, "schema": SCHEMA, **self.settings, "rows": [asdict(row) for row in self.rows.values()]}
        part = self.path.with_name(self.path.name + ".part")
        try:
            part.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            os.replace(part, self.path)
        except OSError as error:
            raise OutputError(f"cannot write {self.path} ({error.strerror}); choose another place with --out") from error


def begin(arch: EfficientPoseArch, made: Trials, folder: Path) -> Bench:
    """The ablations with the rows that the folder holds already.

    Raises:
        InputError: the folder holds those of other settings, or a damaged file.
    """
    settings: dict[str, Any] = {
        "architecture": arch.to_json(),
        "training": made.describe_training(),
        "validation": made.describe_validation(),
    }
    settings = json.loads(json.dumps(settings))
    path = folder / FILE
    make_folder(path)
    rows = _read(path, settings) if path.exists() else {}
    return Bench(arch, made, path, settings, rows)


def _read(path: Path, settings: dict[str, Any]) -> dict[str, Row]:
    data = read_result_file(path, KIND, "vipose search heads")
    differing = [name for name, value in settings.items() if data.get(name) != value]
    if differing or data.get("schema") != SCHEMA:
        raise InputError(f"{path} is of other settings ({', '.join(differing)} differ); give another folder with --out")
    try:
        return {row["hash"]: Row(**row) for row in data["rows"]}
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is malformed ({error!r}); delete it or give another folder") from error


def table(bench: Bench, names: Sequence[str]) -> str:
    """The rows of ablations that are there, beside what the paper prints for EfficientPose-A; lines without an end."""
    size, validation = bench.made.validation.size, bench.settings["validation"]
    title = f"AP on {validation['people']} people, {size[0]}x{size[1]}; paper: PCKh@0.5 of EfficientPose-A on MPII"
    cells = [["", "", "AP", "OKS", "M params", "M MACs", "head", "backbone", "paper"]]
    for name in names:
        for variant in ABLATIONS[name]:
            row = bench.rows.get(architecture_hash(bench.described(variant)))
            if row is None:
                continue
            macs = [f"{m / 1e6:.0f}" for m in (row.head_macs + row.backbone_macs, row.head_macs, row.backbone_macs)]
            figures = [f"{row.ap:.3f}", f"{row.oks:.3f}", f"{row.parameters / 1e6:.2f}", *macs]
            cells.append([name, variant.name, *figures, f"{variant.printed:g}"])
    widths = [max(len(line[n]) for line in cells) for n in range(len(cells[0]))]
    lines = [
        "  ".join(cell.ljust(w) if n < 2 else cell.rjust(w) for n, (cell, w) in enumerate(zip(line, widths, strict=True)))
        for line in cells
    ]
    return "\n".join([title, *lines])


def main(argv: Sequence[str] | None = None) -> int:
    """Train, measure and report."""
    args = _parse(argv)
    names = list(dict.fromkeys(args.ablations)) or list(ABLATIONS)
    unknown = [name for name in names if name not in ABLATIONS]
    if unknown:
        raise UsageError(f"there is no ablation '{unknown[0]}'; choose from {', '.join(ABLATIONS)}")
    name, arch = read_architecture(args.arch)
    if not isinstance(arch, EfficientPoseArch):
        raise UsageError(f"'{name}' is of family '{arch.family}'; give an EfficientPose network, such as efficientpose-a")
    with trials(args, EFFICIENTPOSE, arch, (192, 256), args.out / "runs") as made:
        bench = begin(arch, made, args.out)
        wanted = {architecture_hash(bench.described(variant)) for n in names for variant in ABLATIONS[n]}
        there = len(wanted & bench.rows.keys())
        print(f"vipose: {len(wanted)} networks, {there} of them were there already", file=sys.stderr, flush=True)
        for variant in (variant for n in names for variant in ABLATIONS[n]):
            bench.row(variant)
        print(table(bench, names))
    return EXIT_OK


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="vipose search heads", allow_abbrev=False, description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("ablations", nargs="*", metavar="ABLATION", help=f"{', '.join(ABLATIONS)} (default: all)")
    parser.add_argument("--arch", default="efficientpose-a", help="name of a network or JSON file (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder; unfinished ablations are gone on with")
    add_trials(parser)
    return parser.parse_args(argv)
