"""The keys of the application: one table that the window's actions and the list of shortcuts both read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["SHORTCUTS", "Shortcut", "as_markdown", "by_group", "keys_of"]


@dataclass(frozen=True)
class Shortcut:
    """One action that has keys.

    Attributes:
        keys: key sequences in Qt's portable form ("Ctrl+O"), the first is the one that menus show.
        title: what the action does.
        group: heading under which it is listed.
        anywhere: whether it works wherever the focus is; others wait while a text is being typed.
    """

    keys: tuple[str, ...]
    title: str
    group: str
    anywhere: bool = True


WINDOW, LIVE, VIEW, RESULTS, BATCH = "Window", "Live", "View", "Results", "Batch"

SHORTCUTS: Mapping[str, Shortcut] = MappingProxyType(
    {
        "open": Shortcut(("Ctrl+O",), "Open a video or picture; on the batch page add files", WINDOW),
        "open_url": Shortcut(("Ctrl+U",), "Open a URL", WINDOW),
        "open_results": Shortcut(("Ctrl+Shift+O",), "Open stored results", WINDOW),
        "page_live": Shortcut(("Ctrl+1",), "Live", WINDOW),
        "page_results": Shortcut(("Ctrl+2",), "Results", WINDOW),
        "page_batch": Shortcut(("Ctrl+3",), "Batch", WINDOW),
        "page_compare": Shortcut(("Ctrl+4",), "Comparison", WINDOW),
        "page_settings": Shortcut(("Ctrl+,", "Ctrl+5"), "Settings", WINDOW),
        "theme": Shortcut(("Ctrl+T",), "Light or dark", WINDOW),
        "full_screen": Shortcut(("F11",), "Full screen", WINDOW),
        "shortcuts": Shortcut(("F1",), "Keyboard shortcuts", WINDOW),
        "quit": Shortcut(("Ctrl+Q",), "Quit", WINDOW),
        "pause": Shortcut(("Space",), "Pause or go on", LIVE, anywhere=False),
        "stop": Shortcut(("Ctrl+.",), "Stop", LIVE),
        "record": Shortcut(("Ctrl+R",), "Start or finish a recording", LIVE),
        "snapshot": Shortcut(("Ctrl+S",), "Save a snapshot", LIVE),
        "panel": Shortcut(("Ctrl+P",), "Show or hide controls and latency", LIVE),
        "mirror": Shortcut(("M",), "Mirror the picture", VIEW, anywhere=False),
        "black_background": Shortcut(("V",), "Show or hide the video", VIEW, anywhere=False),
        "head_blur": Shortcut(("P",), "Blur heads", VIEW, anywhere=False),
        "skeletons": Shortcut(("S",), "Show or hide skeletons", VIEW, anywhere=False),
        "boxes": Shortcut(("B",), "Show or hide boxes", VIEW, anywhere=False),
        "labels": Shortcut(("L",), "Show or hide labels", VIEW, anywhere=False),
        "angles": Shortcut(("A",), "Show or hide joint angles", VIEW, anywhere=False),
        "heat": Shortcut(("H",), "Show or hide heatmaps", VIEW, anywhere=False),
        "unfollow": Shortcut(("Esc",), "Follow nobody", VIEW, anywhere=False),
        "zoom_in": Shortcut(("Ctrl++", "Ctrl+="), "Zoom in", VIEW),
        "zoom_out": Shortcut(("Ctrl+-",), "Zoom out", VIEW),
        "fit": Shortcut(("Ctrl+0",), "Fit the picture", VIEW),
        "previous_frame": Shortcut(("Left",), "One frame back", RESULTS, anywhere=False),
        "next_frame": Shortcut(("Right",), "One frame on", RESULTS, anywhere=False),
        "previous_second": Shortcut(("Shift+Left",), "One second back", RESULTS, anywhere=False),
        "next_second": Shortcut(("Shift+Right",), "One second on", RESULTS, anywhere=False),
        "previous_early": Shortcut(("Ctrl+Left",), "Previous early key frame", RESULTS, anywhere=False),
        "next_early": Shortcut(("Ctrl+Right",), "Next early key frame", RESULTS, anywhere=False),
        "first_frame": Shortcut(("Home",), "First frame", RESULTS, anywhere=False),
        "last_frame": Shortcut(("End",), "Last frame", RESULTS, anywhere=False),
        "export": Shortcut(("Ctrl+E",), "Export", RESULTS),
        "move_up": Shortcut(("Ctrl+Up",), "Move the selected files up", BATCH),
        "move_down": Shortcut(("Ctrl+Down",), "Move the selected files down", BATCH),
        "remove": Shortcut(("Del",), "Take the selected files out of the queue", BATCH, anywhere=False),
    }
)
"""Name of an action -> its keys; no key has two meanings."""


def keys_of(name: str) -> tuple[str, ...]:
    """The key sequences of an action, () where it has none."""
    shortcut = SHORTCUTS.get(name)
    return shortcut.keys if shortcut else ()


def by_group() -> dict[str, list[Shortcut]]:
    """The shortcuts under their headings, in the order of the table."""
    groups: dict[str, list[Shortcut]] = {}
    for shortcut in SHORTCUTS.values():
        groups.setdefault(shortcut.group, []).append(shortcut)
    return groups


def as_markdown() -> str:
    """The table of keys in docs/app.md; a test compares."""
    lines = ["| keys | do |", "| --- | --- |"]
    for group, shortcuts in by_group().items():
        lines.append(f"| **{group}** | |")
        for shortcut in shortcuts:
            keys = ", ".join(f"`{key}`" for key in shortcut.keys)
            lines.append(f"| {keys} | {shortcut.title} |")
    return "\n".join(lines) + "\n"
