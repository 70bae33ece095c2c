"""Weights are chosen from what render hosts have, in words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from generation.engine.networks.fetching import IMAGENET_WHEEL
from generation.experiments.forecast import NoWeights
from generation.experiments.weights import weights_choices
from generation.models import Batch, Experiment, Render, WeightsAtHost
from generation.queueing.batches import queue_experiment
from tests.generation.test_experiment_pages import ADD, form

pytestmark = [pytest.mark.broker, pytest.mark.django_db]

PINNED = f"imagenet:{IMAGENET_WHEEL.values_sha256}"
OTHER = f"imagenet:{'7' * 64}"
FILE = f"file:{'c0ffee12' * 8}"
RANDOM = ("random:0", "random weights, seed 0 (not trained)")


def told(words: str, network: str = "vgg16") -> dict[str, str]:
    return {"network": network, "words": words}


def test_what_hosts_have_is_offered_in_words() -> None:
    original = "ImageNet, original VGG training"
    assert weights_choices() == [("imagenet", original), RANDOM]
    WeightsAtHost.objects.tell("gpu1", {})
    assert weights_choices()[0][1] == f"missing: {original}"

    kept = told(f"VGG-16 · {original} · a wheel")
    known = {PINNED: kept, f"file:{'a' * 64}": kept, FILE: told("VGG-19 · mine")}
    WeightsAtHost.objects.tell("gpu1", known)
    files = [("imagenet", original), (FILE, "VGG-19 · mine (c0ffee12…)"), RANDOM]
    assert weights_choices() == files
    gone = f"file:{'b' * 64}"
    said = "missing: a file of weights, bbbbbbbb…"
    assert weights_choices(gone) == [*files, (gone, said)]
    assert weights_choices("random:3")[-1][0] == "random:3"

    WeightsAtHost.objects.tell("gpu2", {OTHER: told("theirs")})
    both = dict(weights_choices())
    assert both[OTHER] == f"{original}, VGG-16, values 77777777…"
    assert both[PINNED] == f"{original}, VGG-16, values 25d244c5…"


def test_the_form_is_a_list_and_shows_no_long_digits(
    logged_in: Any, experiment: Any, queues: None
) -> None:
    WeightsAtHost.objects.tell("gpu1", {FILE: told("VGG-19 · mine", "vgg19")})
    text = logged_in.get(ADD).content.decode()
    assert re.search(r'<select name="weights"', text)
    assert "VGG-19 · mine (c0ffee12…)" in text
    assert not re.search(r">[^<]*[0-9a-f]{64}[^<]*<", text)
    refused = logged_in.post(ADD, form(experiment, weights=FILE)).content.decode()
    assert "These weights are of VGG-19: choose that network" in refused
    right = form(experiment, weights="file:c0ffee12", network="vgg19")
    assert logged_in.post(ADD, right).status_code == 302
    assert Experiment.objects.get(name="New").weights == FILE
    unknown = form(experiment, weights="file:decaf123")
    assert "is not the beginning" in logged_in.post(ADD, unknown).content.decode()


def test_what_no_host_has_is_not_queued(
    logged_in: Any, experiment: Any, queues: None
) -> None:
    WeightsAtHost.objects.tell("gpu1", {})
    sent = form(experiment, weights="imagenet", _queue="1")
    text = logged_in.post(ADD, sent, follow=True).content.decode()
    assert "No render host has ImageNet, original VGG training" in text
    assert not Render.objects.exists() and not Batch.objects.exists()
    new = Experiment.objects.get(name="New")
    assert new.queued_weights == {}
    with pytest.raises(NoWeights):
        queue_experiment(new)
    live = "/admin/generation/experiment/forecast/"
    asked = form(experiment, weights="imagenet", name="Other")
    said = logged_in.post(live, asked).content.decode()
    assert "`manage.py weights get`" in said and "/experiment/hosts/" in said
    WeightsAtHost.objects.tell("gpu1", {PINNED: told("here")})
    assert queue_experiment(new).new == 6

    Render.objects.update(status="refused")
    WeightsAtHost.objects.tell("gpu1", {OTHER: told("others")})  # since then
    again = f"/admin/generation/experiment/{new.pk}/again/"
    text = logged_in.post(again, {"all": "1"}, follow=True).content.decode()
    assert "`manage.py weights get --from index` on the host" in text
    assert "Or a duplicate of the experiment takes what the hosts have." in text
    assert "Nothing was queued again." in text
    assert set(Render.objects.values_list("status", flat=True)) == {"refused"}
    WeightsAtHost.objects.tell("gpu1", {PINNED: told("here")})
    logged_in.post(again, {"all": "1"})
    assert set(Render.objects.values_list("status", flat=True)) == {"queued"}


def test_lists_and_sheets_say_words_and_a_renders_details_the_whole_name(
    logged_in: Any, make_experiment: Any, queues: None
) -> None:
    WeightsAtHost.objects.tell("gpu1", {PINNED: told("here")})
    weights = ["imagenet", "random:3"]
    experiment = make_experiment(alpha_beta=[0.1], more_axes={"weights": weights})
    queue_experiment(experiment)
    render = experiment.renders.get(weights=PINNED)
    here = "/admin/generation"
    for page in (f"{here}/render/", f"{here}/experiment/{experiment.pk}/sheet/"):
        text = logged_in.get(page).content.decode()
        assert "ImageNet, original VGG training" in text
        assert PINNED not in text
    text = logged_in.get(f"{here}/render/{render.pk}/change/").content.decode()
    assert f"ImageNet, original VGG training · {PINNED}" in text
