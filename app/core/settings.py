"""What the application keeps between runs: a frozen dataclass, and the store that reads, checks, changes and saves it.

The file holds only what differs from the defaults, so that a better default of a later version reaches everybody who
never touched it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from vipose.app.core.listeners import Listeners
from vipose.app.core.settings_file import MARK, Migrations, Saver, parse, read_text, set_aside
from vipose.app.core.settings_values import differing, read_fields
from vipose.app.core.viewstate import ViewState
from vipose.runtime.atomic import write_atomically
from vipose.runtime.errors import InputError, OutputError, UsageError, ViposeError
from vipose.runtime.options import RESULT_FORMATS, RunOptions, table
from vipose.runtime.tune.defaults import under

__all__ = [
    "ENVIRONMENT",
    "KEPT_OPTIONS",
    "SCHEMA",
    "THEMES",
    "Settings",
    "SettingsStore",
    "Theme",
    "default_path",
    "default_results_folder",
    "whole_path",
]

ENVIRONMENT = "VIPOSE_SETTINGS"
"""Environment variable that names the folder of the settings."""
SCHEMA = 1
MIGRATIONS: Migrations = {}
Theme = Literal["system", "light", "dark"]
THEMES: tuple[Theme, ...] = get_args(Theme)
KEPT_OPTIONS: tuple[str, ...] = tuple(
    name for name, option in table().items() if option.applies and name not in ("start", "end")
)
"""Options of a run that the application keeps. Start and end belong to one source, the others to the command line."""
_MOST_RECENT = 12
_OF_THIS_MACHINE = ("recent", "folder", "results_folder", "window", "layout")  # never exported
_HISTORY = ("recent", "folder", "window", "layout")  # what a reset leaves alone


def default_path() -> Path:
    """The settings file: in the folder VIPOSE_SETTINGS, else in the platform's folder for the user's settings."""
    given = os.environ.get(ENVIRONMENT)
    if given:
        return Path(given).expanduser() / "settings.json"
    from platformdirs import user_config_path

    return user_config_path("vipose", appauthor=False) / "settings.json"


def whole_path(text: str) -> str:
    """A path as the user types it, with ``~`` and from the root; "" stays."""
    return os.path.abspath(os.path.expanduser(text)) if text else ""  # pathlib raises for a user that is not known


def default_results_folder() -> str:
    """Where recordings and batches go: a folder ``vipose`` in the user's folder for videos."""
    from platformdirs import user_videos_path

    return str(user_videos_path() / "vipose")


@dataclass(frozen=True)
class Settings:
    """Everything that is kept between runs.

    Attributes:
        options: of the next run; only :data:`KEPT_OPTIONS` are saved.
        view: layers of the canvas; who is followed is not saved.
        theme: ``system``, ``light`` or ``dark``.
        recent: sources that were opened, as they were given, newest first.
        folder: last used in a file dialog, "" for none yet.
        results_folder: where recordings and batches go.
        formats: result formats that are written with a recording.
        window: geometry of the window, base64 of Qt's own form, "" for none yet.
        layout: positions of splitters and panels, base64 of Qt's own form, "" for none yet.

    Raises:
        UsageError: a theme or a format is not known, or the folder for results is empty.
    """

    options: RunOptions = field(default_factory=RunOptions)
    view: ViewState = field(default_factory=ViewState)
    theme: Theme = "system"
    recent: tuple[str, ...] = ()
    folder: str = ""
    results_folder: str = field(default_factory=default_results_folder)
    formats: tuple[str, ...] = ("native",)
    window: str = ""
    layout: str = ""

    def __post_init__(self) -> None:
        if self.theme not in THEMES:
            raise UsageError(f"theme: '{self.theme}' is not known; choose one of {', '.join(THEMES)}")
        if not self.results_folder.strip():
            raise UsageError("folder: it is empty; choose a folder for results")
        for name in self.formats:
            if name not in RESULT_FORMATS:
                raise UsageError(f"formats: '{name}' is no format; choose from {', '.join(RESULT_FORMATS)}")

    def recent_with(self, text: str) -> tuple[str, ...]:
        """``recent`` after one more source was opened: it comes first, once, and the oldest are forgotten."""
        return (text, *(other for other in self.recent if other != text))[:_MOST_RECENT]


