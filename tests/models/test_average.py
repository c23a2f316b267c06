"""The mean of networks: weights, what goes with them, and what has no mean."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from vipose.models.networks.fused import FusedArch, FusedPoseNet
from vipose.models.training.average import average
from vipose.models.training.checkpoint import save_checkpoint
from vipose.models.training.start import load_network
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import InputError, ModelError, UsageError

ARCH = FusedArch(stem=8, widths=(8, 16, 16, 16), depths=(0, 1, 1, 1), head=16)


def saved(path: Path, seed: int, arch: FusedArch = ARCH) -> FusedPoseNet:
    torch.manual_seed(seed)
    network = FusedPoseNet(arch)
    path.parent.mkdir(exist_ok=True)
    save_checkpoint(path, state_dict=network.state_dict(), arch=arch.to_json(), skeleton="coco17", recipe={"seed": seed})
    return network


def test_the_command_writes_the_mean_of_all_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    networks = [saved(tmp_path / f"{seed}.pt", seed) for seed in (1, 2, 3)]
    out = tmp_path / "new" / "best.pt"
    assert vipose(["train", "average", *(str(tmp_path / f"{n}.pt") for n in (1, 2, 3)), "-o", str(out)]) == 0
    assert "the mean of 3 networks" in capsys.readouterr().out
    states, mean = [n.state_dict() for n in networks], load_network(out).state_dict()
    for key, value in mean.items():
        wanted = states[0][key] if value.dtype == torch.int64 else sum(s[key] for s in states) / 3
        torch.testing.assert_close(value, wanted)
    content = torch.load(out, weights_only=True)
    assert content["recipe"] == {"seed": 1} and len(content["averaged"]) == 3


def test_networks_of_propagated_frames_have_a_mean_too(tmp_path: Path) -> None:
    """Their checkpoints describe one network a frame, under another name."""
    for number, arch in ((1, ARCH), (2, ARCH), (3, FusedArch(stem=8, widths=(8, 16, 16, 24), depths=(0, 1, 1, 1), head=16))):
        state = {"0.weight": torch.full((2,), float(number))}
        save_checkpoint(tmp_path / f"{number}.pt", state_dict=state, archs=[arch.to_json()], recipe={})
    mean = average([tmp_path / "1.pt", tmp_path / "2.pt"])
    assert mean["state_dict"]["0.weight"].tolist() == [1.5, 1.5] and mean["archs"] == [ARCH.to_json()]
    with pytest.raises(ModelError, match="different networks"):
        average([tmp_path / "1.pt", tmp_path / "3.pt"])


def test_what_has_no_mean_is_refused(tmp_path: Path) -> None:
    one = tmp_path / "one.pt"
    saved(one, 1)
    saved(tmp_path / "wider.pt", 2, FusedArch(stem=8, widths=(8, 16, 16, 24), depths=(0, 1, 1, 1), head=16))
    save_checkpoint(tmp_path / "last.pt", model={})
    with pytest.raises(UsageError, match="two runs or more"):
        average([one])
    with pytest.raises(InputError, match="does not exist"):
        average([one, tmp_path / "none.pt"])
    with pytest.raises(ModelError, match=r"not last\.pt"):
        average([one, tmp_path / "last.pt"])
    with pytest.raises(ModelError, match="different networks"):
        average([one, tmp_path / "wider.pt"])
    assert vipose(["train", "average", str(one), str(one), "-o", str(tmp_path)]) == 2
