"""Networks over people: crops, key frames, and heatmaps that are carried from frame to frame.

T-ViPNet t gets the crop of frame t and the heatmaps of frame t - 1. The two crops lie differently on the frame, so the heatmaps
are warped in between, with the very call that training uses (``geometry.warp_heatmaps``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vipose.runtime.codec import Refinement, decode_frame
from vipose.runtime.errors import ModelError
from vipose.runtime.geometry import FloatArray, crop, crop_affine, warp_between, warp_heatmaps
from vipose.runtime.metadata import GraphMetadata
from vipose.runtime.twice import SecondLook, average_looks, second_look

__all__ = ["Look", "PoseNetwork", "PoseNetworks", "Propagator"]

Heatmaps = npt.NDArray[np.float32]
_OUTSIDE = 0.25  # what is left of the score of a joint that lies outside of the frame


class PoseNetwork(Protocol):
    """A pose graph, or anything that acts like one."""

    @property
    def metadata(self) -> GraphMetadata: ...

    def __call__(self, crops: npt.NDArray[np.uint8], heatmaps: Heatmaps | None = None, /) -> Heatmaps: ...


class PoseNetworks(Protocol):
    """The part of a mode that is needed here. A mode with ``workers`` (``map(function, items)``) has people dealt out over them."""

    @property
    def spatial(self) -> PoseNetwork: ...

    @property
    def temporal(self) -> Sequence[PoseNetwork]: ...


@dataclass
class Look:
    """One person on one frame, filled in stage by stage.

    Attributes:
        person: what names the person inside the pipeline.
        phase: 0 for a key frame, else 1..T.
        affine: [2, 3] frame -> network input.
        crop: [h, w, 3] uint8.
        previous: [K, h', w'] heatmaps of the frame before on this crop, None on key frames.
        heatmaps: [K, h', w'] of this frame.
        keypoints: [K, 3] in frame pixels.
        second: of key people who are looked at twice, else None.
    """

    person: int
    phase: int
    affine: FloatArray
    crop: npt.NDArray[np.uint8]
    previous: Heatmaps | None
    heatmaps: Heatmaps
    keypoints: npt.NDArray[np.float32]
    second: SecondLook | None = None


_Job = list[tuple[Look, SecondLook | None]]
"""What a network runs at once: people, and which of their looks, None for the first."""


class Propagator:
    """Looks at people with the right network and remembers their heatmaps.

    Args:
        networks: usually a mode.
        refinement: of decoding.
        twice: let the key-frame network look at people twice, see :mod:`vipose.runtime.twice`.

    ``refinement`` and ``twice`` may be set to other values between two frames.

    Raises:
        ModelError: the networks do not fit each other.
    """

    def __init__(self, networks: PoseNetworks, refinement: Refinement = "dark", *, twice: bool = False) -> None:
        self._spatial, self._temporal = networks.spatial, tuple(networks.temporal)
        self._workers: Any = getattr(networks, "workers", None)
        self.refinement: Refinement = refinement
        self.twice = twice
        meta = self._spatial.metadata
        codec = meta.codec
        if codec is None or any(_form(t.metadata) != _form(meta) for t in self._temporal):
            raise ModelError("the graphs of this mode differ in input, joints or codec; export them together")
        self.skeleton = meta.joints
        self._mirrored = meta.mirrored
        self._codec = codec
        self._size = meta.input.width, meta.input.height
        self._cells = meta.input.width // codec.stride, meta.input.height // codec.stride
        self._states: dict[int, tuple[FloatArray, Heatmaps]] = {}
        self.spent_ms = {"spatial": 0.0, "temporal": 0.0}

    @property
    def phases(self) -> int:
        """T: how many temporal networks there are."""
        return len(self._temporal)

    def heatmaps(self, person: int) -> tuple[FloatArray, Heatmaps] | None:
        """Affine (frame -> input) and heatmaps [K, h', w'] of a person's last frame; None for somebody unknown."""
        return self._states.get(person)

    def prepare(self, image: npt.NDArray[np.uint8], people: Iterable[tuple[int, FloatArray, int]]) -> list[Look]:
        """Cut people out of a frame.

        Args:
            image: [H, W, 3] uint8 RGB.
            people: id, box [4] and phase of each; phases above T count as T.
        """

        def one(item: tuple[int, FloatArray, int]) -> Look:
            person, box, phase = item
            affine = crop_affine(box, self._size, convention=self._codec.convention)
            previous = None
            if phase:
                before, heatmaps = self._states[person]
                between = warp_between(before, affine, self._size, self._cells, self._codec.convention)
                previous = warp_heatmaps(heatmaps, between)
            nothing = np.empty(0, np.float32)
            phase = min(phase, self.phases)
            again = second_look(image, box, self._size, self._codec.convention) if self.twice and not phase else None
            return Look(person, phase, affine, crop(image, affine, self._size), previous, nothing, nothing, again)

        return [one(item) for item in people]  # OpenCV takes all cores for each; to deal people out as well takes longer

    def run(self, looks: Sequence[Look]) -> None:
        """Fill in ``heatmaps``: people in the same phase together, dealt out over the workers, key frames first."""
        jobs = [job for phase in range(self.phases + 1) for job in self._jobs(looks, phase)]
        began = time.perf_counter()
        done = self._map(self._run_job, jobs)
        second: list[tuple[Look, Heatmaps]] = []
        for job, (heatmaps, _) in zip(jobs, done, strict=True):
            for (look, again), own in zip(job, heatmaps, strict=True):
                if again is None:
                    look.heatmaps = own
                else:
                    second.append((look, own))
        self._map(self._average, second)
        wall = (time.perf_counter() - began) * 1e3
        total = max(sum(seconds for _, seconds in done), 1e-9)
        for job, (_, seconds) in zip(jobs, done, strict=True):  # workers overlap: the wall time is shared out
            self.spent_ms["temporal" if job[0][0].phase else "spatial"] += wall * seconds / total

    def decode(self, looks: Sequence[Look], frame_size: tuple[int, int]) -> None:
        """Fill in ``keypoints``; joints outside of a frame of ``frame_size`` (width, height) lose most of their score."""
        if not looks:
            return
        heatmaps = np.stack([look.heatmaps for look in looks])
        affines = np.stack([look.affine for look in looks])
        codec = self._codec
        poses = decode_frame(heatmaps, affines, self._size, codec.convention, self.refinement, codec.blur)
        inside = ((poses[..., :2] >= -0.5) & (poses[..., :2] <= np.array(frame_size) - 0.5)).all(-1)
        poses[..., 2] *= np.where(inside, 1.0, _OUTSIDE).astype(np.float32)
        for look, pose in zip(looks, poses, strict=True):
            look.keypoints = pose

    def keep(self, looks: Iterable[Look]) -> None:
        """Remember heatmaps for the next frame; who is not among them is forgotten."""
        self._states = {look.person: (look.affine, look.heatmaps) for look in looks}

    def _jobs(self, looks: Sequence[Look], phase: int) -> list[_Job]:
        """People of a phase as their network takes them, first looks before second ones."""
        same = [look for look in looks if look.phase == phase]
        seen: _Job = [(look, None) for look in same]
        seen += [(look, look.second) for look in same if look.second is not None]
        size = getattr(self._network(phase), "batch", None) or max(len(seen), 1)
        return [seen[start: start + size] for start in range(0, len(seen), size)]

    def _run_job(self, job: _Job) -> tuple[Heatmaps, float]:
        """Heatmaps [N, K, h', w'] of a job, and the seconds that it took."""
        began = time.perf_counter()
        phase = job[0][0].phase
        network = self._network(phase)
        crops = np.stack([look.crop if again is None else again.crop for look, again in job])
        previous = [look.previous for look, _ in job if look.previous is not None]
        heatmaps = network(crops, np.stack(previous)) if phase else network(crops)
        return heatmaps, time.perf_counter() - began

    def _average(self, seen: tuple[Look, Heatmaps]) -> None:
        """Lay the heatmaps of a second look over those of the first."""
        look, heatmaps = seen
        assert look.second is not None  # only such looks have them
        look.heatmaps = average_looks(
            look.heatmaps, heatmaps, look.affine, look.second, self._mirrored, self._size, self._codec.convention
        )

    def _network(self, phase: int) -> PoseNetwork:
        return self._temporal[phase - 1] if phase else self._spatial

    def _map(self, function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        if self._workers is None:
            return [function(item) for item in items]
        return list(self._workers.map(function, items))


def _form(metadata: GraphMetadata) -> tuple[object, ...]:
    codec = metadata.codec
    lies = None if codec is None else (codec.convention, codec.stride)
    return metadata.input.width, metadata.input.height, metadata.skeleton, lies
