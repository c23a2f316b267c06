"""The window of --show: what can be tested without one."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from vipose.runtime import show
from vipose.runtime.errors import DeviceError


def test_ppm_is_a_picture() -> None:
    image = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    back = cv2.imdecode(np.frombuffer(show.as_ppm(image), np.uint8), cv2.IMREAD_COLOR)
    assert back is not None and np.array_equal(back[..., ::-1], image)


@pytest.mark.skipif(sys.platform != "linux", reason="only X11 can be taken away by the environment")
def test_without_a_display_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(show, "_opencv_has_windows", lambda: False)
    with pytest.raises(DeviceError, match="--show"):
        show.open_window()


def test_headless_opencv_has_no_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n")
    assert not show._opencv_has_windows()
