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
from functools import cache

import django_rq
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from survey.refusals import TooMany

log = logging.getLogger(__name__)

HOUR = 3600
PATIENCE_SECONDS = 1
CODES_PER_HOUR = 30
"""Wrong or right codes from one address; 31^24 of them are possible."""


def count_join(request: HttpRequest) -> None:
    """Count one join from this address. Raises TooMany."""
    _count(request, "join", settings.NSTLAB_JOINS_PER_HOUR)


def count_code(request: HttpRequest) -> None:
    """Count one code that somebody types. Raises TooMany."""
    _count(request, "code", CODES_PER_HOUR)


def _count(request: HttpRequest, what: str, most: int) -> None:
    if most == 0:
        return
    try:
        broker = _broker()
        day = dt.datetime.now(dt.UTC).date().isoformat()
        key_name = f"survey:key:{day}"
        broker.set(key_name, secrets.token_hex(32), nx=True, ex=24 * HOUR)
        key = bytes.fromhex(_text(broker.get(key_name)))
        place = hmac.new(key, address_of(request).encode(), hashlib.sha256).hexdigest()
        counter = f"survey:{what}:{place}"
        broker.set(counter, 0, nx=True, ex=HOUR)
        count = int(broker.incr(counter))
    except (RedisError, OSError):
        log.warning("The broker is away: %ss are not limited.", what)
        return
    if count > most:
        raise TooMany(
            _("Too many people have come from your network just now. Please try again "
              "in an hour.")
        )  # fmt: skip


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
