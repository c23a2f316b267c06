"""What the canvas shows beside what the options of a run say: a view of results, never a change to them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HEAT_ALL", "ViewState"]

HEAT_ALL = "all joints"


@dataclass(frozen=True)
class ViewState:
    """Layers of the canvas. Mirror, black background, head blur and the joint threshold are options of the run (one table).

    Attributes:
        skeletons, boxes, labels: draw them; a label is the track id with the K/P mark.
        angles: write joint angles beside the joints.
        smoothed: draw smoothed keypoints instead of raw ones.
        heat: "" for none, :data:`HEAT_ALL`, or the name of one joint.
        followed: track id of the person who was clicked, None for nobody; never kept between runs.
    """

    skeletons: bool = True
    boxes: bool = True
    labels: bool = True
    angles: bool = False
    smoothed: bool = True
    heat: str = ""
    followed: int | None = None
