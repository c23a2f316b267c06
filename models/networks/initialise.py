"""The initialisations that the published networks were trained from."""

from __future__ import annotations

from torch import nn

from vipose.models.networks.base import PoseNetwork

__all__ = ["initialise_as_published"]


def initialise_as_published(network: PoseNetwork) -> None:
    """Weights of convolutions normal with standard deviation 0.001, biases 0, norms 1 and 0 (ViPNAS, mmpose's code; PoseNAS).

    Exceptions: as in mmpose 1.x, the first convolution of the MobileNetV3 family is He-normal (fan-out). EfficientPose
    networks are built as their code initialises them, He-normal with the framework's defaults in the head, and stay so. A
    fusion module keeps its own start, the identity on the features.
    """
    if network.arch.family == "efficientpose":
        return
    fusion = set(network.fusion.modules()) if network.fusion is not None else set()
    for module in network.modules():
        if module in fusion:
            continue
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.001)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    if network.arch.family == "mobilenetv3":
        nn.init.kaiming_normal_(network.first_convolution().weight, mode="fan_out", nonlinearity="relu")
