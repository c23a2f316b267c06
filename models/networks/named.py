"""Descriptions of networks by name: published ones, shipped ones, and JSON files that hold one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.efficientpose import EFFICIENTPOSE_A, EFFICIENTPOSE_B, EFFICIENTPOSE_C
from vipose.models.networks.hrnet import HRNET_W32
from vipose.models.networks.mobilenetv3 import S_VIPNAS_MBV3
from vipose.models.networks.posenas import (
    POSENAS_L18_C48,
    POSENAS_L18_C48_MPII,
    POSENAS_L18_C64,
    POSENAS_L18_C64_MPII,
    POSENAS_SMALL,
    POSENAS_TINY,
)
from vipose.models.networks.registry import architecture_from_json
from vipose.models.networks.resnet50 import S_VIPNAS_RES50
from vipose.runtime.errors import InputError
from vipose.runtime.shipped import shipped_folder

__all__ = ["PUBLISHED_NETWORKS", "read_architecture"]

PUBLISHED_NETWORKS: dict[str, Architecture] = {
    "s-vipnas-res50": S_VIPNAS_RES50,
    "s-vipnas-mbv3": S_VIPNAS_MBV3,
    "hrnet-w32": HRNET_W32,
    "efficientpose-a": EFFICIENTPOSE_A,
    "efficientpose-b": EFFICIENTPOSE_B,
    "efficientpose-c": EFFICIENTPOSE_C,
    "efficientpose-a-mpii": replace(EFFICIENTPOSE_A, joints=16),
    "efficientpose-b-mpii": replace(EFFICIENTPOSE_B, joints=16),
    "efficientpose-c-mpii": replace(EFFICIENTPOSE_C, joints=16),
    "posenas-l18-c48": POSENAS_L18_C48,
    "posenas-l18-c64": POSENAS_L18_C64,
    "posenas-l18-c48-mpii": POSENAS_L18_C48_MPII,
    "posenas-l18-c64-mpii": POSENAS_L18_C64_MPII,
    "posenas-small": POSENAS_SMALL,
    "posenas-tiny": POSENAS_TINY,
}


def read_architecture(text: str) -> tuple[str, Architecture]:
    """Name and description of a network.

    Args:
        text: name of a published network or of a shipped graph (``s-vipnas``), or a file: a card, a description
            (``family`` and its fields) or a search result, of which the chosen network counts.

    Raises:
        InputError: there is no such file or graph, or it holds no description of a network that can be trained.
    """
    if text in PUBLISHED_NETWORKS:
        return text, PUBLISHED_NETWORKS[text]
    path = Path(text)
    if path.suffix != ".json":
        path = shipped_folder() / f"{text}.json"
        if not path.is_file():
            there = ", ".join([*PUBLISHED_NETWORKS, *sorted(p.stem for p in shipped_folder().glob("*vipnas*.json"))])
            raise InputError(f"'{text}' is neither a JSON file nor a network with a name (there are {there})")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); give a card, an architecture or a search result") from error
    description = _description(data)
    if description is None:
        raise InputError(f"{path} describes no network; give a card, an architecture or a search result")
    try:
        return path.stem, architecture_from_json(description)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} describes no network that is known here ({error})") from error


def _description(data: Any) -> dict[str, Any] | None:
    """The description in a card, a search result or by itself."""
    if not isinstance(data, dict):
        return None
    if "family" in data:
        return data
    holder = data.get("chosen") if "chosen" in data else data
    found = holder.get("architecture") if isinstance(holder, dict) else None
    return found if isinstance(found, dict) and "family" in found else None
