"""What a YOLO export is: how it is fed, which output holds its boxes and in which layout, which class is a person."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import onnx
from onnx import TensorProto, shape_inference

from vipose.runtime.errors import ModelError
from vipose.runtime.metadata import InputSpec

__all__ = ["Input", "Layout", "dims", "find_input", "find_layout", "person_class", "read_facts", "with_shapes"]

Facts = dict[str, Any]
Kind = Literal["raw", "final"]

_JOINTS = 51  # 17 x (x, y, visible) of the pose networks
_MASKS = 32  # mask coefficients of the segmentation networks
_MOST_FINAL = 2000  # more rows than that are candidates, not final boxes
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


@dataclass(frozen=True)
class Input:
    """The one input: ``name``, ``dtype`` (ONNX number), fixed ``batch`` (0 = any) and ``spec`` for the metadata."""

    name: str
    dtype: int
    batch: int
    spec: InputSpec


@dataclass(frozen=True)
class Layout:
    """The one output: ``raw`` [N, 4 + C, M] or ``final`` [N, M, 6 + K]; ``rows`` is M, ``classes`` C, 0 = unknown."""

    kind: Kind
    name: str
    rows: int
    classes: int


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with output shapes inferred where the exporter left them out."""
    if all(dims(o) is not None for o in model.graph.output):
        return model
    return shape_inference.infer_shapes(model)


def read_facts(model: onnx.ModelProto) -> Facts:
    """What ultralytics wrote beside the graph: task, names, imgsz, stride, ... as Python values where they are some."""
    facts: Facts = {}
    for entry in model.metadata_props:
        try:
            facts[entry.key] = ast.literal_eval(entry.value)
        except (ValueError, SyntaxError):
            facts[entry.key] = entry.value
    return facts


def dims(value: onnx.ValueInfoProto) -> list[int | str] | None:
    """Dimensions, named or "?" where they are free; None where the rank is unknown."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [d.dim_value if d.dim_value > 0 else d.dim_param or "?" for d in tensor.shape.dim]


def shown(values: Sequence[onnx.ValueInfoProto]) -> str:
    """Names and shapes, for messages."""
    texts = []
    for value in values:
        shape = dims(value)
        texts.append(f"{value.name} " + ("of unknown shape" if shape is None else f"[{', '.join(map(str, shape))}]"))
    return ", ".join(texts)


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs that are fed; old graphs list their initialisers among them."""
    stored = {t.name for t in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in stored]


def find_input(model: onnx.ModelProto, facts: Facts, pixels: int | None) -> Input:
    """How the graph is fed.

    Args:
        model: the export.
        facts: what ultralytics wrote beside it.
        pixels: area of the letterbox for a graph of free size; None = as exported, else 640 x 640.

    Raises:
        ModelError: not one float input [N, 3, H, W], or only one side of it is fixed.
    """
    inputs = _inputs(model)
    shape = dims(inputs[0]) if len(inputs) == 1 else None
    dtype = inputs[0].type.tensor_type.elem_type if inputs else 0
    if shape is None or len(shape) != 4 or shape[1] not in (3, "?") or dtype not in _FLOATS:
        raise ModelError(f"a YOLO export has one float input [N, 3, H, W]; found {shown(inputs) or 'none'}")
    batch, height, width = (d if isinstance(d, int) else 0 for d in (shape[0], shape[2], shape[3]))
    if bool(height) != bool(width):
        raise ModelError(f"one side of the input is fixed and one is free ({shown(inputs)}); export it with one choice")
    if height:
        return Input(inputs[0].name, dtype, batch, InputSpec(width, height))
    size, stride = facts.get("imgsz"), facts.get("stride")
    area = int(size[0]) * int(size[1]) if isinstance(size, (list, tuple)) and len(size) == 2 else 640 * 640
    multiple = max(32, int(stride)) if isinstance(stride, (int, float)) else 32
    return Input(inputs[0].name, dtype, batch, InputSpec(0, 0, multiple=multiple, pixels=pixels or area))


