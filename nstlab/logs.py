"""Log lines that do not tell who a participant is."""

from __future__ import annotations

import logging
import re
from urllib.parse import unquote

PLATFORMS_NAMES = (
    "PROLIFIC_PID", "SESSION_ID", "STUDY_ID",
    "workerId", "assignmentId", "hitId", "turkSubmitTo",
)  # fmt: skip
"""What recruiting platforms call their people and sessions;
survey.participant.platforms reads them."""

# Signs that part an address, also percent-encoded, also more than once.
SIGN = r"(?:[?&;]|%(?:25)*(?:3f|26|3b))"
EQUALS = r"(?:=|%(?:25)*3d)"
CODE_SIGN = r"[-+\s_.]?"

HIDDEN = (
    # Gunicorn names the peer of a request that it cannot parse.
    (re.compile(r"\bip=\S+"), "ip=(hidden)"),
    # A recruiting platform sends its people with their ids behind the address.
    # A name ends at the next sign: from each sign on to the end took long.
    (re.compile(rf"(?<=[\w/.%)]){SIGN}(?:(?!{SIGN})[\w.%~-])+{EQUALS}\S*",
                re.IGNORECASE), "?(hidden)"),
    # The same ids where something prints them by their names.
    (re.compile(rf"\b({'|'.join(PLATFORMS_NAMES)})\b['\"]?\s*(?:[=:,]|%3d)\s*[\[(]*"
                r"(?:'[^']*'?|\"[^\"]*\"?|[^\s,'\"]+)", re.IGNORECASE), r"\1 (hidden)"),
    # A participant's code, as survey.codes makes it and people type it.
    (re.compile(rf"(?<![a-z0-9])[a-hjkmnp-z2-9]{{4}}"
                rf"(?:{CODE_SIGN}[a-hjkmnp-z2-9]{{4}}){{5}}(?![a-z0-9])",
                re.IGNORECASE), "(code)"),
)  # fmt: skip
WORD = re.compile(r"\S+")


class Discreet(logging.Formatter):
    """Leaves out who a participant is, in tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return WORD.sub(_if_it_hid_nobody, _hidden(super().format(record)))


def _hidden(text: str) -> str:
    for pattern, instead in HIDDEN:
        text = pattern.sub(instead, text)
    return text


def _if_it_hid_nobody(found: re.Match[str]) -> str:
    """Percent-encoded text as it is, unless what it says is to be hidden."""
    said = found[0]
    if "%" not in said:
        return said
    for _ in range(3):
        said = re.sub(r"[\s\0-\x1f]", "+", unquote(said))
        if (hidden := _hidden(said)) != said:
            return hidden
    return found[0]
