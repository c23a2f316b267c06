"""What a checkpoint of a training or of a search holds for an export: networks, their name, size of crops and sigma."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.named import PUBLISHED_NETWORKS
from vipose.models.networks.registry import architecture_from_json, build
from vipose.models.training.checkpoint import load_checkpoint, load_weights
from vipose.models.training.recipe import last_size
from vipose.runtime.errors import InputError, ModelError

__all__ = ["ExportableRun", "default_name", "read_run"]

_FAMILY_NAMES = {"fused": "s-vipnas", "mobilenetv3": "s-vipnas", "resnet50": "s-vipnas"}
"""How networks of a family are called, where not by the family's own name."""
_TEMPORAL_NAME = "t-vipnas"


@dataclass(frozen=True)
class ExportableRun:
    """Networks of one run, on the CPU.

    Attributes:
        networks: the network; of a temporal run that of each frame after the key frame.
        name: what they are called where nobody says otherwise.
        size: width, height of the crops that they were trained on last, pixels.
        sigma: of the targets in cells, at crops of 256 rows.
    """

    networks: tuple[PoseNetwork, ...]
    name: str
    size: tuple[int, int]
    sigma: float

    @property
    def temporal(self) -> bool:
        """Whether they take the heatmaps of the last frame."""
        return self.networks[0].arch.fusion is not None


def read_run(path: Path) -> ExportableRun:
    """Read ``best.pt`` of a run, or what a search extracted or derived.

    Raises:
        InputError: the file is not there.
        ModelError: it is torn, of something else, or its weights are not those of the network that it describes.
    """
    state = load_checkpoint(path)
    if state is None:
        raise InputError(f"{path} does not exist; give best.pt of a run of 'vipose train'")
    if "space" in state and not {"arch", "archs"} & state.keys():
        raise ModelError(f"{path} holds all candidates of a search; export the network that it derived, derived.pt beside it")
    if not {"state_dict", "recipe"} <= state.keys() or not {"arch", "archs"} & state.keys():
        has = ", ".join(map(str, list(state)[:6])) or "nothing"
        raise ModelError(f"{path} holds no network of a run but {has}; give best.pt of 'vipose train', or what a search wrote")
    if any(str(key).startswith("network.") for key in state["state_dict"]):  # see elastic.SuperNetwork
        raise ModelError(f"{path} is a super-network; 'vipose search' finds and extracts networks of it")
    recipe = state["recipe"]
    try:
        size, sigma = last_size(recipe), float(recipe.get("sigma", 2.0))
        archs = [architecture_from_json(arch) for arch in state.get("archs") or [state["arch"]]]
        temporal = archs[0].fusion is not None
        networks = _temporal(archs, state["state_dict"], path, int(recipe["T"])) if temporal else _single(archs[0], state, path)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(f"{path} describes no network of today ({error}); train it again") from error
    return ExportableRun(networks, _TEMPORAL_NAME if temporal else default_name(archs[0]), size, sigma)


def default_name(arch: Architecture) -> str:
    """``efficientpose-a`` for a network that is EfficientPose-A but for joints and output; else by its family."""
    for name, published in PUBLISHED_NETWORKS.items():
        if type(published) is type(arch) and replace(arch, joints=published.joints, output=published.output) == published:
            return name
    return _FAMILY_NAMES.get(arch.family, arch.family)


def _single(arch: Architecture, state: dict[str, Any], path: Path) -> tuple[PoseNetwork]:
    network = build(arch)
    load_weights(network, state["state_dict"], path)
    return (network,)


def _temporal(archs: list[Architecture], weights: dict[str, Any], path: Path, phases: int) -> tuple[PoseNetwork, ...]:
    """The network of every phase: descriptions and networks may be one a phase, or one for all of them."""
    count = 1 + max(int(key.split(".", 1)[0]) for key in weights)
    networks = []
    for phase in range(phases):
        prefix = f"{min(phase, count - 1)}."
        network = build(archs[min(phase, len(archs) - 1)])
        load_weights(network, {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}, path)
        networks.append(network)
    return tuple(networks)