def find_layout(model: onnx.ModelProto, facts: Facts) -> Layout:
    """Which output holds the boxes and how; raises ModelError with what was found where that is not certain."""
    outputs, task = list(model.graph.output), facts.get("task", "detect")
    if task not in ("detect", "pose", "segment"):
        raise ModelError(f"a YOLO for task '{task}' finds no upright boxes; give one for detect, pose or segment")
    shapes = [dims(o) or [] for o in outputs]
    # A segmentation network has its prototype masks [N, 32, h, w] as a second output.
    boxes = [(o, s) for o, s in zip(outputs, shapes, strict=True) if len(s) == 3]
    if len(boxes) != 1 or any(len(s) not in (3, 4) for s in shapes) or len(outputs) > 2:
        raise ModelError(f"a YOLO export has one output of boxes [N, ., .]; found {shown(outputs) or 'none'}")
    output, (_, first, last) = boxes[0]
    raw, final = _is_raw(first, last, facts), _is_final(first, last, facts)
    if raw == final:
        raise ModelError(
            f"the output is {'ambiguous' if raw else 'of no known YOLO layout'}: found {shown(outputs)}; wanted one of "
            "[N, 4 + classes, M] (raw, v8 and later) or [N, M, 6] (x0 y0 x1 y1 score class)"
        )
    rows = last if raw else first
    classes = first - 4 - _extras(facts) if raw and isinstance(first, int) else 0
    return Layout("raw" if raw else "final", output.name, rows if isinstance(rows, int) else 0, classes)


def _is_raw(channels: int | str, boxes: int | str, facts: Facts) -> bool:
    """[N, 4 + C (+ extras), M]: more boxes than channels, and as many channels as the class names ask for."""
    if not isinstance(channels, int) or channels < 5 or (isinstance(boxes, int) and boxes <= channels):
        return False
    names = facts.get("names")
    if not isinstance(names, (dict, list)):
        return True
    return channels - 4 - len(names) in (0, _extras(facts))


def _is_final(boxes: int | str, columns: int | str, facts: Facts) -> bool:
    """[N, M, 6 (+ extras)]. Without metadata 6 and 6 + 17 x 3 columns are known."""
    if isinstance(boxes, int) and boxes > _MOST_FINAL:
        return False
    return columns in ((6, 6 + _extras(facts)) if "task" in facts else (6, 6 + _JOINTS))


def _extras(facts: Facts) -> int:
    """Numbers that follow each box: joints or mask coefficients."""
    if facts.get("task") == "segment":
        return _MASKS
    if facts.get("task") == "pose":
        shape = facts.get("kpt_shape", (17, 3))
        return math.prod(int(s) for s in shape) if isinstance(shape, (list, tuple)) else _JOINTS
    return 0


def person_class(facts: Facts, layout: Layout, wanted: int | None) -> int:
    """The class that counts as a person: ``wanted``, else the one of that name, else class 0 of a nameless graph.

    Raises:
        ModelError: ``wanted`` is out of range, or several classes have names and none is a person.
    """
    names = facts.get("names")
    named: dict[int, str] = {}
    if isinstance(names, (dict, list)):
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        named = {int(k): str(v) for k, v in pairs}
    if wanted is not None:
        most = len(named) or layout.classes
        if wanted < 0 or (most and wanted >= most):
            raise ModelError(f"there is no class {wanted}; the graph has {most or 'unnamed'} classes, counted from 0")
        return wanted
    if len(named) < 2:
        return 0
    found = [k for k, v in named.items() if v.lower() in ("person", "people", "pedestrian", "human")]
    if not found:
        listed = ", ".join(f"{k} {v}" for k, v in list(named.items())[:8])
        raise ModelError(f"no class is called person (found {listed}); say which one counts with --person")
    return found[0]
