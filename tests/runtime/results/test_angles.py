from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipose.runtime.results.angles import ANGLES, Unwrap, joint_angles
from vipose.runtime.skeleton import COCO17, MPII16, Skeleton

# A person who stands upright, arms hanging, facing us: their left is on the right of the picture. y goes down.
STANDING = {
    "shoulder": (20, 100), "elbow": (20, 150), "wrist": (20, 200), "hip": (20, 200), "knee": (20, 300), "ankle": (20, 400),
}  # fmt: skip


def _pose(skeleton: Skeleton = COCO17, **moved: tuple[float, float]) -> np.ndarray:
    """[K, 3] of the standing person; ``left_knee=(x, y)`` moves a joint."""
    points = np.zeros((len(skeleton), 3))
    for joint, (x, y) in STANDING.items():
        for side, sign in (("left", 1), ("right", -1)):
            points[skeleton.index(f"{side}_{joint}")] = (sign * x, y, 0.9)
    for joint, place in moved.items():
        points[skeleton.index(joint), :2] = place
    return points


def _angles(pose: np.ndarray, skeleton: Skeleton = COCO17, **options: float) -> dict[str, float]:
    return dict(zip(ANGLES, joint_angles(pose[None], skeleton, **options)[0].tolist(), strict=True))


@pytest.mark.parametrize("skeleton", [COCO17, MPII16])
def test_standing_upright_is_zero_everywhere(skeleton: Skeleton) -> None:
    assert _angles(_pose(skeleton), skeleton) == pytest.approx(dict.fromkeys(ANGLES, 0.0), abs=1e-9)


@pytest.mark.parametrize(
    ("moved", "angle", "degrees"),
    [
        ({"left_ankle": (120, 300)}, "left_knee", 90),
        ({"left_ankle": (-80, 300)}, "left_knee", 90),
        ({"right_ankle": (-20, 200)}, "right_knee", 180),
        ({"right_ankle": (-20 + 50, 300 + 50)}, "right_knee", 45),
        ({"left_wrist": (70, 150)}, "left_elbow", 90),
        ({"left_wrist": (20, 110)}, "left_elbow", 180),
        ({"right_knee": (80, 200)}, "right_hip", 90),
        ({"left_knee": (20, 150)}, "left_hip", 180),
        ({"left_elbow": (70, 100)}, "left_shoulder", 90),
        ({"left_elbow": (-30, 100)}, "left_shoulder", 90),
        ({"left_elbow": (20, 50)}, "left_shoulder", 180),
        ({"left_elbow": (70, 150)}, "left_shoulder", 45),
        ({"left_knee": (120, 300)}, "left_ankle", 45),
        ({"left_knee": (-80, 300)}, "left_ankle", -45),
        ({"left_knee": (120, 400)}, "left_ankle", 90),
        ({"left_shoulder": (120, 200), "right_shoulder": (80, 200)}, "trunk_lean", 90),
        ({"left_shoulder": (-80, 100), "right_shoulder": (-120, 100)}, "trunk_lean", -45),
        ({"left_shoulder": (20, 300), "right_shoulder": (-20, 300)}, "trunk_lean", 180),
    ],
)
def test_hand_computed(moved: dict[str, tuple[float, float]], angle: str, degrees: float) -> None:
    assert _angles(_pose(**moved))[angle] == pytest.approx(degrees, abs=1e-9)


def test_unsure_missing_and_degenerate_joints_give_nan() -> None:
    pose = _pose()
    pose[COCO17.index("left_knee"), 2] = 0.29
    found = _angles(pose)
    assert {name for name, value in found.items() if np.isnan(value)} == {"left_knee", "left_hip", "left_ankle"}
    assert not np.isnan(list(_angles(pose, min_score=0.2).values())).any()
    assert np.isnan(_angles(_pose(left_ankle=(20, 300)))["left_knee"])
    pose = _pose()
    pose[COCO17.index("right_hip"), 0] = np.inf
    assert np.isnan(_angles(pose)["trunk_lean"]) and _angles(pose)["left_hip"] == 0
    hands = Skeleton("hands", ("left_elbow", "right_elbow"), (), (0.1, 0.1))
    assert np.isnan(joint_angles(np.ones((3, 2, 3)), hands)).all()


def test_nobody_is_an_ordinary_case() -> None:
    assert joint_angles(np.zeros((0, 17, 3)), COCO17).shape == (0, len(ANGLES))


@given(st.floats(0, 360), st.floats(0.1, 10), st.floats(-500, 500), st.integers(0, 2**31))
def test_angles_between_segments_ignore_where_and_how_the_person_lies(turn: float, scale: float, shift: float, seed: int) -> None:
    poses = np.random.default_rng(seed).uniform(0, 100, (3, 17, 3))
    poses[..., 2] = 1
    radians = np.radians(turn)
    rotation = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    moved = poses.copy()
    moved[..., :2] = scale * poses[..., :2] @ rotation.T + shift
    before, after = joint_angles(poses, COCO17), joint_angles(moved, COCO17)
    between = [i for i, name in enumerate(ANGLES) if "ankle" not in name and "trunk" not in name]
    np.testing.assert_allclose(after[:, between], before[:, between], atol=1e-6)
    lean = ANGLES.index("trunk_lean")
    difference = (after[:, lean] - before[:, lean] - turn + 180) % 360 - 180
    np.testing.assert_allclose(difference, 0, atol=1e-6)
    one_by_one = np.concatenate([joint_angles(pose[None], COCO17) for pose in poses])
    np.testing.assert_array_equal(before, one_by_one)


def _lean_row(degrees: float) -> np.ndarray:
    row = np.zeros((1, len(ANGLES)))
    row[0, ANGLES.index("trunk_lean")] = (degrees + 180) % 360 - 180
    return row


def test_a_somersault_has_no_jump() -> None:
    unwrap, lean = Unwrap(), ANGLES.index("trunk_lean")
    turning = np.arange(0, 730, 7.0)
    found = [unwrap([5], i / 30, _lean_row(d))[0, lean] for i, d in enumerate(turning)]
    np.testing.assert_allclose(found, turning, atol=1e-9)


def test_unwrapping_is_per_person_survives_nan_and_ends_after_a_gap() -> None:
    unwrap, lean = Unwrap(gap_s=1.0), ANGLES.index("trunk_lean")
    both = np.concatenate([_lean_row(170), _lean_row(-170)])
    np.testing.assert_allclose(unwrap([1, 2], 0.0, both)[:, lean], [170, -170])
    swapped = np.concatenate([_lean_row(175), _lean_row(190)])
    np.testing.assert_allclose(unwrap([2, 1], 0.1, swapped)[:, lean], [-185, 190])
    missing = _lean_row(0)
    missing[0, lean] = np.nan
    assert np.isnan(unwrap([1], 0.2, missing)[0, lean])
    assert unwrap([1], 0.3, _lean_row(195))[0, lean] == pytest.approx(195)
    assert unwrap([1], 5.0, _lean_row(195))[0, lean] == pytest.approx(-165)
    assert unwrap([1], 5.1, _lean_row(195))[0, lean] == pytest.approx(-165)
