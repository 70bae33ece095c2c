"""Painting a done render once more, to see whether the same pixels come out."""

from __future__ import annotations

import datetime as dt
import logging
from functools import partial

from django.db import IntegrityError, transaction
from django.utils import timezone
from redis.exceptions import RedisError
from rq.job import Job, JobStatus

from generation.forecast import Rates
from generation.models import Render, Reproduction
from nstlab.core import broker

log = logging.getLogger(__name__)

QUEUE = "render"
# Between the row and its job.
PATIENCE = dt.timedelta(minutes=1)
# A worker gives a sign of the job at hand every half minute.
SILENCE = dt.timedelta(minutes=3)
BROKER_IS_AWAY = "The queue could not be reached. Ask again when it is back."
LOST = "The queue had lost it. Ask again."
KILLED = (
    "Its worker process was killed, perhaps because memory ran out. Ask again, or look "
    "at the worker's log."
)


def reproduce(render: Render) -> bool:
    """Have a done render painted once more and compared with its picture.

    False if it is not done, or is being painted once more already.
    """
    if render.status != Render.Status.DONE:
        return False
    try:
        with transaction.atomic():
            row = Reproduction.objects.create(render=render)
            transaction.on_commit(partial(_send, row))
    except IntegrityError:
        return False
    return True


def _send(row: Reproduction) -> None:
    seconds = Rates().seconds(row.render)
    try:
        broker.queue(QUEUE).enqueue(
            "generation.queueing.tasks.reproduce_render",
            row.pk,
            job_id=row.job_id,
            job_timeout=max(900, int(40 * seconds)),
            result_ttl=3600,
            failure_ttl=7 * 24 * 3600,
            description=f"{row.render.experiment}: {row.job_id}",
        )
    except (RedisError, OSError):
        log.warning("The broker is away; %s is not sent.", row)
        row.fail(BROKER_IS_AWAY)


def end_lost() -> int:
    """End the reproductions that no job carries any more; how many. Raises RedisError
    or OSError when the broker is away."""
    now = timezone.now()
    rows = Reproduction.objects.filter(ended_at=None, asked_at__lt=now - PATIENCE)
    if not rows:
        return 0
    queue = broker.queue(QUEUE)
    listed = set(queue.job_ids)
    jobs = Job.fetch_many(
        [row.job_id for row in rows],
        connection=queue.connection,
        serializer=queue.serializer,
    )
    return sum(
        row.fail(LOST)
        for row, job in zip(rows, jobs, strict=True)
        if row.job_id not in listed and not (job and _is_worked_at(job, now))
    )


def _is_worked_at(job: Job, now: dt.datetime) -> bool:
    """Whether a worker that has not fallen silent has the job."""
    if job.get_status(refresh=False) != JobStatus.STARTED:
        return False
    seen = job.last_heartbeat or job.started_at or now
    return now - seen.replace(tzinfo=dt.UTC) < SILENCE
