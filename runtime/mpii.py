"""Labels of MPII Human Pose (Andriluka et al., CVPR 2014) in the forms that go round, and its rule for crops.

``mpii_train.json``, ``mpii_val.json`` (SimpleBaseline, HRNet, mmpose)
    A list of people: ``image``, ``center``, ``scale``, ``joints`` [16][2], ``joints_vis`` [16]. No head boxes.
``mpii_human_pose_v1_u12_1.mat``
    The official release: pictures with people, joints by number, and head boxes. Test pictures have no labels.
``mpii_gt_val.mat`` (mmpose), ``gt_valid.mat`` (HRNet)
    What the validation split is scored with: joints and head boxes, in the order of ``mpii_val.json``.

All files count pixels from 1; everything that comes out of here counts from 0. Joints are those of
:data:`vipose.runtime.skeleton.MPII16`, in the same order as MPII numbers them.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.skeleton import MPII16

__all__ = ["MpiiPerson", "Subset", "is_mpii", "load_mpii", "mpii_box"]

Subset = Literal["all", "single"]
JOINTS = len(MPII16)
SIDE, DOWN = 200.0, 15.0
"""A person of scale 1 is 200 pixels high; crops look 15 pixels times the scale below the centre."""
_FITS = 2.0
"""Joints of two files are those of the same people where half of them lie closer than this, pixels."""
_WHAT = "give mpii_val.json, mpii_train.json or mpii_human_pose_v1_u12_1.mat"


@dataclass(frozen=True)
class MpiiPerson:
    """One labelled person.

    Attributes:
        image: file name of the picture.
        box: [4] x0 y0 x1 y1, the square that is padded by 1.25 and cut out; None without centre or scale.
        joints: [16, 3] x, y, v; v = 0 no label, 1 hidden, 2 visible (or not known). Rows without a label are zero.
        head: [4] x0 y0 x1 y1 of the head box; None where the file has none.
    """

    image: str
    box: npt.NDArray[np.float64] | None
    joints: npt.NDArray[np.float64]
    head: npt.NDArray[np.float64] | None = None


def is_mpii(path: Path) -> bool:
    """Whether a file is one of MPII's forms and not COCO's: a ``.mat``, or JSON that begins with a list."""
    if path.suffix.lower() == ".mat":
        return True
    try:
        with open(path, "rb") as file:
            return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror}); check the file") from error


def mpii_box(centre: tuple[float, float], scale: float) -> npt.NDArray[np.float64]:
    """The square [4] x0 y0 x1 y1 of a person, without padding, from MPII's 1-based ``center`` or ``objpos`` and ``scale``.

    Side 200 x scale about (x, y + 15 x scale), counted from 0. Padded by 1.25 in convention msra, it gives the crop of
    SimpleBaseline (Xiao et al. 2018), HRNet, EfficientPose and PoseNAS.
    """
    x, y = centre[0] - 1, centre[1] + DOWN * scale - 1
    half = SIDE * scale / 2
    return np.array([x - half, y - half, x + half, y + half])


def load_mpii(path: Path, heads: Path | None = None, subset: Subset = "all") -> list[MpiiPerson]:
    """People of a file, in its order.

    Args:
        path: JSON list or official release.
        heads: ``mpii_gt_val.mat`` or ``gt_valid.mat`` of the same people; its joints and head boxes replace those of
            ``path``.
        subset: of the official release: ``all``, or those whom it calls single (far enough from others).

    Raises:
        InputError: a file cannot be read, is of another form, or the two do not belong together.
    """
    official = path.suffix.lower() == ".mat"
    people = list(_release(path, subset)) if official else _json_people(path)
    if not people:
        raise InputError(f"'{path}' labels no one; {_WHAT}")
    return people if heads is None else _with_heads(path, people, heads)


def _json_people(path: Path) -> list[MpiiPerson]:
    try:
        rows = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror}); check the file") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not JSON ({error}); {_WHAT}") from error
    if not isinstance(rows, list):
        raise InputError(f"'{path}' is no list of people; {_WHAT}")
    return [_json_person(path, number, row) for number, row in enumerate(rows)]


def _json_person(path: Path, number: int, row: Any) -> MpiiPerson:
    name = row.get("image") if isinstance(row, dict) else None
    if not isinstance(name, str) or not name:
        raise InputError(f"'{path}': person number {number} has no 'image'; {_WHAT}")
    centre, scale = _array(row.get("center"), (2,)), _array(row.get("scale"), ())
    if centre is None or scale is None:
        raise InputError(f"'{path}': person number {number} needs 'center' (two numbers) and 'scale'; mend the file")
    joints = np.zeros((JOINTS, 3))
    if "joints" in row:  # test lists have none
        points, shown = _array(row["joints"], (JOINTS, 2)), _array(row.get("joints_vis", [1] * JOINTS), (JOINTS,))
        if points is None or shown is None:
            raise InputError(
                f"'{path}': person number {number} needs {JOINTS} pairs in 'joints' and {JOINTS} numbers in "
                "'joints_vis'; mend the file, or give labels of MPII's joints"
            )
        joints = _labels(points, np.where(shown > 0, 2.0, 0.0))
    return MpiiPerson(name, _box(centre, float(scale)), joints)


def _array(values: Any, shape: tuple[int, ...]) -> npt.NDArray[np.float64] | None:
    """Finite numbers of a shape, else None."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return None
    return array if array.shape == shape and np.isfinite(array).all() else None


