"""One tree of errors. Each message is one line: what happened, why, what to do. The command line maps them to exit codes."""

from __future__ import annotations

__all__ = [
    "EXIT_INTERRUPTED",
    "EXIT_NOTHING",
    "EXIT_OK",
    "EXIT_SOME_FAILED",
    "EXIT_USAGE",
    "DeviceError",
    "InputError",
    "ModelError",
    "OutputError",
    "UsageError",
    "ViposeError",
]

EXIT_OK = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_NOTHING = 3
EXIT_INTERRUPTED = 130


class ViposeError(Exception):
    """Base of every error a user can cause or mend."""


class UsageError(ViposeError):
    """An option or argument is out of range or contradicts another."""


class InputError(ViposeError):
    """A source (file, camera, URL, annotation) cannot be read."""


class ModelError(ViposeError):
    """A graph is missing, has no or wrong metadata, or does not run."""


class DeviceError(ViposeError):
    """An execution provider or camera that was asked for is not there."""


class OutputError(ViposeError):
    """A result or video cannot be written."""
