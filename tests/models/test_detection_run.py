"""Runs of the detector: interrupted, resumed with other settings, resumed from older checkpoints, and by epochs."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.models.test_detector import TINY, picture
from vipose.models.data.pseudo import write_pictures
from vipose.models.networks.detector import Detector
from vipose.models.training.checkpoint import load_checkpoint, save_checkpoint
from vipose.models.training.detection import DetectionConfig, Trainer, train
from vipose.runtime.errors import EXIT_INTERRUPTED, ModelError

CONFIG = DetectionConfig(arch=TINY, pixels=6144, epochs=2, batch=2, bf16=False, epoch_steps=4, watch_every=9)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Data, and the weights to begin with."""
    rng = np.random.default_rng(0)
    corners = [tuple(rng.integers(5, 40, 2).tolist()) for _ in range(12)]
    write_pictures(iter([picture(n, (x, y, x + 30, y + 45)) for n, (x, y) in enumerate(corners)]), tmp_path / "data")
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "start.pt", average=Detector(TINY).state_dict())
    return tmp_path


def go(run: Path, config: DetectionConfig) -> dict[str, Any]:
    train(config, [run / "data"], [1.0], run / "out", run / "start.pt")
    saved = load_checkpoint(run / "out" / "detector.pt")
    assert saved is not None
    return saved


def test_an_interrupted_run_equals_one_that_was_not(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = go(run, CONFIG)
    (run / "out" / "detector.pt").unlink()
    step, made = Trainer.step, []

    def interrupted(trainer: Trainer) -> dict[str, float]:
        made.append(1)
        if len(made) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return step(trainer)

    monkeypatch.setattr(Trainer, "step", interrupted)
    with pytest.raises(SystemExit) as raised:
        go(run, CONFIG)
    assert raised.value.code == EXIT_INTERRUPTED and len(made) == 6
    assert "stopped at 75%" in capsys.readouterr().err
    parts = go(run, CONFIG)
    assert len(made) == 8 and parts["schedule"]["step"] == whole["schedule"]["step"] == 8
    assert all(torch.equal(v, parts["network"][k]) for k, v in whole["network"].items())
    assert all(torch.equal(v, parts["average"][k]) for k, v in whole["average"].items())


def test_other_settings_are_said_and_another_network_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go(run, CONFIG)
    assert go(run, replace(CONFIG, epochs=3, rate=1e-3))["schedule"]["step"] == 12
    said = capsys.readouterr().out
    assert "another setting: rate 0.002 -> 0.001" in said and "another setting: epochs 2 -> 3" in said
    save_checkpoint(run / "start.pt", average=Detector(replace(TINY, width=24)).state_dict())
    with pytest.raises(ModelError, match=r"another arch \(arch.width"):
        go(run, replace(CONFIG, arch=replace(TINY, width=24)))


def test_a_checkpoint_from_before_goes_on(run: Path) -> None:
    """It has neither schedule nor recipe nor random numbers."""
    saved = go(run, CONFIG)
    older = {k: v for k, v in saved.items() if k not in ("schedule", "random", "recipe")} | {"spent_s": 3599.0}
    save_checkpoint(run / "out" / "detector.pt", **older)
    config = replace(CONFIG, epochs=None, minutes=60.0)
    trainer = Trainer(config, [[picture(0, (5, 5, 35, 50))]], [1.0], run / "out", run / "start.pt")
    assert trainer.epoch == saved["epoch"] and 0.999 < trainer.schedule.progress <= 1
    assert trainer.average.steps == saved["steps"]
