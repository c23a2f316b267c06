"""MPII and its 16 joints in packs, augmentation, targets, validation and training."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.fixtures.datasets import teacher_graph
from tests.fixtures.mpii import listed, release_person, write_list, write_release
from tests.fixtures.packs import drawn_pack
from tests.fixtures.shared import SHARED, needs_shared
from vipose.models.data.augment import Augmentation, half_body_box, render
from vipose.models.data.joints import joints_box, mpii_from_coco
from vipose.models.data.mpii import read_mpii
from vipose.models.data.pack import decode_rgb, read_crops, write_pack
from vipose.models.data.people import PackedPeople
from vipose.models.data.pictures import LeftOut
from vipose.models.data.sequences import still_sequence
from vipose.models.data.split import validation_rows
from vipose.runtime.cli import main as vipose
from vipose.runtime.codec import decode
from vipose.runtime.errors import InputError
from vipose.runtime.geometry import apply_affine, crop_affine
from vipose.runtime.skeleton import COCO17, MPII16

# x, y of a standing figure seen from the front, counted from 0; the person's right is on the left of the picture.
FIGURE = np.array([
    (90, 220), (90, 180), (90, 140), (110, 140), (110, 180), (110, 220), (100, 140), (100, 80), (100, 70), (100, 40),
    (70, 140), (75, 110), (80, 80), (120, 80), (125, 110), (130, 140),
], float)  # fmt: skip
CENTRE, SCALE = (101.0, 116.0), 1.0
"""1-based: the box is (0, 30, 200, 230)."""
PLAIN = Augmentation(colour=0, grey=0, blur=0, erase=0, half_body=0)


def picture(folder: Path, name: str) -> None:
    image = np.full((240, 200, 3), 20, np.uint8)
    for x, y in FIGURE.astype(int):
        cv2.circle(image, (int(x), int(y)), 3, (255, 255, 255), -1)
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), image)


def figures(folder: Path, count: int = 2, **change: Any) -> tuple[Path, Path]:
    """A list of people, one a picture, and the folder of the pictures."""
    for n in range(count):
        picture(folder / "images", f"{n}.png")
    rows = [{**listed(f"{n}.png", FIGURE + 1, CENTRE, SCALE), **change} for n in range(count)]
    return write_list(folder / "mpii_train.json", rows), folder / "images"


def test_people_are_cut_out_by_mpiis_rule(tmp_path: Path) -> None:
    labels, images = figures(tmp_path)
    people = list(read_mpii(labels, images))
    assert [p.picture_id for p in people] == ["0.png", "1.png"] and {p.source for p in people} == {"mpii"}
    person = people[0]
    stored = decode_rgb(person.picture)
    assert stored.shape == (320, 320, 3)  # 200 x 1.65, at most 320: a square, not 3:4
    scale = 319 / 330
    assert person.box == pytest.approx(np.array([-100, -100, 100, 100]) * scale + 159.5, abs=0.01)
    # The middle of the box, (100, 130), is the middle of the crop.
    assert person.gt[:, :2] == pytest.approx((FIGURE - [100, 130]) * scale + 159.5, abs=0.01)
    x, y = np.rint(person.gt[:, :2]).astype(int).T
    assert (person.gt[:, 2] == 2).all() and (stored[y, x].mean(1) > 150).all()
    extent = 60 * 1.3 * 180 * 1.3
    assert person.area == pytest.approx(0.53 * extent * scale**2, rel=1e-3)


def test_the_official_release_and_who_is_left_out(tmp_path: Path) -> None:
    points = {k: (x + 1, y + 1, 1) for k, (x, y) in enumerate(FIGURE.tolist())}
    whole = release_person(points, CENTRE, SCALE, (80, 30, 120, 75))
    few = release_person({9: (100.0, 40.0, 1)}, CENTRE, SCALE, (80, 30, 120, 75))
    nowhere, outside = (release_person(points, place, SCALE, (1, 1, 2, 2)) for place in (None, (900.0, 900.0)))
    labels = write_release(tmp_path / "mpii.mat", [
        ("a.png", True, [whole, few, nowhere, outside], [1]), ("b.png", True, [whole], []), ("c.png", True, [whole], [1]),
    ])  # fmt: skip
    for name in ("a.png", "b.png"):
        picture(tmp_path / "images", name)
    with pytest.raises(InputError, match=r"1 of 3 pictures .* first c\.png"):
        list(read_mpii(labels, tmp_path / "images"))
    left_out = LeftOut()
    found = list(read_mpii(labels, tmp_path / "images", least_joints=3, allow_missing=True, left_out=left_out))
    assert [p.picture_id for p in found] == ["a.png", "b.png"]
    assert left_out.counts == {
        "people with fewer than 3 labelled joints": 1, "people without centre or scale": 1,
        "boxes outside of their picture": 1, "missing pictures": 1,
    }  # fmt: skip
    alone = read_mpii(labels, tmp_path / "images", subset="single", allow_missing=True)
    assert [p.picture_id for p in alone] == ["a.png"]
    with pytest.raises(InputError, match="gives no one to train on"):
        list(read_mpii(labels, tmp_path / "images", least_joints=17, allow_missing=True))


def test_pictures_are_read_as_they_are_stored(tmp_path: Path) -> None:
    """MPII's labels were made without turning pictures by their EXIF tag."""
    labels, images = figures(tmp_path, 1)
    raw = cv2.imencode(".jpg", cv2.imread(str(images / "0.png")))[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = raw[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + raw[2:]
    (images / "0.png").write_bytes(turned)
    assert cv2.imread(str(images / "0.png")).shape == (200, 240, 3)
    (person,) = read_mpii(labels, images)
    x, y = np.rint(person.gt[:, :2]).astype(int).T
    assert (decode_rgb(person.picture)[y, x].mean(1) > 150).all()


def packed(folder: Path, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = vipose(["train", "pack", *map(str, words), "-o", str(folder)])
    out, err = capsys.readouterr()
    return code, out + err


def test_packs_know_their_skeleton(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, images = figures(tmp_path)
    code, out = packed(tmp_path / "mpii", capsys, "--mpii", labels, "--images", images)
    assert code == 0 and "2 people" in out
    people = PackedPeople([tmp_path / "mpii"])
    assert people.skeleton is MPII16 and people.gt.shape == (2, 16, 3) and people.teacher(0) is None
    drawn_pack(tmp_path / "coco", 3)
    assert PackedPeople([tmp_path / "coco"]).skeleton is COCO17
    with np.load(tmp_path / "coco" / "index.npz") as file:
        older = {name: file[name] for name in file if name != "skeleton"}
    np.savez(tmp_path / "coco" / "index.npz", **older)
    assert PackedPeople([tmp_path / "coco"]).skeleton is COCO17
    with pytest.raises(InputError, match=r"has the skeleton mpii16, pack .*coco has coco17; give packs of one skeleton"):
        PackedPeople([tmp_path / "mpii", tmp_path / "coco"])
    for name, line in (("hand21", "has the skeleton 'hand21', this version knows"), ("mpii16", "is damaged")):
        np.savez(tmp_path / "coco" / "index.npz", **older, skeleton=np.array(name))
        with pytest.raises(InputError, match=line):
            PackedPeople([tmp_path / "coco"])
    with pytest.raises(ValueError, match="16 joints are not those of coco17"):
        write_pack(read_mpii(labels, images), tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def test_a_teacher_of_the_same_joints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, images = figures(tmp_path)
    teacher = teacher_graph(tmp_path / "teacher.onnx", joints=16)
    words = ("--mpii", labels, "--images", images, "--teacher")
    assert packed(tmp_path / "pack", capsys, *words, teacher)[0] == 0
    people = PackedPeople([tmp_path / "pack"])
    maps = people.teacher(1)
    assert maps is not None and maps.shape == (16, 64, 48)
    view = people.view(1, (96, 128), PLAIN, np.random.default_rng(0))
    assert people.targets(1, view, (96, 128), 1.0).distribution.shape == (16, 32, 24)
    code, line = packed(tmp_path / "other", capsys, *words, teacher_graph(tmp_path / "coco.onnx"))
    assert code == 3 and "gives heatmaps [N, 16, 64, 48]" in line and "[2, 17, 64, 48]" in line


def test_targets_lie_on_the_joints_of_square_views(tmp_path: Path) -> None:
    labels, images = figures(tmp_path, 1)
    write_pack(read_mpii(labels, images), tmp_path / "pack", skeleton=MPII16)
    people, rng, size = PackedPeople([tmp_path / "pack"]), np.random.default_rng(1), (256, 256)
    sides = set()
    for _ in range(8):
        view = people.view(0, size, PLAIN, rng)
        target = people.targets(0, view, size, 2.0)
        assert target.distribution.shape == (16, 64, 64)
        where = apply_affine(view.affine, people.gt[0, :, :2])
        where = where[list(MPII16.flip)] if view.mirrored else where
        inside = (where > 8).all(1) & (where < 248).all(1)
        assert inside.sum() > 8 and (target.weight[inside] == 1).all()
        found = decode(target.distribution[None])[0, :, :2] * 255 / 63
        assert np.abs(found - where)[inside].max() < 1
        shown = render(people.images[0], view, size, PLAIN, rng)
        x, y = np.rint(where[inside]).astype(int).T
        assert (shown[y, x].mean(1) > 110).all()
        upright = view.affine[0, 1] == 0
        if upright and inside[10] and inside[15]:
            # A figure that faces the camera does so in the mirror, too: its right hand stays on the left.
            assert found[10, 0] < found[15, 0]
            sides.add(view.mirrored)
    assert sides == {True, False}


def test_halves_of_bodies_go_by_the_names_of_joints() -> None:
    known = np.column_stack([FIGURE, np.arange(16)]).astype(np.float32)
    for share, low, high in ((1.0, 40, 140), (0.0, 140, 220)):  # head to wrists; pelvis to ankles
        strength = Augmentation(half_body_upper=share, half_body_grow=(0.0, 0.0))
        box = half_body_box(known, strength, np.random.default_rng(0), MPII16)
        assert box[[1, 3]].tolist() == [low, high]


def test_priors_of_moving_stills_have_the_joints_of_the_pack(tmp_path: Path) -> None:
    people = PackedPeople([drawn_pack(tmp_path / "pack", 2, "mpii", skeleton=MPII16)])
    sequence = still_sequence(people, 0, 3, (96, 128), 1.0, PLAIN, np.random.default_rng(0))
    assert sequence.distribution.shape == (2, 16, 32, 24)
    assert sequence.shift.shape == (2, 16, 2) and sequence.keep.shape == (2, 16)


def test_sources_without_a_rule_of_their_own_are_held_out_too(tmp_path: Path) -> None:
    def people(*sources: str) -> PackedPeople:
        folders = [drawn_pack(tmp_path / s.replace(":", "-"), 45, s, skeleton=MPII16) for s in sources]
        return PackedPeople(folders)

    assert validation_rows(people("mpii")).tolist() == [0, 20, 40]
    assert validation_rows(people("lspe", "mpii")).tolist() == [0, 40, 45, 65, 85]
    assert validation_rows(people("posetrack:one")).tolist() == []  # neighbouring frames show the same


# The shared crop format


def body() -> np.ndarray:
    """COCO-17 labels [17, 3] of the figure, without a face."""
    labels = np.zeros((17, 3), np.float32)
    for k, name in enumerate(COCO17.joints):
        if name in MPII16.joints:
            labels[k] = [*FIGURE[MPII16.index(name)], 2]
    return labels


def test_mpii_joints_of_coco_joints_with_neck_and_head_top() -> None:
    neck, top = np.array([100, 70, 2]), np.array([100, 40, 2])
    assert np.array_equal(mpii_from_coco(body(), neck, top), np.column_stack([FIGURE, np.full(16, 2)]))
    part = body()
    part[COCO17.index("left_hip")], part[COCO17.index("right_shoulder"), 2] = 0, 1
    found = mpii_from_coco(part, neck, top)
    assert found[MPII16.index("pelvis")].tolist() == [0, 0, 0]
    assert found[MPII16.index("thorax")].tolist() == [100, 80, 1]
    assert joints_box(found, 0.1).tolist() == pytest.approx([64, 22, 136, 238])


def test_crops_of_the_shared_format_become_mpiis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoded = cv2.imencode(".webp", np.full((240, 200, 3), 90, np.uint8))[1].tobytes()
    with tarfile.open(tmp_path / "train-00.tar", "w") as tar:
        for n in range(4):
            info = tarfile.TarInfo(f"{n}.webp")
            info.size = len(encoded)
            tar.addfile(info, io.BytesIO(encoded))
    extra = np.tile(np.array([[100, 70, 2], [100, 40, 2]], np.float32), (4, 1, 1))
    extra[1] = 0
    table = {
        "id": np.arange(4), "shard": np.zeros(4, int), "source": np.zeros(4, int), "names": ["lspe"],
        "box": np.tile([50, 30, 100, 200], (4, 1)), "gt": np.tile(body(), (4, 1, 1)), "flag": np.array([0, 0, 1, 0]),
    }  # fmt: skip
    np.savez(tmp_path / "train.npz", **table)
    words = ("--crops", tmp_path, "--skeleton", "mpii16")
    code, line = packed(tmp_path / "pack", capsys, *words)
    assert code == 3 and "lacks extra" in line
    np.savez(tmp_path / "train.npz", **table, extra=extra)
    code, out = packed(tmp_path / "pack", capsys, *words)
    assert code == 0 and "2 people (left out: 2 people without neck and head top" in out
    people = PackedPeople([tmp_path / "pack"])
    assert people.skeleton is MPII16 and people.gt[1, :, :2].tolist() == FIGURE.tolist()
    assert packed(tmp_path / "coco", capsys, "--crops", tmp_path)[0] == 0
    assert PackedPeople([tmp_path / "coco"]).gt.shape == (3, 17, 3)


@needs_shared
def test_real_people_keep_their_sides() -> None:
    """Who stands upright and faces the camera has the right shoulder on the left of the picture, in both skeletons."""
    assert SHARED is not None
    folder = SHARED / "data" / "crops"
    with np.load(folder / "train.npz") as file:
        table = {name: file[name] for name in ("id", "extra", "gt", "flag", "teacher", "area")}
    left_out = LeftOut()
    found = []
    for person in read_crops(folder, MPII16, left_out):
        found.append(person)
        if len(found) == 200:
            break
    rows = {str(n): row for row, n in enumerate(table["id"])}
    for person in found:
        row = rows[person.picture_id]
        for name in ("left_wrist", "right_ankle"):
            assert np.array_equal(person.gt[MPII16.index(name)], table["gt"][row, COCO17.index(name)])
        assert np.array_equal(person.gt[[8, 9]], table["extra"][row]) and person.source == "lspe"
    # A teacher that knows nothing of these labels sees the same sides.
    right = [COCO17.index(f"right_{name}") for name in ("shoulder", "hip")]
    teacher = np.stack([table["teacher"][rows[p.picture_id]][right] for p in found])
    ours = np.stack([p.gt[[MPII16.index("right_shoulder"), MPII16.index("right_hip")]] for p in found])
    known = (ours[..., 2] > 0) & (teacher[..., 2] > 0.5)
    size = np.sqrt([p.area for p in found])[:, None]
    near = np.hypot(*(ours - teacher)[..., :2].transpose(2, 0, 1)) / size < 0.25
    assert known.sum() > 200 and near[known].mean() > 0.9


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--mpii", "a.json"), "say with --images where they are"),
        (("--coco", "a.json", "--images", "b", "--skeleton", "mpii16"), "--skeleton mpii16 goes with --crops"),
        (("--mpii", "a.json", "--images", "b", "--skeleton", "coco17"), "--skeleton coco17 goes with --crops"),
        (("--mpii", "a.json", "--images", "b", "--single"), "the official .mat file"),
        (("--crops", "a", "--single"), "--single goes with --mpii"),
    ],
)
def test_options_that_do_not_belong_together(
    words: tuple[str, ...], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = packed(tmp_path / "pack", capsys, *words)
    assert code == 2 and line in text and text.count("\n") == 1


# Training and validation


@pytest.mark.usefixtures("counting_clock")
def test_a_network_of_16_joints_learns_from_an_mpii_pack(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from vipose.models.networks.fused import FusedArch
    from vipose.models.search.evaluate import Validation, average_precision, keypoints
    from vipose.models.training import spatial
    from vipose.models.training.session import Session

    labels, images = figures(tmp_path, 4)
    write_pack(read_mpii(labels, images), tmp_path / "pack", skeleton=MPII16)
    arch = FusedArch(stem=8, widths=(8, 8, 16, 16), depths=(0, 0, 1, 0), head=16, joints=16)
    recipe = spatial.SpatialRecipe(arch=arch, sizes=((64, 64),), minutes=(0.001,), batches=(2,), rates=(1e-3,))
    spatial.train(recipe, [tmp_path / "pack"], tmp_path / "run", Session(workers=0))
    network = spatial.load_network(tmp_path / "run" / "best.pt")
    people = PackedPeople([tmp_path / "pack"])
    validation = Validation.of(people, (64, 64), np.arange(4))
    assert validation.skeleton is MPII16
    found = keypoints(network, validation)
    assert found.shape == (4, 16, 3) and torch.from_numpy(found).isfinite().all()
    assert average_precision(validation.truth, validation).ap == 1
    assert 0 <= average_precision(found, validation).ap <= 1


def test_a_super_network_of_other_joints_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from vipose.models.networks.elastic import SuperNetwork
    from vipose.models.networks.fused import FusedArch
    from vipose.models.search.evaluate import Evaluator, Validation, calibration_batches

    people = PackedPeople([drawn_pack(tmp_path / "pack", 24, "mpii", skeleton=MPII16)])
    arch = FusedArch(stem=8, widths=(8, 8, 16, 16), depths=(0, 0, 1, 0), head=16)
    validation, calibration = Validation.of(people, (96, 96)), calibration_batches(people, (96, 96), 1, 4)
    with pytest.raises(InputError, match=r"has 17 joints, the people to validate on 16 \(mpii16\)"):
        Evaluator(SuperNetwork(arch), validation, calibration)


def test_trainings_of_other_joints_are_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    from vipose.models.networks.fused import FusedArch
    from vipose.models.networks.registry import build

    pack = drawn_pack(tmp_path / "pack", 3, "mpii", skeleton=MPII16)
    arch = FusedArch(stem=8, widths=(8, 8, 16, 16), depths=(0, 0, 1, 0), head=16)
    state = {"arch": arch.to_json(), "state_dict": build(arch).state_dict(), "recipe": {"sizes": [[96, 128]]}}
    torch.save(state, tmp_path / "key.pt")
    common = ["--pack", str(pack), "--out", str(tmp_path / "run"), "--workers", "0"]
    for words in (["s-vipnas"], ["supernet", "--space", "fast-fused"], ["t-vipnas", "--spatial", str(tmp_path / "key.pt")]):
        assert vipose(["train", *words, *common]) == 3
        line = capsys.readouterr().err
        assert "labelled with mpii16, 16 joints, and the network has 17" in line and line.count("\n") == 1


def test_sequences_of_a_search_keep_their_skeleton(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from vipose.models.search.sequences import drifting_stills

    people = PackedPeople([drawn_pack(tmp_path / "mpii", 3, "mpii", skeleton=MPII16)])
    coco = PackedPeople([drawn_pack(tmp_path / "coco", 3)])
    sequences = drifting_stills(people, [0, 2], 3, (96, 128))
    assert sequences.labels.shape == (2, 3, 16, 3) and sequences.frame(1).skeleton is MPII16
    assert len(sequences + sequences) == 4
    with pytest.raises(InputError, match="different skeletons"):
        sequences + drifting_stills(coco, [0], 3, (96, 128))


def test_mpii_of_a_person_without_area(tmp_path: Path) -> None:
    """One labelled joint spans no area: the pack takes a share of the box then, as for older packs."""
    row = listed("0.png", FIGURE + 1, CENTRE, SCALE, np.arange(16) == 3)
    labels, images = figures(tmp_path, 1, joints=row["joints"], joints_vis=row["joints_vis"])
    (person,) = read_mpii(labels, images)
    assert np.isnan(person.area)
    write_pack([person], tmp_path / "pack", skeleton=MPII16)
    side = person.box[2] - person.box[0]
    assert PackedPeople([tmp_path / "pack"]).area[0] == pytest.approx(0.53 * side**2, rel=1e-4)


def test_the_pack_shows_what_the_evaluation_cuts_out(tmp_path: Path) -> None:
    """Training and ``vipose evaluate`` take the box from one function; a view without augmentation is the same crop."""
    from vipose.runtime.evaluate.mpii import load_mpii_annotations

    labels, images = figures(tmp_path, 1)
    row = load_mpii_annotations(labels, MPII16).people[0]
    x, y, w, h = row["bbox"]
    (person,) = read_mpii(labels, images)
    size = (256, 256)
    direct = apply_affine(crop_affine([x, y, x + w, y + h], size), np.reshape(row["keypoints"], (16, 3)))
    assert apply_affine(crop_affine(person.box, size), person.gt) == pytest.approx(direct, abs=0.01)
