"""``vipose models import FILE.pth``: strict loading, clear refusals, and a graph that gives what torch gives."""

from __future__ import annotations

import collections
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.published import golden_weights
from tests.fixtures.shared import needs_shared

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from vipose.models.convert import regroup
from vipose.models.convert.checkpoint import CheckpointOptions, import_checkpoint, load_published, read_weights
from vipose.models.convert.importable import IMPORTABLE
from vipose.models.data.teacher import MEAN, STD
from vipose.models.networks.named import PUBLISHED_NETWORKS
from vipose.models.networks.registry import build
from vipose.runtime.cli import main
from vipose.runtime.errors import ModelError, UsageError
from vipose.runtime.graphs import PoseGraph
from vipose.runtime.skeleton import SKELETONS

State = dict[str, Any]
VIPNAS = ("s-vipnas-res50", "s-vipnas-mbv3")
EFFICIENTPOSE = {  # the name in the reference facts, and the order of channels
    "efficientpose-a": ("efficientpose-a-coco", "BGR"),
    "efficientpose-b": ("efficientpose-b-coco", "RGB"),
    "efficientpose-c": ("efficientpose-c-coco", "RGB"),
    "efficientpose-a-mpii": ("efficientpose-a-mpii", "BGR"),
    "efficientpose-b-mpii": ("efficientpose-b-mpii", "BGR"),
    "efficientpose-c-mpii": ("efficientpose-c-mpii", "RGB"),
}


@pytest.fixture(scope="module")
def states() -> dict[str, State]:
    torch.manual_seed(0)
    return {name: build(IMPORTABLE[name].arch).state_dict() for name in (*VIPNAS, "efficientpose-a", "efficientpose-a-mpii")}


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def old(state: State) -> State:
    return {k.replace("head.", "keypoint_head.", 1) if k.startswith("head.") else k: v for k, v in state.items()}


def fault(source: Path, **options: Any) -> str:
    """The message of a refusal; nothing may be written."""
    with pytest.raises(ModelError) as caught:
        import_checkpoint(source, source.with_suffix(".onnx"), CheckpointOptions(regroup="never", **options))
    assert not source.with_suffix(".onnx").exists() and "\n" not in str(caught.value)
    return str(caught.value)


@needs_shared
@pytest.mark.parametrize("name", VIPNAS)
def test_from_the_command_line_to_heatmaps(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regroup, "_ROUNDS", 1)
    weights = {k: torch.as_tensor(v) for k, v in golden_weights(name).items()}
    meta = {"sigmas": np.ones(17, np.float32), "epoch": np.int64(3)}  # mmpose 1.x has arrays in its meta data
    source = save(tmp_path / "net.pth", {"meta": meta, "state_dict": old(weights) if name.endswith("mbv3") else weights})
    target = tmp_path / "net.onnx"
    how = "always" if name.endswith("mbv3") else "never"
    assert main(["models", "import", str(source), "-o", str(target), "--regroup", how]) == 0
    out = capsys.readouterr().out
    assert name in out and ("regrouped 20 convolutions" if how == "always" else "not regrouped, as asked") in out
    graph = PoseGraph(target, device="cpu")
    codec = graph.metadata.codec
    assert codec is not None and (codec.convention, codec.sigma, codec.stride, codec.blur) == ("msra", 2.0, 4, 11)
    assert graph.metadata.network == name and graph.size == (192, 256) and graph.metadata.flip is not None
    crop = np.random.default_rng(0).integers(0, 256, (1, 256, 192, 3), dtype=np.uint8)
    network = build(IMPORTABLE[name].arch).eval()
    network.load_state_dict(weights, strict=True)
    with torch.inference_mode():
        expected = network(torch.from_numpy(((crop - MEAN) / STD).transpose(0, 3, 1, 2)).float()).numpy()
    got = graph(crop)
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def test_published_orders_of_channels_are_known() -> None:
    orders = {name: entry.colour for name, entry in IMPORTABLE.items() if name.startswith("efficientpose")}
    assert orders == {name: colour for name, (_, colour) in EFFICIENTPOSE.items()}
    assert all(IMPORTABLE[name].arch == PUBLISHED_NETWORKS[name] for name in EFFICIENTPOSE)


