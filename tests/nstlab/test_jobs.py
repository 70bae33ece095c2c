"""Jobs on their way: found or lost, and done although their task has a new name."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import django_rq
import pytest
from django.db import transaction
from django.db.models import F, Q
from django.utils.module_loading import import_string
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from generation.models import Batch, Render
from generation.queueing.batches import queue_experiment
from generation.queueing.reap import reap
from generation.queueing.reproduction import reproduce
from generation.queueing.tasks import reproduce_render
from nstlab.core import jobs, old_names
from nstlab.core.transitions import move
from nstlab.core.workers import give_new_name
from tests.conftest import put_on_wall

pytestmark = [pytest.mark.broker, pytest.mark.django_db(transaction=True)]


def under_its_old_name(job_id: str, queue: Any, old: str) -> Job:
    """A waiting job as the broker holds it since before its task was renamed."""
    job = Job.fetch(job_id, connection=queue.connection, serializer=queue.serializer)
    assert job.args, "read before they are written again"
    job.func_name = old
    job.save()
    return job


def test_what_was_queued_under_an_old_name_is_painted_and_not_failed(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    from generation.queueing.workers import RenderWorker

    experiment = make_experiment(alpha_beta=[0.01])
    queue_experiment(experiment)
    queue = django_rq.get_queue("render-high")
    batch = Batch.objects.get()
    under_its_old_name(batch.job_id, queue, "generation.tasks.render_batch")
    assert reap() == 0, "it is the batch's job still"
    worker = RenderWorker(
        [queue], connection=queue.connection, serializer=JSONSerializer
    )
    worker.work(burst=True, logging_level="ERROR")
    assert experiment.renders.get().status == "done"
    assert queue.failed_job_registry.count == 0


def test_a_reproduction_that_was_queued_under_an_old_name_keeps_its_job(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    (render,) = put_on_wall(make_experiment(alpha_beta=[0.01]))
    assert reproduce(Render.objects.get(pk=render.pk))
    row, queue = render.reproductions.get(), django_rq.get_queue("render")
    old = "generation.tasks.reproduce_render"
    give_new_name(under_its_old_name(row.job_id, queue, old))
    job = queue.fetch_job(row.job_id)
    assert job.func is reproduce_render
    assert job.args == [row.pk]


@pytest.mark.parametrize(
    "before",
    [
        "generation.tasks.render_batch",
        "generation.tasks.reproduce_render",
        "analysis.tasks.compute_report",
        "analysis.tasks.make_bundle",
    ],
)
def test_whatever_a_task_was_called_when_it_was_queued_there_is_a_function(
    before: str,
) -> None:
    """The names that waiting jobs may have since the program was first in use."""
    assert callable(import_string(old_names.TASKS.get(before, before)))


def test_a_job_that_is_no_json_does_not_stop_the_worker_that_looks_at_it(
    queues: None,
) -> None:
    strange = django_rq.get_queue("render").enqueue("os.getpid")
    pickled = b"\x80\x04K\x01."
    strange.connection.hset(strange.key, "data", pickled)
    strange.refresh()
    give_new_name(strange)
    assert strange.connection.hget(strange.key, "data") == pickled


def test_a_job_is_found_in_line_in_hand_and_at_work_and_else_is_lost(
    queues: None,
) -> None:
    row = SimpleNamespace(queue="report", job_id="thing-1")
    order = jobs.Order(row, task="os.getpid", args=(), timeout=9, description="")
    assert jobs.lost([row]) == [row]
    assert jobs.send([order])
    assert jobs.lost([row]) == []
    queue = django_rq.get_queue("report")
    job = queue.fetch_job("thing-1")
    assert (job.result_ttl, job.failure_ttl, job.timeout) == (3600, 7 * 24 * 3600, 9)
    # As a worker of one queue takes it: first into its hands, then it begins.
    queue.connection.lmove(queue.key, queue.intermediate_queue_key)
    assert jobs.lost([row]) == []
    queue.intermediate_queue.remove("thing-1")
    assert jobs.lost([row]) == [row], "its worker was killed before it began"
    job.set_status(JobStatus.STARTED)
    now = dt.datetime.now(dt.UTC)
    job.heartbeat(now, 600)
    assert jobs.lost([row]) == []
    job.heartbeat(now - dt.timedelta(minutes=4), 600)
    assert jobs.lost([row]) == [row]


def test_a_job_is_sent_when_its_row_is_committed_and_not_after_a_rollback(
    queues: None,
) -> None:
    row = SimpleNamespace(queue="report", job_id="thing-1")
    order = jobs.Order(row, task="os.getpid", args=(), timeout=9, description="")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        jobs.send_after_commit(order)
        raise ZeroDivisionError
    assert jobs.present("report") == set()
    with transaction.atomic():
        jobs.send_after_commit(order)
        assert jobs.present("report") == set()
    assert jobs.present("report") == {"thing-1"}
    jobs.discard("report", ["thing-1", "never-there"])
    assert jobs.lost([row]) == [row]


def test_of_two_that_move_a_row_one_does(
    make_experiment: Callable[..., Any],
) -> None:
    batch = Batch.objects.create(experiment=make_experiment())
    other = Batch.objects.get(pk=batch.pk)
    token = uuid.uuid4()
    assert move(batch, Q(token=None), token=token, attempt=F("attempt") + 1)
    assert not move(other, Q(token=None), token=uuid.uuid4())
    assert (batch.token, batch.attempt) == (token, 1), "what the database counts is old"
    assert other.token is None
    other.refresh_from_db()
    assert (other.token, other.attempt) == (token, 2)
    assert not Render.objects.exists()
