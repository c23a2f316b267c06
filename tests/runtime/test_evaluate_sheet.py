"""The sheet of ``vipose evaluate``: who is shown, what is drawn, and what the command line says about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.fixtures.figure import figure_graph
from tests.fixtures.graphs import pose_metadata, write_mode
from tests.fixtures.mpii import listed, write_list
from vipose.runtime.cli import main
from vipose.runtime.errors import EXIT_NOTHING, EXIT_OK, EXIT_USAGE, OutputError
from vipose.runtime.evaluate.annotations import load_annotations
from vipose.runtime.evaluate.examples import MIN_JOINTS, Example, example_tile, has_examples, rank_people
from vipose.runtime.evaluate.ranks import PEOPLE_A_ROW, RankedRow, choose_rows
from vipose.runtime.evaluate.sheet import HALF, Legend, Tile, draw_sheet, encode_sheet
from vipose.runtime.skeleton import COCO17

Json = dict[str, Any]
FIGURE = np.array([
    (80, 30), (84, 26), (76, 26), (88, 28), (72, 28), (95, 45), (65, 45), (100, 62), (60, 62), (102, 78), (58, 78),
    (90, 80), (70, 80), (91, 98), (69, 98), (92, 115), (68, 115),
], np.float64)  # fmt: skip
"""Somebody who stands on a picture of 160 x 140."""


def person(oks: float = 0.5, *, score: float = 0.9, moved: float = 0.0, found: bool = True, **fields: Any) -> Example:
    truth = np.column_stack([FIGURE, np.full(17, 2.0)])
    pose = np.column_stack([FIGURE + (moved, 0), np.full(17, score)])
    fields = {"image_id": 7, "name": "folder/seven.jpg", "source": "made", "truth": truth, **fields}
    return Example(box=np.array([50.0, 20, 110, 120]), pose=pose if found else None, oks=oks, **fields)


GREY = np.full((140, 160, 3), 120, np.uint8)
LEGEND = Legend("heading", "left the labels, right the prediction", "about")


def sheet(*people: Example, black: bool = False, legend: Legend = LEGEND) -> np.ndarray:
    row = RankedRow("Row", people).shown_as(lambda p: example_tile(p, None if black else GREY))
    return draw_sheet([row], COCO17, legend)


def changed(a: np.ndarray, b: np.ndarray) -> tuple[int, int, int, int]:
    """Where two pictures differ: x0, y0, x1, y1."""
    rows, columns = np.nonzero((a != b).any(2))
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


# Who is shown


def labels(folder: Path, rows: list[Json]) -> Path:
    data = {"images": [{"id": 1, "file_name": "1.png", "source": "a"}], "categories": [{"id": 1, "name": "person"}]}
    people = [
        {"id": n, "image_id": 1, "category_id": 1, "bbox": [50, 20, 60, 100], "area": 3000.0,
         "keypoints": np.column_stack([FIGURE, np.full(17, 2)]).ravel().tolist(), **row}
        for n, row in enumerate(rows, start=10)
    ]  # fmt: skip
    path = folder / "people.json"
    path.write_text(json.dumps({**data, "annotations": people}), encoding="utf-8")
    return path


def test_people_are_ranked_by_oks_with_the_labelled_area(tmp_path: Path) -> None:
    few = [*[80.0, 30, 2] * (MIN_JOINTS - 1), *[0, 0, 0] * (17 - MIN_JOINTS + 1)]
    annotations = load_annotations(
        labels(tmp_path, [{}, {"area": 6000.0}, {}, {"keypoints": few}, {"iscrowd": 1}, {}]), COCO17
    )
    near = np.column_stack([FIGURE + (3, 4), np.ones(17)])
    poses = {10: near, 11: near, 12: np.full((17, 3), np.nan), 13: near, 15: near}
    people = rank_people(annotations, poses, COCO17)
    expected = [float(np.exp(-25 / (2 * area * COCO17.variances())).mean()) for area in (3000, 3000, 6000)]
    assert [p.oks for p in people] == pytest.approx([0.0, *expected])
    assert [p.pose is None for p in people] == [True, False, False, False]
    assert (people[0].name, people[0].source, people[0].box.tolist()) == ("1.png", "a", [50, 20, 110, 120])
    assert has_examples(annotations)


def test_nobody_with_enough_joints(tmp_path: Path) -> None:
    few = [*[80.0, 30, 2] * (MIN_JOINTS - 1), *[0, 0, 0] * (17 - MIN_JOINTS + 1)]
    assert not has_examples(load_annotations(labels(tmp_path, [{"keypoints": few}]), COCO17))


def ranked(count: int) -> list[Example]:
    return [person(n / max(count, 1), image_id=n) for n in range(count)]


def test_rows_are_tenths_at_evenly_spaced_ranks() -> None:
    rows = choose_rows(ranked(1000))
    assert [row.title.split(":")[0] for row in rows] == [
        "Worst tenth", "Around the 25 % quantile", "Around the median", "Around the 75 % quantile", "Best tenth"
    ]  # fmt: skip
    assert [p.image_id for p in rows[0].people] == [0, 14, 28, 42, 57, 71, 85, 99]
    assert [row.people[0].image_id for row in rows] == [0, 200, 450, 700, 900]
    assert [row.people[-1].image_id for row in rows] == [99, 299, 549, 799, 999]
    assert rows[2].title == "Around the median: people 451 to 550 of 1000 by OKS, 0.45 to 0.55"
    assert choose_rows(ranked(1000))[3].title == rows[3].title


def test_few_people_are_shown_by_fifths_and_never_twice() -> None:
    for count in (1, 2, 7, 36, 37, 40, 41, 79, 80, 81, 129):
        rows = choose_rows(ranked(count))
        shown = [p.image_id for row in rows for p in row.people]
        assert shown == sorted(set(shown)) and max(len(row.people) for row in rows) <= PEOPLE_A_ROW
        assert len(shown) == count if count < 38 else len(shown) >= 38
    titles = [row.title for row in choose_rows(ranked(3))]
    assert titles[0] == "Worst fifth: person 1 of 3 by OKS, 0.00"
    assert [title.split(":")[0] for title in titles[1:]] == ["Middle fifth", "Best fifth"]
    assert choose_rows([]) == []


# What is drawn


def test_labels_are_left_and_the_prediction_right() -> None:
    before = sheet(person())
    x0, y0, x1, y1 = changed(before, sheet(person(moved=8)))
    assert x1 - x0 < HALF[0] and y1 - y0 < HALF[1]
    fewer = person().truth.copy()
    fewer[:, 2] = 0
    left0, _, left1, _ = changed(before, sheet(person(truth=fewer)))
    assert left1 < x0 and x0 - left0 == pytest.approx(HALF[0], abs=16)


def test_labels_that_are_missing_are_not_drawn() -> None:
    fewer = person().truth.copy()
    fewer[:, 2] = 0
    fewer[:, :2] = 80, 70  # where nothing is labelled COCO says 0, 0; whatever it says is not shown
    elsewhere = fewer.copy()
    elsewhere[:, :2] = 0
    assert (sheet(person(truth=fewer)) == sheet(person(truth=elsewhere))).all()


def test_unsure_joints_are_faint() -> None:
    nothing = sheet(person(found=False), black=True).astype(int)
    sure, unsure = (sheet(person(score=score), black=True).astype(int) for score in (0.9, 0.1))
    strength = [np.abs(each - nothing).sum() for each in (sure, unsure)]
    assert 0.1 * strength[0] < strength[1] < 0.6 * strength[0]
    half = np.ones((17, 1)) * 0.9
    half[11:] = 0.1
    mixed = person()
    assert mixed.pose is not None
    mixed.pose[:, 2:] = half
    between = np.abs(sheet(mixed, black=True).astype(int) - nothing).sum()
    assert strength[1] < between < strength[0]


def test_what_is_thin_is_a_matter_of_the_legend() -> None:
    nothing = sheet(person(found=False), black=True).astype(int)
    strict = Legend(LEGEND.heading, LEGEND.pair, LEGEND.about, 0.6)
    drawn = [sheet(person(score=0.5), black=True, legend=legend).astype(int) for legend in (LEGEND, strict)]
    tiles = [np.abs(each - nothing)[110:].sum() for each in drawn]  # below the heading
    assert tiles[1] < 0.6 * tiles[0]


def test_both_halves_are_drawn_alike() -> None:
    """Unsure joints are thin on the left too."""
    pose = np.column_stack([FIGURE, np.full(17, 0.1)])
    nowhere = pose + (500, 0, 0)

    def drawn(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return draw_sheet([RankedRow("Row", (Tile(person().box, left, right, 0.5, "name"),))], COCO17, LEGEND)

    empty, left, right = drawn(nowhere, nowhere), drawn(pose, nowhere), drawn(nowhere, pose)
    (a0, b0, a1, b1), (c0, d0, c1, d1) = changed(empty, left), changed(empty, right)
    assert (b0, b1) == (d0, d1) and c0 - a0 == c1 - a1 > HALF[0]
    assert (left[b0 : b1 + 1, a0 : a1 + 1] == right[d0 : d1 + 1, c0 : c1 + 1]).all()


def test_skeletons_on_black() -> None:
    people = (person(), person(found=False))
    dark, light = sheet(*people, black=True), sheet(*people)
    assert dark.shape == light.shape and not (dark == 120).all(2).any() and (light == 120).all(2).sum() > 10_000


def test_somebody_who_was_not_found_is_marked() -> None:
    x0, y0, x1, y1 = changed(sheet(person(found=False)), sheet(person(moved=500)))  # a pose outside of the crop
    assert x1 - x0 < HALF[0] and y1 - y0 < HALF[1]
    yellow = (np.abs(sheet(person(found=False)).astype(int) - (255, 200, 60)).max(1 + 1) < 25).sum()
    assert yellow > 20 and not (np.abs(sheet(person()).astype(int) - (255, 200, 60)).max(2) < 25).sum() > 20


def test_sheets_of_any_people() -> None:
    odd = person(0.25, name="ordner/größe.jpg", source="")
    crowdy = person(name="x" * 300, source="y" * 20)
    rows = [RankedRow("A", (odd, crowdy, person()) * 3), RankedRow("B", (person(),))]
    tiles = [row.shown_as(lambda p: example_tile(p, GREY)) for row in rows]
    image = draw_sheet(tiles, COCO17, Legend("heading " * 80, "pair", "about"))
    assert image.dtype == np.uint8 and image.shape[1] > 9 * 2 * HALF[0] and image.shape[0] > 2 * HALF[1]
    assert draw_sheet([], COCO17, LEGEND).ndim == 3
    # A name that the font cannot write becomes the id: two such names look the same.
    assert (sheet(odd) == sheet(person(0.25, name="ordner/grüße.jpg", source=""))).all()


@pytest.mark.parametrize(("suffix", "tolerance"), [(".png", 0), (".jpg", 24), (".jpeg", 24)])
def test_files_hold_the_colours(suffix: str, tolerance: int) -> None:
    image = sheet(person(), black=True)
    back = cv2.imdecode(np.frombuffer(encode_sheet(image, suffix), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert back.shape == image.shape
    assert np.percentile(np.abs(back.astype(int) - image), 99.9) <= tolerance


def test_a_sheet_that_is_too_large_for_the_format() -> None:
    with pytest.raises(OutputError, match="cannot be encoded as .jpg"):
        encode_sheet(np.zeros((2, 70_000, 3), np.uint8), ".jpg")


# The command line


def dataset(folder: Path) -> Path:
    """Two pictures with a blob where the tiny graph puts every joint; the second person is labelled elsewhere."""
    folder.mkdir()
    data: Json = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    for n, x in enumerate((60, 90), start=1):
        columns, rows = np.meshgrid(np.arange(160), np.arange(120))
        cone = np.clip(1 - np.hypot(columns - x, rows - 50) / 40, 0, 1) * 255
        cv2.imwrite(str(folder / f"{n}.png"), np.repeat(cone[..., None], 3, 2).astype(np.uint8))
        data["images"].append({"id": n, "file_name": f"{n}.png", "width": 160, "height": 120})
        data["annotations"].append({
            "id": n, "image_id": n, "category_id": 1, "bbox": [x - 24, 18, 48, 64], "keypoints": [x if n == 1 else x - 60, 50, 2] * 17,
        })  # fmt: skip
    path = folder / "people.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_mode(tmp_path / "tiny")


def evaluate(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["evaluate", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_writes_a_sheet(tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = dataset(tmp_path / "data")
    words = ("--images", tmp_path / "data", "--annotations", path, "--mode", tiny / "tiny-s.onnx")
    code, out, err = evaluate(capsys, *words, "--sheet", tmp_path / "sheet.jpg")
    assert (code, err) == (EXIT_OK, "") and f"2 of 2 people in '{tmp_path / 'sheet.jpg'}'" in out
    code, out, _ = evaluate(capsys, *words, "--sheet", tmp_path / "black.PNG", "--sheet-black", "--json")
    assert code == EXIT_OK and "poses" not in json.loads(out) and "black.PNG" in json.loads(out)["notes"][-1]
    light, dark = (cv2.imread(str(tmp_path / name)) for name in ("sheet.jpg", "black.PNG"))
    assert light.shape == dark.shape and light.mean() > dark.mean()
    assert not list(tmp_path.glob("*.part"))


def test_with_the_detector_somebody_may_not_be_found(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dataset(tmp_path / "data")  # nobody stands where the second person is labelled
    code, out, _ = evaluate(
        capsys, "--images", tmp_path / "data", "--annotations", path, "--mode", tiny, "--boxes", "detector",
        "--detector", tiny / "tiny-detector.onnx", "--sheet", tmp_path / "sheet.png",
    )  # fmt: skip
    assert code == EXIT_OK and "2 of 2 people" in out
    image = cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1].astype(int)
    assert (np.abs(image - (255, 200, 60)).max(2) < 25).sum() > 20  # the words in yellow


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--images", "x", "--annotations", "y", "--sheet", "sheet.gif"), ".jpg or .jpeg or .png"),
        (("--images", "x", "--annotations", "y", "--sheet", "sheet"), "no name of a picture"),
        (("--images", "x", "--annotations", "y", "--sequence", "--sheet", "s.jpg"), "leave it out with --sequence"),
        (("r.jsonl", "--against", "q.jsonl", "--sheet", "s.jpg"), "add --clip CLIP.mp4, or --sheet-black"),
        (("r.jsonl", "--against", "q.jsonl", "--clip", "c.mp4"), "add --sheet OUT.jpg"),
        (
            ("--images", "x", "--annotations", "y", "--sheet", "s.jpg", "--clip", "c.mp4"),
            "leave it out without --against",
        ),
        (("--images", "x", "--annotations", "y", "--sheet-black"), "add --sheet OUT.jpg"),
    ],
)
def test_what_does_not_go_together(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = evaluate(capsys, *words)
    assert code == EXIT_USAGE and message in err and err.count("\n") == 1


def test_a_sheet_that_cannot_be_is_found_out_before_the_work(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = evaluate(capsys, "--images", "x", "--annotations", "y", "--sheet", tmp_path / "no" / "s.jpg")
    assert code == EXIT_NOTHING and "there is no folder" in err
    path = dataset(tmp_path / "data")
    data = json.loads(path.read_text(encoding="utf-8"))
    for row in data["annotations"]:
        row["keypoints"] = [60, 50, 2, *[0] * 48]
    path.write_text(json.dumps(data), encoding="utf-8")
    words = ("--images", tmp_path / "data", "--annotations", path, "--mode", tiny / "tiny-s.onnx")
    code, _, err = evaluate(capsys, *words, "--sheet", tmp_path / "s.jpg")
    assert code == EXIT_NOTHING and "nobody with 5 labelled joints" in err and err.count("\n") == 1


def test_mpii_has_no_oks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = figure_graph(tmp_path / "mpii.onnx", pose_metadata(skeleton="mpii16"), np.full((16, 2), 0.5))
    path = write_list(tmp_path / "mpii_val.json", [listed("a.png", np.full((16, 2), 50.0), (50.0, 50.0), 0.5)])
    words = ("--images", tmp_path, "--annotations", path, "--mode", graph, "--sheet", tmp_path / "s.jpg")
    code, _, err = evaluate(capsys, *words)
    assert code == EXIT_USAGE and "MPII has none" in err and err.count("\n") == 1
