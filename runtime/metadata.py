"""The JSON that every graph carries under the ONNX metadata key ``vipose``: what it is, how it is fed and decoded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from vipose.runtime.errors import ModelError
from vipose.runtime.geometry import Convention
from vipose.runtime.skeleton import SKELETONS, Skeleton

__all__ = ["KEY", "SCHEMA", "Codec", "GraphMetadata", "InputSpec", "weights_sha256"]

KEY = "vipose"
SCHEMA = 1
Task = Literal["pose-spatial", "pose-temporal", "detect"]


@dataclass(frozen=True)
class InputSpec:
    """How the image input is fed.

    Attributes:
        width, height: pixels. For detectors: the letterbox, or 0, 0 where the graph takes any multiple of ``multiple``.
        colour: RGB or BGR order of channels.
        dtype: uint8 (raw pixels; mean and std are inside the graph) or float32 (the runtime normalises).
        layout: NHWC or NCHW.
        mean, std: per channel in the order of ``colour``, 0-255 scale; used by the runtime for float32 inputs only.
        fill: grey value of the letterbox (detectors).
        multiple, pixels: with width = height = 0, sides are multiples of ``multiple`` and their product is near ``pixels``.
    """

    width: int
    height: int
    colour: Literal["RGB", "BGR"] = "RGB"
    dtype: Literal["uint8", "float32"] = "uint8"
    layout: Literal["NHWC", "NCHW"] = "NHWC"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fill: int = 114
    multiple: int = 32
    pixels: int = 0


@dataclass(frozen=True)
class Codec:
    """How heatmaps lie on the crop. ``stride`` = input pixels per cell; ``sigma`` in cells; ``blur`` = DARK's kernel (odd)."""

    convention: Convention = "udp"
    sigma: float = 2.0
    stride: int = 4
    blur: int = 3


@dataclass(frozen=True)
class GraphMetadata:
    """Metadata of one graph. ``card`` holds what only people read: data, licences, recipe, commit, figures.

    Detectors say by ``output`` whether ``boxes`` [N, M, 4] and ``scores`` [N, M] are raw (``candidates``: the runtime
    suppresses) or final (``suppressed``: padded with score 0). Boxes are x0 y0 x1 y1 in input pixels.
    """

    task: Task
    network: str
    input: InputSpec
    architecture: dict[str, Any] = field(default_factory=dict)
    skeleton: str | None = None
    codec: Codec | None = None
    flip: tuple[int, ...] | None = None
    T: int = 0
    phase: int = 0
    output: Literal["heatmaps", "candidates", "suppressed"] = "heatmaps"
    licence: str = ""
    card: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        def need(good: bool, why: str) -> None:
            if not good:
                raise ModelError(f"graph metadata of '{self.network}': {why}")

        need(self.schema == SCHEMA, f"schema {self.schema}, this version reads {SCHEMA}; export the graph again")
        need(self.task in ("pose-spatial", "pose-temporal", "detect"), f"unknown task {self.task!r}")
        if self.task == "detect":
            need(self.output in ("candidates", "suppressed"), f"a detector cannot put out {self.output!r}")
        else:
            need(self.skeleton in SKELETONS, f"unknown skeleton {self.skeleton!r}")
            need(self.codec is not None, "a pose graph needs a codec")
            need(self.input.width > 0 and self.input.height > 0, "a pose graph needs a fixed input size")
        if self.task == "pose-temporal":
            need(1 <= self.phase <= self.T, f"phase {self.phase} of T = {self.T}")

    @property
    def joints(self) -> Skeleton:
        """The skeleton; raises ModelError for a detector."""
        if self.skeleton is None:
            raise ModelError(f"graph '{self.network}' is a detector and has no skeleton")
        return SKELETONS[self.skeleton]

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Index of each joint's mirror image: ``flip``, else the skeleton's; raises ModelError for a detector."""
        return self.flip or self.joints.flip

    def to_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> GraphMetadata:
        """Parse; raises ModelError with the reason for malformed or unknown content."""
        try:
            data = json.loads(text)
            spec: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data["input"].items()}
            data["input"] = InputSpec(**spec)
            if data.get("codec"):
                data["codec"] = Codec(**data["codec"])
            if data.get("flip") is not None:
                data["flip"] = tuple(data["flip"])
            known = {f.name for f in fields(cls)}
            unknown = sorted(set(data) - known)
            if unknown:
                raise ModelError(f"graph metadata has unknown fields {unknown}; export the graph again")
            return cls(**data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"graph metadata cannot be read ({error}); add it with 'vipose models import'") from error


def weights_sha256(initialisers: dict[str, bytes]) -> str:
    """SHA-256 over (name, raw bytes) of a graph's initialisers, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(initialisers):
        digest.update(name.encode())
        digest.update(initialisers[name])
    return digest.hexdigest()
