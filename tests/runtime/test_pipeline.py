"""The whole pipeline with fake networks: they read the position of a crop off the picture, everything else is real."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from vipose.runtime.codec import encode_gaussian
from vipose.runtime.errors import ModelError, UsageError
from vipose.runtime.metadata import Codec, GraphMetadata, InputSpec
from vipose.runtime.pipeline import Pipeline, PipelineConfig, person_score
from vipose.runtime.schedule import EARLY
from vipose.runtime.skeleton import COCO17
from vipose.runtime.types import Frame, FrameResult

W, H = 640, 480
BODY = {
    "nose": (0, 8), "eye": (4, 5), "ear": (8, 7), "shoulder": (18, 30), "elbow": (26, 55), "wrist": (30, 80),
    "hip": (12, 85), "knee": (14, 122), "ankle": (15, 160),
}  # fmt: skip


def joints(x: float, y: float) -> np.ndarray:
    """[17, 2] of a person whose head is at x, y."""
    out = []
    for index, name in enumerate(COCO17.joints):
        dx, dy = BODY[name.split("_")[-1]]
        out.append((x + {"left": dx, "right": -dx, "centre": 0}[COCO17.side(index)], y + dy))
    return np.array(out)


def ruler() -> np.ndarray:
    """A picture that says where its pixels lie: red rises with x, green with y, blue marks the inside."""
    image = np.empty((H, W, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, W)
    image[..., 1] = np.linspace(0, 255, H)[:, None]
    image[..., 2] = 255
    return image


RULER = ruler()


def lie(crop: np.ndarray) -> np.ndarray | None:
    """[2, 2]: scale and shift from crop columns (rows) to frame x (y), read off a crop of the ruler; None without enough of it."""
    rows, columns = 4 * np.array(np.nonzero(crop[::4, ::4, 2] == 255))
    if len(rows) < 20 or np.ptp(rows) < 40 or np.ptp(columns) < 40:
        return None
    x = np.polyfit(columns, (crop[rows, columns, 0] + 0.5) * (W - 1) / 255, 1)
    y = np.polyfit(rows, (crop[rows, columns, 1] + 0.5) * (H - 1) / 255, 1)
    return np.array([x, y]) if min(x[0], y[0]) > 0.01 else None


@dataclass
class FakeDetector:
    """Says where people are from a script; counts how often it was asked."""

    where: list[tuple[float, float]] = field(default_factory=list)
    score: float = 0.9
    calls: int = 0

    def __call__(self, image: np.ndarray, roi: tuple | None = None) -> np.ndarray:
        self.calls += 1
        rows = [[x - 38, y - 12, x + 38, y + 172, self.score] for x, y in self.where]
        return np.array(rows, np.float32).reshape(-1, 5)


@dataclass
class FakeGraph:
    """Sees the person nearest to the middle of the crop; ``gain`` scales its scores, ``swap`` exchanges left and right.

    A temporal one insists that the heatmaps it is given lie where the person was.
    """

    world: FakeDetector
    phase: int = 0
    T: int = 3
    gain: float = 0.9
    swap: bool = False
    calls: list[int] = field(default_factory=list)

    @property
    def metadata(self) -> GraphMetadata:
        task = "pose-temporal" if self.phase else "pose-spatial"
        return GraphMetadata(
            task, "fake", InputSpec(96, 128), skeleton="coco17", codec=Codec(), T=self.T, phase=self.phase
        )

    def __call__(self, crops: np.ndarray, heatmaps: np.ndarray | None = None) -> np.ndarray:
        assert crops.shape[1:] == (128, 96, 3) and crops.dtype == np.uint8
        assert (heatmaps is not None) == bool(self.phase)
        self.calls.append(len(crops))
        out = np.zeros((len(crops), 17, 32, 24), np.float32)
        for n, crop in enumerate(crops):
            where = lie(crop)
            if where is None or not self.world.where:
                continue
            middle = where[:, 0] * [47.5, 63.5] + where[:, 1] - [0, 80]
            nearest = min(self.world.where, key=lambda p: np.abs(middle - p).sum())
            cells = (joints(*nearest) - where[:, 1]) / where[:, 0] * [23 / 95, 31 / 127]
            out[n] = self.gain * encode_gaussian(cells, (24, 32))
            if heatmaps is not None and not self.swap:
                self.check(heatmaps[n], cells)
        return out[:, list(COCO17.flip)] if self.swap else out

    @staticmethod
    def check(given: np.ndarray, cells: np.ndarray) -> None:
        peaks = given.reshape(17, -1).argmax(1)
        found = np.stack([peaks % 24, peaks // 24], 1)
        seen = given.max((1, 2)) > 0.4
        assert np.abs(found - cells)[seen].max(initial=0) < 3, "the warped heatmaps do not lie on the person"


def mode(T: int = 3, **more) -> SimpleNamespace:
    world = FakeDetector()
    parts = {
        "detector": world,
        "spatial": FakeGraph(world, T=T),
        "temporal": tuple(FakeGraph(world, t + 1, T) for t in range(T)),
        "period": T + 1,
        "provider": SimpleNamespace(running="cpu"),
    }
    return SimpleNamespace(**(parts | more))


def play(
    networks: SimpleNamespace, paths: list[list[tuple[float, float]]], config: PipelineConfig | None = None, dt: float = 1 / 30
) -> tuple[Pipeline, list[FrameResult]]:
    """Run a film; ``paths`` holds the people of each frame."""
    pipeline, results = Pipeline(networks, config), []
    for index, people in enumerate(paths):
        networks.detector.where = people
        results.append(pipeline.process(Frame(index, index * dt, RULER)))
    return pipeline, results


def walk(frames: int, *starts: tuple[float, float], speed: float = 2.0) -> list[list[tuple[float, float]]]:
    return [[(x + speed * i, y) for x, y in starts] for i in range(frames)]


def test_two_people_are_found_followed_and_posed() -> None:
    paths = walk(40, (100, 120), (400, 200))
    networks = mode()
    pipeline, results = play(networks, paths)
    for result, people in zip(results, paths, strict=True):
        assert [p.id for p in result.people] == [1, 2]
        for person, (x, y) in zip(result.people, people, strict=True):
            assert np.abs(person.keypoints[:, :2] - joints(x, y)).max() < 3
            assert person.keypoints[:, 2].min() > 0.7
            assert person.score == pytest.approx(0.9 * person.keypoints[:, 2].mean(), abs=0.05)
            assert not person.swapped
    assert networks.detector.calls == 4  # frames 0, 10, 20, 30
    last = pipeline.heatmaps(1)
    assert last is not None and last[1].shape == (17, 32, 24)
    assert pipeline.heatmaps(99) is None
    assert results[-1].provider == "cpu"


def test_counters_add_up_and_everybody_is_key_or_propagated_once() -> None:
    networks = mode()
    _, results = play(networks, walk(30, (100, 120), (300, 150), (500, 200), speed=1))
    key = propagated = forced = 0
    since: dict[int, int] = {}
    for index, result in enumerate(results):
        for p in result.people:
            assert (p.kind == "key") == bool(p.why) == (p.phase == 0)
            since[p.id] = 0 if p.kind == "key" else since[p.id] + 1
            assert p.phase == since[p.id] <= 3
            key, propagated, forced = key + (p.kind == "key"), propagated + (p.kind != "key"), forced + (p.why in EARLY)
        c = result.counters
        assert (c.decoded, c.key, c.propagated, c.forced, c.swapped) == (index + 1, key, propagated, forced, 0)
    assert key + propagated == 90 and propagated > 55 and forced == 0
    assert sum(networks.spatial.calls) == key
    assert sum(n for t in networks.temporal for n in t.calls) == propagated
    assert max(networks.spatial.calls[1:]) == 1  # staggered


def test_period_one_and_modes_without_temporal_graphs() -> None:
    for networks, config in ((mode(), PipelineConfig(period=1)), (mode(0), None)):
        _, results = play(networks, walk(5, (100, 120)), config)
        assert [r.people[0].why for r in results] == ["new", "every", "every", "every", "every"]


def test_nobody_is_an_ordinary_case() -> None:
    networks = mode()
    _, results = play(networks, [[]] * 30)
    assert all(r.people == () for r in results)
    assert networks.detector.calls == 10  # every 0.1 s, not on every frame
    assert networks.spatial.calls == []
    assert set(results[0].timings) >= {"detect", "track", "crop", "spatial", "temporal", "decode", "swap", "smooth", "total"}


def test_a_falling_score_brings_the_key_network_to_the_same_frame() -> None:
    networks = mode()
    networks.temporal[1].gain = 0.3
    _, results = play(networks, walk(8, (100, 120)))
    people = [r.people[0] for r in results]
    assert people[2].why == "score" and people[2].kind == "key" and people[2].keypoints[:, 2].mean() > 0.7
    assert people[3].phase == 1
    assert results[-1].counters.forced == 3  # frames 2, 4 and 6


def test_a_cut_brings_the_detector_and_key_frames() -> None:
    networks = mode()
    pipeline = Pipeline(networks)
    whys, ids = [], []
    for index in range(12):
        networks.detector.where = [(200.0, 150.0)] if index < 5 else [(203.0, 150.0), (500.0, 200.0)]
        if index == 5:
            pipeline._cut(np.ascontiguousarray(RULER[::-1]))  # the next frame follows on quite another picture
        result = pipeline.process(Frame(index, index / 30, RULER))
        whys.append([p.why for p in result.people])
        ids.append([p.id for p in result.people])
    assert whys[4] == ["due"] and whys[5] == ["cut", "new"] and all("cut" not in w for w in whys[6:])
    assert ids[4] == [1] and ids[5] == [1, 2]
    assert networks.detector.calls == 2


def test_a_gap_in_time_is_one_and_odd_stamps_are_not() -> None:
    networks = mode()
    networks.detector.where = [(200.0, 150.0)]
    pipeline = Pipeline(networks)
    times = [0.0, 1 / 30, 1 / 30, 0.03, 2 / 30, 9.0, 9.03, 1.0]
    whys = [pipeline.process(Frame(i, t, RULER)).people[0].why for i, t in enumerate(times)]
    assert whys == ["new", "", "", "", "due", "gap", "", "gap"]


def test_swapped_heatmaps_are_mended_and_not_propagated() -> None:
    networks = mode()
    pipeline, paths = Pipeline(networks), walk(16, (100, 120))
    swapped = []
    for index, people in enumerate(paths):
        networks.detector.where = people
        networks.spatial.swap = index == 8
        result = pipeline.process(Frame(index, index / 30, RULER))
        swapped.append(result.people[0].swapped)
        body = result.people[0].keypoints[5:, :2]
        assert np.abs(body - joints(*people[0])[5:]).max() < 3
    assert [i for i, s in enumerate(swapped) if s] == [8]
    assert result.counters.swapped == 1
    networks = mode(0)
    networks.spatial.swap = True
    _, plain = play(networks, paths, PipelineConfig(swap=False))
    assert not any(p.swapped for r in plain for p in r.people)


def test_people_at_and_beyond_the_edge() -> None:
    networks = mode()
    _, results = play(networks, walk(60, (560, 330), speed=3))
    assert results[0].people and np.isfinite(results[0].people[0].keypoints).all()
    outside = [p.keypoints for r in results for p in r.people if p.keypoints[:, 0].max() > W]
    assert all(k[k[:, 0] > W, 2].max() <= 0.25 for k in outside)
    assert results[-1].people == ()


def test_a_one_pixel_frame_and_a_one_pixel_person() -> None:
    class OnePixel(FakeDetector):
        def __call__(self, image: np.ndarray, roi: tuple | None = None) -> np.ndarray:
            return np.array([[0, 0, 1, 1, 0.9], [0, 0, 0, 0, 0.9], [-5000, -5000, -4999, -4999, 0.9]], np.float32)

    for size in ((1, 1), (H, W)):
        pipeline = Pipeline(mode(detector=OnePixel()))
        for index in range(6):
            result = pipeline.process(Frame(index, index / 30, np.zeros((*size, 3), np.uint8)))
            assert all(np.isfinite(p.keypoints).all() for p in result.people)


def test_the_same_frames_give_the_same_results() -> None:
    paths = walk(25, (100, 120), (140, 130), (400, 200), speed=3)
    runs = [play(mode(), paths)[1] for _ in range(2)]
    for a, b in zip(*runs, strict=True):
        assert a.counters == b.counters
        for p, q in zip(a.people, b.people, strict=True):
            assert (p.id, p.kind, p.why, p.score) == (q.id, q.kind, q.why, q.score)
            assert p.keypoints.tobytes() == q.keypoints.tobytes() and p.smoothed.tobytes() == q.smoothed.tobytes()


def test_workers_change_nothing() -> None:
    calls = []

    def deal(function, items):
        calls.append(len(items))
        return [function(item) for item in items]

    paths = walk(10, (100, 120), (400, 200))
    plain = play(mode(), paths)[1]
    dealt = play(mode(workers=SimpleNamespace(map=deal)), paths)[1]
    assert calls and max(calls) == 2
    for a, b in zip(plain, dealt, strict=True):
        for p, q in zip(a.people, b.people, strict=True):
            assert (p.keypoints == q.keypoints).all()


def test_smoothing_is_beside_the_raw_values() -> None:
    paths = walk(10, (100, 120))
    on, off = (play(mode(), paths, PipelineConfig(smoothing=s))[1] for s in (True, False))
    assert (off[-1].people[0].smoothed == off[-1].people[0].keypoints).all()
    assert (on[-1].people[0].smoothed != on[-1].people[0].keypoints).any()
    assert (on[-1].people[0].keypoints == off[-1].people[0].keypoints).all()


def test_region_of_interest() -> None:
    config = PipelineConfig(roi=(0, 0, 320, 480))
    _, results = play(mode(), walk(5, (100, 120), (500, 200)), config)
    assert all(len(r.people) == 1 and r.people[0].box[0] < 320 for r in results)
    with pytest.raises(UsageError, match="outside"):
        play(mode(), [[]], PipelineConfig(roi=(5000, 0, 6000, 100)))


def test_most_people() -> None:
    _, results = play(mode(), walk(5, (100, 120), (300, 120), (500, 200)), PipelineConfig(max_people=2))
    assert [len(r.people) for r in results] == [2] * 5


@pytest.mark.parametrize(
    "bad",
    [
        {"period": 0}, {"max_people": 0}, {"score_threshold": 1.5}, {"score_threshold": float("nan")}, {"detect_every": 0},
        {"detect_every_s": 0}, {"roi": (5, 5, 5, 9)}, {"smoothing_strength": 0}, {"refinement": "magic"}, {"max_lost_s": -1},
        {"max_keys": -1}, {"doubt_s": -1},
    ],
)  # fmt: skip
def test_absurd_options(bad: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(bad))):
        PipelineConfig(**bad)


def test_modes_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="period 5"):
        Pipeline(mode(), PipelineConfig(period=5))
    with pytest.raises(UsageError, match="detector"):
        Pipeline(mode(detector=None))

    class Other(FakeGraph):
        @property
        def metadata(self) -> GraphMetadata:
            return GraphMetadata("pose-temporal", "o", InputSpec(192, 256), skeleton="coco17", codec=Codec(), T=1, phase=1)

    with pytest.raises(ModelError, match="differ"):
        Pipeline(mode(temporal=(Other(FakeDetector(), 1),)))
    with pytest.raises(ValueError, match="uint8"):
        Pipeline(mode()).process(Frame(0, 0.0, np.zeros((4, 4), np.uint8)))


def test_person_score() -> None:
    pose = np.zeros((17, 3))
    assert person_score(0.9, pose) == 0
    pose[:5, 2] = 0.8
    assert person_score(0.5, pose) == pytest.approx(0.4)
