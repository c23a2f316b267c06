"""Interruptions: the step ends, the checkpoint is written, the process leaves with 130 and one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from vipose.models.training import interrupt
from vipose.models.training.checkpoint import load_checkpoint
from vipose.models.training.interrupt import Interruption
from vipose.runtime.errors import EXIT_INTERRUPTED

TRAINING = """
import sys
from pathlib import Path
import torch
from torch.utils.data import DataLoader, IterableDataset
from vipose.models.training.checkpoint import save_checkpoint
from vipose.models.training.interrupt import Interruption, ignore_interrupts

class Numbers(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.zeros(1)

path, step = Path(sys.argv[1]), 0
with Interruption() as interruption:
    for _ in DataLoader(Numbers(), batch_size=None, num_workers=1, worker_init_fn=ignore_interrupts):
        step += 1
        print("step", step, flush=True)
        if interruption.requested:
            save_checkpoint(path, step=step)
            interruption.leave(path, 0.43)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_remembered_and_handlers_come_back(
    number: signal.Signals, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert not interruption.requested
        os.kill(os.getpid(), number)
        assert interruption.requested
        assert "after this step" in capfd.readouterr().err
        os.kill(os.getpid(), number)  # the same one, passed on by torchrun
        assert "after this step" not in capfd.readouterr().err
        monkeypatch.setattr(interrupt, "ECHO_S", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            threading.Event().wait(1)
    assert signal.getsignal(number) is before


def test_leaving_has_the_exit_code_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        Interruption().leave(tmp_path / "last.pt", 0.43)
    assert raised.value.code == EXIT_INTERRUPTED
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "stopped at 43%" in said and "last.pt" in said
    with pytest.raises(SystemExit):
        Interruption().leave(tmp_path / "last.pt", 0.43, tell=False)
    assert capsys.readouterr().err == ""


def test_in_another_thread_it_does_nothing() -> None:
    before, found = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with Interruption() as interruption:
            found.append(interruption.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False] and signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform == "win32", reason="signals of process groups")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_stops_after_a_step(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C of a terminal and SIGTERM of torchrun reach the loader's processes too."""
    path = tmp_path / "last.pt"
    command = [sys.executable, "-c", TRAINING, str(path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, number)
    shown, said = process.communicate(timeout=120)
    assert process.returncode == EXIT_INTERRUPTED, said
    assert len(said.splitlines()) == 2 and "the same command goes on" in said and "Traceback" not in said
    saved = load_checkpoint(path)
    assert saved is not None and saved["step"] == 1 + len(shown.splitlines())
