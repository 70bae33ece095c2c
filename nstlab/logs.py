"""Log lines that do not tell who a participant is."""

from __future__ import annotations

import logging
import re

# Gunicorn names the peer of a request that it cannot parse.
PEER = re.compile(r"\bip=\S+")
# What `secrets.token_urlsafe(32)` makes: whoever has one is that participant.
TOKEN = re.compile(r"(?<![\w-])[A-Za-z0-9_-]{43}(?![\w-])")


class Discreet(logging.Formatter):
    """Leaves peers' addresses and secret tokens out, in tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return TOKEN.sub("(token)", PEER.sub("ip=(hidden)", super().format(record)))
