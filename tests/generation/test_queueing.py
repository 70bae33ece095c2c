from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django_rq
import pytest
from rq.job import Job

from generation.grid import ImpossibleGrid
from generation.models import Batch, Render
from generation.services import queue_experiment, retry_renders

pytestmark = [pytest.mark.broker, pytest.mark.django_db]


def jobs() -> list[str]:
    return list(django_rq.get_queue("render").job_ids)


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
    experiment.tv_weights = [0.0, 1.0]
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
    queue = django_rq.get_queue("render")
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


def test_a_grid_whose_renders_are_long_gets_more_batches(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    experiment = make_experiment(size=300, evaluations=40)  # about 37 s each
    assert queue_experiment(experiment).batches == 2


def test_a_broker_that_is_away_loses_nothing(
    experiment: Any,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    from django_rq import settings as rq_settings

    monkeypatch.setitem(rq_settings.QUEUES, "render", {"URL": "redis://127.0.0.1:1/0"})
    with django_capture_on_commit_callbacks(execute=True):
        queue_experiment(experiment)
    assert experiment.renders.filter(status="queued").count() == 2


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
    assert jobs() == [first.batch.job_id]
