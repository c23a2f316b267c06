"""Single-frame graphs of other kinds through the whole program: 16 joints, square and large crops, BGR, msra, sigma 3.

The graphs see the fixture's figure in every crop, stronger where the crop is red; everything else is real.
"""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.fixtures.figure import figure_graph, mpii_figure
from tests.fixtures.graphs import detector_graph, write_installation
from vipose.runtime import cli, shipped
from vipose.runtime.draw import draw
from vipose.runtime.errors import UsageError
from vipose.runtime.metadata import Codec, GraphMetadata, InputSpec
from vipose.runtime.modes import load_mode
from vipose.runtime.overlay import CENTRE, LEFT, RIGHT, OverlayStyle, build_overlay
from vipose.runtime.pipeline import Pipeline
from vipose.runtime.privacy import HeadBlur
from vipose.runtime.results.native import read_native
from vipose.runtime.skeleton import MPII16, SKELETONS
from vipose.runtime.swap import SwapCorrector
from vipose.runtime.types import Counters, Frame, FrameResult, PersonResult

pytestmark = pytest.mark.timeout(240)
SIZE = (160, 96)
COLOUR = (250, 200, 60)
FORMATS = "native,coco,openpose,posetrack,csv,angles,angles-mot,mot,trc"


def pose(network: str, skeleton: str, size: tuple[int, int], *, sigma: float = 2.0, **spec: str) -> GraphMetadata:
    return GraphMetadata(
        "pose-spatial", network, InputSpec(*size, **spec), skeleton=skeleton, codec=Codec("msra", sigma, 4, 11),  # type: ignore[arg-type]
        flip=SKELETONS[skeleton].flip, licence="test",
    )  # fmt: skip


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's folder: a graph as those of MPII, one as those of 384x288, and a detector."""
    folder = tmp_path_factory.mktemp("own")
    figure = mpii_figure(width_share=0.75)
    for name, colour in (("efficientpose-a-mpii", "BGR"), ("plain", "RGB")):
        metadata = pose(name, "mpii16", (256, 256), sigma=3.0, colour=colour)
        figure_graph(folder / f"{name}.onnx", metadata, figure, sigma=3.0)
    figure_graph(folder / "posenas-l18-c48-384x288.onnx", pose("large", "coco17", (288, 384), sigma=3.0), sigma=3.0)
    detector_graph(folder / "finder.onnx")
    return folder


