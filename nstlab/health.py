"""Whether the lab lives, and whether it can work. Says nothing that is secret."""

from __future__ import annotations

import logging
import secrets
import time

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from generation.models import WeightsAtHost
from nstlab.core import broker, jobs

log = logging.getLogger(__name__)

# A store is written to by asking, so not at everybody's whim.
STORAGE_ASKED_EVERY_SECONDS = 30.0
_storage_asked: tuple[float, bool] | None = None


@require_safe
@never_cache
def live(request: HttpRequest) -> JsonResponse:
    """The web process answers."""
    return JsonResponse({"live": True})


@require_safe
@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """Whether database, broker and the pictures' store work, and how many workers
    each queue has, which weights each of their hosts; 503 if one of the three does
    not."""
    workers = workers_by_queue()
    checks = {
        "database": database_answers(),
        "broker": workers is not None,
        "storage": storage_is_writable(),
    }
    is_ready = all(checks.values())
    return JsonResponse(
        {
            "ready": is_ready,
            **checks,
            "workers": workers or {},
            "weights": weights_by_host() if checks["database"] else {},
        },
        status=200 if is_ready else 503,
    )


def database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        log.warning("The database does not answer.")
        return False
    return True


def workers_by_queue() -> dict[str, int] | None:
    """How many workers listen to each queue; None while the broker is away."""
    if not broker.answers(settings.BROKER):
        return None
    return jobs.workers_by_queue(settings.RQ_QUEUES)


def weights_by_host() -> dict[str, list[str]]:
    """The names of the weights that each host with a render worker has."""
    try:
        return {row.host: list(row.weights) for row in WeightsAtHost.objects.present()}
    except Error:  # a database that is not migrated yet
        return {}


def storage_is_writable() -> bool:
    """Whether a file could be written and deleted within the last half minute."""
    global _storage_asked
    now = time.monotonic()
    if _storage_asked and now - _storage_asked[0] < STORAGE_ASKED_EVERY_SECONDS:
        return _storage_asked[1]
    try:
        name = default_storage.save(f"health/{secrets.token_hex(8)}", ContentFile(b"."))
        default_storage.delete(name)
        works = True
    except Exception as error:  # a disk's errors, or whatever an S3 client raises
        log.warning("The pictures cannot be written: %s", type(error).__name__)
        works = False
    _storage_asked = now, works
    return works
