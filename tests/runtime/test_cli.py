"""The command line itself: names, helps, exit codes, one line for each mistake, and nothing heavy on the way to --help."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

from vipose.runtime import cli
from vipose.runtime.errors import InputError, UsageError


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in cli.COMMANDS)
    assert cli.main([]) == 2


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["run", "--help"]])
def test_help_imports_nothing_heavy(argv: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "vipose.runtime", *argv], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert not imported & {"numpy", "cv2", "av", "onnxruntime", "scipy", "filterpy", "rich", "pycocotools", "torch"}


def test_run_help_reads_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "vipose run SOURCE..." in shown and "--score-threshold" in shown and "(0 to 1; default 0.3)" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("vipose ")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["rn"], "did you mean 'run'?"),
        (["run"], "the following arguments are required: SOURCE"),
        (["run", "x.mp4", "--perod", "3"], "unrecognized arguments"),
        (["run", "x.mp4", "--period", "0"], "--period: 0 is not allowed"),
        (["run", "x.mp4", "-o"], "expected one argument"),
    ],
)
def test_usage_is_one_line_and_exit_code_2(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 2
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.startswith("vipose: ") and shown.err.count("\n") == 1 and not shown.out


def fake_command(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> None:
    def run(args: object) -> int:
        if error is not None:
            raise error
        return 1

    module = types.SimpleNamespace(__doc__="A command.", add_arguments=lambda parser: None, run=run)
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: module)


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, 1), (UsageError("no"), 2), (InputError("no such file"), 3), (KeyboardInterrupt(), 130)],
)
def test_exit_codes(error: BaseException | None, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIPOSE_DEBUG", raising=False)
    fake_command(monkeypatch, error)
    assert cli.main(["bench"]) == code


def test_faults_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_command(monkeypatch, AssertionError("a fault"))
    with pytest.raises(AssertionError):
        cli.main(["bench"])


def test_debug_shows_where_an_error_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_command(monkeypatch, InputError("no such file"))
    monkeypatch.setenv("VIPOSE_DEBUG", "1")
    with pytest.raises(InputError):
        cli.main(["bench"])


def test_training_without_torch_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VIPOSE_DEBUG", raising=False)
    monkeypatch.setattr(cli.util, "find_spec", lambda name: None)
    assert cli.main(["train"]) == 3
    assert "pip install 'vipose[train]'" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_crash() -> None:
    done = subprocess.run(
        f"'{sys.executable}' -m vipose.runtime run --help | true", shell=True, capture_output=True, text=True, timeout=200, check=False
    )
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device here that is always full")
def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    command = f"'{sys.executable}' -m vipose.runtime models list > /dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stderr.startswith("vipose: what it had to say")


def test_a_value_that_begins_with_a_dash_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "x.mp4", "--roi", "-5,-5,40,40"]) == 2
    assert "--roi=-" in capsys.readouterr().err
