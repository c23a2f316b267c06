"""What a temporal search found: T networks a candidate, as plain JSON that rebuilds them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vipose.models.networks.architecture import Architecture, architecture_hash
from vipose.models.networks.registry import architecture_from_json
from vipose.models.search.result import Candidate, SearchResult, read_result_file
from vipose.models.search.space import Choice
from vipose.models.search.spaces import space
from vipose.models.search.temporal_space import JointSpace, frame_space
from vipose.runtime.errors import InputError

__all__ = ["TemporalResult", "chosen_architectures", "joint_hash", "load_temporal_result"]

KIND = "vipose-temporal-search"


@dataclass(frozen=True)
class TemporalResult(SearchResult):
    """A search for T networks. Choices of candidates are joint ones; their costs are sums over the T frames, their AP the mean.

    Attributes:
        spatial: choice of the S-ViPNet in ``space``; all networks lie within it.
        T: propagated frames.
        shared: all frames have the same network.
    """

    spatial: Choice = field(default_factory=dict)
    T: int = 3
    shared: bool = False

    @property
    def joint(self) -> JointSpace:
        """The space of the candidates' choices."""
        return JointSpace.of(frame_space(space(self.space), self.spatial), self.T, self.shared)

    def to_json(self) -> dict[str, Any]:
        best = self.chosen
        chosen = None
        if best is not None:
            archs = [arch.to_json() for arch in self.joint.architectures(best.choice)]
            chosen = {"hash": best.hash, "architectures": archs}
        return {"kind": KIND, "schema": 1, "chosen": chosen, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TemporalResult:
        """Rebuild; raises KeyError, TypeError or ValueError for malformed fields."""
        if data["kind"] != KIND:
            raise ValueError(f"kind {data['kind']!r}: want {KIND!r}")
        made = super().from_json({**data, "kind": "vipose-search"})
        assert isinstance(made, TemporalResult)
        return made


def joint_hash(archs: Sequence[Architecture]) -> str:
    """12 hex digits that name T networks in their order."""
    return hashlib.sha256("-".join(map(architecture_hash, archs)).encode()).hexdigest()[:12]


def chosen_architectures(result: TemporalResult, candidate: Candidate | None = None) -> tuple[Architecture, ...]:
    """The descriptions of a candidate's T networks (default: the chosen one).

    Raises:
        InputError: nothing has been evaluated yet, or the space of today gives other networks for that choice.
    """
    candidate = candidate or result.chosen
    if candidate is None:
        raise InputError(f"the temporal search in '{result.space}' has no candidate yet; run it first")
    archs = result.joint.architectures(candidate.choice)
    if joint_hash(archs) != candidate.hash:
        raise InputError(f"candidate {candidate.hash} is another one in today's space '{result.space}'; search again")
    return archs


def load_temporal_result(path: Path) -> TemporalResult:
    """Read what :func:`vipose.models.search.result.save_result` wrote of a temporal search.

    Raises:
        InputError: the file is not there, cut off, something else, or of a space that is not known any more.
    """
    data = read_result_file(path, KIND, "vipose search temporal")
    try:
        result = TemporalResult.from_json(data)
        for candidate in result.candidates:
            result.joint.check(candidate.choice)
        if data["chosen"] is not None:
            [architecture_from_json(arch) for arch in data["chosen"]["architectures"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"search result {path} is malformed ({error!r}); delete it or give another") from error
    return result
