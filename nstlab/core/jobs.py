"""The life of a job: sent after the commit, looked for, and taken out of the broker.

A database row is the truth of the work to be done; a job of the same id only brings it
to a worker. So a job that is lost, sent twice or delivered late is no harm: whoever
owns the row decides what becomes of it. All that NSTLab asks of RQ about jobs and
workers is asked here, except what a worker does while it works (`nstlab.core.workers`).
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from django.db import transaction
from django.utils import timezone
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from nstlab.core import broker

log = logging.getLogger(__name__)

# What is raised where the broker cannot be reached.
AWAY = (RedisError, OSError)
# How long the broker keeps a job that ended well, and one that crashed.
RESULT_SECONDS = 3600
FAILURE_SECONDS = 7 * 24 * 3600
# A worker gives a sign of the job at hand every half minute.
SILENCE = dt.timedelta(minutes=3)


class Carried(Protocol):
    """A row whose work is brought to a worker by a job."""

    @property
    def queue(self) -> str: ...

    @property
    def job_id(self) -> str: ...


Row = TypeVar("Row", bound=Carried)


@dataclass(frozen=True)
class Order:
    """A row's job as a worker gets it: to call `task`, a dotted name, with `args`, and
    to give up after `timeout` seconds. `description` is for people who look at queues.
    """

    row: Carried
    task: str
    args: tuple[int, ...]
    timeout: int
    description: str


def timeout_for(seconds: float) -> int:
    """The seconds that work may take which is expected to take so many."""
    return max(900, int(40 * seconds))


# Sending ----------------------------------------------------------------------


def send(orders: Sequence[Order]) -> bool:
    """Hand jobs to the broker, each queue's in this order; False if it is away.

    Call it when the rows are committed: a worker may begin at once.
    """
    try:
        for name in dict.fromkeys(order.row.queue for order in orders):
            queue = broker.queue(name)
            queue.enqueue_many(
                [
                    queue.prepare_data(
                        order.task,
                        args=order.args,
                        job_id=order.row.job_id,
                        timeout=order.timeout,
                        result_ttl=RESULT_SECONDS,
                        failure_ttl=FAILURE_SECONDS,
                        description=order.description,
                    )
                    for order in orders
                    if order.row.queue == name
                ]
            )
    except AWAY:
        ids = ", ".join(order.row.job_id for order in orders[:3])
        more = ", …" if len(orders) > 3 else ""
        log.warning("The broker is away: %s%s not sent.", ids, more)
        return False
    return True


def send_after_commit(
    order: Order, *, if_away: Callable[[], object] = lambda: None
) -> None:
    """Send one job when the transaction at hand is committed, or now outside of any.

    `if_away` is called instead where the broker is away.
    """
    transaction.on_commit(partial(_send_or, order, if_away))


def _send_or(order: Order, if_away: Callable[[], object]) -> None:
    if not send([order]):
        if_away()


# Looking for them -------------------------------------------------------------


def gives_signs(job: Job, now: dt.datetime) -> bool:
    """Return whether the worker that has begun a job still gives signs of life."""
    seen = job.last_heartbeat or job.started_at or now
    return now - seen.replace(tzinfo=dt.UTC) < SILENCE


def lost(
    rows: Collection[Row],
    *,
    at_work: Callable[[Job, dt.datetime], bool] = gives_signs,
) -> list[Row]:
    """The rows whose work no job will bring to a worker any more.

    A job will if it waits in its queue, or if a worker has begun it and is `at_work`.
    One that is taken from the queue this very moment may look lost: let the row decide,
    by its attempt or its age. Raises one of AWAY.
    """
    found: list[Row] = []
    now = timezone.now()
    for name in {row.queue for row in rows}:
        queue = broker.queue(name)
        mine = [row for row in rows if row.queue == name]
        waiting = {*queue.job_ids, *queue.intermediate_queue.get_job_ids()}
        jobs = Job.fetch_many(
            [row.job_id for row in mine],
            connection=queue.connection,
            serializer=queue.serializer,
        )
        for row, job in zip(mine, jobs, strict=True):
            if job is None or not (
                job.id in waiting
                or (
                    job.get_status(refresh=False) == JobStatus.STARTED
                    and at_work(job, now)
                )
            ):
                found.append(row)
    return found


def workers_by_queue(queues: Iterable[str]) -> dict[str, int] | None:
    """The number of workers of each queue; None while the broker is away."""
    try:
        return {name: Worker.count(queue=broker.queue(name)) for name in queues}
    except AWAY:
        return None


def workers_of(queue: str) -> int:
    """The number of workers of a queue; 0 also while the broker is away."""
    return (workers_by_queue([queue]) or {}).get(queue, 0)


# Taking them out --------------------------------------------------------------


def present(queue: str) -> set[str]:
    """Ids of the jobs that wait in a queue or are listed as begun. Raises one of AWAY.

    RQ lists the job of a killed worker as begun until its own, long lease is over.
    """
    held = broker.queue(queue)
    return {*held.job_ids, *_executions(held)}


def discard(queue: str, job_ids: Iterable[str]) -> None:
    """Take jobs out of the broker, wherever it lists them. Raises one of AWAY."""
    held = broker.queue(queue)
    executions = _executions(held)
    for job_id in job_ids:
        if job_id in executions:
            held.connection.zrem(held.started_job_registry.key, executions[job_id])
        held.remove(job_id)
        with suppress(NoSuchJobError):
            Job.fetch(
                job_id, connection=held.connection, serializer=held.serializer
            ).delete()


def _executions(queue: Queue) -> dict[str, str]:
    """The entries in the registry of begun jobs, by the jobs' ids."""
    begun = queue.started_job_registry.get_job_and_execution_ids(cleanup=False)
    return {job_id: f"{job_id}:{execution}" for job_id, execution in begun}
