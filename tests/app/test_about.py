"""The about box: licences of code, libraries and weights are true to their sources, and nothing slow is on the GUI thread."""

from __future__ import annotations

import re
import threading
from importlib import metadata
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QWidget
from pytestqt.qtbot import QtBot

from vipose.app.core import about
from vipose.app.widgets.about import AboutDialog, show_about
from vipose.runtime.errors import ModelError
from vipose.runtime.shipped import shipped_graphs

README = Path(__file__).resolve().parents[2] / "README.md"


def test_what_is_said_of_the_weights_is_what_the_readme_says() -> None:
    readme = " ".join(README.read_text(encoding="utf-8").split())
    assert about.WEIGHTS in readme


def test_every_shipped_network_is_named_with_its_data() -> None:
    found = {network.name: network for network in about.weights()}
    assert set(found) >= {graph.name for graph in shipped_graphs()}
    spatial = found["s-vipnas"]
    assert spatial.use == "finds joints" and "Apache-2.0" in spatial.licence
    assert about.DataSet("coco", "annotations CC-BY-4.0; pictures Flickr, mixed terms", "2428 people") in spatial.data
    assert all(network.data and not network.fault for network in found.values() if not network.own)


def test_a_damaged_card_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[object]:
        raise ModelError("card x.json cannot be read (bad); delete the card if it is yours")

    monkeypatch.setattr(about, "own_graphs", broken)
    found = about.weights()
    assert "x.json" in found[-1].fault and found[-1].own
    assert any(network.name == "s-vipnas" for network in found)


def test_libraries_are_those_in_use_with_what_they_say_of_themselves() -> None:
    found = {library.name.lower().replace("_", "-"): library for library in about.libraries()}
    for name in ("numpy", "onnxruntime", "opencv-python-headless", "av"):
        assert found[name].version == metadata.version(name)
        assert re.search("BSD|MIT|Apache", found[name].licence)
    assert "LGPL" in found["pyside6-essentials"].licence
    assert "shiboken6" in found  # what they need themselves, too
    assert "GPL" in found["av"].note
    assert "torch" not in found and "pytest" not in found
    assert "vipose" not in found


def test_the_papers_are_cited() -> None:
    assert [paper.name for paper in about.PAPERS] == ["ViPNAS", "EfficientPose", "PoseNAS"]
    assert all(re.search(r"20\d\d", paper.citation) for paper in about.PAPERS)


def test_notices_are_found() -> None:
    assert "Apache License 2.0" in about.notice()
    assert "BSD 3-Clause" in about.about_demo() and "Redistribution" in about.about_demo()


def test_system_information_names_what_helpers_ask_for() -> None:
    text = about.system_information({"Qt": "6.9"})
    for name in ("vipose: ", "python: ", "system: ", "processor: ", "onnxruntime: ", "providers: ", "graphs: ", "Qt: 6.9"):
        assert f"\n{name}" in f"\n{text}"
    assert "cameras" not in text


def test_system_information_can_be_cut_short() -> None:
    assert about.system_information({"Qt": "6.9"}, lambda: True) == "Qt: 6.9"


@pytest.fixture
def window(qtbot: QtBot) -> QWidget:
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    return window


def test_the_box_fills_and_its_system_information_can_be_copied(window: QWidget, qtbot: QtBot) -> None:
    dialog = show_about(window)
    assert dialog.isVisible() and not dialog.copy_button.isEnabled()
    qtbot.waitUntil(dialog.copy_button.isEnabled, timeout=30_000)
    said = "\n".join(label.text() for label in dialog.findChildren(QLabel))
    for text in (about.version(), about.CODE, about.QT, about.WEIGHTS, about.PAPERS[0].citation):
        assert text in said
    assert [dialog.tabs.tabText(i) for i in range(dialog.tabs.count())][:2] == ["Code and libraries", "Weights"]
    assert dialog._libraries.topLevelItemCount() > 10
    networks = [dialog._weights.topLevelItem(i) for i in range(dialog._weights.topLevelItemCount())]
    assert "s-vipnas" in [item.text(0) for item in networks if item is not None]
    dialog.copy_button.click()
    assert "onnxruntime: " in QGuiApplication.clipboard().text()
    dialog.accept()
    assert not threads()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "vipose-about"]


def test_closing_at_once_ends_its_thread(window: QWidget) -> None:
    dialog = show_about(window)
    dialog.reject()
    assert not threads()
    dialog.close_down()


def test_a_failure_is_told_in_its_place(window: QWidget, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[about.Library]:
        raise ModelError("nothing can be collected; install vipose again")

    monkeypatch.setattr("vipose.app.widgets.about.about.libraries", broken)
    dialog = AboutDialog(window)
    dialog.open()
    qtbot.waitUntil(lambda: "install vipose again" in dialog._system.toPlainText())
    assert not dialog.copy_button.isEnabled()
    dialog.reject()
