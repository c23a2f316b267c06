"""What the README shows works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from vipose.runtime.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 100 and "person 1 " in done.stdout


def test_every_command_it_names_exists() -> None:
    named = set(re.findall(r"\bvipose ([a-z]+)", "\n".join(re.findall(r"`[^`]+`|```.*?```", README, re.DOTALL))))
    assert {"run", "convert", "doctor"} <= named <= set(COMMANDS)


def test_every_option_it_names_exists() -> None:
    helps = ""
    for command in ("run", "evaluate", "bench", "doctor"):
        words = [sys.executable, "-m", "vipose.runtime", command, "--help"]
        helps += subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README))
    assert {"--save", "--head-blur"} <= named and not [flag for flag in named if flag not in helps]
