"""What the batch page says: lengths of time, how the queue stands, and the options in one line."""

from __future__ import annotations

from collections.abc import Sequence

from vipose.app.core.batch_items import BatchItem, BatchPhase, BatchStatus, ItemState, Left, Totals
from vipose.runtime.options import RunOptions, table

__all__ = [
    "STOPPED_EARLY",
    "count_of",
    "duration",
    "headline",
    "in_row",
    "intake_notice",
    "options_in_words",
    "result_message",
    "sentence",
    "time_left",
]

STOPPED_EARLY = "Stopped before the first frame"
_SHOWN_APART = {"mode", "device", "period", "output", "save", "video", "existing", "show", "recursive", "quiet", "json"}
_INTERNAL = {"timings", "queue_frames", "queue_mb", "timeout", "camera_size", "camera_fps"}
_NAMED = 3  # files that a notice names
_ENDED = (
    (ItemState.DONE, "done"), (ItemState.SKIPPED, "skipped"), (ItemState.PARTIAL, "partly done"),
    (ItemState.FAILED, "failed"), (ItemState.CANCELLED, "stopped"), (ItemState.WAITING, "still waiting"),
)  # fmt: skip


def count_of(number: int, one: str, many: str = "") -> str:
    """A number with its noun: ``1 file``, ``2 files``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """A length of time, to two units at most: ``8 s``, ``2 min 5 s``, ``1 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def time_left(left: Left | None) -> str:
    """The time that is left, ``-`` where nobody knows."""
    if left is None:
        return "-"
    return f"{duration(left.seconds)}{' or more' if left.at_least else ''}"


def headline(status: BatchStatus) -> str:
    """How the queue stands, in one line: what runs, or what the last run came to."""
    totals = Totals.of(status.items)
    waiting = totals.states.get(ItemState.WAITING, 0)
    if status.phase is BatchPhase.LOADING:
        return "Loading the networks ..."
    if status.phase is BatchPhase.STOPPING:
        return "Stopping; the files of this one are being completed ..."
    if status.phase is BatchPhase.RUNNING:
        ended = sum(item.state.ended for item in status.of_run())
        return f"{ended} of {count_of(ended + waiting + (status.current() is not None), 'file')} done"
    done = status.of_run()
    if done and not any(item.state is ItemState.RUNNING for item in done):
        return _last_run(done, status, waiting)
    return f"{count_of(waiting, 'file')} waiting" if waiting else ""


def _last_run(items: tuple[BatchItem, ...], status: BatchStatus, waiting: int) -> str:
    totals = Totals.of(items)
    failed = sum(item.state is ItemState.FAILED for item in status.items)  # also those that never came to run
    counts = totals.states | {ItemState.WAITING: waiting, ItemState.FAILED: failed}
    words = ", ".join(f"{counts[state]} {word}" for state, word in _ENDED if counts.get(state))
    if not totals.frames:
        return f"Finished: {words}"
    speed = f" ({status.speed:.1f} a second)" if status.speed else ""
    return f"Finished: {words}. {count_of(totals.frames, 'frame')} in {duration(status.seconds)}{speed}"


def result_message(item: BatchItem) -> str:
    """What a row says of a run that ended: what went wrong, else what is worth knowing."""
    report = item.report
    if report is None:
        return item.message
    if item.state is ItemState.CANCELLED:
        if not report.written:
            return STOPPED_EARLY
        return f"Stopped; its files are valid up to frame {report.written}"
    if item.state is ItemState.DONE:
        people = "nobody found" if not report.people else count_of(report.people, "person", "people")
        return "; ".join((people, *report.notes))
    return report.message


def intake_notice(twice: Sequence[str], no_files: Sequence[str], left_out: int, beside: Sequence[str] = ()) -> str:
    """What became of the last files that were added, "" where nothing is worth a word.

    Args:
        twice: names of files that were in the queue already.
        no_files: cameras and addresses.
        left_out: number of results of earlier runs.
        beside: pictures that lie beside videos, as "3 pictures in FOLDER".
    """
    lines = []
    if twice:
        lines.append(f"In the queue already: {_listed(twice)}. Try it again to run a file once more.")
    if no_files:
        lines.append(f"No files: {_listed(no_files)}. Open cameras and addresses on the live page.")
    if left_out:
        lines.append(f"Left out, since they lie in the results folder: {count_of(left_out, 'file')}.")
    if beside:
        lines.append(f"Left out, since of a folder with videos only these are taken: {_listed(beside)}.")
    return " ".join(lines)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def in_row(item: BatchItem) -> str:
    """The message as its row says it: the file is named in the row already, so its folder is left out."""
    return sentence(item.message.replace(item.text, item.name), item.name)


def sentence(message: str, name: str) -> str:
    """A message with a capital letter, unless it begins with a name."""
    return message if message.startswith(name) else message[:1].upper() + message[1:]


def options_in_words(options: RunOptions) -> str:
    """Networks and device, then every option that differs from its default and shapes a file's results."""
    period = "period of the mode" if options.period is None else f"period {options.period}"
    device = "device chosen automatically" if options.device == "auto" else options.device
    words = [options.mode, device, period]
    defaults = RunOptions()
    for name, option in table().items():
        value = getattr(options, name)
        if name in _SHOWN_APART | _INTERNAL or value == getattr(defaults, name):
            continue
        flag = option.flag.removeprefix("--").replace("-", " ")
        words.append(flag if isinstance(value, bool) else f"{flag} {_value(value)}")
    return ", ".join(words)


def _value(value: object) -> str:
    return " ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else f"{value}"
