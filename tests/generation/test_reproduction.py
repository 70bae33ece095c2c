"""Painting a done render once more: what came out is said, the picture stays."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable
from typing import Any

import django_rq
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from django_rq import settings as rq_settings
from PIL import Image
from rq.job import JobStatus

from generation.models import Batch, Experiment, Render, Reproduction
from generation.queueing.batches import queue_experiment
from generation.queueing.reap import reap
from generation.queueing.reproduction import BROKER_IS_AWAY, LOST, reproduce
from generation.queueing.tasks import render_batch, reproduce_render

pytestmark = [pytest.mark.broker, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def painted(make_experiment: Callable[..., Any], queues: None) -> Render:
    """A render that the engine has painted."""
    experiment = make_experiment(alpha_beta=[0.01])
    queue_experiment(experiment)
    render_batch(Batch.objects.get().pk, 1)
    render: Render = experiment.renders.get()
    assert render.status == Render.Status.DONE
    return render


def address(render: Render) -> str:
    experiment = f"/admin/generation/experiment/{render.experiment_id}"
    return f"{experiment}/again/{render.pk}/"


def page_of(logged_in: Client, render: Render) -> str:
    answer = logged_in.get(f"/admin/generation/render/{render.pk}/change/")
    return " ".join(answer.content.decode().split())


def test_from_the_renders_page_the_same_picture_comes_out(
    logged_in: Client, painted: Render
) -> None:
    before = Render.objects.values().get()
    assert "Paint again and compare" in page_of(logged_in, painted)
    page = logged_in.post(address(painted), follow=True)
    assert page.redirect_chain[0][0].endswith(f"/render/{painted.pk}/change/")
    text = " ".join(page.content.decode().split())
    assert "Waits to be painted again" in text
    assert f'hx-get="{address(painted)}"' in text
    assert "Paint again and compare" not in text
    row = painted.reproductions.get()
    assert row.job_id in django_rq.get_queue("render").job_ids

    assert reproduce_render(row.pk) == "compared"
    row.refresh_from_db()
    assert row.pixel_sha256 == painted.pixel_sha256
    assert (row.differing, row.farthest, row.differences) == (0, 0, [])
    fragment = logged_in.get(address(painted)).content.decode()
    assert "the same picture, pixel for pixel" in fragment
    assert "in the same environment" in fragment
    assert "hx-get" not in fragment
    assert Render.objects.values().get() == before
    history = logged_in.get(
        f"/admin/generation/experiment/{painted.experiment_id}/history/"
    ).content.decode()
    assert "1 render painted to compare." in history


def test_another_picture_is_told_by_how_much_and_why(
    logged_in: Client, painted: Render
) -> None:
    with default_storage.open(painted.picture.name) as file:
        picture = Image.open(io.BytesIO(file.read())).convert("RGB")
    for x in range(8):  # of 32 × 32 pixels
        red, green, blue = picture.getpixel((x, 5))
        picture.putpixel((x, 5), (red, (green + 128) % 256, blue))
    data = io.BytesIO()
    picture.save(data, "PNG")
    name = default_storage.save("render/other.png", ContentFile(data.getvalue()))
    Render.objects.update(
        picture=name,
        pixel_sha256="0" * 64,
        environment={**painted.environment, "torch": "1.0"},
    )
    painted.refresh_from_db()
    assert reproduce(painted)
    reproduce_render(painted.reproductions.get().pk)
    text = page_of(logged_in, painted)
    assert "<strong>another picture</strong>; 0.8 % of the pixels differ" in text
    assert "by at most 128 of 255. Other than then: torch: 1.0 then, " in text
    painted.refresh_from_db()
    assert painted.picture.name == name


def test_one_at_a_time_and_delivered_twice_it_is_painted_once(painted: Render) -> None:
    assert reproduce(painted)
    assert not reproduce(painted)
    with pytest.raises(IntegrityError), transaction.atomic():
        Reproduction.objects.create(render=painted)
    row = painted.reproductions.get()
    assert reproduce_render(row.pk) == "compared"
    ended = Reproduction.objects.values().get()
    assert reproduce_render(row.pk) == "not ours"
    assert not row.fail("Too late.")
    assert Reproduction.objects.values().get() == ended
    assert reproduce(painted)


def test_what_is_not_done_is_not_painted_to_compare(
    logged_in: Client, painted: Render
) -> None:
    Render.objects.update(status="failed", reason="Too hot.")
    painted.refresh_from_db()
    assert not reproduce(painted)
    said = logged_in.post(address(painted), follow=True).content.decode()
    assert "no picture yet to compare with" in said
    assert not Reproduction.objects.exists()


def test_a_broker_that_is_away_and_a_queue_that_lost_it_are_said(
    painted: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setitem(rq_settings.QUEUES, "render", {"URL": "redis://127.0.0.1:1/0"})
        assert reproduce(painted)
    assert painted.reproductions.get().reason == BROKER_IS_AWAY
    assert reproduce(painted)
    django_rq.get_connection("render").flushdb()
    waiting = painted.reproductions.filter(ended_at=None)
    reap()
    assert waiting.exists(), "its job may be on its way"
    waiting.update(asked_at=timezone.now() - dt.timedelta(minutes=2))
    reap()
    assert painted.reproductions.first().reason == LOST
    assert reproduce(painted)
    painted.reproductions.update(asked_at=timezone.now() - dt.timedelta(minutes=2))
    reap()
    assert waiting.exists(), "it only has to wait long"
    queue = django_rq.get_queue("render")
    job = queue.fetch_job(waiting.get().job_id)
    queue.remove(job)  # as a worker that is killed while it takes it
    reap()
    assert not waiting.exists()


def test_a_worker_that_falls_silent_ends_it(painted: Render) -> None:
    assert reproduce(painted)
    row = painted.reproductions.get()
    Reproduction.objects.update(asked_at=timezone.now() - dt.timedelta(hours=1))
    queue = django_rq.get_queue("render")
    job = queue.fetch_job(row.job_id)
    queue.remove(job)
    job.set_status(JobStatus.STARTED)
    now = dt.datetime.now(dt.UTC)
    job.heartbeat(now, 600)
    reap()
    assert painted.reproductions.filter(ended_at=None).exists()
    job.heartbeat(now - dt.timedelta(minutes=4), 600)
    reap()
    assert painted.reproductions.get().reason == LOST


def test_it_can_be_stopped_and_says_when_nobody_is_there_to_paint(
    logged_in: Client, painted: Render
) -> None:
    assert reproduce(painted)
    assert "no worker is there to paint" in page_of(logged_in, painted)
    row = painted.reproductions.get()
    logged_in.post(address(painted), {"stop": row.pk})
    assert "nothing to compare. It was stopped." in page_of(logged_in, painted)
    assert reproduce_render(row.pk) == "not ours"


def test_what_was_compared_with_a_lost_picture_is_forgotten(painted: Render) -> None:
    assert reproduce(painted)
    reproduce_render(painted.reproductions.get().pk)
    assert painted.lose_picture(painted.picture.name)
    assert not Reproduction.objects.exists()


def test_a_picture_or_a_source_whose_file_is_gone_is_said(painted: Render) -> None:
    assert reproduce(painted)
    default_storage.delete(painted.content.picture.name)
    row = painted.reproductions.get()
    assert reproduce_render(row.pk) == "nothing to compare"
    row.refresh_from_db()
    assert row.reason.startswith("A file is gone")


def test_what_the_engine_refuses_is_said(logged_in: Client, painted: Render) -> None:
    Render.objects.update(settings={**painted.settings, "weights": "file:" + "0" * 64})
    assert reproduce(painted)
    reproduce_render(painted.reproductions.get().pk)
    assert "nothing to compare. " in page_of(logged_in, painted)
    assert "manage.py weights add FILE" in page_of(logged_in, painted)


def test_who_may_only_look_reads_it_and_cannot_ask(
    client: Client, painted: Render, make_account: Callable[..., Any]
) -> None:
    experiment: Experiment = painted.experiment
    observer = make_account("olga", "Observer")
    experiment.shared_with.add(observer)
    reproduce(painted)
    reproduce_render(painted.reproductions.get().pk)
    client.force_login(observer)
    assert "pixel for pixel" in page_of(client, painted)
    assert "Paint again and compare" not in page_of(client, painted)
    assert client.post(address(painted)).status_code == 403
    other = address(painted).replace(f"/{painted.pk}/", "/999999/")
    assert client.get(other).status_code == 404
