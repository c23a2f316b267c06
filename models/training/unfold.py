"""A network out of an exported graph: its weights found again, and the batch norms that an export folds into convolutions.

Every such norm comes back with the mean and variance of its convolution on given pictures, and with the scale and shift that undo them: the
network computes what the graph does, and a training begins with statistics that are true. Weights are as exact as the graph stores them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from vipose.models.data.teacher import STD
from vipose.runtime.errors import ModelError
from vipose.runtime.metadata import GraphMetadata

__all__ = ["ExportedGraph", "fill", "measure"]

Array = npt.NDArray[Any]
_COPIES = ("Cast", "Identity")
"""What stands between a layer and its weights: those stored as fp16 go through a Cast, equal ones are stored once."""
_LAYERS = ("Conv", "ConvTranspose", "BatchNormalization", "LayerNormalization")


@dataclass(frozen=True)
class ExportedGraph:
    """A graph in floating point.

    Attributes:
        path: of the file.
        model: its nodes and weights.
        metadata: its own.
    """

    path: Path
    model: onnx.ModelProto
    metadata: GraphMetadata

    def differs(self) -> ModelError:
        """The error for a graph that is not what its architecture is exported to."""
        return ModelError(
            f"'{self.path}' is not what 'vipose export' makes of its architecture today; give a graph that this version exported"
        )


def fill(network: nn.Module, trace: Callable[[], onnx.ModelProto], graph: ExportedGraph, *, prefix: str) -> None:
    """Put a graph's weights into a network; batch norms that were folded do nothing then but add the bias.

    The same network is exported once more with numbers for weights, every convolution and every bias painted with one of its own.
    Where a number turns up in that graph, the true graph holds its weights. What was not folded has kept its name. What only a training
    uses, such as the heatmaps of PoseNAS's first decoder, is in no graph and stays as it was built.

    Args:
        network: of the graph's architecture, without gradients.
        trace: exports ``network`` as the graph was exported, in fp32.
        graph: the true one.
        prefix: of the network's parameters in the graph.

    Raises:
        ModelError: the graph is not what exporting its architecture gives today.
    """
    state = dict(network.state_dict(keep_vars=True))
    built = {key: value.detach().clone() for key, value in state.items()}
    for norm in _norms(network):
        norm.weight.fill_(1.0)
        norm.running_mean.zero_()  # type: ignore[union-attr]
        norm.running_var.fill_(1.0 - norm.eps)  # type: ignore[union-attr]
    painted = {number: key for number, key in enumerate((k for k in state if _is_painted(k, network)), start=1)}
    for number, key in painted.items():
        state[key].fill_(float(number))
    pattern = trace()
    found: set[str] = set()
    for name, marks, values in _pairs(pattern, graph):
        key = name.removeprefix(prefix)
        if key in state:
            state[key].copy_(torch.from_numpy(values.copy()))
            found.add(key)
            continue
        if not np.array_equal(marks, np.rint(marks)) and marks.ndim == 4:  # the first one: 1 / std is folded into it
            std = STD.reshape(1, 3, 1, 1)
            marks, values = marks * std, values * std
        numbers = np.rint(marks).astype(int)
        for number in np.unique(numbers[numbers > 0]):
            target = state.get(painted.get(int(number), ""))
            part = values[numbers == number]
            if target is None or part.size != target.numel():
                raise graph.differs()
            target.copy_(torch.from_numpy(part.reshape(target.shape)))
            found.add(painted[int(number)])
    for key in set(painted.values()) - found:
        state[key].copy_(built[key])


def measure(network: nn.Module, batches: Sequence[tuple[Tensor | None, ...]]) -> None:
    """Give batch norms the statistics of what they see, and the scale and shift with which no output changes.

    Args:
        network: in evaluation mode, without gradients.
        batches: what it is called with, time after time.
    """
    sums = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in _norms(network)}

    def add(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen = inputs[0].double()
        total = torch.stack([seen.sum((0, 2, 3)), (seen**2).sum((0, 2, 3)), torch.full((seen.shape[1],), seen[:, 0].numel())])
        sums[norm] += total  # type: ignore[index]

    hooks = [norm.register_forward_pre_hook(add) for norm in sums]
    with torch.inference_mode():
        for inputs in batches:
            network(*inputs)
    for hook in hooks:
        hook.remove()
    for norm, (total, squares, count) in sums.items():
        if not count.any():  # only a training uses it
            continue
        mean = total / count
        variance = (squares / count - mean**2).clamp_min(0)
        assert norm.running_mean is not None and norm.running_var is not None  # nobody switched them off
        gain = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias.add_(gain * (mean - norm.running_mean))
        norm.weight.copy_(gain * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


def _norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def _is_painted(key: str, network: nn.Module) -> bool:
    """Weights of convolutions, and every bias."""
    name, _, part = key.rpartition(".")
    return part == "bias" or (part == "weight" and not isinstance(network.get_submodule(name), nn.BatchNorm2d))


def _pairs(pattern: onnx.ModelProto, graph: ExportedGraph) -> Iterator[tuple[str, Array, Array]]:
    """Name in the pattern, painted and true values of everything that the layers of two graphs hold, node by node."""
    ours, theirs = _weights(pattern), _weights(graph.model)
    layers = [[node for node in model.graph.node if node.op_type not in _COPIES] for model in (pattern, graph.model)]
    if [node.op_type for node in layers[0]] != [node.op_type for node in layers[1]]:
        raise graph.differs()
    for ours_node, theirs_node in zip(*layers, strict=True):
        if ours_node.op_type not in _LAYERS:
            continue
        if len(ours_node.input) != len(theirs_node.input):
            raise graph.differs()
        names = list(ours_node.input[1:])
        if ours_node.op_type == "BatchNormalization":  # only the bias has a value, and so a name, that no other layer shares
            names = [names[1].removesuffix("bias") + part for part in ("weight", "bias", "running_mean", "running_var")]
        for name, mark, value in zip(names, ours_node.input[1:], theirs_node.input[1:], strict=True):
            if mark not in ours or value not in theirs or ours[mark].shape != theirs[value].shape:
                raise graph.differs()
            yield name, ours[mark], theirs[value]


def _weights(model: onnx.ModelProto) -> dict[str, Array]:
    """Initialisers in fp32 by the name that nodes read."""
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in _COPIES and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]]
    return {name: value.astype(np.float32) for name, value in values.items() if value.dtype.kind == "f"}
