"""Progress: a bar on a terminal, plain lines elsewhere, silence when quiet; errors are always said."""

from __future__ import annotations

import io

from vipose.runtime import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(stream: io.StringIO, *, quiet: bool = False) -> str:
    with progress.open_reporter(quiet=quiet, stream=stream) as reporter:
        reporter.begin("folder/[odd] name.mp4", 1, 2, None)
        reporter.advance(10, "2 people")
        reporter.end("done: written 10")
        reporter.begin("b.mp4", 2, 2, 40)
        reporter.say("running on CPU (no CUDA)")
        reporter.end("failed: b.mp4 is empty")
    return stream.getvalue()


def test_plain_lines_in_a_log() -> None:
    lines = told(io.StringIO()).splitlines()
    assert lines == [
        "[1/2] folder/[odd] name.mp4", "  done: written 10", "[2/2] b.mp4 (about 40 frames)",
        "vipose: running on CPU (no CUDA)", "  failed: b.mp4 is empty",
    ]  # fmt: skip


def test_quiet_says_only_what_matters() -> None:
    assert told(io.StringIO(), quiet=True) == "vipose: running on CPU (no CUDA)\n"


def test_a_terminal_keeps_the_lines_of_finished_sources() -> None:
    shown = told(Terminal())
    assert "done: written 10" in shown and "failed: b.mp4 is empty" in shown


def test_rate_follows_the_frames(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    rate = progress.Rate()
    for frame in range(1, 101):
        now[0] = frame * 0.1
        rate.update(frame)
    assert abs(rate.fps - 10) < 0.5
