"""Reads an ONNX file's metadata and initialisers without onnx and without a session.

An ONNX file is a protocol-buffer message; the few fields that vipose needs are walked here, so that the metadata of a
graph can be listed and its weights checked in an installation that only runs graphs. Field numbers are those of
onnx.proto3 (ModelProto: graph 7, metadata_props 14; GraphProto: initializer 5; TensorProto: dims 1, data_type 2,
float_data 4, int32_data 5, int64_data 7, name 8, raw_data 9, double_data 10, external_data 13).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vipose.runtime.errors import ModelError
from vipose.runtime.metadata import KEY, GraphMetadata

__all__ = ["OnnxFile", "Tensor", "read_metadata", "read_onnx"]

Value = int | memoryview
_DTYPES = {1: "f4", 2: "u1", 3: "i1", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4", 13: "u8"}
_HOW_TO_ADD = "add it with 'vipose models import'"


@dataclass(frozen=True)
class Tensor:
    """One initialiser: dimensions, ONNX data type number and raw little-endian bytes."""

    dims: tuple[int, ...]
    data_type: int
    raw: bytes

    @property
    def size(self) -> int:
        return math.prod(self.dims)


@dataclass(frozen=True)
class OnnxFile:
    """What was read: ``properties`` (ONNX metadata_props) and ``initialisers`` by name."""

    path: Path
    properties: dict[str, str] = field(default_factory=dict)
    initialisers: dict[str, Tensor] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Number of weights: floating-point values, and kernels that are stored in 8 bits."""
        tensors = self.initialisers.values()
        return sum(t.size for t in tensors if t.data_type in (1, 10, 11) or (t.data_type in (2, 3) and len(t.dims) > 1))

    @property
    def metadata(self) -> GraphMetadata:
        """The graph's metadata; raises ModelError when it has none or a wrong one."""
        if KEY not in self.properties:
            raise ModelError(f"{self.path.name} carries no vipose metadata; {_HOW_TO_ADD}")
        return GraphMetadata.from_json(self.properties[KEY])


def read_metadata(path: Path) -> GraphMetadata:
    """Metadata of a graph file; raises ModelError when the file is missing, no ONNX graph or carries none."""
    return read_onnx(path).metadata


def read_onnx(path: Path) -> OnnxFile:
    """Read metadata and initialisers; raises ModelError when the file is missing or no ONNX graph."""
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise ModelError(f"graph {path} cannot be read ({error.strerror}); check the path") from error
    properties: dict[str, str] = {}
    tensors: dict[str, Tensor] = {}
    graphs = 0
    try:
        for number, value in _fields(content):
            if number == 14:
                entry = dict(_fields(_message(value)))
                properties[_text(entry[1])] = _text(entry.get(2, memoryview(b"")))
            elif number == 7:
                graphs += 1
                for inner, part in _fields(_message(value)):
                    if inner == 5:
                        name, tensor = _tensor(_message(part))
                        tensors[name] = tensor
    except (IndexError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is no ONNX graph, or a damaged one ({error}); export or copy it again") from error
    if not graphs:
        raise ModelError(f"{path} is no ONNX graph; give an .onnx file")
    return OnnxFile(path, properties, tensors)


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Field number and value (integer or bytes) of every field of a message."""
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {position}")
        if number == 0 or position + size > end:
            raise ValueError(f"a field leaves the file at byte {position}")
        yield number, data[position: position + size]
        position += size


def _message(value: Value) -> memoryview:
    if isinstance(value, int):
        raise TypeError("a number where a message was expected")
    return value


def _text(value: Value) -> str:
    return bytes(_message(value)).decode("utf-8")


def _numbers(value: Value) -> list[int]:
    """Values of a repeated integer field, packed or not, as signed 64-bit numbers."""
    found = []
    if isinstance(value, int):
        found = [value]
    else:
        position = 0
        while position < len(value):
            number, position = _varint(value, position)
            found.append(number)
    return [n - (1 << 64) if n >= 1 << 63 else n for n in found]


def _tensor(message: memoryview) -> tuple[str, Tensor]:
    dims: list[int] = []
    name, data_type, raw = "", 0, b""
    integers: list[int] = []
    for number, value in _fields(message):
        if number == 1:
            dims += _numbers(value)
        elif number == 2 and isinstance(value, int):
            data_type = value
        elif number == 8:
            name = _text(value)
        elif number in (4, 9, 10):
            raw += bytes(_message(value))
        elif number in (5, 7):
            integers += _numbers(value)
        elif number == 13:
            raise ValueError("weights lie in a second file; export them into the graph")
    if integers:
        # fp16 travels as its bit pattern in int32_data
        dtype = "u2" if data_type == 10 else _DTYPES[data_type]
        raw = np.asarray(integers).astype(f"<{dtype}").tobytes()
    return name, Tensor(tuple(dims), data_type, raw)
