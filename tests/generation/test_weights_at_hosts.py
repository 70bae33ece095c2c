"""What hosts have: what `imagenet` becomes when renders are queued, who paints them."""

from __future__ import annotations

import datetime as dt
import platform
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from django.utils import timezone

from generation.engine.networks.kept import keep
from generation.engine.networks.weights import names_at_hand, state_dict
from generation.experiments.forecast import forecast
from generation.experiments.making import duplicate_experiment
from generation.models import Batch, Render, WeightsAtHost
from generation.models.weights_at_hosts import GONE_AFTER
from generation.queueing import weights
from generation.queueing.batches import queue_experiment
from generation.queueing.tasks import render_batch
from generation.queueing.weights import tell_again, tell_weights

pytestmark = pytest.mark.django_db

A, B = (f"imagenet:{digit * 64}" for digit in "ab")


def told(network: str = "vgg16") -> dict[str, str]:
    return {"network": network, "words": "in words"}


def tell(*names: str) -> None:
    """Hosts with one name each."""
    for number, name in enumerate(names):
        WeightsAtHost.objects.tell(f"host-{number}", {name: told()})


def gone(host: str) -> None:
    """No worker of a host has given a sign of life for long."""
    long_ago = timezone.now() - GONE_AFTER - dt.timedelta(seconds=1)
    WeightsAtHost.objects.filter(host=host).update(seen_at=long_ago)


def queued(experiment: Any) -> set[str]:
    queue_experiment(experiment)
    return set(experiment.renders.values_list("weights", flat=True))


def test_a_request_holds_the_values_that_most_hosts_have(make_experiment: Any) -> None:
    tell(B, A, A, f"file:{'c' * 64}")
    experiment = make_experiment(weights="imagenet")
    before = [cell.digest for cell in experiment.cells()]
    assert queued(experiment) == {A}
    assert experiment.weights == "imagenet"  # as it was asked for
    assert set(before) == set(experiment.renders.values_list("digest", flat=True))

    tell(B, B, B, A)  # the hosts changed; the experiment goes on as it began
    experiment.refresh_from_db()
    experiment.tv_weight = [0.0, 1.0]
    assert queued(experiment) == {A}
    assert experiment.renders.count() == 4
    assert queued(make_experiment(name="Later", weights="imagenet")) == {B}
    copy = duplicate_experiment(experiment, owner=experiment.owner)
    assert queued(copy) == {B}


def test_levels_of_weights_are_named_by_network_and_other_names_stay(
    make_experiment: Any,
) -> None:
    v16, v19 = (f"imagenet-v1:{digit * 64}" for digit in "de")
    tell(A)
    many = {A: told(), v16: told(), v19: told("vgg19")}
    WeightsAtHost.objects.tell("many", many)
    axes = {"weights": ["imagenet", "imagenet-v1", "random:3"]}
    experiment = make_experiment(weights="random:1", more_axes=axes)
    assert queued(experiment) == {A, v16, "random:3"}
    axes = {"weights": ["imagenet-v1"], "network": ["vgg16", "vgg19"]}
    assert queued(make_experiment(name="Both", more_axes=axes)) == {v16, v19}
    tell(f"imagenet-v1:{'f' * 64}", *[f"imagenet-v1:{'9' * 64}"] * 3)
    experiment.refresh_from_db()
    experiment.tv_weight = [0.0, 1.0]
    assert queued(experiment) == {A, v16, "random:3"}


def test_a_host_that_is_gone_has_no_vote(make_experiment: Any) -> None:
    tell(A, A, B)
    gone("host-0")
    gone("host-1")
    assert queued(make_experiment(weights="imagenet")) == {B}
    WeightsAtHost.objects.see("host-0")
    WeightsAtHost.objects.see("host-1")
    assert queued(make_experiment(name="Back", weights="imagenet")) == {A}
    for name in ("host-0", "host-1", "host-2"):
        gone(name)  # at night: what was there last counts, one host's
    WeightsAtHost.objects.filter(host="host-2").update(
        seen_at=timezone.now() - GONE_AFTER
    )
    assert queued(make_experiment(name="Night", weights="imagenet")) == {B}


