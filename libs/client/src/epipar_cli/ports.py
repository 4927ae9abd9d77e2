"""Choosing ports on this machine's loopback."""

from __future__ import annotations

import socket


def preferred_port(port: int) -> int:
    """Return the port if nobody listens on it on this machine, else 0 for any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port
