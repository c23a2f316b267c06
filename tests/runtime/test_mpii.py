"""Readers of MPII's label files, and its crop rule against numbers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.mpii import listed, release_person, write_heads, write_list, write_release
from vipose.runtime.errors import InputError
from vipose.runtime.geometry import apply_affine, crop_affine
from vipose.runtime.mpii import is_mpii, load_mpii, mpii_box
from vipose.runtime.skeleton import MPII16

JOINTS = np.stack([np.arange(16) * 10 + 101.0, np.arange(16) * 5 + 51.0], 1)


def test_the_crop_is_the_published_one() -> None:
    # Centre (321, 201) and scale 2: the middle goes down by 30 to 231, counting from 0 it is (320, 230). The square is
    # 200 x 2 = 400 wide, padded by 1.25 it is 500: its left upper corner (70, -20) falls on (0, 0) of the crop.
    box = mpii_box((321, 201), 2.0)
    assert box.tolist() == [120, 30, 520, 430]
    affine = crop_affine(box, (256, 256), convention="msra")
    points = np.array([[320.0, 230], [70, -20], [570, 480], [320 + 125, 230]])
    assert apply_affine(affine, points) == pytest.approx(np.array([[128, 128], [0, 0], [256, 256], [192, 128]]))


def test_people_of_a_list_count_from_0(tmp_path: Path) -> None:
    shown = np.ones(16)
    shown[[6, 9]] = 0
    people = [listed("a.jpg", JOINTS, (321, 201), 2.0, shown), listed("b.jpg", JOINTS, (-1, -1), -1.0)]
    first, second = load_mpii(write_list(tmp_path / "mpii_val.json", people))
    assert first.image == "a.jpg" and first.box is not None and first.box.tolist() == [120, 30, 520, 430]
    assert first.joints[0].tolist() == [100, 50, 2] and first.joints[15].tolist() == [250, 125, 2]
    assert first.joints[[6, 9]].tolist() == [[0, 0, 0]] * 2 and first.head is None
    assert second.box is None  # neither centre nor scale is known


def test_a_joint_at_minus_one_is_no_label_whatever_its_flag(tmp_path: Path) -> None:
    person = listed("a.jpg", JOINTS, (321, 201), 2.0)
    person["joints"][3] = [-1, -1]
    (found,) = load_mpii(write_list(tmp_path / "l.json", [person]))
    assert found.joints[3].tolist() == [0, 0, 0] and (found.joints[:, 2] > 0).sum() == 15


def release(path: Path) -> Path:
    whole = {k: (x, y, "1") for k, (x, y) in enumerate(JOINTS.tolist())}
    whole[2], whole[8] = (121.0, 61.0, 0), (181.0, 91.0, np.zeros((0, 0)))  # hidden; not said
    part = {9: (41.0, 11.0, 1)}
    people = [
        release_person(whole, (321, 201), 2.0, (11, 21, 41, 61)),
        release_person({}, None, 0, (1, 1, 2, 2)),
        release_person(part, (51, 61), 1.0, (31, 1, 51, 21)),
    ]
    far = release_person(whole, (81, 91), 1.5, (1, 1, 31, 41))
    return write_release(path, [
        ("one.jpg", True, people, [1]), ("test.jpg", False, [far], []), ("none.jpg", True, [], []),
        ("two.jpg", True, [far], [1]),
    ])  # fmt: skip


def test_the_official_release(tmp_path: Path) -> None:
    path = release(tmp_path / "mpii_human_pose_v1_u12_1.mat")
    assert is_mpii(path)
    people = load_mpii(path)
    assert [p.image for p in people] == ["one.jpg", "one.jpg", "two.jpg"]  # no test picture, no mere head box
    first, second, third = people
    assert first.box is not None and first.box.tolist() == [120, 30, 520, 430]
    assert first.joints[15].tolist() == [250, 125, 2] and first.joints[2].tolist() == [120, 60, 1]
    assert first.joints[8].tolist() == [180, 90, 2]
    assert first.head is not None and first.head.tolist() == [10, 20, 40, 60]
    assert (second.joints[:, 2] > 0).sum() == 1 and second.joints[MPII16.index("head_top")].tolist() == [40, 10, 2]
    assert third.box is not None and third.box.tolist() == [80 - 150, 112.5 - 150, 80 + 150, 112.5 + 150]
    assert [p.image for p in load_mpii(path, subset="single")] == ["one.jpg", "two.jpg"]


def test_a_release_of_one_picture_and_one_person(tmp_path: Path) -> None:
    person = release_person({0: (2.0, 3.0, 1)}, (51, 61), 1.0, (1, 1, 4, 5))
    path = write_release(tmp_path / "one.mat", [("a.jpg", True, [person], [1])])
    for subset in ("all", "single"):
        (found,) = load_mpii(path, subset=subset)  # type: ignore[arg-type]
        assert found.joints[0].tolist() == [1, 2, 2]


@pytest.mark.parametrize("count", [1, 3])
def test_heads_bring_joints_and_boxes_in_the_same_order(tmp_path: Path, count: int) -> None:
    people = [listed(f"{n}.jpg", JOINTS + n, (321, 201), 2.0) for n in range(count)]
    for person in people:
        person["joints_vis"][4] = 0
    heads = write_heads(tmp_path / "gt.mat", people, [(11 + n, 21, 41 + n, 61) for n in range(count)])
    found = load_mpii(write_list(tmp_path / "l.json", people), heads)
    assert [p.head.tolist() for p in found if p.head is not None] == [[10 + n, 20, 40 + n, 60] for n in range(count)]
    for n, person in enumerate(found):
        assert person.joints[0].tolist() == [100 + n, 50 + n, 2] and person.joints[4].tolist() == [0, 0, 0]
    for person in people:  # a list without joints gets them from there, too
        del person["joints"], person["joints_vis"]
    bare = load_mpii(write_list(tmp_path / "bare.json", people), heads)
    assert all(np.array_equal(a.joints, b.joints) for a, b in zip(bare, found, strict=True))


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    people = [listed(f"{n}.jpg", JOINTS + 40 * n, (321, 201), 2.0) for n in range(3)]
    path = write_list(tmp_path / "l.json", people)
    fewer = write_heads(tmp_path / "fewer.mat", people[:2], [(1, 1, 2, 2)] * 2)
    with pytest.raises(InputError, match=r"has head boxes of 2 people, '.*' lists 3"):
        load_mpii(path, fewer)
    turned = write_heads(tmp_path / "turned.mat", people[::-1], [(1, 1, 2, 2)] * 3)
    with pytest.raises(InputError, match=r"other people \(their joints are 113 pixels apart\)"):
        load_mpii(path, turned)


def test_the_two_formats_of_json_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text(' \n{"images": []}')
    (tmp_path / "mpii.json").write_text("\ufeff \n[{}]", encoding="utf-8")
    assert not is_mpii(tmp_path / "coco.json") and is_mpii(tmp_path / "mpii.json")
    with pytest.raises(InputError, match="cannot be read"):
        is_mpii(tmp_path / "no.json")


GOOD: dict[str, Any] = listed("a.jpg", JOINTS, (321, 201), 2.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", "is not JSON"),
        ("{}", "is no list of people"),
        ("[]", "labels no one"),
        (json.dumps([{"image_id": 3}]), "person number 0 has no 'image'"),
        (json.dumps([GOOD, {**GOOD, "center": [1]}]), "person number 1 needs 'center'"),
        (json.dumps([{**GOOD, "scale": "big"}]), "needs 'center' (two numbers) and 'scale'"),
        (json.dumps([{**GOOD, "joints": [[1, 2]] * 17}]), "needs 16 pairs in 'joints'"),
        (json.dumps([{**GOOD, "joints_vis": [1]}]), "16 numbers in 'joints_vis'"),
        (json.dumps([{**GOOD, "scale": float("nan")}]), "needs 'center'"),
    ],
)
def test_malformed_lists_are_one_line_that_names_the_file(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        load_mpii(path)
    assert words in str(caught.value) and "list.json" in str(caught.value) and "\n" not in str(caught.value)


def test_malformed_mat_files_are_one_line(tmp_path: Path) -> None:
    from scipy.io import savemat

    good = release(tmp_path / "good.mat").read_bytes()
    cases: dict[str, tuple[bytes, str]] = {
        "text.mat": (b"no MATLAB file at all", "no MATLAB file that can be read"),
        "empty.mat": (b"", "no MATLAB file that can be read"),
        "torn.mat": (good[: len(good) // 2], "cannot be read"),
    }
    savemat(tmp_path / "other.mat", {"x": 1})
    savemat(tmp_path / "short.mat", {"RELEASE": {"annolist": 1}})
    for name, (content, _) in cases.items():
        (tmp_path / name).write_bytes(content)
    lines = {name: words for name, (_, words) in cases.items()}
    lines |= {"other.mat": "lacks RELEASE", "short.mat": "has no 'annolist'", "none.mat": "cannot be read"}
    for name, words in lines.items():
        with pytest.raises(InputError) as caught:
            load_mpii(tmp_path / name)
        assert words in str(caught.value) and name in str(caught.value) and "\n" not in str(caught.value)
    path = write_list(tmp_path / "l.json", [GOOD])
    savemat(tmp_path / "odd.mat", {"pos_gt_src": np.zeros((16, 2)), "jnt_missing": np.zeros(5), "headboxes_src": "x"})
    for name, words in (("other.mat", "lacks pos_gt_src"), ("odd.mat", "'pos_gt_src' is [16, 2], not [16, 2, 0]")):
        with pytest.raises(InputError) as caught:
            load_mpii(path, tmp_path / name)
        assert words in str(caught.value) and "\n" not in str(caught.value)
