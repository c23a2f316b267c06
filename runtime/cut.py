"""Scene cuts, from tiny grey thumbnails: a cut changes the whole picture at once and far more than the frames before."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["CutConfig", "CutDetector"]


@dataclass(frozen=True)
class CutConfig:
    """When two pictures in a row count as a cut.

    Attributes:
        difference: mean absolute difference that a cut has at least, grey levels of 255, brightness removed.
        ratio: and how many times the mean of the last differences.
        correlation: and the correlation of the two thumbnails stays below this.
        history: frames of that mean.
        size: width, height of the thumbnail.
    """

    difference: float = 14.0
    ratio: float = 4.0
    correlation: float = 0.6
    history: int = 12
    size: tuple[int, int] = (32, 18)


class CutDetector:
    """Feed it every frame in order."""

    def __init__(self, config: CutConfig | None = None) -> None:
        self._config = config or CutConfig()
        self._last: npt.NDArray[np.float32] | None = None
        self._shape: tuple[int, ...] = ()
        self._differences: deque[float] = deque(maxlen=self._config.history)

    def __call__(self, image: npt.NDArray[np.uint8]) -> bool:
        """Whether a new scene begins with this image [H, W, 3] uint8; a new picture size is one, the first frame none."""
        thumbnail = self._thumbnail(image)
        last, self._last = self._last, thumbnail
        shape, self._shape = self._shape, image.shape
        if last is None:
            return False
        if shape != image.shape:
            self._differences.clear()
            return True
        cut = self._is_cut(last, thumbnail)
        if cut:
            self._differences.clear()
        return cut

    def _is_cut(self, last: npt.NDArray[np.float32], now: npt.NDArray[np.float32]) -> bool:
        config = self._config
        difference = float(np.abs(now - last).mean())
        usual = float(np.mean(self._differences)) if self._differences else 0.0
        norm = float(np.sqrt((now * now).sum() * (last * last).sum()))
        # A flat picture (black, white) correlates with nothing; going to or from it is a cut when it differs enough.
        correlation = float((now * last).sum()) / norm if norm > 1e-6 else 0.0
        cut = difference > max(config.difference, config.ratio * usual) and correlation < config.correlation
        if not cut:
            self._differences.append(difference)
        return cut

    def _thumbnail(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        width, height = self._config.size
        step_y, step_x = max(image.shape[0] // (4 * height), 1), max(image.shape[1] // (4 * width), 1)
        green = np.ascontiguousarray(image[::step_y, ::step_x, 1])  # a sample is enough, and green is nearly luminance
        small = np.asarray(cv2.resize(green, (width, height), interpolation=cv2.INTER_AREA), np.float32)
        return np.asarray(small - small.mean(), np.float32)
