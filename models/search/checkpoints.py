"""Checkpoints that a search reads and writes: super-networks, and the network that was chosen from one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.networks.registry import architecture_from_json
from vipose.models.search.result import make_folder
from vipose.models.search.space import Space
from vipose.models.search.spaces import elastic_space
from vipose.models.training.checkpoint import load_checkpoint, load_weights, save_checkpoint
from vipose.models.training.recipe import last_size
from vipose.runtime.errors import InputError, ModelError
from vipose.runtime.shipped import file_sha256

__all__ = ["TrainedSupernet", "load_supernet", "read_supernet", "save_network"]

_KEYS = {"state_dict", "space", "arch", "recipe"}


@dataclass(frozen=True)
class TrainedSupernet:
    """A super-network from its checkpoint.

    Attributes:
        network: with averaged weights, in evaluation mode, on the CPU.
        space: what it was trained for.
        recipe: how it was trained, plain JSON.
        sha256: of the file.
    """

    network: SuperNetwork
    space: Space
    recipe: dict[str, Any]
    sha256: str

    @property
    def size(self) -> tuple[int, int]:
        """Width, height of the crops it saw last."""
        return last_size(self.recipe) if self.recipe.get("sizes") else self.space.size


def load_supernet(path: Path) -> tuple[SuperNetwork, Space]:
    """The super-network and its space; raises as :func:`read_supernet` does."""
    trained = read_supernet(path)
    return trained.network, trained.space


def read_supernet(path: Path) -> TrainedSupernet:
    """Read ``best.pt`` of a super-network's training.

    Raises:
        InputError: the file is not there, or it names a space that has no super-networks.
        ModelError: it is torn or of something else, or its weights do not fit its own description.
    """
    state = load_checkpoint(path)
    if state is None:
        raise InputError(f"{path} does not exist; give best.pt of a run of 'vipose train supernet'")
    if not state.keys() >= _KEYS:
        has = ", ".join(map(str, list(state)[:6]))
        raise ModelError(f"{path} holds no super-network but {has}; give best.pt of 'vipose train supernet'")
    searched = elastic_space(str(state["space"]))
    try:
        biggest = architecture_from_json(state["arch"])
    except ValueError as error:
        raise ModelError(f"{path} describes no network of today ({error}); train the super-network again") from error
    if biggest != searched.architecture(searched.biggest):
        raise ModelError(f"{path} was trained for another '{searched.name}' than today's; train the super-network again")
    network = SuperNetwork(biggest, temporal=any(key.startswith("fusions.") for key in state["state_dict"]))
    load_weights(network, state["state_dict"], path)
    return TrainedSupernet(network.eval(), searched, dict(state["recipe"]), file_sha256(path))


def save_network(path: Path, network: PoseNetwork, recipe: Mapping[str, Any]) -> None:
    """Write a network as ``best.pt`` of a training, for ``vipose export`` and for fine-tuning to start from.

    Args:
        path: the file; replaced at the end only.
        network: on the CPU, in any mode.
        recipe: plain JSON with ``sizes``, the last of which is what the network is exported at.

    Raises:
        OutputError: it cannot be written.
    """
    state = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    make_folder(path)
    save_checkpoint(path, state_dict=state, arch=network.arch.to_json(), recipe=dict(recipe))
