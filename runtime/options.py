"""ONE table of the options of a run: the command line, the settings page, docs/options.md and resume all read it.

:class:`RunOptions` is the table: a frozen dataclass whose fields carry an :class:`Option` as metadata. A value is checked
where it enters, whoever sets it: :class:`UsageError` names the value, what is allowed and what to do.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from vipose.runtime.errors import UsageError
from vipose.runtime.option import Option, names, region, resolution, write_region, write_resolution
from vipose.runtime.shipped import PRECISION_CHOICES

__all__ = ["RESULT_FORMATS", "RunOptions", "add_options", "as_markdown", "from_arguments", "given_options", "table"]

RESULT_FORMATS = (
    "native", "coco", "openpose", "posetrack", "csv", "angles", "angles-mot", "mot", "trc", "parquet",
)  # fmt: skip

def _option(default: Any, flag: str, help_text: str, group: str, **more: Any) -> Any:
    return field(default=default, metadata={"option": Option(flag, help_text, group, **more)})


NETWORKS, PEOPLE, INPUT = "Networks", "People and time", "Input"
PICTURE, OUTPUT, RUNNING = "Picture", "Output", "Running"


@dataclass(frozen=True)
class RunOptions:
    """Options of ``vipose run``. Times in seconds, positions in pixels of the upright frame.

    Raises:
        UsageError: a value is out of range or contradicts another one.
    """

    mode: str = _option(
        "t-vipnas", "--mode", "pose network: a name ('vipose models list'), or the path of an ONNX graph or of a folder of them", NETWORKS,
        short="-m", metavar="NAME|GRAPH.onnx|FOLDER", applies="networks",
        label="Pose network",
        about="the network that finds joints: one that is installed, or an ONNX graph or a folder of them on this computer",
    )  # fmt: skip
    detector: str = _option(
        "default", "--detector", "person detector: 'default', the name of one of yours or the path of an ONNX graph", NETWORKS,
        metavar="NAME|GRAPH.onnx", applies="networks",
        label="Person detector", about="the network that finds people: one that is installed, or an ONNX graph on this computer",
    )  # fmt: skip
    detector_pixels: int | None = _option(
        None, "--detector-pixels", "the detector sees the picture with about so many pixels; more finds smaller people and takes longer", NETWORKS,
        kind=int, low=10_000, high=4_000_000, unit="pixels", applies="networks",
        label="Pixels for the detector", special="automatic",
        about="the detector sees the picture with about so many pixels: more finds smaller people and takes longer",
    )  # fmt: skip
    period: int | None = _option(
        None, "--period", "a key frame every so many frames (T + 1); 1, all that single-frame modes take, runs the key network on all", NETWORKS,
        kind=int, low=1, high=5, unit="frames", applies="now",
        label="Key frame period", special="automatic",
        about="the key network runs every so many frames, lighter ones in between; automatic takes what the pose network allows",
    )  # fmt: skip
    twice: bool = _option(
        False, "--twice", "the key network looks at everybody twice, the second time mirrored and closer, and the mean counts: more accurate with s-vipnas, at twice its cost", NETWORKS,
        kind=bool, applies="now",
        label="Look twice on key frames",
        about="the key network sees everybody a second time, mirrored and closer, and the mean counts: more accurate with s-vipnas, at twice its cost",
    )  # fmt: skip
    precision: str = _option(
        "auto", "--precision", "how the weights of graphs with a name are stored; auto: the first that there is; int8 computes in 8 bits, the others in fp32", NETWORKS,
        choices=PRECISION_CHOICES, applies="networks",
        label="Precision of weights",
        about="how weights are stored; automatic takes the first that is there; int8 computes in 8 bits, the others in fp32",
    )  # fmt: skip
    device: str = _option(
        "auto", "--device", "where graphs run; what is not there falls back to cpu and says so", NETWORKS,
        choices=("auto", "cpu", "cuda"), applies="networks",
        label="Compute device", about="where networks run; what is not there falls back to the CPU and says so",
    )  # fmt: skip
    threads: int = _option(
        0, "--threads", "cores to use for people side by side; 0 takes all", NETWORKS,
        kind=int, low=0, high=256, shapes_output=False, applies="networks",
        label="Cores", unit="cores", special="all cores", about="how many share the people of a frame",
    )  # fmt: skip

    max_people: int = _option(
        20, "--max-people", "follow at most this many people, the surest first", PEOPLE,
        kind=int, low=1, high=200, applies="now", label="Most people",
    )  # fmt: skip
    score_threshold: float = _option(
        0.3, "--score-threshold", "a person counts from this detection score on", PEOPLE,
        kind=float, low=0, high=1, applies="now", label="Person threshold", step=0.05,
    )  # fmt: skip
    detect_every: int = _option(
        10, "--detect-every", "run the detector at least every so many frames", PEOPLE,
        kind=int, low=1, high=10_000, unit="frames", applies="now", label="Look for people every",
    )  # fmt: skip
    max_lost: float = _option(
        1.5, "--max-lost", "somebody out of sight keeps the id for so long", PEOPLE,
        kind=float, low=0, high=600, metavar="SECONDS", unit="seconds", applies="now", label="Remember people for",
        step=0.5,
    )  # fmt: skip
    max_keys: int = _option(
        0, "--max-keys", "deadline mode: at most so many due key people a frame, 0 for no limit", PEOPLE,
        kind=int, low=0, high=1000, unit="people", applies="now", label="Key people a frame", special="no limit",
        about="at most so many people a frame take the key network because their turn has come; the others wait",
    )  # fmt: skip
    roi: tuple[float, float, float, float] | None = _option(
        None, "--roi", "only people whose box centre lies in this region", PEOPLE,
        kind=region, metavar="X0,Y0,X1,Y1", unit="pixels", applies="now", label="Region", special="whole picture", written=write_region,
    )  # fmt: skip
    smoothing: str = _option(
        "auto", "--smoothing", "live: causal; file: two passes, no lag; auto: what suits the source", PEOPLE,
        choices=("auto", "off", "live", "file"), applies="now",
        about="live knows the past only; file looks ahead and has no lag; automatic takes what suits the source",
    )  # fmt: skip
    smoothing_strength: float = _option(
        1.0, "--smoothing-strength", "1 is the default; 2 smooths more, 0.5 less", PEOPLE,
        kind=float, low=0.1, high=10, applies="now", step=0.1,
    )  # fmt: skip
    swap: bool = _option(
        True, "--no-swap", "do not correct exchanged left and right over time", PEOPLE, kind=bool, applies="now",
        label="Correct left and right", about="correct joints of left and right that were exchanged, over time",
    )  # fmt: skip

    start: float | None = _option(
        None, "--start", "begin here", INPUT, kind=float, low=0, metavar="SECONDS", unit="seconds", applies="source"
    )
    end: float | None = _option(
        None, "--end", "stop here; for cameras and streams: after so long", INPUT, kind=float, low=0,
        metavar="SECONDS", unit="seconds", applies="source",
    )  # fmt: skip
    every: int = _option(
        1, "--every", "take every Nth frame only", INPUT, kind=int, low=1, high=100_000, unit="frames", applies="source",
        label="Take a frame every", about="1 takes every frame, 2 every second one, and so on",
    )  # fmt: skip
    rotate: str = _option(
        "auto", "--rotate", "turn the picture clockwise by so many degrees; auto follows the file", INPUT,
        choices=("auto", "0", "90", "180", "270"), applies="source",
        about="turn the picture clockwise, by degrees; automatic follows the file",
    )  # fmt: skip
    recursive: bool = _option(
        False, "--recursive", "look into sub-folders of a folder", INPUT, kind=bool, shapes_output=False
    )
    timeout: float = _option(
        10.0, "--timeout", "give up on a camera or URL that stays silent this long", INPUT,
        kind=float, low=0.1, high=3600, metavar="SECONDS", unit="seconds", shapes_output=False, applies="source", label="Give up after",
    )  # fmt: skip

    camera_size: tuple[int, int] | None = _option(
        None, "--camera-size", "ask the camera for this resolution; it may choose another one", INPUT,
        kind=resolution, metavar="WIDTHxHEIGHT", unit="pixels", applies="source",
        label="Camera resolution", special="automatic", written=write_resolution,
    )  # fmt: skip
    camera_fps: float | None = _option(
        None, "--camera-fps", "ask the camera for this many frames a second; it may choose others", INPUT,
        kind=float, low=1, high=1000, metavar="FPS", unit="frames a second", applies="source", label="Camera frame rate",
        special="automatic", step=5,
    )  # fmt: skip

    head_blur: bool = _option(False, "--head-blur", "blur heads before anything is encoded or shown", PICTURE, kind=bool, applies="now")
    black_background: bool = _option(
        False, "--black-background", "draw skeletons on black instead of the picture", PICTURE, kind=bool, applies="now"
    )
    joint_threshold: float = _option(
        0.3, "--joint-threshold", "joints below this score are not drawn; results keep them", PICTURE, kind=float, low=0, high=1,
        applies="now", step=0.05,
    )  # fmt: skip
    mirror: bool = _option(
        False, "--mirror", "mirror the video and the window; results stay as they are", PICTURE, kind=bool, applies="now"
    )

    output: str | None = _option(
        None, "--output", "video file for one source, or a folder; default: vipose-out", OUTPUT,
        short="-o", metavar="OUT.mp4|DIR", shapes_output=False,
    )  # fmt: skip
    save: tuple[str, ...] = _option(
        ("native",), "--save", "results to write beside the video: " + ", ".join(RESULT_FORMATS) + "; or none", OUTPUT,
        kind=names, metavar="LIST",
    )  # fmt: skip
    timings: bool = _option(
        True, "--no-timings", "leave measured times out of native results: identical runs give identical bytes", OUTPUT,
        kind=bool,
    )  # fmt: skip
    video: bool = _option(True, "--no-video", "write no annotated video or pictures", OUTPUT, kind=bool)
    existing: str = _option(
        "overwrite", "--existing", "what to do where outputs exist already", OUTPUT,
        choices=("overwrite", "skip", "resume", "fail"), shapes_output=False,
        shortcuts=(
            ("--skip-existing", "skip", "leave a source alone whose outputs exist"),
            ("--resume", "resume", "redo only what is unfinished or has another input, graph or option"),
        ),
    )  # fmt: skip
    show: bool = _option(
        False, "--show", "show the annotated frames in a window (Esc or q ends)", OUTPUT, kind=bool, shapes_output=False
    )

    queue_frames: int = _option(
        32, "--queue-frames", "frames that may wait between two stages", RUNNING,
        kind=int, low=1, high=10_000, shapes_output=False,
    )  # fmt: skip
    queue_mb: float = _option(
        256.0, "--queue-mb", "memory that waiting frames may take, each queue", RUNNING,
        kind=float, low=1, high=100_000, unit="MB", shapes_output=False,
    )  # fmt: skip
    quiet: bool = _option(
        False, "--quiet", "no progress and no report, only errors", RUNNING, kind=bool, short="-q", shapes_output=False
    )
    json: bool = _option(
        False, "--json", "print the report as JSON instead of a table", RUNNING, kind=bool, shapes_output=False
    )

    def __post_init__(self) -> None:
        for name, option in table().items():
            option.check(getattr(self, name))
        self._check_pairs()

    def _check_pairs(self) -> None:
        start = self.start or 0.0
        if self.end is not None and self.end <= start:
            raise UsageError(f"--end: {self.end:g} is not after the start ({start:g} seconds); give a later time")
        if self.roi is not None:
            x0, y0, x1, y1 = self.roi
            if not all(math.isfinite(v) for v in self.roi) or x1 <= x0 or y1 <= y0 or x1 <= 0 or y1 <= 0:
                raise UsageError(f"--roi: {write_region(self.roi)} holds no pixel; give X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1")
        if self.camera_size is not None and not all(1 <= side <= 32_768 for side in self.camera_size):
            said = write_resolution(self.camera_size)
            raise UsageError(f"--camera-size: {said} is no resolution; give WIDTHxHEIGHT in pixels, as in 1280x720")
        for name in self.save:
            if name not in RESULT_FORMATS:
                raise UsageError(f"--save: '{name}' is no format; choose from {', '.join(RESULT_FORMATS)} or none")
        if not self.save and not self.video and not self.show:
            raise UsageError("--save none with --no-video leaves nothing to do; drop one of them or add --show")

    def shaping(self) -> dict[str, Any]:
        """The options on which outputs depend, by name, as JSON values: a part of the run's identity."""
        chosen = {name: getattr(self, name) for name, option in table().items() if option.shapes_output}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}


