"""What the about box says: versions, licences of code, libraries and weights, where the methods come from. Without Qt."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from vipose.runtime import installed
from vipose.runtime.doctor import CHECKS, examine
from vipose.runtime.errors import ModelError
from vipose.runtime.library import own_graphs
from vipose.runtime.shipped import GraphFile, shipped_graphs

__all__ = [
    "CODE",
    "DEMO",
    "PAPERS",
    "QT",
    "SUMMARY",
    "WEIGHTS",
    "DataSet",
    "Library",
    "Paper",
    "Weights",
    "about_demo",
    "libraries",
    "notice",
    "system_information",
    "version",
    "weights",
]

SUMMARY = "Multi-person 2D pose estimation for video, on an ordinary CPU. All of it runs on this machine; nothing is uploaded."
CODE = "The code of vipose is under the Apache License 2.0: you may use, change and pass it on, also commercially, with its notices."
QT = (
    "The windows are made with Qt for Python (PySide6) under the GNU LGPL version 3. vipose uses it unchanged, as a separate "
    "package. If you pass vipose on together with it, add the text of the LGPL, say that Qt is used, and let people put another "
    "version of Qt in its place; a copy that is installed by pip allows that as it is. Qt's sources are at download.qt.io."
)
WEIGHTS = (
    "They were trained on COCO (annotations CC BY 4.0, pictures from Flickr under mixed terms) and on research sets and web "
    "pictures that partly have no explicit licence; their cards list all of them. We put the weights under the same licence as "
    "the code as far as they are ours to license. Whether the terms of the data reach a trained network is a question of law "
    "that differs by country: if that matters to you, ask, or train on data of your own."
)
"""The README says the same in the same words; a test compares them."""
DEMO = "The demo clip comes from Sports2D by David Pagnon and contributors, BSD 3-Clause licence, scaled down and encoded again."
_X264 = "FFmpeg and its encoders travel inside this package. The H.264 encoder x264 among them is under the GNU GPL, version 2 or later."

_CHECKS = ("system", "processor", "memory", "onnxruntime", "providers", "opencv", "av", "graphs")
_ALSO = ("PySide6-Essentials",)  # of the extra "app", which an older installation may not know
_TASKS = {"pose-spatial": "finds joints", "pose-temporal": "carries joints on", "detect": "finds people"}
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST = 90
"""Of a licence's name; some packages put the whole text there."""


@dataclass(frozen=True)
class Paper:
    """A publication that vipose follows."""

    name: str
    citation: str


PAPERS: tuple[Paper, ...] = (
    Paper(
        "ViPNAS",
        "Lumin Xu, Yingda Guan, Sheng Jin, Wentao Liu, Chen Qian, Ping Luo, Wanli Ouyang, Xiaogang Wang: ViPNAS: Efficient Video "
        "Pose Estimation via Neural Architecture Search. CVPR 2021.",
    ),
    Paper(
        "EfficientPose",
        "Wenqiang Zhang, Jiemin Fang, Xinggang Wang, Wenyu Liu: EfficientPose: Efficient Human Pose Estimation with Neural "
        "Architecture Search. 2020, arXiv:2012.07086.",
    ),
    Paper(
        "PoseNAS",
        "Qian Bao, Wu Liu, Jun Hong, Lingyu Duan, Tao Mei: Pose-native Network Architecture Search for Multi-person Human Pose "
        "Estimation. ACM Multimedia 2020.",
    ),
)


@dataclass(frozen=True)
class Library:
    """A package in use. ``licence`` is what the package says of itself; ``note`` is what else one should know."""

    name: str
    version: str
    licence: str
    note: str = ""


@dataclass(frozen=True)
class DataSet:
    """One set that a network was trained on. ``amount`` is for example ``2428 people``, "" where the card does not tell."""

    name: str
    terms: str
    amount: str = ""


@dataclass(frozen=True)
class Weights:
    """One network as its card tells. ``fault`` says why there is nothing to tell."""

    name: str
    use: str
    licence: str
    data: tuple[DataSet, ...] = ()
    own: bool = False
    fault: str = ""


def version() -> str:
    """Version of vipose; ``not installed`` when it runs from a bare checkout."""
    try:
        return installed.version()
    except metadata.PackageNotFoundError:
        return "not installed"


