"""What a Prometheus scrapes, read back by the rules of its text format."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from generation.models import Batch
from generation.queueing.batches import queue_experiment
from survey.client import InProcess, take_part

# A name, labels in braces and a number; comments tell the type.
SAMPLE = re.compile(
    r'([a-z_]+)((?:\{[a-z]+="[a-z-]+"(?:,[a-z]+="[a-z-]+")*\})?) (-?[0-9.e+]+)'
)


def read(text: str) -> dict[str, float]:
    """Samples by name and labels; fails on what Prometheus would not read."""
    samples: dict[str, float] = {}
    typed = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert kind == "gauge"
            typed.add(name)
        elif not line.startswith("# HELP "):
            found = SAMPLE.fullmatch(line)
            assert found, line
            assert found[1] in typed, line
            assert found[1] + found[2] not in samples, line
            samples[found[1] + found[2]] = float(found[3])
    assert text.endswith("\n")
    return samples


@pytest.fixture
def scrape(client: Any, db: None) -> Any:
    def scrape() -> dict[str, float]:
        with override_settings(NSTLAB_METRICS_TOKEN="open sesame"):
            response = client.get(
                "/metrics", headers={"authorization": "Bearer open sesame"}
            )
        assert response.status_code == 200
        assert response["Content-Type"].startswith("text/plain; version=0.0.4")
        return read(response.content.decode())

    return scrape


@pytest.mark.broker
def test_it_counts_renders_queues_and_workers(
    scrape: Any, queues: None, experiment: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        queue_experiment(experiment)
    Batch.objects.update(created_at=timezone.now() - dt.timedelta(minutes=5))
    first = experiment.renders.first()
    first.begin(token=uuid.uuid4(), worker="test")
    Batch.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    found = scrape()
    assert found['nstlab_renders{status="queued"}'] == 1
    assert found['nstlab_renders{status="running"}'] == 1
    assert found['nstlab_renders{status="done"}'] == 0
    assert found["nstlab_silent_batches"] == 1
    assert 300 <= found["nstlab_oldest_queued_render_seconds"] < 400
    for part in ("database", "broker", "storage"):
        assert found[f'nstlab_up{{part="{part}"}}'] == 1
    jobs = {name: found[f'nstlab_queue_jobs{{queue="{name}"}}']
            for name in settings.RQ_QUEUES}  # fmt: skip
    assert sum(jobs.values()) == 1
    assert found['nstlab_workers{queue="render"}'] == 0
    assert found["nstlab_pictures_free_bytes"] > 0


@pytest.mark.broker
def test_it_counts_people_and_their_ratings(
    scrape: Any, queues: None, study: Any
) -> None:
    page = study.get_absolute_url()
    take_part(InProcess(), page, choose=lambda code: 4, most_trials=1)
    found = scrape()
    assert found["nstlab_ratings"] == 1
    assert found['nstlab_participants{status="started"}'] == 1
    assert found['nstlab_participants{status="withdrawn"}'] == 0


def test_a_broker_that_is_away_is_a_metric_too(scrape: Any) -> None:
    with override_settings(BROKER={"URL": "redis://127.0.0.1:1/0"}):
        found = scrape()
    assert found['nstlab_up{part="broker"}'] == 0
    assert found['nstlab_renders{status="queued"}'] == 0
    assert not any(name.startswith("nstlab_queue_jobs") for name in found)


@pytest.mark.parametrize("sent", ["", "Bearer wrong", "Bearer ", "Basic b3Blbg=="])
@pytest.mark.parametrize("token", ["", "open sesame"])
def test_strangers_are_refused(client: Any, db: None, sent: str, token: str) -> None:
    with override_settings(NSTLAB_METRICS_TOKEN=token):
        response = client.get("/metrics", headers={"authorization": sent})
    assert response.status_code == 401
    assert "nstlab_renders" not in response.content.decode()


@pytest.mark.broker
def test_staff_may_look(logged_in: Any, queues: None) -> None:
    assert "nstlab_renders" in logged_in.get("/metrics").content.decode()
