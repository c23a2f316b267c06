"""What 'vipose tune' has kept is the application's default: it is never written down, and what the user chooses wins."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from vipose.app.application import _settings
from vipose.app.core.settings import Settings, SettingsStore
from vipose.app.core.settings_file import MARK
from vipose.app.widgets.settings_page import SettingsPage
from vipose.runtime.options import RunOptions
from vipose.runtime.tune.store import Tuned, fingerprint, graph_hashes, write_tuned

TUNED: dict[str, Any] = {"mode": "t-vipnas", "period": 2, "threads": 1, "detect_every": 5, "precision": "auto", "twice": False}


@pytest.fixture
def store(tmp_path: Path) -> SettingsStore:
    return SettingsStore(tmp_path / "settings.json", tuned=TUNED, tuned_note="tuned for this computer: as it is")


def saved(store: SettingsStore) -> dict[str, Any]:
    store.flush()
    content: dict[str, Any] = json.loads(store.path.read_text("utf-8"))
    return dict(content.get("options", {}))


def test_tuned_options_are_the_defaults_and_are_not_written(store: SettingsStore) -> None:
    assert store.current == store.defaults == Settings(options=RunOptions(**TUNED))
    store.change_options(max_people=3)
    assert saved(store) == {"max_people": 3}
    store.change_options(detect_every=RunOptions().detect_every)
    assert saved(store) == {"max_people": 3, "detect_every": RunOptions().detect_every}
    again = SettingsStore(store.path, tuned=TUNED)
    assert again.current == store.current
    assert SettingsStore(store.path).current.options == RunOptions(max_people=3)  # on a machine that is not tuned
    assert again.reset() == again.defaults


def test_another_mode_does_not_inherit_the_tuned_period(store: SettingsStore) -> None:
    store.change_options(mode="s-vipnas")
    assert store.current.options == RunOptions(mode="s-vipnas", threads=1, detect_every=5)
    assert store.flush() and SettingsStore(store.path, tuned=TUNED).current == store.current
    store.change_options(mode="t-vipnas", period=3)
    store.change_options(mode="s-vipnas")
    assert store.current.options.period == 3  # chosen by the user, so it stays
    twice = SettingsStore(store.path.with_name("twice.json"), tuned=TUNED | {"mode": "s-vipnas", "period": None, "twice": True})
    assert twice.current.options.twice
    twice.change_options(mode="t-vipnas")
    assert not twice.current.options.twice


def test_a_file_from_before_tuning_keeps_its_own_networks(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"file": MARK, "schema": 1, "options": {"period": 3}}), "utf-8")
    options = SettingsStore(path, tuned=TUNED | {"mode": "s-vipnas", "period": None}).current.options
    assert options == RunOptions(period=3, threads=1, detect_every=5)


def test_the_page_goes_back_to_what_is_tuned_and_says_so(qtbot: QtBot, store: SettingsStore) -> None:
    page = SettingsPage(store)
    qtbot.addWidget(page)
    page.show()
    assert page.tuning.said.text() == "Tuned for this computer: as it is."
    assert not page.rows["period"].back.isVisible()
    store.change_options(period=4, detect_every=9)
    assert page.rows["period"].back.isVisible()
    page.rows["period"].back.click()
    assert store.current.options.period == 2
    page.reset_all()
    assert store.current == store.defaults
    page.close_down()
    plain = SettingsPage(SettingsStore(store.path.with_name("other.json")))
    qtbot.addWidget(plain)
    assert "measure this one" in plain.tuning.said.text()
    plain.close_down()


def test_the_application_reads_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _settings().current == Settings() and not _settings().tuned_note
    monkeypatch.setenv("VIPOSE_TUNED", str(tmp_path / "tuned.json"))
    tuned = Tuned(30.0, True, "t-vipnas, key frame every 2", TUNED, fingerprint(), graph_hashes("t-vipnas", "auto"))
    write_tuned(tuned)
    store = _settings()
    assert store.current.options == RunOptions(**TUNED)
    assert store.tuned_note == "tuned for this computer: t-vipnas, key frame every 2 (30 frames a second)"
    write_tuned(replace(tuned, graphs={}))
    store = _settings()
    assert store.current == Settings() and "'vipose tune' again" in store.tuned_note
