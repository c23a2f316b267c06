"""Packs: with a teacher and without, older ones, damaged ones, and nothing left behind by what fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.datasets import BOX, dotted, joints_in, teacher_graph
from tests.models.test_people import crop_set
from vipose.models.data import pack
from vipose.models.data.pack import Person, cut_person, read_crops, write_pack
from vipose.models.data.people import Crops, PackedPeople
from vipose.models.data.sequences import Clips
from vipose.models.data.split import training_probability, validation_rows
from vipose.models.data.teacher import HeatmapTeacher
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import InputError, ModelError, OutputError
from vipose.runtime.geometry import crop, crop_affine, heatmap_scale

GT = np.column_stack([joints_in(), np.full(17, 2)])


def figure(number: int = 0, picture_id: str = "p") -> Person:
    image = dotted()
    image[0, 0] = number
    return cut_person(image, np.array(BOX), "coco", gt=GT, area=1000.0, picture_id=picture_id)[0]


class Brightness:
    """Stands in for a teacher: the brightness of cells, counting its calls' sizes."""

    size = (192, 256)

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        self.batches.append(len(crops))
        cells = crops[:, 2::4, 2::4].mean(3, keepdims=True).transpose(0, 3, 1, 2) / 255
        return np.repeat(cells, 17, 1).astype(np.float32)


def test_heatmaps_are_written_batch_by_batch_and_kept_in_order(tmp_path: Path) -> None:
    teacher = Brightness()
    images = [np.full((40, 30, 3), 20 * n, np.uint8) for n in range(11)]
    people = (cut_person(image, np.array([5.0, 5, 25, 35]), "coco")[0] for image in images)
    assert write_pack(people, tmp_path / "pack", teacher) == 11  # type: ignore[arg-type]
    assert teacher.batches == [4, 4, 3]
    loaded = PackedPeople([tmp_path / "pack"])
    for n in range(11):
        maps = loaded.teacher(n)
        assert maps is not None and maps.shape == (17, 64, 48) and abs(int(maps[3, 32, 24]) - 20 * n) < 4


def test_pack_without_a_teacher_stores_no_heatmaps(tmp_path: Path) -> None:
    write_pack([figure(n, f"p{n}") for n in range(3)], tmp_path / "labels")
    write_pack([figure()], tmp_path / "taught", Brightness())  # type: ignore[arg-type]
    assert sorted(p.name for p in (tmp_path / "labels").iterdir()) == ["crops.bin", "index.npz"]
    people = PackedPeople([tmp_path / "labels", tmp_path / "taught"])
    assert [people.teacher(n) is None for n in range(4)] == [True, True, True, False]
    assert people.picture_id.tolist() == ["p0", "p1", "p2", "p"] and (people.gt[:, :, 2] == 2).all()


def test_older_packs_load_and_get_an_area_from_their_boxes(tmp_path: Path) -> None:
    write_pack([figure()], tmp_path / "pack")
    with np.load(tmp_path / "pack" / "index.npz") as file:
        known = {name: file[name] for name in ("offsets", "box", "gt", "source")}
        area = float(file["area"][0])
    np.savez(tmp_path / "pack" / "index.npz", **known)
    people = PackedPeople([tmp_path / "pack"])
    x0, y0, x1, y1 = people.boxes[0].tolist()
    assert people.area[0] == pytest.approx(0.53 * (x1 - x0) * (y1 - y0), rel=1e-5)
    assert people.picture_id.tolist() == [""]
    sides = (x1 - x0) / (BOX[2] - BOX[0]), (y1 - y0) / (BOX[3] - BOX[1])
    assert area == pytest.approx(1000 * sides[0] * sides[1], rel=1e-4)


