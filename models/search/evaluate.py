"""How good a sub-network is: batch-norm statistics estimated again, then AP on people that no training has seen.

A super-network's own statistics fit none of its sub-networks. They are estimated again on some hundred training crops (Yu
and Huang 2019; ViPNAS, section 3.4), which costs about as much as the validation itself. The crops are augmented as in the
training: its weights go with such statistics, and measured one point of AP better with them than with plain crops.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vipose.models.data.people import Augmentation, PackedPeople, render
from vipose.models.data.split import training_probability, validation_rows
from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork, scaled_softmax
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.training.device import choose, normalise
from vipose.models.training.loop import channels_last
from vipose.runtime.codec import dark_blur, decode_frame, sigma_at
from vipose.runtime.errors import InputError
from vipose.runtime.geometry import crop, crop_affine
from vipose.runtime.oks import oks_matrix
from vipose.runtime.skeleton import COCO17, Skeleton

__all__ = [
    "Accuracy",
    "Evaluator",
    "Validation",
    "average_precision",
    "calibration_batches",
    "computing",
    "fast_dtype",
    "keypoints",
    "recalibrate",
]

FloatArray = npt.NDArray[np.floating]
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
SURE = 0.2
"""Joints below this score do not enter a person's score (mmpose's evaluation of ViPNAS)."""
BATCH = 32
SIGMA = 2.0
"""Of the shipped graphs, in cells at 256 rows."""


@dataclass(frozen=True)
class Validation:
    """People cut out once, without augmentation.

    Attributes:
        crops: [N, H, W, 3] uint8 RGB.
        affines: [N, 2, 3] from the stored picture to the crop (convention udp).
        truth: [N, K, 3] x, y, v in pixels of the stored picture.
        areas: [N] of the people in square pixels of the stored picture.
        sources: [N] names.
        skeleton: gives the OKS constants.
    """

    crops: Tensor
    affines: FloatArray
    truth: FloatArray
    areas: FloatArray
    sources: npt.NDArray[np.str_]
    skeleton: Skeleton = COCO17

    @classmethod
    def of(
        cls, people: PackedPeople, size: tuple[int, int], rows: npt.NDArray[np.intp] | None = None
    ) -> Validation:
        """People of packs for networks that take crops of ``size`` (width, height).

        Args:
            people: the packs.
            size: pixels.
            rows: which people; None for those that :func:`vipose.models.data.split.validation_rows` holds out.

        Raises:
            InputError: nobody with labels is left.
        """
        rows = validation_rows(people) if rows is None else rows
        rows = rows[(people.gt[rows, :, 2] > 0).any(1)]
        if not len(rows):
            raise InputError("the packs hold nobody with labels by hand to validate on; add a pack that has some")
        crops, affines = _cut(people, rows, size)
        areas = people.area[rows].astype(np.float64)
        return cls(crops, affines, people.gt[rows], areas, people.source[rows].astype(str), people.skeleton)

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def size(self) -> tuple[int, int]:
        """Width, height of the crops."""
        return self.crops.shape[2], self.crops.shape[1]

    def describe(self) -> dict[str, Any]:
        """Plain JSON that tells two sets of people apart: number, by source, and a digest of pictures and labels."""
        digest = hashlib.sha256(self.crops.numpy().tobytes())
        digest.update(np.ascontiguousarray(self.truth, np.float32).tobytes())
        digest.update(np.ascontiguousarray(self.areas, np.float32).tobytes())
        names, counts = np.unique(self.sources, return_counts=True)
        by_source = {str(n): int(c) for n, c in zip(names, counts, strict=True)}
        return {"people": len(self), "by_source": by_source, "digest": digest.hexdigest()[:12]}


@dataclass(frozen=True)
class Accuracy:
    """What a network reaches: AP (COCO, OKS 0.50:0.05:0.95), mean OKS, AP by source; all in 0..1."""

    ap: float
    oks: float
    by_source: dict[str, float] = field(default_factory=dict)


def calibration_batches(
    people: PackedPeople,
    size: tuple[int, int],
    count: int = 20,
    batch: int = BATCH,
    by_source: Mapping[str, float] | None = None,
    strength: Augmentation | None = None,
    seed: int = 0,
) -> list[Tensor]:
    """Training crops [batch, H, W, 3] uint8; the same for the same seed.

    Args:
        people: the packs; those held out are left out.
        size: width, height in pixels.
        count, batch: number of batches and of crops in one; nobody comes twice, so small packs give fewer.
        by_source: weights of sources, as in training.
        strength: augmentation, as in training.
        seed: of all draws.

    Raises:
        InputError: fewer than two people are left.
    """
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    weights = dict(by_source or {})
    free = np.setdiff1d(np.arange(len(people)), validation_rows(people))
    # Asked first: a probability over nobody divides by zero.
    probability = training_probability(people, weights) if people.weights(weights)[free].sum() > 0 else np.zeros(len(people))
    there = int((probability > 0).sum())
    if there < 2:
        raise InputError(f"of {len(people)} people {there} are free to estimate statistics on; give more or bigger packs")
    rows = rng.choice(len(people), min(count * batch, there), replace=False, p=probability)
    strength = strength or Augmentation()
    crops = torch.from_numpy(np.stack([_augmented(people, int(row), size, strength, rng) for row in rows]))
    # A last batch of one crop has no variance where the map has shrunk to one cell.
    return [b for b in torch.split(crops, batch) if len(b) > 1]


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it, else float32."""
    return torch.bfloat16 if choose(str(device)).bf16 else torch.float32


