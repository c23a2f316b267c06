"""Addresses of streams: checked as they are typed, kept without their secrets."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from vipose.runtime.errors import UsageError
from vipose.runtime.media.sources import SourceSpec, expand_sources, without_password

__all__ = ["AddressBook", "is_address", "read_address"]

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_address(text: str) -> bool:
    """Whether a text is an address rather than a path or a camera."""
    return _SCHEME.match(text) is not None


def read_address(text: str) -> SourceSpec:
    """The source of an address; reaches for no network.

    Raises:
        UsageError: it has no scheme or no host.
        InputError: the scheme is none that can be opened.
    """
    text = text.strip()
    if not is_address(text):
        raise UsageError("an address begins with what kind it is, as in rtsp://192.168.1.20/stream or https://…; complete it")
    try:
        host = urlsplit(text).netloc.rpartition("@")[2]
    except ValueError as error:  # a bracket of IPv6 that is not closed
        raise UsageError(f"this address cannot be read ({error}); check its brackets") from error
    [spec] = expand_sources([text])
    if not host:
        raise UsageError("the address names no computer or camera; write it behind ://")
    return spec


class AddressBook:
    """Remembers whole addresses, with passwords, while the application runs; what is written down has none."""

    def __init__(self) -> None:
        self._whole: dict[str, str] = {}
        self.last = ""

    def remember(self, text: str) -> str:
        """Keep an address for this run; returns it as it may be written down."""
        safe = without_password(text)
        self._whole[safe] = self.last = text
        return safe

    def whole(self, text: str) -> str:
        """The address behind one that was written down; the same where no more is known."""
        return self._whole.get(text, text)
