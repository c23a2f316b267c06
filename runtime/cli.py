"""``vipose``: names and one-line helps of the commands; a command's module is imported only when it is called.

Nothing heavier than argparse is imported on the way to ``--help``.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import os
import re
import sys
from collections.abc import Sequence
from importlib import util
from typing import NoReturn

from vipose.runtime.errors import (
    EXIT_INTERRUPTED,
    EXIT_NOTHING,
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    UsageError,
    ViposeError,
)

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "app": "open the desktop application (needs PySide6)",
    "run": "turn videos, folders, cameras or URLs into tracked skeletons",
    "convert": "turn a result file into another format",
    "evaluate": "measure accuracy against annotations or another result file",
    "bench": "measure speed and memory, by graph and by stage",
    "tune": "measure this machine once and keep the best setting for a frame rate",
    "doctor": "examine this installation, offline",
    "models": "list, show, verify, add or remove graphs",
    "cameras": "list cameras",
    "train": "train networks (needs PyTorch)",
    "search": "search networks for this machine (needs PyTorch)",
    "tables": "parameters and MACs of the published networks (needs PyTorch)",
    "export": "export a checkpoint to ONNX (needs PyTorch)",
}
TORCH_COMMANDS = ("train", "search", "tables", "export")
WINDOW_COMMANDS = ("app",)


class _Parser(argparse.ArgumentParser):
    """argparse whose complaints are one line; abbreviations of flags are refused, so that scripts keep working."""

    def error(self, message: str) -> NoReturn:
        flag = re.fullmatch(r"argument (?:-\w/)?(--[\w-]+): expected one argument", message)
        if flag:
            message += f" (one that begins with '-' is written {flag[1]}=-...)"
        raise UsageError(f"{message}; see '{self.prog} --help'")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; mistakes of the user become one line on stderr.

    Set ``VIPOSE_DEBUG=1`` to see where an error came from.
    """
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except ViposeError as error:
        if os.environ.get("VIPOSE_DEBUG"):
            raise
        print(f"vipose: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_NOTHING
    except KeyboardInterrupt:
        print("vipose: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_SOME_FAILED
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO):
            raise
        # Standard output has no name; files that cannot be written are reported where they are.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"vipose: what it had to say cannot be written ({error.strerror}); files that it wrote are there", file=sys.stderr)
        return EXIT_SOME_FAILED
    except SystemExit as leave:  # argparse leaves this way after --help
        return leave.code if isinstance(leave.code, int) else EXIT_OK


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview())
        return EXIT_OK if argv else EXIT_USAGE
    if argv[0] in ("-V", "--version"):
        print(f"vipose {_version()}")
        return EXIT_OK
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"there is no command '{name}'; {hint}'vipose --help' lists them")
    module = importlib.import_module(_module(name))
    parser = _Parser(prog=f"vipose {name}", description=module.__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    module.add_arguments(parser)
    return int(module.run(parser.parse_args(rest)))


def _module(name: str) -> str:
    """Where a command lives; raises ViposeError when what it needs is not installed."""
    if name in WINDOW_COMMANDS:
        if util.find_spec("PySide6") is None:
            raise ViposeError(f"'vipose {name}' needs PySide6, which is not installed; pip install 'vipose[app]'")
        return f"vipose.app.commands.{name}"
    if name not in TORCH_COMMANDS:
        return f"vipose.runtime.commands.{name}"
    if util.find_spec("torch") is None:
        raise ViposeError(f"'vipose {name}' needs PyTorch, which is not installed; pip install 'vipose[train]'")
    return f"vipose.models.commands.{name}"


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = ["usage: vipose COMMAND ...", "", "From any video to tracked, smoothed skeletons of many people.", ""]
    lines += ["commands:", *(f"  {name:<{width}}{text}" for name, text in COMMANDS.items()), ""]
    lines += ["  vipose run clip.mp4 -o out.mp4 --save native,csv", "  vipose COMMAND --help", "  vipose --version", ""]
    return "\n".join([*lines, "exit codes: 0 done, 1 some inputs failed, 2 usage, 3 nothing could be done, 130 interrupted"])


def _version() -> str:
    from vipose.runtime.installed import version

    return version()
