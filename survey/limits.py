"""How much one place may ask for, without keeping who asked.

An address becomes an HMAC under a random key that lives for a day in the broker; the
counters live for an hour there. A classroom behind one address passes, a flood does
not. Without a broker nothing is counted: studies go on.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from ipaddress import IPv6Address, ip_address

import django_rq
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from survey.refusals import TooMany, UnknownCode

log = logging.getLogger(__name__)

HOUR = 3600
PATIENCE_SECONDS = 1
CODES_PER_HOUR = 30
"""Wrong codes from one address; 31^24 of them are possible."""


def count_join(request: HttpRequest) -> None:
    """Count one join from this address. Raises TooMany."""
    most = settings.NSTLAB_JOINS_PER_HOUR
    if most and _count(request, "join") > most:
        raise TooMany(_too_many())


@contextmanager
def counting_wrong_codes(request: HttpRequest) -> Iterator[None]:
    """Around looking a typed code up: count it if it raises UnknownCode.

    Right ones are never refused: a classroom resumes from one address, and somebody
    who guesses there must not keep the others out; there is nothing to be guessed.
    Raises TooMany instead after too many wrong ones.
    """
    try:
        yield
    except UnknownCode:
        if _count(request, "code") > CODES_PER_HOUR:
            raise TooMany(_too_many()) from None
        raise


def _too_many() -> str:
    return _(
        "Too many people have come from your network just now. Please try again in an "
        "hour."
    )


def _count(request: HttpRequest, what: str) -> int:
    """How many of these came from this address in this hour; 0 without a broker."""
    try:
        broker = _broker()
        day = dt.datetime.now(dt.UTC).date().isoformat()
        key_name = f"survey:key:{day}"
        broker.set(key_name, secrets.token_hex(32), nx=True, ex=24 * HOUR)
        key = bytes.fromhex(_text(broker.get(key_name)))
        place = _network(address_of(request))
        digest = hmac.new(key, place.encode(), hashlib.sha256).hexdigest()
        counter = f"survey:{what}:{digest}"
        broker.set(counter, 0, nx=True, ex=HOUR)
        count = int(broker.incr(counter))
        if count == 1:  # it may have run out just before, and come back for ever
            broker.expire(counter, HOUR)
        return count
    except (RedisError, OSError):
        log.warning("The broker is away: %ss are not limited.", what)
        return 0


def _network(address: str) -> str:
    """What one place may choose its addresses from: in IPv6 a /64, as providers give
    to every connection."""
    try:
        parsed = ip_address(address)
    except ValueError:  # behind a Unix socket there is none
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return f"{int(parsed) >> 64:016x}"
        parsed = parsed.ipv4_mapped
    return str(parsed)


@cache
def _broker() -> Redis:
    """The queue's broker, asked once and briefly: a person is waiting."""
    known = django_rq.get_connection("render").connection_pool
    pool = ConnectionPool(
        connection_class=known.connection_class,
        **{
            **known.connection_kwargs,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": PATIENCE_SECONDS,
            "socket_connect_timeout": PATIENCE_SECONDS,
        },
    )
    return Redis(connection_pool=pool)


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def address_of(request: HttpRequest) -> str:
    """Where a request comes from; behind our own proxy what that one says."""
    if settings.BEHIND_PROXY:
        forwarded = request.headers.get("X-Forwarded-For", "")
        if last := forwarded.rsplit(",", 1)[-1].strip():
            return last
    return str(request.META.get("REMOTE_ADDR", ""))
