"""Reading PyTorch checkpoints of unknown origin: weights by key, and nothing that could run code."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vipose.runtime.errors import ModelError

__all__ = ["read_weights"]

_UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError,
)  # fmt: skip
"""What reading a file that is no checkpoint, or half of one, raises."""
_FOREIGN = re.compile(r"GLOBAL (\S+)")


def read_weights(source: Path, trust: bool = False) -> dict[str, Tensor]:
    """Tensors of a checkpoint by key, without a wrapper (``state_dict``) and without ``module.`` before every key.

    A checkpoint is a pickle, which can run any code when it is read. So only tensors, plain values and numpy arrays are
    let in, unless the file is trusted.

    Raises:
        ModelError: the file is no checkpoint, or needs trust.
    """
    state = _load(source, trust)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{source.name} holds no weights by name; give a checkpoint with a 'state_dict'")
    weights = {str(k): v for k, v in state.items()}
    if all(k.startswith("module.") for k in weights):
        weights = {k.removeprefix("module."): v for k, v in weights.items()}
    return weights


def _load(source: Path, trust: bool) -> Any:
    try:
        with torch.serialization.safe_globals(_harmless()):
            return torch.load(source, map_location="cpu", weights_only=not trust)
    except ImportError as error:
        raise ModelError(
            f"{source.name} holds objects of a package that is missing ({_line(error)}); install it, "
            "or save the state_dict alone"
        ) from error
    except _UNREADABLE as error:
        foreign = _FOREIGN.search(str(error))
        if foreign is None or trust:
            what = f"{source.name} cannot be read as a PyTorch checkpoint"
            raise ModelError(f"{what}; check that it is one and whole") from error
        raise ModelError(
            f"{source.name} holds foreign objects ({foreign[1]}), and reading them can run any code; "
            "if you trust where it comes from, add --trust"
        ) from error


def _harmless() -> list[Any]:
    """What numpy arrays and numbers in a checkpoint's meta data need (mmpose 1.x has them there)."""
    from numpy._core import multiarray

    kinds = {type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdSU"}
    return [multiarray._reconstruct, multiarray.scalar, np.ndarray, np.dtype, *kinds]


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".")[:120] if lines else type(error).__name__
