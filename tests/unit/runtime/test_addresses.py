"""Listening to IPv4 and IPv6 with the kernel's own sockets."""

from __future__ import annotations

import socket

import pytest

from ttsrl.runtime.addresses import every_address, listen, plain, with_port

needs_ipv6 = pytest.mark.skipif(
    not socket.has_dualstack_ipv6(), reason="this machine's kernel has no IPv6"
)


def peer_seen_from(server: socket.socket, host: str) -> str:
    """Connect over one address; the address of the server as its own side of it shows it."""
    with socket.create_connection((host, server.getsockname()[1]), timeout=120):
        accepted, _ = server.accept()
        with accepted:
            return plain(accepted.getsockname()[0])


@needs_ipv6
def test_every_address_is_of_both_families() -> None:
    with listen("::", 0) as server:
        assert [peer_seen_from(server, host) for host in ("127.0.0.1", "::1")] == [
            "127.0.0.1",
            "::1",
        ]
    assert every_address() == "::"


@needs_ipv6
def test_one_address_of_ipv6_is_listened_to_alone() -> None:
    with listen("::1", 0) as server:
        assert peer_seen_from(server, "::1") == "::1"
        with pytest.raises(ConnectionRefusedError):
            peer_seen_from(server, "127.0.0.1")


def test_without_ipv6_every_address_is_ipv4_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listen("::", 0) as server:
        assert server.family == socket.AF_INET
        assert peer_seen_from(server, "127.0.0.1") == "127.0.0.1"
    assert every_address() == "0.0.0.0"


@pytest.mark.parametrize(
    ("host", "shown"),
    [("10.0.0.1", "10.0.0.1:80"), ("fd00::1", "[fd00::1]:80"), ("rewards", "rewards:80")],
)
def test_an_address_of_ipv6_stands_in_brackets(host: str, shown: str) -> None:
    assert with_port(host, 80) == shown
