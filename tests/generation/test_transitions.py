"""A render's row owns its state; each transition names the state it leaves."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction

from generation.models import Batch, Render
from generation.queueing.batches import queue_experiment
from generation.queueing.reap import abandon
from tests.conftest import png

pytestmark = pytest.mark.django_db


@pytest.fixture
def render(experiment: Any) -> Render:
    queue_experiment(experiment)
    return experiment.renders.first()


def finish(render: Render, token: uuid.UUID) -> bool:
    return render.finish(
        token=token, png=png(), pixel_sha256="0" * 64, curve=[], environment={},
        seconds=1.0,
    )  # fmt: skip


def test_a_render_is_started_by_one_worker_only(render: Render) -> None:
    assert render.begin(token=uuid.uuid4(), worker="a")
    twin = Render.objects.get(pk=render.pk)
    assert not twin.begin(token=uuid.uuid4(), worker="b")
    twin.refresh_from_db()
    assert twin.worker == "a"


def test_it_is_finished_only_under_its_own_token(render: Render) -> None:
    token = uuid.uuid4()
    render.begin(token=token, worker="a")
    before = set(default_storage.listdir("")[0])
    assert not finish(render, uuid.uuid4())
    render.refresh_from_db()
    assert render.status == Render.Status.RUNNING
    assert finish(render, token)
    assert before <= set(default_storage.listdir("")[0])


def test_a_picture_that_comes_too_late_leaves_no_file(render: Render) -> None:
    token = uuid.uuid4()
    render.begin(token=token, worker="a")
    render.cancel()

    def count() -> int:
        try:
            return len(default_storage.listdir("render")[1])
        except FileNotFoundError:
            return 0

    before = count()
    assert not finish(render, token)
    assert count() == before
    render.refresh_from_db()
    assert (render.status, render.picture.name) == ("cancelled", "")


@pytest.mark.parametrize("end", ["fail", "refuse"])
def test_an_ended_render_stays_ended(render: Render, end: str) -> None:
    token = uuid.uuid4()
    render.begin(token=token, worker="a")
    assert getattr(render, end)(token=token, reason="Because.")
    assert not render.begin(token=uuid.uuid4(), worker="b")
    assert not finish(render, token)
    assert not render.cancel()
    render.refresh_from_db()
    assert render.reason == "Because."


def test_a_done_render_cannot_be_cancelled_or_retried(render: Render) -> None:
    token = uuid.uuid4()
    render.begin(token=token, worker="a")
    finish(render, token)
    assert not render.cancel()
    assert not render.retry()


def test_progress_of_a_cancelled_render_is_refused(render: Render) -> None:
    token = uuid.uuid4()
    render.begin(token=token, worker="a")
    assert render.show_progress(token=token, progress={"evaluations": 1})
    render.cancel()
    assert not render.show_progress(token=token, progress={"evaluations": 2})


def test_the_database_knows_that_done_means_a_picture(render: Render) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Render.objects.filter(pk=render.pk).update(status="done")


def test_a_batch_is_claimed_once_per_attempt(render: Render) -> None:
    batch = render.batch
    assert batch is not None
    assert not batch.claim(attempt=2, token=uuid.uuid4())
    assert batch.claim(attempt=1, token=uuid.uuid4())
    assert not batch.claim(attempt=1, token=uuid.uuid4())


def test_what_a_dead_worker_held_is_queued_again(render: Render) -> None:
    batch, token = render.batch, uuid.uuid4()
    assert batch is not None
    batch.claim(attempt=1, token=token)
    render.begin(token=token, worker="dead")
    batch.refresh_from_db()
    assert abandon(batch, "It died.")
    render.refresh_from_db()
    assert (render.status, render.reason) == ("queued", "It died.")
    assert Batch.objects.get(pk=batch.pk).attempt == 2
    assert not batch.renew(token)
    assert not finish(render, token), "the dead worker's picture must not count"


def test_two_who_notice_the_same_death_queue_it_once(render: Render) -> None:
    first = Batch.objects.get(pk=render.batch_id)
    second = Batch.objects.get(pk=render.batch_id)
    assert abandon(first, "Dead.")
    assert not abandon(second, "Dead.")
    assert Batch.objects.get(pk=first.pk).attempt == 2


def test_a_render_that_kills_its_workers_fails_in_the_end(
    render: Render, settings: Any
) -> None:
    settings.NSTLAB_MAX_ATTEMPTS = 2
    for _ in range(2):
        batch, token = Batch.objects.get(pk=render.batch_id), uuid.uuid4()
        batch.claim(attempt=batch.attempt, token=token)
        assert render.begin(token=token, worker="dies")
        batch.refresh_from_db()
        abandon(batch, "It was killed.")
    render.refresh_from_db()
    assert render.status == Render.Status.FAILED
    assert "attempt 2, the last" in render.reason
