"""Skeletons are consistent data."""

from __future__ import annotations

import numpy as np
import pytest

from vipose.runtime.skeleton import COCO17, MPII16, SKELETONS, Skeleton


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_every_skeleton_is_whole(skeleton: Skeleton) -> None:
    count = len(skeleton)
    assert len(set(skeleton.joints)) == count == len(skeleton.sigmas) == len(skeleton.flip)
    assert all(0 <= a < count and 0 <= b < count and a != b for a, b in skeleton.limbs)
    assert {j for limb in skeleton.limbs for j in limb} == set(range(count))
    assert len({frozenset(limb) for limb in skeleton.limbs}) == len(skeleton.limbs)
    assert [skeleton.flip[j] for j in skeleton.flip] == list(range(count))  # mirroring twice changes nothing


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_mirror_images_share_sigmas_and_limbs(skeleton: Skeleton) -> None:
    limbs = {frozenset(limb) for limb in skeleton.limbs}
    for j, mirror in enumerate(skeleton.flip):
        assert skeleton.sigmas[j] == skeleton.sigmas[mirror]
        assert {"left": "right", "right": "left", "centre": "centre"}[skeleton.side(j)] == skeleton.side(mirror)
    assert {frozenset(skeleton.flip[j] for j in limb) for limb in limbs} == limbs


def test_coco() -> None:
    assert COCO17.joints[0] == "nose" and COCO17.index("left_wrist") == 9
    assert COCO17.flip == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
    assert COCO17.pairs[0] == (1, 2) and len(COCO17.pairs) == 8
    assert COCO17.variances() == pytest.approx((2 * np.array(COCO17.sigmas)) ** 2)
    with pytest.raises(ValueError):
        COCO17.index("tail")


def test_mpii() -> None:
    assert len(MPII16) == 16 and len(MPII16.pairs) == 6 and MPII16.side(MPII16.index("pelvis")) == "centre"
