"""A lab elsewhere for every test here, and waiting for servers."""

from __future__ import annotations

import socket
import time

from tests.elsewhere import elsewhere

__all__ = ["elsewhere", "until_it_listens"]


def until_it_listens(address: str | tuple[str, int], seconds: float = 60.0) -> None:
    """Wait for a server at a Unix socket's path, or at a host and port."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket(family) as probe:
            if probe.connect_ex(address) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens at {address}")
