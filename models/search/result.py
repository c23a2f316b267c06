"""What a search found, as plain JSON that rebuilds the networks: written after every evaluation, so nothing is lost."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from vipose.models.networks.architecture import Architecture, architecture_hash
from vipose.models.search.space import Choice, Space
from vipose.models.search.spaces import space
from vipose.runtime.errors import InputError, OutputError, UsageError

__all__ = [
    "Budget", "Candidate", "SearchResult", "Unit", "architecture", "load_result", "make_folder", "parse_budget",
    "read_result_file", "save_result", "show_cost",
]

Unit = Literal["ms", "MACs"]
KIND, SCHEMA = "vipose-search", 1
_MULTIPLES = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}
_FREE = ("candidates", "reference", "samples", "supernet", "table", "packs")
"""Fields in which two runs of one search may differ: a file may have moved, what is in it is told by its hash."""


@dataclass(frozen=True)
class Budget:
    """The most that a network may cost, in milliseconds or multiply-accumulates of one crop."""

    limit: float
    unit: Unit

    def __str__(self) -> str:
        return show_cost(self.limit, self.unit)


@dataclass(frozen=True)
class Candidate:
    """One network that was looked at.

    Attributes:
        choice: what it is in its space.
        hash: of its description, see :func:`vipose.models.networks.architecture.architecture_hash`.
        ms: predicted by the latency table; None without one.
        macs, parameters: of one crop at the cost size.
        ap, oks: on the validation people, 0..1; OKS is the mean over people.
        by_source: AP by source.
    """

    choice: Choice
    hash: str
    ms: float | None
    macs: int
    parameters: int
    ap: float
    oks: float
    by_source: dict[str, float] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: AP first, mean OKS where AP is equal."""
        return self.ap, self.oks

    def cost(self, unit: Unit) -> float:
        """In ``ms`` or ``MACs``; raises ValueError where there was no table to predict milliseconds from."""
        value = self.ms if unit == "ms" else self.macs
        if value is None:
            raise ValueError(f"candidate {self.hash} has no predicted milliseconds")
        return value


