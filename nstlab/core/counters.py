"""How often something happened in a while, counted in the broker under any name.

Plain commands of the broker and nothing pickled. Without a broker nothing is counted
and nobody is kept out: studies go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from ipaddress import IPv6Address, ip_address
from typing import Any, TypeVar

import django_rq
from django.conf import settings
from django.http import HttpRequest
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 1

Answer = TypeVar("Answer")


def asked(question: Callable[[Any], Answer], *, otherwise: Answer) -> Answer:
    """What the broker answers; without one `otherwise`, and the log says so."""
    try:
        return question(broker())
    except (RedisError, OSError):
        log.warning("The broker is away: nothing is limited.")
        return otherwise


def add(name: str, seconds: int) -> int:
    """Count one more; how many there are since the first, which is forgotten after
    `seconds` with all that followed it. 0 without a broker."""

    def question(server: Redis) -> int:
        server.set(name, 0, nx=True, ex=seconds)
        count = int(server.incr(name))
        if count == 1:  # it may have run out just before, and come back for ever
            server.expire(name, seconds)
        return count

    return asked(question, otherwise=0)


def seconds_over(name: str, most: int) -> int:
    """For how long `name` has been counted `most` times or more; 0 if it has not."""

    def question(server: Redis) -> int:
        if int(server.get(name) or 0) < most:
            return 0
        return max(1, int(server.ttl(name)))

    return asked(question, otherwise=0)


def network_of(request: HttpRequest) -> str:
    """What one place may choose its addresses from: its address, in IPv6 the /64 that
    providers give to every connection."""
    address = address_of(request)
    try:
        parsed = ip_address(address)
    except ValueError:  # behind a Unix socket there is none
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return f"{int(parsed) >> 64:016x}"
        parsed = parsed.ipv4_mapped
    return str(parsed)


def address_of(request: HttpRequest) -> str:
    """Where a request comes from; behind our own proxy what that one says."""
    if settings.BEHIND_PROXY:
        forwarded = request.headers.get("X-Forwarded-For", "")
        if last := forwarded.rsplit(",", 1)[-1].strip():
            return last
    return str(request.META.get("REMOTE_ADDR", ""))


@cache
def broker() -> Redis:
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
