"""RTMDet-nano as a teacher of the detector: what it answers at every cell, and the people it sees in a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError

from vipose.models.data.detection import Boxes, Image, fit
from vipose.runtime.errors import ModelError
from vipose.runtime.graphs import first_line, runtime_errors

__all__ = ["SURE", "UNSURE", "RTMDetTeacher"]

STRIDES = (8, 16, 32)
SURE, UNSURE = 0.5, 0.2  # scores of people wanted and of boxes ignored


class RTMDetTeacher:
    """RTMDet-nano (Lyu et al. 2022), one class, without decoding: [N, 3, H, W] to [N, h, w, 5] a level.

    The five are score logit and l, t, r, b in pixels from the cell's corner. The file may ask for one picture of 320 x 320;
    the network is convolutional, so it is run at any multiple of 32.

    Raises:
        ModelError: the file is no such network.
    """

    side = 320
    mean = np.array([103.53, 116.28, 123.675], np.float32)  # BGR
    std = np.array([57.375, 57.12, 58.395], np.float32)

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        try:
            model = onnx.load(str(path))
            _any_size(model)
            self.session = ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            self.input = self.session.get_inputs()[0].name
            shapes = [np.shape(output) for output in self._run(np.zeros((1, 64, 96, 3), np.uint8))]
        except (OSError, DecodeError, *runtime_errors()) as error:
            why = first_line(error)
            raise ModelError(f"the teacher '{path}' cannot be run ({why}); give RTMDet-nano as ONNX") from error
        wanted = [(1, 64 // stride, 96 // stride, 5) for stride in STRIDES]
        if shapes != wanted:
            raise ModelError(f"the teacher '{path}' gives {shapes} for 96x64, not {wanted}; give RTMDet-nano as ONNX")

    def _run(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Outputs as they are for [N, H, W, 3] RGB."""
        x = ((images[..., ::-1].astype(np.float32) - self.mean) / self.std).transpose(0, 3, 1, 2)
        return list(self.session.run(None, {self.input: np.ascontiguousarray(x)}))

    def dense(self, images: npt.NDArray[np.uint8]) -> tuple[Boxes, npt.NDArray[np.float32]]:
        """What it answers at every cell.

        Args:
            images: [N, H, W, 3] RGB; sides are multiples of 32.

        Returns:
            Boxes [N, M, 4] (x0 y0 x1 y1 in pixels) and scores [N, M] in 0..1, levels one after the other, rows first.
        """
        boxes, scores = [], []
        for output, stride in zip(self._run(images), STRIDES, strict=True):
            n, height, width = output.shape[:3]
            grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32) * stride
            found = np.concatenate([grid - output[..., 1:3], grid + output[..., 3:5]], -1)
            boxes.append(found.reshape(n, height * width, 4))
            scores.append(1 / (1 + np.exp(-output[..., 0].reshape(n, height * width))))
        return np.concatenate(boxes, 1).astype(np.float32), np.concatenate(scores, 1).astype(np.float32)

    def __call__(self, image: Image) -> Boxes:
        """[n, 5] x0 y0 x1 y1 score of an RGB picture, best first, doubles suppressed, scores from UNSURE up."""
        canvas, _, scale = fit(image, np.zeros((0, 4), np.float32), (self.side, self.side))
        every, scores = self.dense(canvas[None])
        seen = scores[0] > UNSURE
        boxes = np.concatenate([every[0, seen], scores[0, seen, None]], 1)
        keep = cv2.dnn.NMSBoxes(
            np.concatenate([boxes[:, :2], boxes[:, 2:4] - boxes[:, :2]], 1).tolist(), boxes[:, 4].tolist(), UNSURE, 0.6
        )
        boxes = boxes[np.array(keep, int).reshape(-1)]
        boxes[:, :4] = (boxes[:, :4] / scale).clip(0, np.array([image.shape[1], image.shape[0]] * 2))
        return np.asarray(boxes, np.float32)


def _any_size(model: onnx.ModelProto) -> None:
    """Forget the sizes that the graph was exported with, in place."""
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        for axis, length in enumerate(value.type.tensor_type.shape.dim):
            if value.name != model.graph.input[0].name or axis != 1:
                length.ClearField("dim_value")
                length.dim_param = f"{value.name}_{axis}"
