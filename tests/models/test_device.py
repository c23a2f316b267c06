"""Devices and precision: what is chosen, what is refused, how memory is kept."""

from __future__ import annotations

import argparse
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from vipose.models.data.teacher import MEAN, STD
from vipose.models.training.device import CPU, Compute, add_device, choose, keep_memory, normalise
from vipose.runtime.errors import DeviceError


def test_pictures_are_normalised_to_the_last_bit_in_channels_last_memory() -> None:
    batch = np.random.default_rng(0).integers(0, 256, (3, 16, 12, 3), np.uint8)
    out = CPU.images(torch.from_numpy(batch))
    assert np.array_equal(out.permute(0, 2, 3, 1).numpy(), (batch.astype(np.float32) - MEAN) / STD)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_normalising_leaves_the_batch_alone() -> None:
    batch = torch.full((1, 4, 4, 3), 7, dtype=torch.uint8)
    normalise(batch)
    assert (batch == 7).all()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cuda:9", "'cuda:9' is not there"),
        ("tpu", "'tpu' is no device"),
        ("cpu:0", "is no device"),
        ("cuda:x", "is no device"),
    ],
)
def test_a_device_that_is_not_there_is_one_clear_line(name: str, said: str) -> None:
    with pytest.raises(DeviceError, match=said) as raised:
        choose(name)
    assert "\n" not in str(raised.value)


def test_fp32_can_be_had_everywhere_and_bf16_only_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not choose("cpu", "fp32").bf16
    monkeypatch.setattr("vipose.models.training.device._has_bf16", lambda device: False)
    assert not choose("cpu").bf16
    with pytest.raises(DeviceError, match="--precision fp32"):
        choose("cpu", "bf16")
    monkeypatch.setattr("vipose.models.training.device._has_bf16", lambda device: True)
    assert choose("cpu").bf16 and choose("cpu", "bf16").bf16


def test_auto_is_the_cuda_device_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert choose("auto", local_rank=1) == Compute(torch.device("cuda:1"), bf16=True)
    assert choose("cuda").device == torch.device("cuda:0") and choose("cuda:1").pin_memory
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not choose("auto").bf16
    with pytest.raises(DeviceError, match="2 CUDA devices|built without CUDA"):
        choose("cuda:2")


def test_options_have_defaults_that_work_anywhere() -> None:
    parser = argparse.ArgumentParser()
    add_device(parser)
    args = parser.parse_args([])
    assert choose(args.device, args.precision).device.type in ("cpu", "cuda")


def test_bf16_is_for_the_forward_pass() -> None:
    convolution = nn.Conv2d(4, 8, 3)
    x = torch.randn(2, 4, 16, 16)
    with CPU.autocast():
        assert convolution(x).dtype == torch.bfloat16
    with Compute(torch.device("cpu"), bf16=False).autocast():
        assert torch.equal(convolution(x), convolution(x)) and convolution(x).dtype == torch.float32


def test_kernels_are_channels_last() -> None:
    network = CPU.network(nn.Conv2d(4, 8, 3))
    assert network.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a switch of glibc")
def test_kept_memory_is_not_fetched_again_at_every_step() -> None:
    code = (
        "import resource, torch\nfrom vipose.models.training.device import keep_memory\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(5): torch.ones(8_000_000) + 1\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "torch.set_num_threads(1); first = faults(); kept = keep_memory(); faults(); print(kept, first, faults())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, first, later = done.stdout.split()
    if not keep_memory():
        pytest.skip("no glibc here")
    assert kept == "True" and int(later) < int(first) / 5
