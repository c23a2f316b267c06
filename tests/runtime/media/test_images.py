"""Pictures and folders of pictures."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fixtures import clips
from vipose.runtime.errors import InputError
from vipose.runtime.media.base import Rotate, Selection
from vipose.runtime.media.images import ImagesSource, natural_key, read_image


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    made = clips.still_folder(tmp_path / "Bilder ü", count=12)
    with ImagesSource(made.path) as source:
        frames = list(source)
    assert [clips.read_index(f.image) for f in frames] == list(range(12))
    assert [f.index for f in frames] == list(range(12))
    assert [p.name for p in source.paths][:3] == ["img1.png", "img2.png", "img3.png"]
    assert (source.info.kind, source.info.size, source.info.frames, source.info.fps) == ("images", (96, 64), 12, None)
    assert np.array_equal(frames[3].image, clips.picture(3))
    assert not frames[3].image.flags.writeable
    times = [f.time_s for f in frames]
    assert all(b > a for a, b in pairwise(times))


def test_natural_order_is_total_and_mixes_digits_and_text() -> None:
    names = ["b1.png", "1b.png", "10.png", "2.png", "B1.png", "a.png"]
    assert [p.name for p in sorted(map(Path, names), key=natural_key)] == [
        "1b.png", "2.png", "10.png", "a.png", "B1.png", "b1.png",
    ]  # fmt: skip


def test_an_unreadable_picture_is_named_and_passed_over(tmp_path: Path) -> None:
    made = clips.still_folder(tmp_path / "stills", count=4)
    (made.path / "img2.png").write_bytes(b"no picture")
    (made.path / "img3.png").write_bytes(b"")
    source = ImagesSource(made.path)
    frames = list(source)
    assert [f.index for f in frames] == [0, 3]
    assert source.decoded == 2
    assert source.warnings == ["2 pictures could not be read: img2.png, img3.png"]


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    for path in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(InputError, match="can be read"):
            ImagesSource(path)


def test_every_and_window(tmp_path: Path) -> None:
    made = clips.still_folder(tmp_path / "stills", count=9)
    source = ImagesSource(made.path, selection=Selection(every=4))
    assert [f.index for f in source] == [0, 4, 8]
    assert (source.decoded, source.skipped) == (9, 6)
    assert [f.index for f in ImagesSource(made.path, selection=Selection(0.08, 0.2))] == [2, 3, 4]


@pytest.mark.parametrize(("rotate", "corner"), [("auto", "red"), (0, "red"), (90, "blue"), (180, "white")])
def test_a_given_rotation(tmp_path: Path, rotate: Rotate, corner: str) -> None:
    made = clips.still_folder(tmp_path / "stills", count=1)
    source = ImagesSource(made.path / "img1.png", rotate=rotate)
    (frame,) = source
    assert clips.corners(frame.image)[0] == corner
    assert source.info.size == (frame.image.shape[1], frame.image.shape[0])


def test_exif_is_followed_unless_a_rotation_is_given(tmp_path: Path) -> None:
    lying = np.ascontiguousarray(np.rot90(clips.picture(0)))
    ok, jpeg = cv2.imencode(".jpg", cv2.cvtColor(lying, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert ok
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)  # orientation 6: turn clockwise
    app1 = b"Exif\0\0" + tiff
    data = jpeg.tobytes()
    path = tmp_path / "phone.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + data[2:])
    assert clips.corners(read_image(path)) == clips.UPRIGHT
    assert clips.corners(read_image(path, 0)) != clips.UPRIGHT
    assert clips.corners(read_image(path, 90)) == clips.UPRIGHT


def test_grey_alpha_and_sixteen_bits_become_rgb(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stored = {
        "grey.png": rng.integers(0, 256, (8, 9), np.uint8),
        "alpha.png": rng.integers(0, 256, (8, 9, 4), np.uint8),
        "deep.png": rng.integers(0, 65536, (8, 9, 3), np.uint16),
    }
    for name, array in stored.items():
        ok, data = cv2.imencode(".png", array)
        assert ok
        (tmp_path / name).write_bytes(data.tobytes())
        image = read_image(tmp_path / name)
        assert (image.shape, image.dtype) == ((8, 9, 3), np.uint8)
