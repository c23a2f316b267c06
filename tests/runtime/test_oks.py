"""OKS against the formula written out, and its borders."""

from __future__ import annotations

import numpy as np
import pytest

from vipose.runtime.oks import oks_matrix
from vipose.runtime.skeleton import COCO17

VARIANCES = COCO17.variances()


def poses(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(0, 200, (n, 17, 2)), rng.uniform(0.1, 1, (n, 17, 1))], 2)


def test_is_cocos_formula() -> None:
    a, b = poses(3), poses(4, 1)
    b[1, 5:, 2] = 0
    areas = np.array([4000.0, 900.0, 20000.0, 4000.0])
    found = oks_matrix(a, b, areas, VARIANCES)
    assert found.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            terms = [
                np.exp(-((a[i, k, :2] - b[j, k, :2]) ** 2).sum() / VARIANCES[k] / areas[j] / 2)
                for k in range(17)
                if b[j, k, 2] > 0
            ]
            assert found[i, j] == pytest.approx(np.mean(terms), abs=1e-12)


def test_the_same_pose_is_one_and_a_far_one_zero() -> None:
    a = poses(1)
    far = a + [1000, 0, 0]
    found = oks_matrix(np.concatenate([a, far]), a, np.array([5000.0]), VARIANCES)
    assert found[:, 0] == pytest.approx([1, 0])


def test_nothing_to_compare() -> None:
    a = poses(2)
    assert oks_matrix(a[:0], a, np.ones(2), VARIANCES).shape == (0, 2)
    assert oks_matrix(a, a[:0], np.ones(0), VARIANCES).shape == (2, 0)
    hidden = a.copy()
    hidden[..., 2] = 0
    assert (oks_matrix(a, hidden, np.full(2, 100.0), VARIANCES) == 0).all()
    assert np.isfinite(oks_matrix(a, a, np.zeros(2), VARIANCES)).all()


def test_visible_replaces_the_references_own() -> None:
    a = poses(1)
    b = a.copy()
    b[0, :10, 0] += 500
    mask = np.zeros((1, 1, 17), bool)
    mask[..., 10:] = True
    assert oks_matrix(a, b, np.array([5000.0]), VARIANCES, visible=mask)[0, 0] == pytest.approx(1)
