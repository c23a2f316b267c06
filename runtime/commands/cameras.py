"""List the cameras of this machine: number, name and device. Open one with 'vipose run camera:N' or by its name."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from vipose.runtime.errors import EXIT_OK

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``vipose cameras``."""
    parser.add_argument("--json", action="store_true", help="print a JSON list, for programs")


def run(args: argparse.Namespace) -> int:
    """Print the cameras; an empty list is an answer, not a failure."""
    from vipose.runtime.media.camera import list_cameras

    cameras = list_cameras()
    if args.json:
        print(json.dumps([asdict(camera) for camera in cameras], ensure_ascii=False, indent=2))
        return EXIT_OK
    if not cameras:
        print("No camera found: plug one in, or check that you may use it (on Linux: group 'video').")
    width = max((len(camera.name) for camera in cameras), default=0)
    for camera in cameras:
        print(f"camera:{camera.index}  {camera.name:<{width}}  {camera.path or ''}".rstrip())
    return EXIT_OK
