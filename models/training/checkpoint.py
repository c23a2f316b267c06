"""Checkpoints of a run: whole files at any time, plain contents, clear words about what does not fit."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vipose.runtime.errors import ModelError, OutputError

__all__ = [
    "draw_seed",
    "load_checkpoint",
    "load_weights",
    "random_state",
    "recipe_changes",
    "restore_random",
    "save_checkpoint",
]


def save_checkpoint(path: Path, **content: Any) -> None:
    """Write beside and rename, so that an interruption never leaves half a file.

    Args:
        path: of the checkpoint; an older one is replaced.
        content: tensors and plain values; NumPy's scalars and paths become plain.

    Raises:
        OutputError: it cannot be written; the older one is still there.
    """
    part = path.with_suffix(".part")
    try:
        with open(part, "wb") as file:
            torch.save(_plain(content), file)
            file.flush()
            os.fsync(file.fileno())  # a rename that outlives a power cut must not point to an empty file
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        part.unlink(missing_ok=True)
        why = getattr(error, "strerror", None) or "the disk may be full"
        raise OutputError(f"'{path}' cannot be written: {why}; make room and start again") from error


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """A checkpoint on the CPU, or None where there is none.

    Raises:
        ModelError: the file is torn, or no checkpoint of a training.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError, LookupError) as error:
        raise ModelError(f"'{path}' is torn or no checkpoint of a training; name another one, or put it away where a training should begin anew") from error
    if not isinstance(content, dict):
        raise ModelError(f"'{path}' holds a {type(content).__name__}, not a checkpoint; put it away, or name another")
    return content


def load_weights(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Put weights into a network.

    Args:
        module: of the architecture that the run asks for.
        state: a state dict.
        path: where it comes from, for the message.

    Raises:
        ModelError: they belong to another network; the message names the first keys that do not fit.
    """
    wanted = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    given = {k: tuple(v.shape) for k, v in state.items()}
    wrong = [f"{k} is missing" for k in wanted if k not in given]
    wrong += [f"{k} is unknown" for k in given if k not in wanted]
    wrong += [f"{k} is {given[k]}, not {s}" for k, s in wanted.items() if k in given and given[k] != s]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelError(f"'{path}' is of another network: {'; '.join(wrong[:3])}{more}; give the run another folder")
    module.load_state_dict(state)


def recipe_changes(
    saved: Mapping[str, Any], recipe: Any, path: Path, fixed: Sequence[str] = ("arch", "space")
) -> list[str]:
    """What differs between the recipe of a checkpoint and today's, such as ``rates.1 0.001 -> 0.0005``.

    Args:
        saved: the recipe as it was kept.
        recipe: today's, a frozen dataclass or a mapping. Settings that only one of the two knows do not count.
        path: of the checkpoint, for the message.
        fixed: settings without which the weights do not fit.

    Raises:
        ModelError: one of ``fixed`` differs.
    """
    now = asdict(recipe) if is_dataclass(recipe) and not isinstance(recipe, type) else dict(recipe)
    before, after = (json.loads(json.dumps(_plain(dict(r)), default=str)) for r in (saved, now))
    shared = [key for key in after if key in before]
    for key in shared:
        lines = list(_differences(key, before[key], after[key]))
        if lines and key in fixed:
            raise ModelError(f"'{path}' was trained with another {key} ({lines[0]}); give the run another folder")
    return [line for key in shared for line in _differences(key, before[key], after[key])]


def random_state(*generators: np.random.Generator) -> dict[str, Any]:
    """Random numbers as they stand: torch's, CUDA's, and those of the given NumPy generators; for a checkpoint."""
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "numpy": [g.bit_generator.state for g in generators]}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random(state: Mapping[str, Any] | None, *generators: np.random.Generator, rank: int = 0) -> None:
    """Go on with :func:`random_state`; nothing happens where a checkpoint has none.

    Args:
        state: of the first process of a run.
        generators: in the order in which they were kept; all processes draw the same numbers from them.
        rank: processes after the first leave torch's numbers, from which samples are seeded, in a way of their own.
    """
    if state is None:
        return
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state.get("cuda", ())) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    for generator, kept in zip(generators, state["numpy"], strict=False):
        generator.bit_generator.state = kept
    if rank:
        torch.manual_seed(draw_seed() + rank)


def draw_seed() -> int:
    """A seed for samples, drawn from torch's numbers: another in every loader process, in every process of torchrun, and
    after a resume."""
    return int(torch.randint(2**62, ()))


def _plain(value: Any) -> Any:
    """The same without types of other libraries, so that it loads without running foreign code."""
    if isinstance(value, OrderedDict):
        return value  # a state dict
    if isinstance(value, Mapping):
        return {_plain(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        items = [_plain(v) for v in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, PurePath) else value


def _differences(name: str, before: Any, after: Any) -> Iterator[str]:
    """One line a leaf that differs; dicts and lists of equal length are looked into."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(k for k in after if k not in before)]:
            yield from _differences(f"{name}.{key}", before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{name}.{number}", *pair)
    elif before != after:
        yield f"{name} {_shown(before)} -> {_shown(after)}"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
