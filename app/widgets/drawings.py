"""Icons as SVG on a square of 24 units; lines take the colour of texts, ``currentColor`` fills with it. Qt-free."""

from __future__ import annotations

__all__ = ["DRAWINGS"]


def _line(*paths: str) -> str:
    return "".join(f'<path d="{path}"/>' for path in paths)


def _solid(*paths: str) -> str:
    return "".join(f'<path d="{path}" fill="currentColor"/>' for path in paths)


def _ring(x: float, y: float, r: float) -> str:
    return f'<circle cx="{x}" cy="{y}" r="{r}"/>'


def _dot(x: float, y: float, r: float = 1.0) -> str:
    return f'<circle cx="{x}" cy="{y}" r="{r}" fill="currentColor" stroke="none"/>'


_FOLDER = "M3 18V6.5A1.5 1.5 0 0 1 4.5 5H9l2 2.5h8.5A1.5 1.5 0 0 1 21 9v9a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 18z"
_LENS = _ring(10.5, 10.5, 6.5) + _line("M15.3 15.3 20.5 20.5")
_FILE = "M14 3H6.5A1.5 1.5 0 0 0 5 4.5v15A1.5 1.5 0 0 0 6.5 21h11a1.5 1.5 0 0 0 1.5-1.5V8z M14 3v5h5"
_SUN = "M12 2.5v2 M12 19.5v2 M2.5 12h2 M19.5 12h2 M5.3 5.3l1.4 1.4 M17.3 17.3l1.4 1.4 M5.3 18.7l1.4-1.4 M17.3 6.7l1.4-1.4"

