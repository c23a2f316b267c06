"""Depthwise convolutions whose backward pass is fast on a CPU.

oneDNN, which computes PyTorch's convolutions there, has fast kernels for depthwise ones, with two gaps (seen in version 3.12
by ``ONEDNN_VERBOSE=1``; they cost 80 % of a training step of EfficientPose):

- The gradient of weights has a fast kernel only up to a width of 3, whatever the height. Wider ones run as if every group
  had 16 channels. So a 5x5 or 7x7 gradient is computed here in strips of width 3: two or three calls, each on the columns
  that it needs, and the same sums: 2 to 20 times as fast, in fp32 and bf16, with AVX2, AVX-512 and its bf16.
- The gradient of the input is slow in bf16 where the stride is above 1: 24 ms instead of 0.3. It is computed in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["FastDepthwise", "depthwise"]

STRIP = 3
"""Widest kernel whose gradient oneDNN computes fast."""


class FastDepthwise(TorchFunctionMode):
    """Computes the depthwise convolutions of CPU networks by :func:`depthwise` where gradients are wanted.

    It looks at the convolutions that really run, so networks need no change, and sub-networks of a super-network, whose
    weights are views that exist for one call, are covered too.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.conv2d and len(args) == 7 and torch.is_grad_enabled():
            image, weight, bias, stride, padding, dilation, groups = args
            if image.device.type == "cpu" and _gains(weight, stride, padding, dilation, groups):
                out = depthwise(image, weight, stride[0], padding[0])
                return out if bias is None else out + bias.to(out.dtype)[:, None, None]
        return func(*args, **(kwargs or {}))


def _gains(weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    """Whether it is a square depthwise convolution with "same" padding, and one that oneDNN is slow at."""
    kernel = weight.shape[-1]
    square = weight.shape[-2] == kernel and kernel % 2 == 1 and stride[0] == stride[1]
    known = square and tuple(padding) == (kernel // 2,) * 2 and tuple(dilation) == (1, 1)
    return known and groups == weight.shape[0] > 1 and weight.shape[1] == 1 and (kernel > STRIP or stride[0] > 1)


def depthwise(image: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """A depthwise convolution without bias; in the type of a CPU autocast if there is one, as ``torch.conv2d`` would.

    Args:
        image: [N, C, H, W].
        weight: [C, 1, k, k], k odd.
        stride, padding: of both axes.
    """
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        image, weight = image.to(dtype), weight.to(dtype)
    out: Tensor = _Depthwise.apply(image, weight, stride, padding)  # type: ignore[no-untyped-call]
    return out


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(image, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        image, weight = ctx.saved_tensors
        of_image = _of_image(gradient, image, weight, ctx.stride, ctx.padding) if ctx.needs_input_grad[0] else None
        of_weight = _of_weight(gradient, image, weight, ctx.stride, ctx.padding) if ctx.needs_input_grad[1] else None
        return of_image, of_weight, None, None


def _of_image(gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    if stride == 1 or image.dtype == torch.float32:
        return _backward(gradient, image, weight, stride, (padding, padding), 0)
    shape = torch.empty_like(image, dtype=torch.float32)  # its values do not matter
    return _backward(gradient.float(), shape, weight.float(), stride, (padding, padding), 0).to(image.dtype)


def _of_weight(gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    kernel, (height, width), (rows, columns) = weight.shape[-1], image.shape[-2:], gradient.shape[-2:]
    if kernel <= STRIP:
        return _backward(gradient, image, weight, stride, (padding, padding), 1)
    # With strides, oneDNN's fast kernel does not take tall kernels together with padding.
    above = 0 if stride == 1 else padding
    below = 0 if stride == 1 else (rows - 1) * stride + kernel - height - padding
    made = torch.empty_like(weight)
    for first in [*range(0, kernel - STRIP, STRIP - 1), kernel - STRIP]:
        left = padding - first
        right = (columns - 1) * stride + STRIP - width - left
        seen = functional.pad(image, (left, right, above, below))  # negative: cut off
        strip = (..., slice(first, first + STRIP))
        made[strip] = _backward(gradient, seen, weight[strip], stride, (padding - above, 0), 1)
    return made


def _backward(
    gradient: Tensor, image: Tensor, weight: Tensor, stride: int, padding: tuple[int, int], wanted: int
) -> Tensor:
    """The gradient of the image (0) or of the weight (1)."""
    mask = [wanted == 0, wanted == 1, False]
    found: Sequence[Tensor] = torch.ops.aten.convolution_backward(
        gradient, image, weight.contiguous(), None, [stride] * 2, list(padding), [1, 1], False, [0, 0], len(weight), mask
    )
    return found[wanted]
