"""A user's own ultralytics YOLO (v8, 11, 26 and kin) as a detector: ``python -m vipose.models.convert.yolo IN OUT``.

The exported graph stays as it is; nodes are put before it (uint8 NHWC RGB to float NCHW / 255) and after it (its one
output to ``boxes`` and ``scores`` of people). Layouts, with C classes and M boxes:

========================  ======================================================  =====================
layout                    holds                                                   exported by
========================  ======================================================  =====================
raw ``[N, 4 + C, M]``     cx, cy, w, h; C scores; extras (17 x 3 joints, masks)   v8, 11, 26 (end2end off)
final ``[N, M, 6 + K]``   x0, y0, x1, y1, score, class; K extras                  ``nms=True``; 26 end-to-end
========================  ======================================================  =====================

No weights come with vipose. Ultralytics' networks are AGPL-3.0 unless you hold another licence; the converted graph
keeps that licence.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from vipose.models.convert.yolo_layout import (
    Input,
    Layout,
    dims,
    find_input,
    find_layout,
    person_class,
    read_facts,
    with_shapes,
)
from vipose.runtime.errors import ModelError, OutputError, ViposeError
from vipose.runtime.metadata import KEY, GraphMetadata, weights_sha256

__all__ = ["convert_yolo", "main"]

_PREFIX = "yolo."
_LEAST_OPSET = 11  # comparison of floats
_LICENCE = "Ultralytics YOLO: AGPL-3.0, or your own licence from Ultralytics"


def convert_yolo(
    source: Path, target: Path, *, person: int | None = None, pixels: int | None = None, name: str | None = None
) -> GraphMetadata:
    """Convert a YOLO export into a detector graph for vipose; returns its metadata.

    Boxes are x0 y0 x1 y1 in input pixels, as the network gives them. Raw layouts become ``candidates`` (the runtime
    suppresses doubles), final ones ``suppressed``; in those, boxes of other classes get score 0.

    Args:
        source: ``.onnx`` (read with the onnx package alone) or ``.pt`` (exported by ultralytics, the extra ``yolo``).
        target: file to write; replaced only when all went well.
        person: class that counts as a person; None = the one called ``person``, class 0 where none has a name.
        pixels: area of the letterbox where the graph takes any size; None = as it was exported, else 640 x 640.
        name: network name in the metadata; None = the file's name.

    Raises:
        ModelError: the file is missing, no YOLO, or of a layout that is unknown or ambiguous; ultralytics is missing.
        OutputError: the target cannot be written.
    """
    name = name or source.stem
    if not source.is_file():
        raise ModelError(f"there is no file '{source}'; give a YOLO export (.onnx or .pt)")
    if source.suffix.lower() == ".pt":
        with tempfile.TemporaryDirectory(prefix="vipose-yolo-") as folder:
            exported = _export_pt(source, Path(folder))
            return convert_yolo(exported, target, person=person, pixels=pixels, name=name)
    model = with_shapes(_read(source))
    facts = read_facts(model)
    entry, layout = find_input(model, facts, pixels), find_layout(model, facts)
    made = _rebuilt(model, entry, layout, person_class(facts, layout, person))
    metadata = GraphMetadata(
        task="detect",
        network=name,
        input=entry.spec,
        architecture={"family": "yolo", "layout": layout.kind, "description": str(facts.get("description", ""))},
        output="candidates" if layout.kind == "raw" else "suppressed",
        licence=str(facts.get("license") or _LICENCE),
        sha256=weights_sha256({t.name: numpy_helper.to_array(t).tobytes() for t in made.graph.initializer}),
    )
    made.metadata_props.extend(model.metadata_props)
    made.metadata_props.add(key=KEY, value=metadata.to_json())
    _try(made, metadata)
    _write(made, target)
    return metadata


def _read(source: Path) -> onnx.ModelProto:
    """Load and check; raises ModelError for a broken file, an old opset or a graph that is vipose's already."""
    try:
        model = onnx.load(str(source))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx raise unrelated types for a broken file
        raise ModelError(f"'{source}' is not a readable ONNX graph ({_one_line(error)}); export it again") from error
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < _LEAST_OPSET:
        raise ModelError(f"'{source}' has opset {opset}, at least {_LEAST_OPSET} is needed; export it again")
    if KEY in {p.key for p in model.metadata_props}:
        raise ModelError(f"'{source}' carries vipose metadata already; use it as it is")
    return model


