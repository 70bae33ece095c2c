from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django_rq
import pytest
from rq.job import Job

from generation.engine.grid import ImpossibleGrid
from generation.models import Batch, Render
from generation.queueing.batches import queue_experiment, retry_renders
from generation.queueing.dispatch import RENDER_QUEUES
from generation.queueing.reap import reap
from tests.conftest import put_on_wall

pytestmark = [pytest.mark.broker, pytest.mark.django_db]


def jobs() -> list[str]:
    return [it for name in RENDER_QUEUES for it in django_rq.get_queue(name).job_ids]


def test_it_queues_every_cell_once(
    experiment: Any, queues: None, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        queued = queue_experiment(experiment)
    assert (queued.new, queued.total) == (2, 2)
    assert jobs() == [batch.job_id for batch in Batch.objects.all()]
    assert set(experiment.renders.values_list("status", flat=True)) == {"queued"}


def test_asking_again_queues_nothing(
    experiment: Any, queues: None, django_capture_on_commit_callbacks: Any
) -> None:
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            queued = queue_experiment(experiment)
    assert (queued.new, queued.batches) == (0, 0)
    assert len(jobs()) == 1
    assert Render.objects.count() == 2


def test_a_new_level_adds_only_its_own_renders(
    experiment: Any, queues: None, django_capture_on_commit_callbacks: Any
) -> None:
    queue_experiment(experiment)
    experiment.tv_weight = [0.0, 1.0]
    assert queue_experiment(experiment).new == 2
    assert Render.objects.count() == 4


def test_nothing_reaches_the_queue_before_the_commit(
    experiment: Any, queues: None, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks() as waiting:
        queue_experiment(experiment)
    assert jobs() == []
    assert len(waiting) == 1


def test_the_queue_carries_json_and_only_keys(
    experiment: Any, queues: None, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        queue_experiment(experiment)
    batch = Batch.objects.get()
    queue = django_rq.get_queue(batch.queue)
    job = Job.fetch(batch.job_id, queue.connection, serializer=queue.serializer)
    assert job.args == [batch.pk, 1]
    assert queue.connection.hget(job.key, "data")[:1] != b"\x80", "pickle's first byte"


def test_an_impossible_grid_writes_nothing(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    experiment = make_experiment(alpha_beta=[])
    with pytest.raises(ImpossibleGrid):
        queue_experiment(experiment)
    assert not Render.objects.exists()


def test_renders_of_two_methods_are_in_batches_of_their_own(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    experiment = make_experiment(alpha_beta=[0.01, 0.1, 1.0])
    queue_experiment(experiment)
    Render.objects.update(status="failed")
    one = experiment.renders.order_by("pk")[1]
    Render.objects.filter(pk=one.pk).update(method="another")
    assert retry_renders(Render.objects.all()) == 3
    assert [it.method for it in Batch.objects.get(renders=one).renders.all()] == [
        "another"
    ]


def test_a_grid_whose_renders_are_long_gets_more_batches(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    experiment = make_experiment(size=300, evaluations=40)  # about 37 s each
    assert queue_experiment(experiment).batches == 2


def test_a_broker_that_is_away_loses_nothing(
    experiment: Any,
    monkeypatch: pytest.MonkeyPatch,
    queues: None,
    django_capture_on_commit_callbacks: Any,
) -> None:
    from django_rq import settings as rq_settings

    with monkeypatch.context() as away:
        for name in RENDER_QUEUES:
            away.setitem(rq_settings.QUEUES, name, {"URL": "redis://127.0.0.1:1/0"})
        with django_capture_on_commit_callbacks(execute=True):
            queue_experiment(experiment)
    assert experiment.renders.filter(status="queued").count() == 2
    assert jobs() == []
    reap()
    assert jobs() == [Batch.objects.get().job_id]


def test_retry_queues_what_ended_without_a_picture(
    experiment: Any, queues: None, django_capture_on_commit_callbacks: Any
) -> None:
    queue_experiment(experiment)
    first, second = experiment.renders.all()
    assert first.cancel()
    with django_capture_on_commit_callbacks(execute=True):
        assert retry_renders(Render.objects.all()) == 1
    first.refresh_from_db()
    assert first.status == Render.Status.QUEUED
    assert first.batch_id != second.batch_id
    assert jobs() == [second.batch.job_id, first.batch.job_id]


# Across experiments -----------------------------------------------------------


def test_a_finished_picture_is_taken_linked_and_credited(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    first = put_on_wall(make_experiment())
    second = make_experiment(name="Again", alpha_beta=[0.1, 0.5], reuse=True)
    queued = queue_experiment(second)
    assert (queued.new, queued.reused, queued.batches) == (2, 1, 1)
    taken = second.renders.get(alpha=0.1)
    assert taken.status == Render.Status.DONE
    assert taken.reused_from == first[1]
    first[1].refresh_from_db()
    assert taken.picture == first[1].picture
    assert taken.pixel_sha256 == first[1].pixel_sha256
    assert second.renders.get(alpha=0.5).status == Render.Status.QUEUED
    third = make_experiment(name="Thrice", alpha_beta=[0.1], reuse=True)
    queue_experiment(third)
    assert third.renders.get().reused_from == first[1], "the one that painted it"


def test_asked_to_it_paints_again(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    put_on_wall(make_experiment())
    queued = queue_experiment(make_experiment(name="Again", reuse=False))
    assert (queued.new, queued.reused) == (2, 0)


def test_what_is_not_finished_is_not_taken(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    queue_experiment(make_experiment())
    assert queue_experiment(make_experiment(name="Again", reuse=True)).reused == 0