def test_trainings_take_packs_without_a_teacher(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from vipose.models.training.spatial import PeopleStream, SpatialRecipe

    write_pack([figure(n) for n in range(3)], tmp_path / "pack")
    recipe = replace(SpatialRecipe(), sizes=((96, 128),), batches=(8,), minutes=(1.0,), rates=(1e-3,))
    images, target, weight = next(iter(PeopleStream(PackedPeople([tmp_path / "pack"]), recipe, 0)))
    assert images.shape == (8, 128, 96, 3) and target.shape == (8, 17, 32, 24)
    assert bool(target.isfinite().all()) and float(weight.max()) == 1


def test_the_shared_format_brings_area_and_id_where_it_has_them(tmp_path: Path) -> None:
    crop_set(tmp_path, labelled=True)
    (person,) = read_crops(tmp_path)
    assert np.isnan(person.area) and person.picture_id == "7"
    with np.load(tmp_path / "train.npz") as file:
        np.savez(tmp_path / "train.npz", **{**dict(file), "area": np.array([321.0])})
    (person,) = read_crops(tmp_path)
    assert person.area == 321
    np.savez(tmp_path / "train.npz", id=[7])
    with pytest.raises(InputError, match=r"train\.npz lacks shard, source, names, box, gt, flag"):
        list(read_crops(tmp_path))


def test_crops_without_a_teacher_keep_the_labelled_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crop_set(tmp_path, labelled=True)
    words = ["train", "pack", "--crops", str(tmp_path), "-o", str(tmp_path / "pack")]
    assert vipose(words) == 0 and len(PackedPeople([tmp_path / "pack"])) == 1
    crop_set(tmp_path, labelled=False)
    capsys.readouterr()
    assert vipose(words) == 3 and "there is no one to pack" in capsys.readouterr().err
    assert len(PackedPeople([tmp_path / "pack"])) == 1  # what was there stays


@pytest.mark.parametrize("failure", [InputError("mended?"), KeyboardInterrupt()])
def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path, failure: BaseException) -> None:
    def people() -> Iterator[Person]:
        yield figure()
        raise failure

    with pytest.raises(type(failure)):
        write_pack(people(), tmp_path / "pack")
    assert not list(tmp_path.iterdir())
    write_pack([figure(), figure()], tmp_path / "pack")
    with pytest.raises(type(failure)):
        write_pack(people(), tmp_path / "pack")
    assert [p.name for p in tmp_path.iterdir()] == ["pack"] and len(PackedPeople([tmp_path / "pack"])) == 2


def test_a_full_disk_and_foreign_folders_are_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="exists and is not a pack"):
        write_pack([figure()], tmp_path / "mine")
    with pytest.raises(OutputError, match="cannot be made"):
        write_pack([figure()], tmp_path / "mine" / "letter.txt" / "pack")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"

    def full(*args: object, **arrays: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pack.np, "savez", full)
    with pytest.raises(OutputError, match=r"No space left on device.*make room"):
        write_pack([figure()], tmp_path / "pack")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def cut_short(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])


def drop(folder: Path, **change: object) -> None:
    with np.load(folder / "index.npz") as file:
        arrays = {k: v for k, v in {**dict(file), **change}.items() if v is not None}
    np.savez(folder / "index.npz", **arrays)


DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("no-index", lambda p: (p / "index.npz").unlink(), "is not a pack (it holds no index.npz and crops.bin)"),
    ("index", lambda p: cut_short(p, "index.npz"), "index.npz cannot be read"),
    ("crops", lambda p: cut_short(p, "crops.bin"), "crops.bin ends too early"),
    ("heatmaps", lambda p: cut_short(p, "heatmaps.npy"), "heatmaps.npy cannot be read"),
    ("rows", lambda p: np.save(p / "heatmaps.npy", np.zeros((5, 17, 64, 48), np.uint8)), "is [5, 17, 64, 48] for 2"),
    ("keys", lambda p: drop(p, gt=None), "index.npz lacks gt"),
    ("lengths", lambda p: drop(p, source=np.array(["a"])), "its arrays have different lengths"),
    ("bytes", lambda p: (p / "crops.bin").write_bytes(bytes((p / "crops.bin").stat().st_size)), "cannot be decoded"),
]


