"""The reports of ``vipose evaluate`` as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vipose.runtime.evaluate.against import AgainstReport
from vipose.runtime.evaluate.examples import MIN_JOINTS
from vipose.runtime.evaluate.images import ALL, ImagesReport, Percentiles
from vipose.runtime.evaluate.sequence import JOINT_BOX_FRACTION, MATCH_OKS, SequenceReport
from vipose.runtime.metrics.agreement import PhaseOks, RunFigures
from vipose.runtime.metrics.coco import BOX_SCORES, KEYPOINT_SCORES, Scores
from vipose.runtime.metrics.mot import MotScore
from vipose.runtime.metrics.pck import MPII_GROUPS, PckScore, mpii_groups
from vipose.runtime.skeleton import Skeleton

__all__ = [
    "against_dict", "against_text", "images_dict", "images_text", "sequence_dict", "sequence_text", "table",
]  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: first column to the left, the others to the right."""
    widths = [max(len(row[c]) for row in (head, *rows)) for c in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _small(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _scores_table(names: Sequence[str], by_source: Mapping[str, Scores], counts: Mapping[str, Sequence[int]]) -> list[str]:
    rows = [[name, *map(str, counts[name]), *(_share(scores[n]) for n in names)] for name, scores in by_source.items()]
    return table(["source", "pictures", "people", *names], rows)


def _times(person: Percentiles | None, stages: Mapping[str, Percentiles], unit: str) -> list[str]:
    rows = [] if person is None else [["a person", _ms(person.p50), _ms(person.p95)]]
    rows += [[name, _ms(value.p50), _ms(value.p95)] for name, value in stages.items()]
    return [f"Milliseconds (stages: {unit})", *table(["", "p50", "p95"], rows)] if rows else []


def images_text(report: ImagesReport, skeleton: Skeleton) -> str:
    """For people."""
    counts = {name: (report.pictures[name], report.people[name]) for name in report.pictures}
    lines = [f"pictures {report.pictures[ALL]}, people {report.people[ALL]}"]
    if report.keypoints is not None:
        lines = ["Keypoints (COCO, OKS)", *_scores_table(KEYPOINT_SCORES, report.keypoints, counts)]
    if report.boxes is not None:
        lines += ["", "Boxes (COCO, IoU; people with and without labelled joints)"]
        lines += _scores_table(BOX_SCORES, report.boxes, counts)
    if report.mean_oks is not None:
        shares = [f"{name} {_share(value)}" for name, value in report.mean_oks.items()]
        lines += ["", f"Mean OKS (people with {MIN_JOINTS} labelled joints or more, 0 if not found): {', '.join(shares)}"]
    lines += ["", "PCK@0.2 (joints within 0.2 of the longer side of the labelled box)"]
    lines += _pck_table(report.pck, skeleton)
    if report.pckh is not None and report.pckh_fine is not None:
        lines += ["", "PCKh@0.5 (joints within half of 0.6 times the diagonal of the head box)"]
        mpii = MPII_GROUPS["head"][0] in skeleton.joints
        lines += _pckh_table(report.pckh, report.pckh_fine, skeleton) if mpii else _pck_table(report.pckh, skeleton)
    return "\n".join([*lines, "", *_times(report.person_ms, report.stage_ms, "a picture")])


def _pck_table(by_source: Mapping[str, PckScore], skeleton: Skeleton) -> list[str]:
    groups: dict[str, list[int]] = {}
    for k, name in enumerate(skeleton.joints):
        groups.setdefault(name.removeprefix("left_").removeprefix("right_"), []).append(k)
    rows = []
    for name, score in by_source.items():
        cells = []
        for members in groups.values():
            values = [value for k in members if (value := score.per_joint[k]) is not None]
            cells.append(_share(sum(values) / len(values) if values else None))
        rows.append([name, str(score.joints), _share(score.mean), *cells])
    return table(["source", "joints", "mean", *groups], rows)


def _pckh_table(by_source: Mapping[str, PckScore], fine: Mapping[str, PckScore], skeleton: Skeleton) -> list[str]:
    """The columns in which results on MPII are published."""
    rows = []
    for name, score in by_source.items():
        columns = [*mpii_groups(score, skeleton.joints).values(), score.mean, fine[name].mean]
        rows.append([name, str(score.joints), *map(_share, columns)])
    return table(["source", "joints", *MPII_GROUPS, "mean", "mean@0.1"], rows)


def images_dict(report: ImagesReport) -> dict[str, Any]:
    """For programs; without rows and poses. ``pckh_groups`` are MPII's columns, where the skeleton has a head top."""
    data = asdict(report)
    del data["results"], data["box_results"], data["poses"]
    if report.pckh is not None and MPII_GROUPS["head"][0] in report.joints:
        data["pckh_groups"] = {name: mpii_groups(score, report.joints) for name, score in report.pckh.items()}
    return data


def _tracking(score: MotScore) -> list[str]:
    shares = [_share(score.mota), _share(score.idf1)]
    return shares + [str(n) for n in (score.switches, score.misses, score.extras, score.truths)]


def sequence_text(report: SequenceReport) -> str:
    """For people."""
    head = ["", "MOTA", "IDF1", "switches", "missed", "extra", "people"]
    rows = [[name, *_tracking(score)] for name, score in report.by_sequence.items()] if report.sequences > 1 else []
    lines = [f"Tracking (a person is found from OKS {MATCH_OKS} on)"]
    lines += table(head, [*rows, ["all", *_tracking(report.tracking)]])
    lines += ["", f"AP of joints (within half a head, or {JOINT_BOX_FRACTION} of the box's longer side), as PoseTrack"]
    joints = [[name, _share(value)] for name, value in zip(report.joints, report.joint_ap, strict=True)]
    lines += table(["joint", "AP"], [*joints, ["mean", _share(report.mean_ap)]])
    counts = {"all": (report.frames, report.people)}
    lines += ["", "Keypoints (COCO, OKS)", *_scores_table(KEYPOINT_SCORES, {"all": report.keypoints}, counts)]
    lines += ["", "Jitter (mean second difference of a joint / longer side of the person's box)"]
    lines += [f"results {_small(report.jitter)}, labels {_small(report.jitter_truth)}"]
    c = report.counters
    lines += ["", f"People on frames: {c.key} key ({c.forced} forced early), {c.propagated} propagated", ""]
    lines += _times(report.person_ms, report.stage_ms, "a frame")
    return "\n".join(lines)


def sequence_dict(report: SequenceReport) -> dict[str, Any]:
    """For programs."""
    data = asdict(report)
    data["joint_ap"] = dict(zip(report.joints, report.joint_ap, strict=True))
    data["mean_ap"] = report.mean_ap
    data["tracking"] = _mot_dict(report.tracking)
    data["by_sequence"] = {name: _mot_dict(score) for name, score in report.by_sequence.items()}
    return data


def _mot_dict(score: MotScore) -> dict[str, Any]:
    return {**asdict(score), "mota": score.mota, "idf1": score.idf1}


def against_text(report: AgainstReport) -> str:
    """For people."""
    a = report.agreement
    found = a.matched + a.missed
    kind = "raw" if report.raw else "smoothed"
    lines = [
        f"result     {report.result}",
        f"reference  {report.reference}",
        "",
        f"frames: {a.frames} in both, {a.only_reference} in the reference only, {a.only_result} in the result only",
        f"people on frames: {a.matched} of {found} matched, {a.missed} missed, {a.extra} extra",
        f"id switches: {a.tracking.switches}",
        f"{kind} keypoints, OKS of matched people: mean {_share(a.mean_oks)}, lowest tenth below {_share(a.low_oks)}",
        f"by frames since the key frame: {_phases(a.phases)}",
        "",
    ]
    rows = [_figures("result", a.result), _figures("reference", a.reference)]
    ratio = _ratio(a.result.jitter, a.reference.jitter)
    rows.append(["ratio", "", "", "", "", ratio, _share(report.total_ratio), _share(report.pose_ratio)])
    head = ["", "people", "key", "forced", "forced/key", "jitter", "ms a frame", "pose ms a person"]
    return "\n".join(lines + table(head, rows))


def _phases(phases: Sequence[PhaseOks]) -> str:
    named = [f"{'key' if p.phase == 0 else p.phase} {_share(p.mean_oks)} ({p.people} people)" for p in phases]
    return ", ".join(named) or "-"


def _ratio(value: float | None, reference: float | None) -> str:
    return _share(value / reference if value is not None and reference else None)


def _figures(name: str, run: RunFigures) -> list[str]:
    return [
        name, str(run.people), str(run.key), str(run.forced), _share(run.forced_share), _small(run.jitter),
        _ms(run.total_ms), _ms(run.pose_ms_per_person),
    ]  # fmt: skip


def against_dict(report: AgainstReport) -> dict[str, Any]:
    """For programs; without the frames."""
    a = report.agreement
    data: dict[str, Any] = {"result": report.result, "reference": report.reference, "raw": report.raw}
    data |= {"agreement": asdict(a), "notes": report.notes}
    data["agreement"]["tracking"] = _mot_dict(a.tracking)
    for name, run in (("reference", a.reference), ("result", a.result)):
        data["agreement"][name]["forced_share"] = run.forced_share
    data["total_ratio"], data["pose_ratio"] = report.total_ratio, report.pose_ratio
    return data
