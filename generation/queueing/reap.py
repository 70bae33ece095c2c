"""Reaping: taking up what dead workers, a lost broker or a killed web process left."""

from __future__ import annotations

import datetime as dt
import logging
import re

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from rq.job import Job

from generation.models import Batch, Render, lease_end
from generation.queueing import fetching
from generation.queueing.batches import put_into_batches
from generation.queueing.dispatch import RENDER_QUEUES, dispatch
from generation.queueing.reproduction import end_lost
from nstlab.core import jobs
from nstlab.core.transitions import move

log = logging.getLogger(__name__)

JOB_ID = re.compile(r"batch-(?P<pk>\d+)-(?P<attempt>\d+)")


@transaction.atomic
def abandon(batch: Batch, reason: str) -> bool:
    """Take a batch from a worker that is gone and queue what it left undone.

    Returns False if somebody else already did, or nothing was left. What the worker
    still does afterwards is refused, because its token is no longer on the rows.
    Call `dispatch` afterwards.
    """
    if not batch.next_attempt(batch.attempt):
        return False
    for render in batch.renders.running():
        render.give_back(reason)
    if not batch.renders.queued().exists():
        move(batch, Q(), over=True)
        return False
    return True


def reap() -> int:
    """Reconcile rows, files and queue; returns how many batches were queued again.

    A batch is taken back when its lease ran out (dead worker, dead host), and sent
    again when it was sent but no job carries it (lost broker, killed web process).
    What cancelled or killed renders left behind is taken away.
    """
    again = 0
    now = timezone.now()
    for batch in Batch.objects.unfinished().filter(lease_until__lt=now):
        again += abandon(batch, "Its worker stopped answering.")
    again += _gather_strays()
    Batch.objects.unfinished().filter(lease_until=None).exclude(
        Exists(Render.objects.unfinished().filter(batch=OuterRef("pk")))
    ).update(over=True)
    try:
        for batch in jobs.lost(Batch.objects.sent(), at_work=_has_just_begun):
            again += abandon(batch, "The queue had lost it.")
        forget_old_jobs(now)
        end_lost()
        fetching.end_lost()
    except jobs.AWAY:
        log.warning("The broker is away; what it held waits for it.")
    for render in Render.objects.untidy():
        render.tidy()
    dispatch()
    return again


@transaction.atomic
def _gather_strays() -> int:
    """Put renders that no open batch will paint into batches of their own.

    Returns how many batches that makes.

    A worker that has just lost its batch and does not know it may start one more row,
    which then runs under a token that nobody renews.
    """
    strays = Render.objects.unfinished().filter(
        Q(batch=None)
        | Q(batch__over=True)
        | Q(status=Render.Status.RUNNING) & ~Q(token=F("batch__token"))
    )
    queued = []
    for render in strays.select_related("experiment"):
        if render.status == Render.Status.RUNNING:
            render.give_back("Its worker had lost the batch.")
        if render.status == Render.Status.QUEUED:
            queued.append(render)
    return put_into_batches(queued)


def _has_just_begun(job: Job, now: dt.datetime) -> bool:
    """Return whether its worker may not have had the time to claim the batch."""
    begun = (job.started_at or now).replace(tzinfo=dt.UTC)
    return now - begun < 3 * (lease_end() - now)


def forget_old_jobs(now: dt.datetime) -> None:
    """Take jobs out of the broker whose batch is over or has a newer attempt.

    A batch that has just ended is left to the worker that ended it.
    """
    for name in RENDER_QUEUES:
        found = {
            job_id: (int(parts["pk"]), int(parts["attempt"]))
            for job_id in jobs.present(name)
            if (parts := JOB_ID.fullmatch(job_id))
        }
        current = set(
            Batch.objects.filter(pk__in=[pk for pk, _ in found.values()])
            .filter(Q(over=False) | Q(lease_until__gt=now))
            .values_list("pk", "attempt")
        )
        jobs.discard(name, [it for it, key in found.items() if key not in current])
