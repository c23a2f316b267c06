"""The exported person detector as a run to go on from: what ``vipose train from-graph person-detector`` does.

The levels of the detector share the convolutions of its head and have batch norms of their own (RTMDet). Folded, each level has
convolutions of its own, which differ by a factor a channel: they are taken apart again, the largest kernels for all, the factors
into the norms. Scores stay as they were calibrated for the export.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import Tensor, nn

from vipose.models.data.detection import Picture, fit
from vipose.models.export_detector import trace_detector
from vipose.models.networks.detector import STRIDES, Detector, DetectorArch, DetectorGraph, Tower
from vipose.models.training.detection_eval import input_size
from vipose.models.training.distil_stem import normalised
from vipose.models.training.unfold import ExportedGraph, fill, measure
from vipose.runtime.errors import ModelError

__all__ = ["ExportedDetector", "restore_detector"]

_BOX_TOLERANCE, _SCORE_TOLERANCE = 0.5, 1e-2
"""Largest difference of boxes, pixels of the input, and of scores from the graph's."""
_COMPARED = 8
_ABSENT = 1e-6
"""A channel whose kernel is so small a share of the common one is not there."""


@dataclass(frozen=True)
class ExportedDetector(ExportedGraph):
    """A person detector in floating point."""

    @property
    def arch(self) -> DetectorArch:
        """The network that it was made of; raises ModelError where it is none of ours."""
        try:
            return DetectorArch.from_json(self.metadata.architecture)
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(f"'{self.path}' is no detector of a training here ({error}); give that of 'vipose train person-detector'") from error


class _OwnTower(Tower):
    """A tower whose levels have convolutions of their own, as those of an exported one are."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.convs = nn.ModuleList(copy.deepcopy(self.convs) for _ in STRIDES)

    def convs_of(self, level: int) -> nn.ModuleList:
        """The level's own."""
        return cast(nn.ModuleList, self.convs[level])


def restore_detector(exported: ExportedDetector, pictures: Sequence[Picture]) -> Detector:
    """The detector that a graph was exported from, in evaluation mode, with batch norms that know these pictures.

    Args:
        exported: the graph.
        pictures: at least one.

    Raises:
        ModelError: the graph is no detector of a training here, or not what exporting it gives today.
    """
    network = Detector(exported.arch).eval().requires_grad_(False)
    shared = network.tower
    network.tower = own = _OwnTower(exported.arch.width, exported.arch.tower).eval().requires_grad_(False)
    fill(network, lambda: trace_detector(network)[0], exported, prefix="graph.detector.")
    canvases = [_canvas(picture, exported.metadata.input.pixels) for picture in pictures]
    measure(network, [(normalised(canvas[None]),) for canvas in canvases])
    network.tower = _share(own, shared)
    _compare(network, exported, canvases[:_COMPARED])
    return network.requires_grad_(True)


def _canvas(picture: Picture, pixels: int) -> npt.NDArray[np.uint8]:
    """[H, W, 3] uint8, as the graph would see the picture."""
    height, width = picture.image.shape[:2]
    return fit(picture.image, np.zeros((0, 4), np.float32), input_size(pixels, width, height))[0]


def _share(own: _OwnTower, shared: Tower) -> Tower:
    """Give ``shared`` each channel's kernel of the level where it is largest, and every level's norms the factor by which its own differs."""
    for depth, conv in enumerate(shared.convs):
        own_convs = [cast(nn.Conv2d, own.convs_of(level)[depth]) for level in range(len(STRIDES))]
        kernels = torch.stack([each.weight for each in own_convs]).double()  # [L, C, C, 3, 3]
        largest = kernels.square().sum((2, 3, 4)).argmax(0)
        common = kernels[largest, torch.arange(len(largest))]
        cast(nn.Conv2d, conv).weight.copy_(common)
        for level, kernel in enumerate(kernels):
            factor = (kernel * common).sum((1, 2, 3)) / common.square().sum((1, 2, 3)).clamp_min(1e-30)
            norm, folded = (cast(nn.ModuleList, tower.norms[level])[depth] for tower in (shared, own))
            _rescale(cast(nn.BatchNorm2d, norm), cast(nn.BatchNorm2d, folded), factor)
    return shared


def _rescale(norm: nn.BatchNorm2d, folded: nn.BatchNorm2d, factor: Tensor) -> None:
    """Make ``norm`` do to x what ``folded`` does to y = factor * x: its mean is mean / factor, its variance variance / factor^2, and the
    scale makes up for an epsilon that does not shrink along. Where the factor is 0, a level does without the channel."""
    assert folded.running_mean is not None and folded.running_var is not None
    assert norm.running_mean is not None and norm.running_var is not None
    without = factor.abs() < _ABSENT
    factor = torch.where(without, 1.0, factor)
    variance = torch.where(without, 1.0, folded.running_var / factor**2)
    weight = folded.weight * factor * (variance + norm.eps).sqrt() / (folded.running_var + folded.eps).sqrt()
    norm.bias.copy_(folded.bias)
    norm.weight.copy_(torch.where(without, 0.0, weight))
    norm.running_mean.copy_(folded.running_mean / factor)
    norm.running_var.copy_(variance)


def _compare(network: Detector, exported: ExportedDetector, canvases: Sequence[npt.NDArray[np.uint8]]) -> None:
    """Raise ModelError where the network does not put out what its graph does."""
    ours = DetectorGraph(copy.deepcopy(network)).eval()
    session = ort.InferenceSession(exported.model.SerializeToString(), providers=["CPUExecutionProvider"])
    for canvas in canvases:
        with torch.inference_mode():
            boxes, scores = ours(torch.from_numpy(canvas[None]))
        wanted_boxes, wanted_scores = session.run(["boxes", "scores"], {"image": canvas[None]})
        far = float(np.abs(boxes.numpy() - wanted_boxes)[wanted_scores > 0.05].max(initial=0))
        if far > _BOX_TOLERANCE or float(np.abs(scores.numpy() - wanted_scores).max()) > _SCORE_TOLERANCE:
            raise exported.differs()
