"""Exact simplifications of networks that are exported: what ONNX Runtime would not see by itself, or carry along.

Nothing here changes a value. Graphs that come out hold neither nodes without effect nor weights without use.
"""

from __future__ import annotations

import onnx
import torch
from torch import Tensor, nn

from vipose.models.networks.cells import FactorizedReduce

__all__ = ["merge_reductions", "tidy"]


def merge_reductions(network: nn.Module) -> None:
    """Replace every :class:`FactorizedReduce` in a network, in evaluation mode and in place, by one 2x2 convolution.

    Its two strided 1x1 convolutions see pixels (0, 0) and (1, 1) of every 2x2: together they are one convolution of stride
    2 whose other weights are zero. As written, ONNX Runtime leaves its blocked layout twice for the slice between them, and
    the batch norm after their concatenation cannot be folded into either.
    """
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, FactorizedReduce):
                setattr(parent, name, nn.Sequential(nn.ReLU(), _merged(child), child.bn))


def _merged(reduce: FactorizedReduce) -> nn.Conv2d:
    first, second = reduce.conv1.weight.data, reduce.conv2.weight.data
    made = nn.Conv2d(first.shape[1], len(first) + len(second), 2, 2, bias=False)
    weight: Tensor = torch.zeros_like(made.weight.data)
    weight[: len(first), :, 0, 0] = first[:, :, 0, 0]
    weight[len(first) :, :, 1, 1] = second[:, :, 0, 0]
    made.weight.data = weight
    return made


def tidy(model: onnx.ModelProto) -> None:
    """Remove nodes without effect (identities, a ReLU of a ReLU), those that nothing reads, and unused initialisers."""
    outputs = {value.name for value in model.graph.output}
    makers = {name: node for node in model.graph.node for name in node.output}
    alias: dict[str, str] = {}
    for node in model.graph.node:
        node.input[:] = [alias.get(name, name) for name in node.input]
        maker = makers.get(node.input[0]) if node.input else None
        again = node.op_type == "Relu" and maker is not None and maker.op_type == "Relu"
        if (node.op_type == "Identity" or again) and node.output[0] not in outputs:
            alias[node.output[0]] = node.input[0]
    kept, read = [], set(outputs)
    for node in reversed(model.graph.node):
        if read & set(node.output):
            kept.append(node)
            read |= set(node.input)
    stored = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(reversed(kept))
    model.graph.initializer.extend(stored)
