"""What reaches the broker and in which order, and that nothing is left lying."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import django_rq
import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from rq import Worker

from generation.models import Batch, Render
from generation.queueing.batches import queue_experiment, retry_renders
from generation.queueing.dispatch import RENDER_QUEUES, dispatch
from generation.queueing.reap import forget_old_jobs, reap

pytestmark = [pytest.mark.broker, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def grid_of(
    make_experiment: Callable[..., Any], queues: None, settings: Any
) -> Callable[..., Any]:
    """A factory of queued grids of one render a batch, by the name of their owner."""
    settings.NSTLAB_BATCH_SECONDS = 0

    def make(owner: str, renders: int) -> Any:
        users = get_user_model().objects
        experiment = make_experiment(
            name=f"{owner}, {renders} renders",
            owner=users.filter(username=owner).first() or users.create_user(owner),
            alpha_beta=[(n + 1) / 1000 for n in range(renders)],
        )
        queue_experiment(experiment)
        return experiment

    return make


def jobs(name: str = "render") -> list[str]:
    return list(django_rq.get_queue(name).job_ids)


def work_off(name: str) -> str:
    """Do as a worker does with the first job in line; whose it was."""
    queue = django_rq.get_queue(name)
    _, pk, attempt = queue.pop_job_id().split("-")
    batch, token = Batch.objects.get(pk=pk), uuid.uuid4()
    assert batch.claim(attempt=int(attempt), token=token)
    for render in batch.renders.all():
        render.begin(token=token, worker="test")
        render.refuse(token=token, reason="A test.")
    batch.release(token)
    dispatch()
    return str(batch.experiment.owner)


def test_two_researchers_are_served_by_turns_however_much_the_first_queued(
    grid_of: Callable[..., Any],
) -> None:
    grid_of("ada", 40)
    in_line = len(jobs())
    assert 2 <= in_line < 10, "a few of them, not all"
    grid_of("bob", 8)
    order = [work_off("render") for _ in range(in_line + 16)]
    assert order[:in_line] == ["ada"] * in_line
    assert order[in_line : in_line + 8].count("bob") >= 4
    assert order[in_line:].count("bob") == 8


def test_a_small_order_has_the_queue_that_workers_empty_first(
    grid_of: Callable[..., Any], queues: None
) -> None:
    from nstlab.management.commands.rqworker import OVERTAKING

    grid_of("ada", 40)
    small = grid_of("bob", 4)
    again = grid_of("cyd", 5)
    assert jobs("render-high") == [it.job_id for it in small.batches.order_by("pk")]
    first = again.renders.first()
    first.cancel()
    retry_renders(again.renders.filter(pk=first.pk))
    first.refresh_from_db()
    assert jobs("render-high")[-1] == first.batch.job_id
    assert (*OVERTAKING["render"], "render") == RENDER_QUEUES


def test_more_workers_get_more(grid_of: Callable[..., Any]) -> None:
    grid_of("ada", 40)
    before = len(jobs())
    queue = django_rq.get_queue("render")
    workers = [Worker([queue], connection=queue.connection) for _ in range(5)]
    for worker in workers:
        worker.register_birth()
    dispatch()
    assert len(jobs()) == before + 10
    for worker in workers:
        worker.register_death()


def test_a_broker_that_lost_everything_is_filled_by_turns_and_all_is_painted(
    grid_of: Callable[..., Any],
) -> None:
    grid_of("ada", 12)
    grid_of("bob", 12)
    django_rq.get_connection("render").flushdb()
    assert reap() > 0
    assert [work_off("render") for _ in range(4)] == ["ada", "bob", "ada", "bob"]
    while jobs():
        work_off("render")
    assert not Render.objects.unfinished().exists()
    assert not Batch.objects.filter(over=False).exists()


def test_a_job_that_a_worker_took_and_never_began_is_sent_again(
    grid_of: Callable[..., Any],
) -> None:
    grid_of("ada", 1)
    queue = django_rq.get_queue("render-high")
    taken = queue.pop_job_id()  # and the worker is killed
    assert reap() == 1
    assert jobs("render-high") == [f"{taken[:-1]}2"]


def test_cancelled_batches_are_closed_without_a_worker(
    grid_of: Callable[..., Any],
) -> None:
    experiment = grid_of("ada", 20)
    experiment.renders.all().cancel()
    reap()
    assert not Batch.objects.filter(over=False).exists()
    assert jobs() == []


def test_a_row_started_by_a_worker_that_had_lost_its_batch_is_painted_after_all(
    grid_of: Callable[..., Any],
) -> None:
    experiment = grid_of("ada", 1)
    batch, zombie = experiment.batches.get(), uuid.uuid4()
    assert batch.claim(attempt=1, token=zombie)
    Batch.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    assert reap() == 1
    render = experiment.renders.get()
    assert render.begin(token=zombie, worker="does not know it yet")
    assert reap() == 1
    work_off("render-high")
    render.refresh_from_db()
    assert (render.status, render.reason) == ("refused", "A test.")
    reap()
    assert not Batch.objects.filter(over=False).exists()


def test_jobs_of_dead_workers_do_not_stay_started(grid_of: Callable[..., Any]) -> None:
    from rq.job import Job

    experiment = grid_of("ada", 1)
    queue = django_rq.get_queue("render-high")
    worker = Worker([queue], connection=queue.connection)
    job = Job.fetch(
        queue.pop_job_id(), connection=queue.connection, serializer=queue.serializer
    )
    worker.prepare_execution(job)
    registry = queue.started_job_registry
    assert registry.get_job_ids() == [job.id]
    batch = experiment.batches.get()
    batch.claim(attempt=1, token=uuid.uuid4())
    forget_old_jobs(timezone.now())
    assert registry.get_job_ids() == [job.id], "it is at work"
    Batch.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    reap()
    assert registry.get_job_ids() == []
    assert jobs("render-high") == [experiment.batches.get().job_id]


def test_queueing_twice_at_once_makes_every_render_once(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    import threading

    from django.db import connection

    experiment = make_experiment(alpha_beta=[(n + 1) / 100 for n in range(30)])
    together = threading.Barrier(3)
    new: list[int] = []

    def queue() -> None:
        together.wait()
        new.append(queue_experiment(experiment).new)
        connection.close()

    threads = [threading.Thread(target=queue) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == [0, 0, 30]
    assert experiment.renders.count() == 30
