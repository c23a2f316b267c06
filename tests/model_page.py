"""Makes the tables and the plot of docs/models.md from the cards, by hand (the plot needs matplotlib):

    python -m tests.model_page docs [--only table|plot]

Our figures come from the cards in exported/ alone, and a test compares the page with them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipose.runtime.shipped import DETECTOR, read_card, shipped_folder

PAGE = "models.md"
BEGIN, END = "<!-- from the cards: python -m tests.model_page docs -->", "<!-- end -->"
RATIO = "time of S-ViPNAS-MobileNetV3"
POSES = ("s-vipnas", "efficientpose-a", "posenas-small")
TWICE = ("AP coco, twice", "AP lspe", "AP lspe, twice")
PROPAGATED = ("t-vipnas-1", "t-vipnas-2", "t-vipnas-3")


@dataclass(frozen=True)
class Peer:
    """Another system on the same 770 people: AP with labelled boxes (box AP50), and its time over the published S-ViPNAS."""

    name: str
    ap: float
    ratio: float
    above: bool = True  # where its name goes in the plot


PEERS = (
    Peer("PP-TinyPose 256x192", 0.540, 0.216),
    Peer("PP-TinyPose 256x192, flip", 0.580, 0.432, above=False),
    Peer("PP-TinyPose 128x96, flip", 0.469, 0.122),
    Peer("two PP-TinyPose, flip", 0.589, 0.864),
)
"""Times as often as a network runs. MoveNet Lightning (int8, TensorFlow Lite) has AP 0.313; its time is not comparable."""
MOVENET_AP = 0.313
DETECTOR_PEERS = (
    Peer("RTMDet-nano 320", 0.753, 0.147),
    Peer("PicoDet-S 320", 0.756, 0.211),
    Peer("YOLOX-nano 416", 0.755, 0.218, above=False),
)


def card(name: str) -> dict[str, Any]:
    """The card of a graph that ships."""
    return read_card(shipped_folder() / f"{name}.onnx")


def _size(found: dict[str, Any]) -> str:
    return f"{found['files']['fp16']['bytes'] / 1e6:.1f} MB"


def _parameters(found: dict[str, Any]) -> str:
    return f"{found['files']['fp16']['parameters'] / 1e6:.2f} M"


def _input(found: dict[str, Any]) -> str:
    given = found["input"]
    return f"{given['width']}x{given['height']}" if given["width"] else f"{given['pixels']:,} px"


def graph_table() -> str:
    """The tables of docs/models.md."""
    lines = [
        "| graph | input | parameters | file | time | AP | AP50 | PCK@0.2 | AP, looking twice | AP, extreme poses | the same, looking twice |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in POSES:
        found = card(name)
        m = found["metrics"]
        cells = [f"`{name}`", _input(found), _parameters(found), _size(found)]
        cells += [_shown(m.get(k)) for k in (RATIO, "AP coco", "AP50 coco", "PCK@0.2 coco", *TWICE)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| graph | input | parameters | file | time | mean OKS against `s-vipnas`, six clips |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in PROPAGATED:
        found = card(name)
        m = found["metrics"]
        cells = [f"`{name}`", _input(found), _parameters(found), _size(found), _shown(m[RATIO])]
        lines.append(f"| {' | '.join(cells)} | {_shown(m['mean OKS against S, median of 6 clips'])} (median) |")
    found = card(DETECTOR)
    m = found["metrics"]
    lines += ["", "| graph | input | parameters | file | time | box AP | box AP50 | box AR |", "| --- |" + " --- |" * 7]
    cells = [f"`{DETECTOR}`", _input(found), _parameters(found), _size(found)]
    cells += [_shown(m[k]) for k in (RATIO, "AP coco", "AP50 coco", "AR coco")]
    return "\n".join([*lines, f"| {' | '.join(cells)} |"])


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def with_table(page: str) -> str:
    """The page with today's table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{graph_table()}\n{END}{after}"


def plot(path: Path) -> None:
    """AP over time, ours and others, for pose networks and for detectors."""
    from matplotlib.figure import Figure

    figure = Figure((10, 4.2), dpi=110, layout="constrained")
    poses, detectors = figure.subplots(1, 2)
    for peer in PEERS:
        _point(poses, peer, "tab:gray", "s")
    poses.axhline(MOVENET_AP, color="tab:gray", lw=0.8, ls=":")
    poses.text(1.5, MOVENET_AP, "MoveNet Lightning (another runtime)", fontsize=7, va="bottom", ha="right", color="dimgray")
    for name in POSES:
        m = card(name)["metrics"]
        _point(poses, Peer(name, m["AP coco"], m[RATIO]), "tab:blue", "o")
        if "AP coco, twice" in m:
            _point(poses, Peer(f"{name}, twice", m["AP coco, twice"], 2 * m[RATIO]), "tab:blue", "o")
    poses.set(title="Pose networks, labelled boxes", ylabel="AP, 253 COCO pictures", xlim=(0.05, 1.6), ylim=(0, 0.68))
    for peer in DETECTOR_PEERS:
        _point(detectors, peer, "tab:gray", "s")
    m = card(DETECTOR)["metrics"]
    _point(detectors, Peer(DETECTOR, m["AP50 coco"], m[RATIO]), "tab:blue", "o")
    detectors.set(title="Person detectors", ylabel="box AP50, the same pictures", xlim=(0.05, 0.35), ylim=(0, 0.9))
    for axes in (poses, detectors):
        axes.set_xlabel("time on one core (1: S-ViPNAS-MobileNetV3 as published)")
        axes.grid(alpha=0.25)
    poses.set_xscale("log")
    ticks = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
    poses.set_xticks(ticks, [f"{t:g}" for t in ticks])
    poses.minorticks_off()
    figure.savefig(path)


def _point(axes: Any, system: Peer, colour: str, marker: str) -> None:
    axes.plot([system.ratio], [system.ap], marker, color=colour, ms=6)
    offset = (0, 7 if system.above else -14)
    where = (system.ratio, system.ap)
    axes.annotate(system.name, where, xytext=offset, textcoords="offset points", fontsize=7.5, color=colour, ha="center")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=("table", "plot"))
    args = parser.parse_args(argv)
    if args.only in (None, "table"):
        page = args.folder / PAGE
        page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
    if args.only in (None, "plot"):
        plot(args.folder / "models-front.png")


if __name__ == "__main__":
    main()