@dataclass(frozen=True)
class SearchResult:
    """A search: what was asked for, and what has been looked at so far.

    Attributes:
        space: name.
        size: width, height of the crops that accuracy was measured on.
        cost_size: width, height of the crops that the budget is for.
        budget: the limit.
        at_least: only networks that cost at least this share of the budget were looked at.
        method: ``random`` or ``evolution``.
        samples: evaluations that were asked for.
        seed: of the stream of candidates.
        supernet, supernet_sha256: the checkpoint and what was in it; empty where networks were trained one by one.
        table, table_sha256: the latency table; None for a budget in MACs without one.
        validation: how accuracy was measured: people, digests, calibration, arithmetic.
        candidates: in the order of evaluation; every hash once.
        reference: a network from outside of the search, evaluated in the same way, by its name.
        packs: folders of the people.
        training: how every network was trained, where they were trained one by one.
    """

    space: str
    size: tuple[int, int]
    cost_size: tuple[int, int]
    budget: Budget
    at_least: float
    method: str
    samples: int
    seed: int
    supernet: str = ""
    supernet_sha256: str = ""
    table: str | None = None
    table_sha256: str | None = None
    validation: dict[str, Any] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    reference: tuple[str, Candidate] | None = None
    packs: tuple[str, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def chosen(self) -> Candidate | None:
        """The best within the budget; of equals the cheapest, then the first. None before the first evaluation."""
        best = self.best(1)
        return best[0] if best else None

    def best(self, count: int) -> list[Candidate]:
        """The best candidates, best first."""
        unit = self.budget.unit
        return sorted(self.candidates, key=lambda c: (-c.ap, -c.oks, c.cost(unit)))[:count]

    def found(self, digest: str) -> Candidate | None:
        """The candidate with a hash."""
        return next((c for c in self.candidates if c.hash == digest), None)

    def adding(self, candidate: Candidate) -> Self:
        """This with one candidate more."""
        return replace(self, candidates=(*self.candidates, candidate))

    def differences(self, other: SearchResult) -> list[str]:
        """Names of the settings in which another search differs, so that it cannot go on from here."""
        names = [f.name for f in fields(self) if f.name not in _FREE]
        return [name for name in names if getattr(self, name) != getattr(other, name)]

    def to_json(self) -> dict[str, Any]:
        chosen = self.chosen
        arch = None if chosen is None else space(self.space).architecture(chosen.choice).to_json()
        chosen_json = None if chosen is None else {"hash": chosen.hash, "architecture": arch}
        return {"kind": KIND, "schema": SCHEMA, "chosen": chosen_json, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchResult:
        """Rebuild; raises KeyError, TypeError or ValueError for malformed fields."""
        if data["kind"] != KIND or data["schema"] != SCHEMA:
            raise ValueError(f"kind {data['kind']!r}, schema {data['schema']!r}: want {KIND!r}, {SCHEMA}")
        values = {k: v for k, v in data.items() if k not in ("kind", "schema", "chosen")}
        reference = values["reference"]
        budget = Budget(**values["budget"])
        if budget.unit not in get_args(Unit):
            raise ValueError(f"budget in {budget.unit!r}")
        return cls(**{
            **values,
            "size": _pair(values["size"]),
            "cost_size": _pair(values["cost_size"]),
            "budget": budget,
            "candidates": tuple(_candidate(c) for c in values["candidates"]),
            "reference": None if reference is None else (str(reference[0]), _candidate(reference[1])),
            "packs": tuple(map(str, values.get("packs", ()))),
        })  # fmt: skip


def architecture(result: SearchResult, candidate: Candidate | None = None) -> Architecture:
    """The description of a candidate (default: the chosen one).

    Raises:
        InputError: nothing has been evaluated yet, or the space of today gives another network for that choice.
    """
    candidate = candidate or result.chosen
    if candidate is None:
        raise InputError(f"the search in '{result.space}' has no candidate yet; run it first")
    arch = space(result.space).architecture(candidate.choice)
    if architecture_hash(arch) != candidate.hash:
        raise InputError(
            f"candidate {candidate.hash} is another network in today's space '{result.space}' ({architecture_hash(arch)}); "
            "search again"
        )
    return arch


def parse_budget(text: str) -> Budget:
    """``4.2ms``, ``300M``, ``1.2G`` or a plain number of MACs; raises UsageError for anything else."""
    match = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?)\s*(ms|[KMG]?)(?:MACs)?", text.strip())
    try:
        number = float(match.group(1)) if match else math.nan
    except ValueError:
        number = math.nan
    if match is None or not 0 < number < math.inf:
        raise UsageError(f"budget '{text}' is not understood; write for example 4.2ms or 300M (MACs)")
    if match.group(2) == "ms":
        return Budget(number, "ms")
    return Budget(number * _MULTIPLES[match.group(2)], "MACs")


def show_cost(value: float, unit: Unit) -> str:
    """A cost as people write it: ``4.2 ms``, ``300 M MACs``."""
    return f"{value:.4g} ms" if unit == "ms" else f"{value / 1e6:.4g} M MACs"


def save_result(path: Path, result: SearchResult) -> None:
    """Write beside and rename: whoever reads finds the last or this state, never half of one.

    Raises:
        OutputError: it cannot be written.
    """
    make_folder(path)
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(result.to_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}); choose another place with -o") from error


def make_folder(path: Path) -> None:
    """Make the folder that a file is to lie in; raises OutputError where that does not work."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path.parent} ({error.strerror}); choose another place") from error


def read_result_file(path: Path, kind: str, command: str) -> dict[str, Any]:
    """The JSON of a search result.

    Args:
        path: of the file.
        kind: what it must say it is.
        command: that writes such files, for messages.

    Raises:
        InputError: the file is not there, cut off or something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"search result {path} cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise InputError(f"search result {path} is cut off or no JSON ({error}); delete it or give another") from error
    if not isinstance(data, dict) or data.get("kind") != kind:
        raise InputError(f"{path} is no result of '{command}'; give another file")
    return data


def load_result(path: Path) -> SearchResult:
    """Read what :func:`save_result` wrote.

    Raises:
        InputError: the file is not there, cut off, something else, or of a space that is not known any more.
    """
    data = read_result_file(path, KIND, "vipose search spatial")
    try:
        result = SearchResult.from_json(data)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"search result {path} is malformed ({error!r}); delete it or give another") from error
    _check(result, space(result.space))
    return result


def _check(result: SearchResult, searched: Space) -> None:
    for candidate in result.candidates:
        searched.check(candidate.choice)


def _candidate(data: Mapping[str, Any]) -> Candidate:
    made = Candidate(**data)
    numbers = (made.ap, made.oks, made.macs, made.parameters, 0 if made.ms is None else made.ms)
    if not isinstance(made.choice, dict) or not all(isinstance(n, int | float) for n in numbers):
        raise ValueError(f"candidate {made.hash!r}: a number or the choice is missing")
    return made


def _pair(values: Any) -> tuple[int, int]:
    width, height = values
    return int(width), int(height)
