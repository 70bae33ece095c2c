"""What `imagenet` becomes when renders are queued, from what render hosts have."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest
import torch

from generation.engine.networks.kept import keep
from generation.engine.networks.weights import names_at_hand, state_dict
from generation.experiments.forecast import forecast
from generation.experiments.making import duplicate_experiment
from generation.models import Render, WeightsAtHost
from generation.queueing.batches import queue_experiment
from generation.queueing.weights import tell_again, tell_weights

pytestmark = pytest.mark.django_db

A, B = (f"imagenet:{digit * 64}" for digit in "ab")


def tell(*names: str) -> None:
    """Hosts with one name each."""
    for number, name in enumerate(names):
        WeightsAtHost.objects.tell(f"host-{number}", {name: "in words"})


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

    tell(B, B, B)  # the hosts changed; the experiment goes on as it began
    experiment.refresh_from_db()
    experiment.tv_weight = [0.0, 1.0]
    assert queued(experiment) == {A}
    assert experiment.renders.count() == 4
    assert queued(make_experiment(name="Later", weights="imagenet")) == {B}
    copy = duplicate_experiment(experiment, owner=experiment.owner)
    assert queued(copy) == {B}


def test_levels_of_weights_are_named_alike_and_other_names_stay(
    make_experiment: Any,
) -> None:
    tell(A)
    axes = {"weights": ["imagenet", "imagenet-v1", "random:3"]}
    experiment = make_experiment(weights="random:1", more_axes=axes)
    assert queued(experiment) == {A, "imagenet-v1", "random:3"}


def test_where_no_host_has_told_or_renders_wait_from_before_the_name_stays(
    make_experiment: Any,
) -> None:
    experiment = make_experiment(weights="imagenet")
    assert queued(experiment) == {"imagenet"}
    tell(A)
    experiment.refresh_from_db()
    experiment.tv_weight = [0.0, 1.0]
    assert queued(experiment) == {"imagenet"}

    type(experiment).objects.update(queued_imagenet="")  # from before the column
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
    assert (row.host, row.names) == (platform.node(), {})

    torch.save(state_dict("random:3", network="vgg16", folder=None), tmp_path / "v.pth")
    kept = keep(tmp_path / "v.pth", folder, source="a drawer")
    cached = tmp_path / "torch" / "hub" / "checkpoints"
    cached.mkdir(parents=True)
    (tmp_path / "v.pth").rename(cached / "vgg16_features-amdegroot-88682ab5.pth")
    tell_again()
    row.refresh_from_db()
    assert list(row.names) == [f"imagenet:{kept.values_sha256}", f"file:{kept.sha256}"]
    assert "torchvision's file" in row.names[f"imagenet:{kept.values_sha256}"]
    assert "a drawer" in row.names[f"file:{kept.sha256}"]
    assert names_at_hand(folder) == row.names  # from its note now


def test_a_forecast_says_which_weights_no_host_has(make_experiment: Any) -> None:
    file = f"file:{'c' * 64}"
    axes = {"weights": ["imagenet", "random:3", file]}
    experiment = make_experiment(more_axes=axes)
    assert forecast(experiment).missing == ""  # nobody has told what there is
    WeightsAtHost.objects.tell("host", {f"{file}:v1": "in words"})
    said = str(forecast(experiment))
    assert "No render host has ImageNet weights of the original VGG training" in said
    assert "`manage.py weights get` on the host of a worker" in said
    assert "a weights file" not in said
    tell(A)
    assert forecast(experiment).missing == ""
