"""Addresses of IPv4 and IPv6: listening to both, and writing one with its port."""

from __future__ import annotations

import ipaddress
import socket

EVERY = "::"
"""Every address of the machine, those of IPv4 too."""


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; at `::` it takes IPv4 too. Raises OSError.

    Where the kernel has no IPv6, `::` is every address of IPv4.
    """
    if host == EVERY:
        if socket.has_dualstack_ipv6():
            return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)
        host = "0.0.0.0"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def every_address() -> str:
    """What a library is to listen to that takes a host alone."""
    return EVERY if socket.has_dualstack_ipv6() else "0.0.0.0"


def plain(address: str) -> str:
    """An address of IPv4 as such, where a socket of both shows it as `::ffff:10.0.0.1`."""
    try:
        mapped = ipaddress.IPv6Address(address).ipv4_mapped
    except ValueError:
        return address
    return address if mapped is None else str(mapped)


def with_port(host: str, port: int) -> str:
    """`host:port`; an address of IPv6 stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
