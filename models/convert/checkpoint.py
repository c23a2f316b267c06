"""Published PyTorch checkpoints into graphs that vipose runs (``vipose models import FILE.pth -o OUT.onnx``).

Weights are loaded strictly: every key and every shape must be that of the network.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from vipose.models.convert.importable import IMPORTABLE, Importable
from vipose.models.convert.regroup import Policy, choose
from vipose.models.data.teacher import MEAN, STD
from vipose.models.export import Precision, trace_pose, write_graph
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.elastic import skeleton
from vipose.models.networks.registry import build
from vipose.models.networks.weights import read_weights
from vipose.runtime.errors import ModelError, UsageError
from vipose.runtime.metadata import Codec, GraphMetadata, InputSpec

__all__ = ["CheckpointOptions", "Imported", "import_checkpoint", "load_published", "read_weights"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class CheckpointOptions:
    """What an import can be told; None = as published.

    Attributes:
        network: name in :data:`vipose.models.convert.importable.IMPORTABLE`; None = the one whose keys and shapes fit.
        name: in the graph's metadata; None = the network's.
        size: width, height of the crops, multiples of 32 pixels.
        colour: order of channels.
        convention, sigma, blur: of the heatmaps, see :class:`vipose.runtime.metadata.Codec`.
        licence: of the weights.
        trust: let a file with foreign objects in it run the code that makes them.
        regroup: whether to rewrite convolutions, see :mod:`vipose.models.convert.regroup`.
        precision: how weights are stored.
    """

    network: str | None = None
    name: str | None = None
    size: tuple[int, int] | None = None
    colour: Literal["RGB", "BGR"] | None = None
    convention: Literal["udp", "msra"] | None = None
    sigma: float | None = None
    blur: int | None = None
    licence: str = ""
    trust: bool = False
    regroup: Policy = "auto"
    precision: Precision = "fp32"


@dataclass(frozen=True)
class Imported:
    """What was written: ``network`` as in the registry, and what was measured about regrouping."""

    metadata: GraphMetadata
    network: str
    parameters: int
    regrouped: str


def import_checkpoint(source: Path, target: Path, options: CheckpointOptions | None = None) -> Imported:
    """Write the graph of a checkpoint, checked against torch in ONNX Runtime.

    Raises:
        UsageError, ModelError: see :func:`load_published`; also an impossible size.
        OutputError: the target cannot be written.
    """
    options = options or CheckpointOptions()
    name, network = load_published(source, options.network, options.trust)
    published = IMPORTABLE[name]
    metadata = _metadata(source, name, published, options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's advice is for who writes the networks
        traced = trace_pose(network, metadata)
    kept = choose(traced.model, traced.feeds, options.regroup)
    metadata.card["regroup"] = kept.reason
    write_graph(kept.model, target, metadata, traced.feeds, traced.expected, options.precision)
    return Imported(metadata, name, sum(p.numel() for p in network.parameters()), kept.reason)


def load_published(source: Path, network: str | None = None, trust: bool = False) -> tuple[str, PoseNetwork]:
    """The network of a checkpoint and its name in the registry, loaded strictly.

    Args:
        source: the checkpoint.
        network: its name; None = the one whose keys and shapes fit.
        trust: see :func:`read_weights`.

    Raises:
        UsageError: an unknown network, or several fit.
        ModelError: as :func:`read_weights`, or the weights are not the network's: the first key of each fault is named.
    """
    if network not in (None, *IMPORTABLE):
        raise UsageError(f"network '{network}' cannot be imported; there are {', '.join(IMPORTABLE)}")
    weights = read_weights(source, trust)
    name = network or _guess(weights, source)
    weights = _renamed(weights, IMPORTABLE[name])
    fault = _fault(weights, IMPORTABLE[name])
    if fault:
        raise ModelError(f"{source.name} is no {name}: {fault}; give another checkpoint, or leave --network out")
    if not all(bool(torch.isfinite(w).all()) for w in weights.values()):
        raise ModelError(f"{source.name} holds weights that are not finite; take another checkpoint of the training")
    made = build(IMPORTABLE[name].arch)
    made.load_state_dict(weights, strict=True)
    return name, made


def _renamed(weights: Mapping[str, Tensor], published: Importable) -> dict[str, Tensor]:
    """Weights under today's keys."""
    made = dict(weights)
    for old, new in published.renamed:
        made = {new + k.removeprefix(old) if k.startswith(old) else k: v for k, v in made.items()}
    return made


