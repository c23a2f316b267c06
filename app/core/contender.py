"""One side of a comparison: a mode that was chosen, its networks once they are loaded, and the pipeline around them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from vipose.app.core import networks
from vipose.runtime.job import pipeline_config
from vipose.runtime.onnxfile import read_onnx
from vipose.runtime.options import RunOptions
from vipose.runtime.pipeline import Pipeline
from vipose.runtime.providers import ProviderReport
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import Frame, FrameResult

__all__ = ["Choice", "Contender", "ModeFacts"]


@dataclass(frozen=True)
class Choice:
    """What the user chose for one side.

    Attributes:
        mode: name of a mode, or path of a graph or of a folder of graphs.
        period: a key frame every so many frames; None for the mode's own, and so for modes that cannot keep it.
        twice: look twice on key frames.
    """

    mode: str
    period: int | None = None
    twice: bool = False


@dataclass(frozen=True)
class ModeFacts:
    """What is known of a mode once it is loaded.

    Attributes:
        period: the one that is kept; ``longest`` is the longest one that its graphs allow.
        graphs, parameters, size_bytes: number of pose graphs in use with that period, their weights and the size of their files.
        provider: what runs them.
    """

    period: int
    longest: int
    graphs: int
    parameters: int
    size_bytes: int
    provider: ProviderReport


class Contender:
    """A loaded mode with a pipeline of its own. One thread uses it at a time.

    Args:
        choice: what was chosen.
        options: of the run; their mode and period are ignored.

    Raises:
        UsageError, ModelError: the networks cannot be loaded.
    """

    def __init__(self, choice: Choice, options: RunOptions) -> None:
        self._loaded = _chosen(choice, options)
        self._mode = networks.load(self._loaded)
        try:
            self._weights = [_weights(graph.graph.path) for graph in (self._mode.spatial, *self._mode.temporal)]
            self._config = self._configured(choice, options)
            self._pipeline = Pipeline(self._mode, pipeline_config(self._config, live=True))
        except BaseException:
            self._mode.close()
            raise

    @property
    def name(self) -> str:
        """Of the mode, as it was chosen."""
        return self._mode.name

    @property
    def skeleton(self) -> Skeleton:
        """Of its keypoints."""
        return self._mode.skeleton

    @property
    def facts(self) -> ModeFacts:
        """What it is, with the period that is kept now."""
        period = self._config.period or self._mode.period
        used = self._weights[:period]
        return ModeFacts(
            period, self._mode.period, len(used), sum(count for count, _ in used), sum(size for _, size in used), self._mode.provider
        )

    def serves(self, choice: Choice, options: RunOptions) -> bool:
        """Whether a choice can be met with the networks that are loaded."""
        return networks.same_networks(self._loaded, _chosen(choice, options))

    def follow(self, choice: Choice, options: RunOptions) -> None:
        """Another period or other options from the next frame on; people keep their ids. Raises UsageError."""
        networks.set_threshold(self._mode, options)
        config = self._configured(choice, options)
        self._pipeline.reconfigure(pipeline_config(config, live=True))
        self._config = config

    def take_over(self, other: Contender) -> bool:
        """Carry on with the people whom ``other`` followed, where its joints are the same; ids go on.

        Returns:
            Whether they were taken over; else everybody is new on the next frame. ``other`` is not to be used after it.
        """
        if other.skeleton != self.skeleton:
            return False
        pipeline = other._pipeline
        # The period of the one may be too long for the other: key frames only, for the moment between the two calls.
        pipeline.reconfigure(replace(pipeline.config, period=1))
        pipeline.exchange(self._mode)
        pipeline.reconfigure(self._pipeline.config)
        self._pipeline = pipeline
        return True

    def begin_again(self) -> None:
        """Another pass over the source: everybody is new."""
        self._pipeline = Pipeline(self._mode, self._pipeline.config)

    def process(self, frame: Frame) -> FrameResult:
        """See :meth:`Pipeline.process`."""
        return self._pipeline.process(frame)

    def close(self) -> None:
        """Free the networks; safe to call twice."""
        self._mode.close()

    def _configured(self, choice: Choice, options: RunOptions) -> RunOptions:
        return networks.fitting(_chosen(choice, options), self._mode)


def _chosen(choice: Choice, options: RunOptions) -> RunOptions:
    return replace(options, mode=choice.mode, period=choice.period, twice=choice.twice)


def _weights(path: Path) -> tuple[int, int]:
    """Number of weights of a graph file and its size in bytes."""
    return read_onnx(path).parameters, path.stat().st_size
