"""The report of ``vipose bench`` as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from vipose.runtime.bench.clip import ClipRow
from vipose.runtime.bench.graphs import GraphRow
from vipose.runtime.bench.machine import Machine
from vipose.runtime.bench.stages import StageRow
from vipose.runtime.evaluate.report import table

__all__ = ["BenchReport", "temporal_summary"]


@dataclass(frozen=True)
class BenchReport:
    """All that was measured; a part that was left out is empty.

    Attributes:
        machine: what it ran on.
        mode, provider: networks and how they look (", twice"), and what ran them.
        graphs, stages, clip: rows.
        notes: what the user should know.
    """

    machine: Machine
    mode: str
    provider: str
    graphs: tuple[GraphRow, ...] = ()
    stages: tuple[StageRow, ...] = ()
    clip: tuple[ClipRow, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        data = asdict(self)
        data["temporal"] = temporal_summary(self.graphs)
        for row, stage in zip(data["stages"], self.stages, strict=True):
            row["total"] = {"p50_ms": stage.total.p50, "p95_ms": stage.total.p95}
            row["stages"] = {name: {"p50_ms": t.p50, "p95_ms": t.p95, "mean_ms": mean(t.samples_ms)}
                             for name, t in stage.stages.items()}  # fmt: skip
        for row, clip in zip(data["clip"], self.clip, strict=True):
            row["frames_per_s"] = clip.frames_per_s
        return data

    def to_text(self) -> str:
        """For people."""
        blocks = [[str(self.machine), f"mode {self.mode} on {self.provider}"]]
        if self.graphs:
            blocks.append(_graphs(self.graphs))
        if self.stages:
            blocks.append(_stages(self.stages))
        if self.clip:
            blocks.append(_clip(self.clip))
        blocks.append([f"note: {note}" for note in self.notes])
        return "\n\n".join("\n".join(block) for block in blocks if block)


def temporal_summary(rows: Sequence[GraphRow]) -> dict[str, float] | None:
    """Mean of the temporal graphs with one thread and batch 1 (fewest threads measured): ms, ratio to the reference and to S.

    None without spatial and temporal graphs.
    """
    alone = [row for row in rows if row.batch == 1]
    least = min((row.threads for row in alone), default=1)
    spatial = [row for row in alone if row.role == "spatial" and row.threads == least]
    temporal = [row for row in alone if row.role == "temporal" and row.threads == least]
    if not spatial or not temporal:
        return None
    ms = mean(row.item_ms for row in temporal)
    return {
        "mean_ms": ms,
        "mean_ratio": mean(row.ratio for row in temporal),
        "of_spatial": ms / max(spatial[0].item_ms, 1e-9),
        "period_ms": (spatial[0].item_ms + sum(row.item_ms for row in temporal)) / (1 + len(temporal)),
    }


def _graphs(rows: Sequence[GraphRow]) -> list[str]:
    cells = [
        [r.name, r.role, str(r.threads), str(r.batch), f"{r.p50_ms:.2f}", f"{r.p95_ms:.2f}", f"{r.item_ms:.2f}", f"{r.ratio:.3f}"]
        for r in rows
    ]  # fmt: skip
    lines = [f"Graphs alone (ms; ratio of a person's time to '{rows[0].name}' in the same rounds)"]
    lines += table(["graph", "role", "threads", "batch", "p50", "p95", "a person", "ratio"], cells)
    if (summary := temporal_summary(rows)) is not None:
        lines.append(
            f"temporal graphs: mean {summary['mean_ms']:.2f} ms, ratio {summary['mean_ratio']:.3f}, "
            f"{summary['of_spatial']:.2f} of the key-frame graph; mean over a period {summary['period_ms']:.2f} ms"
        )
    return lines


def _stages(rows: Sequence[StageRow]) -> list[str]:
    names = list(rows[0].stages)
    cells = []
    for r in rows:
        means = [f"{mean(r.stages[name].samples_ms):.2f}" for name in names]
        cells.append([
            str(r.people), f"{r.tracked:.1f}", str(r.threads), *means, f"{r.total.p50:.1f}", f"{r.total.p95:.1f}",
            f"{r.frames_per_s:.1f}", f"{100 * r.key_share:.0f}%",
        ])  # fmt: skip
    head = ["people", "tracked", "threads", *names, "p50", "p95", "frames/s", "key"]
    return ["Stages of a frame (mean ms; p50 and p95 of the whole frame)", *table(head, cells)]


def _clip(rows: Sequence[ClipRow]) -> list[str]:
    cells = []
    for r in rows:
        memory = ["-", "-", "-"]
        if r.memory is not None:
            slope = r.memory.slope_kb_per_1000_frames
            memory = [f"{r.memory.before:.0f}", f"{r.memory.after:.0f}", "-" if slope is None else f"{slope:+.0f}"]
        cells.append([
            r.what, str(r.frames), f"{r.seconds:.1f}", f"{r.frames_per_s:.1f}", f"{1e3 * r.cpu_s / max(r.frames, 1):.1f}",
            "-" if r.people is None else f"{r.people:.1f}", *memory,
        ])  # fmt: skip
    head = ["clip", "frames", "s", "frames/s", "CPU ms", "people", "MB before", "MB after", "KB / 1000 frames"]
    return ["Whole clip (file driver; CPU ms of all threads a frame)", *table(head, cells)]