def _guess(weights: Mapping[str, Tensor], source: Path) -> str:
    """The network whose keys and shapes these are; raises an error that says what is nearest where there is none."""
    faults = {name: _faults(_renamed(weights, p), p) for name, p in IMPORTABLE.items()}
    fitting = [name for name, found in faults.items() if not found.all]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(f"{source.name} fits {' and '.join(fitting)}; say which with --network")
    nearest = min(faults, key=lambda name: len(faults[name].all))
    fault = _fault(_renamed(weights, IMPORTABLE[nearest]), IMPORTABLE[nearest])
    raise ModelError(f"{source.name} is none of {', '.join(IMPORTABLE)}; the nearest is {nearest}, but {fault}")


@dataclass(frozen=True)
class _Faults:
    """Keys that differ from a network's, in the order of the network or the file."""

    shapes: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return self.shapes + self.missing + self.unexpected


def _faults(weights: Mapping[str, Tensor], published: Importable) -> _Faults:
    wanted = _shapes(published)
    return _Faults(
        shapes=tuple(k for k, shape in wanted.items() if k in weights and tuple(weights[k].shape) != shape),
        missing=tuple(k for k in wanted if k not in weights),
        unexpected=tuple(k for k in weights if k not in wanted),
    )


def _shapes(published: Importable) -> dict[str, Shape]:
    return {k: tuple(v.shape) for k, v in skeleton(published.arch).state_dict().items()}


def _fault(weights: Mapping[str, Tensor], published: Importable) -> str:
    """What keeps weights from being a network's, the first key of each kind; "" where nothing does."""
    faults, wanted = _faults(weights, published), _shapes(published)
    same_but_joints = all(_of_joints(weights[k], wanted[k], published) for k in faults.shapes)
    if faults.shapes and faults.all == faults.shapes and same_but_joints:
        found, known = int(weights[faults.shapes[0]].shape[0]), published.arch.joints
        return f"its last layer is for {found} joints where {known} can be imported ({published.skeleton.name})"
    texts = [
        f"{kind} '{keys[0]}'{detail}{f' and {len(keys) - 1} more' if len(keys) > 1 else ''}"
        for kind, keys, detail in (
            ("missing", faults.missing, ""),
            ("unexpected", faults.unexpected, ""),
            ("wrong shape", faults.shapes, _both(weights, wanted, faults.shapes)),
        )
        if keys
    ]
    return ", ".join(texts)


def _of_joints(tensor: Tensor, wanted: Shape, published: Importable) -> bool:
    """Whether a tensor differs only in its number of joints."""
    return wanted[:1] == (published.arch.joints,) and tuple(tensor.shape[1:]) == wanted[1:]


def _both(weights: Mapping[str, Tensor], wanted: Mapping[str, Shape], keys: tuple[str, ...]) -> str:
    return f" {list(weights[keys[0]].shape)} for {list(wanted[keys[0]])}" if keys else ""


def _metadata(source: Path, name: str, published: Importable, options: CheckpointOptions) -> GraphMetadata:
    width, height = options.size or published.size
    if width % 32 or height % 32:
        raise UsageError(f"--size {width}x{height}: this network takes multiples of 32")
    codec = Codec(
        options.convention or "msra",
        published.sigma if options.sigma is None else options.sigma,
        stride=4,
        blur=11 if options.blur is None else options.blur,
    )
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return GraphMetadata(
        task="pose-spatial",
        network=options.name or name,
        input=InputSpec(width, height, colour=options.colour or published.colour, mean=_triple(MEAN), std=_triple(STD)),
        architecture=published.arch.to_json(),
        skeleton=published.skeleton.name,
        codec=codec,
        flip=published.skeleton.flip,
        licence=options.licence,
        card={"imported_from": source.name, "checkpoint_sha256": digest, "published": name, "decoding": published.decoding},
    )


def _triple(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(v) for v in values)
    return first, second, third
