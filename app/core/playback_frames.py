"""Makes the frames that a playback shows: result, picture, head blur."""

from __future__ import annotations

import time
from collections.abc import Callable

from vipose.app.core.footage import Footage, HeadsAt, find_video
from vipose.app.core.screen import scaled
from vipose.app.core.shown import Shown
from vipose.app.core.stored import StoredResults
from vipose.runtime.errors import InputError
from vipose.runtime.privacy import BlurConfig
from vipose.runtime.progress import Rate

__all__ = ["FrameMaker", "open_footage"]


def open_footage(stored: StoredResults, cancelled: Callable[[], bool]) -> tuple[Footage, tuple[str, ...]]:
    """The pictures of results, black ones where there is no video, and what the user should know about them."""
    found, is_source = find_video(stored)
    if found is None:
        return Footage(stored, None), ("Its video was not found. Choose it to see pictures behind the skeletons.",)
    try:
        footage = Footage(stored, found, cancelled)
    except InputError as error:
        return Footage(stored, None), (f"Its video cannot be shown: {error}",)
    beside = f"Shown with {found.name}, which lies beside the results; it may have skeletons drawn on it."
    return footage, tuple(note for note in ("" if is_source else beside, footage.note) if note)


class FrameMaker:
    """Frames of one file with one video, in any order. Not for two threads at once.

    Args:
        stored: the results.
        footage: their pictures; closed with this.
    """

    def __init__(self, stored: StoredResults, footage: Footage) -> None:
        self._stored, self._footage = stored, footage
        self._heads: HeadsAt | None = None
        self._rate, self._made = Rate(), 0
        self._mode = str(stored.header.settings.get("mode", ""))

    def make(self, position: int, blur: BlurConfig | None, due_s: float | None) -> Shown:
        """The frame at a position.

        Args:
            position: among the stored frames.
            blur: how heads are hidden; None shows them.
            due_s: ``time.monotonic()`` when it is due while playing; None for a frame that stands still.

        Raises:
            InputError: the result file changed or cannot be read any more.
            Interrupted: something newer is wanted.
        """
        result = self._footage.sized(self._stored.result(position))
        image = self._footage.frame(position, result).image
        if blur is not None:
            if self._heads is None or self._heads.config != blur:
                self._heads = HeadsAt(self._stored, blur)
            image = self._heads.hide(image, position, result)
        self._made += 1
        self._rate.update(self._made)
        joints = self._stored.header.joints
        if due_s is None:
            return Shown(scaled(image), result, joints, time.monotonic(), mode=self._mode)
        return Shown(scaled(image), result, joints, due_s, self._rate.fps, mode=self._mode)

    def close(self) -> None:
        """Free the video."""
        self._footage.close()
