"""Networks: the fused family, and what all families share, against their promises."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from vipose.models.networks.architecture import Fusion
from vipose.models.networks.base import scaled_softmax
from vipose.models.networks.fused import FusedArch, FusedPoseNet


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
@pytest.mark.parametrize("operator", ["add", "mul", "cat"])
def test_fusion_keeps_shapes_and_reads_the_heatmaps(stage: int, operator: str) -> None:
    torch.manual_seed(0)
    arch = FusedArch(stem=8, widths=(8, 16, 16, 16), depths=(0, 1, 0, 0), head=16, fusion=Fusion(stage, operator))  # type: ignore[arg-type]
    network = FusedPoseNet(arch).eval()
    image, prior = torch.randn(2, 3, 64, 64), torch.rand(2, 17, 16, 16)
    one, other = network(image, prior), network(image, torch.zeros_like(prior))
    assert one.shape == (2, 17, 16, 16)
    assert not torch.allclose(one, other)
    with pytest.raises(ValueError, match="heatmaps of the last frame"):
        network(image)


def test_architecture_survives_json_and_refuses_other_families() -> None:
    arch = FusedArch(fusion=Fusion(2, "mul"))
    assert FusedArch.from_json(json.loads(json.dumps(arch.to_json()))) == arch
    with pytest.raises(ValueError, match="family"):
        FusedArch.from_json({"family": "other"})
    with pytest.raises(ValueError, match="fusion"):
        Fusion(5, "add")


def test_scaled_softmax_peaks_at_one_for_a_gaussian_of_its_sigma() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    logits = -((x - 20) ** 2 + (y - 30) ** 2) / (2 * 2.0**2)
    heatmap = scaled_softmax(logits[None, None], 2.0)[0, 0]
    assert abs(float(heatmap.max()) - 1) < 1e-3
    assert int(heatmap.argmax()) == 30 * 48 + 20
