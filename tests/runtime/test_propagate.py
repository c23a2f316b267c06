"""Heatmaps are warped from crop to crop, in batches by phase, and decoded in frame pixels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vipose.runtime.codec import encode_gaussian
from vipose.runtime.metadata import Codec, GraphMetadata, InputSpec
from vipose.runtime.propagate import Propagator

IMAGE = np.zeros((480, 640, 3), np.uint8)
JOINT = np.array([300.0, 200.0])


class Echo:
    """Temporal: gives back what it is given. Spatial: every joint in the middle of the crop."""

    def __init__(self, phase: int = 0, batch: int | None = None) -> None:
        self.phase, self.sizes = phase, []
        if batch:
            self.batch = batch

    @property
    def metadata(self) -> GraphMetadata:
        task = "pose-temporal" if self.phase else "pose-spatial"
        return GraphMetadata(task, "e", InputSpec(96, 128), skeleton="coco17", codec=Codec(), T=2, phase=self.phase)

    def __call__(self, crops: np.ndarray, heatmaps: np.ndarray | None = None) -> np.ndarray:
        self.sizes.append(len(crops))
        if heatmaps is not None:
            return heatmaps
        return np.repeat(encode_gaussian(np.array([[11.5, 15.5]] * 17), (24, 32))[None], len(crops), 0)


def networks(batch: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(spatial=Echo(batch=batch), temporal=(Echo(1), Echo(2)))


def look(propagator: Propagator, people: list, size: tuple[int, int] = (640, 480)) -> list:
    looks = propagator.prepare(IMAGE, people)
    propagator.run(looks)
    propagator.decode(looks, size)
    return looks


def around(dx: float, dy: float, half: float) -> np.ndarray:
    return np.array([JOINT[0] + dx - half, JOINT[1] + dy - half, JOINT[0] + dx + half, JOINT[1] + dy + half])


@pytest.mark.parametrize(("dx", "dy", "half"), [(0, 0, 60), (10, -8, 60), (-15, 5, 75), (4, 4, 48)])
def test_a_still_joint_stays_where_it_is_though_the_crop_moves(dx: float, dy: float, half: float) -> None:
    propagator = Propagator(networks())
    first = look(propagator, [(7, around(0, 0, 60), 0)])
    assert first[0].keypoints[:, :2] == pytest.approx(np.tile(JOINT, (17, 1)), abs=0.01)
    propagator.keep(first)
    second = look(propagator, [(7, around(dx, dy, half), 1)])
    assert np.abs(second[0].keypoints[:, :2] - JOINT).max() < 0.35
    assert second[0].keypoints[:, 2].min() > 0.85


def test_people_in_one_phase_run_together_and_batches_are_cut() -> None:
    modes = networks(batch=2)
    propagator = Propagator(modes)
    propagator.keep(look(propagator, [(i, around(0, 0, 60), 0) for i in range(5)]))
    assert modes.spatial.sizes == [2, 2, 1]
    looks = look(propagator, [(0, around(0, 0, 60), 1), (1, around(0, 0, 60), 2), (2, around(0, 0, 60), 1)])
    assert [n.sizes for n in modes.temporal] == [[2], [1]]
    assert [x.person for x in looks] == [0, 1, 2]
    assert look(propagator, [(3, around(0, 0, 60), 9)])[0].phase == 2  # beyond the last network: the last network
    assert set(propagator.spent_ms) == {"spatial", "temporal"}


def test_who_is_not_kept_is_forgotten() -> None:
    propagator = Propagator(networks())
    looks = look(propagator, [(1, around(0, 0, 60), 0), (2, around(0, 0, 60), 0)])
    propagator.keep(looks[:1])
    assert propagator.heatmaps(1) is not None and propagator.heatmaps(2) is None
    assert look(propagator, []) == []


def test_joints_outside_of_the_frame_lose_score() -> None:
    looks = look(Propagator(networks()), [(1, around(0, 0, 60), 0)], size=(250, 480))
    assert looks[0].keypoints[:, 2].max() <= 0.25
    assert looks[0].keypoints[0, 0] == pytest.approx(300, abs=0.01)


def test_what_draws_a_network_to_one_side_cancels_on_looking_twice() -> None:
    """It puts every joint a cell too far right; in the mirror that is too far left, and only key frames are looked at twice."""

    class Leaning(Echo):
        def __call__(self, crops: np.ndarray, heatmaps: np.ndarray | None = None) -> np.ndarray:
            out = super().__call__(crops, heatmaps)
            return out if heatmaps is not None else np.roll(out, 1, axis=-1)

    modes = SimpleNamespace(spatial=Leaning(batch=2), temporal=(Leaning(1), Leaning(2)))
    people = [(i, around(0, 0, 60), 0) for i in range(3)]
    once, twice = Propagator(modes), Propagator(modes, twice=True)
    assert (look(once, people)[2].keypoints[:, 0] > JOINT[0] + 3).all()
    looks = look(twice, people)
    assert all(np.abs(each.keypoints[:, 0] - JOINT[0]).max() < 0.5 for each in looks)
    assert modes.spatial.sizes == [2, 1] + [2, 2, 2]
    twice.keep(looks)
    look(twice, [(i, box, 1) for i, box, _ in people])
    assert modes.temporal[0].sizes == [3]
