"""Teachers: any top-down ONNX network that takes normalised float crops and puts out heatmaps.

PP-TinyPose is one; the mean over several networks and over the mirrored crop is a better one. Weights are the user's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from vipose.runtime.errors import ModelError
from vipose.runtime.geometry import Convention, compose, heatmap_scale, invert
from vipose.runtime.graphs import first_line, runtime_errors
from vipose.runtime.skeleton import COCO17, Skeleton

__all__ = ["CONVENTIONS", "CONVENTION_HELP", "MEAN", "STD", "HeatmapTeacher"]

MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
CONVENTION_HELP = "where the cells of the teacher's heatmaps lie: every 4 pixels (msra), or from corner to corner (udp)"


class HeatmapTeacher:
    """Mean heatmaps of one or more ONNX networks.

    Args:
        paths: ONNX files; one input [N, 3, 256, 192] (RGB, ImageNet mean and std), first output [N, K, 64, 48].
        flip: average with the mirrored crop.
        threads: intra-op threads of each session.
        skeleton: of the K joints.
        convention: how the networks' cells lie on the crop. ``msra``: cell c at pixel 4 c, as PP-TinyPose was trained (on 500
            labelled people its joints lay 1.5 pixels too far down and to the right when they were read as ``udp``);
            ``udp``: corners of the map at corners of the crop.

    Raises:
        ModelError: a file is missing, is no graph, or takes or gives other shapes.
    """

    size = (192, 256)

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        flip: bool = True,
        threads: int = 1,
        skeleton: Skeleton = COCO17,
        convention: Convention = "msra",
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.flip, self.skeleton, self.convention = flip, skeleton, convention
        self.sessions = [_checked_session(path, options, len(skeleton)) for path in paths]

    def __call__(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """[N, 256, 192, 3] uint8 RGB crops to heatmaps [N, K, 64, 48] float32 of convention udp."""
        x = np.ascontiguousarray(((crops.astype(np.float32) - MEAN) / STD).transpose(0, 3, 1, 2))
        heatmaps = self._mean(x)
        if self.flip:
            mirrored = self._mean(np.ascontiguousarray(x[..., ::-1]))
            heatmaps = np.asarray((heatmaps + mirrored[:, list(self.skeleton.flip), :, ::-1]) / 2, np.float32)
        return heatmaps

    def _mean(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        heatmaps = np.asarray(np.mean([_run(session, x) for session in self.sessions], 0), np.float32)
        return heatmaps if self.convention == "udp" else _to_udp(heatmaps)


def _to_udp(heatmaps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Maps [N, K, h, w] whose cells lie every 4 pixels, on cells from corner to corner."""
    height, width = heatmaps.shape[2:]
    size = HeatmapTeacher.size
    to_crop = invert(heatmap_scale(size, (width, height), "udp"))
    affine = compose(heatmap_scale(size, (width, height), "msra"), to_crop)
    moved = [
        cv2.warpAffine(
            np.ascontiguousarray(maps.transpose(1, 2, 0)), affine, (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        ).reshape(height, width, -1)
        for maps in heatmaps
    ]  # fmt: skip
    return np.ascontiguousarray(np.stack(moved).transpose(0, 3, 1, 2), np.float32)


def _run(session: ort.InferenceSession, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Heatmaps of normalised crops; a graph for one crop at a time gets them one by one."""
    value = session.get_inputs()[0]
    batches = np.split(x, len(x)) if value.shape[:1] == [1] else [x]
    return np.concatenate([session.run(None, {value.name: batch})[0] for batch in batches])


def _checked_session(path: Path, options: ort.SessionOptions, joints: int) -> ort.InferenceSession:
    """A session that has answered two empty crops with heatmaps of the right shape."""
    if not path.is_file():
        raise ModelError(f"there is no teacher {path}; give ONNX files with --teacher")
    crops = np.zeros((2, 3, HeatmapTeacher.size[1], HeatmapTeacher.size[0]), np.float32)
    wanted = f"a teacher takes float32 [N, 3, 256, 192] and gives heatmaps [N, {joints}, 64, 48]"
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except runtime_errors() as error:
        raise ModelError(f"teacher {path} cannot be loaded ({first_line(error)}); {wanted}") from error
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise ModelError(f"teacher {path} has {len(inputs)} inputs ({names}); {wanted}")
    try:
        found = np.shape(_run(session, crops))
    except runtime_errors() as error:
        raise ModelError(f"teacher {path} does not take crops, its input is {inputs[0].shape}; {wanted}") from error
    if found != (2, joints, 64, 48):
        raise ModelError(f"teacher {path} gives {list(found)} for two crops; {wanted}")
    return session
