"""The detector's decoding as ONNX nodes: three maps to boxes and scores, for any input size.

It equals :func:`vipose.models.networks.detector.decode` with a sigmoid. Written by hand, since the grid that torch
traces is a hundred small nodes, each of which costs ONNX Runtime more than its arithmetic: this is a third of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["append_decoding"]

_MOST_CELLS = 512  # a side, at the finest stride


def append_decoding(model: onnx.ModelProto, strides: Sequence[int]) -> None:
    """Replace the outputs, maps [N, 5, h, w] finest first, by ``boxes`` [N, M, 4] and ``scores`` [N, M].

    Boxes are x0 y0 x1 y1 in input pixels with pixel centres at integers: half a pixel less than training's.
    """
    graph = model.graph
    maps = [output.name for output in graph.output]
    del graph.output[:]
    index = np.arange(_MOST_CELLS, dtype=np.float32) + 0.5
    columns, rows = np.zeros((3, 1, _MOST_CELLS), np.float32), np.zeros((3, _MOST_CELLS, 1), np.float32)
    # Channels x, y, 1 of a cell: times the stride they are its centre and the stride itself.
    columns[0, 0], columns[2], rows[1, :, 0] = index, 1, index
    constants = {
        "decode.columns": columns,
        "decode.rows": rows,
        "decode.zero": np.array([0], np.int64),
        "decode.one": np.array([1], np.int64),
        "decode.two": np.array([2], np.int64),
        "decode.flat": np.array([0, 5, -1], np.int64),
        "decode.cells": np.array([3, -1], np.int64),
        "decode.row": np.array([0, -1], np.int64),
        "decode.parts": np.array([1, 2, 2], np.int64),
        "decode.grid_parts": np.array([2, 1], np.int64),
        "decode.shift": np.array(1.0, np.float32),  # 0.5: centre of a cell to pixel centres; 0.5: see above
    } | {f"decode.stride{s}": np.array(s, np.float32) for s in strides}
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    grids, flats = [], []
    for name, stride in zip(maps, strides, strict=True):
        graph.node.extend(_level(name, stride))
        flats.append(f"decode.flat{stride}")
        grids.append(f"decode.grid{stride}")
    graph.node.extend(_boxes(flats, grids))
    graph.output.extend(
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", "M", 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", "M"]),
        ]
    )


def _level(name: str, stride: int) -> list[onnx.NodeProto]:
    """One level: its map as [N, 5, h * w] and its cells as [3, h * w] (x, y, stride)."""
    p = f"decode.{stride}."
    return [
        helper.make_node("Reshape", [name, "decode.flat"], [f"decode.flat{stride}"]),
        helper.make_node("Shape", [name], [p + "h"], start=2, end=3),
        helper.make_node("Shape", [name], [p + "w"], start=3, end=4),
        helper.make_node("Slice", ["decode.columns", "decode.zero", p + "w", "decode.two"], [p + "x"]),
        helper.make_node("Slice", ["decode.rows", "decode.zero", p + "h", "decode.one"], [p + "y"]),
        helper.make_node("Add", [p + "x", p + "y"], [p + "index"]),
        helper.make_node("Mul", [p + "index", f"decode.stride{stride}"], [p + "scaled"]),
        helper.make_node("Reshape", [p + "scaled", "decode.cells"], [f"decode.grid{stride}"]),
    ]


def _boxes(flats: list[str], grids: list[str]) -> list[onnx.NodeProto]:
    """All levels together: scores by a sigmoid, sides by a softplus times the stride, corners around the centres."""
    return [
        helper.make_node("Concat", flats, ["decode.all"], axis=2),
        helper.make_node("Concat", grids, ["decode.grid"], axis=1),
        helper.make_node("Split", ["decode.grid", "decode.grid_parts"], ["decode.edges", "decode.strides"], axis=0),
        helper.make_node("Sub", ["decode.edges", "decode.shift"], ["decode.centres"]),
        helper.make_node(
            "Split", ["decode.all", "decode.parts"], ["decode.logits", "decode.left_top", "decode.right_bottom"], axis=1
        ),
        helper.make_node("Reshape", ["decode.logits", "decode.row"], ["decode.logit"]),
        helper.make_node("Sigmoid", ["decode.logit"], ["scores"]),
        helper.make_node("Softplus", ["decode.left_top"], ["decode.before"]),
        helper.make_node("Softplus", ["decode.right_bottom"], ["decode.after"]),
        helper.make_node("Mul", ["decode.before", "decode.strides"], ["decode.back"]),
        helper.make_node("Mul", ["decode.after", "decode.strides"], ["decode.forth"]),
        helper.make_node("Sub", ["decode.centres", "decode.back"], ["decode.low"]),
        helper.make_node("Add", ["decode.centres", "decode.forth"], ["decode.high"]),
        helper.make_node("Concat", ["decode.low", "decode.high"], ["decode.corners"], axis=1),
        helper.make_node("Transpose", ["decode.corners"], ["boxes"], perm=[0, 2, 1]),
    ]