@needs_shared
@pytest.mark.parametrize("name", ["efficientpose-a", "efficientpose-b", "efficientpose-a-mpii", "efficientpose-c-mpii"])
def test_efficientpose_from_the_command_line_to_heatmaps(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts, colour = EFFICIENTPOSE[name]
    mpii = facts.endswith("mpii")
    weights = {k: torch.as_tensor(v) for k, v in golden_weights(facts).items()}
    target = tmp_path / "net.onnx"
    assert main(["models", "import", str(save(tmp_path / "net.pth", weights)), "-o", str(target), "--regroup", "never"]) == 0
    width, skeleton = (256, "mpii16") if mpii else (192, "coco17")
    assert f"{name}, {skeleton}, input {width}x256 {colour}" in capsys.readouterr().out
    graph = PoseGraph(target, device="cpu")
    metadata = graph.metadata
    assert metadata.codec is not None and (metadata.codec.convention, metadata.codec.sigma, metadata.codec.stride) == ("msra", 2.0, 4)
    assert (metadata.network, metadata.skeleton, metadata.input.colour, graph.size) == (name, skeleton, colour, (width, 256))
    assert metadata.flip == SKELETONS[skeleton].flip and metadata.card["decoding"] == "quarter"
    crop = np.random.default_rng(0).integers(0, 256, (1, 256, width, 3), dtype=np.uint8)  # RGB, as the application has it
    seen = crop[..., ::-1] if colour == "BGR" else crop
    network = build(IMPORTABLE[name].arch).eval()
    network.load_state_dict(weights, strict=True)
    with torch.inference_mode():
        expected = network(torch.from_numpy(((seen - MEAN) / STD).transpose(0, 3, 1, 2)).float()).numpy()
    got = graph(crop)
    assert got.shape == (1, 16 if mpii else 17, 64, width // 4)
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


POSENAS = {  # size, sigma and skeleton
    "posenas-l18-c48": ((192, 256), 2.0, "coco17"),
    "posenas-l18-c48-384x288": ((288, 384), 3.0, "coco17"),
    "posenas-l18-c48-mpii": ((256, 256), 2.0, "mpii16"),
    "posenas-l18-c64": ((192, 256), 2.0, "coco17"),
    "posenas-l18-c64-384x288": ((288, 384), 3.0, "coco17"),
    "posenas-l18-c64-mpii": ((256, 256), 2.0, "mpii16"),
}


def test_what_running_posenas_needs_is_known() -> None:
    entries = {name: entry for name, entry in IMPORTABLE.items() if name.startswith("posenas")}
    assert {n: (e.size, e.sigma, e.skeleton.name) for n, e in entries.items()} == POSENAS
    for name, entry in entries.items():
        assert entry.colour == "RGB" and entry.arch == PUBLISHED_NETWORKS[name.removesuffix("-384x288")]
        assert entry.arch.joints == len(entry.skeleton)


@needs_shared
def test_posenas_from_the_command_line_to_heatmaps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = {k: torch.as_tensor(v) for k, v in golden_weights("posenas-l18-c48").items()}
    source, target = save(tmp_path / "net.pth", {f"module.{k}": v for k, v in weights.items()}), tmp_path / "net.onnx"
    words = ["models", "import", str(source), "-o", str(target), "--regroup", "never"]
    assert main(words) == 2, "a checkpoint does not tell the size that it was trained at"
    assert "fits posenas-l18-c48 and posenas-l18-c48-384x288; say which with --network" in capsys.readouterr().err
    assert main([*words, "--network", "posenas-l18-c48-384x288", "--size", "96x128"]) == 0  # large crops take long
    graph = PoseGraph(target, device="cpu")
    codec = graph.metadata.codec
    assert codec is not None and (codec.convention, codec.sigma, codec.stride) == ("msra", 3.0, 4)
    assert (graph.metadata.skeleton, graph.metadata.input.colour, graph.size) == ("coco17", "RGB", (96, 128))
    crop = np.random.default_rng(0).integers(0, 256, (1, 128, 96, 3), dtype=np.uint8)
    network = build(IMPORTABLE["posenas-l18-c48"].arch).eval()
    network.load_state_dict(weights, strict=True)
    with torch.inference_mode():
        expected = network(torch.from_numpy(((crop - MEAN) / STD).transpose(0, 3, 1, 2)).float()).numpy()
    assert np.abs(graph(crop) - expected).max() < 1e-4 * np.abs(expected).max()


def test_posenas_of_mpii_is_told_by_its_joints(tmp_path: Path) -> None:
    source = save(tmp_path / "net.pth", build(IMPORTABLE["posenas-l18-c48-mpii"].arch).state_dict())
    assert load_published(source)[0] == "posenas-l18-c48-mpii"


def test_the_order_of_channels_can_be_given(tmp_path: Path, states: dict[str, State]) -> None:
    source, target = save(tmp_path / "net.pth", states["efficientpose-a-mpii"]), tmp_path / "net.onnx"
    words = ["--size", "64x64", "--regroup", "never", "--colour", "RGB"]
    assert main(["models", "import", str(source), "-o", str(target), *words]) == 0
    assert PoseGraph(target, device="cpu").metadata.input.colour == "RGB"


def test_checkpoints_of_coco_and_mpii_are_told_apart(tmp_path: Path, states: dict[str, State]) -> None:
    for name in ("efficientpose-a", "efficientpose-a-mpii"):
        assert load_published(save(tmp_path / "net.pth", states[name]))[0] == name
    with pytest.raises(ModelError, match="for 16 joints where 17 can be imported"):
        load_published(tmp_path / "net.pth", "efficientpose-a")


@pytest.mark.parametrize("wrap", ["bare", "state_dict", "old", "module"])
def test_every_kind_of_file_gives_the_same_weights(wrap: str, tmp_path: Path, states: dict[str, State]) -> None:
    state = states["s-vipnas-res50"]
    content: Any = {
        "bare": state,
        "state_dict": {"state_dict": collections.OrderedDict(state), "optimizer": {"lr": 0.1}},
        "old": {"state_dict": old(state)},
        "module": {"state_dict": {f"module.{k}": v for k, v in old(state).items()}},
    }[wrap]
    read = read_weights(save(tmp_path / "net.pth", content))
    assert sorted(read) == sorted(old(state) if wrap in ("old", "module") else state)
    name, network = load_published(tmp_path / "net.pth")
    assert name == "s-vipnas-res50" and all(torch.equal(v, state[k]) for k, v in network.state_dict().items())


def test_mismatching_keys_are_named(tmp_path: Path, states: dict[str, State]) -> None:
    mobile = save(tmp_path / "mobile.pth", states["s-vipnas-mbv3"])
    text = fault(mobile, network="s-vipnas-res50")
    assert "missing 'backbone.conv1.weight' and 501 more" in text
    assert "unexpected 'backbone.conv1.conv.weight' and 445 more" in text
    assert "wrong shape 'head.deconv_layers.0.weight' [160, 1, 4, 4] for [608, 9, 4, 4]" in text
    state = dict(states["s-vipnas-mbv3"])
    del state["backbone.layer7.linear_conv.bn.bias"]
    text = fault(save(tmp_path / "less.pth", state))
    assert "nearest is s-vipnas-mbv3, but missing 'backbone.layer7.linear_conv.bn.bias'" in text and "more" not in text


def test_other_joints_are_refused(tmp_path: Path, states: dict[str, State]) -> None:
    state = dict(states["s-vipnas-res50"])
    state["head.final_layer.weight"], state["head.final_layer.bias"] = torch.zeros(133, 144, 1, 1), torch.zeros(133)
    for options in ({}, {"network": "s-vipnas-res50"}):
        assert "for 133 joints where 17 can be imported" in fault(save(tmp_path / "whole-body.pth", state), **options)


class _Foreign:
    """Stands for an object of some package in a checkpoint."""


def test_foreign_objects_need_trust(tmp_path: Path, states: dict[str, State]) -> None:
    source = save(tmp_path / "net.pth", {"state_dict": states["s-vipnas-mbv3"], "hub": _Foreign()})
    text = fault(source)
    assert "foreign objects" in text and "_Foreign" in text and "--trust" in text
    assert len(read_weights(source, trust=True)) == len(states["s-vipnas-mbv3"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"something", "cannot be read"), (b"", "cannot be read"), ({"epoch": 3}, "no weights by name"), ([1, 2], "no weights by name")],
)
def test_files_that_are_no_checkpoints(content: Any, reason: str, tmp_path: Path) -> None:
    source = tmp_path / "x.pth"
    if isinstance(content, bytes):
        source.write_bytes(content)
    else:
        save(source, content)
    assert reason in fault(source)


def test_torn_files_and_wild_weights(tmp_path: Path, states: dict[str, State]) -> None:
    source = save(tmp_path / "net.pth", states["s-vipnas-mbv3"])
    torn = tmp_path / "torn.pth"
    torn.write_bytes(source.read_bytes()[:200_000])
    assert "cannot be read" in fault(torn)
    state = {**states["s-vipnas-mbv3"], "head.final_layer.bias": torch.full((17,), float("nan"))}
    assert "not finite" in fault(save(tmp_path / "wild.pth", state))


def test_options(tmp_path: Path, states: dict[str, State], capsys: pytest.CaptureFixture[str]) -> None:
    source, target = save(tmp_path / "net.pth", states["s-vipnas-mbv3"]), tmp_path / "out.onnx"
    with pytest.raises(UsageError, match=re.escape("there are s-vipnas-res50, s-vipnas-mbv3")):
        import_checkpoint(source, target, CheckpointOptions(network="other"))
    with pytest.raises(UsageError, match="multiples of 32"):
        import_checkpoint(source, target, CheckpointOptions(size=(100, 100)))
    words = ["--size", "64x64", "--regroup", "never", "--precision", "fp16", "--blur", "3", "--codec", "udp", "--name", "mine"]
    assert main(["models", "import", str(source), "-o", str(target), *words]) == 0
    metadata = PoseGraph(target, device="cpu").metadata
    assert metadata.network == "mine" and metadata.codec is not None
    assert (metadata.codec.convention, metadata.codec.blur) == ("udp", 3) and target.stat().st_size < 13e6
    assert main(["models", "import", str(target), "-o", str(tmp_path / "x.onnx"), "--network", "s-vipnas-mbv3"]) == 2
    assert "belong to checkpoints" in capsys.readouterr().err