def table() -> Mapping[str, Option]:
    """Field name -> option, in the order of declaration; each has its ``label`` and its ``about``."""
    return _TABLE


def _described(name: str, option: Option) -> Option:
    label = option.label or name.replace("_", " ").capitalize()
    return replace(option, label=label, about=option.about or option.help)


_TABLE: Mapping[str, Option] = MappingProxyType(
    {f.name: _described(f.name, f.metadata["option"]) for f in fields(RunOptions)}
)
_DEFAULTS: Mapping[str, Any] = MappingProxyType({f.name: f.default for f in fields(RunOptions)})


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add every option of the table, grouped; what is not given is absent from the namespace."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name, option in table().items():
        group = groups.get(option.group) or groups.setdefault(option.group, parser.add_argument_group(option.group))
        _add(group, name, option)


def _add(group: argparse._ArgumentGroup, name: str, option: Option) -> None:
    flags = [option.short, option.flag] if option.short else [option.flag]
    default = _DEFAULTS[name]
    if option.kind is bool:
        group.add_argument(
            *flags, dest=name, help=option.help, action="store_const", const=not default, default=argparse.SUPPRESS
        )
        return
    metavar = option.metavar or ("{" + ",".join(option.choices) + "}" if option.choices else "N")
    group.add_argument(
        *flags, dest=name, metavar=metavar, type=option.convert, default=argparse.SUPPRESS,
        help=_help(name, option).replace("%", "%%"),
    )  # fmt: skip
    for flag, value, help_text in option.shortcuts:
        group.add_argument(
            flag, dest=name, help=help_text, action="store_const", const=value, default=argparse.SUPPRESS
        )


