"""Depthwise convolutions by their fast backward pass: the same numbers as PyTorch's, and only where there is a gain."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn

from vipose.models.training import depthwise as module
from vipose.models.training.depthwise import FastDepthwise, depthwise
from vipose.models.training.device import CPU


def gradients(out: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    seed = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(out.dtype)
    return torch.autograd.grad(out, of, seed)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Kernels of the convolutions that were computed here."""
    seen: list[int] = []
    real = module.depthwise

    def counted(image: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        seen.append(weight.shape[-1])
        return real(image, weight, *rest)

    monkeypatch.setattr(module, "depthwise", counted)
    return seen


@pytest.mark.parametrize("kernel", [3, 5, 7, 9])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(12, 8), (11, 7), (8, 6)])
@pytest.mark.parametrize("last", [True, False])
def test_gradients_are_those_of_pytorch(kernel: int, stride: int, size: tuple[int, int], last: bool) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(3, 8, *size), torch.randn(8, 1, kernel, kernel, requires_grad=True)
    x = (x.contiguous(memory_format=torch.channels_last) if last else x).requires_grad_()
    mine, theirs = depthwise(x, weight, stride, kernel // 2), torch.conv2d(x, weight, None, stride, kernel // 2, 1, 8)
    assert torch.equal(mine, theirs)
    for one, other in zip(gradients(mine, x, weight), gradients(theirs, x, weight), strict=True):
        assert one.shape == other.shape and torch.allclose(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 1), (7, 2)])
def test_bf16_is_as_near_as_bf16_can_be(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, kernel, stride, kernel // 2, groups=8)
    x = torch.randn(3, 8, 16, 12, requires_grad=True)
    with CPU.autocast():
        out = layer(x)
    assert out.dtype == torch.bfloat16
    exact = layer(x)
    assert torch.allclose(out.float(), exact, atol=3e-2, rtol=3e-2)
    wanted = x, layer.weight, layer.bias
    for one, other in zip(gradients(out, *wanted), gradients(exact, *wanted), strict=True):
        assert one.dtype == torch.float32 and float((one - other).norm() / other.norm()) < 2e-2


@pytest.mark.parametrize(
    ("layer", "gains"),
    [
        (nn.Conv2d(8, 8, 5, padding=2, groups=8), True),
        (nn.Conv2d(8, 8, 3, 2, 1, groups=8), True),
        (nn.Conv2d(8, 8, 3, 1, 1, groups=8), False),
        (nn.Conv2d(8, 8, 5, padding=2), False),
        (nn.Conv2d(8, 8, 5, padding=2, groups=4), False),
        (nn.Conv2d(8, 16, 5, padding=2, groups=8), False),
        (nn.Conv2d(8, 8, 5, padding=4, dilation=2, groups=8), False),
        (nn.Conv2d(8, 8, 5, padding=0, groups=8), False),
        (nn.Conv2d(8, 8, (5, 3), padding=(2, 1), groups=8), False),
        (nn.Conv2d(1, 1, 5, padding=2), False),
    ],
)
def test_only_what_is_slow_is_taken_over(layer: nn.Conv2d, gains: bool, taken: list[int]) -> None:
    x = torch.randn(2, layer.in_channels, 12, 12)
    with FastDepthwise():
        out = layer(x)
    assert bool(taken) == gains and torch.allclose(out, layer(x), atol=1e-6)
    taken.clear()
    with FastDepthwise(), torch.no_grad():
        layer(x)
    assert not taken


def test_networks_that_run_by_functional_call_are_covered(taken: list[int]) -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False))
    state = {k: v.detach().clone().requires_grad_() for k, v in network.state_dict().items()}
    with CPU.autocast():
        out = torch.func.functional_call(network, state, (torch.randn(1, 4, 8, 8),))
    assert taken == [5]
    out.float().sum().backward()
    assert state["1.weight"].grad is not None


def test_frozen_weights_and_images_without_gradient_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = module._backward
    monkeypatch.setattr(module, "_backward", lambda *args: asked.append(args[-1]) or real(*args))
    layer = nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False)
    with FastDepthwise():
        layer(torch.randn(1, 4, 8, 8)).sum().backward()
    assert asked == [1, 1]  # two strips of the weight, no image
    layer.requires_grad_(False)
    asked.clear()
    with FastDepthwise():
        layer(torch.randn(1, 4, 8, 8, requires_grad=True)).sum().backward()
    assert asked == [0]
