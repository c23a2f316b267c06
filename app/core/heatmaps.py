"""What propagation hands on, as small pictures that lie on the frame."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from vipose.app.core.shown import HeatPatch
from vipose.app.core.viewstate import HEAT_ALL
from vipose.runtime.geometry import FloatArray, compose, heatmap_scale, invert
from vipose.runtime.metadata import GraphMetadata
from vipose.runtime.types import FrameResult

__all__ = ["HeatSource", "heat_patches"]


class HeatSource(Protocol):
    """Whoever keeps heatmaps: a :class:`~vipose.runtime.pipeline.Pipeline`."""

    def heatmaps(self, track_id: int, /) -> tuple[FloatArray, npt.NDArray[np.float32]] | None: ...


def heat_patches(
    pipeline: HeatSource, result: FrameResult, graph: GraphMetadata, heat: str
) -> tuple[HeatPatch, ...]:
    """The heatmaps that the people of a frame hand on to the next one.

    To be called right after ``pipeline.process`` gave ``result``, in the thread that runs the pipeline.

    Args:
        pipeline: keeps heatmaps by track id.
        result: of the last frame; one patch for each of its people.
        graph: metadata of the key-frame graph: joints, size of its crops, and how heatmaps lie on them.
        heat: as in ``ViewState``: "" for none, ``HEAT_ALL`` for the largest value over all joints, or the name of a joint.
            A joint that the skeleton lacks gives nothing.

    Returns:
        Patches that own their values, in the order of the people.
    """
    joints = _rows(graph, heat)
    if joints is None or graph.codec is None:
        return ()
    size = graph.input.width, graph.input.height
    patches = []
    for person in result.people:
        kept = pipeline.heatmaps(person.id)
        if kept is None:
            continue
        affine, maps = kept
        height, width = maps.shape[1:]
        to_input = invert(heatmap_scale(size, (width, height), graph.codec.convention))
        values = (maps[joints].max(0).clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
        patches.append(HeatPatch(person.id, values, np.asarray(compose(invert(affine), to_input), np.float64)))
    return tuple(patches)


def _rows(graph: GraphMetadata, heat: str) -> slice | None:
    """Which heatmaps are asked for."""
    if heat == HEAT_ALL:
        return slice(None)
    names = graph.joints.joints
    if heat not in names:
        return None
    row = names.index(heat)
    return slice(row, row + 1)