def _export_pt(source: Path, folder: Path) -> Path:
    """Export a checkpoint with ultralytics, which is imported here and nowhere else."""
    try:
        from ultralytics import YOLO
    except ImportError as error:
        raise ModelError(
            f"'{source.name}' needs ultralytics ({_one_line(error)}): run pip install 'vipose[yolo]' (its licence is "
            "AGPL-3.0), or export it to .onnx elsewhere and give that"
        ) from error
    copy = folder / source.name
    shutil.copyfile(source, copy)
    try:
        return Path(str(YOLO(str(copy)).export(format="onnx", dynamic=True, simplify=False)))
    except Exception as error:  # whatever a foreign package raises over the user's file
        raise ModelError(f"ultralytics cannot export '{source}' ({_one_line(error)}); export it to .onnx") from error


def _rebuilt(model: onnx.ModelProto, entry: Input, layout: Layout, person: int) -> onnx.ModelProto:
    """The model with its new ends; ``model`` is not changed. Its names get a prefix, so that none can clash."""
    inner = compose.add_prefix(model, _PREFIX)
    before = _before(_PREFIX + entry.name, entry.dtype)
    after = (_raw_nodes if layout.kind == "raw" else _final_nodes)(_PREFIX + layout.name, person)
    n, rows = entry.batch or "N", layout.rows or "M"
    shape = [n, entry.spec.height or "H", entry.spec.width or "W", 3]
    graph = helper.make_graph(
        [*before[0], *inner.graph.node, *after[0]],
        "yolo",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [n, rows, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [n, rows]),
        ],
        [*inner.graph.initializer, *before[1], *after[1]],
        sparse_initializer=list(inner.graph.sparse_initializer),
    )
    return helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=model.ir_version, functions=list(inner.functions)
    )


Nodes = tuple[list[onnx.NodeProto], list[onnx.TensorProto]]


def _constant(name: str, values: Any, dtype: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), name)


