"""Make codes that people can copy from paper, public ones and secret ones."""

from __future__ import annotations

import hashlib
import secrets

READABLE = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters and digits that cannot be mistaken for one another on paper."""

CODE_LENGTH = 24
"""Of a secret code: 31^24, about 119 bits, in six groups of four."""


def readable_code(length: int) -> str:
    """A random code of so many signs of READABLE."""
    return "".join(secrets.choice(READABLE) for _ in range(length))


def grouped(code: str) -> str:
    """A code as people read it: four letters and digits at a time."""
    return "-".join(code[place : place + 4] for place in range(0, len(code), 4))


def token_hash(token: str) -> str:
    """The SHA-256 that is stored of a secret code; the code itself never is.

    Hyphens, spaces and capitals do not matter: people copy it from paper.
    """
    plain = "".join(token.split()).replace("-", "").lower()
    return hashlib.sha256(plain.encode()).hexdigest()
