"""What the latency panel says: figures as tiles and as rows of its legends."""

from __future__ import annotations

from vipose.app.core.figures import UNKNOWN, number
from vipose.app.core.latency import EARLY_REASONS, OTHER, REASONS, STAGES, Columns, Spread, StageFigure, Summary
from vipose.app.core.phases import Phase
from vipose.app.widgets.figure_tiles import Tile
from vipose.app.widgets.legend import LegendRow
from vipose.app.widgets.theme import KEY_COLOUR, PROPAGATED_COLOUR, reason_colour, stage_colour
from vipose.app.widgets.timeline import LETTERS, MEANINGS

__all__ = ["people_rows", "people_rows_of", "stage_rows", "stage_rows_of", "tiles"]

_WORDS = {
    "detect": "finding people on the picture",
    "track": "following people from frame to frame",
    "crop": "cutting people out and moving heatmaps along",
    "spatial": "the key network",
    "temporal": "the networks of propagated frames",
    "decode": "heatmaps to joints",
    "swap": "left and right put right",
    "smooth": "smoothing",
    OTHER: "all that is in none of the stages",
}
_PHASES = {
    Phase.OPENING: "opening",
    Phase.PAUSED: "paused",
    Phase.RECONNECTING: "reconnecting",
    Phase.STOPPING: "stopping",
    Phase.ENDED: "ended",
    Phase.FAILED: "failed",
}


def tiles(summary: Summary, provider_reason: str, phase: Phase, *, brief: bool) -> tuple[Tile, ...]:
    """The large figures.

    Args:
        summary: what to say.
        provider_reason: why something else runs than could be expected.
        phase: of the session.
        brief: the reason is told elsewhere, and not below the provider too.
    """
    recent, window = f"{summary.recent_s:g} s", f"{summary.window_s:g} s"
    people = UNKNOWN
    if summary.people_key is not None:
        people = f"{summary.people_key} key, {summary.people_propagated} prop."
    more = provider_reason if provider_reason and not brief else summary.mode
    dropped = UNKNOWN if summary.dropped is None else str(summary.dropped)
    return (
        Tile("FPS", number(summary.fps), _PHASES.get(phase, f"over {recent}"),
             f"Frames that were processed, a second, over the last {recent}."),
        Tile("Age", _median(summary.age_ms, 0), _p95(summary.age_ms, 0),
             f"From the capture of a frame to its first painting: median of {recent}, and what 95 % of frames of the "
             f"last {window} stay below."),
        Tile("Pipeline", _median(summary.total_ms, 1), _p95(summary.total_ms, 1),
             f"Milliseconds from picture to skeletons: median of {recent}, and what 95 % of frames of the last "
             f"{window} stay below."),
        Tile("Dropped", dropped, number(summary.drop_rate, 1, " a second"),
             f"Frames that were passed over, since a newer one was there: since the start, and a second over {window}.",
             bool(summary.drop_rate)),
        Tile("People", UNKNOWN if summary.people is None else str(summary.people), people,
             "People on the newest frame: how many went through the key network and how many were propagated."),
        Tile("Runs on", summary.provider.upper() or UNKNOWN, more,
             f"What really runs the pose networks. {provider_reason}".strip(), bool(provider_reason)),
    )  # fmt: skip


def stage_rows(summary: Summary) -> tuple[LegendRow, ...]:
    """Medians of the recent seconds."""
    rows = tuple(_stage_row(figure, summary) for figure in summary.stages)
    total = summary.total_ms
    tip = f"The whole pipeline: median of {summary.recent_s:g} s; p95 {number(total.p95 if total else None, 1, ' ms')}."
    return (*rows, LegendRow("total", number(total.median if total else None), tip=tip))


def stage_rows_of(columns: Columns, position: int) -> tuple[LegendRow, ...]:
    """One frame; a stage that did not run has no figure."""
    times = columns.stages_ms[position]
    rows = tuple(
        LegendRow(stage, number(float(ms) if ms > 0 else None), colour=stage_colour(stage), tip=_said(stage))
        for stage, ms in zip((*STAGES, OTHER), times, strict=True)
    )
    return (*rows, LegendRow("total", number(float(columns.total_ms[position]))))


def people_rows(summary: Summary) -> tuple[LegendRow, ...]:
    """Counts over the window."""
    known = summary.people is not None
    share = summary.key_share
    rows = [
        LegendRow("key", str(summary.key) if known else UNKNOWN, _percent(share), KEY_COLOUR,
                  tip="People through the key network. " + _ordinary(summary)),
        LegendRow("propagated", str(summary.propagated) if known else UNKNOWN,
                  _percent(None if share is None else 1 - share), PROPAGATED_COLOUR,
                  tip="People whose heatmaps were carried on from the frame before."),
    ]  # fmt: skip
    rows += [
        LegendRow(reason, str(summary.reasons[reason]) if known else UNKNOWN, "",
                  reason_colour(reason), LETTERS[reason],
                  f"Early key frames: {MEANINGS[reason]}.")
        for reason in EARLY_REASONS
    ]  # fmt: skip
    return tuple(rows)


def people_rows_of(columns: Columns, position: int) -> tuple[LegendRow, ...]:
    """Counts of one frame."""
    rows = [
        LegendRow("key", f"{columns.key[position]:.0f}", colour=KEY_COLOUR),
        LegendRow("propagated", f"{columns.propagated[position]:.0f}", colour=PROPAGATED_COLOUR),
    ]
    rows += [
        LegendRow(reason, f"{columns.reasons[position, n]:.0f}", "", reason_colour(reason), LETTERS[reason])
        for n, reason in enumerate(EARLY_REASONS)
    ]
    return tuple(rows)


def _stage_row(figure: StageFigure, summary: Summary) -> LegendRow:
    often = "" if figure.share is None or figure.share > 0.995 else _percent(figure.share)
    tip = _said(figure.stage) + f" Median of {summary.recent_s:g} s over frames on which it ran"
    if figure.ms is not None:
        tip += f"; p95 of {summary.window_s:g} s: {figure.ms.p95:.1f} ms"
    value = number(figure.ms.median if figure.ms else None)
    return LegendRow(figure.stage, value, often, stage_colour(figure.stage), tip=tip + ".")


def _said(stage: str) -> str:
    words = _WORDS.get(stage, stage)
    return words[:1].upper() + words[1:] + "."


def _ordinary(summary: Summary) -> str:
    counts = [f"{summary.reasons[r]} {MEANINGS[r]}" for r in REASONS[len(EARLY_REASONS) :] if summary.reasons[r]]
    early = f"{summary.forced} came early. " if summary.forced else ""
    return early + (", ".join(counts) + "." if counts else "")


def _median(spread: Spread | None, digits: int) -> str:
    return number(spread.median if spread else None, digits, " ms")


def _p95(spread: Spread | None, digits: int) -> str:
    return f"p95 {number(spread.p95, digits, ' ms')}" if spread else UNKNOWN


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"