@pytest.fixture
def bare(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has no weights, and leaves jobs at once."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    settings.NSTLAB_WEIGHTS = tmp_path / "weights"
    monkeypatch.setattr(weights, "LEAVING_SECONDS", 0.0)


@pytest.mark.parametrize("name", [A, "imagenet", f"file:{'c' * 64}"])
def test_a_job_is_left_to_a_host_that_has_its_weights(
    make_experiment: Any, bare: None, name: str
) -> None:
    has = name if ":" in name else A
    tell(has)
    queued(make_experiment(weights=name))
    batch = Batch.objects.get()
    assert render_batch(batch.pk, 1) == "left to others"
    batch.refresh_from_db()
    assert (batch.attempt, batch.token, batch.over) == (2, None, False)
    row = Render.objects.first()
    assert (row.status, row.attempt) == ("queued", 0)  # no try of the render's own

    claimed = uuid.uuid4()
    assert batch.claim(attempt=2, token=claimed)  # by that host, and delivered twice
    assert render_batch(batch.pk, 2) == "left to others"
    batch.refresh_from_db()
    assert (batch.attempt, batch.token) == (2, claimed)
    Batch.objects.update(token=None)

    gone("host-0")
    assert render_batch(batch.pk, 2) == "0 painted"
    row.refresh_from_db()
    assert row.status == "refused"
    assert "manage.py weights" in row.reason


@pytest.mark.django_db(transaction=True)  # the lease is held on a connection of its own
def test_random_weights_are_painted_anywhere(make_experiment: Any, bare: None) -> None:
    tell(A)
    queued(make_experiment(alpha_beta=[0.1]))
    assert render_batch(Batch.objects.get().pk, 1) == "1 painted"
    assert not WeightsAtHost.objects.filter(host=platform.node()).exists()


def test_where_no_host_has_told_or_renders_wait_from_before_the_name_stays(
    make_experiment: Any,
) -> None:
    experiment = make_experiment(weights="imagenet")
    assert queued(experiment) == {"imagenet"}
    tell(A)
    experiment.refresh_from_db()
    experiment.tv_weight = [0.0, 1.0]
    assert queued(experiment) == {"imagenet"}

    type(experiment).objects.update(queued_weights={})  # from before the column
    experiment.refresh_from_db()
    assert queue_experiment(experiment).new == 0
    assert set(Render.objects.values_list("weights", flat=True)) == {"imagenet"}


def test_a_host_tells_what_it_has_and_again_when_that_changes(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = settings.NSTLAB_WEIGHTS = tmp_path / "weights"
    tell_again()
    assert not WeightsAtHost.objects.exists()  # a host without a worker says nothing
    tell_weights()
    row = WeightsAtHost.objects.get()
    assert (row.host, row.weights) == (platform.node(), {})

    torch.save(state_dict("random:3", network="vgg16", folder=None), tmp_path / "v.pth")
    kept = keep(tmp_path / "v.pth", folder, source="a drawer")
    cached = tmp_path / "torch" / "hub" / "checkpoints"
    cached.mkdir(parents=True)
    (tmp_path / "v.pth").rename(cached / "vgg16_features-amdegroot-88682ab5.pth")
    tell_again()
    row.refresh_from_db()
    imagenet, file = f"imagenet:{kept.values_sha256}", f"file:{kept.sha256}"
    assert set(row.weights) == {imagenet, file}
    assert "torchvision's file" in row.weights[imagenet]["words"]
    assert "a drawer" in row.weights[file]["words"]
    again = {name: asdict(each) for name, each in names_at_hand(folder).items()}
    assert again == row.weights  # from its note now


def test_a_forecast_says_which_weights_no_host_has(make_experiment: Any) -> None:
    file = f"file:{'c' * 64}"
    axes = {"weights": ["imagenet", "random:3", file]}
    experiment = make_experiment(more_axes=axes)
    assert forecast(experiment).missing == ""  # nobody has told what there is
    WeightsAtHost.objects.tell("host", {f"{file}:v1": told()})
    said = str(forecast(experiment))
    assert "No render host has ImageNet, original VGG training" in said
    assert "`manage.py weights get` on the host of a worker" in said
    assert "a file of weights" not in said
    tell(A)
    assert forecast(experiment).missing == ""
