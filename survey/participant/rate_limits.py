"""Limit how much one place may ask for, without keeping who asked.

An address becomes an HMAC under a random key that lives for a day in the broker; the
counters live for an hour there. A classroom behind one address passes, a flood does
not. Without a broker nothing is counted: studies go on.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from nstlab.core import counters
from survey.refusals import TooMany, UnknownCode

HOUR = 3600
CODES_PER_HOUR = 30
"""Wrong codes from one address; 31^24 of them are possible."""


def count_join(request: HttpRequest) -> None:
    """Count one join from this address. Raises TooMany."""
    most = settings.NSTLAB_JOINS_PER_HOUR
    if most and _count(request, "join") > most:
        raise TooMany


@contextmanager
def counting_wrong_codes(request: HttpRequest) -> Iterator[None]:
    """Count a typed code that is looked up within, if that raises UnknownCode.

    Right ones are never refused: a classroom resumes from one address, and somebody
    who guesses there must not keep the others out; there is nothing to be guessed.
    Raises TooMany instead after too many wrong ones.
    """
    try:
        yield
    except UnknownCode:
        if _count(request, "code") > CODES_PER_HOUR:
            raise TooMany from None
        raise


def _count(request: HttpRequest, what: str) -> int:
    """Count one more of these from this address in this hour; 0 without a broker."""
    key = counters.asked(_key_of_today, otherwise=None)
    if key is None:
        return 0
    place = counters.network_of(request)
    digest = hmac.new(key, place.encode(), hashlib.sha256).hexdigest()
    return counters.add(f"survey:{what}:{digest}", HOUR)


def _key_of_today(broker: Any) -> bytes | None:
    """A random key, made by who asks first and forgotten after a day."""
    name = f"survey:key:{dt.datetime.now(dt.UTC).date().isoformat()}"
    broker.set(name, secrets.token_hex(32), nx=True, ex=24 * HOUR)
    return bytes.fromhex(_text(broker.get(name)))


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
