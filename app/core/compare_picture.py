"""The picture of a comparison: both sides show the same one, so heads that either mode sees are hidden on both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vipose.app.core.screen import scaled
from vipose.runtime.job import blur_config
from vipose.runtime.options import RunOptions
from vipose.runtime.privacy import BlurConfig, Ellipse, HeadBlur, blur_ellipses
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import Frame, FrameResult

__all__ = ["BothHeads"]


class BothHeads:
    """Remembers the heads of both modes over the frames of one source, also while nothing is blurred yet.

    A mode that is replaced by one with other joints leaves its last heads behind: they stay hidden until their time is over.
    """

    def __init__(self) -> None:
        self._sides: dict[str, HeadBlur] = {}
        self._gone: list[HeadBlur] = []
        self._regions: tuple[Ellipse, ...] = ()

    def see(self, results: dict[str, tuple[Skeleton, FrameResult]], options: RunOptions) -> None:
        """Take in what each side found on one frame; frames come in order."""
        config = _config(options)
        regions: list[Ellipse] = []
        for side, (skeleton, result) in results.items():
            blur = self._blur(side, skeleton)
            blur.config = config
            regions += blur.update(result)
        self._regions = (*regions, *self._left_behind(next(iter(results.values()))[1]))

    def _left_behind(self, result: FrameResult) -> list[Ellipse]:
        """Heads of modes that are gone, on a frame; a mode whose heads have had their time is forgotten."""
        nobody = replace(result, people=())
        remembered = [(gone, gone.update(nobody)) for gone in self._gone]
        self._gone = [gone for gone, regions in remembered if regions]
        return [region for _, regions in remembered for region in regions]

    def picture(self, frame: Frame, options: RunOptions) -> npt.NDArray[np.uint8]:
        """The frame that was seen last as [h, w, 3] uint8 RGB for the screen, contiguous and read-only."""
        if not options.head_blur:
            return scaled(frame.image)
        return scaled(blur_ellipses(frame.image, self._regions, _config(options).cells))

    def _blur(self, side: str, skeleton: Skeleton) -> HeadBlur:
        blur = self._sides.get(side)
        if blur is None or blur.skeleton != skeleton:
            if blur is not None:
                self._gone.append(blur)
            blur = self._sides[side] = HeadBlur(skeleton)
        return blur


def _config(options: RunOptions) -> BlurConfig:
    """As for a run with blurred heads, whether or not they are now."""
    return blur_config(replace(options, head_blur=True)) or BlurConfig()
