"""The page of the render hosts, and the trained network fetched by a worker of one."""

from __future__ import annotations

import datetime as dt
import platform
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django_rq
import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_rq import settings as rq_settings

from generation.models import WeightsAtHost, WeightsFetch
from generation.queueing import fetching, weights
from generation.queueing.fetching import fetch_weights
from generation.queueing.reap import reap
from generation.queueing.weights import tell_weights
from tests.engine import wheels
from tests.engine.test_fetching import index, nothing_is_left, until  # noqa: F401
from tests.engine.wheels import Index

pytestmark = [pytest.mark.broker, pytest.mark.django_db(transaction=True)]

PAGE = "/admin/generation/experiment/hosts/"
HERE = platform.node()


@pytest.fixture
def host(tmp_path: Path, settings: Any, queues: None) -> WeightsAtHost:
    """This machine, whose worker has told that it has nothing."""
    settings.NSTLAB_WEIGHTS = tmp_path / "weights"
    tell_weights()
    return WeightsAtHost.objects.get()


@pytest.fixture
def operator(client: Client, make_account: Callable[..., Any]) -> Client:
    client.force_login(make_account("oscar", "Operator"))
    return client


def page_of(client: Client) -> str:
    return " ".join(client.get(PAGE).content.decode().split())


def address(host: WeightsAtHost) -> str:
    return f"{PAGE}{host.pk}/"


def test_an_operator_has_the_network_fetched_by_the_hosts_worker(
    index: Index,  # noqa: F811
    host: WeightsAtHost,
    operator: Client,
) -> None:
    assert "Nothing but random weights" in page_of(operator)
    assert "Lacks ImageNet, original VGG training" in page_of(operator)
    assert "No render host has the trained network" in home_of(operator)
    assert operator.post(address(host)).status_code == 302
    row = WeightsFetch.objects.get()
    assert row.job_id in django_rq.get_queue("render-high").job_ids
    assert "Waits for its worker" in page_of(operator)
    assert "fetches them already" in after(operator.post(address(host), follow=True))
    assert index.asked == []  # not by the page
    said = LogEntry.objects.get()
    assert said.get_change_message() == "ImageNet's weights to be fetched."

    assert fetch_weights(row.pk, 1) == "fetched"
    row.refresh_from_db()
    assert row.ended_at and row.reason == ""
    assert row.here == row.total
    assert fetch_weights(row.pk, 1) == "not ours"
    host.refresh_from_db()
    file, name = sorted(host.weights)
    assert name.startswith("imagenet:") and file.startswith("file:")
    text = page_of(operator)
    assert "Lacks" not in text and name in text and "a test · CC0" in text
    assert "No render host has" not in home_of(operator)
    ready = operator.get("/health/ready").json()
    assert {*ready["weights"][HERE]} == {name, file}


def home_of(client: Client) -> str:
    return client.get("/admin/").content.decode()


def after(answer: Any) -> str:
    return str(answer.content.decode())


def test_nobody_else_may_have_it_fetched(
    host: WeightsAtHost, logged_in: Client, make_account: Callable[..., Any]
) -> None:
    text = page_of(logged_in)
    assert "An operator can have it fetched" in text
    assert "Fetch the trained network" not in text
    assert logged_in.post(address(host)).status_code == 403
    careless = Client(enforce_csrf_checks=True)
    careless.force_login(make_account("oscar", "Operator"))
    assert careless.post(address(host)).status_code == 403
    assert careless.get(address(host)).status_code == 405
    assert not WeightsFetch.objects.exists()


def test_for_a_host_without_a_worker_nothing_is_queued(
    host: WeightsAtHost, operator: Client
) -> None:
    long_ago = timezone.now() - dt.timedelta(hours=1)
    WeightsAtHost.objects.update(seen_at=long_ago)
    assert "Start a worker there" in page_of(operator)
    assert "Nothing was queued" in after(operator.post(address(host), follow=True))
    assert not WeightsFetch.objects.exists()
    assert django_rq.get_queue("render-high").job_ids == []