@torch.no_grad()
def recalibrate(
    network: nn.Module, batches: Sequence[Tensor | tuple[Tensor, Tensor]], dtype: torch.dtype = torch.float32
) -> None:
    """Estimate batch-norm statistics again, in place: the plain mean over batches. Everything else stays as it is.

    Args:
        network: left in evaluation mode.
        batches: uint8 crops [B, H, W, 3], B > 1; for a temporal network each with its prior [B, K, h, w].
        dtype: of the convolutions.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    network.eval()  # only the norms learn: dropout and the like are off, so that the estimate does not depend on chance
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    device = next(network.parameters()).device
    for batch in batches:
        images, *prior = batch if isinstance(batch, tuple) else (batch,)
        with computing(device, dtype):
            network(normalise(images.to(device)), *(p.to(device) for p in prior))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


@torch.no_grad()
def keypoints(
    network: PoseNetwork, validation: Validation, batch: int = BATCH, dtype: torch.dtype = torch.float32
) -> npt.NDArray[np.float32]:
    """Keypoints [N, K, 3] (x, y in pixels of the stored picture, score) of the people of a validation set.

    Heatmaps are decoded as the shipped graphs' are. Sigma goes with the crop, as in training, or scores would saturate.
    """
    network.eval()
    device = next(network.parameters()).device
    sigma = sigma_at(SIGMA, validation.size[1])
    found = []
    for start in range(0, len(validation), batch):
        with computing(device, dtype):
            maps = network(normalise(validation.crops[start : start + batch].to(device)))
        maps = maps.float()
        maps = scaled_softmax(maps, sigma) if network.arch.output == "logits" else maps
        affines = validation.affines[start : start + batch]
        found.append(decode_frame(maps.cpu().numpy(), affines, validation.size, "udp", "dark", dark_blur(sigma)))
    return np.concatenate(found)


def average_precision(found: FloatArray, validation: Validation) -> Accuracy:
    """COCO keypoint AP with labelled boxes and no picture with two people: what pycocotools computes, in milliseconds.

    Args:
        found: [N, K, 3] x, y, score, in the order of the validation people.
        validation: labels.
    """
    variances = validation.skeleton.variances()
    pairs = zip(found, validation.truth, validation.areas, strict=True)
    oks = np.array([oks_matrix(f[None], t[None], a[None], variances)[0, 0] for f, t, a in pairs])
    scores = _person_scores(found)
    sources = {str(s): validation.sources == s for s in np.unique(validation.sources)}
    by_source = {name: _interpolated(oks[rows], scores[rows]) for name, rows in sources.items()}
    return Accuracy(_interpolated(oks, scores), float(oks.mean()), by_source)


@dataclass(frozen=True)
class Evaluator:
    """Extracts sub-networks, estimates their statistics and measures them.

    Attributes:
        whole: the super-network.
        validation: people to measure on.
        calibration: uint8 crops [B, H, W, 3] to estimate statistics on.
        device: where networks run.
        dtype: of the convolutions; None for bfloat16 where the device computes in it.

    Raises:
        InputError: the people have other joints than the network.
    """

    whole: SuperNetwork
    validation: Validation
    calibration: Sequence[Tensor]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype | None = None

    def __post_init__(self) -> None:
        joints, skeleton = self.whole.biggest.joints, self.validation.skeleton
        if joints != len(skeleton):
            raise InputError(
                f"the super-network has {joints} joints, the people to validate on {len(skeleton)} ({skeleton.name}); give "
                "packs of the skeleton that it was trained on"
            )

    @property
    def arithmetic(self) -> torch.dtype:
        """What ``dtype`` comes to on the device."""
        return fast_dtype(self.device) if self.dtype is None else self.dtype

    def network(self, arch: Architecture) -> PoseNetwork:
        """A sub-network with weights of its own and its own statistics, in evaluation mode, on the device.

        Raises:
            ValueError: the description lies outside of the super-network.
        """
        network = channels_last(self.whole.extract(arch).to(self.device))
        recalibrate(network, self.calibration, self.arithmetic)
        return network

    def __call__(self, arch: Architecture) -> Accuracy:
        """Accuracy of a sub-network; raises as :meth:`network` does."""
        return average_precision(keypoints(self.network(arch), self.validation, dtype=self.arithmetic), self.validation)

    def describe(self) -> dict[str, Any]:
        """Plain JSON of everything that the figures depend on beside the network."""
        digest = hashlib.sha256(b"".join(b.numpy().tobytes() for b in self.calibration)).hexdigest()[:12]
        calibration = {"crops": sum(map(len, self.calibration)), "digest": digest}
        arithmetic = f"{self.device.type} {str(self.arithmetic).removeprefix('torch.')}"
        return {**self.validation.describe(), "calibration": calibration, "arithmetic": arithmetic}


@contextmanager
def computing(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Arithmetic of ``dtype`` where it is bfloat16, else as it comes."""
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        yield


