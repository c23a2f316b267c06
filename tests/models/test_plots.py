"""Curves of trainings: what is read from a log, and the picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("torch")

from vipose.models.training.plots import draw, main, read_run
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import InputError


def write_log(run: Path, entries: list[dict[str, float]]) -> Path:
    run.mkdir(parents=True)
    (run / "log.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    return run


def entry(stage: int, minutes: float, loss: float, **more: float) -> dict[str, float]:
    return {"stage": stage, "step": 1, "minutes": minutes, "progress": minutes / 10, "loss": loss, **more}


def test_stages_follow_each_other_and_repeated_work_is_left_out(tmp_path: Path) -> None:
    entries = [
        {"people": 100, "parameters": 5},
        entry(0, 4, 6.0),
        entry(0, 8, 5.0),
        entry(0, 9, 4.9),
        {"people": 100, "parameters": 5},  # killed, and resumed from a checkpoint at 7 minutes
        entry(0, 8.5, 4.8),
        entry(0, 10, 4.5),
        entry(1, 3, 4.0, held_ap=0.1),
        entry(1, 6, 3.5),
    ]
    curves = read_run(write_log(tmp_path / "run", entries))
    assert curves.name == "run" and curves.unit == "minutes" and curves.stages == [13.0]
    assert curves.figures["loss"] == [(4, 6.0), (8, 5.0), (8.5, 4.8), (10, 4.5), (13, 4.0), (16, 3.5)]
    assert curves.figures["held_ap"] == [(13, 0.1)] and "people" not in curves.figures


def test_older_logs_without_minutes_run_over_progress(tmp_path: Path) -> None:
    entries = [{"stage": s, "progress": p, "loss": 1.0, "per_s": 9.0} for s in (0, 1) for p in (0.5, 1.0)]
    entries[-1] |= {"minutes": 4.0}  # resumed by a later version
    curves = read_run(write_log(tmp_path / "run", entries))
    assert curves.unit == "progress" and [t for t, _ in curves.figures["per_s"]] == [0.5, 1.0, 1.5, 2.0]


def test_a_torn_line_is_left_out_with_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_log(tmp_path / "run", [entry(0, 1, 2.0), entry(0, 2, 1.0)])
    with open(run / "log.jsonl", "a") as file:
        file.write('{"stage": 0, "minu')
    assert len(read_run(run).figures["loss"]) == 2
    assert "left out" in capsys.readouterr().err


def test_several_runs_share_the_panels(tmp_path: Path) -> None:
    one = read_run(write_log(tmp_path / "one", [entry(0, m, 1.0, rate=0.1) for m in (1, 2, 3)]))
    two = read_run(write_log(tmp_path / "two", [entry(0, m, 1.0, held_ap50=0.5) for m in (1, 2)]))
    axes = draw([one, two]).axes
    assert [a.get_title() for a in axes] == ["loss", "learning rate", "AP50, held-out pictures"]
    assert [line.get_label() for line in axes[0].lines] == ["one", "two"]


def test_the_command_writes_a_picture(tmp_path: Path) -> None:
    run = write_log(tmp_path / "run", [entry(0, m, 1.0) for m in (1, 2, 3)])
    assert vipose(["train", "plot", str(run), "-o", str(tmp_path / "curves.png")]) == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert main([str(run / "log.jsonl"), "-o", str(tmp_path / "curves.svg")]) == 0


def test_what_cannot_be_drawn_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vipose(["train", "plot", str(tmp_path)]) == 3
    run = write_log(tmp_path / "run", [{"people": 3}])
    assert vipose(["train", "plot", str(run)]) == 3
    (run / "log.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no log"):
        read_run(run)
    write_log(tmp_path / "good", [entry(0, 1, 1.0)])
    assert vipose(["train", "plot", str(tmp_path / "good"), "-o", str(tmp_path / "c.txt")]) == 3
    assert vipose(["train", "plot", str(tmp_path / "good"), "-o", str(tmp_path / "no" / "c.png")]) == 3
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 4 and all(line.startswith("vipose: ") for line in lines)
