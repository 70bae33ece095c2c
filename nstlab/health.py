"""Whether the lab lives, and whether it can work."""

from __future__ import annotations

import django_rq
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError
from rq import Worker


@require_safe
@never_cache
def live(request: HttpRequest) -> JsonResponse:
    """The web process answers."""
    return JsonResponse({"live": True})


@require_safe
@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """Database and broker answer, and how many workers each queue has; 503 if not."""
    checks: dict[str, object] = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        checks["database"] = True
    except DatabaseError:
        checks["database"] = False
    try:
        checks["workers"] = {
            name: Worker.count(queue=django_rq.get_queue(name))
            for name in settings.RQ_QUEUES
        }
        checks["broker"] = True
    except (RedisError, OSError):
        checks["broker"] = False
    ok = bool(checks["database"] and checks["broker"])
    return JsonResponse({"ready": ok, **checks}, status=200 if ok else 503)
