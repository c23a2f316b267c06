"""What to say and to advise for each kind of problem, in plain words and for the system at hand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ["Advice", "ProblemKind", "Remedy", "advise", "camera_state"]


class ProblemKind(StrEnum):
    """What went wrong, as far as it matters for what to do."""

    CAMERA_BUSY = "camera busy"
    CAMERA_FORBIDDEN = "camera forbidden"
    CAMERA_GONE = "camera gone"
    CAMERA_MISSING = "camera missing"
    CAMERA = "camera"  # it does not open, and the system does not tell why
    CUDA = "cuda"
    FILE_MISSING = "file missing"
    FILE_UNREADABLE = "file unreadable"
    NO_VIDEO = "no video"
    NETWORK = "network"
    MODEL_MISSING = "model missing"
    MODEL_WRONG = "model wrong"
    DISK_FULL = "disk full"
    FOLDER = "folder"
    OUTPUT = "output"  # any other trouble with writing
    SETTINGS = "settings"
    OPTION = "option"
    MEMORY = "memory"
    OTHER = "other"
    INTERNAL = "internal"


class Remedy(StrEnum):
    """Something a button could do about it."""

    RETRY = "retry"
    CHOOSE = "choose other"
    SETTINGS = "settings"


@dataclass(frozen=True)
class Advice:
    """A title, steps in plain words that are tried in this order, and the buttons that could help."""

    title: str
    steps: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()


_CAMERA = (Remedy.RETRY, Remedy.CHOOSE)
_CLOSE_OTHERS = "Close other programs that may use the camera: video calls, the browser, other recorders."
_PLUG = "Check the cable, and plug the camera in again. Try another USB socket, best without a hub."

_ADVICE: dict[ProblemKind, Advice] = {
    ProblemKind.CAMERA_BUSY: Advice("The camera is in use", ("Video calls, the browser or another recorder may hold it: end them.",), _CAMERA),
    ProblemKind.CAMERA_FORBIDDEN: Advice("No permission to use the camera", (), _CAMERA),
    ProblemKind.CAMERA_GONE: Advice("The camera sends no pictures", (_PLUG, _CLOSE_OTHERS), _CAMERA),
    ProblemKind.CAMERA_MISSING: Advice("The camera was not found", (_PLUG, "Then choose it from the list of cameras."), _CAMERA),
    ProblemKind.CAMERA: Advice("The camera does not open", (_CLOSE_OTHERS, _PLUG), _CAMERA),
    ProblemKind.CUDA: Advice(
        "The graphics card is not used",
        (
            "All works as before, on the processor. It is only slower.",
            "To be rid of this notice, choose the device 'cpu' in the settings.",
            "To use an NVIDIA card, install its newest driver first.",
        ),
        (Remedy.SETTINGS,),
    ),
    ProblemKind.FILE_MISSING: Advice(
        "The file was not found", ("It may have been moved or renamed, or its disk is not connected.",), (Remedy.CHOOSE, Remedy.RETRY)
    ),
    ProblemKind.FILE_UNREADABLE: Advice(
        "The file cannot be read",
        ("See whether another player shows it. If it does not, copy it again from where it came.",),
        (Remedy.CHOOSE, Remedy.RETRY),
    ),
    ProblemKind.NO_VIDEO: Advice(
        "There is no video in it", ("Choose a video file (MP4, MOV, MKV, AVI), or a folder of pictures.",), (Remedy.CHOOSE,)
    ),
    ProblemKind.NETWORK: Advice(
        "The address does not answer",
        (
            "Check the spelling of the address, with user name and password where the camera asks for them.",
            "Check that this computer is in the same network as the camera, and that the camera is on.",
        ),
        (Remedy.RETRY, Remedy.CHOOSE),
    ),
    ProblemKind.MODEL_MISSING: Advice(
        "A network is not installed", ("Choose another mode in the settings: those that came with vipose need nothing.",), (Remedy.SETTINGS,)
    ),
    ProblemKind.MODEL_WRONG: Advice(
        "A network cannot be used", ("Choose another mode in the settings: those that came with vipose need nothing.",), (Remedy.SETTINGS,)
    ),
    ProblemKind.DISK_FULL: Advice(
        "The disk is full",
        ("Delete what you do not need, or save to another disk. A minute of video takes about 50 MB.",),
        (Remedy.CHOOSE, Remedy.RETRY),
    ),
    ProblemKind.FOLDER: Advice(
        "The folder cannot be written",
        ("Save in a folder of your own, such as Videos or Documents.",),
        (Remedy.CHOOSE, Remedy.RETRY),
    ),
    ProblemKind.OUTPUT: Advice("It cannot be saved", (), (Remedy.CHOOSE, Remedy.RETRY)),
    ProblemKind.SETTINGS: Advice(
        "Your settings could not be read",
        ("Nothing else is lost: vipose goes on with its own settings, and the old file was put aside.",),
        (Remedy.SETTINGS,),
    ),
    ProblemKind.OPTION: Advice("A setting does not fit", (), (Remedy.SETTINGS, Remedy.CHOOSE)),
    ProblemKind.MEMORY: Advice("Not enough memory", ("Close other programs, and try again.",), (Remedy.RETRY,)),
    ProblemKind.OTHER: Advice("This did not work", (), (Remedy.RETRY,)),
    ProblemKind.INTERNAL: Advice(
        "Something in vipose broke",
        (
            "This is a fault of vipose, not of yours.",
            "Try again. If it comes back, copy the details and report them.",
        ),
        (Remedy.RETRY,),
    ),
}

_FORBIDDEN: dict[str, tuple[str, ...]] = {
    "linux": (
        "Add yourself to the group 'video': sudo usermod -aG video $USER. Then log out and in again.",
        "In a Flatpak, Snap or container, allow access to the camera there.",
    ),
    "win32": (
        "Open Settings, Privacy & security, Camera. Switch on 'Camera access' and 'Let desktop apps access your camera'.",
    ),
    "darwin": (
        "Open System Settings, Privacy & Security, Camera. Allow the program that started vipose (for example Terminal), then start it anew.",
    ),
}  # fmt: skip
_LOOK: dict[str, str] = {
    "linux": "'v4l2-ctl --list-devices' in a terminal shows what the system sees.",
    "win32": "The Windows app 'Camera' shows whether the system sees it.",
    "darwin": "The app 'Photo Booth' shows whether the system sees it.",
}
_LOOKED_AT = frozenset({ProblemKind.CAMERA_GONE, ProblemKind.CAMERA_MISSING, ProblemKind.CAMERA})


def advise(kind: ProblemKind, platform: str) -> Advice:
    """Title, steps and remedies of a kind of problem.

    Args:
        kind: of the problem.
        platform: ``sys.platform``; unknown ones get the steps that hold everywhere.
    """
    advice = _ADVICE[kind]
    steps = list(advice.steps)
    if kind == ProblemKind.CAMERA_FORBIDDEN:
        steps += _FORBIDDEN.get(platform, ("Allow it in the privacy settings of your system.",))
    if kind == ProblemKind.CAMERA and platform in ("win32", "darwin"):
        steps += _FORBIDDEN[platform]  # there a forbidden camera looks like one that is not there
    if kind in _LOOKED_AT and platform in _LOOK:
        steps.append(_LOOK[platform])
    return Advice(advice.title, tuple(steps), advice.remedies)


def camera_state(index: int, platform: str, devices: Path = Path("/dev")) -> ProblemKind:
    """Why a camera that does not open does not: the driver's error does not tell, but Linux' device file does.

    Args:
        index: N of ``camera:N``.
        platform: ``sys.platform``.
        devices: folder of the device files; for tests.

    Returns:
        CAMERA_MISSING, CAMERA_FORBIDDEN or CAMERA_BUSY on Linux, CAMERA elsewhere.
    """
    if platform != "linux":
        return ProblemKind.CAMERA
    device = devices / f"video{index}"
    if not device.exists():
        return ProblemKind.CAMERA_MISSING
    return ProblemKind.CAMERA_BUSY if os.access(device, os.R_OK | os.W_OK) else ProblemKind.CAMERA_FORBIDDEN