def _before(entry: str, dtype: int) -> Nodes:
    """uint8 NHWC RGB to the input of the network: float NCHW in 0..1."""
    steps = [
        helper.make_node("Transpose", ["image"], ["image.nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["image.nchw"], ["image.float"], to=TensorProto.FLOAT),
    ]
    if dtype == TensorProto.FLOAT:
        steps.append(helper.make_node("Div", ["image.float", "image.scale"], [entry]))
    else:
        steps.append(helper.make_node("Div", ["image.float", "image.scale"], ["image.unit"]))
        steps.append(helper.make_node("Cast", ["image.unit"], [entry], to=dtype))
    return steps, [_constant("image.scale", 255, np.float32)]


def _columns(source: str, target: str, first: int, last: int) -> Nodes:
    """``source[:, :, first:last]``."""
    bounds = [_constant(f"{target}.{n}", [v], np.int64) for n, v in (("from", first), ("to", last), ("axis", 2))]
    return [helper.make_node("Slice", [source, *(b.name for b in bounds)], [target])], bounds


def _column(source: str, target: str, index: int) -> Nodes:
    """``source[:, :, index]``."""
    constant = _constant(f"{target}.index", index, np.int64)
    return [helper.make_node("Gather", [source, constant.name], [target], axis=2)], [constant]


def _joined(*parts: Nodes) -> Nodes:
    return [n for nodes, _ in parts for n in nodes], [c for _, constants in parts for c in constants]


def _raw_nodes(output: str, person: int) -> Nodes:
    """[N, 4 + C, M] with centre and size to corners and the score of people."""
    turn = [
        helper.make_node("Cast", [output], ["raw.float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["raw.float"], ["raw.rows"], perm=[0, 2, 1]),
    ]
    corners = [
        helper.make_node("Mul", ["raw.size", "raw.half"], ["raw.reach"]),
        helper.make_node("Sub", ["raw.centre", "raw.reach"], ["raw.low"]),
        helper.make_node("Add", ["raw.centre", "raw.reach"], ["raw.high"]),
        helper.make_node("Concat", ["raw.low", "raw.high"], ["boxes"], axis=2),
    ]
    return _joined(
        (turn, []),
        _columns("raw.rows", "raw.centre", 0, 2),
        _columns("raw.rows", "raw.size", 2, 4),
        (corners, [_constant("raw.half", 0.5, np.float32)]),
        _column("raw.rows", "scores", 4 + person),
    )


def _final_nodes(output: str, person: int) -> Nodes:
    """[N, M, 6+] to its corners and scores; other classes get score 0, like the padding."""
    cast = [helper.make_node("Cast", [output], ["final.float"], to=TensorProto.FLOAT)]
    # Classes are whole numbers stored as floats: closer than a half is the same class, in fp16 too.
    chosen = [
        helper.make_node("Sub", ["final.class", "final.person"], ["final.other"]),
        helper.make_node("Abs", ["final.other"], ["final.distance"]),
        helper.make_node("Less", ["final.distance", "final.half"], ["final.is_person"]),
        helper.make_node("Where", ["final.is_person", "final.score", "final.zero"], ["scores"]),
    ]
    constants = [
        _constant("final.person", person, np.float32),
        _constant("final.half", 0.5, np.float32),
        _constant("final.zero", 0, np.float32),
    ]
    return _joined(
        (cast, []),
        _columns("final.float", "boxes", 0, 4),
        _column("final.float", "final.score", 4),
        _column("final.float", "final.class", 5),
        (chosen, constants),
    )


def _try(model: onnx.ModelProto, metadata: GraphMetadata) -> None:
    """Run the result once, so that what is written is known to work."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    side = round((metadata.input.pixels or 0) ** 0.5 / metadata.input.multiple) * metadata.input.multiple
    shape = (metadata.input.height or side, metadata.input.width or side)
    declared = dims(model.graph.input[0]) or [1]
    n = declared[0] if isinstance(declared[0], int) else 1
    try:
        onnx.checker.check_model(model)
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        boxes, scores = session.run(["boxes", "scores"], {"image": np.zeros((n, *shape, 3), np.uint8)})
    except Exception as error:  # onnx and ONNX Runtime raise many unrelated types
        raise ModelError(f"the converted graph does not run ({_one_line(error)}); export the YOLO again") from error
    if boxes.ndim != 3 or boxes.shape[2] != 4 or scores.shape != boxes.shape[:2]:
        raise ModelError(f"the converted graph gives {boxes.shape} boxes, {scores.shape} scores; export the YOLO again")


def _write(model: onnx.ModelProto, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    try:
        part.write_bytes(model.SerializeToString())
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"cannot write '{target}' ({error.strerror}); choose another folder") from error


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m vipose.models.convert.yolo", description="Turn an ultralytics YOLO into a person detector."
    )
    parser.add_argument("source", type=Path, help=".onnx, or .pt with the extra 'yolo'")
    parser.add_argument("target", type=Path, help="graph to write")
    parser.add_argument("--person", type=int, help="class that counts as a person (default: the one called person)")
    parser.add_argument("--pixels", type=int, help="area of the letterbox where the graph takes any size")
    parser.add_argument("--name", help="network name in the metadata (default: the file's)")
    args = parser.parse_args(argv)
    try:
        metadata = convert_yolo(args.source, args.target, person=args.person, pixels=args.pixels, name=args.name)
    except ViposeError as error:
        print(f"vipose: {error}", file=sys.stderr)
        return 1
    print(f"{args.target}: {metadata.network}, {metadata.output}, licence {metadata.licence}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
