"""Looking twice: a second view of a person, mirrored and a little closer, and the mean of the heatmaps of both.

The flip test of the field averages with the mirrored crop. A second view that is closer as well errs in more different ways than a
mirrored one does, and costs the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vipose.runtime.geometry import Convention, FloatArray, compose, crop, crop_affine, warp_between, warp_heatmaps

__all__ = ["CLOSER", "SecondLook", "average_looks", "second_look"]

Heatmaps = npt.NDArray[np.float32]
CLOSER = 1.15
"""Padding of the second view's box; that of the first is ``geometry.PAD``."""


@dataclass(frozen=True)
class SecondLook:
    """The second view of a person.

    Attributes:
        affine: [2, 3] frame -> network input; it mirrors.
        crop: [h, w, 3] uint8, what the network sees.
    """

    affine: FloatArray
    crop: npt.NDArray[np.uint8]


def second_look(
    image: npt.NDArray[np.uint8], box: FloatArray, size: tuple[int, int], convention: Convention
) -> SecondLook:
    """Cut a person out of a frame for the second time.

    Args:
        image: [H, W, 3] uint8 RGB.
        box: x0, y0, x1, y1 in frame pixels.
        size: width, height of the network input.
        convention: of the graph.

    Returns:
        The look, for a network that takes crops of this size.
    """
    mirror = np.array([[-1.0, 0.0, size[0] - 1.0], [0.0, 1.0, 0.0]])
    affine = compose(mirror, crop_affine(box, size, pad=CLOSER, convention=convention))
    return SecondLook(affine, crop(image, affine, size))


def average_looks(
    first: Heatmaps,
    second: Heatmaps,
    affine: FloatArray,
    look: SecondLook,
    flip: tuple[int, ...],
    size: tuple[int, int],
    convention: Convention,
) -> Heatmaps:
    """The mean of both where both see, the first alone elsewhere.

    The second is laid over the first by the affines of both, so that mirroring is exact in every convention: the flip test's shift of a
    whole column for msra leaves a quarter of one.

    Args:
        first, second: [K, h, w] float32, each as the network put it out for its crop.
        affine: [2, 3] frame -> input of the first crop.
        look: the second one.
        flip: index of each joint's mirror image.
        size, convention: see :func:`second_look`.

    Returns:
        [K, h, w] float32 on the first crop.
    """
    between = warp_between(look.affine, affine, size, (first.shape[2], first.shape[1]), convention)
    seen = np.ones((1, *first.shape[1:]), np.float32)
    warped = warp_heatmaps(np.concatenate([second[list(flip)], seen]), between)
    return np.asarray((first + warped[:-1]) / (1 + warped[-1]), np.float32)
