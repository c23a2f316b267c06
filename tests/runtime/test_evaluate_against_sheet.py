"""The sheet of two results of one clip: who is ranked, who is chosen, which frames are read, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fixtures.clips import clip, picture
from tests.fixtures.people import STANDING
from vipose.runtime.cli import main
from vipose.runtime.errors import EXIT_NOTHING, EXIT_OK, InputError
from vipose.runtime.evaluate import against_sheet
from vipose.runtime.evaluate.against import AgainstReport, evaluate_against
from vipose.runtime.evaluate.against_sheet import draw_against
from vipose.runtime.evaluate.moments import APART_S, Moment, rank_moments, spread_places
from vipose.runtime.evaluate.ranks import PEOPLE_A_ROW, RankedRow
from vipose.runtime.evaluate.sheet import HALF, Legend, Tile
from vipose.runtime.geometry import PAD, crop_affine, invert
from vipose.runtime.media.seek import FrameReader
from vipose.runtime.metrics.agreement import compare_runs
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.native import NativeWriter
from vipose.runtime.skeleton import COCO17
from vipose.runtime.types import Frame, FrameResult, PersonResult, SourceInfo

SIZE = (96, 64)
BOX = (30.0, -10, 60, 60)
FRAMES = 20


def standing(track: int = 1, *, moved: float = 0.0, phase: int = 0, score: float = 0.9) -> PersonResult:
    x0, y0, x1, y1 = BOX
    points = np.column_stack([STANDING * (x1 - x0, y1 - y0) + (x0 + moved, y0), np.full(17, score)])
    smoothed = points + (1.0, 0, 0)
    return PersonResult(
        track, np.array(BOX), 0.9, points, smoothed, "propagated" if phase else "key", "" if phase else "due", phase
    )


def save(
    path: Path, people: Callable[[int], PersonResult | tuple[PersonResult, ...] | None], *, frames: int = FRAMES, fps: float = 25.0,
    size: tuple[int, int] = SIZE, said: int | None = None, **settings: object,
) -> Path:  # fmt: skip
    writer = NativeWriter(
        path, ResultHeader(SourceInfo("folder/clip.mp4", "video", size, frames=said), settings=settings)
    )
    for index in range(frames):
        found = people(index) or ()
        writer.write(FrameResult(index, index / fps, size, found if isinstance(found, tuple) else (found,)))
    writer.close()
    return path


def pair(folder: Path, **fields: object) -> AgainstReport:
    """A reference, and a result that is off by a pixel more on each of three frames after a key frame."""
    reference = save(folder / "s.jsonl", lambda _: standing(), mode="s-vipnas", period=None, **fields)  # type: ignore[arg-type]
    result = save(
        folder / "t.jsonl", lambda n: standing(moved=n % 4 + n / 40, phase=n % 4), mode="t-vipnas", period=None, **fields  # type: ignore[arg-type]
    )  # fmt: skip
    return evaluate_against(result, reference)


# Who is shown


def test_propagated_people_are_ranked_as_the_figures_count_them(tmp_path: Path) -> None:
    report = pair(tmp_path)
    people = rank_moments(report.runs)
    assert len(people) == FRAMES * 3 // 4 and {p.result.phase for p in people} == {1, 2, 3}
    assert [p.oks for p in people] == sorted(p.oks for p in people)
    assert (people[0].index, people[0].time_s) == (19, 0.76)
    alone = compare_runs(
        [f.reference for f in report.runs.frames if f.result.index % 4],
        [f.result for f in report.runs.frames if f.result.index % 4], COCO17,
    )  # fmt: skip
    assert np.mean([p.oks for p in people]) == pytest.approx(alone.mean_oks)


def test_without_propagated_people_all_are_ranked(tmp_path: Path) -> None:
    reference = save(tmp_path / "a.jsonl", lambda _: standing())
    result = save(tmp_path / "b.jsonl", lambda n: standing(moved=n / 10) if n != 3 else None)
    assert [p.index for p in rank_moments(evaluate_against(result, reference).runs)] == [
        *reversed([n for n in range(FRAMES) if n != 3])
    ]


def moments(*where: tuple[float, int]) -> list[Moment]:
    """At times, of ids, worst first."""
    return [
        Moment(round(time_s * 100), time_s, standing(track), standing(track, phase=1), n / len(where))
        for n, (time_s, track) in enumerate(where)
    ]


def gaps(band: list[Moment], places: list[int]) -> list[float]:
    return [
        abs(band[a].time_s - band[b].time_s)
        for a in places for b in places if a < b and band[a].reference.id == band[b].reference.id
    ]  # fmt: skip


def test_neighbouring_frames_are_not_chosen_together() -> None:
    # Ranks follow time: evenly spaced ranks would be 0.36 s apart.
    band = moments(*((n * 0.04, 1) for n in range(120)))
    places = spread_places(band)
    assert places == sorted(set(places)) and len(places) == PEOPLE_A_ROW and places[0] == 0
    assert min(gaps(band, places)) >= APART_S
    assert spread_places(band) == places
    # Frames exactly so far apart are far enough, and other ids are no neighbours.
    assert spread_places(moments((0.0, 1), (0.5, 1), (1.0, 1))) == [0, 1, 2]
    crowd = moments(*((1.0, track) for track in range(1, 20)))
    assert spread_places(crowd) == [0, 3, 5, 8, 10, 13, 15, 18]


def test_a_short_clip_fills_its_rows_with_what_is_farthest() -> None:
    band = moments(*((n * 0.04, 1) for n in range(20)))  # 0.76 s: two that are far enough
    places = spread_places(band)
    assert len(places) == PEOPLE_A_ROW and places == sorted(set(places)) and min(gaps(band, places)) >= 0.08
    assert spread_places(band[:1]) == [0] and spread_places(band[:3]) == [0, 1, 2]


# What is drawn


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> tuple[list[RankedRow[Tile]], list[Legend]]:
    """Tiles and legends of the sheets that are drawn."""
    rows: list[RankedRow[Tile]] = []
    legends: list[Legend] = []
    draw = against_sheet.draw_sheet

    def keep(tiles: list[RankedRow[Tile]], skeleton: object, legend: Legend) -> np.ndarray:
        rows.extend(tiles)
        legends.append(legend)
        return draw(tiles, COCO17, legend)

    monkeypatch.setattr(against_sheet, "draw_sheet", keep)
    return rows, legends


def test_every_frame_is_read_once_and_is_the_right_one(
    tmp_path: Path, drawn: tuple[list[RankedRow[Tile]], list[Legend]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    frame = FrameReader.frame

    def counted(reader: FrameReader, index: int) -> Frame:
        read.append(index)
        return frame(reader, index)

    monkeypatch.setattr(FrameReader, "frame", counted)
    reference = save(tmp_path / "a.jsonl", lambda _: (standing(1), standing(2, moved=40)))
    result = save(tmp_path / "b.jsonl", lambda n: (standing(1, phase=n % 2), standing(2, moved=42, phase=n % 2)))
    sheet = draw_against(evaluate_against(result, reference), clip(tmp_path / "clip.mp4", frames=FRAMES).path)
    assert (sheet.shown, sheet.people) == (FRAMES, FRAMES) and read == list(range(1, FRAMES, 2))  # two people on each
    tiles = [tile for row in drawn[0] for tile in row.people]
    size = 2 * HALF[0], 2 * HALF[1]
    back = invert(crop_affine(np.array(BOX), size, pad=PAD))
    for tile in tiles:
        assert tile.ground is not None
        shown = cv2.warpAffine(tile.ground, back, SIZE)  # the frame again, as far as it was cut out
        seen = slice(4, 60), slice(26, 70)
        whole = [picture(index, SIZE)[seen].astype(int) for index in range(FRAMES)]
        nearest = int(np.argmin([np.abs(shown[seen] - each).mean() for each in whole]))
        assert tile.name.startswith(f"frame {nearest},")
    assert sheet.image.shape[1] > 4 * 2 * HALF[0]


def test_the_words(tmp_path: Path, drawn: tuple[list[RankedRow[Tile]], list[Legend]]) -> None:
    sheet = draw_against(pair(tmp_path), None)
    rows, legends = drawn
    worst = rows[0].people[0]
    assert (worst.name, worst.detail, worst.ground) == ("frame 19, 0.76 s", ", id 1, P3", None)
    assert rows[0].title.startswith("Worst fifth: people 1 to 3 of 15 by OKS, 0.")
    assert legends[0].heading.startswith("clip.mp4: t-vipnas period 4 against s-vipnas, mean OKS 0.")
    assert legends[0].heading.endswith("of 15 propagated people on frames")
    assert legends[0].pair == "left the reference, right the result" and legends[0].threshold == 0.2
    assert (worst.left[:, :2] == standing().smoothed[:, :2]).all() and worst.box.tolist() == list(BOX)
    assert sheet.image.dtype == np.uint8


def test_words_without_modes_and_with_other_ids(
    tmp_path: Path, drawn: tuple[list[RankedRow[Tile]], list[Legend]]
) -> None:
    reference = save(tmp_path / "ours.jsonl", lambda _: standing(), mode="/home/somebody/graphs/deep.onnx", period=1)
    result = save(tmp_path / "theirs.jsonl", lambda n: replace(standing(7, moved=1.0), why="jump", swapped=True))
    draw_against(evaluate_against(result, reference, raw=True), None)
    rows, legends = drawn
    assert legends[0].heading.startswith("clip.mp4: theirs.jsonl against deep.onnx, mean OKS 0.")
    assert legends[0].heading.endswith(f"of {FRAMES} people on frames (raw joints)")
    tile = rows[0].people[0]
    assert tile.detail == ", id 1 as 7, K jump L/R" and (tile.left == standing().keypoints).all()


def test_joints_that_do_not_count_are_faint(tmp_path: Path, drawn: tuple[list[RankedRow[Tile]], list[Legend]]) -> None:
    unsure = standing(score=0.15)  # smoothing may report another score; what counts is the decoded one
    kept = replace(unsure, smoothed=np.column_stack([unsure.smoothed[:, :2], np.full(17, 0.9)]))
    reference = save(tmp_path / "a.jsonl", lambda _: kept, frames=1)
    result = save(tmp_path / "b.jsonl", lambda _: standing(), frames=1)
    draw_against(evaluate_against(result, reference), None)
    assert (drawn[0][0].people[0].left[:, 2] < drawn[1][0].threshold).all()


def test_joints_that_a_file_does_not_have_are_not_drawn(
    tmp_path: Path, drawn: tuple[list[RankedRow[Tile]], list[Legend]]
) -> None:
    gone = standing().keypoints.copy()
    gone[9] = np.nan
    person = replace(standing(), keypoints=gone, smoothed=gone)
    path = save(tmp_path / "a.jsonl", lambda _: person, frames=1)
    draw_against(evaluate_against(path, path), None)
    tile = drawn[0][0].people[0]
    assert tile.right is not None
    for points in (tile.left, tile.right):
        assert np.flatnonzero(~np.isfinite(points).all(1)).tolist() == [9]


# What does not fit


def refused(report: AgainstReport, path: Path) -> str:
    with pytest.raises(InputError) as caught:
        draw_against(report, path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def test_clips_that_do_not_fit(tmp_path: Path) -> None:
    report = pair(tmp_path, said=FRAMES)
    other = clip(tmp_path / "wide.mp4", frames=FRAMES, size=(128, 64)).path
    assert "has frames of 128x64 but the results are of 96x64; give the clip that" in refused(report, other)
    short = clip(tmp_path / "short.mp4", frames=FRAMES - 3).path
    assert "has 17 frames but the results go up to frame 19" in refused(report, short)
    long = clip(tmp_path / "long.mp4", frames=FRAMES + 5).path
    assert "has 25 frames but the results' source had 20" in refused(report, long)
    slow = clip(tmp_path / "slow.mp4", frames=FRAMES, fps=20.0).path
    assert "has frame 1 at 0.050 s but the results have it at 0.040 s" in refused(report, slow)
    assert "missing.mp4" in refused(report, tmp_path / "missing.mp4")


def test_pictures_in_a_folder_are_a_clip(tmp_path: Path) -> None:
    folder = tmp_path / "stills"
    folder.mkdir()
    for n in range(3):
        cv2.imwrite(str(folder / f"{n}.png"), np.full((64, 96, 3), 60 * n, np.uint8))
    with FrameReader(folder) as reader:
        fps = 1 / float(reader.times_s[1])
    reference = save(tmp_path / "a.jsonl", lambda _: standing(), frames=3, fps=fps)
    sheet = draw_against(evaluate_against(reference, reference), folder)
    assert sheet.shown == 3


def test_nobody_to_show(tmp_path: Path) -> None:
    reference = save(tmp_path / "a.jsonl", lambda _: standing())
    result = save(tmp_path / "b.jsonl", lambda _: None)
    with pytest.raises(InputError, match="nothing to show; leave out --sheet"):
        draw_against(evaluate_against(result, reference), None)


# The command line


def test_the_command_writes_a_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair(tmp_path)
    made = clip(tmp_path / "clip.mp4", frames=FRAMES).path
    words = ["evaluate", str(tmp_path / "t.jsonl"), "--against", str(tmp_path / "s.jsonl")]
    code = main([*words, "--clip", str(made), "--sheet", str(tmp_path / "sheet.jpg")])
    out, err = capsys.readouterr()
    assert (code, err) == (EXIT_OK, "") and "15 of 15 matched people on frames in" in out and "same clip?" not in out
    made.rename(tmp_path / "other.mp4")
    assert main([*words, "--clip", str(tmp_path / "other.mp4"), "--sheet", str(tmp_path / "sheet.jpg")]) == EXIT_OK
    assert "are from 'other.mp4'; is it the same clip?" in capsys.readouterr().out
    code = main([*words, "--sheet", str(tmp_path / "black.png"), "--sheet-black", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == EXIT_OK and "black.png" in report["notes"][-1]
    assert set(report) == {"result", "reference", "raw", "agreement", "notes", "total_ratio", "pose_ratio"}
    light, dark = (cv2.imread(str(tmp_path / name)) for name in ("sheet.jpg", "black.png"))
    assert light.shape == dark.shape and light.mean() > dark.mean() and not list(tmp_path.glob("*.part"))
    code = main([*words, "--clip", str(tmp_path / "none.mp4"), "--sheet", str(tmp_path / "other.jpg")])
    out, err = capsys.readouterr()
    assert code == EXIT_NOTHING and err.count("\n") == 1 and out == "" and not (tmp_path / "other.jpg").exists()