DRAWINGS: dict[str, str] = {
    "open": _line("M3 18V6.5A1.5 1.5 0 0 1 4.5 5H9l2 2.5h6.5A1.5 1.5 0 0 1 19 9v1.5",
                  "M3 18.5l2.8-7a1.5 1.5 0 0 1 1.4-1h13.3a1 1 0 0 1 .95 1.35L19.2 18.5a1.5 1.5 0 0 1-1.4 1H4a1 1 0 0 1-1-1z"),
    "camera": _line("M4.5 6.5h9A1.5 1.5 0 0 1 15 8v8a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 3 16V8a1.5 1.5 0 0 1 1.5-1.5z",
                    "M15 10.8l6-3.3v9l-6-3.3z"),
    "url": _line("M10 13.5a4.2 4.2 0 0 0 6.3.45l2.6-2.6a4.2 4.2 0 0 0-5.95-5.95l-1.45 1.45",
                 "M14 10.5a4.2 4.2 0 0 0-6.3-.45l-2.6 2.6a4.2 4.2 0 0 0 5.95 5.95l1.45-1.45"),
    "play": _solid("M7.5 4.8v14.4L19 12z"),
    "pause": _solid("M7 5h3v14H7z", "M14 5h3v14h-3z"),
    "stop": _solid("M6 6h12v12H6z"),
    "record": _ring(12, 12, 8.5) + _dot(12, 12, 4.8),
    "snapshot": _line("M3 8.5A1.5 1.5 0 0 1 4.5 7h3L9 4.5h6L16.5 7h3A1.5 1.5 0 0 1 21 8.5v9a1.5 1.5 0 0 1-1.5 1.5h-15"
                      "A1.5 1.5 0 0 1 3 17.5z") + _ring(12, 12.8, 3.6),
    "settings": _line("M4 7h8 M17.5 7H20 M4 17h2.5 M12 17h8") + _ring(14.7, 7, 2.6) + _ring(9.3, 17, 2.6),
    "batch": _line("M4 6h.01 M4 12h.01 M4 18h.01 M8.5 6H20 M8.5 12H20 M8.5 18H20"),
    "results": _line("M3.5 5h17v11h-17z M3.5 19.7h17") + _solid("M10.3 8.3v4.4l3.7-2.2z") + _dot(8.5, 19.7, 1.9),
    "compare": _line("M12 3v18", "M9 6H4.5A1.5 1.5 0 0 0 3 7.5v9A1.5 1.5 0 0 0 4.5 18H9",
                     "M15 6h4.5A1.5 1.5 0 0 1 21 7.5v9a1.5 1.5 0 0 1-1.5 1.5H15"),
    "export": _line("M12 15V3.8 M7.8 7.8 12 3.6l4.2 4.2", "M4 14.5v4A1.5 1.5 0 0 0 5.5 20h13a1.5 1.5 0 0 0 1.5-1.5v-4"),
    "folder": _line(_FOLDER),
    "file": _line(_FILE),
    "add": _line("M12 5v14 M5 12h14"),
    "remove": _line("M5 12h14"),
    "delete": _line("M4 6.5h16 M9.5 6V4h5v2 M6.5 6.5l.8 13a1 1 0 0 0 1 1h7.4a1 1 0 0 0 1-1l.8-13 M10 10.5v6 M14 10.5v6"),
    "up": _line("M12 19V5.5 M6 11.5l6-6 6 6"),
    "down": _line("M12 5v13.5 M6 12.5l6 6 6-6"),
    "cancel": _line("M6 6l12 12 M18 6 6 18"),
    "check": _line("M4.5 12.5l5 5 10-11"),
    "copy": _line("M9 8.5h9.5A1 1 0 0 1 19.5 9.5V20a1 1 0 0 1-1 1H9a1 1 0 0 1-1-1V9.5a1 1 0 0 1 1-1z",
                  "M5 16H4.5a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1H14a1 1 0 0 1 1 1v1"),
    "warning": _line("M12 4 21.5 20h-19z M12 10v4.5") + _dot(12, 17.2, 1.15),
    "error": _ring(12, 12, 9) + _line("M12 7v6") + _dot(12, 16.4, 1.2),
    "info": _ring(12, 12, 9) + _line("M12 11v6") + _dot(12, 7.7, 1.2),
    "help": _ring(12, 12, 9) + _line("M9.3 9.4a2.8 2.8 0 1 1 4.1 2.5c-.9.5-1.4 1-1.4 2") + _dot(12, 17, 1.15),
    "fit": _line("M4 9V5a1 1 0 0 1 1-1h4 M15 4h4a1 1 0 0 1 1 1v4 M20 15v4a1 1 0 0 1-1 1h-4 M9 20H5a1 1 0 0 1-1-1v-4"),
    "zoom-in": _LENS + _line("M10.5 7.8v5.4 M7.8 10.5h5.4"),
    "zoom-out": _LENS + _line("M7.8 10.5h5.4"),
    "search": _LENS,
    "heat": _line("M12.3 3c.4 3.6 5.7 5.9 5.7 11a6 6 0 0 1-12 0c0-2.3 1-4 2.2-5.3.2 1.6.9 2.6 2 3.1C10 8.3 10.6 5.3 12.3 3z"),
    "skeleton": _ring(12, 4.7, 2.1) + _line("M12 6.8v6.7 M5.5 9.8 12 8.8l6.5 1 M12 13.5l-4 7.5 M12 13.5l4 7.5"),
    "person": _ring(12, 7.5, 3.8) + _line("M4.5 20.5c.5-4.3 3.6-6.5 7.5-6.5s7 2.2 7.5 6.5"),
    "box": _line("M5 5h14v14H5z"),
    "label": _line("M3.5 12.5V5a1.5 1.5 0 0 1 1.5-1.5h7.5l8 8a1.5 1.5 0 0 1 0 2.1l-6.9 6.9a1.5 1.5 0 0 1-2.1 0z") + _dot(8, 8, 1.4),
    "angle": _line("M5 5v14h15 M5 11.5a7.5 7.5 0 0 1 7.5 7.5"),
    "mirror": _line("M12 3v3 M12 10.5v3 M12 18v3 M9 7.5 3 17h6z M15 7.5l6 9.5h-6z"),
    "eye": _line("M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z") + _ring(12, 12, 3),
    "eye-off": _line("M10 5.75a9 9 0 0 1 2-.25c6 0 9.5 6.5 9.5 6.5a16 16 0 0 1-2.4 3.2 M6.2 7.3A16 16 0 0 0 2.5 12S6 18.5 12 18.5"
                     "a9.5 9.5 0 0 0 4.3-1 M4 4l16 16"),
    "previous": _line("M14.5 5.5 8 12l6.5 6.5"),
    "next": _line("M9.5 5.5 16 12l-6.5 6.5"),
    "first": _line("M5.5 5v14") + _solid("M18.5 5.5v13L9 12z"),
    "last": _line("M18.5 5v14") + _solid("M5.5 5.5v13L15 12z"),
    "reset": _line("M4.5 4.5v5h5 M4.8 9.3a8 8 0 1 1-.6 4.5"),
    "refresh": _line("M20 4.5v5h-5 M4 19.5v-5h5 M19.6 9.3A8 8 0 0 0 5.6 7.5L4 9.3 M4.4 14.7a8 8 0 0 0 14 1.8l1.6-1.8"),
    "theme": _ring(12, 12, 4) + _line(_SUN),
    "dark": _line("M20 14.3A8.3 8.3 0 1 1 9.7 4a6.6 6.6 0 0 0 10.3 10.3z"),
    "chart": _line("M4 4v16h16 M7.5 15.5l3.5-4.5 3 2.5 5-7"),
    "clock": _ring(12, 12, 9) + _line("M12 7v5l3.5 2.2"),
    "live": _dot(12, 12, 2.2) + _line("M8 16a5.6 5.6 0 0 1 0-8 M16 8a5.6 5.6 0 0 1 0 8 M5.2 18.8a9.6 9.6 0 0 1 0-13.6 "
                                      "M18.8 5.2a9.6 9.6 0 0 1 0 13.6"),
    "fullscreen": _line("M14.5 4H20v5.5 M20 4l-6.5 6.5 M9.5 20H4v-5.5 M4 20l6.5-6.5"),
    "more": _dot(5.5, 12, 1.6) + _dot(12, 12, 1.6) + _dot(18.5, 12, 1.6),
}  # fmt: skip
