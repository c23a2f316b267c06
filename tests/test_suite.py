"""The suite's own rules (conftest) hold."""

from __future__ import annotations

import socket
import urllib.request

import pytest


def test_no_name_is_looked_up() -> None:
    with pytest.raises(RuntimeError, match="without a network"):
        socket.getaddrinfo("pypi.org", 443)


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("127.0.0.1", 9)])
def test_no_connection_leaves(address: tuple[str, int]) -> None:
    with socket.socket() as sock, pytest.raises(RuntimeError, match="without a network"):
        sock.connect(address)
    with socket.socket() as sock, pytest.raises(RuntimeError, match="without a network"):
        sock.connect_ex(address)


def test_no_datagram_leaves() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(RuntimeError, match="without a network"):
        sock.sendto(b"x", ("192.0.2.1", 53))


def test_libraries_on_top_are_blocked() -> None:
    with pytest.raises(RuntimeError, match="without a network"):
        urllib.request.urlopen("http://192.0.2.1/", timeout=1)


def test_loopback_passes_where_asked_for(loopback: None) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as client,
    ):
        assert client.getpeername() == server.getsockname()
    with socket.socket() as sock, pytest.raises(RuntimeError, match="without a network"):
        sock.connect(("192.0.2.1", 80))


def test_local_sockets_pass() -> None:
    if hasattr(socket, "AF_UNIX"):
        for end in socket.socketpair():
            end.close()