@pytest.mark.parametrize(("damage", "line"), [d[1:] for d in DAMAGE], ids=[d[0] for d in DAMAGE])
def test_damaged_packs_are_one_clear_line(damage: Callable[[Path], object], line: str, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    write_pack([figure(), figure()], folder, Brightness())  # type: ignore[arg-type]
    damage(folder)
    with pytest.raises(InputError) as caught:
        PackedPeople([folder])
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_folders_that_are_no_packs_and_packs_of_stills(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a pack \(there is no such folder\); make one"):
        PackedPeople([tmp_path / "nowhere"])
    write_pack([figure()], tmp_path / "pack")
    with pytest.raises(InputError, match="is a pack of stills, without tracks"):
        Clips([tmp_path / "pack"])


def test_crops_beyond_the_budget_are_decoded_at_every_look(tmp_path: Path) -> None:
    write_pack([figure(n) for n in range(5)], tmp_path / "pack")
    kept, looked = PackedPeople([tmp_path / "pack"]), PackedPeople([tmp_path / "pack"], memory_mib=0)
    assert isinstance(looked.images, Crops) and len(looked.images) == 5
    assert all(np.array_equal(a, b) for a, b in zip(kept.images, looked.images, strict=True))
    assert kept.images[1] is kept.images[1] and looked.images[1] is not looked.images[1]
    assert np.array_equal(looked.images[-1], kept.images[4]) and len(looked.images[1:3]) == 2
    with pytest.raises(IndexError):
        looked.images[5]


def test_neighbours_of_held_out_people_are_not_trained_on(tmp_path: Path) -> None:
    write_pack([figure(n, f"p{n // 2}") for n in range(30)], tmp_path / "pack")
    people = PackedPeople([tmp_path / "pack"])
    assert validation_rows(people).tolist() == [0, 12, 24]
    assert np.flatnonzero(training_probability(people, {}) == 0).tolist() == [0, 1, 12, 13, 24, 25]
    write_pack([figure()], tmp_path / "one")
    with pytest.raises(InputError, match="no one is left to train on"):
        training_probability(PackedPeople([tmp_path / "one"]), {})


def test_teachers_of_any_batch_agree(tmp_path: Path) -> None:
    crops = np.stack([crop(dotted(), crop_affine(BOX, (192, 256)), (192, 256)), np.zeros((256, 192, 3), np.uint8)])
    graphs = [teacher_graph(tmp_path / f"{batch}.onnx", batch=batch) for batch in (1, "n")]
    one, many = (HeatmapTeacher([path], flip=False)(crops) for path in graphs)
    assert one.shape == (2, 17, 64, 48) and np.allclose(one, many, atol=1e-6) and one[0].max() > one[1].max()


@pytest.mark.parametrize("flip", [False, True], ids=["plain", "flip"])
def test_teachers_are_read_where_their_cells_lie(tmp_path: Path, flip: bool) -> None:
    """A teacher whose cell c looks at pixel 4 c, as PP-TinyPose does, gives maps of convention udp."""
    graph = teacher_graph(tmp_path / "t.onnx", window=1)
    rows, columns = np.mgrid[:256, :192]
    spots = np.array([[83.3, 97.4], [30.0, 220.6], [160.2, 40.0]])
    light = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 200) for x, y in spots]
    crops = np.repeat((255 * np.stack(light))[..., None], 3, 3).astype(np.uint8)
    offsets = {}
    for convention in ("msra", "udp"):
        maps = HeatmapTeacher([graph], flip=flip, convention=convention)(crops)[:, 0]  # type: ignore[arg-type]
        maps = (maps - maps.min()).astype(np.float64) ** 4
        cells = [[(m * axis).sum() / m.sum() for axis in np.mgrid[:64, :48][::-1]] for m in maps]
        offsets[convention] = np.abs(cells / heatmap_scale((192, 256), (48, 64), "udp").diagonal() - spots)
    assert offsets["msra"].max() < 0.25 and offsets["udp"][:, 1].max() > 1.5


def test_teachers_of_other_shapes_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no graph")
    for path, line in (
        (tmp_path / "none.onnx", "there is no teacher"),
        (tmp_path / "text.onnx", "cannot be loaded"),
        (teacher_graph(tmp_path / "wide.onnx", size=(256, 256)), r"its input is \['n', 3, 256, 256\]; a teacher takes"),
        (teacher_graph(tmp_path / "mpii.onnx", joints=16), r"gives \[2, 16, 64, 48\] for two crops; a teacher takes"),
        (teacher_graph(tmp_path / "fine.onnx", stride=2), r"gives \[2, 17, 128, 96\]"),
    ):
        with pytest.raises(ModelError, match=line) as caught:
            HeatmapTeacher([path])
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_options_that_do_not_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, line in (
        (["--coco", "a.json"], "say with --images where they are"),
        (["--crops", "a", "--images", "b"], "--images goes with --coco, --mpii or --posetrack"),
        (["--videos", "a.mp4"], "give networks that find joints: --teacher"),
        (["--crops", "a", "--source", "b"], "--source goes with"),
        (["--crops", "a", "--joints", "0"], "give 1 or more"),
    ):
        assert vipose(["train", "pack", *words, "-o", str(tmp_path / "pack")]) == 2
        assert line in capsys.readouterr().err
