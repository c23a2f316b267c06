"""What a differentiable search found, as plain JSON (``RUN/search.json``), written with every checkpoint; and its report.

``vipose train`` and ``read_architecture`` take the derived network from ``chosen.architecture``.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vipose.models.search.alternate import entropies
from vipose.models.search.derive import Chosen
from vipose.models.search.relaxed import ChoiceCosts, RelaxedNetwork
from vipose.models.search.result import make_folder, read_result_file
from vipose.runtime.errors import InputError, OutputError

__all__ = [
    "KIND", "DifferentiableResult", "costs_json", "differences", "read_before", "report", "result_of", "save", "show",
]  # fmt: skip

KIND, SCHEMA = "vipose-differentiable", 1
FIXED = ("settings", "split", "costs")
"""What two sessions of one search have in common; ``settings.free`` may differ."""


@dataclass(frozen=True)
class DifferentiableResult:
    """A search as it stands.

    Attributes:
        settings: what was asked for, plain JSON.
        split: who taught what.
        costs: the lookup table.
        stage: of the training; the number of stages when it is done.
        progress: of the stage, 0..1.
        steps: of the architecture parameters.
        probabilities: of the candidates of every choice, by name.
        entropy: of every choice, nats.
        history: probabilities and expected cost over time.
        chosen: the derived network.
    """

    settings: dict[str, Any]
    split: dict[str, Any]
    costs: ChoiceCosts
    stage: int
    progress: float
    steps: int
    probabilities: dict[str, dict[str, float]]
    entropy: dict[str, float]
    chosen: Chosen
    history: Sequence[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": KIND, "schema": SCHEMA, "settings": self.settings, "split": self.split, "costs": costs_json(self.costs),
            "stage": self.stage, "progress": self.progress, "steps": self.steps, "chosen": vars(self.chosen),
            "probabilities": self.probabilities, "entropy": self.entropy, "history": list(self.history),
        }  # fmt: skip


def result_of(
    network: RelaxedNetwork,
    described: Mapping[str, Any],
    costs: ChoiceCosts,
    chosen: Chosen,
    at: tuple[int, float, int],
    history: Sequence[dict[str, Any]],
) -> DifferentiableResult:
    """The state of a search.

    Args:
        network: with its architecture parameters.
        described: ``settings`` and ``split``.
        costs: the lookup table of the search.
        chosen: the derived network.
        at: stage, its progress, and steps of the architecture.
        history: so far.
    """
    probabilities = network.probabilities()
    named = {
        name: {c: round(v, 5) for c, v in zip(network.choices[name], p.tolist(), strict=True)}
        for name, p in probabilities.items()
    }
    entropy = {name: round(v, 4) for name, v in entropies(probabilities).items()}
    stage, progress, steps = at
    return DifferentiableResult(
        dict(described["settings"]), dict(described["split"]), costs, stage, round(progress, 4), steps, named, entropy, chosen,
        history,
    )  # fmt: skip


def costs_json(costs: ChoiceCosts) -> dict[str, Any]:
    """The lookup table as plain values."""
    return {"unit": costs.unit, "fixed": costs.fixed, "by_choice": {k: list(v) for k, v in costs.by_choice.items()}}


def save(path: Path, result: DifferentiableResult) -> None:
    """Write beside and rename, so that nobody finds half of one; raises OutputError where it cannot be written."""
    make_folder(path)
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(result.to_json(), allow_nan=False) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}); choose another place with --out") from error


def read_before(path: Path) -> dict[str, Any] | None:
    """What an earlier session wrote; None where there is nothing.

    Raises:
        InputError: the file is cut off, or something else.
    """
    if not path.exists():
        return None
    data = read_result_file(path, KIND, "vipose search differentiable")
    if not all(isinstance(data.get(name), dict) for name in FIXED):
        raise InputError(f"search result {path} is malformed; delete it or give another folder with --out")
    return data


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of what differs between two sessions, so that the second is another search."""
    one, other = (json.loads(json.dumps(dict(state))) for state in (before, now))
    settings = [name for name in other["settings"] if one["settings"].get(name) != other["settings"][name]]
    return settings + [name for name in ("split", "costs") if one[name] != other[name]]


def show(value: float | None, unit: str) -> str:
    """A cost as people write it; a GPU's is of a whole batch."""
    if value is None:
        return f"? {unit}"
    return f"{value / 1e6:.4g} M MACs" if unit == "MACs" else f"{value:.4g} {unit}"


def report(result: DifferentiableResult) -> str:
    """The derived network for people: every choice with its most probable candidate, what it costs, and the sums."""
    unit, stages = result.costs.unit, result.settings["stages"]
    done = "done" if result.stage >= stages else f"stage {result.stage + 1} of {stages}, {result.progress:.0%}"
    lines = [f"{result.settings['space']} ({done}), {result.steps} steps of the architecture parameters", ""]
    rows = [("choice", "chosen", "p", "entropy", "M MACs" if unit == "MACs" else unit)]
    factor, chosen = 1e6 if unit == "MACs" else 1.0, result.chosen
    for name, candidates in result.probabilities.items():
        # Where choices are not the dimensions of the space (edges of cells), the most probable candidate is shown.
        operation = str(chosen.choice.get(name) or max(candidates, key=lambda c: candidates[c]))
        price = result.costs.by_choice[name][list(candidates).index(operation)] / factor
        rows.append((name, operation, f"{candidates[operation]:.3f}", f"{result.entropy[name]:.2f}", f"{price:.3g}"))
    widths = [max(len(row[n]) for row in rows) for n in range(5)]
    for row in rows:
        texts = [row[0].ljust(widths[0]), row[1].ljust(widths[1]), *(v.rjust(w) for v, w in zip(row[2:], widths[2:], strict=True))]
        lines.append("  ".join(texts).rstrip())
    largest = math.log(max(map(len, result.probabilities.values())))
    prices = ", ".join(show(value, name) for name, value in chosen.costs.items())
    mean = sum(result.entropy.values()) / len(result.entropy)
    if chosen.choice.keys() != result.probabilities.keys():
        lines += ["", "derived: " + " ".join(f"{name}={value}" for name, value in chosen.choice.items())]
    budget = result.settings["budget"]
    lines += [
        "",
        f"mean entropy {mean:.2f} (0 to {largest:.2f}); expected cost {show(chosen.expected, unit)}"
        + ("" if budget is None else f", budget {show(budget, unit)}"),
        f"derived {chosen.hash}: {prices}, {chosen.parameters / 1e6:.2f} M parameters",
    ]
    if chosen.multiplier:
        lines.append("the most probable network lies off the budget: the most probable one within it was taken")
    if not result.steps:
        lines.append("the architecture parameters have not learnt yet: what is derived is as good as random")
    return "\n".join(lines)