def _labels(points: npt.NDArray[np.float64], v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[16, 3] counted from 0; (-1, -1) and v = 0 are no labels."""
    joints = np.column_stack([points - 1, v])
    joints[(v <= 0) | (points < 0).all(1)] = 0
    return joints


def _box(centre: npt.NDArray[np.float64], scale: float) -> npt.NDArray[np.float64] | None:
    """None where the file says -1 for what it does not know."""
    return mpii_box((float(centre[0]), float(centre[1])), scale) if scale > 0 and centre[0] != -1 else None


def _mat(path: Path, *names: str, **how: Any) -> dict[str, Any]:
    """Variables of a MATLAB file; raises InputError where they are not there."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found: dict[str, Any] = loadmat(path, variable_names=list(names), **how)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror or error}); check the file") from error
    except (ValueError, NotImplementedError, TypeError, EOFError, LookupError, MatReadError, zlib.error) as error:
        why = str(error).strip().splitlines()[:1]
        raise InputError(f"'{path}' is no MATLAB file that can be read ({''.join(why)}); fetch it again") from error
    missing = [name for name in names if name not in found]
    if missing:
        lacks = f"'{path}' lacks {', '.join(missing)}"
        raise InputError(f"{lacks}; {_WHAT}, and mpii_gt_val.mat or gt_valid.mat with --heads")
    return found


def _release(path: Path, subset: Subset) -> Iterator[MpiiPerson]:
    """Labelled people of the official release, picture by picture."""
    release = _mat(path, "RELEASE", struct_as_record=False, squeeze_me=True)["RELEASE"]
    pictures = _structs(getattr(release, "annolist", None))
    training = np.ravel(getattr(release, "img_train", []))
    if not pictures or len(training) != len(pictures):
        raise InputError(f"'{path}' has no 'annolist' with 'img_train' for each of its pictures; {_WHAT}")
    single: list[Any] = []
    if subset == "single":
        single = _cells(getattr(release, "single_person", None), len(pictures))
        if len(single) != len(pictures):
            raise InputError(f"'{path}' does not say who stands alone ('single_person'); take all people")
    for place, picture in enumerate(pictures):
        name = getattr(getattr(picture, "image", None), "name", None)
        if not training[place]:
            continue
        if not isinstance(name, str):
            raise InputError(f"'{path}': picture number {place} has no name; fetch the file again")
        alone = set(np.ravel(single[place]).astype(int).tolist()) if subset == "single" else None
        for number, person in enumerate(_structs(getattr(picture, "annorect", None)), start=1):
            if (alone is None or number in alone) and (found := _release_person(name, person)) is not None:
                yield found


