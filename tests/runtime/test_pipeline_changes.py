"""A pipeline whose options and networks change between two frames."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.runtime.test_pipeline import RULER, mode, walk
from vipose.runtime.errors import UsageError
from vipose.runtime.pipeline import Pipeline, PipelineConfig
from vipose.runtime.skeleton import MPII16
from vipose.runtime.types import Frame, FrameResult

People = list[tuple[float, float]]


class Film:
    """Plays frames one after the other; ``networks`` may be exchanged in between."""

    def __init__(self, config: PipelineConfig | None = None) -> None:
        self.networks = mode()
        self.pipeline = Pipeline(self.networks, config)
        self.index = 0

    def play(self, frames: list[People]) -> list[FrameResult]:
        results = []
        for people in frames:
            self.networks.detector.where = people
            results.append(self.pipeline.process(Frame(self.index, self.index / 30, RULER)))
            self.index += 1
        return results


STILL: list[People] = walk(12, (100, 120), (400, 200), speed=0)


@pytest.mark.parametrize("period", [1, 2, 3])
def test_a_shorter_period_holds_for_everybody_at_once(period: int) -> None:
    film = Film()
    before = film.play(STILL[:6])[-1]
    film.pipeline.reconfigure(PipelineConfig(period=period))
    since = {p.id: p.phase for p in before.people}
    for result in film.play(STILL):
        assert [p.id for p in result.people] == [1, 2]
        for person in result.people:
            since[person.id] = 0 if person.kind == "key" else since[person.id] + 1
            assert person.phase <= max(period - 1, 0) and person.why in ("", "due", "every")
    assert max(since.values()) < period or period == 1


def test_a_longer_period_again_uses_all_phases() -> None:
    film = Film(PipelineConfig(period=1))
    film.play(STILL[:4])
    film.pipeline.reconfigure(PipelineConfig(period=None))
    assert {p.phase for r in film.play(STILL) for p in r.people} == {0, 1, 2, 3}


def test_a_period_that_the_networks_lack_changes_nothing() -> None:
    film = Film()
    film.play(STILL[:2])
    with pytest.raises(UsageError, match="period 9"):
        film.pipeline.reconfigure(PipelineConfig(period=9, max_people=1))
    assert len(film.play(STILL[:3])[-1].people) == 2


def test_fewer_people_are_followed_at_once_and_more_again() -> None:
    film = Film()
    film.play(STILL[:3])
    film.pipeline.reconfigure(PipelineConfig(max_people=1))
    assert {len(r.people) for r in film.play(STILL)} == {1}
    film.pipeline.reconfigure(PipelineConfig(max_people=5))
    assert len(film.play(STILL + STILL)[-1].people) == 2


def test_key_frames_are_looked_at_twice_from_the_next_frame_on() -> None:
    film = Film(PipelineConfig(period=1))
    film.play(STILL[:2])
    for twice, times in ((True, 2), (False, 1)):
        before = sum(film.networks.spatial.calls)
        film.pipeline.reconfigure(PipelineConfig(period=1, twice=twice))
        film.play(STILL[:1])
        assert sum(film.networks.spatial.calls) - before == 2 * times  # of two people
    film.pipeline.reconfigure(PipelineConfig(period=1, twice=True))
    film.networks = mode(0)
    film.pipeline.exchange(film.networks)
    film.play(STILL[:1])
    assert sum(film.networks.spatial.calls) == 4, "other networks are asked in the same way"


def test_smoothing_is_switched_and_its_strength_is_taken() -> None:
    film = Film(PipelineConfig(smoothing=False))
    raw = film.play(walk(6, (100, 120), speed=12))[-1].people[0]
    assert (raw.smoothed == raw.keypoints).all()
    film.pipeline.reconfigure(PipelineConfig(smoothing=True, smoothing_strength=8))
    lagging = film.play(walk(6, (172, 120), speed=12))[-1].people[0]
    assert (lagging.smoothed[:, 0] < lagging.keypoints[:, 0] - 1).all()


def test_other_networks_see_the_same_people_anew() -> None:
    film = Film()
    film.play(STILL[:6])
    old = film.networks
    calls = len(old.spatial.calls)
    film.networks = mode(0)
    film.pipeline.exchange(film.networks)
    results = film.play(STILL[:5])
    assert all([p.id for p in r.people] == [1, 2] for r in results)
    assert {p.why for p in results[0].people} == {"new"} and {p.why for p in results[1].people} == {"every"}
    assert len(old.spatial.calls) == calls, "the old networks are not asked any more"
    assert results[-1].counters.decoded == 11


def test_networks_that_do_not_fit_leave_the_others_at_work() -> None:
    film = Film(PipelineConfig(period=4))
    film.play(STILL[:3])
    with pytest.raises(UsageError, match="period 4"):
        film.pipeline.exchange(mode(0))
    with pytest.raises(UsageError, match="no detector or other joints"):
        film.pipeline.exchange(mode(detector=None))
    other = mode()
    other.spatial = SimpleNamespace(metadata=SimpleNamespace(**vars_of(other.spatial.metadata), joints=MPII16))
    other.temporal = ()
    with pytest.raises(UsageError, match="other joints"):
        film.pipeline.exchange(other)
    assert {p.phase for r in film.play(STILL) for p in r.people} == {0, 1, 2, 3}


def vars_of(metadata: object) -> dict[str, object]:
    return {name: getattr(metadata, name) for name in ("codec", "input", "skeleton", "mirrored")}
