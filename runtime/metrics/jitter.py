"""Jitter: how much joints tremble from frame to frame, as a fraction of the person's size.

The measure is the length of the second difference x(t+1) - 2 x(t) + x(t-1) of a joint over three frames in a row, divided by
the size of the person on the middle frame. A joint at rest or in even motion has none. Where time stamps are uneven, x(t)
is held against the straight line through its neighbours at its own time, so that a variable frame rate is no jitter;
with even stamps this is the plain second difference.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["consecutive", "jitter", "second_differences"]

FloatArray = npt.NDArray[np.floating]


def second_differences(times_s: FloatArray, points: FloatArray) -> npt.NDArray[np.float64]:
    """Second differences of [F, ..., 2] points over F frames as [F - 2, ..., 2]; time stamps need not be even.

    Repeated or falling time stamps count as evenly spaced.
    """
    times, points = np.asarray(times_s, np.float64), np.asarray(points, np.float64)
    if len(points) < 3:
        return np.zeros((0, *points.shape[1:]))
    before, after = times[1:-1] - times[:-2], times[2:] - times[1:-1]
    good = (before > 0) & (after > 0)
    weight = np.where(good, before / np.where(good, before + after, 1.0), 0.5)  # share of the later neighbour
    weight = weight.reshape(-1, *[1] * (points.ndim - 1))
    line = points[:-2] * (1 - weight) + points[2:] * weight
    return np.asarray(2 * (line - points[1:-1]))


def consecutive(index: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """[F - 2]: whether three entries in a row are three frames in a row (``index`` counts frames without gaps)."""
    return np.asarray((index[2:] - index[:-2] == 2) & (index[1:-1] - index[:-2] == 1))


def jitter(
    index: npt.NDArray[np.integer],
    times_s: FloatArray,
    points: FloatArray,
    sizes: FloatArray,
    valid: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Jitter samples of one track, one for each joint and each three frames in a row on which that joint is valid.

    Args:
        index: [F] position of the frame in the sequence, rising.
        times_s: [F] seconds.
        points: [F, K, 2 or more] pixels.
        sizes: [F] size of the person, pixels.
        valid: [F, K] whether a joint counts on a frame.

    Returns:
        [M] fractions of the person's size; the caller takes the mean over all tracks.
    """
    if len(index) < 3:
        return np.zeros(0)
    length = np.linalg.norm(second_differences(times_s, np.asarray(points)[..., :2]), axis=-1)
    length /= np.maximum(np.asarray(sizes, np.float64)[1:-1, None], 1e-9)
    usable = valid[:-2] & valid[1:-1] & valid[2:] & consecutive(index)[:, None]
    return np.asarray(length[usable])