def test_why_nothing_came_is_said_and_it_can_be_asked_again(
    index: Index,  # noqa: F811
    host: WeightsAtHost,
    operator: Client,
) -> None:
    index.page = b"<html><body>Please log in.</body></html>"
    operator.post(address(host))
    assert fetch_weights(WeightsFetch.objects.get().pk, 1) == "not fetched"
    text = page_of(operator)
    assert "Not fetched: The ImageNet weights cannot be fetched" in text
    assert "Fetch the trained network" in text
    operator.post(address(host))
    index.page = None
    assert fetch_weights(WeightsFetch.objects.first().pk, 1) == "fetched"
    assert "Not fetched" not in page_of(operator)


def test_stopping_ends_it_at_the_worker_too(
    index: Index,  # noqa: F811
    host: WeightsAtHost,
    operator: Client,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "TICK_SECONDS", 0.1)
    index.go_on.clear()
    operator.post(address(host))
    row = WeightsFetch.objects.get()
    said: list[str] = []

    def work() -> None:
        said.append(fetch_weights(row.pk, 1))
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    until(lambda: index.asked[-1:] == [f"/files/{wheels.NAME}"])
    operator.post(address(host), {"stop": "1"})
    worker.join(30)
    assert said == ["stopped"]
    assert nothing_is_left(settings.NSTLAB_WEIGHTS)
    assert "Not fetched: It was stopped. Nothing was kept." in page_of(operator)
    messages = [each.get_change_message() for each in LogEntry.objects.all()]
    assert "Fetching ImageNet's weights stopped." in messages


def test_a_job_at_the_wrong_host_goes_round_to_its_own(
    host: WeightsAtHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "LEAVING_SECONDS", 0.0)
    WeightsAtHost.objects.tell("elsewhere", {})
    assert fetching.fetch(WeightsAtHost.objects.get(host="elsewhere"))
    row = WeightsFetch.objects.get()
    assert fetch_weights(row.pk, 1) == "left to its host"
    row.refresh_from_db()
    assert (row.attempt, row.begun_at, row.ended_at) == (2, None, None)
    # It overtakes no longer: this host's worker comes to its other jobs first.
    assert row.job_id in django_rq.get_queue("render").job_ids
    long_ago = timezone.now() - dt.timedelta(hours=1)
    WeightsAtHost.objects.filter(host="elsewhere").update(seen_at=long_ago)
    fetch_weights(row.pk, 2)
    row.refresh_from_db()
    assert row.reason == fetching.HOST_IS_GONE


def test_a_broker_that_is_away_and_a_queue_that_lost_it_are_said(
    host: WeightsAtHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        closed = {"URL": "redis://127.0.0.1:1/0"}
        away.setitem(rq_settings.QUEUES, "render-high", closed)
        assert fetching.fetch(host)
    assert WeightsFetch.objects.get().reason == fetching.BROKER_IS_AWAY
    assert fetching.fetch(host)
    assert not fetching.fetch(host)
    django_rq.get_connection("render").flushdb()
    reap()
    waiting = WeightsFetch.objects.filter(ended_at=None)
    assert waiting.exists(), "its job may be on its way"
    waiting.update(asked_at=timezone.now() - dt.timedelta(minutes=2))
    reap()
    assert WeightsFetch.objects.first().reason == fetching.LOST


def test_the_copy_that_other_hosts_have_is_fetched(host: WeightsAtHost) -> None:
    assert fetching.source() == ""
    told = {"network": "vgg16", "words": "in words"}
    values = fetching.IMAGENET_WHEEL.values_sha256
    WeightsAtHost.objects.tell("a", {f"imagenet:{'0' * 64}": told})
    assert fetching.source() == "torchvision"
    for name in ("b", "c"):
        WeightsAtHost.objects.tell(name, {f"imagenet:{values}": told})
    assert fetching.source() == "index"
