"""What a Prometheus scrapes: counts of rows, queues and workers, as text.

Open to staff, and to whoever sends NSTLAB_METRICS_TOKEN as a bearer token.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import Error
from django.db.models import Count, Min, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from generation.experiments.forecast import free_bytes
from generation.models import Batch, Render
from nstlab import health
from nstlab.core import broker, jobs
from survey.models import Participant, Rating

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Gauge:
    """One metric and its samples, each a value under labels."""

    name: str
    help: str
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    @classmethod
    def of(cls, name: str, help: str, value: float) -> Gauge:
        return cls(name, help, [({}, value)])

    @classmethod
    def by(cls, label: str, name: str, help: str, values: Mapping[str, float]) -> Gauge:
        return cls(name, help, [({label: key}, it) for key, it in values.items()])

    def lines(self) -> Iterator[str]:
        yield f"# HELP nstlab_{self.name} {self.help}"
        yield f"# TYPE nstlab_{self.name} gauge"
        for labels, value in self.samples:
            inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
            where = f"{{{inside}}}" if inside else ""
            yield f"nstlab_{self.name}{where} {value:.15g}"


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """All metrics; what cannot be asked is left out, and `nstlab_up` says so."""
    if not _may_see(request):
        return HttpResponse(
            "Log in as staff, or send NSTLAB_METRICS_TOKEN as a bearer token.\n",
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": 'Bearer realm="metrics"'},
        )
    return HttpResponse(text(gauges()), content_type=CONTENT_TYPE)


def _may_see(request: HttpRequest) -> bool:
    token = settings.NSTLAB_METRICS_TOKEN
    kind, _, sent = request.headers.get("Authorization", "").partition(" ")
    if token and kind.lower() == "bearer":
        return constant_time_compare(sent.strip(), token)
    return bool(request.user.is_staff)


def text(gauges: Iterable[Gauge]) -> str:
    """Prometheus' text format 0.0.4."""
    return "".join(f"{line}\n" for gauge in gauges for line in gauge.lines())


def gauges() -> list[Gauge]:
    """What the lab can say about itself now."""
    up = {"database": True, "broker": True, "storage": health.storage_is_writable()}
    rows: list[Gauge] = []
    queues: list[Gauge] = []
    try:
        rows = _rows()
    except Error:
        up["database"] = False
    try:
        queues = _queues()
    except jobs.AWAY:
        up["broker"] = False
    free = free_bytes()
    disk = [] if free is None else [
        Gauge.of("pictures_free_bytes", "Room on the disk of the pictures.", free)
    ]  # fmt: skip
    state = Gauge.by("part", "up", "Whether a part of the lab works.", up)
    return [state, *rows, *queues, *disk]


def _rows() -> list[Gauge]:
    oldest = Render.objects.queued().aggregate(since=Min("batch__created_at"))["since"]
    waited = (timezone.now() - oldest).total_seconds() if oldest else 0
    silent = Batch.objects.filter(
        lease_until__lt=timezone.now(), renders__status=Render.Status.RUNNING
    )
    return [
        Gauge.by("status", "renders", "Renders by state.",
                 _counted(Render.objects.all(), Render.Status)),
        Gauge.of("oldest_queued_render_seconds",
                 "For how long the render that waits longest has waited.", waited),
        Gauge.of("silent_batches", "Running batches whose lease is over: reap is due.",
                 silent.distinct().count()),
        Gauge.of("ratings", "Ratings stored.", Rating.objects.count()),
        Gauge.by("status", "participants", "Participants by state.",
                 _counted(Participant.objects.all(), Participant.Status)),
    ]  # fmt: skip


def _counted(rows: QuerySet[Model], states: Any) -> dict[str, float]:
    """How many rows are in each state, 0 included."""
    found = rows.order_by().values_list("status").annotate(n=Count("pk"))
    return {**dict.fromkeys(states.values, 0), **dict(found)}


def _queues() -> list[Gauge]:
    queues = {name: broker.queue(name) for name in settings.RQ_QUEUES}
    workers = health.workers_by_queue()
    if workers is None:
        raise ConnectionError("the broker is away")
    return [
        Gauge.by("queue", "queue_jobs", "Jobs that wait in a queue.",
                 {name: queue.count for name, queue in queues.items()}),
        Gauge.by("queue", "queue_failed_jobs", "Jobs that crashed, kept for a week.",
                 {name: it.failed_job_registry.count for name, it in queues.items()}),
        Gauge.by("queue", "workers", "Workers that listen to a queue.", workers),
    ]  # fmt: skip
