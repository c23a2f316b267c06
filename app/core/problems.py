"""Errors in plain words: what happened, and what to do about it.

The runtime's messages are one line, "what (why); what to do". They are split, never shortened: each of their words is on the
screen, and the line as it was is among the details.
"""

from __future__ import annotations

import errno
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from vipose.app.core.advice import ProblemKind, Remedy, advise, camera_state
from vipose.runtime.errors import DeviceError, InputError, ModelError, OutputError, UsageError, ViposeError
from vipose.runtime.providers import ProviderReport

__all__ = ["Problem", "ProblemKind", "Remedy", "explain", "explain_provider", "explain_settings", "split_message"]

_FAULT = "this is a fault of vipose"
_WHY = ("it ", "they ", "the ", "this ", "so ")
"""A last clause that begins so is a reason, not advice."""
_PLAIN = frozenset(
    ("a", "cannot", "detector", "device", "folder", "graph", "graphs", "in", "mode", "no", "reading", "the", "there", "this")
)
"""Words with which messages begin; anything else may be a name, which stays as it is."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NUMBER = re.compile(r"camera:(\d+)")

CameraState = Callable[[int, str], ProblemKind]


@dataclass(frozen=True)
class Problem:
    """A problem as the user reads it.

    Attributes:
        title: a few words without a full stop.
        what: what happened and why, as whole sentences.
        do: what to do, one step a line; "" where there is nothing.
        details: for whoever helps: the line as it was raised, and the traceback where nobody foresaw it.
        kind: what it is about.
        remedies: what buttons could do.
    """

    title: str
    what: str
    do: str
    details: str
    kind: ProblemKind
    remedies: tuple[Remedy, ...] = ()

    @property
    def notice(self) -> bool:
        """Whether work goes on all the same."""
        return self.kind in (ProblemKind.CUDA, ProblemKind.SETTINGS)


def explain(error: BaseException, *, platform: str = sys.platform, state: CameraState = camera_state) -> Problem:
    """Put an error into plain words; at most looks at one device file, so any thread may call it.

    Args:
        error: of vipose, of the system, or one that nobody foresaw.
        platform: ``sys.platform``, for advice that differs by system.
        state: why a camera does not open; for tests.
    """
    kind = _kind(error, platform, state)
    if isinstance(error, ViposeError) and kind != ProblemKind.INTERNAL:
        return _problem(kind, str(error), f"{type(error).__name__}: {error}", platform)
    trace = "".join(traceback.format_exception(error)).rstrip()
    if isinstance(error, ViposeError):
        return _problem(kind, str(error), trace, platform)
    said = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        said = f"'{error.filename}': {error.strerror}" if error.filename else error.strerror
        trace = trace if kind == ProblemKind.INTERNAL else f"{type(error).__name__}: {error}"
    elif kind == ProblemKind.INTERNAL:
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return _problem(kind, said or type(error).__name__, trace, platform)


def explain_provider(report: ProviderReport, *, platform: str = sys.platform) -> Problem | None:
    """A notice where a graphics card was asked for or found and does not run; None where all is as asked."""
    if not report.fell_back:
        return None
    line = f"asked for {report.asked}, running on {report.running}: {report.reason}"
    return _problem(ProblemKind.CUDA, report.reason, line, platform, lead=f"vipose runs on the {report.running.upper()}. ")


def explain_settings(text: str, *, platform: str = sys.platform) -> Problem:
    """A notice that a file of settings had to be put aside; ``text`` says which and why."""
    return _problem(ProblemKind.SETTINGS, text, text, platform)


def split_message(message: str) -> tuple[str, str]:
    """Split "what (why); what to do" into what and what to do; the second is "" where a message gives no advice.

    Joined by "; " they are the message again. A semicolon within brackets does not split.
    """
    place = len(message)
    while (place := message.rfind("; ", 0, place)) > 0:
        rest = message[place + 2:]
        if rest.count(")") <= rest.count("("):
            return (message, "") if _is_reason(rest) else (message[:place], rest)
    return message, ""


def _is_reason(clause: str) -> bool:
    return clause.startswith(_WHY) and not clause.startswith(_FAULT)


def _problem(kind: ProblemKind, message: str, details: str, platform: str, lead: str = "") -> Problem:
    advice = advise(kind, platform)
    what, do = split_message(message)
    steps = [*advice.steps, *([_sentence(do, always=True)] if do else [])]
    return Problem(advice.title, lead + _sentence(what), "\n".join(steps), details, kind, advice.remedies)


def _sentence(text: str, *, always: bool = False) -> str:
    """Text with a full stop, and a capital where that changes no name (``always``: it begins with a verb)."""
    text = text.strip()
    first = text.split(" ", 1)[0].rstrip(",:")
    if always and first.isalpha() or first in _PLAIN:
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) else text + "."


def _kind(error: BaseException, platform: str, state: CameraState) -> ProblemKind:
    if not isinstance(error, ViposeError):
        return _foreign_kind(error)
    text = str(error)
    if _FAULT in text:
        return ProblemKind.INTERNAL
    if isinstance(error, OutputError):
        return _output_kind(error, text)
    if isinstance(error, ModelError) or text.startswith(("there is no mode", "there is no graph", "there is no detector")):
        return _model_kind(text)
    if isinstance(error, DeviceError | InputError):
        return _camera_kind(error, text, platform, state) or _source_kind(error, text)
    return ProblemKind.OPTION if isinstance(error, UsageError) else ProblemKind.OTHER


def _foreign_kind(error: BaseException) -> ProblemKind:
    if isinstance(error, MemoryError):
        return ProblemKind.MEMORY
    if isinstance(error, OSError):
        if error.errno in _FULL:
            return ProblemKind.DISK_FULL
        if isinstance(error, FileNotFoundError):
            return ProblemKind.FILE_MISSING
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            return ProblemKind.FOLDER
    return ProblemKind.INTERNAL


def _output_kind(error: OutputError, text: str) -> ProblemKind:
    cause = error.__cause__
    full = isinstance(cause, OSError) and cause.errno in _FULL
    if full or re.search(r"disk is full|No space left|only \d+ MB left", text):
        return ProblemKind.DISK_FULL
    if isinstance(cause, OSError) or re.search(r"Permission denied|Read-only file system|there is no folder", text):
        return ProblemKind.FOLDER
    return ProblemKind.OUTPUT


def _model_kind(text: str) -> ProblemKind:
    missing = r"there is no |is missing|are missing|has no weights| lacks "
    return ProblemKind.MODEL_MISSING if re.search(missing, text) else ProblemKind.MODEL_WRONG


def _camera_kind(error: ViposeError, text: str, platform: str, state: CameraState) -> ProblemKind | None:
    """What is wrong with a camera; None where the message is of something else."""
    if "there is no camera" in text:
        return ProblemKind.CAMERA_MISSING
    if "it is missing, in use or forbidden" in text:
        number = _NUMBER.search(text)
        return state(int(number[1]), platform) if number else ProblemKind.CAMERA
    if "close other programs that use it" in text:
        return ProblemKind.CAMERA_BUSY
    if "unplugged" in text:
        return ProblemKind.CAMERA_GONE
    if not isinstance(error, DeviceError):
        return None
    if "CUDA" in text:
        return ProblemKind.CUDA
    forbidden = re.search(r"[Pp]ermission denied|not permitted|not authorized", text)
    return ProblemKind.CAMERA_FORBIDDEN if forbidden else ProblemKind.CAMERA


_SOURCES: tuple[tuple[str, ProblemKind], ...] = (
    (r"did not answer within|a URL that plays|sent nothing for|network or the sender|unknown scheme|file address", ProblemKind.NETWORK),
    (r"does not exist|No such file|matches no|cannot find the (file|path)", ProblemKind.FILE_MISSING),
    (r"has no video|video of an unknown codec|holds no videos|names no source|0 bytes|has no picture in", ProblemKind.NO_VIDEO),
)


def _source_kind(error: ViposeError, text: str) -> ProblemKind:
    if isinstance(error.__cause__, FileNotFoundError):
        return ProblemKind.FILE_MISSING
    return next((kind for pattern, kind in _SOURCES if re.search(pattern, text)), ProblemKind.FILE_UNREADABLE)