@pytest.fixture(autouse=True)
def installed(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installation = write_installation(tmp_path / "exported")
    monkeypatch.setattr(shipped, "shipped_folder", lambda: installation)
    monkeypatch.setenv("VIPOSE_MODELS", str(own))


def picture(index: int) -> np.ndarray:
    """A striped block that moves to the right on grey: one person to the tiny detector."""
    image = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
    x = 24 + index
    image[36:68, x : x + 28] = COLOUR
    image[36:68:4, x : x + 28] = 180
    return image


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *SIZE, "yuv420p", 2_000_000
        for index in range(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def process(name: str, frames: int = 8) -> list[FrameResult]:
    mode = load_mode(name, detector="finder", threads=1)
    try:
        pipeline = Pipeline(mode)
        return [pipeline.process(Frame(i, i / 25, picture(i), "test")) for i in range(frames)]
    finally:
        mode.close()


@pytest.mark.parametrize("name", ["efficientpose-a-mpii", "posenas-l18-c48-384x288"])
def test_every_format_from_the_command_line(name: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out" / "x.mp4"
    words = ["run", clip, "-o", out, "-m", name, "--detector", "finder", "--save", FORMATS, "--head-blur", "--json"]
    assert cli.main([*map(str, words), "--threads", "1"]) == 0
    [source] = json.loads(capsys.readouterr().out)["sources"]
    assert source["status"] == "done" and source["written"] == 8 and source["people"] == 1
    assert source["key"] == 8 and source["propagated"] == 0
    reader = read_native(out.with_suffix(".jsonl"))
    joints = reader.header.joints
    assert len(joints) == (16 if name.endswith("-mpii") else 17) and name in reader.header.settings["mode"]
    assert all(len(frame.people) == 1 and frame.people[0].keypoints[:, 2].min() > 0.5 for frame in reader)
    with out.with_suffix(".csv").open(encoding="utf-8") as file:
        assert {row["joint"] for row in csv.DictReader(file)} == set(joints.joints)
    (trc,) = out.parent.glob("*.trc")
    assert [cell for cell in trc.read_text("utf-8").splitlines()[3].split("\t") if cell][2:] == list(joints.joints)
    category = json.loads(out.with_suffix(".posetrack.json").read_text("utf-8"))["categories"][0]
    assert category["keypoints"] == list(joints.joints)
    results = json.loads(out.with_suffix(".coco.json").read_text("utf-8"))
    assert len(results[0]["keypoints"]) == 3 * len(joints)
    with out.with_suffix(".angles.csv").open(encoding="utf-8") as file:
        angles = {row["angle"]: float(row["degrees"]) for row in csv.DictReader(file) if row["degrees"]}
    assert {"left_knee", "right_elbow", "trunk_lean"} <= set(angles) and abs(angles["trunk_lean"]) < 3


def test_openpose_gets_what_mpii_has(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.mp4"
    words = ["run", clip, "-o", out, "-m", "efficientpose-a-mpii", "--detector", "finder", "--save", "openpose,native", "-q"]
    assert cli.main([*map(str, words), "--no-video"]) == 0
    file = min((tmp_path / "x_openpose").glob("*.json"))
    points = np.array(json.loads(file.read_text("utf-8"))["people"][0]["pose_keypoints_2d"]).reshape(25, 3)
    (person,) = next(iter(read_native(out.with_suffix(".jsonl")))).people
    thorax, pelvis = (person.smoothed[MPII16.index(joint)] for joint in ("thorax", "pelvis"))
    np.testing.assert_allclose(points[1, :2], thorax[:2], atol=0.2)  # neck
    np.testing.assert_allclose(points[8, :2], pelvis[:2], atol=0.2)  # mid-hip
    assert (points[[0, 15, 16, 17, 18]] == 0).all() and (points[1:15, 2] > 0.5).all()  # no nose, eyes and ears


def test_the_pose_stands_upright_and_boxes_made_of_it_stay() -> None:
    """The detector looks once; then boxes come from joints. A wrong scale or half a cell too much would make them drift."""
    frames = process("efficientpose-a-mpii")
    assert {person.id for frame in frames for person in frame.people} == {1}
    points = {joint: frames[-1].people[0].keypoints[MPII16.index(joint)] for joint in MPII16.joints}
    down = ["head_top", "upper_neck", "thorax", "pelvis", "left_knee", "left_ankle"]
    assert all(points[a][1] < points[b][1] for a, b in pairwise(down))
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        assert points[f"left_{part}"][0] > points[f"right_{part}"][0]
    for frame in frames:
        x0, y0, x1, y1 = frame.people[0].box
        np.testing.assert_allclose(((x0 + x1) / 2, (y0 + y1) / 2, y1 - y0), (39.5, 55.5, 64), atol=1.5)


def test_the_order_of_channels_is_the_graphs() -> None:
    bgr, rgb = (process(name, 1)[0].people[0].keypoints for name in ("efficientpose-a-mpii", "plain"))
    np.testing.assert_allclose(bgr, rgb, atol=1e-4)


def test_no_period_but_one() -> None:
    with pytest.raises(UsageError, match="period 4 is not possible.*leave --period out"):
        load_mode("efficientpose-a-mpii", period=4)
    assert load_mode("efficientpose-a-mpii", detector=None, period=1).period == 1


def test_limbs_of_16_joints_are_drawn_in_their_colours() -> None:
    places = mpii_figure() * (300, 400)
    points = np.column_stack([places, np.ones(16)]).astype(np.float32)
    person = PersonResult(1, np.array([60, 40, 240, 360], np.float32), 1.0, points, points)
    result = FrameResult(0, 0.0, (300, 400), (person,), {}, Counters(), "CPU")
    style = OverlayStyle(boxes=False, ids=False, status=False)
    overlay = build_overlay(result, MPII16, style)
    ends = {(line.start, line.end) for line in overlay.lines}
    assert ends == {(tuple(map(float, points[a, :2])), tuple(map(float, points[b, :2]))) for a, b in MPII16.limbs}
    image = draw(np.zeros((400, 300, 3), np.uint8), overlay)

    def colour(first: str, second: str) -> tuple[int, ...]:
        x, y = np.rint((places[MPII16.index(first)] + places[MPII16.index(second)]) / 2).astype(int)
        return tuple(int(v) for v in image[y, x])

    for limb, wanted in (
        (("left_hip", "left_knee"), LEFT), (("right_hip", "right_knee"), RIGHT), (("pelvis", "thorax"), CENTRE),
        (("thorax", "left_shoulder"), LEFT), (("right_elbow", "right_wrist"), RIGHT), (("upper_neck", "head_top"), CENTRE),
    ):  # fmt: skip
        assert np.abs(np.subtract(colour(*limb), wanted)).max() < 30, limb


def test_heads_of_16_joints_are_blurred() -> None:
    """The stripes of the picture are gone where the head lies, and only there."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    (person,) = process("efficientpose-a-mpii", 1)[0].people
    result = FrameResult(0, 0.0, SIZE, (person,), {}, Counters(), "CPU")
    hidden = HeadBlur(MPII16).apply(noise, result)
    top, neck = (person.keypoints[MPII16.index(joint), :2] for joint in ("head_top", "upper_neck"))
    x, y = np.rint((top + neck) / 2).astype(int)
    head = (slice(y - 2, y + 3), slice(x - 2, x + 3))
    assert np.ptp(hidden[head].astype(int), axis=(0, 1)).max() < 0.5 * np.ptp(noise[head].astype(int), axis=(0, 1)).min()
    pelvis = int(person.keypoints[MPII16.index("pelvis"), 1])
    assert np.array_equal(hidden[pelvis:], noise[pelvis:])


def test_bench_compares_it_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "--mode", "efficientpose-a-mpii", "--detector", "finder", "--repeats", "1", "--people", "1", "--json"]
    assert cli.main([*words, "--reference", "s-vipnas"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["role"] for row in report["graphs"]] == ["reference", "spatial", "detect"]
    assert report["graphs"][0]["name"] == "s-vipnas" and report["stages"][0]["people"] == 1
    assert cli.main([*words, "--graphs", "only", "--period", "2"]) == 2
    assert "leave --period out" in capsys.readouterr().err


def test_swapped_sides_are_put_right() -> None:
    """The whole body exchanged on one frame, in the graph's own joints."""
    corrector = SwapCorrector(MPII16)
    points = np.column_stack([mpii_figure() * (100, 200), np.ones(16)])
    for frame in range(3):
        assert corrector.correct(1, points, 120.0, frame / 25, key=True) is None
    order = corrector.correct(1, points[list(MPII16.flip)], 120.0, 3 / 25, key=True)
    assert order is not None and list(order) == list(MPII16.flip)


def test_metadata_follow_the_graph_not_the_name() -> None:
    """A mode's name promises no size: the graph's own counts."""
    mode = load_mode("posenas-l18-c48-384x288", detector=None)
    assert mode.spatial.size == (288, 384) and mode.spatial.heatmap_size == (72, 96) and mode.codec.sigma == 3.0
