"""What a network costs on paper: parameters and multiply-accumulates, counted on tensors that have only shapes.

A network is built and run on the meta device, where tensors have shapes and no data. Every convolution, transposed
convolution and linear layer is counted where it is called, so nothing that runs is missed and nothing that does not run
is counted. Convolutions are also answered there, with an empty tensor of the right shape: PyTorch's own rules for
shapes are slow, and a network has hundreds of layers. What is left is mostly the time of building the modules.

Biases, norms, activations, pooling and products of activations (attention) are not multiply-accumulates here, as in the
papers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.registry import build

__all__ = ["Cost", "cost", "count"]


@dataclass(frozen=True)
class Cost:
    """What one crop costs.

    Attributes:
        parameters: learnt numbers, those of batch norms included (running statistics are not parameters).
        macs: multiply-accumulates as they must be done; a transposed convolution visits each input position once.
        paper_gflops: as the HRNet repository's tool and the papers count: weight elements times output positions, over
            2^30. A transposed convolution of stride 2 counts four times there.
    """

    parameters: int
    macs: int
    paper_gflops: float


@lru_cache(maxsize=1 << 16)
def cost(arch: Architecture, size: tuple[int, int] = (192, 256)) -> Cost:
    """Cost of a description; cached.

    Args:
        arch: of any family; ``arch.fusion`` counts too.
        size: width, height of the crop in pixels, multiples of 32.

    Raises:
        ValueError: a side that is no positive multiple of 32.
    """
    width, height = size
    if min(size) < 32 or width % 32 or height % 32:
        raise ValueError(f"crop of {width}x{height}: sides must be multiples of 32")
    inputs = [(1, 3, height, width)]
    if arch.fusion is not None:
        inputs.append((1, arch.joints, height // 4, width // 4))
    return count(lambda: build(arch), *inputs)


def count(make: Callable[[], nn.Module], *shapes: tuple[int, ...]) -> Cost:
    """Cost of any network.

    Args:
        make: builds it; called on the meta device.
        shapes: of the tensors that its ``forward`` takes; with a batch of one the result is per crop.
    """
    counter = _Counter()
    with torch.device("meta"), torch.no_grad(), counter:
        network = make().eval()
        network(*(torch.empty(shape) for shape in shapes))
    parameters = sum(math.prod(parameter.shape) for parameter in network.parameters())
    return Cost(parameters, counter.macs, counter.on_outputs / 2**30)


class _Counter(TorchFunctionMode):
    """Counts the layers that are called, answers them by shape, and skips initialisation, which has nothing to fill."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = self.on_outputs = 0
        self._layers: dict[Callable[..., Any], Callable[..., Any]] = {
            torch.conv2d: self._convolution,
            nn.functional.conv_transpose2d: self._transposed,
            nn.functional.linear: self._linear,
        }

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in _SAME_SHAPE:
            return args[0] if args else next(iter(named.values()))
        if func in _ELEMENTWISE and len(args) == 2 and _broadcasts(args[1], args[0]):
            return args[0]
        return self._layers.get(func, func)(*args, **named)

    def _convolution(
        self, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1,
    ) -> Tensor:  # fmt: skip
        kernel, steps, pads, spread = weight.shape[2:], _pair(stride), _pair(padding), _pair(dilation)
        sides = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(input.shape[2:], kernel, steps, pads, spread, strict=True)
        ]
        self._add(weight, math.prod(sides), math.prod(sides), input.shape[0])
        return input.new_empty((input.shape[0], weight.shape[0], *sides))

    def _transposed(
        self, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
    ) -> Tensor:  # fmt: skip
        kernel, steps, pads, spread, extra = (
            weight.shape[2:], _pair(stride), _pair(padding), _pair(dilation), _pair(output_padding)
        )  # fmt: skip
        sides = [
            (n - 1) * s - 2 * p + d * (k - 1) + e + 1
            for n, k, s, p, d, e in zip(input.shape[2:], kernel, steps, pads, spread, extra, strict=True)
        ]
        self._add(weight, math.prod(input.shape[2:]), math.prod(sides), input.shape[0])
        return input.new_empty((input.shape[0], weight.shape[1] * groups, *sides))

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        rows = math.prod(input.shape[:-1])
        self._add(weight, rows, rows, 1)
        return input.new_empty((*input.shape[:-1], weight.shape[0]))

    def _add(self, weight: Tensor, visits: int, outputs: int, batch: int) -> None:
        elements = math.prod(weight.shape) * batch
        self.macs += elements * visits
        self.on_outputs += elements * outputs


def _broadcasts(second: Any, first: Any) -> bool:
    """Whether combining the two, element by element, gives the shape of the first."""
    if not isinstance(first, Tensor) or not isinstance(second, Tensor):
        return isinstance(first, Tensor)
    sides = zip(reversed(first.shape), reversed(second.shape), strict=False)
    return second.ndim <= first.ndim and all(m in (1, n) for n, m in sides)


def _pair(value: Any) -> tuple[int, int]:
    """Stride, padding or dilation as two numbers; raises NotImplementedError for padding by name."""
    if isinstance(value, str):
        raise NotImplementedError(f"padding {value!r} cannot be counted; give it in pixels")
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


_SAME_SHAPE = frozenset(
    {
        *(getattr(nn.init, name) for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")),
        *(getattr(Tensor, name) for name in ("clamp", "copy_", "fill_", "mul_", "normal_", "uniform_", "zero_")),
        *(getattr(nn.functional, name) for name in ("batch_norm", "hardswish", "layer_norm", "relu", "relu6")),
        torch.relu,
        torch.sigmoid,
    }
)
"""Functions that keep the shape of their first argument: they need not run."""
_ELEMENTWISE = frozenset({getattr(Tensor, name) for name in ("add", "div", "mul", "sub")})
"""Arithmetic (``+ / * -``), which need not run where the first argument has the shape of the result."""