def _release_person(name: str, person: Any) -> MpiiPerson | None:
    """None for people of whom only the head box is known."""
    points = _structs(getattr(getattr(person, "annopoints", None), "point", None))
    where, scale = getattr(person, "objpos", None), _number(person, "scale")
    x, y = _number(where, "x"), _number(where, "y")
    if not points:
        return None
    joints = np.zeros((JOINTS, 3))
    for point in points:
        k, px, py = (_number(point, key) for key in ("id", "x", "y"))
        if k is not None and px is not None and py is not None and 0 <= k < JOINTS:
            # Some labels do not say whether they are visible: they count as if they were.
            joints[int(k)] = px - 1, py - 1, 1.0 if _number(point, "is_visible") == 0 else 2.0
    corners = [_number(person, key) for key in ("x1", "y1", "x2", "y2")]
    known = [value for value in corners if value is not None]
    head = np.array(known) - 1 if len(known) == 4 else None
    box = None if x is None or y is None or scale is None else _box(np.array([x, y]), scale)
    return MpiiPerson(name, box, joints, head)


def _structs(value: Any) -> list[Any]:
    """Elements of what ``squeeze_me`` makes of a struct array: nothing, one struct, or an array of them."""
    return [] if value is None else [v for v in np.ravel(np.asarray(value, object)) if hasattr(v, "_fieldnames")]


def _cells(value: Any, count: int) -> list[Any]:
    """Elements of a cell array of ``count``; a single one is squeezed to its content."""
    if count == 1 or value is None:
        return [value] if value is not None else []
    return list(np.asarray(value, object))


def _number(struct: Any, name: str) -> float | None:
    """A field as a number; MATLAB has empty arrays for what is not known and text for some numbers."""
    value = getattr(struct, name, None)
    if value is None or np.size(value) != 1:
        return None
    try:
        number = float(np.ravel(value)[0])
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _table(path: Path, file: dict[str, Any], name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """A variable of that shape; MATLAB drops a last axis of one."""
    array = np.asarray(file[name])
    if array.dtype.kind not in "biuf" or array.shape not in (shape, shape[:-1] if shape[-1] == 1 else shape):
        raise InputError(
            f"'{path}': '{name}' is {list(array.shape)}, not {list(shape)}; give mpii_gt_val.mat or gt_valid.mat with --heads"
        )
    return array.reshape(shape).astype(np.float64)


def _with_heads(path: Path, people: list[MpiiPerson], heads: Path) -> list[MpiiPerson]:
    """The same people with joints and head boxes of the file that MPII's validation split is scored with."""
    names = ("pos_gt_src", "jnt_missing", "headboxes_src")
    file = _mat(heads, *names)
    count = np.size(file["jnt_missing"]) // JOINTS
    points, missing, boxes = (
        _table(heads, file, name, (*rows, count)) for name, rows in zip(names, ((JOINTS, 2), (JOINTS,), (2, 2)), strict=True)
    )
    if count != len(people):
        raise InputError(
            f"'{heads}' has head boxes of {count} people, '{path}' lists {len(people)}; give files that belong together"
        )
    out, distances = [], list[float]()
    for n, person in enumerate(people):
        known = (missing[:, n] == 0) & np.isfinite(points[:, :, n]).all(1)
        joints = _labels(np.where(known[:, None], points[:, :, n], -1), np.where(known, 2.0, 0.0))
        both = (joints[:, 2] > 0) & (person.joints[:, 2] > 0)
        distances += np.hypot(*(joints[both, :2] - person.joints[both, :2]).T).tolist()
        head = boxes[:, :, n].reshape(4) - 1
        out.append(replace(person, joints=joints, head=head if np.isfinite(head).all() else None))
    if distances and float(np.median(distances)) > _FITS:
        raise InputError(
            f"'{heads}' and '{path}' list other people (their joints are {np.median(distances):.0f} pixels apart); give "
            "files that belong together"
        )
    return out
