"""Teachers: any top-down ONNX network that takes normalised float crops and puts out heatmaps.

PP-TinyPose is one; the mean over several networks and over the mirrored crop is a better one. Weights are the user's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from vipose.runtime.skeleton import COCO17

__all__ = ["MEAN", "STD", "HeatmapTeacher"]

MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)


class HeatmapTeacher:
    """Mean heatmaps of one or more ONNX networks.

    Args:
        paths: ONNX files; one input [N, 3, 256, 192] (RGB, ImageNet mean and std), first output [N, 17, 64, 48].
        flip: average with the mirrored crop.
        threads: intra-op threads of each session.
    """

    size = (192, 256)

    def __init__(self, paths: Sequence[Path], *, flip: bool = True, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.flip = flip
        self.sessions = [ort.InferenceSession(str(p), options, providers=["CPUExecutionProvider"]) for p in paths]

    def __call__(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """[N, 256, 192, 3] uint8 RGB crops (convention udp) to [N, 17, 64, 48] float32."""
        x = np.ascontiguousarray(((crops.astype(np.float32) - MEAN) / STD).transpose(0, 3, 1, 2))
        heatmaps = self._mean(x)
        if self.flip:
            mirrored = self._mean(np.ascontiguousarray(x[..., ::-1]))
            heatmaps = np.asarray((heatmaps + mirrored[:, list(COCO17.flip), :, ::-1]) / 2, np.float32)
        return heatmaps

    def _mean(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        outputs = [s.run(None, {s.get_inputs()[0].name: x})[0] for s in self.sessions]
        return np.asarray(np.mean(outputs, 0), np.float32)
