"""The picture as the screen gets it: heads blurred where that is asked for, and not larger than a screen can show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vipose.runtime.job import blur_config
from vipose.runtime.media.pixels import shrunk
from vipose.runtime.options import RunOptions
from vipose.runtime.privacy import HeadBlur
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import Frame, FrameResult, readonly

__all__ = ["LARGEST_SIDE_PX", "ScreenPicture", "scaled"]

LARGEST_SIDE_PX = 1920
"""Larger pictures are scaled down in the worker: painting 4K takes longer than the screen's thread may take."""


class ScreenPicture:
    """Makes pictures of one source, in order. Not for two threads at once."""

    def __init__(self) -> None:
        self._blur: HeadBlur | None = None
        self._skeleton: Skeleton | None = None
        self._options: RunOptions | None = None
        self.stale = False
        """Whether the last picture was made with other options, so that a paused one must be made again."""

    def begin(self, skeleton: Skeleton, options: RunOptions) -> None:
        """A new source, or other joints: nobody is remembered."""
        self._skeleton, self._options = skeleton, options
        self._renew(options)

    def configure(self, options: RunOptions) -> None:
        """Other options; heads that are blurred already stay remembered."""
        before, self._options = self._options, options
        if before is not None and blur_config(before) != blur_config(options):
            self._renew(options)
            self.stale = True

    def _renew(self, options: RunOptions) -> None:
        config = blur_config(options)
        self._blur = None if config is None or self._skeleton is None else HeadBlur(self._skeleton, config)

    def picture(self, frame: Frame, result: FrameResult) -> npt.NDArray[np.uint8]:
        """[h, w, 3] uint8 RGB, contiguous and read-only."""
        self.stale = False
        return scaled(frame.image if self._blur is None else self._blur.apply(frame.image, result))


def scaled(image: npt.NDArray[np.uint8], largest_px: int = LARGEST_SIDE_PX) -> npt.NDArray[np.uint8]:
    """The picture [H, W, 3] itself where no side exceeds ``largest_px``, else scaled down; contiguous and read-only."""
    return readonly(np.ascontiguousarray(shrunk(image, largest_px)))
