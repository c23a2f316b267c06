"""Checkpoints: whole, plain, and clear about what does not fit."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from vipose.models.training.checkpoint import (
    load_checkpoint,
    load_weights,
    random_state,
    recipe_changes,
    restore_random,
    save_checkpoint,
)
from vipose.runtime.errors import ModelError, OutputError


def test_a_checkpoint_comes_back_and_is_plain(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    assert load_checkpoint(path) is None
    network = nn.Linear(2, 3)
    save_checkpoint(path, model=network.state_dict(), ap=np.float64(0.5), rates=(np.float32(1), 2), data=[tmp_path])
    saved = load_checkpoint(path)
    assert saved is not None
    assert saved["ap"] == 0.5 and saved["rates"] == (1.0, 2) and saved["data"] == [str(tmp_path)]
    assert isinstance(saved["model"], OrderedDict) and torch.equal(saved["model"]["weight"], network.weight)
    assert not list(tmp_path.glob("*.part"))


def test_a_torn_or_foreign_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, model=nn.Linear(50, 50).state_dict())
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-30], b"", b"not a checkpoint at all", b"PK\x03\x04 torn"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="torn or no checkpoint") as raised:
            load_checkpoint(path)
        assert "\n" not in str(raised.value)
    torch.save([1, 2], path)
    with pytest.raises(ModelError, match="holds a list"):
        load_checkpoint(path)
    torch.save({"run": Path}, path)  # a pickled object could run code
    with pytest.raises(ModelError, match="no checkpoint"):
        load_checkpoint(path)


def test_a_failed_write_keeps_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, step=1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save_checkpoint(path, step=2)
    saved = load_checkpoint(path)
    assert saved == {"step": 1} and not list(tmp_path.glob("*.part"))
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(tmp_path / "none" / "last.pt", step=1)


def test_weights_of_another_network_name_the_first_keys(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    load_weights(network, network.state_dict(), tmp_path / "last.pt")
    other = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 4))
    with pytest.raises(ModelError, match=r"1\.weight is missing; 1\.bias is missing; 2\.weight is unknown and 3 more"):
        load_weights(network, other.state_dict(), tmp_path / "last.pt")
    with pytest.raises(ModelError, match=r"0\.weight is \(5, 2\), not \(3, 2\)"):
        load_weights(network[:1], other[:1].state_dict(), tmp_path / "last.pt")


@dataclass(frozen=True)
class Recipe:
    arch: tuple[int, ...] = (8, 16)
    rates: tuple[float, ...] = (2e-3, 1e-3)
    augmentation: dict[str, float] | None = None
    new: int = 1


def test_a_changed_recipe_says_what_differs_and_another_network_is_refused(tmp_path: Path) -> None:
    saved = {"arch": [8, 16], "rates": [2e-3, 5e-4], "augmentation": {"turn": 30, "flip": 0.5}, "gone": 3}
    recipe = Recipe(augmentation={"turn": 40, "flip": 0.5})
    assert recipe_changes(saved, recipe, tmp_path) == ["rates.1 0.0005 -> 0.001", "augmentation.turn 30 -> 40"]
    assert recipe_changes({}, recipe, tmp_path) == []
    with pytest.raises(ModelError, match=r"another arch \(arch\.1 16 -> 32\)"):
        recipe_changes(saved, Recipe(arch=(8, 32)), tmp_path)
    with pytest.raises(ModelError, match="another arch"):
        recipe_changes(saved, Recipe(arch=(8, 16, 32)), tmp_path)


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    torch.manual_seed(3)
    torch.rand(5), rng.random(5)
    save_checkpoint(tmp_path / "last.pt", random=random_state(rng))
    wanted = torch.rand(4), rng.random(4)
    saved = load_checkpoint(tmp_path / "last.pt")
    assert saved is not None
    other = np.random.default_rng()
    torch.manual_seed(99)
    restore_random(saved["random"], other)
    assert torch.equal(torch.rand(4), wanted[0]) and np.array_equal(other.random(4), wanted[1])
    restore_random(saved["random"], other, rank=1)  # another process: other samples, the same sub-networks
    assert not torch.equal(torch.rand(4), wanted[0]) and np.array_equal(other.random(4), wanted[1])
    restore_random(None)  # an older checkpoint