class SettingsStore:
    """The settings of this user, saved whenever they change.

    Saving happens in a thread (see :class:`Saver`); :meth:`flush` waits for it. Two processes may share one file: who
    saves last wins, and the file is whole at all times. Methods may be called from any thread; callbacks run in the
    thread that made the change.

    Args:
        path: of the file; None for :func:`default_path`.
        tuned: options that were measured to be best on this machine; they are the defaults here.
        tuned_note: what to say of them.
        schema, migrations: current number and the way to it; others than the real ones serve tests.
    """

    def __init__(
        self, path: str | Path | None = None, *, tuned: Mapping[str, Any] | None = None, tuned_note: str = "",
        schema: int = SCHEMA, migrations: Migrations = MIGRATIONS,
    ) -> None:  # fmt: skip
        self.path = default_path() if path is None else Path(path)
        self.tuned_note = tuned_note
        self._tuned = dict(tuned or {})
        self._schema, self._migrations = schema, migrations
        self._saver = Saver(self.path)
        self._lock = threading.RLock()
        self._listeners = Listeners()
        self._in_memory = False
        self._problem = ""
        self._current = self._load()
        self._check_folder()

    @property
    def current(self) -> Settings:
        """The settings as they are now."""
        return self._current

    @property
    def defaults(self) -> Settings:
        """What everything has that nobody has changed."""
        return Settings(options=RunOptions(**self._tuned))

    @property
    def problem(self) -> str:
        """One line on what went wrong with the file, "" for nothing; worth showing once."""
        error = self._saver.error
        if error is not None and not self._problem:
            self._problem = f"Settings are not saved: {error}"
        return self._problem

    def change(self, **changes: Any) -> Settings:
        """Change fields of :class:`Settings`, save and tell everybody who subscribed.

        Returns:
            The settings after it; the very same object where nothing differs.

        Raises:
            UsageError: a value is not allowed; nothing has changed then.
        """
        with self._lock:
            changed = replace(self._current, **changes)
            if changed == self._current:
                return self._current
            self._current = changed
            self._save()
        self._listeners(changed)
        return changed

    def change_options(self, **changes: Any) -> Settings:
        """Change fields of ``current.options``; raises UsageError and changes nothing where one is not allowed."""
        with self._lock:
            options = self._current.options
            if changes.get("mode", options.mode) != options.mode:  # what was tuned for one mode may not fit the next
                mine = self._tuned.keys() - under(("mode",), self._tuned) - changes.keys()
                stale = {name for name in mine if getattr(options, name) == self._tuned[name]}
                changes |= {name: getattr(RunOptions(), name) for name in stale}
            return self.change(options=replace(options, **changes))

    def retune(self, tuned: Mapping[str, Any], note: str) -> Settings:
        """Take over what was just measured: these options are in use, and the defaults from now on.

        Args:
            tuned, note: as on construction.

        Returns:
            The settings after it.
        """
        with self._lock:
            self._tuned, self.tuned_note = dict(tuned), note
            self._current = replace(self._current, options=replace(self._current.options, **self._tuned))
            self._save()
        self._listeners(self._current)
        return self._current

    def reset(self, group: str = "") -> Settings:
        """Back to the defaults: the options of one group of the table, or ("") everything but history and window."""
        default = self.defaults
        if group:
            names = [name for name in KEPT_OPTIONS if table()[name].group == group]
            return self.change_options(**{name: getattr(default.options, name) for name in names})
        return self.change(**{f.name: getattr(default, f.name) for f in fields(Settings) if f.name not in _HISTORY})

    def export(self, path: str | Path) -> None:
        """Write what is worth taking to another machine: no folders, no history, no window. Raises OutputError."""
        default = self.defaults
        shared = replace(self._current, **{name: getattr(default, name) for name in _OF_THIS_MACHINE})
        write_atomically(Path(path), _to_text(shared, default, self._schema))

    def load_from(self, path: str | Path) -> tuple[str, ...]:
        """Take over what a file says that was exported; folders, history and window stay.

        Returns:
            Notes on values that were not usable and have their defaults, one line each.

        Raises:
            InputError: the file cannot be read.
            UsageError: it is no settings file, or one of a newer version. Nothing has changed then.
        """
        path = Path(path)
        text = read_text(path)
        if text is None:
            raise InputError(f"there is no file {path}; choose another one")
        content = parse(text, path.name, self._schema, self._migrations)
        taken, notes = self._from({name: value for name, value in content.items() if name not in _OF_THIS_MACHINE})
        with self._lock:
            self.change(**{f.name: getattr(taken, f.name) for f in fields(Settings) if f.name not in _OF_THIS_MACHINE})
        return notes

    def subscribe(self, callback: Callable[[Settings], None]) -> Callable[[], None]:
        """Have ``callback(settings)`` called after every change, in the thread that made it; returns what ends that."""
        return self._listeners.subscribe(callback)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Wait until everything is saved; False where that took too long."""
        return self._saver.wait(timeout_s)

    def close(self) -> None:
        """Wait for the last save; safe to call twice."""
        self.flush()

    def _save(self) -> None:
        if not self._in_memory:
            self._saver.save(_to_text(self._current, self.defaults, self._schema))

    def _load(self) -> Settings:
        try:
            text = read_text(self.path)
        except InputError as error:
            self._keep_in_memory(error)  # what cannot be read may still be good: it is not replaced
            return self.defaults
        except UsageError as error:
            return self._start_anew(error)
        if text is None:
            return self.defaults
        try:
            content = parse(text, self.path.name, self._schema, self._migrations)
        except UsageError as error:
            return self._start_anew(error)
        settings, notes = self._from(content)
        if notes:
            self._problem = f"Some settings have their defaults again: {'; '.join(notes)}"
        return settings

    def _from(self, content: Mapping[str, Any]) -> tuple[Settings, tuple[str, ...]]:
        """Settings out of a file's content over the defaults that apply beside it."""
        chosen = content.get("options")
        tuned = under(chosen if isinstance(chosen, dict) else (), self._tuned)
        return _from_content(content, Settings(options=RunOptions(**tuned)))

    def _start_anew(self, why: ViposeError) -> Settings:
        try:
            kept = set_aside(self.path)
        except ViposeError as error:
            self._keep_in_memory(error)
        else:
            said = str(why).split(";")[0]
            self._problem = f"Settings start anew: {said}; the old file is kept as {kept}"
        return self.defaults

    def _check_folder(self) -> None:
        """Say at once, not at the first change, that nothing can be saved."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._keep_in_memory(
                OutputError(f"{self.path.parent} cannot be made ({error.strerror}); check its permissions")
            )
        else:
            if not os.access(self.path.parent, os.W_OK):
                self._keep_in_memory(OutputError(f"{self.path.parent} cannot be written; check its permissions"))

    def _keep_in_memory(self, why: ViposeError) -> None:
        self._in_memory = True
        self._problem = f"Settings are not saved: {why}"


def _to_text(settings: Settings, default: Settings, schema: int) -> str:
    content: dict[str, Any] = {"file": MARK, "schema": schema, **differing(settings, default, _PLAIN)}
    for name, kept in _PARTS.items():
        part = differing(getattr(settings, name), getattr(default, name), kept)
        if part:
            content[name] = part
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a file name that is no UTF-8, as Linux allows it; escaped it comes back as it was
        text = json.dumps(content, indent=2, allow_nan=False)
    return text + "\n"


def _from_content(content: Mapping[str, Any], default: Settings) -> tuple[Settings, tuple[str, ...]]:
    """Settings out of a file's content, and a note for each value that is not usable and has its default."""
    plain = {name: value for name, value in content.items() if name not in _PARTS}
    settings, notes = read_fields(default, plain, _PLAIN)
    for name, kept in _PARTS.items():
        raw = content.get(name, {})
        if isinstance(raw, dict):
            part, more = read_fields(getattr(settings, name), raw, kept)
            settings, notes = replace(settings, **{name: part}), notes + more
        else:
            notes.append(f"'{name}' holds no values")
    return settings, tuple(notes)


_PARTS: Mapping[str, tuple[str, ...]] = {
    "options": KEPT_OPTIONS,
    "view": tuple(f.name for f in fields(ViewState) if f.name != "followed"),
}
_PLAIN = tuple(f.name for f in fields(Settings) if f.name not in _PARTS)
