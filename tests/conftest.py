"""Rules for the whole suite: no network, no threads left behind, the same examples in every run."""

from __future__ import annotations

import ipaddress
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("vipose", deadline=None, max_examples=25, derandomize=True, database=None)
settings.load_profile("vipose")

LINGER_S = 3.0
"""How long a thread may take to end after its test."""


class NetworkBlocked(RuntimeError):
    """A test, or what it tests, reached for the network."""


class _Guard:
    """Stands in front of the socket functions; ``open`` lets connections to this machine pass."""

    def __init__(self) -> None:
        self.open = False
        self.connect = socket.socket.connect
        self.connect_ex = socket.socket.connect_ex
        self.sendto = socket.socket.sendto
        self.getaddrinfo = socket.getaddrinfo

    def check(self, host: object) -> None:
        if not (self.open and _is_loopback(host)):
            raise NetworkBlocked(f"the suite runs without a network, but something reached for {host!r}")

    def install(self) -> None:
        guard = self

        def connect(self: socket.socket, address: Any) -> None:
            _check_socket(guard, self, address)
            guard.connect(self, address)

        def connect_ex(self: socket.socket, address: Any) -> int:
            _check_socket(guard, self, address)
            return guard.connect_ex(self, address)

        def sendto(self: socket.socket, *arguments: Any) -> int:
            _check_socket(guard, self, arguments[-1])
            return guard.sendto(self, *arguments)

        def getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
            guard.check(host)
            return guard.getaddrinfo(host, *arguments, **named)

        socket.socket.connect = connect  # type: ignore[method-assign]
        socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]
        socket.socket.sendto = sendto  # type: ignore[method-assign, assignment]
        socket.getaddrinfo = getaddrinfo


def _check_socket(guard: _Guard, sock: socket.socket, address: Any) -> None:
    if sock.family != getattr(socket, "AF_UNIX", None):
        guard.check(address[0] if isinstance(address, tuple) else address)


def _is_loopback(host: object) -> bool:
    if host in ("localhost", b"localhost", None):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


_GUARD = _Guard()
_GUARD.install()  # at import: collection is covered too


def pytest_configure(config: pytest.Config) -> None:
    # Graphs that somebody has added on this machine are nothing to the tests; nobody ever makes this folder.
    os.environ["VIPOSE_MODELS"] = os.path.join(tempfile.gettempdir(), f"vipose-tests-{os.getpid()}", "models")
    os.environ["VIPOSE_TUNED"] = "off"  # and so is what was measured here
    config.addinivalue_line("markers", "keeps_threads: a fixture of wider scope owns threads that outlive the test")


@pytest.fixture
def loopback() -> Iterator[None]:
    """Allows connections to this machine, for tests that run a server of their own."""
    _GUARD.open = True
    yield
    _GUARD.open = False


@pytest.fixture(autouse=True)
def no_leaked_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every thread that a test starts has ended soon after it."""
    before = set(threading.enumerate())
    yield
    if request.node.get_closest_marker("keeps_threads"):
        return
    until = time.monotonic() + LINGER_S
    while left := [t for t in threading.enumerate() if t not in before and t.is_alive()]:
        if time.monotonic() > until:
            pytest.fail(f"threads still run: {', '.join(sorted(t.name for t in left))}")
        left[0].join(0.05)
