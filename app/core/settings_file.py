"""The file behind the settings: a JSON object with a schema number that is replaced as a whole and never lost."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vipose.runtime.atomic import write_atomically
from vipose.runtime.errors import InputError, OutputError, UsageError

__all__ = ["MARK", "Migrations", "Saver", "migrate", "parse", "read_text", "set_aside"]

MARK = "vipose settings"
"""What the key ``file`` says, so that another JSON file is not taken for settings."""
Migrations = Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]
"""Schema number -> function that makes content of the next schema out of content of this one."""


def read_text(path: Path) -> str | None:
    """The text of a file, None where there is none.

    Raises:
        InputError: it is there but cannot be read.
        UsageError: it is no text.
    """
    try:
        return path.read_text("utf-8-sig")  # some editors on Windows put a mark in front
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path.name} is no settings file (it is no text); choose one that vipose has exported"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from error


def parse(text: str, name: str, schema: int, migrations: Migrations) -> dict[str, Any]:
    """The content of a settings file, brought to the current schema, without its head (``file``, ``schema``).

    Args:
        text: of the file.
        name: of the file, for messages.
        schema: the current number.
        migrations: see :data:`Migrations`.

    Raises:
        UsageError: it is no settings file, or a newer version has written it.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no settings file (it is no JSON); choose one that vipose has exported") from error
    if not isinstance(content, dict) or content.pop("file", None) != MARK:
        raise UsageError(f"{name} is no settings file of vipose; choose one that vipose has exported")
    return migrate(content, name, schema, migrations)


def migrate(content: dict[str, Any], name: str, schema: int, migrations: Migrations) -> dict[str, Any]:
    """Content of any known schema as content of the current one; raises UsageError for an unknown one."""
    found = content.pop("schema", None)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise UsageError(f"{name} does not say its schema; choose a settings file that vipose has exported")
    if found > schema:
        raise UsageError(
            f"{name} is from a newer vipose (schema {found}, this one knows {schema}); update vipose to use it"
        )
    try:
        for number in range(found, schema):
            content = migrations[number](content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # what somebody's editor left may not fit
        raise UsageError(f"{name} holds values that its version did not know; choose another settings file") from error
    return content


def set_aside(path: Path) -> Path:
    """Rename a file to the first free ``NAME.bad-1``, ``NAME.bad-2``, ...; nothing is deleted or overwritten.

    Raises:
        OutputError: the folder cannot be written.
    """
    number = 1
    while True:
        target = path.with_name(f"{path.name}.bad-{number}")
        try:
            target.touch(exist_ok=False)  # taken first: another process may be setting aside, too
            os.replace(path, target)
        except FileExistsError:
            number += 1
        except OSError as error:
            target.unlink(missing_ok=True)
            raise OutputError(f"{path} cannot be renamed ({error.strerror}); check the folder's permissions") from error
        else:
            return target


class Saver:
    """Writes the newest text to a file in a thread that lives only while something waits to be written.

    A disk that is busy with a recording can hold an fsync for long; the window must not wait for it. All methods may be
    called from any thread.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._change = threading.Condition()
        self._waiting: str | None = None
        self._thread: threading.Thread | None = None
        self._error: OutputError | None = None

    @property
    def error(self) -> OutputError | None:
        """Why the last write failed; None where it did not."""
        with self._change:
            return self._error

    def save(self, text: str) -> None:
        """Have the text written soon; one that still waits is dropped for it."""
        with self._change:
            self._waiting = text
            if self._thread is None:
                # No daemon: a process that ends waits for the last write.
                self._thread = threading.Thread(target=self._write, name="vipose-settings")
                self._thread.start()

    def wait(self, timeout_s: float = 2.0) -> bool:
        """Wait until nothing waits to be written; whether that was so in time."""
        with self._change:
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        with self._change:
            return self._thread is None

    def _write(self) -> None:
        while True:
            with self._change:
                text, self._waiting = self._waiting, None
                if text is None:
                    self._thread = None
                    return
            failed: OutputError | None = None
            try:
                write_atomically(self.path, text)
            except OutputError as error:
                failed = error
            with self._change:
                self._error = failed
