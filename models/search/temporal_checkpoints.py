"""Checkpoints of the temporal search: the super-network with its S-ViPNet, and the T networks that were chosen from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.networks.registry import architecture_from_json, build
from vipose.models.search.space import Choice, Space
from vipose.models.search.spaces import space
from vipose.models.search.temporal_space import frame_space
from vipose.models.training.checkpoint import load_checkpoint, load_weights, save_checkpoint
from vipose.models.training.recipe import last_size
from vipose.runtime.errors import InputError, ModelError
from vipose.runtime.shipped import file_sha256

__all__ = ["TemporalSupernet", "read_temporal_supernet", "save_networks"]


@dataclass(frozen=True)
class TemporalSupernet:
    """A temporal super-network from its checkpoint.

    Attributes:
        network: with averaged weights, in evaluation mode, on the CPU.
        spatial: the S-ViPNet, likewise.
        space: in which the S-ViPNet lies.
        found: the S-ViPNet's choice there.
        recipe: how it was trained, plain JSON.
        sha256: of the file.
    """

    network: SuperNetwork
    spatial: PoseNetwork
    space: Space
    found: Choice
    recipe: dict[str, Any]
    sha256: str

    @property
    def frame(self) -> Space:
        """The space of one T-ViPNet."""
        return frame_space(self.space, self.found)

    @property
    def size(self) -> tuple[int, int]:
        """Width, height of the crops it saw last."""
        return last_size(self.recipe)


def read_temporal_supernet(path: Path) -> TemporalSupernet:
    """Read ``best.pt`` of 'vipose train t-supernet'.

    Raises:
        InputError: the file is not there.
        ModelError: it is torn or of something else, or its weights do not fit its own description.
    """
    state = load_checkpoint(path)
    if state is None:
        raise InputError(f"{path} does not exist; give best.pt of a run of 'vipose train t-supernet'")
    if not state.keys() >= {"state_dict", "space", "found", "spatial", "recipe"}:
        raise ModelError(f"{path} holds no temporal super-network; give best.pt of 'vipose train t-supernet'")
    searched, found = space(str(state["space"])), dict(state["found"])
    key = build(architecture_from_json(state["spatial"]["arch"]))
    if searched.architecture(found) != key.arch:
        raise ModelError(f"{path} was trained for another '{searched.name}' than today's; train it again")
    load_weights(key, state["spatial"]["state_dict"], path)
    whole = SuperNetwork(key.arch, temporal=True)
    load_weights(whole, state["state_dict"], path)
    return TemporalSupernet(whole.eval(), key.eval(), searched, found, dict(state["recipe"]), file_sha256(path))


def save_networks(path: Path, networks: Sequence[PoseNetwork], recipe: Mapping[str, Any]) -> None:
    """Write the networks of frames 1..T as ``best.pt`` of a training, for ``vipose export`` and fine-tuning.

    Args:
        path: the file; replaced at the end only.
        networks: in any mode.
        recipe: plain JSON with ``sizes``, the last of which is what the networks are exported at.

    Raises:
        OutputError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(
        path,
        state_dict=nn.ModuleList(networks).state_dict(),
        archs=[network.arch.to_json() for network in networks],
        recipe={**recipe, "T": len(networks)},
    )
