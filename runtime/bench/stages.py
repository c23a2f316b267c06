"""Time of each stage of the pipeline with 1, 2, 5, 10 people.

The people are copies of one real person side by side on a frame of fixed size. The detector runs on it and its time counts,
but the boxes are those of the copies, so that the number of people is known whatever the detector sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.bench.graphs import FRAME
from vipose.runtime.bench.timing import Timing
from vipose.runtime.errors import ModelError
from vipose.runtime.modes import Mode
from vipose.runtime.pipeline import Pipeline, PipelineConfig
from vipose.runtime.types import Frame

__all__ = ["StageRow", "bench_stages", "crowd", "person_picture"]

Image = npt.NDArray[np.uint8]
_WARM_UP_PERIODS = 3
_FPS = 25.0


@dataclass(frozen=True)
class StageRow:
    """One number of people.

    Attributes:
        people: on the frame; ``tracked``: mean of those that the pipeline put out.
        threads: workers.
        stages: milliseconds a frame.
        total: of the whole pipeline, a frame.
        frames_per_s: 1000 / mean of ``total``: key frames and propagated ones in their proportion.
        key_share: people through the key-frame network.
    """

    people: int
    tracked: float
    threads: int
    stages: dict[str, Timing]
    total: Timing
    frames_per_s: float
    key_share: float


@dataclass(frozen=True)
class _Steered:
    """A mode whose detector runs and then says where the copies are."""

    detector: Callable[..., npt.NDArray[np.float32]]
    spatial: Any
    temporal: Sequence[Any]
    period: int
    provider: Any
    workers: Any


def person_picture() -> Image | None:
    """One person, [h, w, 3] uint8 RGB, cut out of the shipped test picture; None where that is not there."""
    from vipose.runtime.selftest import expected_keypoints, self_test_picture

    try:
        image, box = self_test_picture(), expected_keypoints().box
    except ModelError:
        return None
    x0, y0, x1, y1 = (int(side) for side in box[:4])
    edge = (y1 - y0) // 8
    return np.ascontiguousarray(image[max(0, y0 - edge): y1 + edge, max(0, x0 - edge): x1 + edge])


def crowd(person: Image, people: int, size: tuple[int, int] = FRAME) -> tuple[Image, npt.NDArray[np.float32]]:
    """A frame of ``size`` (width, height) with copies of a person in a grid, and their boxes [N, 5] with scores."""
    width, height = size
    columns = max(1, min(people, math.ceil(math.sqrt(people * 1.8))))
    rows = math.ceil(people / columns)
    cell = width // columns, height // rows
    scale = min(cell[0] / person.shape[1], cell[1] / person.shape[0], 0.75 * height / person.shape[0])
    w, h = max(2, int(person.shape[1] * scale)), max(2, int(person.shape[0] * scale))
    small = cv2.resize(person, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    frame = np.full((height, width, 3), 96, np.uint8)
    boxes = np.empty((people, 5), np.float32)
    for n in range(people):
        x = (n % columns) * cell[0] + (cell[0] - w) // 2
        y = (n // columns) * cell[1] + (cell[1] - h) // 2
        frame[y: y + h, x: x + w] = small
        edge = h // 10
        boxes[n] = x + edge, y + edge, x + w - edge, y + h - edge, 0.9 - 1e-3 * n
    return frame, boxes


def bench_stages(
    mode: Mode,
    people: Sequence[int] = (1, 2, 5, 10),
    *,
    repeats: int = 30,
    config: PipelineConfig | None = None,
    person: Image | None = None,
    tick: Callable[[int], None] | None = None,
) -> list[StageRow]:
    """Run the pipeline on crowds.

    The numbers of people take turns, one frame each, so that their times can be compared.

    Args:
        mode: networks with a detector.
        people: how many, a row each.
        repeats: periods of the mode (frames = repeats x period).
        config: of the pipeline, but for the number of people.
        person: picture to copy; None takes :func:`person_picture`, or noise where there is none (the tracker then
            loses people, so that ``tracked`` and ``key_share`` are not those of real use).
        tick: told how many frames (of each number of people) are done.
    """
    person = person_picture() if person is None else person
    if person is None:
        person = np.random.default_rng(0).integers(0, 256, (320, 240, 3), dtype=np.uint8)
    scenes = [crowd(person, count) for count in people]
    pipelines = [_pipeline(mode, config or PipelineConfig(), boxes, count) for (_, boxes), count in zip(scenes, people, strict=True)]
    skip = _WARM_UP_PERIODS * mode.period
    results: list[list[Any]] = [[] for _ in people]
    for index in range(skip + repeats * mode.period):
        for (image, _), pipeline, row in zip(scenes, pipelines, results, strict=True):
            result = pipeline.process(Frame(index, index / _FPS, image))
            if index >= skip:
                row.append(result)
        if tick is not None and index >= skip:
            tick(index - skip + 1)
    return [_row(count, mode.workers.threads, row) for count, row in zip(people, results, strict=True)]


def _pipeline(mode: Mode, config: PipelineConfig, boxes: npt.NDArray[np.float32], count: int) -> Pipeline:
    detector = mode.detector

    def steered(image: Image, roi: Any = None) -> npt.NDArray[np.float32]:
        if detector is not None:
            detector(image, roi)
        return boxes

    networks = _Steered(steered, mode.spatial, mode.temporal, mode.period, mode.provider, mode.workers)
    return Pipeline(networks, replace(config, max_people=count))


def _row(people: int, threads: int, results: Sequence[Any]) -> StageRow:
    names = [name for name in results[0].timings if name != "total"]
    total = Timing(tuple(r.timings["total"] for r in results))
    everybody = [person for r in results for person in r.people]
    return StageRow(
        people=people,
        tracked=len(everybody) / len(results),
        threads=threads,
        stages={name: Timing(tuple(r.timings[name] for r in results)) for name in names},
        total=total,
        frames_per_s=1e3 / max(float(np.mean(total.samples_ms)), 1e-9),
        key_share=sum(p.kind == "key" for p in everybody) / max(len(everybody), 1),
    )
