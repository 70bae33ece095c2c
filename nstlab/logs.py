"""Log lines that do not tell who a participant is."""

from __future__ import annotations

import logging
import re

HIDDEN = (
    # Gunicorn names the peer of a request that it cannot parse.
    (re.compile(r"\bip=\S+"), "ip=(hidden)"),
    # A recruiting platform sends its people with their ids behind the address.
    (re.compile(r"(?<=[\w/])\?[\w%]+=\S*"), "?(hidden)"),
    # A participant's code, as survey.services makes it.
    (re.compile(r"(?<![\w-])[a-hjkmnp-z2-9]{4}(-?[a-hjkmnp-z2-9]{4}){5}(?![\w-])"),
     "(code)"),
)  # fmt: skip


class Discreet(logging.Formatter):
    """Leaves out who a participant is, in tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for pattern, instead in HIDDEN:
            line = pattern.sub(instead, line)
        return line
