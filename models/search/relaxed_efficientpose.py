"""EfficientPose with probabilities instead of operations (Zhang et al. 2020, section 3.1): one choice for every layer.

Stem and head are those of every network of the space. A layer's candidates are its inverted residuals, each with weights of
its own, and the identity where the layer may be skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn

from vipose.models.networks.architecture import Output
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.efficientpose import (
    EfficientPose,
    EfficientPoseArch,
    MBConv,
    Operation,
    kernel_and_expansion,
)
from vipose.models.networks.registry import build
from vipose.models.search.parts import Shape, output_shape
from vipose.models.search.relaxed import ChoiceCosts, MixedOperation, Pricer, RelaxedNetwork
from vipose.models.search.space import Choice, Space

__all__ = ["RelaxedEfficientPose"]


class RelaxedEfficientPose(RelaxedNetwork):
    """All networks of a space whose dimensions are the layers of an :class:`EfficientPoseArch`, in order.

    It can be filled from an ImageNet network (:mod:`vipose.models.networks.remap`).
    """

    arch: EfficientPoseArch

    def __init__(self, space: Space, *, output: Output = "heatmaps", joints: int = 17) -> None:
        choices = {d.name: tuple(str(operation) for operation in d.choices) for d in space}
        super().__init__(space, choices, output=output, joints=joints)
        network = build(self.arch)
        assert isinstance(network, EfficientPose)
        self.first, self.deconv_layers, self.final = network.first, network.deconv_layers, network.final
        layers, inputs = [], self.arch.separable
        for candidates, layer in zip(self.choices.values(), self.arch.layers, strict=True):
            made = {o: _candidate(cast(Operation, o), inputs, layer.width, layer.stride) for o in candidates}
            layers.append(MixedOperation(made))
            inputs = layer.width
        self.layers = nn.ModuleList(layers)
        # The head's parts as they are timed in a network; in a tuple, so that they bring no keys of their own.
        fixed = ("deconv1", "deconv2", "final")
        self._head = tuple(module for name, module in network.parts() if name in fixed)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.first(image)
        for name, layer in zip(self.choices, self.layers, strict=True):
            assert isinstance(layer, MixedOperation)
            x = self.mix(name, layer, x)
        return [self.final(self.deconv_layers(x))]

    def costs(self, price: Pricer, unit: str, size: tuple[int, int]) -> ChoiceCosts:
        width, height = size
        shape: Shape = (1, 3, height, width)
        fixed, by_choice = price(self.first, (shape,)), {}
        shape = output_shape(self.first, [shape])
        for name, layer in zip(self.choices, self.layers, strict=True):
            assert isinstance(layer, MixedOperation)
            candidates = list(layer.candidates.values())
            by_choice[name] = tuple(0.0 if isinstance(c, nn.Identity) else price(c, (shape,)) for c in candidates)
            shape = output_shape(candidates[-1], [shape])
        for module in self._head:
            fixed += price(module, (shape,))
            shape = output_shape(module, [shape])
        return ChoiceCosts(unit, fixed, by_choice)

    def derive(self) -> Choice:
        return {name: self.choices[name][int(p.argmax())] for name, p in self.probabilities().items()}

    def extract(self) -> PoseNetwork:
        choice = self.derive()
        network = build(self.described(choice))
        assert isinstance(network, EfficientPose)
        for name in ("first", "deconv_layers", "final"):
            getattr(network, name).load_state_dict(getattr(self, name).state_dict())
        kept = [
            layer.candidates[str(operation)]
            for layer, operation in zip(self.layers, choice.values(), strict=True)
            if isinstance(layer, MixedOperation) and operation != "skip"
        ]
        for mine, theirs in zip(kept, network.blocks.stages, strict=True):
            theirs.load_state_dict(mine.state_dict())
        return network.train(self.training)

    def mb_layers(self) -> Iterator[tuple[int, int, MBConv]]:
        """(stage, index in it, candidate) of every inverted residual; the candidates of a layer share its place."""
        for (stage, index), layer in zip(self.arch.places, self.layers, strict=True):
            assert isinstance(layer, MixedOperation)
            for candidate in layer.candidates.values():
                if isinstance(candidate, MBConv):
                    yield stage, index, candidate


def _candidate(operation: Operation, inputs: int, width: int, stride: int) -> nn.Module:
    if operation == "skip":
        return nn.Identity()
    kernel, expansion = kernel_and_expansion(operation)
    return MBConv(inputs, width, kernel, expansion, stride)