def notice() -> str:
    """The NOTICE that travels with vipose; "" where there is none."""
    try:
        text = installed.distribution().read_text("licenses/NOTICE")
    except metadata.PackageNotFoundError:
        text = None
    if text is None:  # an editable installation
        path = Path(str(resources.files("vipose.runtime").joinpath("__init__.py"))).resolve().parent.parent / "NOTICE"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text.strip()


def about_demo() -> str:
    """Where the demo clip comes from, with the text of its licence where that is installed."""
    try:
        file = resources.files("vipose.assets") / "demo.LICENSE.txt"
    except ModuleNotFoundError:
        return DEMO
    return f"{DEMO}\n\n{file.read_text(encoding='utf-8').strip()}" if file.is_file() else DEMO


def libraries() -> list[Library]:
    """The installed packages that vipose needs, and those that they need, by name. Reads many files; not for the GUI thread."""
    found: dict[str, Library] = {}
    todo = [*_required("vipose"), *_ALSO]
    while todo:
        name = todo.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found or key == "vipose":
            continue
        try:
            info = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue  # of another system or Python
        found[key] = Library(info["Name"], info["Version"], _licence(info), _encoders() if key == "av" else "")
        todo += _required(name)
    return sorted(found.values(), key=lambda library: library.name.lower())


def weights() -> list[Weights]:
    """Every network that vipose can run, each once, those that ship first; a damaged card is told of in its place."""
    graphs: list[GraphFile] = []
    faults: list[Weights] = []
    for where, find in (("shipped", shipped_graphs), ("own", own_graphs)):
        try:
            graphs += find()
        except ModelError as error:
            faults.append(Weights(f"{where} networks", "", "", own=where == "own", fault=str(error)))
    by_name = {graph.name: _weights(graph) for graph in reversed(graphs)}
    return [*(by_name[name] for name in dict.fromkeys(graph.name for graph in graphs)), *faults]


def system_information(more: Mapping[str, str], stop: Callable[[], bool] = lambda: False) -> str:
    """What to tell whoever helps, a line each, as ``vipose doctor`` finds it. Takes a second; not for the GUI thread.

    Args:
        more: further lines by name, such as the version of Qt.
        stop: asked between checks; the text ends early when it says True.
    """
    lines = []
    for name in (name for name in _CHECKS if name in CHECKS):
        if stop():
            break
        for check in examine(names=(name,)):
            remedy = f" ({check.remedy})" if check.remedy else ""
            lines.append(f"{check.name}: {check.found}{remedy}")
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in more.items())])


def _required(name: str) -> list[str]:
    """Names that a package requires without extras, its extra ``app`` excepted."""
    try:
        lines = (installed.distribution() if name == "vipose" else metadata.distribution(name)).requires or []
    except metadata.PackageNotFoundError:
        return []
    wanted = (line for line in lines if "extra ==" not in line or (name == "vipose" and re.search(r"extra == .app.", line)))
    return [match[0] for line in wanted if (match := _NAME.match(line))]


def _licence(info: metadata.PackageMetadata) -> str:
    """The licence that a package names: an expression, a short text, or its classifiers."""
    fields: Mapping[str, Any] = dict(info.json)
    said = str(fields.get("license_expression") or fields.get("license") or "").strip()
    if said and "\n" not in said and len(said) <= _LONGEST:
        return said
    classifiers = [text.split(" :: ")[-1] for text in fields.get("classifier", []) if text.startswith("License :: ")]
    return ", ".join(classifiers) or "see the package"


def _encoders() -> str:
    """What is to know about the libraries that PyAV brings; "" where it has no x264."""
    return _X264 if any("libx264" in check.found and check.status == "ok" for check in examine(names=("av",))) else ""


def _weights(graph: GraphFile) -> Weights:
    card = graph.card
    task = str(card.get("task", ""))
    rows = card.get("data")
    data = tuple(_data_set(row) for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()
    licence = str(card.get("licence") or "not stated")
    return Weights(graph.name, _TASKS.get(task, task), licence, data, graph.where == "own")


def _data_set(row: Mapping[str, Any]) -> DataSet:
    amount = next((f"{row[what]} {what}" for what in ("people", "pictures") if what in row), "")
    return DataSet(str(row.get("name", "?")), str(row.get("terms") or "not stated"), amount)
