"""The figures of a comparison in words: the tiles of a cost card, and what the two modes have to do with each other."""

from __future__ import annotations

from dataclasses import dataclass

from vipose.app.core.compare_state import CompareStatus, SideStatus
from vipose.app.core.costs import WINDOW_S, CompareFigures, Costs
from vipose.app.core.figures import number
from vipose.app.core.phases import Phase

__all__ = ["AGREEMENT_TIP", "FAIR", "CostTile", "cost_tiles", "doing", "frames_line", "share", "verdict"]

FAIR = "Both modes see the same frames, one after the other in one thread; on every other frame the right one goes first."
AGREEMENT_TIP = (
    "Mean object keypoint similarity (OKS, as in COCO) of the people whom both modes found, over the last "
    f"{WINDOW_S:g} seconds: 1 where all joints lie on the same place, less the further they are apart for the size of the "
    "person. It says how alike the two are, not which one is right."
)
_SAME = 0.005  # times that differ by less are the same


@dataclass(frozen=True)
class CostTile:
    """One figure of a mode: what it is, the value, a second line and what it means."""

    caption: str
    value: str
    more: str
    tip: str


def cost_tiles(costs: Costs, side: SideStatus) -> tuple[CostTile, ...]:
    """The figures of one mode, always the same ones in the same order."""
    facts = side.facts
    over = f"Over the last {WINDOW_S:g} seconds."
    alone = facts is not None and facts.period == 1  # every pose is a key pose, so none comes early
    return (
        CostTile(
            "Per frame", number(costs.median_ms, 1, " ms"), _more("95 % within ", costs.p95_ms),
            "Median time of a frame in ms, all stages together, and the time that 95 % of the frames keep. " + over,
        ),
        CostTile(
            "Per person", number(costs.person_ms, 1, " ms"), "in pose networks" if costs.person_ms is not None else "",
            "Time in the pose networks divided by the people, without the detector. " + over,
        ),
        CostTile(
            "Alone it holds", number(costs.alone_fps, 0, " fps"), _more("mean ", costs.mean_ms, " ms"),
            "Frames a second that this mode could hold on this machine with nothing beside it: 1000 divided by the mean time "
            "of a frame in ms. The mean, since key frames cost more than the frames between them. " + over,
        ),
        CostTile(
            "People now", str(costs.people) if facts else number(None), _more("mean ", costs.mean_people),
            "People on the newest frame, and a frame in the mean. " + over,
        ),
        CostTile(
            "Key poses", share(costs.key_share), _every(side),
            "Share of the poses that the key-frame network made; the others were carried on from the frame before. " + over,
        ),
        CostTile(
            "Early keys", str(costs.early) if costs.frames and not alone else number(None),
            f"in {costs.frames} frames" if costs.frames and not alone else "",
            "Key poses before their time, because a pose that was carried on was not good enough. " + over,
        ),
        CostTile(
            "Model", number(facts.size_bytes / 1e6 if facts else None, 1, " MB"),
            _more("", facts.parameters / 1e6 if facts else None, " M weights"),
            "Size of the files of the pose graphs in use, and the number of their weights; the detector is not counted.",
        ),
        CostTile(
            "Runs on", facts.provider.running.upper() if facts else number(None), _graphs(side),
            (facts.provider.reason if facts else "") or "What runs the pose networks.",
        ),
    )  # fmt: skip


def _more(before: str, value: float | None, after: str = "") -> str:
    """A second line with a figure; none where that is not known."""
    return "" if value is None else f"{before}{number(value)}{after}"


def _every(side: SideStatus) -> str:
    if side.facts is None:
        return ""
    return "on every frame" if side.facts.period == 1 else f"due every {side.facts.period}"


def _graphs(side: SideStatus) -> str:
    if side.facts is None:
        return ""
    return "1 pose graph" if side.facts.graphs == 1 else f"{side.facts.graphs} pose graphs"


def share(value: float | None) -> str:
    """A share in percent."""
    return number(None if value is None else 100 * value, 0, " %")


def verdict(figures: CompareFigures) -> str:
    """How the times of the two modes relate, in a sentence; "" where it is not known yet."""
    ratio = figures.ratio
    if ratio is None:
        return ""
    if abs(ratio - 1) < _SAME:
        return "Both take the same time"
    return f"Right takes {ratio:.2f} of left's time" if ratio < 1 else f"Right takes {ratio:.2f} times left's time"


def frames_line(status: CompareStatus) -> str:
    """What became of the frames, with how the comparison is made."""
    if not status.processed:
        return FAIR
    frames = "1 frame" if status.processed == 1 else f"{status.processed} frames"
    return f"{FAIR} {frames} compared, {status.dropped} that came meanwhile left out."


def doing(status: CompareStatus) -> str:
    """What the comparison is doing, in a few words."""
    loading = status.left.loading or status.right.loading
    words = {
        Phase.IDLE: "Stopped" if status.source else "",
        Phase.OPENING: status.message,
        Phase.RUNNING: "Loading a mode…" if loading else f"{status.fps:.0f} frames a second, both together",
        Phase.PAUSED: "Paused",
        Phase.STOPPING: "Stopping…",
        Phase.ENDED: "The end; play starts over",
        Phase.FAILED: status.message,
    }
    return words.get(status.phase, "")