def _help(name: str, option: Option) -> str:
    notes = [] if option.choices else [option.allowed()]
    default = _DEFAULTS[name]
    if default is not None and default is not MISSING:
        notes.append(f"default {','.join(default) if isinstance(default, tuple) else default}")
    said = "; ".join(note for note in notes if note)
    return f"{option.help} ({said})" if said else option.help


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that a parsed command line gives, by field."""
    given = vars(arguments)
    return {name: given[name] for name in table() if name in given}


def from_arguments(arguments: argparse.Namespace, defaults: Mapping[str, Any] = MappingProxyType({})) -> RunOptions:
    """The options of a parsed command line; ``defaults`` take the place of the table's own. Raises UsageError."""
    return RunOptions(**{**defaults, **given_options(arguments)})


def as_markdown() -> str:
    """docs/options.md: generated, never edited (``python -m vipose.runtime.options > docs/options.md``)."""
    lines = ["# Options of `vipose run`", "", "Generated from `runtime/options.py`; a test compares.", ""]
    lines += ["A `*` marks options on which outputs depend: `--resume` redoes a source when one of them changed.", ""]
    for group in dict.fromkeys(option.group for option in table().values()):
        lines += [f"## {group}", "", "| option | allowed | default | what it does |", "| --- | --- | --- | --- |"]
        for name, option in table().items():
            if option.group == group:
                lines += _rows(name, option)
        lines.append("")
    return "\n".join(lines)


def _rows(name: str, option: Option) -> list[str]:
    default = _DEFAULTS[name]
    if isinstance(default, tuple):
        default = ",".join(default)
    shown = "" if default is None or option.kind is bool else f"`{default}`"
    flags = ", ".join(f"`{flag}`" for flag in (option.short, option.flag) if flag)
    mark = " *" if option.shapes_output else ""
    allowed = option.allowed() or ("" if option.kind is bool else option.metavar.replace("|", " or "))
    rows = [f"| {flags}{mark} | {allowed} | {shown} | {option.help} |"]
    for flag, value, help_text in option.shortcuts:
        rows.append(f"| `{flag}` | | | {help_text} (`{option.flag} {value}`) |")
    return rows


if __name__ == "__main__":
    print(as_markdown(), end="")
