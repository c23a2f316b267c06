"""Packs, views, targets and sequences: labels must stay on the picture whatever augmentation does."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from vipose.models.data.clips import cut_tracks, write_clip_pack
from vipose.models.data.pack import read_crops, read_detection_people, write_pack
from vipose.models.data.people import Augmentation, Camera, PackedPeople, random_view, render, targets
from vipose.models.data.sequences import Clips, carry, clip_sequence, still_sequence
from vipose.runtime.codec import decode, encode_gaussian
from vipose.runtime.geometry import apply_affine, compose, crop_affine, heatmap_scale
from vipose.runtime.skeleton import COCO17

PLAIN = Augmentation(colour=0, grey=0, blur=0, erase=0, half_body=0)
JOINTS = np.stack([np.linspace(40, 80, 17), np.linspace(30, 130, 17)], 1)


class Teacher:
    """Stands in for a network: Gaussians where the joints of the stored crop really are."""

    size = (192, 256)

    def __init__(self, joints: np.ndarray, box: np.ndarray) -> None:
        to_map = compose(heatmap_scale(self.size, (48, 64), "udp"), crop_affine(box, self.size))
        self.map = encode_gaussian(apply_affine(to_map, joints), (48, 64))

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        return np.repeat(self.map[None], len(crops), 0)


def crop_set(folder: Path, labelled: bool) -> np.ndarray:
    """One person in the shared crop format; returns its box."""
    image = np.zeros((160, 120, 3), np.uint8)
    for x, y in JOINTS:
        cv2.circle(image, (round(x), round(y)), 3, (255, 255, 255), -1)
    encoded = cv2.imencode(".webp", image)[1].tobytes()
    with tarfile.open(folder / "train-00.tar", "w") as tar:
        info = tarfile.TarInfo("7.webp")
        info.size = len(encoded)
        tar.addfile(info, io.BytesIO(encoded))
    gt = np.zeros((1, 17, 3), np.float32)
    if labelled:
        gt[0] = np.column_stack([JOINTS, np.full(17, 2)])
    box = np.array([[30, 20, 60, 120]], np.float32)
    np.savez(
        folder / "train.npz", id=np.array([7]), shard=np.array([0], np.uint8), source=np.array([0]), names=["coco"],
        box=box, gt=gt, flag=np.array([0]),
    )  # fmt: skip
    return np.array([30, 20, 90, 140], np.float32)


@pytest.fixture(params=[True, False], ids=["labelled", "teacher-only"])
def people(request: pytest.FixtureRequest, tmp_path: Path) -> PackedPeople:
    box = crop_set(tmp_path, request.param)
    assert write_pack(read_crops(tmp_path), tmp_path / "pack", Teacher(JOINTS, box)) == 1  # type: ignore[arg-type]
    return PackedPeople([tmp_path / "pack"])


def test_targets_lie_where_the_picture_shows_the_joints(people: PackedPeople) -> None:
    rng = np.random.default_rng(1)
    size = (192, 256)
    known = np.column_stack([JOINTS, np.arange(17)]).astype(np.float32)
    for _ in range(12):
        view = random_view(people.boxes[0], known, size, PLAIN, rng)
        target = targets(people.gt[0], people.teacher(0), people.boxes[0], view, size, (48, 64), 2.0)
        where = apply_affine(view.affine, JOINTS)
        where = where[list(COCO17.flip)] if view.mirrored else where
        inside = (where > 12).all(1) & (where < [180, 244]).all(1) & (target.weight > 0.5)
        found = decode(target.distribution[None])[0, :, :2] * [191 / 47, 255 / 63]
        assert np.abs(found - where)[inside].max() < 2.0
        assert np.allclose(target.distribution.sum((1, 2)), 1, atol=1e-3)
        image = render(people.images[0], view, size, PLAIN, rng)
        x, y = np.rint(where[inside]).astype(int).T
        assert (image[y, x].mean(1) > 120).all()


def test_joints_that_nobody_sees_learn_a_flat_map() -> None:
    view = Camera(1.0, (0.0, 0.0), 0.0, False).look_at(np.array([0.0, 0.0, 60.0, 80.0]), (96, 128))
    nobody = np.zeros((17, 3), np.float32)
    target = targets(nobody, np.zeros((17, 64, 48), np.uint8), np.array([0, 0, 60, 80]), view, (96, 128), (24, 32), 1.0)
    assert np.allclose(target.distribution, 1 / (24 * 32))
    assert (target.weight < 0.1).all()


def test_detection_people_leave_out_what_is_small_or_ignored(tmp_path: Path) -> None:
    image = cv2.imencode(".webp", np.full((200, 200, 3), 90, np.uint8))[1].tobytes()
    with tarfile.open(tmp_path / "train-00.tar", "w") as tar:
        info = tarfile.TarInfo("0.webp")
        info.size = len(image)
        tar.addfile(info, io.BytesIO(image))
    boxes = np.array([[10, 10, 90, 190, 1, 0], [100, 10, 120, 40, 1, 0], [100, 10, 190, 190, 1, 1]], np.float32)
    np.savez(
        tmp_path / "train.npz", id=[0], shard=[0], source=[0], names=["voc2012"], offsets=[0, 3], boxes=boxes
    )
    found = list(read_detection_people(tmp_path))
    assert len(found) == 1
    assert found[0].box[3] - found[0].box[1] == pytest.approx(180, abs=1)


def moving_clip(tmp_path: Path) -> Clips:
    """A square walks to the right; the detector of the test sees it exactly."""
    frames = []
    for t in range(10):
        image = np.full((240, 320, 3), 30, np.uint8)
        cv2.rectangle(image, (60 + 4 * t, 60), (120 + 4 * t, 180), (200, 220, 240), -1)
        frames.append(image)
    count = iter(range(10))

    def detect(_: np.ndarray) -> np.ndarray:
        t = next(count)
        return np.array([[60 + 4 * t, 60, 120 + 4 * t, 180, 0.9]])

    rows = cut_tracks(frames, detect, "clip:square")
    joints = np.full((17, 2), 60.0)
    write_clip_pack(rows, tmp_path / "clips", Teacher(joints, np.array([30, 20, 90, 140])))  # type: ignore[arg-type]
    return Clips([tmp_path / "clips"])


def test_clip_windows_carry_heatmaps_as_the_runtime_does(tmp_path: Path) -> None:
    clips = moving_clip(tmp_path)
    assert len(clips) == 10 and len(set(clips.track.tolist())) == 1
    rng = np.random.default_rng(0)
    rows = clips.window(4, rng)
    sequence = clip_sequence(clips, rows, (96, 128), 1.0, PLAIN, rng)
    assert sequence.images.shape == (4, 128, 96, 3)
    assert sequence.distribution.shape == (3, 17, 32, 24)
    heatmaps = encode_gaussian(np.full((17, 2), 12.0), (24, 32))
    carried = carry(heatmaps, sequence.warp[0], np.zeros((17, 2), np.float32), np.ones(17, np.float32))
    expected = apply_affine(sequence.warp[0], np.array([[12.0, 12.0]]))[0]
    assert np.abs(decode(carried[None])[0, 0, :2] - expected).max() < 0.3


def test_spoilt_priors_move_and_vanish(people: PackedPeople) -> None:
    rng = np.random.default_rng(3)
    sequence = still_sequence(people, 0, 4, (96, 128), 1.0, PLAIN, rng)
    assert sequence.images.shape[0] == 4
    heatmaps = encode_gaussian(np.full((17, 2), 12.0), (24, 32))
    identity = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    shift = np.zeros((17, 2), np.float32)
    shift[0] = [3, -2]
    shift[2] = [0.4, 1.7]
    keep = np.ones(17, np.float32)
    keep[1] = 0
    prior = carry(heatmaps, identity, shift, keep)
    found = decode(prior[None])[0, :, :2]
    assert np.allclose(found[0], [15, 10], atol=0.05)
    assert np.allclose(found[2], [12.4, 13.7], atol=0.05)
    assert prior[1].max() == 0