def _cut(people: PackedPeople, rows: npt.NDArray[np.intp], size: tuple[int, int]) -> tuple[Tensor, FloatArray]:
    """Crops [N, H, W, 3] uint8 and affines [N, 2, 3] of people."""
    affines = np.array([crop_affine(people.boxes[row], size) for row in rows])
    crops = np.stack([crop(people.images[row], affine, size) for row, affine in zip(rows, affines, strict=True)])
    return torch.from_numpy(crops), affines


def _augmented(
    people: PackedPeople, row: int, size: tuple[int, int], strength: Augmentation, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    return render(people.images[row], people.view(row, size, strength, rng), size, strength, rng)


def _person_scores(found: FloatArray) -> npt.NDArray[np.float64]:
    """Mean score of the joints that are sure, [N]; 0 without any."""
    scores = np.asarray(found, np.float64)[..., 2]
    sure = scores > SURE
    return np.asarray(np.where(sure, scores, 0).sum(1) / np.maximum(sure.sum(1), 1))


def _interpolated(oks: FloatArray, scores: FloatArray) -> float:
    """Mean over thresholds of the precision at 101 recalls, one detection for each of N people."""
    ranked = oks[np.argsort(-scores, kind="stable")]
    hits = np.cumsum(ranked[None] >= THRESHOLDS[:, None], 1)
    precision = hits / np.arange(1, len(oks) + 1)
    best = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    places = [np.searchsorted(recall, RECALLS) for recall in hits / len(oks)]
    at = [np.append(row, 0.0)[place] for row, place in zip(best, places, strict=True)]
    return float(np.mean(at))
