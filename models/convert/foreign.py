"""Gives any ONNX graph the names and the metadata by which vipose runs it (``vipose models import``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from vipose.models.convert.regroup import Policy, choose
from vipose.runtime.errors import ModelError, OutputError, UsageError
from vipose.runtime.graphs import load_graph
from vipose.runtime.metadata import KEY, Codec, GraphMetadata, InputSpec, weights_sha256
from vipose.runtime.skeleton import SKELETONS

__all__ = ["NORMALISATIONS", "ImportOptions", "import_graph"]

Triple = tuple[float, float, float]
NORMALISATIONS: dict[str, tuple[Triple, Triple]] = {
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "unit": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
"""Named means and standard deviations, RGB, 0-255 scale."""
_DTYPES = {1: "float32", 2: "uint8"}


@dataclass(frozen=True)
class ImportOptions:
    """What a graph does not say about itself; None = read it from the graph.

    Attributes:
        task: pose-spatial, pose-temporal or detect.
        name: of the network.
        skeleton: name of the joints; None takes the only one with so many joints.
        size: width, height of the input in pixels, where the graph's are free (detectors: stays free with ``pixels``).
        colour: order of channels.
        layout: NHWC or NCHW.
        dtype: type that the input must have.
        normalisation: (mean, std) in the order of RGB on a 0-255 scale; must be given for float32 inputs.
        convention, sigma, blur: of the heatmaps, see :class:`vipose.runtime.metadata.Codec`.
        steps, phase: T and t of a temporal graph.
        output: whether a detector's boxes are ``candidates`` or ``suppressed``.
        multiple, pixels, fill: of a detector's letterbox.
        licence: of the weights.
        regroup: whether to rewrite convolutions, see :mod:`vipose.models.convert.regroup`; metadata's card says what came of it.
        inputs: public name (image, previous) -> name in the graph.
        outputs: public name (heatmaps, boxes, scores) -> name in the graph.
    """

    task: Literal["pose-spatial", "pose-temporal", "detect"] | None = None
    name: str | None = None
    skeleton: str | None = None
    size: tuple[int, int] | None = None
    colour: Literal["RGB", "BGR"] = "RGB"
    layout: Literal["NHWC", "NCHW"] | None = None
    dtype: Literal["uint8", "float32"] | None = None
    normalisation: tuple[Triple, Triple] | None = None
    convention: Literal["udp", "msra"] = "udp"
    sigma: float = 2.0
    blur: int = 11
    steps: int = 1
    phase: int = 1
    output: Literal["candidates", "suppressed"] = "candidates"
    multiple: int = 32
    pixels: int = 0
    fill: int = 114
    licence: str = ""
    regroup: Policy = "never"
    inputs: Mapping[str, str | None] | None = None
    outputs: Mapping[str, str | None] | None = None


def import_graph(source: Path, target: Path, options: ImportOptions) -> GraphMetadata:
    """Write a copy of a graph with vipose's names and metadata, after it was checked and run once.

    Args:
        source: an ONNX file.
        target: appears only when everything is well.
        options: what the graph does not say.

    Returns:
        The metadata that was added.

    Raises:
        UsageError: something must be said that was not, or contradicts the graph.
        ModelError: the file is no graph, or does not run as described.
        OutputError: the target cannot be written.
    """
    model = _load(source)
    metadata = _describe(model, source, options)
    _rename(model, _names(model, metadata.task, options))
    if options.regroup != "never":
        chosen = choose(model, _example(model, metadata), options.regroup)
        model = chosen.model
        metadata.card["regroup"] = chosen.reason
    tensors = {t.name: onnx.numpy_helper.to_array(t).tobytes() for t in model.graph.initializer}
    metadata = replace(metadata, sha256=weights_sha256(tensors))
    kept = {p.key: p.value for p in model.metadata_props}
    onnx.helper.set_model_props(model, {**kept, KEY: metadata.to_json()})
    part = target.with_name(target.name + ".part")
    try:
        try:
            part.write_bytes(model.SerializeToString())
            load_graph(part, device="cpu")
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {target} ({error.strerror}); choose another folder") from error
    except ModelError as error:
        raise ModelError(str(error).replace(part.name, source.name)) from error
    return metadata


def _load(source: Path) -> Any:
    try:
        model = onnx.load(source)
    except OSError as error:
        raise ModelError(f"graph {source} cannot be read ({error.strerror}); check the path") from error
    except (DecodeError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(f"{source} is no ONNX graph; give an .onnx file") from error
    if not model.graph.node:
        raise ModelError(f"{source} is no ONNX graph; give an .onnx file")
    return model


def _describe(model: Any, source: Path, options: ImportOptions) -> GraphMetadata:
    names = _names(model, options.task, options)
    outputs = {value.name: value for value in model.graph.output}
    task = options.task or _guess_task(names)
    spec = _input_spec(_value(model, names["image"]), task, options)
    if task == "detect":
        codec, skeleton, flip = None, None, None
    else:
        heatmaps = outputs[names["heatmaps"]]
        skeleton = _skeleton(heatmaps, options)
        flip = SKELETONS[skeleton].flip
        codec = Codec(options.convention, options.sigma, _stride(heatmaps, spec), options.blur)
    return GraphMetadata(
        task=task,
        network=options.name or source.stem,
        input=spec,
        skeleton=skeleton,
        codec=codec,
        flip=flip,
        T=options.steps if task == "pose-temporal" else 0,
        phase=options.phase if task == "pose-temporal" else 0,
        output=options.output if task == "detect" else "heatmaps",
        licence=options.licence,
        card={"imported_from": source.name},
    )


def _example(model: Any, metadata: GraphMetadata) -> dict[str, Any]:
    """An input for one crop or picture; raises UsageError for a graph that takes several and no other number."""
    spec, feeds = metadata.input, {}
    side = max(1, round(spec.pixels**0.5 / spec.multiple)) * spec.multiple
    height, width = spec.height or side, spec.width or side
    shapes = {"image": (height, width, 3) if spec.layout == "NHWC" else (3, height, width)}
    if metadata.codec is not None:
        shapes["previous"] = (len(metadata.joints), height // metadata.codec.stride, width // metadata.codec.stride)
    stored = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name in stored:
            continue
        count = _dims(value)[0]
        if isinstance(count, int) and count != 1:
            raise UsageError(f"the graph takes {count} pictures at once, and --regroup measures with one; leave it out")
        numbers = np.random.default_rng(0).random((1, *shapes[value.name]), np.float32)
        feeds[value.name] = (255 * numbers).astype(np.uint8) if value.type.tensor_type.elem_type == 2 else numbers
    return feeds


def _guess_task(names: Mapping[str, str]) -> Literal["pose-spatial", "pose-temporal", "detect"]:
    if "boxes" in names:
        return "detect"
    return "pose-temporal" if "previous" in names else "pose-spatial"


def _names(model: Any, task: str | None, options: ImportOptions) -> dict[str, str]:
    """Public name -> name in the graph, for all inputs and the outputs in use."""
    fed = {t.name for t in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in fed]
    outputs = list(model.graph.output)
    found: dict[str, str] = {}
    for wanted, values in ((options.inputs, inputs), (options.outputs, outputs)):
        for public, name in (wanted or {}).items():
            if name is None:
                continue
            if name not in {value.name for value in values}:
                there = ", ".join(value.name for value in values)
                raise UsageError(f"the graph has no '{name}' for '{public}' (there: {there}); name one of them")
            found[public] = name
    rest = [value for value in inputs if value.name not in found.values()]
    if "image" not in found:
        picture = next((value for value in rest if 3 in _dims(value)[1:]), rest[0] if rest else None)
        if picture is None:
            raise ModelError("the graph has no input; export it again")
        found["image"] = picture.name
        rest.remove(picture)
    if len(rest) > 1 or (rest and task in ("detect", "pose-spatial")):
        raise UsageError(f"the graph has further inputs ({', '.join(v.name for v in rest)}) that vipose cannot feed")
    if rest:
        found["previous"] = rest[0].name
    return {**found, **_output_names([v for v in outputs if v.name not in found.values()], found, task)}


def _output_names(outputs: list[Any], found: Mapping[str, str], task: str | None) -> dict[str, str]:
    if {"boxes", "scores"} <= set(found) or "heatmaps" in found:
        return {}
    maps = [value for value in outputs if len(_dims(value)) == 4]
    if task != "detect" and len(maps) == 1:
        return {"heatmaps": maps[0].name}
    boxes = [value for value in outputs if len(_dims(value)) == 3 and _dims(value)[2] == 4]
    scores = [value for value in outputs if len(_dims(value)) == 2]
    if task in (None, "detect") and len(boxes) == 1 and len(scores) == 1:
        return {"boxes": boxes[0].name, "scores": scores[0].name}
    shapes = ", ".join(f"{value.name} {_dims(value)}" for value in outputs)
    raise UsageError(
        f"the outputs ({shapes}) are neither heatmaps [N, K, h, w] nor boxes [N, M, 4] with scores [N, M]; "
        "name them with --heatmaps or --boxes and --scores"
    )


def _input_spec(image: Any, task: str, options: ImportOptions) -> InputSpec:
    dims, kind = _dims(image), image.type.tensor_type.elem_type
    if len(dims) != 4 or kind not in _DTYPES:
        raise UsageError(f"input '{image.name}' must be uint8 or float32 with four axes; export the graph so")
    if options.dtype not in (None, _DTYPES[kind]):
        raise UsageError(f"input '{image.name}' is {_DTYPES[kind]}, not {options.dtype}; leave --dtype out")
    layout = options.layout or ("NHWC" if dims[3] == 3 else "NCHW" if dims[1] == 3 else None)
    if layout is None:
        raise UsageError(f"the layout of input '{image.name}' {dims} is not known; give --layout NHWC or NCHW")
    height, width = dims[1:3] if layout == "NHWC" else dims[2:4]
    size = _size(width, height, task, options)
    mean, std = NORMALISATIONS["none"]
    if kind == 1:
        if options.normalisation is None:
            raise UsageError("a float32 input needs to know its normalisation; give --normalise or --mean and --std")
        mean, std = options.normalisation
        if not all(value > 0 for value in std):
            raise UsageError(f"standard deviations {std} must be above 0")
    return InputSpec(
        *size,
        colour=options.colour,
        dtype="uint8" if kind == 2 else "float32",
        layout=layout,
        mean=_in_order(mean, options.colour),
        std=_in_order(std, options.colour),
        fill=options.fill,
        multiple=options.multiple,
        pixels=options.pixels,
    )


def _in_order(values: Triple, colour: str) -> Triple:
    return (values[2], values[1], values[0]) if colour == "BGR" else values


def _size(width: int | str, height: int | str, task: str, options: ImportOptions) -> tuple[int, int]:
    if isinstance(width, int) and isinstance(height, int):
        if options.size not in (None, (width, height)):
            raise UsageError(f"the graph's input is {width}x{height}; leave --size out")
        return width, height
    if options.size is not None:
        return options.size
    if task == "detect" and options.pixels:
        return 0, 0
    raise UsageError("the graph takes any size; give --size WIDTHxHEIGHT (a detector may take --pixels instead)")


def _skeleton(heatmaps: Any, options: ImportOptions) -> str:
    joints = _dims(heatmaps)[1]
    if options.skeleton is not None:
        if options.skeleton not in SKELETONS:
            raise UsageError(f"skeleton '{options.skeleton}' is not known; choose one of {', '.join(SKELETONS)}")
        return options.skeleton
    fitting = [name for name, skeleton in SKELETONS.items() if len(skeleton) == joints]
    if len(fitting) != 1:
        raise UsageError(f"no skeleton is known by its {joints} joints; give --skeleton {'|'.join(SKELETONS)}")
    return fitting[0]


def _stride(heatmaps: Any, spec: InputSpec) -> int:
    rows, columns = _dims(heatmaps)[2:4]
    if not isinstance(rows, int) or not isinstance(columns, int):
        return 4  # what nearly all have; the check run tells when it is wrong
    if rows < 1 or spec.height % rows or spec.width * rows != spec.height * columns:
        raise UsageError(f"heatmaps of {columns}x{rows} cells do not divide an input of {spec.width}x{spec.height}")
    return spec.height // rows


def _value(model: Any, name: str) -> Any:
    return next(value for value in model.graph.input if value.name == name)


def _dims(value: Any) -> list[int | str]:
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in value.type.tensor_type.shape.dim]


def _rename(model: Any, names: Mapping[str, str]) -> None:
    """Give inputs and outputs their public names; a value inside that has such a name already gets another."""
    wanted = {old: new for new, old in names.items() if old != new}
    taken = _value_names(model.graph) | set(names)
    for new in names:
        if new in _value_names(model.graph) and new not in names.values():
            spare = next(f"{new}_{i}" for i in range(len(taken) + 1) if f"{new}_{i}" not in taken)
            wanted[new] = spare
            taken.add(spare)
    _rename_in(model.graph, wanted)


def _value_names(graph: Any) -> set[str]:
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    return names | {value.name for value in (*graph.input, *graph.output, *graph.initializer)}


def _rename_in(graph: Any, wanted: Mapping[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = wanted.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [wanted.get(name, name) for name in node.input]
        node.output[:] = [wanted.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _rename_in(inner, wanted)
