"""How good T networks are together: AP on sequences that are propagated frame by frame, as the runtime does.

Each network's batch-norm statistics are estimated again on what it really gets: pictures of its frame, and the heatmaps that
the networks before it put out, warped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork, scaled_softmax
from vipose.models.search.evaluate import (
    SIGMA,
    Accuracy,
    average_precision,
    computing,
    fast_dtype,
    recalibrate,
)
from vipose.models.search.sequences import Sequences
from vipose.models.training.device import normalise
from vipose.models.training.loop import channels_last
from vipose.runtime.codec import dark_blur, decode_frame, sigma_at
from vipose.runtime.errors import InputError
from vipose.runtime.geometry import warp_heatmaps

__all__ = ["Carry", "Propagated", "PropagationEvaluator"]

Carry = Literal["warped", "unwarped", "nothing"]
"""What a frame gets of the last one's heatmaps: carried by the crops' affines, as they are, or zeros."""
BATCH = 32


@dataclass(frozen=True)
class Propagated:
    """Accuracy of T networks.

    Attributes:
        frames: of frames 1..T.
    """

    frames: tuple[Accuracy, ...]

    @property
    def ap(self) -> float:
        """Mean AP over the T frames: what equation 3 makes as large as it can, divided by T."""
        return float(np.mean([frame.ap for frame in self.frames]))

    @property
    def oks(self) -> float:
        """Mean OKS over people and frames."""
        return float(np.mean([frame.oks for frame in self.frames]))


@dataclass
class PropagationEvaluator:
    """Propagates validation sequences through T networks.

    Attributes:
        spatial: the S-ViPNet, in evaluation mode; its heatmaps of the key frames are made once.
        validation: sequences with labels, at least T + 1 frames long.
        calibration: sequences to estimate statistics on; their labels do not matter.
        extract: a description to a network with weights of its own, as ``SuperNetwork.extract``.
        device: where networks run.
    """

    spatial: PoseNetwork
    validation: Sequences
    calibration: Sequences
    extract: Callable[[Architecture], PoseNetwork]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        if len(self.calibration) < 2:
            raise InputError("fewer than two sequences are left to estimate statistics on; give more clips, or a pack of stills")
        if not self.validation.counted[:, 1:].any(0).all():
            raise InputError("no validation sequence has labels on every frame; give clips or packs with surer labels")
        self.spatial = channels_last(self.spatial.to(self.device)).eval()

    @property
    def size(self) -> tuple[int, int]:
        """Width, height of the crops."""
        return self.validation.size

    @cached_property
    def keys(self) -> tuple[Tensor, Tensor]:
        """The S-ViPNet's heatmaps [N, K, h, w] of the key frames: of the calibration, and of the validation."""
        return self._heatmaps(self.spatial, self.calibration, 0, None), self._heatmaps(self.spatial, self.validation, 0, None)

    @cached_property
    def key_accuracy(self) -> Accuracy:
        """Of the S-ViPNet on frame 0."""
        return self._accuracy(self.keys[1], 0)

    def __call__(self, archs: Sequence[Architecture], carry: Carry = "warped") -> Propagated:
        """Accuracy of the networks of frames 1..T.

        Args:
            archs: descriptions; those without ``fusion`` get no heatmaps.
            carry: what becomes of the heatmaps between frames.

        Raises:
            InputError: the sequences are too short for so many frames.
            ValueError: a description lies outside of the super-network.
        """
        return self.measure(archs, carry)[0]

    def networks(self, archs: Sequence[Architecture]) -> list[PoseNetwork]:
        """The networks with their own statistics, estimated while they propagate; in evaluation mode, on the CPU."""
        return [network.cpu() for network in self.measure(archs)[1]]

    def measure(self, archs: Sequence[Architecture], carry: Carry = "warped") -> tuple[Propagated, list[PoseNetwork]]:
        """Accuracy and networks; see :meth:`__call__`."""
        if len(archs) >= min(self.validation.frames, self.calibration.frames):
            raise InputError(f"T = {len(archs)} needs sequences of {len(archs) + 1} frames; these have {self.validation.frames}")
        cv2.setNumThreads(1)
        networks, frames, (fit, held) = [], [], self.keys
        for t, arch in enumerate(archs, 1):
            network = channels_last(self.extract(arch).to(self.device))
            prior_fit, prior_held = _carried(fit, self.calibration, t, carry), _carried(held, self.validation, t, carry)
            images = torch.from_numpy(self.calibration.images[:, t])
            if arch.fusion is None:
                recalibrate(network, [x for x in torch.split(images, BATCH) if len(x) > 1], fast_dtype(self.device))
            else:
                pairs = zip(torch.split(images, BATCH), torch.split(prior_fit, BATCH), strict=True)
                recalibrate(network, [pair for pair in pairs if len(pair[0]) > 1], fast_dtype(self.device))
            held = self._heatmaps(network, self.validation, t, prior_held)
            if t < len(archs):
                fit = self._heatmaps(network, self.calibration, t, prior_fit)
            frames.append(self._accuracy(held, t))
            networks.append(network)
        return Propagated(tuple(frames)), networks

    def describe(self) -> dict[str, Any]:
        """Plain JSON of everything that the figures depend on beside the networks."""
        names, counts = np.unique(self.validation.sources, return_counts=True)
        return {
            "sequences": len(self.validation),
            "by_source": {str(n): int(c) for n, c in zip(names, counts, strict=True)},
            "digest": self.validation.digest,
            "calibration": {"sequences": len(self.calibration), "digest": self.calibration.digest},
            "arithmetic": f"{self.device.type} {str(fast_dtype(self.device)).removeprefix('torch.')}",
        }

    @torch.no_grad()
    def _heatmaps(self, network: PoseNetwork, sequences: Sequences, t: int, prior: Tensor | None) -> Tensor:
        """Heatmaps [N, K, h, w] of frame t, float32 on the CPU."""
        out, sigma = [], sigma_at(SIGMA, self.size[1])
        images = torch.from_numpy(sequences.images[:, t])
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            given = () if prior is None or network.arch.fusion is None else (prior[part].to(self.device),)
            with computing(self.device, fast_dtype(self.device)):
                maps = network(normalise(images[part].to(self.device)), *given).float()
            out.append((scaled_softmax(maps, sigma) if network.arch.output == "logits" else maps).cpu())
        return torch.cat(out)

    def _accuracy(self, heatmaps: Tensor, t: int) -> Accuracy:
        rows = self.validation.counted[:, t]
        affines = self.validation.affines[rows, t]
        found = decode_frame(heatmaps.numpy()[rows], affines, self.size, "udp", "dark", dark_blur(sigma_at(SIGMA, self.size[1])))
        return average_precision(found, self.validation.frame(t))


def _carried(heatmaps: Tensor, sequences: Sequences, t: int, carry: Carry) -> Tensor:
    """Heatmaps of frame t - 1 as the priors of frame t."""
    if carry == "unwarped":
        return heatmaps
    if carry == "nothing":
        return torch.zeros_like(heatmaps)
    pairs = zip(heatmaps.numpy(), sequences.warps[:, t - 1], strict=True)
    return torch.from_numpy(np.stack([warp_heatmaps(maps, warp) for maps, warp in pairs]))
